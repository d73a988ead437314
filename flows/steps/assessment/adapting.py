"""Adaptation of a model from elsewhere to the territory; only what helps on its labels is accepted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.assessment.ranking import groups_of
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.judging import Calibrated, HeldOut, calibrate, predict_held_out
from landshift.flows.steps.learning.labelling import labels_hash_of, read_masks
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import decide
from landshift.pipeline.epochs.matching import Mappings, PairWindow
from landshift.pipeline.epochs.radiometry import fit_histogram, fit_moments
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.search import TEST
from landshift.pipeline.legend import CHANGED, NOT_LABELLED, NOT_OBSERVED
from landshift.pipeline.manifest import file_hash, value_hash
from landshift.pipeline.records import read_record, write_record
from landshift.pipeline.scores.accuracy import binary_scores
from landshift.pipeline.scores.adaptation import (
    AdaptationCheck,
    AdaptationRow,
    LocalCalibration,
    ScoredAdaptation,
    ScoredBaseline,
)
from landshift.pipeline.scores.evidence import Difference, f1_gain
from landshift.pipeline.scores.reliability import calibration_error_of
from landshift.pipeline.scores.training import Temperatures
from landshift.pipeline.tiles import STRIDE, Tile, tiles

if TYPE_CHECKING:
    from landshift.models.network.siamese import Siamese
    from landshift.models.use.bundle import Bundle

METHODS = ("histogram", "moments", "batch-norm")
"""Ways to adapt, beside doing nothing."""

_CHECK = "adaptation.json"

_FORMAT = 3
_FEWEST_BLOCKS = 10
"""Labelled test blocks that an adaptation is checked on: the bootstrap of a handful lets too much pass by chance."""
_LEVEL = 1 - 0.05 / len(METHODS)
"""Of each interval: Bonferroni's correction for as many methods."""
_PRIOR_WINDOWS = 16.0
"""Windows that the source's BatchNorm statistics count for; not tuned."""
_WINDOW = 256
_MOST_TILES = 16
"""Tiles that the share of change is taken from: an estimate, not a map."""


@dataclass(frozen=True)
class AdaptedModel:
    """A network, and what is done to the images before it sees them."""

    network: "Siamese"
    """With adapted BatchNorm statistics where that is the method."""
    mappings: Mappings
    """Of the dates before and after, once they are matched and standardised."""
    notes: tuple[str, ...]
    """What was done, in sentences."""


@dataclass(frozen=True)
class ChosenAdaptation:
    """What detect does about a territory that the model does not know."""

    method: str
    """`none` or one of `METHODS`."""
    verified: bool
    """Whether it was found to help on labels of this territory."""
    threshold: float | None = None
    """Chosen on this territory's validation blocks; None takes the model's own."""
    temperatures: Temperatures | None = None
    """Fitted on this territory's validation blocks; None takes the model's own."""


def adapt_model(ws: Workspace, prepared: Pair, bundle: "Bundle", network: "Siamese", method: str) -> AdaptedModel:
    """Adapt a network, or the images that it is given, to the territory; nothing is trained.

    Args:
        ws: The project.
        prepared: Its images.
        bundle: What is known of the model.
        network: Changed in place by `batch-norm`.
        method: `none` or one of `METHODS`.

    Raises:
        InputError: The images do not allow it.
    """
    if method == "none":
        return AdaptedModel(network, (None, None), ())
    before, after = prepared.source.sample()
    if method == "moments":
        regions = bundle.facts.training_regions
        # Both dates together: matching each date apart would take its change away.
        mapping = fit_moments(np.array(regions.mean), np.array(regions.std), np.concatenate([before, after]))
        return AdaptedModel(network, (mapping, mapping), mapping.notes)
    if method == "histogram":
        mapping = fit_histogram(before, after)
        return AdaptedModel(network, (None, mapping), mapping.notes)
    from landshift.models.transfer.adaptation import adapt_batch_norm

    done = adapt_batch_norm(network, _windows(prepared, network.spec.priors), prior=_PRIOR_WINDOWS)
    return AdaptedModel(network, (None, None), done.notes)


def _windows(prepared: Pair, priors: Sequence[str]) -> Iterator[PairWindow]:
    with prepared.source.open() as reader:
        shape, side = reader.shape, _WINDOW
        # A small territory is cut finer, or its few windows would count for nothing beside the source's.
        while side > STRIDE and len(tiles(shape, side, 0)) < _PRIOR_WINDOWS:
            side //= 2
        for tile in _spread(tiles(shape, side, 0), 4 * _MOST_TILES):
            yield reader.read(tile.read, priors)


def _spread(work: list[Tile], limit: int) -> list[Tile]:
    """Keep at most so many tiles, evenly over the territory."""
    return work if len(work) <= limit else [work[i] for i in np.linspace(0, len(work) - 1, limit).astype(int)]


