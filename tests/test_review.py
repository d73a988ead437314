"""Reviews as people meet them: a folder for QGIS goes out, is filled in by other programs, and comes back or is refused."""

import json
import shutil
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
from PIL import Image

import landshift.pipeline.register.store as storing
from landshift.flows.steps.register import review as reviewing
from landshift.flows.steps.register.changes import confirm_change
from landshift.flows.steps.register.review import export_review, import_review, review_precision, write_review_labels
from landshift.pipeline.drawing.chips import ChipSource, chip_pair
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import labels_from_polygons
from landshift.pipeline.legend import Legend
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.register.database.geopackage import add_functions
from landshift.pipeline.register.database.tables import HISTORY
from landshift.pipeline.register.drawings import Selection
from landshift.pipeline.register.runs import read_mergeable
from landshift.pipeline.register.store import open_register
from tests.conftest import small_grid
from tests.register_runs import LEGEND, run, states
from tests.small_run import PATCHES, SHAPE
from tests.test_cli import run as command
from tests.test_qgis_project import needs_qgis, read_in_qgis
from tests.test_register_files import folder

TODAY = str(datetime.now(UTC).date())
BIG, LONG, SQUARE, SMALL = "Cropland to Water", "Forest to Cropland", "Forest to Water", "Forest to Cropland"
"""The four patches of the run, by area: 240, 100, 30 and 16 pixels."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A register of two runs, the runs, and a review of all four changes, the largest first."""
    place = tmp_path_factory.mktemp("made")
    folders = [
        folder(place / f"run{n}", f"run{n}", f"202{2 + n}-06-20", patches=p) for n, p in enumerate((PATCHES, PATCHES[:3]))
    ]
    open_register(place / "register.gpkg").merge([read_mergeable(f) for f in folders])
    export_review(place / "register.gpkg", place / "review", folders, who="Eva")
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "moved & 'renamed'")


def filled(review: Path, answers: dict[int, dict[str, Any]], **everywhere: Any) -> Path:
    """Fill the review in with geopandas, which knows nothing of our forms: number of the change to columns."""
    path = review / "review.gpkg" if review.is_dir() else review
    frame = gpd.read_file(path, layer="review")
    for column in ("verdict", "true_change", "reviewer", "reviewed_on", "note"):
        if column in frame:
            frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
    for number, columns in answers.items():
        for column, value in ({"reviewer": "Ana", "reviewed_on": TODAY} | columns | everywhere).items():
            frame.loc[frame["place"] == number, column] = value
    path.unlink()
    frame.to_file(path, layer="review", driver="GPKG", engine="pyogrio")
    return path


ALL = {
    1: {"verdict": "change", "note": "visited"}, 2: {"verdict": "not a change", "true_change": "2>2", "note": "harvest"},
    3: {"verdict": "other class", "true_change": "1>2"}, 4: {"verdict": "cannot be told"},
}  # fmt: skip


def test_a_review_of_another_process_is_not_replaced(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register = place / "register.gpkg"
    before = open_register(register).drawings()

    def meanwhile(output: Path, then: Callable[..., Any]) -> Callable[..., Any]:
        def act(*given: Any, **more: Any) -> Any:
            output.mkdir()
            (output / "review.gpkg").write_text("of somebody else")
            return then(*given, **more)

        return act

    for name, owner in (("write_chips", reviewing), ("draw", storing.Register)):
        output = place / name
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, meanwhile(output, getattr(owner, name)))
            with pytest.raises(InputError, match="is there already"):
                export_review(register, output)
        assert [(p.name, p.read_text()) for p in output.iterdir()] == [("review.gpkg", "of somebody else")]
        if name == "write_chips":
            assert open_register(register).drawings() == before
    assert not list(place.glob(".partial*"))


