"""What `landshift init` makes of the labels in a folder, and what it asks."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from pydantic import ValidationError
from shapely.geometry import box

from landshift.flows.config.labels import PolygonLabels
from landshift.flows.config.project import load_project
from landshift.flows.steps.inspection.init import Initialised, write_config
from landshift.flows.steps.learning.labelling import read_labels, split_labels
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.labels.columns import choose_columns
from landshift.pipeline.labels.polygons import LabelColumns, read_label_polygons
from landshift.pipeline.labels.read import Labels, burn_polygons, require_both_kinds
from landshift.pipeline.legend import LandUse, Legend
from tests.archives import BANDS, SPECTRA, deliver, land, reflectance, write, write_labels

N = 255


def two_images(folder: Path) -> Path:
    for day, after in (("20180615", False), ("20230620", True)):
        write(folder / f"place_{day}.tif", np.stack(list(reflectance(after=after).values())), descriptions=BANDS)
    return folder


def one_date_a_layer(folder: Path, before: tuple[str, str], after: tuple[str, str], *, crs: str = "EPSG:32633") -> Path:
    """Write layers (file, column) of the classes of each date alone."""
    two_images(folder)
    both = gpd.read_file(write_labels(folder / "both.gpkg"))
    (folder / "both.gpkg").unlink()
    for (file, column), date in ((before, "before"), (after, "after")):
        part = both[[date, "geometry"]].rename(columns={date: column})
        (part if date == "before" else part.to_crs(crs)).to_file(folder / file)
    return folder


def init(folder: Path) -> Initialised:
    return write_config(folder, folder / "landshift.yaml")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("lc_2018.gpkg", "class_2018"), ("lc_2023.gpkg", "class_2023")),
        (("z_2018.gpkg", "class"), ("a_2023.gpkg", "class")),
        (("z.gpkg", "Code_18"), ("a.gpkg", "Code_23")),
        (("use_old.gpkg", "use"), ("use_new.gpkg", "use")),
    ],
)
def test_two_layers_of_one_date_each_are_to_be_joined_by_a_line_that_works(
    tmp_path: Path, before: tuple[str, str], after: tuple[str, str]
) -> None:
    folder = one_date_a_layer(tmp_path, before, after, crs="EPSG:3857")
    made = init(folder)
    assert load_project(made.config).labels is None
    (question,) = [q for q in made.to_decide if q.startswith("labels:")]
    assert question.startswith(f"labels: {before[0]} ({before[1]}) and {after[0]} ({after[1]}) hold one date each")
    line = re.search(r'python -c "(.*?)"`', question)
    assert line is not None
    subprocess.run([sys.executable, "-c", line[1]], cwd=folder, check=True)
    made.config.unlink()
    made = init(folder)
    ws = workspace(load_project(made.config), folder, tmp_path / "out")
    assert ws.project.labels is not None
    assert ws.project.labels.polygons is not None
    assert ws.project.labels.polygons.path == Path("labels_joined.gpkg")
    found = read_labels(ws, plan(ws).grid)
    write_labels(folder / "both.gpkg")
    polygons = ws.project.labels.polygons.model_copy(update={"path": Path("both.gpkg")})
    labels = ws.project.labels.model_copy(update={"polygons": polygons})
    right = read_labels(workspace(ws.project.model_copy(update={"labels": labels}), folder, tmp_path / "out"), plan(ws).grid)
    # The other CRS moves borders by less than a pixel.
    known = (found.change != N) & (right.change != N)
    assert known.sum() > 0.9 * (right.change != N).sum()
    assert np.array_equal(found.before[known], right.before[known])
    assert np.array_equal(found.after[known], right.after[known])


def test_the_years_of_two_layers_choose_the_scenes(tmp_path: Path) -> None:
    folder = one_date_a_layer(tmp_path, ("a.gpkg", "class_2016"), ("b.gpkg", "class_2023"))
    write(folder / "place_20160617.tif", np.stack(list(reflectance(after=False).values())), descriptions=BANDS)
    assert init(folder).chosen == ("place_20160617", "place_20230620")


@pytest.mark.parametrize(("file", "column", "key"), [
    ("lc_2018.gpkg", "class", "after_column"), ("use_old.gpkg", "use", "before_column"), ("l.gpkg", "before", "before_column"),
])  # fmt: skip
def test_a_layer_of_one_date_gives_that_date_alone(tmp_path: Path, file: str, column: str, key: str) -> None:
    folder = one_date_a_layer(tmp_path, (file, column), ("gone.gpkg", "other"))
    (folder / "gone.gpkg").unlink()
    made = init(folder)
    assert [q for q in made.to_decide if q.startswith(f"labels: polygons: {key}: the layer has one column of classes:")]
    ws = workspace(load_project(made.config), folder, tmp_path / "out")
    labels = read_labels(ws, plan(ws).grid)
    assert (labels.change == N).all()
    assert (labels.before != N).any() == (key == "before_column")
    split_labels(ws, labels)


def test_one_column_cannot_be_both_dates() -> None:
    with pytest.raises(ValidationError, match=r"`before_column` and `after_column` are both 'class'"):
        PolygonLabels(path=Path("l.gpkg"), before_column="class", after_column="class")
    assert PolygonLabels(path=Path("l.gpkg"), before_column="class").after_column == "after"


def codes(*values: int) -> np.ndarray:
    return np.array([values], dtype=np.uint8)


NONE = codes(N, N, N, N)


@pytest.mark.parametrize(("labels", "message"), [
    (Labels(codes(1, 2, 2, N), codes(1, 2, 2, 1), codes(0, 0, 0, N)),
     r"of 3 pixels .* \(3 by their classes at both dates\), 0 changed and 3 did not, so all are unchanged"),
    (Labels(codes(1, 2, N, N), codes(2, 1, N, N), codes(1, 1, N, N)), r"2 changed and 0 did not, so all are changed"),
    (Labels(codes(1, 2, N, N), NONE, codes(1, 1, N, N)), r"\(0 by their classes at both dates\), 2 changed"),
])  # fmt: skip
def test_labels_without_a_change_or_without_none_are_refused(labels: Labels, message: str) -> None:
    with pytest.raises(InputError, match=message):
        require_both_kinds(labels)


@pytest.mark.parametrize("labels", [
    Labels(codes(1, 2, 1, N), NONE, NONE), Labels(codes(1, 2, N, N), codes(N, N, 1, 2), NONE),
    Labels(codes(1, 2, N, N), codes(2, 2, N, 1), codes(1, 0, N, N)), Labels(NONE, NONE, codes(0, 1, N, N)),
])  # fmt: skip
def test_labels_of_one_date_and_of_both_kinds_pass(labels: Labels) -> None:
    require_both_kinds(labels)


def _same(folder: Path) -> None:
    frame = gpd.read_file(folder / "labels.gpkg")
    frame["after"] = frame["before"]
    frame.to_file(folder / "labels.gpkg")


def _all_other(folder: Path) -> None:
    frame = gpd.read_file(folder / "labels.gpkg")
    names = sorted(set(frame["before"]))
    frame["after"] = [names[(names.index(n) + 1) % len(names)] for n in frame["before"]]
    frame.to_file(folder / "labels.gpkg")


@pytest.mark.parametrize(("spoil", "kind"), [(_same, "unchanged"), (_all_other, "changed")])
def test_init_and_the_division_name_labels_of_one_kind(tmp_path: Path, spoil: Callable[[Path], None], kind: str) -> None:
    folder = two_images(tmp_path)
    write_labels(folder / "labels.gpkg")
    spoil(folder)
    made = init(folder)
    assert [q for q in made.to_decide if f"so all are {kind}" in q]
    ws = workspace(load_project(made.config), folder, tmp_path / "out")
    with pytest.raises(InputError, match=f"so all are {kind} and what changes cannot be learnt"):
        split_labels(ws, read_labels(ws, plan(ws).grid))


CORINE = (211, 311, 112)


def with_codes(folder: Path, *, text: bool = False) -> Path:
    """Write labels whose classes are numbers of a nomenclature."""
    two_images(folder)
    frame = gpd.read_file(write_labels(folder / "corine.gpkg", before="CODE_18", after="CODE_23"))
    numbers = dict(zip(sorted(SPECTRA), CORINE, strict=True))
    for column in ("CODE_18", "CODE_23"):
        frame[column] = [str(numbers[n]) if text else numbers[n] for n in frame[column]]
    frame.to_file(folder / "corine.gpkg")
    return folder


@pytest.mark.parametrize("text", [False, True])
def test_numbers_of_a_nomenclature_become_classes_to_be_named(tmp_path: Path, text: bool) -> None:
    folder = with_codes(tmp_path, text=text)
    made = init(folder)
    project = load_project(made.config)
    assert [(c.code, c.name) for c in project.legend] == [(1, "class 112"), (2, "class 211"), (3, "class 311")]
    assert project.labels is not None
    assert project.labels.polygons is not None
    assert project.labels.polygons.values == {112: 1, 211: 2, 311: 3}
    assert [q for q in made.to_decide if q.startswith(("legend", "labels", "before training"))] == [
        "legend: the labels hold numbers; write what each class is called"
    ]
    ws = workspace(project, folder, tmp_path / "out")
    found = read_labels(ws, plan(ws).grid)
    frame = gpd.read_file(folder / "corine.gpkg")
    inside = frame.geometry.representative_point()
    transform = plan(ws).grid.transform
    for (_, row), point in zip(frame.iterrows(), inside, strict=True):
        x, y = (int(v) for v in ~transform @ (point.x, point.y))
        assert found.before[y, x] == {112: 1, 211: 2, 311: 3}[int(row["CODE_18"])]
        assert found.after[y, x] == {112: 1, 211: 2, 311: 3}[int(row["CODE_23"])]
    split_labels(ws, found)


def polygons_with(folder: Path, meanings: dict[int | str, str | int], **columns: list[object]) -> Labels:
    legend = Legend((LandUse(1, "Forest", "#006400"), LandUse(2, "Cropland", "#ffcc00")))
    grid = grid_of(Affine(10, 0, 0, 0, -10, 0), (1, 4), "EPSG:32633")
    shapes = [box(10 * i, -10, 10 * i + 10, 0) for i in range(4)]
    gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32633").to_file(folder / "l.gpkg")
    change = "state" if "state" in columns else None
    named = LabelColumns(change=change, meanings=meanings)
    return burn_polygons(read_label_polygons({folder / "l.gpkg": N}, grid, legend, named), grid)


def test_values_name_what_stands_in_the_columns(tmp_path: Path) -> None:
    meanings: dict[int | str, str | int] = {211: "Cropland", "212": 2, "Wald  alt": "Forest", 999: "not labelled"}
    before, after = ["211", "wald alt", "999", None], [212, 211, 211, 999]
    found = polygons_with(tmp_path, meanings, before=before, after=after)
    assert found.before.tolist() == [[2, 1, N, N]]
    assert found.after.tolist() == [[2, 2, 2, N]]
    assert found.change.tolist() == [[0, 1, N, N]]
    change: dict[int | str, str | int] = {"ja": "changed", "nein": "unchanged", "?": "not labelled"}
    found = polygons_with(tmp_path, change, state=["ja", "Nein", "?", None])
    assert found.change.tolist() == [[1, 0, N, N]]
    assert polygons_with(tmp_path, {255: "Forest", 0: 2}, before=[255, 0, 0, 0]).before.tolist() == [[1, 2, 2, 2]]


def test_a_value_without_a_name_and_a_name_without_a_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds 311 in 2 features, 112 in 1 features, and `values` does not name them"):
        polygons_with(tmp_path, {211: "Cropland"}, before=[211, 311, 311, 112])
    with pytest.raises(InputError, match=r"'before', `values`: .*'Crops'"):
        polygons_with(tmp_path, {211: "Crops"}, before=[211] * 4)
    with pytest.raises(ValidationError, match="there twice"):
        PolygonLabels.model_validate({"path": "l.gpkg", "values": {211: 1, "211": 2}})


def test_classes_without_a_legend_are_asked_for_by_name(tmp_path: Path) -> None:
    frame = gpd.read_file(with_codes(tmp_path) / "corine.gpkg")
    given = {"before": "CODE_18", "after": "CODE_23", "change": None, "region": None}
    with pytest.raises(InputError, match=r"has the classes in 'CODE_18' and 'CODE_23', and the config has no `legend:`"):
        choose_columns(tmp_path / "corine.gpkg", frame, given, Legend())


@pytest.mark.parametrize("degrees", [False, True])
def test_a_crs_is_proposed_where_a_layer_has_none(tmp_path: Path, degrees: bool) -> None:
    folder = two_images(tmp_path)
    frame = gpd.read_file(write_labels(folder / "labels.gpkg"))
    (folder / "labels.gpkg").unlink()
    (frame.to_crs("EPSG:4326") if degrees else frame).to_file(folder / "labels.shp")
    (folder / "labels.prj").unlink()
    made = init(folder)
    ws = workspace(load_project(made.config), folder, tmp_path / "out")
    assert ws.project.labels is not None
    assert ws.project.labels.polygons is not None
    assert ws.project.labels.polygons.crs == ("EPSG:4326" if degrees else "EPSG:32633")
    (question,) = [q for q in made.to_decide if q.startswith("labels:")]
    assert question.startswith("labels: polygons: crs: labels.shp has no CRS")
    assert "# DECIDE: labels.shp has no CRS" in made.config.read_text()
    split_labels(ws, read_labels(ws, plan(ws).grid))


def test_heights_indices_and_masks_of_quality_are_no_labels(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "safe", "safe")
    random = np.random.default_rng(0)
    names = ("dem", "place_ndvi", "elevation", "scene_udm2", "cloud_mask", "mask_of_clouds", "QA60")
    for name in names:
        floats = name in ("place_ndvi", "elevation")
        values = random.random((128, 128)).astype(np.float32) if floats else random.integers(0, 3, (128, 128)).astype(np.uint8)
        write(folder / f"{name}.tif", values)
    made = init(folder)
    assert next(q for q in made.to_decide if q.startswith("labels:")).startswith("labels: none were found")
    assert load_project(made.config).labels is None
    made.config.unlink()
    write(folder / "truth.tif", (land(after=True) != land(after=False)).astype(np.uint8))
    made = init(folder)
    text = "\n".join(made.to_decide)
    assert not [name for name in names if name in text]
    project = load_project(made.config)
    assert project.labels is not None
    assert project.labels.rasters is not None
    assert project.labels.rasters.change == Path("truth.tif")
