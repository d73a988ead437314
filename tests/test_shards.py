"""Shards: they partition the tile rows, and what is joined is what one process would have written, byte by byte."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landshift.flows.detect import detect
from landshift.flows.prepare import prepare
from landshift.flows.steps.detection import shards as sharding
from landshift.flows.steps.detection.settle import settle
from landshift.flows.steps.detection.shards import SHARDS, Shard, detect_shard, shards_of
from landshift.flows.steps.project.published import config_as_published
from landshift.flows.steps.publication.cautions import warn_of_phases
from landshift.models.use import steadiness
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.manifest import Manifest
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.raster.write import join_rows, write_raster
from landshift.pipeline.records import content_of
from landshift.pipeline.tiles import row_groups
from tests.conftest import small_grid
from tests.untrained import SIZE, Untrained

TIMES = ("created", "seconds", "cost")
"""In run.json: what differs between two runs that are the same."""
MOMENT = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
"""In a GeoPackage: when a layer was written."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Untrained:
    return Untrained(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="module")
def whole(place: Untrained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that one process makes in one go."""
    output = tmp_path_factory.mktemp("whole")
    return detect(place.project(), place.data, output, model=place.model).run


@given(st.integers(1, 400), st.integers(1, 200))
def test_groups_partition_the_tile_rows(rows: int, groups: int) -> None:
    made = row_groups(rows, groups)
    assert [row for group in made for row in group] == list(range(rows))
    assert len(made) == min(rows, groups)
    assert max(map(len, made)) - min(map(len, made)) <= 1


@pytest.mark.parametrize(("rows", "groups"), [(0, 1), (3, 0)])
def test_nothing_cannot_be_divided(rows: int, groups: int) -> None:
    with pytest.raises(ValueError, match="cannot be divided"):
        row_groups(rows, groups)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(["uint8", "float32"]), st.integers(1, 1300), st.integers(1, 40))
def test_joined_strips_are_the_raster_byte_by_byte(
    tmp_path: Path, data: st.DataObject, dtype: str, height: int, width: int
) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width)).astype(dtype)
    if dtype == "float32":
        pixels[pixels > 200] = np.nan
    nodata = float("nan") if dtype == "float32" else 255
    grid = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (height, width), "EPSG:32651")
    cuts = sorted(data.draw(st.sets(st.integers(1, max(height - 1, 1)), max_size=4)) - {height})
    edges = [0, *cuts, height]
    strips = [
        write_raster(tmp_path / f"{top}.tif", pixels[top:bottom], grid[top:bottom], nodata=nodata)
        for top, bottom in itertools.pairwise(edges)
    ]
    joined = join_rows(tmp_path / "joined.tif", grid, strips)
    found, its_grid = read_raster(joined)
    assert (found.dtype, its_grid) == (np.dtype(dtype), grid)
    np.testing.assert_array_equal(found, pixels)
    assert inspect(joined).nodata == pytest.approx(nodata, nan_ok=True)


@pytest.mark.parametrize(("height", "width", "dtype"), [(2, 8, "uint8"), (3, 7, "uint8"), (3, 8, "uint16")])
def test_strips_that_are_not_the_whole_are_refused(tmp_path: Path, height: int, width: int, dtype: str) -> None:
    grid = grid_of(Affine(10, 0, 300_000, 0, -10, 3_600_000), (6, 8), "EPSG:32651")
    part = grid_of(grid.transform, (height, width), grid.crs)
    strip = write_raster(tmp_path / "a.tif", np.ones((height, width), dtype), part)
    rest = write_raster(tmp_path / "b.tif", np.ones((3, 8), np.uint8), grid[3:])
    with pytest.raises(ValueError, match=r"expected 6 rows, 8 columns and one kind"):
        join_rows(tmp_path / "joined.tif", grid, [strip, rest])
    assert not (tmp_path / "joined.tif").exists()


def published(run: Path) -> dict[str, Any]:
    """Everything that a run publishes, byte by byte, without what says when it was made and how long it took."""
    files: dict[str, Any] = {p.relative_to(run).as_posix(): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}
    for name in (
        "record/run.json",
        "report.html",
        "map.qgz",
        "record/manifest.json",
        "record/item.json",
    ):  # times, and hashes of files that hold some
        files.pop(name)
    files["changes.gpkg"] = MOMENT.sub(b"", files["changes.gpkg"])
    content = json.loads((run / "record/run.json").read_text(encoding="utf-8"))
    return {**files, "record/run.json": {k: v for k, v in content.items() if k not in TIMES}}


def test_the_map_is_one_that_can_tell_rows_apart(whole: Path) -> None:
    """Otherwise the tests below would pass on strips that were swapped."""
    for name in ("change", "change_probability", "domain_shift"):
        rows = read_raster(whole / f"layers/{name}.tif")[0]
        assert len(np.unique(np.nan_to_num(rows, nan=-1), axis=0)) > len(rows) / 2, name


def test_shards_change_no_byte(place: Untrained, whole: Path, tmp_path: Path) -> None:
    assert [len(shards_of(place.workspace(tmp_path, shards=n), small_grid(SIZE, SIZE))) for n in (1, 3, 99)] == [1, 3, 5]
    run = detect(place.project(shards=3), place.data, tmp_path, model=place.model).run
    assert published(run) == published(whole)
    assert not (tmp_path / "demo" / "work").exists()
    content = json.loads((run / "record/run.json").read_text(encoding="utf-8"))
    assert 0 < content["seconds"]["model"] < content["seconds"]["detect"]
    assert content["cost"]["step"] == "detection"


def test_other_shards_are_the_same_run(place: Untrained, whole: Path) -> None:
    again = detect(place.project(shards=4), place.data, whole.parents[1], model=place.model)
    assert not again.fresh
    ws = place.workspace(whole.parents[1], shards=4)
    assert "shards" not in config_as_published(ws)["detect"]


def test_a_run_states_how_steady_it_is_and_phases_make_it_steadier(place: Untrained, whole: Path, tmp_path: Path) -> None:
    run = detect(place.project(phases=4, shards=2), place.data, tmp_path, model=place.model).run
    records = [json.loads((folder / "record/run.json").read_text(encoding="utf-8")) for folder in (whole, run)]
    assert {record["network_form"] for record in records} <= {"fused", "bands-last", "plain"}
    one, four = (record["steadiness"] for record in records)
    assert (one["phases"], four["phases"]) == (1, 4)
    assert one["chip_px"] == four["chip_px"] == SIZE // 32 * 32
    assert four["shift_flips_ppm"] < one["shift_flips_ppm"]
    assert one["shift_iou"] < four["shift_iou"] < 1
    assert one["margin_flips_ppm"] > 0


def test_a_run_warns_where_the_model_was_calibrated_with_other_phases() -> None:
    assert warn_of_phases(4, 4) == warn_of_phases(None, 4) == []
    (warning,) = warn_of_phases(4, 1)
    assert "`detect: phases: 1`" in warning.remedy
    assert "calibrated and scored with 4" in warning.remedy


@pytest.mark.slow
def test_what_is_settled_is_settled_once_for_all_shards(
    place: Untrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics that are adapted, and a margin that is calibrated."""
    calibrated = []
    monkeypatch.setattr(steadiness, "calibrate_margin", lambda *_, **__: calibrated.append(1) or (64, {}))
    runs = []
    for shards in (1, 3):
        project = place.project(shards=shards, margin="auto", adaptation="batch-norm", core=64)
        runs.append(published(detect(project, place.data, tmp_path / str(shards), model=place.model).run))
    assert len(calibrated) == 2, "once a run"
    assert runs[0] == runs[1]
    assert runs[0]["record/run.json"]["margin_px"] == 64


def test_a_run_that_was_killed_goes_on_with_the_shards_that_are_done_and_unharmed(
    place: Untrained, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped: list[int] = []
    map_rows = sharding._map_rows

    def killed_once(*given: Any, **more: Any) -> Any:
        shard: Shard = given[3]
        mapped.append(shard.number)
        if mapped == [1, 2, 3]:
            strip = next((tmp_path / "demo" / "work").glob(f"*/{SHARDS}/rows-00000-*/change.tif"))
            strip.write_bytes(strip.read_bytes()[:-9])
            raise KeyboardInterrupt
        return map_rows(*given, **more)

    monkeypatch.setattr(sharding, "_map_rows", killed_once)
    project = place.project(shards=4)
    with pytest.raises(KeyboardInterrupt):
        detect(project, place.data, tmp_path, model=place.model)
    run = detect(project, place.data, tmp_path, model=place.model).run
    assert mapped == [1, 2, 3, 1, 3, 4]
    assert published(run) == published(whole)


def test_a_published_image_that_was_damaged_before_the_end_is_made_again(
    place: Untrained, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has left the raw map by then, which is made anew."""

    def killed(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("landshift.flows.steps.publication.maps.write_changes", killed)
        with pytest.raises(KeyboardInterrupt):
            detect(place.project(), place.data, tmp_path, model=place.model)
    (image,) = (tmp_path / "demo" / "work").glob("*/layers/image_after.tif")
    assert not (image.parents[1] / "raw_image_after.tif").exists()
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.write_bytes(content)
    assert published(detect(place.project(), place.data, tmp_path, model=place.model).run) == published(whole)


def test_a_process_elsewhere_or_of_another_version_is_refused(
    place: Untrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = place.workspace(tmp_path)
    prepared = prepare(ws.project, place.data, tmp_path)
    settled = settle(ws, prepared, "key", {})
    shard = shards_of(ws, prepared.plan.grid)[0]
    assert content_of(settle(ws, prepared, "key", {})) == content_of(settled)
    with pytest.raises(InputError, match="storage that all share"):
        detect_shard(place.workspace(tmp_path / "not-shared"), prepared, "key", settled, shard)
    other = replace(settled, versions=settled.versions | {"torch": "1.0"})
    with pytest.raises(InputError, match=r"torch .* instead of 1\.0"):
        detect_shard(ws, prepared, "key", other, shard)
    assert not (ws.work / "key" / SHARDS).exists()
    result = detect_shard(ws, prepared, "key", settled, shard)
    folder = ws.work / "key" / SHARDS / shard.name
    assert Manifest(folder).facts("shard") == content_of(result)
    assert inspect(folder / "change.tif").shape == (SIZE, SIZE)
