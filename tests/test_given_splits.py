"""Splits that labels come with: by a column, a table, zones or folders; kept as they are, with their overlaps stated."""

from collections.abc import Callable
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from shapely.geometry import box

from landshift.flows.config.sections import SplitConfig
from landshift.flows.steps.learning.given import label_hashes
from landshift.flows.steps.learning.labelling import LABELS, SPLITS, LabelRecord, divide_labels, read_masks
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.given import role_reader
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.records import read_record
from tests.conftest import Territory

ROLE = [("train", 0), ("val", 16), ("test", 32)]
"""Name and first column of the stripes, each 8 pixels wide and 8 away from the next."""
N, TRAIN, VALIDATION, TEST = 255, 0, 1, 2


def stripe(left: int, top: int = 0, width: int = 8, height: int = 20) -> Any:
    west, north = 300_000 + 10 * left, 3_600_000 - 10 * top
    return box(west, north - 10 * height, west + 10 * width, north)


def polygons(shift: int = 0) -> gpd.GeoDataFrame:
    """A changed and an unchanged polygon for each role; those of the test lie `shift` pixels further left."""
    rows = [
        {"plot": f"{name}-{kind}", "change": kind, "split": name, "geometry": stripe(left - shift * (name == "test"), top)}
        for name, left in ROLE
        for kind, top in (("changed", 0), ("unchanged", 20))
    ]
    return gpd.GeoDataFrame(rows, crs="EPSG:32651")


def expected(shift: int = 0) -> np.ndarray:
    out = np.full((40, 48), N)
    for role, (name, left) in enumerate(ROLE):
        start = left - shift * (name == "test")
        out[:, start : start + 8] = role
    return out


class Project:
    """A territory whose labels come with a split."""

    def __init__(self, territory: Territory) -> None:
        self.territory, self.data = territory, territory.data
        self.territory.config |= {"labels": {"polygons": {"path": "labels.gpkg", "change_column": "change"}}}

    def write(self, frame: gpd.GeoDataFrame, name: str = "labels.gpkg", **options: Any) -> None:
        (self.data / name).parent.mkdir(parents=True, exist_ok=True)
        frame.to_file(self.data / name, **options)

    def divide(self, **split: Any) -> tuple[np.ndarray, LabelRecord]:
        self.territory.config["split"] = {"buffer_px": 4, "min_pixels": 5, "block_px": 8} | split
        ws = self.territory.workspace()
        divide_labels(ws, self.territory.grid)
        return read_masks(ws).role, read_record(ws.training / SPLITS, LabelRecord)

    def refusal(self, **split: Any) -> str:
        with pytest.raises(InputError) as error:
            self.divide(**split)
        return str(error.value)


@pytest.fixture
def project(territory: Territory) -> Project:
    return Project(territory)


def test_a_column_states_the_role_of_each_polygon(project: Project) -> None:
    project.write(polygons())
    role, record = project.divide(by="column")
    np.testing.assert_array_equal(role, expected())
    assert record.splits.by == "column"
    assert record.splits.notes == ()
    assert {k: dict(v) for k, v in record.splits.counts.items()} == {
        name: {"unchanged": 160, "changed": 160} for name in ("train", "validation", "test")
    }
    assert {(b.column, b.role) for b in record.splits.blocks} == {(0, "train"), (2, "validation"), (4, "test")}


@pytest.mark.parametrize("words", [("Training", "VALID", "testing"), ("train", "dev", "Test"), (1, 2, 3)])
def test_words_for_roles_and_those_that_the_config_names(project: Project, words: tuple[object, ...]) -> None:
    frame = polygons()
    project.write(frame.assign(fold=[w for w in words for _ in range(2)]).drop(columns="split"))
    more: dict[str, Any] = {"roles": {1: "train", 2: "validation", 3: "test"}} if words[0] == 1 else {}
    role, _ = project.divide(by="column", column="fold", **more)
    np.testing.assert_array_equal(role, expected())


def test_other_words_are_refused_with_what_was_found(project: Project) -> None:
    project.write(polygons().assign(split=["train", "train", "val", "val", "hold-out", "hold-out"]))
    text = project.refusal(by="column")
    assert "column 'split': 'hold-out' is not a role; expected one of train, training, validation" in text
    role, _ = project.divide(by="column", roles={"hold-out": "test"})
    np.testing.assert_array_equal(role, expected())
    assert "no column 'fold'" in project.refusal(by="column", column="fold")