def test_what_goes_out(made: Path) -> None:
    review = made / "review"
    assert sorted(p.name for p in review.iterdir()) == ["chips", "review.gpkg", "review.json", "review.qgz"]
    frame = gpd.read_file(review / "review.gpkg", layer="review")
    assert frame["kind"].tolist() == [BIG, LONG, SQUARE, SMALL]
    assert frame["area_ha"].round(2).tolist() == [2.40, 1.00, 0.30, 0.16]
    assert frame["state"].tolist() == ["confirmed", "confirmed", "confirmed", "new"]
    assert frame["after_date"].dt.year.tolist() == [2023, 2023, 2023, 2022], "of the run that saw it last"
    assert frame[["verdict", "true_change", "reviewer", "reviewed_on", "note"]].isna().all(axis=None)
    ours = open_register(made / "register.gpkg").changes().set_index("change_id").geometry
    assert shapely.equals_exact(frame.geometry.to_numpy(), ours.loc[frame["change_id"]].to_numpy()).all()
    record = json.loads((review / "review.json").read_text(encoding="utf-8"))
    (drawing,) = open_register(made / "register.gpkg").drawings()
    assert (record["review"], record["order"], record["seed"]) == (drawing.key, "largest", None)
    assert {s["code"]: (s["population"], s["drawn"]) for s in record["strata"]} == {2: (2, 2), 3: (1, 1), 5: (1, 1)}
    assert set(frame["review_id"]) == {drawing.key}
    with zipfile.ZipFile(review / "review.qgz") as archive:
        project = archive.read("review.qgs").decode()
    assert "../run1/layers/image_after.tif" in project
    assert str(made) not in project


def test_other_programs_read_it(made: Path) -> None:
    if shutil.which("ogrinfo") is None:
        pytest.skip("ogrinfo is not installed")
    said = subprocess.run(
        ["ogrinfo", "-al", str(made / "review" / "review.gpkg"), "review"], capture_output=True, text=True, check=True
    )
    assert said.stderr == ""
    assert "Feature Count: 4" in said.stdout
    assert "reviewed_on: Date" in said.stdout


def test_a_picture_shows_both_dates_with_the_outline(tmp_path: Path) -> None:
    shown = np.zeros((2, 3, 40, 40), np.uint8)
    shown[0, 0], shown[1, 2] = 200, 200
    paths = [write_raster(tmp_path / f"{n}.tif", shown[n], small_grid(40, 40), nodata=0) for n in (0, 1)]
    with ChipSource(paths[0]) as before, ChipSource(paths[1]) as after:
        picture = np.asarray(Image.open(BytesIO(chip_pair(before, after, shapely.box(16, 16, 24, 24), 240))), dtype=int)
    assert picture.shape == (240, 486, 3)
    # 24 pixels of the image are 240 of the picture: the patch reaches from its 80th to its 160th.
    assert np.abs(picture[120, 120] - [200, 0, 0]).max() < 12
    assert np.abs(picture[120, 366] - [0, 0, 200]).max() < 12
    assert picture[120, 80].min() > 150, "a white line to the left of the patch"
    assert picture[80, 366].min() > 150, "a white line above it"
    assert np.abs(picture[40, 120] - [200, 0, 0]).max() < 12


def test_pictures_are_cut_from_where_the_change_is(made: Path) -> None:
    """The largest change covers rows 30 to 50 and columns 10 to 22; its picture begins at row 22 and column -2."""
    picture = np.asarray(Image.open(made / "review" / "chips" / "00001.jpg"), dtype=int)
    for epoch, left in (("before", 0), ("after", 426)):
        image = read_rgb(made / "run1/layers" / f"image_{epoch}.tif")
        for row, column in ((24, 5), (24, 30), (55, 5)):
            y, x = int((row - 22 + 0.5) * 420 / 36), left + int((column + 2 + 0.5) * 420 / 36)
            assert np.abs(picture[y, x] - image[:, row, column]).max() < 40
    assert (picture[:, :10] == picture[0, 0]).all(), "beyond the map it is grey"


