"""What `landshift init` makes of the labels in a folder, and what it asks."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from pydantic import ValidationError

from landshift.flows.config.labels import PolygonLabels
from landshift.flows.config.project import load_project
from landshift.flows.steps.inspection.init import Initialised, write_config
from landshift.flows.steps.learning.labelling import read_labels, split_labels
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels, require_both_kinds
from tests.archives import BANDS, reflectance, write, write_labels

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