def test_neighbours_of_two_roles_are_kept_and_counted(project: Project) -> None:
    """The test begins 3 pixels right of the validation: the first of its 8 columns lies within 4 pixels."""
    project.write(polygons(shift=5))
    role, record = project.divide(by="column")
    np.testing.assert_array_equal(role, expected(shift=5))
    near, pixels = record.splits.notes
    assert near == "2 of 2 test polygons lie within 4 pixels of validation polygons (feature numbers 5 beside 3, 6 beside 3)."
    assert pixels.startswith(
        "Given split: 40 of 320 test pixels (12 %) lie within 4 pixels (`split: buffer_px`) of validation labels"
    )


def test_what_overlaps_is_never_both_trained_and_tested(project: Project) -> None:
    frame = polygons()
    over = frame.iloc[:2].assign(split="test", geometry=[stripe(4, 0), stripe(4, 20)])
    project.write(gpd.GeoDataFrame(pd.concat([frame, over]), crs=frame.crs))
    role, record = project.divide(by="column")
    assert (role[:, :12] == [TRAIN] * 4 + [TEST] * 8).all()
    assert "Polygons of two roles overlap on 160 pixels, which count for the later role only." in record.splits.notes


def test_polygons_without_a_role_are_not_used(project: Project) -> None:
    frame = polygons()
    extra = frame.iloc[:1].assign(split=None, geometry=[stripe(41, 0, width=4)])
    project.write(gpd.GeoDataFrame(pd.concat([frame, extra]), crs=frame.crs))
    role, record = project.divide(by="column")
    assert (role[:, 41:45] == N).all()
    assert record.splits.buffered == 80
    assert "1 of 7 polygons have no role, and are not used." in record.splits.notes


def test_a_role_without_labels_is_refused(project: Project) -> None:
    project.write(polygons().iloc[:4])
    text = project.refusal(by="column")
    assert "no labelled pixels for test: train 160 / 160 / 0, validation 160 / 160 / 0, test 0 / 0 / 0" in text
    project.write(polygons().iloc[[0, 1, 2, 3, 4]])
    assert "no unchanged pixels for test" in project.refusal(by="column")


def test_few_pixels_of_a_class_are_named(project: Project) -> None:
    project.write(polygons())
    _, record = project.divide(by="column", min_pixels=161)
    assert (
        "fewer than 161 pixels (`split: min_pixels`) of unchanged 160 in train; changed 160 in train" in record.splits.notes[0]
    )


def test_a_table_names_the_roles_of_plots(project: Project) -> None:
    project.write(polygons().drop(columns="split"))
    rows = [f"{name}-{kind},{name}" for name, _ in ROLE for kind in ("changed", "unchanged")]
    (project.data / "split.csv").write_text("\n".join(["plot,split", *rows]), encoding="utf-8-sig")
    role, record = project.divide(by="file", file="split.csv")
    np.testing.assert_array_equal(role, expected())
    assert record.splits.by == "file"
    (project.data / "split.csv").write_text("\n".join(["plot,split", *rows, "train-changed,test"]))
    assert "plot 'train-changed' is there twice, with two roles" in project.refusal(by="file", file="split.csv")
    (project.data / "split.csv").write_text("plot,part\na,train")
    assert "has the columns plot, part; expected 'split'" in project.refusal(by="file", file="split.csv")
    (project.data / "split.csv").write_text("place,split\na,train")
    assert "no column 'place'" in project.refusal(by="file", file="split.csv")


def write_zones(project: Project) -> dict[str, Any]:
    zones = gpd.GeoDataFrame(
        {"split": [n for n, _ in ROLE]}, geometry=[stripe(x, 0, 10, 40) for _, x in ROLE], crs="EPSG:32651"
    )
    project.write(zones.to_crs("EPSG:4326"), "zones.geojson")
    return {"file": "zones.geojson"}


def write_zone_raster(project: Project) -> dict[str, Any]:
    numbers = np.select([expected() == role for role in range(3)], [1, 2, 3], 0).astype(np.uint8)
    write_raster(project.data / "zones.tif", numbers, project.territory.grid, nodata=0)
    return {"file": "zones.tif", "roles": {1: "train", 2: "validation", 3: "test"}}