def read_rgb(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read().astype(int)


def test_pictures_are_missing_where_the_run_is_and_that_is_said(place: Path, tmp_path: Path) -> None:
    answer, lines = export_review(place / "register.gpkg", tmp_path / "half", [place / "run1"])
    assert (answer["changes"], answer["without_picture"], answer["runs_lacking"]) == (4, 1, ["run0"])
    assert "1 of them have no picture" in " ".join(lines)
    frame = gpd.read_file(tmp_path / "half" / "review.gpkg", layer="review")
    assert frame["chip"].isna().tolist() == [False, False, False, True]
    shutil.rmtree(place / "run0")
    shutil.rmtree(place / "run1")
    assert export_review(place / "register.gpkg", tmp_path / "none")[0]["without_picture"] == 4
    filled(tmp_path / "none", {1: {"verdict": "change"}})
    assert import_review(place / "register.gpkg", tmp_path / "none")[0]["taken"] == 1


def test_what_comes_back(place: Path) -> None:
    register = place / "register.gpkg"
    filled(place / "review", ALL)
    answer, lines = import_review(register, place / "review")
    assert (answer["taken"], answer["known"], answer["states"]) == (4, 0, {"rejected": 2})
    changes = open_register(register).changes().sort_values("area_ha", ascending=False)
    assert changes["state"].tolist() == ["confirmed", "rejected", "rejected", "new"]
    assert changes["reason"].tolist() == [
        "reviewed by Ana: visited", "is Cropland on both dates: harvest", "is Forest to Cropland", ""]  # fmt: skip
    history = open_register(register).table(HISTORY).tail(4)
    assert sorted(history["event"]) == ["rejected", "rejected", "reviewed", "reviewed"]
    assert set(history["who"]) == {"Ana"}
    said = " ".join(lines)
    assert "This is no estimate for all 4 changes" in said
    assert "of those reviewed (3; 1 could not be decided), 33% are as mapped and 67% changed at all" in said

    before = register.read_bytes()
    again, _ = import_review(register, place / "review" / "review.gpkg")
    assert (again["taken"], again["known"], again["states"], again["conflicts"]) == (0, 4, {}, [])
    assert register.read_bytes() == before
    with pytest.raises(InputError, match="waits to be reviewed"):
        export_review(register, place / "more")
    assert len(open_register(register).drawings()) == 1
    answer, _ = export_review(register, place / "more", selection=Selection(("rejected",), again=True))
    # Within a second both have one time, and either may come first.
    given_out = {len(d.items): d.again for d in open_register(register).drawings()}
    assert (answer["changes"], given_out) == (2, {4: False, 2: True})


def test_gdal_can_fill_it_in_as_well(place: Path) -> None:
    if shutil.which("ogrinfo") is None:
        pytest.skip("ogrinfo is not installed")
    sql = f"UPDATE review SET verdict = 'change', reviewer = 'Ana', reviewed_on = '{TODAY}' WHERE place = 2"
    subprocess.run(["ogrinfo", str(place / "review" / "review.gpkg"), "-sql", sql], check=True, capture_output=True)
    assert import_review(place / "register.gpkg", place / "review")[0]["taken"] == 1


def test_saved_in_another_crs_it_is_the_same(place: Path) -> None:
    path = filled(place / "review", ALL)
    gpd.read_file(path).to_crs(4326).to_file(place / "saved.gpkg", layer="saved", engine="pyogrio")
    assert import_review(place / "register.gpkg", place / "saved.gpkg")[0]["taken"] == 4


def test_half_filled_rows_wait(place: Path) -> None:
    path = filled(
        place / "review",
        {
            1: {"verdict": "change", "reviewer": None}, 2: {"verdict": "other class"},
            3: {"verdict": "change", "reviewed_on": None}, 4: {"verdict": None, "note": "hm"},
        },
    )  # fmt: skip
    answer, lines = import_review(place / "register.gpkg", path)
    assert (answer["taken"], answer["not_reviewed"]) == (0, 0)
    assert [row.split(" ")[1] for row in answer["half_filled"]] == ["1", "2", "3", "4"]
    for words, row in zip(
        ("reviewer is missing", "these are missing", "date", "no verdict"), answer["half_filled"], strict=True
    ):
        assert words in row
    assert "half-filled" in " ".join(lines)
    assert import_review(place / "register.gpkg", path, who="Ben")[0]["taken"] == 1
    assert open_register(place / "register.gpkg").reviews()[0].who == "Ben"


def test_what_an_earlier_verdict_left_behind_is_not_taken(place: Path) -> None:
    filled(
        place / "review", {1: {"verdict": "change", "true_change": "1>1"}, 2: {"verdict": "not a change", "true_change": "1>3"}}
    )
    answer, _ = import_review(place / "register.gpkg", place / "review")
    assert answer["taken"] == 1
    assert "what it is instead is one" in answer["half_filled"][0]
    (review,) = open_register(place / "register.gpkg").reviews()
    assert (review.before_code, review.after_code) == (2, 3), "as mapped: Cropland to Water"


def edited(change: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]) -> Callable[[Path], None]:
    return lambda path: change(gpd.read_file(path)).to_file(path, layer="review", engine="pyogrio")


