"""Estimators of single pixels: they learn from a corner what holds everywhere, whichever date comes first."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine

from landshift.models.encoders.backbones import build_encoder
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.encoders.table import encoder_named
from landshift.models.estimators.draw import draw_rows
from landshift.models.estimators.fit import fit_pixels
from landshift.models.estimators.model import PixelModel, model_of
from landshift.models.network.samples import Masks
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
from landshift.models.use.bundle import MODEL, WEIGHTS, Bundle, load, save
from landshift.models.use.inference import predict
from landshift.models.use.streaming import stream
from landshift.pipeline.epochs.classical import sample_pixels
from landshift.pipeline.epochs.matching import PairSource, PairWindow, Treatment, fit_radiometry
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import Window, tiles
from tests.small_network import provenance

BANDS = ("red", "green", "nir")
SPEC = NetworkSpec("tu-test_efficientnet", BANDS, BANDS, "change", 0, priors=("ir-mad", "difference"), estimator="trees")
SHAPE = (160, 192)
PLAIN = Temperatures()
UNKNOWN = 255


class Land:
    """Fields (0) and towns (1) on two dates, the one after in other light, and what is known of them."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        self.before = ((y // 16 + x // 24) % 3 == 0).astype(np.uint8)
        self.change = (((y // 8) % 4 == 0) & ((x // 8) % 5 == 0)).astype(np.uint8)
        self.after = self.before ^ self.change
        colours = np.array([[0.2, 0.5, 0.9], [0.6, 0.5, 0.4]], dtype=np.float32)
        ground = rng.normal(0, 0.02, (3, *SHAPE)).astype(np.float32)
        images = [colours[known].transpose(2, 0, 1) + ground for known in (self.before, self.after)]
        images = [image + rng.normal(0, 0.01, image.shape).astype(np.float32) for image in images]
        images[1] = 1.2 * images[1] + 0.1
        grid = grid_of(Affine(10, 0, 600_000, 0, -10, 5_900_000), SHAPE, "EPSG:32633")
        self.images = images
        paths = [
            write_raster(folder / f"{n}.tif", i, grid, nodata=float("nan"))
            for n, i in zip(("before", "after"), images, strict=True)
        ]
        radiometry = fit_radiometry(*sample_pixels(*images), match=True, standardise=True)
        self.source = PairSource(paths[0], paths[1], radiometry)

    def masks(self, window: tuple[slice, slice]) -> Masks:
        layers = [np.full(SHAPE, UNKNOWN, dtype=np.uint8) for _ in range(3)]
        for layer, known in zip(layers, (self.before, self.after, self.change), strict=True):
            layer[window] = known[window]
        return Masks(*layers)


TRAINING, VALIDATION = (slice(0, 48), slice(0, 64)), (slice(64, 112), slice(0, 64))


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Land:
    return Land(tmp_path_factory.mktemp("land"))


def model_for(spec: NetworkSpec) -> PixelModel:
    torch.manual_seed(0)
    model = model_of(
        spec, build_encoder(spec.architecture, len(BANDS)), Normalisation((0.0,) * 3, (1.0,) * 3, 1.0, "both dates")
    )
    assert isinstance(model, PixelModel)
    return model


def fitted(land: Land, **changes: object) -> PixelModel:
    model = model_for(replace(SPEC, **changes))  # type: ignore[arg-type]
    fit_pixels(model, land.source, land.masks(TRAINING), land.masks(VALIDATION))
    return model.eval()


@pytest.fixture(scope="module")
def trees(land: Land) -> PixelModel:
    return fitted(land)


@pytest.fixture(scope="module")
def both(land: Land) -> PixelModel:
    return fitted(land, heads="both", classes=2)


def whole(land: Land) -> PairWindow:
    with land.source.open() as reader:
        return reader.read(Window(0, 0, *SHAPE), SPEC.priors)


def right(found: np.ndarray | None, truth: np.ndarray) -> float:
    """Share of the pixels outside the training blocks that are right, with the halves of a probability as the answer."""
    assert found is not None
    outside = np.ones(SHAPE, dtype=bool)
    outside[TRAINING] = False
    return float(((found > 0.5) == truth)[outside].mean())


@pytest.mark.parametrize("estimator", ["trees", "line"])
def test_what_is_learned_in_a_corner_holds_everywhere(land: Land, estimator: str) -> None:
    found = predict(fitted(land, estimator=estimator), whole(land), PLAIN)
    assert right(found.change, land.change) > 0.98


def test_land_use_is_learned_from_both_dates(land: Land, both: PixelModel) -> None:
    found = predict(both, whole(land), PLAIN)
    assert found.before is not None
    assert found.after is not None
    assert right(found.change, land.change) > 0.98
    assert right(found.before[1], land.before) > 0.95
    assert right(found.after[1], land.after) > 0.95


def test_exchanging_the_dates_exchanges_the_answers_to_the_last_bit(land: Land, both: PixelModel) -> None:
    window = whole(land)
    forth, back = (predict(both, w, PLAIN) for w in (window, PairWindow(window.after, window.before, window.priors)))
    for name, other in (("change", "change"), ("before", "after"), ("after", "before")):
        np.testing.assert_array_equal(getattr(forth, name), getattr(back, other))


@pytest.mark.parametrize("margin", [32, 96])
def test_tiles_say_what_the_whole_image_says(land: Land, trees: PixelModel, margin: int) -> None:
    at_once = predict(trees, whole(land), PLAIN).change
    assert at_once is not None
    parts = np.empty(SHAPE, dtype=np.float32)
    for mapped in stream(trees, land.source, tiles(SHAPE, 64, margin), PLAIN):
        assert mapped.probabilities.change is not None
        parts[mapped.tile.core.slices] = mapped.probabilities.change
    inner = np.s_[32:-32, 32:-32]  # at the edge of the scene tiles mirror it, and the whole window does not
    assert ((parts > 0.5) == (at_once > 0.5))[inner].mean() > 0.999
    np.testing.assert_allclose(parts[inner], at_once[inner], atol=0.2)


def test_what_is_not_observed_has_no_answer_and_spoils_no_neighbour(land: Land, trees: PixelModel) -> None:
    window = whole(land)
    holed = PairWindow(window.before.copy(), window.after, np.asarray(window.priors).copy())
    holed.before[0, 40:50, 60:80] = np.nan
    assert holed.priors is not None
    holed.priors[:, 40:50, 60:80] = np.nan
    found = predict(trees, holed, PLAIN).change
    assert found is not None
    assert np.isnan(found[40:50, 60:80]).all()
    assert np.isfinite(found).sum() == found.size - 200


def test_a_bundle_brings_the_same_map_back_and_runs_nothing(tmp_path: Path, land: Land, both: PixelModel) -> None:
    legend = Legend((LandUse(1, "field", "#00ff00"), LandUse(2, "town", "#ff0000")))
    bundle = Bundle(
        name="land", spec=both.spec, encoder=encoder_named("random"), units="reflectance", treatment=Treatment(True, True),
        normalisation=Normalisation((0.0,) * 3, (1.0,) * 3, 1.0, "both dates"), legend=legend, temperatures=PLAIN,
        threshold=0.5, facts=provenance(strategy="boosted"),
    )  # fmt: skip
    again = load(save(tmp_path / "model", bundle, both, "card"))[1]
    assert {p.name for p in (tmp_path / "model").iterdir()} == {WEIGHTS, MODEL, "card.md"}
    first, second = (predict(m, whole(land), PLAIN) for m in (both, again))
    for name in ("change", "before", "after"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_unlabelled_pixels_help_where_hardly_any_are_labelled(land: Land) -> None:
    few = (slice(0, 16), slice(0, 12))
    model = model_for(SPEC)
    note = fit_pixels(model, land.source, land.masks(few), land.masks(VALIDATION)).notes[0]
    assert "unlabelled ones of which IR-MAD is sure" in note
    assert right(predict(model.eval(), whole(land), PLAIN).change, land.change) > 0.98


def test_a_prior_that_contradicts_the_labels_is_not_asked(land: Land) -> None:
    """Someone maps what does not change: IR-MAD knows nothing of it."""
    masks = [
        replace(m, change=np.where(m.change == UNKNOWN, UNKNOWN, land.before)) for m in map(land.masks, (TRAINING, VALIDATION))
    ]
    fitted_pixels = fit_pixels(model_for(SPEC), land.source, *masks)
    assert "so it was not asked about others" in fitted_pixels.notes[0]


def test_pixels_held_out_are_not_taken_for_unlabelled(land: Land) -> None:
    """Everything but a strip is labelled, so the unlabelled pixels lie in it."""
    strip = np.zeros(SHAPE, dtype=bool)
    strip[:, 100:132] = True
    everything = land.masks((slice(None), slice(None)))
    known = [
        np.where(strip, UNKNOWN, layer).astype(np.uint8) for layer in (everything.before, everything.after, everything.change)
    ]
    drawn = draw_rows(model_for(SPEC), land.source, (Masks(*known), land.masks(VALIDATION)), device=torch.device("cpu"))
    assert drawn.prior is not None
    assert len(drawn.prior.rows.labels) <= strip.sum()


def test_without_priors_and_with_one_class_there_is_nothing_to_learn(land: Land) -> None:
    unchanged = (slice(8, 16), slice(0, 64))
    with pytest.raises(InputError, match="all of one class"):
        fit_pixels(model_for(replace(SPEC, priors=())), land.source, land.masks(unchanged), land.masks(VALIDATION))
    with pytest.raises(InputError, match="no labelled pixel"):
        fit_pixels(model_for(SPEC), land.source, land.masks((slice(0), slice(0))), land.masks(VALIDATION))


def test_a_spec_says_which_model_it_is() -> None:
    network = model_of(
        replace(SPEC, estimator="network", decoder_channels=(32, 16, 16, 8, 8)), build_encoder(SPEC.architecture, 3),
        Normalisation((0.0,) * 3, (1.0,) * 3, 1.0, "both dates"),
    )  # fmt: skip
    assert isinstance(network, ChangeNetwork)
    with pytest.raises(InputError, match="estimator 'forest' is not known"):
        replace(SPEC, estimator="forest")