@pytest.mark.parametrize("write", [write_zones, write_zone_raster])
@pytest.mark.parametrize("kind", ["polygons", "rasters"])
def test_zones_divide_polygons_and_rasters(project: Project, kind: str, write: Callable[[Project], dict[str, Any]]) -> None:
    project.write(polygons().drop(columns="split"))
    if kind == "rasters":
        change = np.where(expected() == N, 0, np.where(np.arange(40)[:, None] < 20, 2, 1)).astype(np.uint8)
        project.territory.write("change.tif", change, descriptions=None)
        project.territory.config["labels"] = {"rasters": {"change": "change.tif", "values": {1: "unchanged", 2: "changed"}}}
    role, _ = project.divide(by="file", **write(project))
    np.testing.assert_array_equal(role, expected())


def test_a_raster_of_zones_needs_its_numbers_named(project: Project) -> None:
    project.write(polygons())
    split = write_zone_raster(project) | {"roles": {1: "train"}}
    assert "`roles` does not name them (only 1)" in project.refusal(by="file", **split)


def test_folders_state_the_role_of_polygons(project: Project) -> None:
    for name, part in polygons().groupby("split"):
        project.write(part.drop(columns="split"), f"labels/{name}/labels.geojson")
    project.territory.config["labels"]["polygons"]["path"] = "labels"
    role, record = project.divide(by="folder")
    np.testing.assert_array_equal(role, expected())
    assert record.labels.change == {"unchanged": 480, "changed": 480}
    ws = project.territory.workspace()
    assert sorted(label_hashes(ws)) == [f"polygons {name}/labels.geojson" for name in ("test", "train", "val")]
    before = (ws.training / LABELS).read_bytes()
    project.write(polygons(shift=2).iloc[4:], "labels/test/labels.geojson")
    project.divide(by="folder")
    assert (ws.training / LABELS).read_bytes() != before


def test_folders_state_the_role_of_rasters(project: Project) -> None:
    change = np.where(np.arange(40)[:, None] < 20, 2, 1).astype(np.uint8)
    for role, (name, _) in enumerate(ROLE):
        (project.data / "labels" / name).mkdir(parents=True)
        project.territory.write(
            f"labels/{name}/a.tif", np.where(expected() == role, change, 0).astype(np.uint8), descriptions=None
        )
    project.territory.config["labels"] = {"rasters": {"change": "labels", "values": {1: "unchanged", 2: "changed"}}}
    role_found, _ = project.divide(by="folder")
    np.testing.assert_array_equal(role_found, expected())


def test_a_missing_folder_is_named(project: Project) -> None:
    project.write(polygons(), "labels/train/labels.gpkg")
    project.write(polygons(), "labels/other/labels.gpkg")
    project.territory.config["labels"]["polygons"]["path"] = "labels"
    assert "has no validation and no test folder" in project.refusal(by="folder")
    assert "is a folder; expected one file. If train, val and test folders" in project.refusal(by="blocks")


def test_a_column_needs_polygons(project: Project) -> None:
    project.territory.write(
        "change.tif", np.ones((40, 48), dtype=np.uint8) + (np.arange(48) % 2).astype(np.uint8), descriptions=None
    )
    project.territory.config["labels"] = {"rasters": {"change": "change.tif", "values": {1: "unchanged", 2: "changed"}}}
    assert "`split: by: column` is about polygons" in project.refusal(by="column")


def test_keys_of_another_kind_are_refused() -> None:
    for wrong, why in (
        ({"by": "file"}, "belong together"), ({"file": "a.csv"}, "belong together"),
        ({"column": "fold"}, "`column` belongs to `by: column` or `by: file`, and this is `by: blocks`"),
        ({"by": "folder", "roles": {"x": "train"}}, "`roles` belongs to"),
        ({"by": "column", "roles": {"x": "trian"}}, "'train'"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match=why):
            SplitConfig.model_validate(wrong)


def test_roles_are_read_whatever_their_capitals() -> None:
    read = role_reader({"A": "train", 7: "unused"})
    assert [read(v) for v in ("TRAIN", "Val", "test", "a", 7, "7")] == [TRAIN, VALIDATION, TEST, TRAIN, N, N]