def changed(**columns: Any) -> Callable[[Path], None]:
    def change(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        for column, value in columns.items():
            frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
            frame.loc[1, column] = value
        return frame

    return edited(change)


@edited
def reshaped(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    frame.loc[0, "geometry"] = frame.geometry[0].union(shapely.box(*(frame.geometry[0].bounds[:2] * 2)).buffer(10))
    return frame


swapped = edited(lambda frame: frame.assign(change_id=frame["change_id"].to_numpy()[::-1]))
doubled = edited(lambda frame: pd.concat([frame, frame.iloc[:1]]))


def without(column: str) -> Callable[[Path], None]:
    return edited(lambda frame: frame.drop(columns=column))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (changed(change_id="place-1-1"), "was not given out in this review"), (changed(change_id=None), "was not given out"),
        (reshaped, "the outline of"), (swapped, "the outline of"), (doubled, "more than once"),
        (changed(verdict="yes"), "expected one of 'cannot be told', 'change'"), (changed(verdict="Change"), "expected one of"),
        (changed(true_change="1>9"), "column true_change: '1>9'"), (changed(review_id="other"), "mixes 2 reviews"),
        (changed(reviewed_on=str(date.today() + timedelta(days=3))), "to today"),
        (changed(reviewed_on="2020-01-01"), "when the changes were given"), (changed(reviewed_on="soon"), "soon"),
        (changed(reviewed_on=datetime.now(UTC).strftime("%m/%d/%Y")), "column reviewed_on"),
        (without("verdict"), "lacks the column verdict"), (without("note"), "lacks the column note"),
        (without("review_id"), "no row with a `review_id`"), (lambda p: p.write_text("review"), "is not accepted"),
    ],
)  # fmt: skip
def test_a_file_that_was_tampered_with_is_refused_whole(place: Path, spoil: Callable[[Path], None], message: str) -> None:
    path = filled(place / "review", ALL)
    spoil(path)
    before = (place / "register.gpkg").read_bytes()
    with pytest.raises(InputError, match=message):
        import_review(place / "register.gpkg", place / "review")
    assert (place / "register.gpkg").read_bytes() == before


