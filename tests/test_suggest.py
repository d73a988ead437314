"""`landshift suggest` as people meet it: a folder for QGIS goes out, is answered by other programs, and becomes labels."""

import json
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import yaml

from landshift.flows.steps.learning.labelling import divide_labels, read_masks
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.suggestion.giving import Wish, suggest_for_project, suggest_for_run
from landshift.flows.steps.suggestion.taking import take_answers
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from tests.binary_territory import SIZE, BinaryTerritory, Ready, squares
from tests.test_cli import run as command
from tests.test_qgis_project import needs_qgis, read_in_qgis
from tests.test_register_files import folder
from tests.untrained import Untrained

TODAY = str(datetime.now(UTC).date())


@pytest.fixture(scope="module")
def territory(tmp_path_factory: pytest.TempPathFactory) -> BinaryTerritory:
    """A territory of which nothing is labelled, with its config."""
    made = BinaryTerritory(tmp_path_factory.mktemp("place"))
    content = {k: v for k, v in made.config().items() if k != "labels"}
    (made.data / "place.yaml").write_text(yaml.safe_dump(content))
    return made


@pytest.fixture(scope="module")
def given(territory: BinaryTerritory) -> Path:
    """What is given out for it, by the command line."""
    code, out, err = command(
        "suggest", territory.data / "place.yaml", "--output", territory.output, "--blocks", "12", "--patches", "6"
    )
    assert (code, "rror" in err) == (0, False), err
    assert "12 of 36 blocks of 16 pixels to label next, by IR-MAD (0 blocks hold labels)" in out
    assert "The config has no `labels:`" in out
    assert "no trained model to ask yet" in out
    return territory.output / "place" / "to-label"


@pytest.fixture
def place(given: Path, tmp_path: Path) -> Path:
    return shutil.copytree(given, tmp_path / "moved & 'renamed'")


def filled(place: Path, rows: dict[int, dict[str, Any]]) -> Path:
    """Fill the form in with geopandas, which knows nothing of it: number of the patch to columns; the blocks go with it."""
    path = place / "suggestions.gpkg"
    frame = gpd.read_file(path, layer="suggestions")
    for column in ("verdict", "true_change", "reviewer", "reviewed_on", "note"):
        if column in frame:
            frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
    for number, columns in rows.items():
        for column, value in ({"reviewer": "Ana", "reviewed_on": TODAY} | columns).items():
            frame.loc[frame["place"] == number, column] = value
    path.unlink()
    frame.to_file(path, layer="suggestions", driver="GPKG", engine="pyogrio")
    return path


