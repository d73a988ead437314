"""Collections of chips: layouts that benchmarks have, what labels mean, and every fault before any training."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pydantic import ValidationError
from typer.testing import CliRunner

from landshift.flows.cli.main import app
from landshift.flows.config.project import Project, load_project
from landshift.flows.steps.chips.checking import check_chips
from landshift.flows.steps.chips.collection import look_through, reader_of
from landshift.pipeline.chips.layout import ChipFolders, find_chips
from landshift.pipeline.chips.survey import Survey, warn_of_copies
from landshift.pipeline.errors import InputError
from landshift.pipeline.raster import picture
from tests.chip_collection import ChipCollection, chip_of, write_picture
from tests.test_config import content


@pytest.fixture
def squares(tmp_path: Path) -> ChipCollection:
    return ChipCollection(tmp_path)


def names(survey: Survey) -> dict[str, list[str]]:
    return {role: [f.chip.name for f in survey.of(role)] for role in ("train", "validation", "test")}


def test_a_survey_counts_what_was_drawn(squares: ChipCollection) -> None:
    survey = look_through(squares.workspace(), thorough=True)
    drawn = [chip_of(number)[2] for number in range(13)]
    parts = {"train": drawn[:6], "validation": drawn[6:9], "test": drawn[9:]}
    for role, masks in parts.items():
        changed = sum(int(mask.sum()) for mask in masks)
        count = survey.counts[role]
        assert count.pixels == {"unchanged": len(masks) * 64 * 64 - changed, "changed": changed}
        assert (count.chips, count.with_change) == (len(masks), sum(mask.any() for mask in masks))
    before = np.concatenate([chip_of(n)[d].reshape(3, -1) for n in range(6) for d in (0, 1)], axis=1)
    assert survey.statistics is not None
    assert survey.statistics.mean == pytest.approx(before.mean(axis=1), rel=0.02)
    assert survey.statistics.std == pytest.approx(before.std(axis=1), rel=0.03)
    assert look_through(squares.workspace(), thorough=True) == survey


def move(old: Path, layout: str) -> Path:
    """Copy a collection whose splits are above the dates into another layout."""
    new = old.parent / "other"
    for path in sorted(old.rglob("*.png")):
        split, part, name = path.relative_to(old).parts
        target = new / part / split / name if layout == "split below" else new / part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        if layout == "lists":
            (new / "list").mkdir(exist_ok=True)
            with (new / "list" / f"{split}.txt").open("a") as stream:
                stream.write(f"{name}\n" * (part == "A"))
    return new


@pytest.mark.parametrize("layout", ["split below", "lists"])
def test_layouts_of_benchmarks_are_one_collection(squares: ChipCollection, layout: str) -> None:
    wanted = names(look_through(squares.workspace(), thorough=False))
    changes: dict[str, Any] = {"folder": move(squares.folder, layout).name}
    if layout == "lists":
        changes["split"] = {"train": "list/train.txt", "validation": "list/val.txt", "test": "list/test.txt"}
        wanted = {role: [n.rpartition("/")[2] for n in found] for role, found in wanted.items()}
    assert names(look_through(squares.workspace(chips=changes), thorough=False)) == wanted


def test_validation_is_held_out_where_there_is_none(squares: ChipCollection) -> None:
    changes = {"split": {"train": "train", "validation": 0.34, "test": "test"}}
    found = look_through(squares.workspace(chips=changes), thorough=False)
    assert {role: len(v) for role, v in names(found).items()} == {"train": 4, "validation": 2, "test": 4}
    assert names(found) == names(look_through(squares.workspace(chips=changes), thorough=False))
    assert "2 training chips" in found.notes[0]


def test_copies_of_training_chips_are_counted(squares: ChipCollection) -> None:
    for part in ("A", "B"):
        shutil.copy(squares.folder / f"train/{part}/0002.png", squares.folder / f"test/{part}/0010.png")
    (copies,) = warn_of_copies(look_through(squares.workspace(), thorough=True))
    assert copies.startswith("1 test chips have the very pictures of training chips")


def test_a_split_above_and_below_is_not_guessed(squares: ChipCollection) -> None:
    shutil.copytree(squares.folder / "train/A", squares.folder / "A/train")
    with pytest.raises(InputError, match="which is meant is not known"):
        look_through(squares.workspace(), thorough=False)


def test_pairs_in_no_list_are_counted(squares: ChipCollection) -> None:
    folder = squares.folder / "train"
    for role, name in (("train", "0000"), ("validation", "0001.png"), ("test", "0002")):
        (folder / f"{role}.txt").write_text(f"{name}\n\n")
    splits = {role: Path(f"{role}.txt") for role in ("train", "validation", "test")}
    parts = {"before": Path("A"), "after": Path("B"), "label": Path("label")}
    chips, faults, notes = find_chips(ChipFolders(folder, parts, splits))
    assert [(c.name, c.role) for c in chips] == [("0000", "train"), ("0001", "validation"), ("0002", "test")]
    assert not faults
    assert notes == ["3 pairs are in no list, and are not used."]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_formats_are_read(tmp_path: Path, suffix: str) -> None:
    squares = ChipCollection(tmp_path, suffix=suffix)
    ws = squares.workspace()
    facts = look_through(ws, thorough=True).of("train")[0]
    before, after, labels = reader_of(ws).read(facts.chip)
    exact = chip_of(0)
    tolerance = 40 if suffix == ".jpg" else 0
    assert np.abs(before - exact[0]).max() <= tolerance
    assert np.abs(after - exact[1]).max() <= tolerance
    np.testing.assert_array_equal(labels.change == 1, exact[2])
    assert facts.shape == (64, 64)


def test_alpha_is_a_mask_and_not_a_band(squares: ChipCollection) -> None:
    before, _, _ = chip_of(0)
    alpha = np.full((1, 64, 64), 255, dtype=np.uint8)
    alpha[0, :5] = 0
    write_picture(squares.folder / "train/A/0000.png", np.concatenate([before, alpha]))
    found, _, _ = reader_of(squares.workspace()).read(look_through(squares.workspace(), thorough=False).of("train")[0].chip)
    assert np.isnan(found[:, :5]).all()
    np.testing.assert_array_equal(found[:, 5:], before[:, 5:])


def test_colours_name_the_classes_of_each_date(tmp_path: Path) -> None:
    squares = ChipCollection(tmp_path)
    colours = {"#ff0000": (255, 0, 0), "#00ff00": (0, 255, 0), "#ffffff": (255, 255, 255)}
    for path in squares.folder.rglob("label/*.png"):
        with rasterio.open(path) as source:
            changed = source.read(1) > 0
        for name, inside in (("label1", "#ff0000"), ("label2", "#00ff00")):
            pixels = np.empty((3, 64, 64), dtype=np.uint8)
            pixels[:] = np.array(colours["#ffffff"])[:, None, None]
            pixels[:, changed] = np.array(colours[inside])[:, None]
            write_picture(path.parents[1] / name / path.name, pixels)
    legend = [{"code": 1, "name": "Soil", "colour": "#aa8844"}, {"code": 2, "name": "Houses", "colour": "#cc3333"}]
    values = {"#ff0000": "Soil", "#00ff00": "Houses", "#ffffff": "unchanged"}
    ws = squares.workspace(
        legend=legend,
        chips={"label": None, "values": {}, "before_label": "label1", "after_label": "label2", "class_values": values},
    )
    survey = look_through(ws, thorough=False)
    changed = sum(int(chip_of(n)[2].sum()) for n in range(6))
    assert survey.counts["train"].pixels == {
        "unchanged": 6 * 64 * 64 - changed, "changed": changed, "Soil (before)": changed, "Houses (after)": changed,
    }  # fmt: skip
    labels = reader_of(ws).read_labels(survey.of("train")[0].chip)
    np.testing.assert_array_equal(labels.before, np.where(chip_of(0)[2], 1, 255))
    np.testing.assert_array_equal(labels.after, np.where(chip_of(0)[2], 2, 255))


def _remove(squares: ChipCollection, path: str) -> None:
    (squares.folder / path).unlink()


def _truncate(squares: ChipCollection, path: str) -> None:
    content = (squares.folder / path).read_bytes()
    (squares.folder / path).write_bytes(content[: len(content) // 2])


def _write(squares: ChipCollection, path: str, pixels: np.ndarray) -> None:
    write_picture(squares.folder / path, pixels.astype(np.uint8))


GREY = np.full((64, 64), 128)
FAULTS = [
    (lambda s: _remove(s, "train/B/0002.png"), ["1 fault", "0002.png has no counterpart in after"]),
    (lambda s: _remove(s, "val/label/0006.png"), ["1 fault", "0006.png has no counterpart in label"]),
    (lambda s: _write(s, "test/A/0010.png", np.zeros((3, 64, 32))), ["0010.png has 32 x 64 pixels", "its label 64 x 64"]),
    (lambda s: _write(s, "test/A/0010.png", np.zeros((64, 64))), ["0010.png has 1 band;", "expected 3: red, green, blue"]),
    (lambda s: _write(s, "train/label/0003.png", GREY), ["0003.png holds 128 (4096 pixels)", "0, 255"]),
    (lambda s: (s.folder / "train/A/0001.png").write_bytes(b"<VRTDataset/>"), ["0001.png is neither a PNG, a JPEG nor"]),
    (lambda s: shutil.copy(s.folder / "train/A/0001.png", s.folder / "train/A/0001.jpg"), ["have one name"]),
    (lambda s: [_remove(s, f"train/B/000{n}.png") for n in range(6)], ["6 faults", "... and 1 more"]),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "found"), FAULTS, ids=[found[-1] for _, found in FAULTS])
def test_every_fault_is_found_before_training(squares: ChipCollection, spoil: Any, found: list[str]) -> None:
    spoil(squares)
    for thorough in (False, True):
        with pytest.raises(InputError) as error:
            look_through(squares.workspace(), thorough=thorough)
        assert not [text for text in found if text not in str(error.value)], str(error.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_truncated_picture_is_found_by_a_thorough_look(tmp_path: Path, suffix: str) -> None:
    squares = ChipCollection(tmp_path, suffix=suffix)
    _truncate(squares, f"test/B/0011{suffix}")
    with pytest.raises(InputError, match="0011"):
        look_through(squares.workspace(), thorough=True)


def test_a_palette_is_no_band(squares: ChipCollection) -> None:
    path = write_picture(squares.folder / "train/A/0000.png", np.zeros((64, 64), dtype=np.uint8))
    with rasterio.open(path) as source:
        profile = source.profile
    with rasterio.open(path, "w", **profile) as target:
        target.write(np.zeros((1, 64, 64), dtype=np.uint8))
        target.write_colormap(1, {0: (1, 2, 3, 255)})
    with pytest.raises(InputError, match="gdal_translate -expand rgb"):
        look_through(squares.workspace(), thorough=True)


def test_large_pictures_are_refused_by_their_header(squares: ChipCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "PICTURE_SIDE", 32)
    with pytest.raises(InputError, match=r"64 x 64 pixels; a chip has at most 32 x 32.*gdal_retile"):
        look_through(squares.workspace(), thorough=False)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"before": "im1"}, "neither in"),
        ({"after": "C"}, "C is not there"),
        ({"folder": "../elsewhere"}, "outside the data folder"),
        ({"after": "../../../B"}, "outside the data folder"),
        ({"split": {"train": "a.txt", "validation": "b.txt", "test": "c.txt"}}, "A is not there"),
        ({"split": {"train": "train", "validation": "train", "test": "test"}}, "is in train and validation"),
        ({"values": {0: "unchanged", 255: "forest"}}, "neither `unchanged`"),
        ({"values": {0: "unchanged", 255: "unchanged"}}, "labelled changed"),
    ],
)  # fmt: skip
def test_wrong_configs_are_explained(squares: ChipCollection, changes: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found):
        look_through(squares.workspace(chips=changes), thorough=False)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"epochs": content()["epochs"]}, "`epochs` belongs to a territory"),
        ({"grid": {"crs": "EPSG:32633", "pixel_size": 10, "bounds": (0, 0, 1, 1)}}, "`grid` belongs to a territory"),
        ({"sensor": {"name": "sentinel-2-l2a", "bands": (), "scale": None, "nodata": None, "units": "reflectance"}}, "custom"),
        ({"chips": {"split": {"train": "train", "validation": "val"}}}, "test"),
        ({"chips": {"split": None}}, "split"),
        ({"chips": {"values": {}}}, "`values` is missing"),
        ({"chips": {"values": {0: "unchanged", "#ff0000": "changed"}}}, "numbers or the colours"),
        ({"chips": {"values": {"white": "unchanged"}}}, "neither a whole number nor a colour"),
        ({"chips": {"before_label": "label1"}}, "give both"),
        ({"chips": {"class_values": {1: "Forest"}}}, "not given"),
    ],
)  # fmt: skip
def test_contradictory_configs_are_refused(squares: ChipCollection, changes: dict[str, Any], found: str) -> None:
    with pytest.raises(ValidationError, match=found):
        squares.workspace(**changes)


def test_a_territory_still_needs_epochs() -> None:
    wanted = {key: value for key, value in content().items() if key != "epochs"}
    with pytest.raises(ValidationError, match="epochs\n  Field required"):
        Project.model_validate(wanted)


def test_check_shows_what_a_collection_holds(squares: ChipCollection) -> None:
    found, lines = check_chips(squares.workspace())
    text = "\n".join(lines)
    assert found["chips"]["test"]["chips"] == 4
    assert "train 6, validation 3, test 4" in text
    assert "64 x 64 pixels" in text
    assert "digital numbers" in text


@pytest.mark.parametrize("verb", [["detect"], ["scenes"], ["monitor"], ["suggest"], ["release", "list"]])
def test_verbs_of_a_territory_refuse_chips(squares: ChipCollection, verb: list[str]) -> None:
    result = CliRunner().invoke(app, [*verb, str(squares.write_config())])
    assert result.exit_code == 2, result.output
    assert "is a collection of chips" in result.output
    assert "trained_model:" in result.output


def test_check_takes_chips(squares: ChipCollection) -> None:
    path = squares.write_config()
    result = CliRunner().invoke(app, ["check", str(path), "--output", str(squares.output)])
    assert result.exit_code == 0, result.output
    assert "everything fits" in result.output
    assert load_project(path, chips=True).chips is not None


@pytest.mark.parametrize("layout", ["split above", "split below", "lists"])
def test_init_writes_what_check_accepts(squares: ChipCollection, layout: str) -> None:
    folder = squares.folder if layout == "split above" else move(squares.folder, layout)
    result = CliRunner().invoke(app, ["init", str(folder)])
    assert result.exit_code == 0, result.output
    assert "to decide" not in result.output
    assert "0 (" in result.output
    project = load_project(folder / "landshift.yaml", chips=True)
    assert project.chips is not None
    assert project.chips.values == {0: "unchanged", 255: "changed"}
    assert project.sensor.bands == ("red", "green", "blue")
    result = CliRunner().invoke(app, ["check", str(folder / "landshift.yaml"), "--output", str(squares.output)])
    assert result.exit_code == 0, result.output
    assert "train 6, validation 3, test 4" in result.output


def test_init_asks_what_values_mean(squares: ChipCollection) -> None:
    shutil.rmtree(squares.folder / "val")
    _write(squares, "train/label/0003.png", GREY)
    result = CliRunner().invoke(app, ["init", str(squares.folder)])
    assert result.exit_code == 0, result.output
    assert "labels.chips.values: what each value" in result.output
    text = (squares.folder / "landshift.yaml").read_text()
    assert "validation: 0.1" in text
    assert "128: DECIDE" in text
    result = CliRunner().invoke(app, ["check", str(squares.folder / "landshift.yaml"), "--output", str(squares.output)])
    assert result.exit_code == 2, result.output
    assert "DECIDE" in result.output