def test_a_file_of_another_register_is_refused(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gpkg"
    open_register(other).merge([read_mergeable(place / "run0"), read_mergeable(place / "run1")])
    filled(place / "review", ALL)
    with pytest.raises(InputError, match="belongs to another register"):
        import_review(other, place / "review")


def test_reviewers_who_disagree_are_named(place: Path) -> None:
    shutil.copytree(place / "review", place / "second")
    filled(place / "review", ALL)
    filled(
        place / "second", {1: {"verdict": "not a change"}, 2: {"verdict": "not a change", "true_change": "2>2"}}, reviewer="Ben"
    )
    import_review(place / "register.gpkg", place / "review")
    answer, lines = import_review(place / "register.gpkg", place / "second")
    (conflict,) = answer["conflicts"]
    assert [s["verdict"] for s in conflict["said"]] == ["change", "not a change"]
    assert conflict["counts"] == "Ben"
    assert "change (Ana, " in " ".join(lines)
    before = (place / "register.gpkg").read_bytes()
    for review in ("review", "second"):
        assert import_review(place / "register.gpkg", place / review)[0]["taken"] == 0
    assert (place / "register.gpkg").read_bytes() == before


def test_a_review_of_what_has_grown_since_is_still_taken(place: Path) -> None:
    """The register goes on while people review: verdicts are about what they saw."""
    register = place / "register.gpkg"
    grown = [((slice(5, 15), slice(5, 17)), 2, 0.8), *PATCHES[1:]]
    open_register(register).merge([read_mergeable(folder(place / "run2", "run2", "2024-06-20", patches=grown))])
    filled(place / "review", ALL)
    assert import_review(register, place / "review")[0]["taken"] == 4
    write_review_labels(register, place / "labels.gpkg")
    labels = gpd.read_file(place / "labels.gpkg", layer="labels").set_index("reason")
    assert labels.geometry["harvest"].area == pytest.approx(100 * 100, rel=0.02), "as it was when it was judged"


def test_precision_of_a_random_drawing(place: Path) -> None:
    register = place / "register.gpkg"
    export_review(register, place / "random", selection=Selection(ranking="random", seed=7))
    assert review_precision(register)[1] == ["No change was reviewed."]
    filled(place / "random", {n: {"verdict": v} for n, v in enumerate(("change", "change", "not a change", "change"), start=1)})
    answer, lines = import_review(register, place / "random")
    assert answer["precision"]["total"]["right"] == {"estimate": 0.75, "low": 0.75, "high": 0.75}
    said = " ".join(lines)
    assert "Drawn at random" in said
    assert (
        "(seed 7) from 4 changes that were new or confirmed and not reviewed before: 75% (75% to 75%) of all are as mapped"
        in said
    )
    answer, lines = review_precision(register)
    assert (answer["reviewed"], answer["verdicts"]["not a change"], answer["rejected_share"]) == (4, 1, 0.25)
    assert len(answer["drawings"]) == 1


def test_labels_are_read_by_training(place: Path) -> None:
    register = place / "register.gpkg"
    filled(place / "review", ALL | {4: {"verdict": "not a change"}})
    import_review(register, place / "review")
    answer, lines = write_review_labels(register, place / "labels.gpkg")
    assert (answer["change"], answer["without_class"]) == ({"changed": 2, "unchanged": 2}, 1)
    assert "2 pairs of dates" in " ".join(lines)
    grid = small_grid(*SHAPE)
    labels = labels_from_polygons(place / "labels.gpkg", grid, LEGEND, change_column="change", region_column="region")
    before, after, change = (np.full(SHAPE, 255) for _ in range(3))
    before[30:50, 10:22], after[30:50, 10:22], change[30:50, 10:22] = 2, 3, 1  # as mapped
    before[5:15, 5:15], after[5:15, 5:15], change[5:15, 5:15] = 2, 2, 0  # Cropland all along, says the reviewer
    before[20:26, 40:45], after[20:26, 40:45], change[20:26, 40:45] = 1, 2, 1  # another change than mapped
    change[40:44, 60:64] = 0  # no change; the class is not known, so nobody guesses it
    for ours, expected in ((labels.before, before), (labels.after, after), (labels.change, change)):
        # Outlines are simplified by about a pixel at the corners of patches.
        assert (ours != expected).mean() < 0.004
        assert set(np.unique(ours)) == set(np.unique(expected))
    assert labels.region_names == ("place",)
    write_review_labels(register, place / "of_2023.gpkg", project="place", before="2020-06-15", after="2023-06-20")
    frame = gpd.read_file(place / "of_2023.gpkg", layer="labels")
    assert (len(frame), set(frame["reviewer"])) == (3, {"Ana"})
    with pytest.raises(InputError, match="no verdict that could be a label of these runs"):
        write_review_labels(register, place / "none.gpkg", project="elsewhere")


def test_a_change_that_was_confirmed_by_hand_is_a_label_with_classes(place: Path) -> None:
    """`register confirm` says the same as "change, as mapped" in QGIS, so neither the label nor anybody else differs."""
    register = place / "register.gpkg"
    changes = open_register(register).changes().set_index("change_id")
    filled(place / "review", {1: {"verdict": "change"}})
    import_review(register, place / "review")
    (imported,) = {r.change_id for r in open_register(register).reviews()}
    by_hand = next(i for i in sorted(changes.index) if i != imported)
    confirm_change(register, by_hand, "visited", "Ben")
    answer, lines = write_review_labels(register, place / "labels.gpkg")
    labels = gpd.read_file(place / "labels.gpkg", layer="labels").set_index("change_id")
    for name in (imported, by_hand):
        mapped = changes.loc[name, ["from_name", "to_name"]].tolist()
        assert labels.loc[name, ["before", "after"]].tolist() == mapped
    assert answer["without_class"] == 0
    assert not any("without a class" in line for line in lines)


def test_a_project_without_classes_is_asked_whether_and_not_what(tmp_path: Path) -> None:
    register, grid = tmp_path / "register.gpkg", small_grid(4, 8)
    open_register(register).merge([run(("22....22", "22....22", "........", "........"), "2021-06-15", legend=Legend())])
    export_review(register, tmp_path / "review", selection=Selection(ranking="random", seed=1))
    frame = gpd.read_file(tmp_path / "review" / "review.gpkg", layer="review")
    assert "true_change" not in frame
    left = int(frame.loc[frame.geometry.bounds["minx"].idxmin(), "place"])
    filled(tmp_path / "review", {left: {"verdict": "change"}, 3 - left: {"verdict": "not a change", "note": "a shadow"}})
    import_review(register, tmp_path / "review")
    assert sorted(states(open_register(register).changes()).values()) == ["confirmed", "rejected"]
    write_review_labels(register, tmp_path / "labels.gpkg")
    labels = labels_from_polygons(tmp_path / "labels.gpkg", grid, Legend(), change_column="change")
    expected = np.full((4, 8), 255)
    expected[:2, :2], expected[:2, 6:] = 1, 0
    assert labels.change.tolist() == expected.tolist()
    filled(tmp_path / "review", {1: {"verdict": "other class"}})
    with pytest.raises(InputError, match="expected one of"):
        import_review(register, tmp_path / "review")


def test_the_command_line_from_end_to_end(place: Path) -> None:
    register, review = place / "register.gpkg", place / "again"
    words = ("register", "review")
    code, out, err = command(*words, "export", register, place / "run0", place / "run1", "--output", review, "--limit", "2")
    assert (code, "rror" in err) == (0, False)
    assert "2 of the 4 changes" in out
    filled(review, {1: {"verdict": "change"}, 2: {"verdict": "not a change"}})
    code, out, _ = command(*words, "import", register, review, "--json")
    assert (code, json.loads(out)["taken"]) == (0, 2)
    assert "2 changes were reviewed (50% rejected)" in command(*words, "precision", register)[1]
    assert command(*words, "labels", register, "--output", place / "labels.geojson")[0] == 0
    assert len(pyogrio.read_dataframe(place / "labels.geojson")) == 2
    name = gpd.read_file(review / "review.gpkg", layer="review")["change_id"][1]
    code, out, _ = command("register", "confirm", register, name, "--reason", "visited")
    assert (code, "it is confirmed now" in out) == (0, True)
    shown = command("register", "show", register, name)[1]
    assert "not a change  (Ana)" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("export", "--output", "there"), "is there already"), (("export", "--state", "old"), "expected one of new"),
        (("export", "--order", "best"), "expected one of largest"), (("export", "--limit", "9999"), "can be reviewed at once"),
        (("export", "--order", "random-by-kind", "--limit", "3"), "3 kinds of change"),
        (("export", "."), "is not the folder of a run"),
        (("import", "."), "review.gpkg"), (("labels", "--output", "x.shp"), "ends in .gpkg or .geojson"),
        (("labels", "--output", "x.gpkg"), "no verdict that could be a label"),
    ],
)  # fmt: skip
def test_bad_input_is_said_and_changes_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    before = (made / "register.gpkg").read_bytes()
    code, _, err = command("register", "review", words[0], made / "register.gpkg", *words[1:])
    assert code == 2
    assert message in " ".join(err.split())
    assert (made / "register.gpkg").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