def centres(territory: BinaryTerritory, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = territory.grid.transform
    return t.c + t.a * (x + 0.5), t.f + t.e * (y + 0.5)


def truth_of(territory: BinaryTerritory, outline: shapely.Polygon) -> float:
    """Return the share of the pixels of a polygon that changed."""
    y, x = np.mgrid[:SIZE, :SIZE]
    east, north = centres(territory, y, x)
    return float(squares()[shapely.contains_xy(outline, east, north)].mean())


def answered(territory: BinaryTerritory, place: Path) -> dict[int, dict[str, Any]]:
    """Judge each patch as a careful person would: mixed ones cannot be decided."""
    words = {0.0: "not a change", 1.0: "change"}
    frame = gpd.read_file(place / "suggestions.gpkg", layer="suggestions")
    return {
        n: {"verdict": words.get(truth_of(territory, g), "cannot be told")}
        for n, g in zip(frame["place"], frame.geometry, strict=True)
    }


def test_what_goes_out(given: Path) -> None:
    assert sorted(p.name for p in given.iterdir()) == [
        "chips", "layers", "suggestions.gpkg", "suggestions.json", "suggestions.qgz"]  # fmt: skip
    patches, blocks = (gpd.read_file(given / "suggestions.gpkg", layer=name) for name in ("suggestions", "blocks"))
    assert blocks["rank"].tolist() == list(range(1, 13))
    assert (blocks["reason"].str.len() > 10).all()
    assert blocks["use"].str.startswith("to ").all()
    assert len(blocks.geometry.drop_duplicates()) == 12
    outlines = dict(zip(blocks["rank"], blocks.geometry, strict=True))
    assert all(shapely.covers(outlines[r], g) for r, g in zip(patches["rank"], patches.geometry, strict=True))
    assert patches["rank"].is_monotonic_increasing
    assert set(patches["kind"]) == {"Changed", "Unchanged"} or "In doubt" in set(patches["kind"])
    assert patches[["verdict", "reviewer", "reviewed_on", "note"]].isna().all(axis=None)
    assert all((given / chip).is_file() for chip in patches["chip"])
    record = json.loads((given / "suggestions.json").read_text(encoding="utf-8"))
    assert (record["methods"], record["labelled"], record["usable"]) == (["IR-MAD"], 0, 36)
    with zipfile.ZipFile(given / "suggestions.qgz") as archive:
        project = archive.read("suggestions.qgs").decode()
    assert "./layers/image_after.tif" in project
    assert str(given.parent) not in project


def test_both_changed_and_unchanged_ground_is_asked_about(territory: BinaryTerritory, given: Path) -> None:
    verdicts = [a["verdict"] for a in answered(territory, given).values()]
    assert verdicts.count("change") >= 5
    assert verdicts.count("not a change") >= 5
    assert verdicts.count("cannot be told") < len(verdicts) / 2, "patches follow what looks alike"


def test_from_suggestions_to_a_division_of_labels(territory: BinaryTerritory, place: Path, tmp_path: Path) -> None:
    rows = answered(territory, place)
    filled(place, rows)
    labels = territory.data / "labels.gpkg"
    code, out, err = command("suggest", "--import", place, "--labels", labels)
    assert code == 0, err
    decided = [a["verdict"] for a in rows.values() if a["verdict"] != "cannot be told"]
    assert f"{len(decided)} answers became labels" in out
    taken = gpd.read_file(labels, layer="labels")
    assert sorted(taken["change"]) == sorted("changed" if v == "change" else "unchanged" for v in decided)

    polygons = {"path": "labels.gpkg", "change_column": "change"}
    ws = territory.workspace(tmp_path / "out", labels={"polygons": polygons, "rasters": None})
    ws.require_writable()
    divide_labels(ws, plan(ws).grid)
    masks = read_masks(ws)
    known = masks.labels.change != NOT_LABELLED
    assert (masks.labels.change[known] == squares()[known]).all(), "every label lies on the pixels that were judged"
    assert {0, 1, 2} <= set(np.unique(masks.role)), "enough for training, validation and test"

    ready = Ready(ws)
    reply, _ = suggest_for_project(ws, ready.prepared, Wish(blocks=6, patches=4))
    assert reply["labelled"] == len(np.unique(np.argwhere(known) // 16, axis=0))
    outlines = shapely.from_wkt([b["outline"] for b in reply["blocks"]])
    east, north = centres(territory, *np.nonzero(known))
    assert not any(shapely.contains_xy(o, east, north).any() for o in outlines), "labelled blocks are left out"


def test_a_second_import_adds_and_replaces(territory: BinaryTerritory, place: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.gpkg"
    filled(place, {1: {"verdict": "change"}, 2: {"verdict": "not a change"}})
    assert take_answers(place, labels)[0]["change"] == {"changed": 1, "unchanged": 1}
    filled(place, {1: {"verdict": "not a change"}, 3: {"verdict": "change"}})
    reply, _ = take_answers(place, labels)
    assert (reply["taken"], reply["kept"], reply["change"]) == (3, 0, {"unchanged": 2, "changed": 1})
    other = tmp_path / "other"
    ws = territory.workspace(territory.output, labels=None)
    suggest_for_project(ws, Ready(territory.workspace(tmp_path / "ready")).prepared, Wish(2, 2, other))
    filled(other, {1: {"verdict": "change", "reviewer": None}, 2: {"verdict": "change"}})
    reply, lines = take_answers(other, labels)
    assert (reply["taken"], reply["kept"], len(reply["half_filled"])) == (1, 3, 1)
    assert "half-filled" in " ".join(lines)
    assert gpd.read_file(labels, layer="labels")["reviewed_on"].notna().all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"verdict": "yes"}, "expected one of"), ({"change_id": "x"}, "was not given out"),
        ({"review_id": "other"}, "does not belong to"), ({"geometry": shapely.box(0, 0, 1, 1)}, "the outline of"),
        ({"reviewed_on": "2020-01-01"}, "when the changes were given"),
    ],
)  # fmt: skip
def test_a_file_that_was_altered_is_refused_whole(place: Path, tmp_path: Path, spoil: dict[str, Any], message: str) -> None:
    filled(place, {1: {"verdict": "change"}, 2: {"verdict": "change"} | spoil})
    with pytest.raises(InputError, match=message):
        take_answers(place, tmp_path / "labels.gpkg")
    assert not (tmp_path / "labels.gpkg").exists()


def test_labels_of_others_are_not_touched(place: Path, tmp_path: Path) -> None:
    filled(place, {1: {"verdict": "change"}})
    theirs = tmp_path / "labels.gpkg"
    gpd.GeoDataFrame({"owner": ["me"]}, geometry=[shapely.box(0, 0, 9, 9)], crs=32633).to_file(theirs, engine="pyogrio")
    before = theirs.read_bytes()
    with pytest.raises(InputError, match="not written by Landshift"):
        take_answers(place, theirs)
    assert theirs.read_bytes() == before


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Untrained:
    return Untrained(tmp_path_factory.mktemp("untrained"))