def check_adaptations(ws: Workspace, prepared: Pair, labels_hash: str | None) -> AdaptationCheck:
    """Try every adaptation of a model that was trained elsewhere, unless that is done already from the same inputs."""
    key = adaptation_key(ws, prepared, labels_hash)
    path, manifest = ws.assessment / _CHECK, ws.manifest(ws.assessment)
    if not manifest.is_current("adaptation", key):
        write_record(path, _check(ws, prepared, has_labels=labels_hash is not None))
        manifest.record("adaptation", key, [path])
    return read_record(path, AdaptationCheck)


def _check(ws: Workspace, prepared: Pair, *, has_labels: bool) -> AdaptationCheck:
    from landshift.models.use.bundle import load

    rows, seen = [], {}
    with step("Trying adaptations") as advance:
        for number, method in enumerate(("none", *METHODS), start=1):
            bundle, network = load(ws.model_in_use)
            row = AdaptationRow(method, notes=(), reason="", mapped_share=None)
            try:
                ready = adapt_model(ws, prepared, bundle, network, method=method)
                row = replace(row, notes=ready.notes)
                row = replace(row, mapped_share=_share_of_change(ws, prepared, bundle, ready))
                if has_labels:
                    seen[method] = predict_held_out(ws, prepared, ready.network, read_masks(ws), adaptation=ready.mappings)
            except InputError as error:
                row = replace(row, reason=str(error))
            rows.append(row)
            advance(number / (1 + len(METHODS)))
    if has_labels:
        return _judge(ws, rows, seen)
    shares = ", ".join(f"{r.method} {r.mapped_share:.1%}" for r in rows if r.mapped_share is not None)
    sentence = f"Without labels no adaptation can be checked, so none is accepted. Mapped as changed: {shares}."
    return AdaptationCheck(tuple(rows), "none", verified=False, sentence=sentence, calibration=None)


def _share_of_change(ws: Workspace, prepared: Pair, bundle: "Bundle", ready: AdaptedModel) -> float | None:
    """Return the share of the observed pixels that the model maps as changed with its own threshold."""
    from landshift.models.use.inference import device_of
    from landshift.models.use.streaming import stream

    config = ws.project.detect
    grid = prepared.plan.grid
    work = _spread(tiles((grid.shape[0], grid.shape[1]), config.core, config.margin_px), _MOST_TILES)
    network = ready.network.to(device_of(config.device)).eval()
    changed = observed = 0
    threshold = config.threshold or bundle.threshold
    source = replace(prepared.source, adaptation=ready.mappings)
    for mapped in stream(network, source, work, bundle.temperatures, phases=config.phases):
        found = mapped.probabilities
        codes = decide(found.change, found.before, found.after, bundle.legend, threshold=threshold).change
        changed += int((codes >= CHANGED).sum())
        observed += int((codes != NOT_OBSERVED).sum())
    network.to("cpu")
    return changed / observed if observed else None


def _judge(ws: Workspace, tried: Sequence[AdaptationRow], seen: Mapping[str, HeldOut]) -> AdaptationCheck:
    """Compare each method with doing nothing, on the test blocks, after the same calibration on the validation blocks."""
    from landshift.models.use.bundle import describe

    if "none" not in seen:
        raise InputError(f"The model cannot be tried on the labelled pixels as they are: {tried[0].reason}")
    bundle = describe(ws.model_in_use)
    blocks = groups_of(ws, read_masks(ws).labels).reshape(-1)
    try:
        calibrated = {"none": calibrate(seen["none"], bundle.legend, blocks[seen["none"].position])}
    except InputError as error:
        raise InputError(f"The model cannot be calibrated on the labelled pixels as they are: {error}") from error
    baseline = _score_baseline(tried[0], calibrated["none"], bundle, blocks)
    rows: list[AdaptationRow] = [baseline]
    for row in tried[1:]:
        try:
            if row.method in seen:
                found = seen[row.method]
                calibrated[row.method] = calibrate(found, bundle.legend, blocks[found.position])
                row = _score(row, calibrated[row.method], calibrated["none"], blocks)
        except InputError as error:
            row = replace(row, reason=str(error))
        rows.append(row)
    helped = [row for row in rows[1:] if isinstance(row, ScoredAdaptation) and _is_proved(row.gain)]
    best = max(helped, key=lambda row: row.gain.estimate or 0.0, default=None)
    count = baseline.gain.n
    if count < _FEWEST_BLOCKS:
        sentence = (
            f"The labels lie in {count} test blocks; at least {_FEWEST_BLOCKS} are needed to distinguish one that helps "
            f"from chance. None is accepted."
        )
    elif best is None:
        sentence = "No adaptation raised F1 on the test blocks by more than chance: the images are used as they are."
    else:
        sentence = (
            f"{best.method} raised F1 on the test blocks by {best.gain.estimate:+.3f} ({_LEVEL:.2%} interval "
            f"{best.gain.low:+.3f} to {best.gain.high:+.3f}): it is accepted."
        )
    accepted = "none" if best is None else best.method
    chosen = calibrated[accepted]
    # The territory's own calibration goes with an adaptation that was measured with it, or has to prove itself.
    is_better = best is not None or _is_proved(baseline.calibration_gain)
    local = LocalCalibration(chosen.threshold, chosen.temperatures) if is_better else None
    return AdaptationCheck(tuple(rows), accepted, count >= _FEWEST_BLOCKS, sentence, calibration=local)


