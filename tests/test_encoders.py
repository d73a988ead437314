"""The table of encoders, band matching and normalisation."""

import landshift.models  # noqa: F401  # isort: skip - declares torchvision operators that a CPU build may lack

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torchgeo.models
from hypothesis import given, settings
from hypothesis import strategies as st

from landshift.models.encoders.bands import CENTRE_WAVELENGTHS, Encoder, match_bands
from landshift.models.encoders.normalisation import normalisation_for
from landshift.models.encoders.table import encoder_named, encoders, file_encoder
from landshift.models.encoders.torchgeo import torchgeo_left_out
from landshift.pipeline.errors import InputError

MOCO = "torchgeo:ResNet50_Weights.SENTINEL2_ALL_MOCO"
RGB = Encoder("test", "resnet18", "file", bands=("red", "green", "blue"))


@pytest.fixture(scope="module")
def table() -> dict[str, Encoder]:
    return {row.name: row for row in encoders()}


def published(row: Encoder) -> object:
    family, _, name = row.weights.partition(".")
    return getattr(torchgeo.models, family)[name]


def test_table_holds_every_family(table: dict[str, Encoder]) -> None:
    assert len(table) == len(encoders())
    assert Counter(row.source for row in table.values()) == {"torchgeo": 69, "pypi": 7, "timm": 6, "random": 1}
    assert Counter(row.architecture for row in table.values() if row.source == "torchgeo") == {
        "resnet18": 13,
        "resnet50": 23,
        "resnet152": 4,
        "swin_v2_t": 4,
        "swin_v2_b": 6,
        "vit_small_patch16_224": 15,
        "vit_small_patch14_dinov2": 1,
        "vit_base_patch16_224": 2,
        "vit_base_patch14_dinov2": 1,
    }
    assert all(row.licence and row.task and row.sensor for row in table.values())
    assert all(row.citation for row in table.values() if row.source != "random")


def test_every_weight_of_torchgeo_is_a_row_or_has_a_reason(table: dict[str, Encoder]) -> None:
    left_out = torchgeo_left_out()
    assert not left_out.keys() & table.keys()
    optical = re.compile(r"\.(SENTINEL2|LANDSAT)")
    families = ("ResNet18", "ResNet50", "Swin_V2", "ViTSmall")
    surprising = [n for n in left_out if optical.search(n) and n.removeprefix("torchgeo:").startswith(families)]
    assert surprising == ["torchgeo:ResNet50_Weights.SENTINEL2_ALL_NDVI_SECO_ECO"]
    assert "not known" not in " ".join(left_out.values())


def test_rows_agree_with_torchgeo(table: dict[str, Encoder]) -> None:
    for row in table.values():
        if row.source == "torchgeo":
            weights = published(row)
            assert len(row.bands) == weights.meta["in_chans"], row.name  # type: ignore[attr-defined]
            assert row.url == weights.url  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [MOCO, "torchgeo:ResNet50_Weights.SENTINEL2_ALL_SOFTCON"])
def test_normalised_reflectance_is_what_torchgeo_makes_of_digital_numbers(name: str) -> None:
    row = encoder_named(name)
    reflectance = np.random.default_rng(0).uniform(0, 0.6, (len(row.bands), 3, 4))
    normal = normalisation_for(row, row.bands, "reflectance")
    ours = (reflectance * normal.scale - np.reshape(normal.mean, (-1, 1, 1))) / np.reshape(normal.std, (-1, 1, 1))
    theirs = torch.tensor(reflectance * 10_000, dtype=torch.float32)
    for step in published(row).transforms:  # type: ignore[attr-defined]
        theirs = step(theirs) if type(step).__name__ == "Normalize" else theirs
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)


def test_eight_bit_training_sets_are_brought_back_to_reflectance(table: dict[str, Encoder]) -> None:
    def brightest(name: str, band: str) -> float:
        row = table[name]
        index = row.bands.index(band)
        return (row.mean[index] + row.std[index]) / row.scale

    satlas = "torchgeo:Swin_V2_T_Weights.SENTINEL2_SI_MS_SATLAS"
    assert brightest(satlas, "red") == pytest.approx(0.3558)
    assert brightest(satlas, "nir") == pytest.approx(0.816)
    assert brightest("torchgeo:ResNet18_Weights.LANDSAT_OLI_SR_MOCO", "nir08") == pytest.approx(0.3)
    assert brightest("torchgeo:ResNet18_Weights.LANDSAT_TM_TOA_MOCO", "red") == pytest.approx(0.4)
    assert brightest("torchgeo:ResNet18_Weights.LANDSAT_TM_TOA_MOCO", "lwir") == pytest.approx(318.15)
    # (N - 4000) / 16320 = 1 at N = 20320, and N = 50000 x reflectance + 5000.
    assert brightest("torchgeo:Swin_V2_B_Weights.LANDSAT_SI_SATLAS", "red") == pytest.approx(15_320 / 50_000)