@pytest.mark.usefixtures("prefect_server")
def test_models_are_asked_and_classes_can_be_given(untrained: Untrained, tmp_path: Path) -> None:
    """Seeds of a training: two copies of one model agree, and each disagrees with IR-MAD."""
    ws = untrained.workspace(tmp_path / "runs")
    own = type(ws)(ws.project, ws.data, ws.output)
    own.require_writable()
    for seed in (0, 1):
        shutil.copytree(untrained.model, own.training / f"seed-{seed}" / "model")
    prepared = Ready(own).prepared
    reply, lines = suggest_for_project(own, prepared, Wish(3, 5))
    assert reply["methods"] == ["seed-0", "seed-1", "IR-MAD"]
    assert max(b["disagreement"] for b in reply["blocks"]) > 0
    assert "by seed-0, seed-1, IR-MAD" in " ".join(lines)
    assert not list(own.output.glob(".partial*"))
    place = own.output / "to-label"
    forest = own.project.legend[0].code
    other = own.project.legend[1].code
    filled(
        place,
        {
            1: {"verdict": "other class", "true_change": f"{forest}>{other}"}, 2: {"verdict": "not a change"},
            3: {"verdict": "other class"}, 4: {"verdict": "not a change", "true_change": f"{forest}>{forest}"},
        },
    )  # fmt: skip
    reply, lines = take_answers(place, tmp_path / "labels.geojson")
    assert (reply["taken"], reply["change"]) == (3, {"unchanged": 2, "changed": 1})
    assert len(reply["half_filled"]) == 1
    frame = gpd.read_file(tmp_path / "labels.geojson")
    names = {c.code: c.name for c in own.project.legend}
    assert frame["before"].fillna("").tolist() == [names[forest], "", names[forest]]
    assert frame["after"].fillna("").tolist() == [names[other], "", names[forest]]


def test_a_model_that_does_not_fit_is_left_out_or_refused(
    untrained: Untrained, territory: BinaryTerritory, tmp_path: Path
) -> None:
    prepared, ws = Ready(territory.workspace(tmp_path)).prepared, territory.workspace(tmp_path, labels=None)
    shutil.copytree(untrained.model, ws.training / "seed-0" / "model")
    reply, lines = suggest_for_project(ws, prepared, Wish(2, 2))
    assert reply["methods"] == ["IR-MAD"]
    assert "The model seed-0 was not asked: it needs the bands" in " ".join(lines)
    named = type(ws)(ws.project, ws.data, ws.output, chosen_model=untrained.model)
    with pytest.raises(InputError, match="cannot be asked: it "):
        suggest_for_project(named, prepared, Wish(2, 2, tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_where_every_block_is_labelled_there_is_nothing_to_suggest(territory: BinaryTerritory, tmp_path: Path) -> None:
    ws = territory.workspace(tmp_path)
    with pytest.raises(InputError, match="36 of 36 hold labels"):
        suggest_for_project(ws, Ready(ws).prepared, Wish(2, 2))


def test_a_run_alone_is_enough(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", "run0", "2022-06-20")
    change, grid = read_raster(run / "layers/change.tif")
    write_raster(run / "layers/change_probability.tif", np.where(change > 1, 180, 20).astype(np.uint8), grid, nodata=255)
    code, out, err = command("suggest", run, "--blocks", "2", "--patches", "3", "--to", tmp_path / "next", "--json")
    assert code == 0, err
    reply = json.loads(out)
    assert reply["methods"][-1] == "IR-MAD"
    assert len(reply["methods"]) == 2
    assert any("three colours" in note for note in reply["notes"])
    with zipfile.ZipFile(tmp_path / "next" / "suggestions.qgz") as archive:
        assert "../run/layers/image_after.tif" in archive.read("suggestions.qgs").decode()
    code, _, err = command("suggest", run, "--to", tmp_path / "next")
    assert (code, "is there already" in err) == (2, True)
    with pytest.raises(InputError, match="not the folder of a run"):
        suggest_for_run(tmp_path / "next", Wish(folder=tmp_path / "more"))


@pytest.mark.parametrize(
    ("words", "message"),
    [((), "Give a CONFIG"), (("--import", "x"), "--labels"), (("--import", "x", "--labels", "y.shp"), "ends in .gpkg")],
)
def test_bad_input_is_explained(words: tuple[str, ...], message: str) -> None:
    code, _, err = command("suggest", *words)
    assert code == 2
    assert message in " ".join(err.split())


@needs_qgis
def test_qgis_shows_the_form_and_saves_a_verdict(place: Path, tmp_path: Path) -> None:
    name = gpd.read_file(place / "suggestions.gpkg", layer="suggestions")["change_id"][0]
    edit = {"key": "change_id", "sample": name, "column": "verdict", "value": "change"}
    found = read_in_qgis(place / "suggestions.qgz", tmp_path / "form", edit)
    assert (found["read"], found["complaints"]) == (True, [])
    assert all(layer["valid"] for layer in found["layers"])
    assert [layer["name"] for layer in found["layers"]][:2] == ["Patches to judge", "Blocks, by rank"]
    assert found["form"]["groups"][:2] == ["The patch", "Your verdict"]
    assert found["form"]["pictures"]
    assert take_answers(place, tmp_path / "labels.gpkg", who="Ana")[0]["change"] == {"changed": 1}