@needs_qgis
def test_qgis_shows_the_form_and_saves_a_verdict(place: Path, tmp_path: Path) -> None:
    review = place / "review"
    name = gpd.read_file(review / "review.gpkg", layer="review")["change_id"][0]
    edit = {"key": "change_id", "sample": name, "column": "verdict", "value": "not a change"}
    said = read_in_qgis(review / "review.qgz", tmp_path / "form", edit)
    assert (said["read"], said["complaints"]) == (True, [])
    assert all(layer["valid"] for layer in said["layers"])
    assert said["layers"][0]["name"] == "Changes to review"
    assert [label for _, label, _ in said["layers"][0]["categories"]] == [
        "Not reviewed yet", "Change", "Not a change", "Change of other classes", "Cannot be told"]  # fmt: skip
    left, bottom, right, top = gpd.read_file(review / "review.gpkg", layer="review").geometry[0].bounds
    west, south, east, north = said["view"]
    assert west < left < right < east, "the first change is what one sees first"
    assert south < bottom < top < north
    form = said["form"]
    assert form["groups"][:2] == ["The change as it is mapped", "Your verdict"]
    listed = form["fields"]["true_change"]["config"]["map"]
    assert {"Forest to Water": "1>3"} in listed
    assert {"Water on both dates": "3>3"} in listed
    assert form["fields"]["change_id"]["read_only"]
    assert not form["fields"]["verdict"]["read_only"]
    assert form["pictures"], "the picture is shown wherever the folder was moved to"
    assert "chips/00001.jpg" in form["tip"]
    assert said["saved"]
    with closing(sqlite3.connect(review / "review.gpkg")) as database:
        add_functions(database)
        row = database.execute("SELECT verdict, reviewed_on FROM review WHERE place = 1").fetchone()
    assert row == ("not a change", TODAY)
    stored = []
    for column, value in (("true_change", "2>2"), ("verdict", "change")):
        read_in_qgis(review / "review.qgz", tmp_path / "form", edit | {"column": column, "value": value})
        with closing(sqlite3.connect(review / "review.gpkg")) as database:
            stored.append(database.execute("SELECT verdict, true_change FROM review WHERE place = 1").fetchone())
    assert stored == [("not a change", "2>2"), ("change", None)], "what stood there for another verdict goes with it"
    answer, _ = import_review(place / "register.gpkg", review, who="Ana")
    assert (answer["taken"], answer["states"]) == (1, {})