@pytest.mark.parametrize("name", [f"{count}b-{level}" for count in (4, 6) for level in ("l1c", "l2a")])
def test_cloud_encoders_agree_with_their_package(name: str) -> None:
    spec = importlib.util.find_spec("ukis_csmask")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    data = json.loads((folder / f"model_{name.replace('-', '_')}.json").read_text())["data"]["dataset_statistics"]
    row = encoder_named(f"ukis-csmask-{name}")
    assert list(row.bands) == data["band_names"]
    np.testing.assert_allclose([row.mean, row.std], data["img"], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("imagenet-efficientnet-lite7", "imagenet-efficientnet-lite"),
        (f"{MOCO}X", f"Did you mean '{MOCO}'"),
        ("timm:resnet18.a9_in1k", "Did you mean 'timm:resnet18.a"),
        ("random:resnet19", "Did you mean 'resnet18'"),
        ("file:mine.pth", "architecture, bands, units, mean and std"),
        ("torchgeo:ResNet50_Weights.SENTINEL1_ALL_MOCO", "left out: not Sentinel-2 or Landsat"),
    ],
)
def test_wrong_name_gives_the_right_one(name: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        encoder_named(name)


def test_names_without_a_row() -> None:
    assert encoder_named("random").architecture == "tu-tf_efficientnet_lite0"
    assert encoder_named("random:tf_efficientnet_lite0") == encoder_named("random")
    assert encoder_named("random:tu-vit_small_patch16_224").architecture == "vit_small_patch16_224"
    assert encoder_named("timm:resnet18").weights.startswith("resnet18.")


def test_bands_match_by_name_in_any_order() -> None:
    plan = match_bands(RGB, ["blue", "green", "red"])
    assert plan.channels == ("red", "green", "blue")
    assert plan.used == ("blue", "green", "red")
    assert plan.notes == ()


def test_band_without_a_namesake_matches_the_nearest_wavelength() -> None:
    cloud = encoder_named("ukis-csmask-4b-l2a")
    plan = match_bands(cloud, ["blue", "green", "red", "nir08"])
    assert plan.channels == ("blue", "green", "red", "nir08")
    assert plan.notes == (
        "Band nir08 feeds the encoder's nir: no band has that name, and its centre wavelength is 32 nm away.",
    )
    ours = match_bands(cloud, ["b", "g", "r", "n"], {"b": 482, "g": 561, "r": 655, "n": 830})
    assert ours.channels == ("b", "g", "r", "n")
    assert match_bands(cloud, ["blue", "n"], {"n": 874}).channels == ("blue", None, None, None)


def test_lacking_and_extra_bands_are_said() -> None:
    plan = match_bands(RGB, ["red", "green", "nir"])
    assert plan.channels == ("red", "green", None)
    assert (plan.used, plan.extra) == (("red", "green", "nir"), ("nir",))
    assert "wants blue, which lack" in plan.notes[0]
    assert "does not know nir" in plan.notes[1]
    dropped = match_bands(RGB, ["red", "green", "nir"], extra="drop")
    assert (dropped.used, dropped.extra) == (("red", "green"), ())
    assert dropped.notes[-1].startswith("First-convolution weights are multiplied by 3/2")


@pytest.mark.parametrize(
    ("bands", "wavelengths", "extra", "said"),
    [
        (["swir16", "swir22"], None, "mean", "None of the bands swir16, swir22 matches"),
        (["red", "red"], None, "mean", "each once"),
        ([], None, "mean", "at least one"),
        (["r"], {"r": 0.665}, "mean", "not in nanometres"),
        (["red"], None, "zero", "'zero'; use one of mean, drop"),
    ],
)
def test_bands_that_cannot_be_matched(bands: list[str], wavelengths: dict[str, float] | None, extra: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        match_bands(RGB, bands, wavelengths, extra=extra)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(sorted(CENTRE_WAVELENGTHS)), min_size=1, unique=True),
    st.lists(st.sampled_from(sorted(CENTRE_WAVELENGTHS)), min_size=1, unique=True),
)
def test_each_band_feeds_at_most_one_channel(wanted: list[str], ours: list[str]) -> None:
    encoder = Encoder("test", "resnet18", "file", bands=tuple(wanted))
    try:
        plan = match_bands(encoder, ours)
    except InputError:
        assert not set(wanted) & set(ours)
        return
    feeding = [band for band in plan.channels if band is not None]
    assert len(set(feeding)) == len(feeding)
    assert plan.used == tuple(ours)
    assert set(plan.extra) == set(ours) - set(feeding)
    assert {w for w in wanted if w in ours} == {w for w, b in zip(wanted, plan.channels, strict=True) if w == b}
    assert match_bands(encoder, ours[::-1]).channels == plan.channels