def _score(row: AdaptationRow, calibrated: Calibrated, control: Calibrated, blocks: np.ndarray) -> ScoredAdaptation:
    test, pixels = _test_mask(calibrated), calibrated.raw
    truth, probability = pixels.labels.change[test], calibrated.cooled.probability[test]
    unadapted = control.cooled.probability[_test_mask(control)] >= control.threshold
    gain = f1_gain(truth, unadapted, probability >= calibrated.threshold, blocks[pixels.position[test]], level=_LEVEL)
    f1 = binary_scores(truth, probability, calibrated.threshold).f1
    return ScoredAdaptation(**vars(row), f1=f1, calibration_error=calibration_error_of(probability, truth), gain=gain)


def _score_baseline(row: AdaptationRow, calibrated: Calibrated, bundle: "Bundle", blocks: np.ndarray) -> ScoredBaseline:
    test, pixels = _test_mask(calibrated), calibrated.raw
    truth, own = pixels.labels.change[test], pixels.at(bundle.temperatures).probability[test]
    local = calibrated.cooled.probability[test] >= calibrated.threshold
    return ScoredBaseline(
        **vars(_score(row, calibrated, calibrated, blocks)),
        own_calibration_f1=binary_scores(truth, own, bundle.threshold).f1,
        own_calibration_error=calibration_error_of(own, truth),
        calibration_gain=f1_gain(truth, own >= bundle.threshold, local, blocks[pixels.position[test]]),
    )  # fmt: skip


def _test_mask(calibrated: Calibrated) -> np.ndarray:
    pixels = calibrated.raw
    known = (pixels.labels.change != NOT_LABELLED) & np.isfinite(calibrated.cooled.probability)
    return np.asarray(known & (pixels.role == TEST))


def _is_proved(gain: Difference) -> bool:
    return gain.low is not None and gain.low > 0 and gain.n >= _FEWEST_BLOCKS


def adaptation_in_use(ws: Workspace, prepared: Pair) -> ChosenAdaptation:
    """Return what detect does: what the config asks for, and whether `assess` found on labels that it helps.

    With `auto` it is what was accepted, together with this territory's own temperature and threshold where these are better
    than the model's, and where no limit to the miss rate is asked for.

    Raises:
        InputError: The config asks for `auto`, and these images and this model were not assessed.
    """
    wanted: str = ws.project.detect.adaptation
    if wanted == "none" or (wanted == "auto" and not ws.uses_other_model):
        return ChosenAdaptation("none", True)
    check = current_adaptation(ws, prepared)
    if wanted == "auto":
        if check is None:
            raise InputError(
                "`detect: adaptation: auto` takes what `landshift assess` accepted, and it has not assessed this model on "
                "these images. Run it first, or name a method: none, histogram, moments or batch-norm."
            )
        wanted = check.accepted
    if check is None or not check.verified or check.accepted != wanted:
        return ChosenAdaptation(wanted, wanted == "none")
    if check.calibration is None or ws.project.calibration.max_miss_rate is not None:
        return ChosenAdaptation(wanted, True)
    return ChosenAdaptation(wanted, True, check.calibration.threshold, check.calibration.temperatures)


def current_adaptation(ws: Workspace, prepared: Pair) -> AdaptationCheck | None:
    """Return what `assess` found for these images and this model; None where it did not look at them, or the file changed."""
    manifest = ws.manifest(ws.assessment)
    keys = (adaptation_key(ws, prepared, labels_hash) for labels_hash in (labels_hash_of(ws), None))
    if not any(manifest.is_current("adaptation", key) for key in keys):
        return None
    return read_record(ws.assessment / _CHECK, AdaptationCheck)


def adaptation_key(ws: Workspace, prepared: Pair, labels_hash: str | None) -> str:
    """Return the hash of the images, labels and model of a check of adaptations."""
    from landshift.models.use.bundle import MODEL

    model = ws.model_in_use / MODEL
    described = file_hash(model) if model.is_file() else ""
    return value_hash([_FORMAT, prepared.key, labels_hash, described, ws.project.detect.threshold])