def test_encoder_statistics_follow_our_order_and_units() -> None:
    row = Encoder("t", "resnet18", "file", "", ("red", "nir"), "reflectance x 10000", (1000.0, 3000.0), (500.0, 900.0), 1e4)
    normal = normalisation_for(row, ["nir", "blue", "red"], "reflectance")
    assert normal.origin == "encoder"
    assert normal.bands == ("nir", "blue", "red")
    assert (normal.mean, normal.std, normal.scale) == ((3000, 2000, 1000), (900, 700, 500), 10_000)
    assert "blue" in normal.notes[0]
    assert normalisation_for(row, ["nir"], "reflectance x 10000").scale == 1
    dropped = normalisation_for(row, ["nir", "blue", "red"], "reflectance", extra="drop")
    assert (dropped.bands, dropped.mean) == (("nir", "red"), (3000, 1000))


def test_other_units_take_the_statistics_of_both_dates() -> None:
    statistics = ([300.0, 200.0, 100.0], [3.0, 2.0, 1.0])
    normal = normalisation_for(RGB, ["nir", "green", "red"], "digital numbers", statistics, extra="drop")
    assert (normal.mean, normal.std, normal.scale) == ((200, 100), (2, 1), 1)
    assert normal.origin == "both dates"


def test_reflectance_is_not_a_photograph() -> None:
    lite = encoder_named("imagenet-efficientnet-lite0")
    normal = normalisation_for(lite, ["red", "green", "blue"], "reflectance", ([0.1, 0.1, 0.1], [0.05, 0.05, 0.05]))
    assert normal.origin == "both dates"
    assert "trained on rgb 0..1, and the pixels are reflectance" in normal.notes[0]
    photograph = normalisation_for(lite, ["red", "green", "blue"], "rgb 0..1")
    assert photograph.origin == "encoder"
    assert photograph.mean == pytest.approx([127 / 255] * 3)


@pytest.mark.parametrize(
    ("units", "statistics", "said"),
    [
        ("digital numbers", None, "scale the pixels to reflectance 0..1"),
        ("reflectance", ([1523.0], [300.0]), "units are 'reflectance', but the mean over both dates is 1523"),
        ("reflectance", ([0.1], [0.0]), "constant or nowhere observed"),
        ("digital numbers", ([np.nan], [1.0]), "constant or nowhere observed"),
        ("digital numbers", ([1.0, 2.0], [1.0, 2.0]), "2 means and 2 standard deviations for the bands red"),
    ],
)
def test_normalisation_that_cannot_be_right(units: str, statistics: tuple[list[float], list[float]] | None, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        normalisation_for(encoder_named(MOCO), ["red"], units, statistics)


def test_encoder_without_statistics_asks_for_them() -> None:
    with pytest.raises(InputError, match=r"has no statistics of its own.*both dates together"):
        normalisation_for(encoder_named("random"), ["red"], "reflectance")


def test_row_that_contradicts_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    with pytest.raises(InputError, match="does not exist"):
        file_encoder(path, architecture="resnet18", bands=["red"])
    path.touch()
    with pytest.raises(InputError, match="2 bands, 1 means and 1 standard deviations"):
        file_encoder(path, architecture="resnet18", bands=["red", "nir"], mean=[0.1], std=[0.1])
    with pytest.raises(InputError, match="standard deviations above 0"):
        file_encoder(path, architecture="resnet18", bands=["red"], mean=[0.1], std=[0.0])
    with pytest.raises(InputError, match="repeat"):
        file_encoder(path, architecture="resnet18", bands=["red", "red"])
