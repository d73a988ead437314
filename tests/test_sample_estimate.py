"""From a run's map to a judged sample and published areas: what comes out, and what is refused."""

import csv
import json
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image

from landshift.flows.steps.publication import sample as sampling
from landshift.flows.steps.publication.estimate import Estimated, estimate_run, summary_lines
from landshift.flows.steps.publication.sample import SAMPLES, add_to_sample, read_to_sample, sample_run
from landshift.pipeline.change.areas import OnTestBlocks
from landshift.pipeline.change.decision import Decision
from landshift.pipeline.errors import InputError
from landshift.pipeline.files.makers import this_process
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.records import read_record
from landshift.pipeline.run.package import complete
from landshift.pipeline.run.rasters import write_last_observed, write_rasters
from landshift.pipeline.run.record import read_run
from landshift.pipeline.run_files import manifest_of_run
from landshift.pipeline.sample.judging.form import sample_form_qml
from landshift.pipeline.sample.judging.points import read_samples
from landshift.pipeline.sample.planning.plan import Aim
from landshift.pipeline.sample.record import Estimates
from landshift.pipeline.vector.read import read_layer
from landshift.pipeline.vector.write import write_sample_file
from tests.conftest import small_grid
from tests.small_run import SHAPE, parts_of, write_run

STRATUM = {
    "number": 1, "name": "Unchanged", "codes": [1], "probability": None, "pixels": 4000, "expected_changed": 0.01,
}  # fmt: skip


def finished(folder: Path, **how: Any) -> Path:
    """A run with everything that detect leaves, without a model."""
    run = write_run(folder, **how)
    legend, grid = Legend(run.legend), small_grid(*SHAPE)
    change = read_raster(folder / "layers/change.tif")[0]
    pairs = {c.code: (c.from_code, c.to_code) for c in legend.changes}
    before, after = np.ones(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)
    for code in np.unique(change):
        if code == 0:
            before[change == 0] = after[change == 0] = 0
        elif code > 1 and not legend.binary:
            before[change == code], after[change == code] = pairs[int(code)]
    change_probability = np.where(change == 0, np.nan, 0.9).astype(np.float32)
    dates = (None, None) if legend.binary else (before, after)
    write_rasters(folder, parts_of(Decision(change, *dates, change_probability)), legend, grid, {"RUN": "k1"})
    seen = write_raster(folder.parent / "last_observed.tif", np.full(SHAPE, 20190414, dtype=np.int32), grid, nodata=0)
    write_last_observed(folder, seen)
    complete(folder, run)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy elsewhere: every run here is one that was moved."""
    return shutil.copytree(made, tmp_path / "moved" / "run")


def judge(run: Path, *, wrong: int = 0, folder: Path | None = None, **changed: Any) -> Path:
    """Judge the sample as the map says, the first `wrong` unchanged pixels as the first kind of change."""
    folder = folder or run.parent / "sample"
    legend = Legend(read_run(run).legend)
    frame = read_samples(folder / SAMPLES)
    at = (frame["row"].to_numpy(dtype=int), frame["column"].to_numpy(dtype=int))
    codes = read_raster(run / "layers/change.tif")[0][at]
    if legend.binary:
        reference = codes.astype(int)
        reference[np.flatnonzero(codes == 1)[:wrong]] = 2
        frame["reference_change"] = pd.array(reference, dtype="Int32")
    else:
        for epoch in ("before", "after"):
            values = read_raster(run / f"layers/landuse_{epoch}.tif")[0][at].astype(int)
            if epoch == "after":
                values[np.flatnonzero(codes == 1)[:wrong]] = 2
            frame[f"reference_{epoch}"] = pd.array(values, dtype="Int32")
    for column, value in changed.items():
        frame[column] = value
    return write_sample_file(folder / "judged.gpkg", frame, sample_form_qml(legend))


def test_a_sample_is_drawn_blind_with_pictures_and_only_once(run: Path) -> None:
    sampled = sample_run(run, aim=Aim(size=100, minimum=10), seed=5)
    assert sampled.fresh
    assert {row.name: row.samples for row in sampled.record.strata} == {"Unchanged": 88, "All changes": 12}
    frame = read_samples(sampled.folder / SAMPLES)
    assert len(frame) == sampled.total
    assert set(frame["run_id"]) == {"k1"}
    assert frame[["reference_before", "reference_after"]].isna().all().all()
    assert not {"map_code", "change_code", "stratum"} & set(frame.columns), "whoever judges must not see what the map says"
    pictures = [sampled.folder / chip for chip in frame["chip"]]
    assert all(p.is_file() for p in pictures)
    with Image.open(pictures[0]) as picture:
        assert picture.width > 2 * picture.height - 1
    before = {p: p.stat().st_mtime_ns for p in sampled.folder.rglob("*")}
    again = sample_run(run, aim=Aim(size=100, minimum=10), seed=5)
    assert not again.fresh
    assert {p: p.stat().st_mtime_ns for p in sampled.folder.rglob("*")} == before
    with pytest.raises(InputError, match="holds a sample of run k1 with seed 5 already"):
        sample_run(run, aim=Aim(size=100, minimum=10), seed=6)
    assert sample_run(run, run.parent / "other", aim=Aim(size=100, minimum=10), seed=6).fresh


def test_what_a_killed_sample_left_is_gone_after_the_next_one(run: Path) -> None:
    half = run.parent / f"{replace(this_process(), start='00000000').prefix}0-sample"
    for fresh in (True, False):
        (half / "chips").mkdir(parents=True)
        assert sample_run(run, aim=Aim(size=40, minimum=10)).fresh == fresh
        assert not half.exists()


def test_a_sample_that_another_process_made_meanwhile_is_not_overwritten(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person may have begun to judge it."""
    theirs, write = run.parent / "theirs", sampling.write_record
    sample_run(run, theirs, aim=Aim(size=40, minimum=10), seed=6)

    def come_second(path: Path, record: object) -> Path:
        theirs.rename(run.parent / "sample")
        return write(path, record)

    monkeypatch.setattr(sampling, "write_record", come_second)
    with pytest.raises(InputError, match="holds a sample of run k1 with seed 6 already"):
        sample_run(run, aim=Aim(size=40, minimum=10), seed=5)
    assert json.loads((run.parent / "sample" / "sample.json").read_text())["seed"] == 6
    assert not list(run.parent.glob(".partial*"))


def test_a_plan_takes_its_accuracies_from_the_test_blocks_where_there_are_some(run: Path) -> None:
    found = read_to_sample(run)
    tests = (OnTestBlocks(0.81, found=0.9, labelled=300), OnTestBlocks(), OnTestBlocks(1.0, found=0.7, labelled=100))
    rows = tuple(replace(row, test=test) for row, test in zip(found.described.areas.changes, tests, strict=True))
    areas = replace(found.described.areas, changes=rows)
    expected = replace(found, described=replace(found.described, areas=areas)).facts().expected
    assert [expected.right[row.code] for row in rows] == [0.81, 0.7, 0.98]
    assert expected.missed == pytest.approx(1.5 * (1 - 0.85))
    assert "15% on the test blocks" in expected.grounds[1]
    assert "not tested" in found.facts().expected.grounds[0]


@pytest.fixture
def estimated(run: Path) -> Estimated:
    sample_run(run, aim=Aim(size=200, minimum=20))
    return estimate_run(run, [judge(run, wrong=4)])


def test_estimates_are_in_every_file_that_shows_areas(estimated: Estimated) -> None:
    run, content = estimated.run, estimated.estimates
    strata = {row.name: row for row in content.samples.strata}
    unchanged = strata["Unchanged"]
    missed = unchanged.area_ha * 4 / unchanged.judged
    total = content.changed.area_ha
    assert total.estimate == pytest.approx(content.changed.mapped_ha + missed, rel=1e-3)
    assert total.low < content.changed.mapped_ha + missed < total.high
    assert content.not_observed_ha == pytest.approx(1.0, rel=0.01)
    assert read_record(run / "record/estimates.json", Estimates) == content
    with (run / "record/estimates.csv").open(encoding="utf-8-sig", newline="") as file:
        assert any(row["quantity"] == "area" for row in csv.DictReader(file))
    assert f"{total.estimate:,.1f}" in (run / "report.html").read_text(encoding="utf-8")
    points = read_layer(run / "changes.gpkg", "samples")
    assert len(points) == content.samples.used
    assert int((points["agrees"] == 0).sum()) == 4
    assert points["weight_ha"].sum() == pytest.approx(SHAPE[0] * SHAPE[1] * 0.01 - 1.0, rel=0.01)
    areas = read_layer(run / "changes.gpkg", "areas_of_interest")
    assert (areas["changed_low_ha"] <= areas["changed_estimated_ha"]).all()
    assert areas["samples"].tolist() == [row.samples for row in content.areas_of_interest]
    item = json.loads((run / "record/item.json").read_text(encoding="utf-8"))
    assert "./estimates.json" in {asset["href"] for asset in item["assets"].values()}
    assert manifest_of_run(run).is_current("run", "k1"), "a later detect finds the run whole"
    lines = summary_lines(content)
    assert f"From {content.samples.used} judged pixels" in lines[0]
    assert any("Not observed" in line or "not observed" in line for line in lines)


def test_who_judged_and_by_what_stands_beside_the_estimates(run: Path) -> None:
    sample_run(run, aim=Aim(size=200, minimum=20))
    first = estimate_run(run, [judge(run)]).estimates.samples
    assert (first.judging.by, first.judging.dates) == ("not recorded", "not recorded")
    assert first.judging.unnamed == first.judging.undated == first.used
    total = len(read_samples(run.parent / "sample" / SAMPLES))
    names = ["Ada"] * (total - 5) + ["Ben"] * 3 + [None] * 2
    days = pd.to_datetime(["2023-05-02"] * (total - 9) + ["2023-07-11"] * 8 + [None])
    who = estimate_run(run, [judge(run, interpreter=names, reference_date=days)]).estimates.samples.judging
    assert (who.interpreters, who.unnamed, who.undated) == (("Ada", "Ben"), 2, 1)
    said = ("Ada, Ben; for 2 pixels not recorded", "2023-05-02 to 2023-07-11; for 1 pixels not recorded")
    for file in ("report.html", "record/estimates.md", "record/estimates_about.csv"):
        text = (run / file).read_text(encoding="utf-8")
        assert all(words in text.replace("<bdi>", "") for words in said), file


def test_a_second_estimate_replaces_the_first_and_leaves_the_maps_alone(estimated: Estimated) -> None:
    run = estimated.run
    maps = {p.name: p.read_bytes() for p in run.rglob("*.tif")}
    again = estimate_run(run, [judge(run)])
    assert again.estimates.changed.area_ha.estimate < estimated.estimates.changed.area_ha.estimate
    assert {p.name: p.read_bytes() for p in run.rglob("*.tif")} == maps
    assert len(read_layer(run / "changes.gpkg", "samples")) == again.estimates.samples.used
    assert not list(run.parent.glob(".partial*"))


def test_areas_of_interest_can_come_in_another_crs(estimated: Estimated, tmp_path: Path) -> None:
    grid = small_grid(*SHAPE)
    box = shapely.box(*grid.extent.boundingbox.bbox)
    frame = gpd.GeoDataFrame({"Name": ["All of it"]}, geometry=[box], crs=grid.crs.to_wkt() if grid.crs else None)
    path = tmp_path / "all.geojson"
    path.write_text(frame.to_crs(4326).to_json(), encoding="utf-8")
    (row,) = estimate_run(estimated.run, [judge(estimated.run, wrong=4)], areas=path).estimates.areas_of_interest
    assert row.name == "All of it"
    whole = estimated.estimates.changed.area_ha
    assert row.changed_ha.estimate == pytest.approx(whole.estimate, rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"run_id": "k0"}, "k0"),
        ({"reference_after": pd.NA}, "reference_after"),
        ({"reference_after": 99}, "99"),
        ({"sample_id": "S0001"}, "S0001"),
        ({"row": 5000}, "do not lie where the seed and the numbers in sample.json draw them"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused_and_the_run_stays(run: Path, changed: dict[str, Any], message: str) -> None:
    sample_run(run, aim=Aim(size=40, minimum=10))
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=message):
        estimate_run(run, [judge(run, **changed)])
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_points_that_were_moved_are_refused(run: Path) -> None:
    """Whoever dragged a point in QGIS judged another pixel, although its row and column still say the drawn one."""
    sample_run(run, aim=Aim(size=40, minimum=10))
    path = judge(run)
    frame = read_samples(path)
    points = frame.geometry.copy()
    for geometry, said in (
        (frame.geometry.translate(1000), "40 points"),
        (frame.set_crs(32652, allow_override=True), "40 points"),
    ):
        write_sample_file(path, frame.set_geometry(geometry.geometry), sample_form_qml(Legend(read_run(run).legend)))
        with pytest.raises(InputError, match=f"{said} are missing or do not lie"):
            estimate_run(run, [path])
    points.iloc[3] = points.iloc[3].buffer(0).centroid  # an empty point
    write_sample_file(path, frame.set_geometry(points), sample_form_qml(Legend(read_run(run).legend)))
    with pytest.raises(InputError, match="1 points are missing or do not lie"):
        estimate_run(run, [path])
    write_sample_file(path, frame.to_crs(4326), sample_form_qml(Legend(read_run(run).legend)))
    assert estimate_run(run, [path]).estimates.samples.used == 40


def test_a_run_that_was_changed_is_refused(run: Path) -> None:
    sample_run(run, aim=Aim(size=40, minimum=10))
    path = judge(run)
    whole = (run / "layers/landuse_before.tif").read_bytes()
    (run / "layers/landuse_before.tif").write_bytes((run / "layers/landuse_after.tif").read_bytes())
    with pytest.raises(InputError, match=r"not as it was made \(layers/landuse_before\.tif changed\)"):
        estimate_run(run, [path])
    with pytest.raises(InputError, match=r"landuse_before\.tif changed"):
        sample_run(run, run.parent / "other")
    (run / "layers/landuse_before.tif").write_bytes(whole)
    estimate_run(run, [path])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 12345}, "of 40 samples do not lie where the seed and the numbers in sample.json draw them"),
        ({"strata": []}, "sample.json does not fit the map"),
        (
            {"strata": [{**STRATUM, "samples": 10**9}]},
            "does not fit the map: it records 1000000000 drawn of 4000 pixels",
        ),
        ({"strata": [{**STRATUM, "samples": -1}]}, "does not fit the map"),
        ({"seed": None}, "sample.json is damaged: expected JSON with `run`, `seed`"),
        ({"run": "k0"}, "the sample was drawn for run k0"),
    ],
)
def test_a_record_of_another_draw_is_not_blamed_on_the_points(run: Path, changed: dict[str, Any], message: str) -> None:
    sample_run(run, aim=Aim(size=40, minimum=10))
    path = judge(run)
    record = run.parent / "sample" / "sample.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, **changed}), encoding="utf-8-sig")
    with pytest.raises(InputError, match=message):
        estimate_run(run, [path])
    record.write_text(json.dumps(content), encoding="utf-8-sig")
    estimate_run(run, [path])


def test_a_file_that_is_open_elsewhere_is_not_called_damaged(run: Path) -> None:
    sample_run(run, aim=Aim(size=40, minimum=10))
    path = judge(run)
    with closing(sqlite3.connect(run / "changes.gpkg")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="is open in another program"):
            estimate_run(run, [path])


def test_options_without_a_file_and_endless_samples_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_run(run, aim=Aim(size=40, minimum=10))
    with pytest.raises(InputError, match="--name-column is about a file"):
        estimate_run(run, [judge(run)], name_column="x")
    monkeypatch.setattr("landshift.flows.steps.publication.sample._MOST", 30)
    with pytest.raises(InputError, match="40 pixels would be drawn, more than the 30 that can be judged"):
        sample_run(run, run.parent / "other", aim=Aim(size=40, minimum=10))


def test_what_nobody_judged_is_counted_or_left_out_on_request(run: Path) -> None:
    sample_run(run, aim=Aim(size=40, minimum=10))
    path = judge(run)
    frame = read_samples(path)
    frame.loc[frame.index[:3], "reference_after"] = pd.NA
    write_sample_file(path, frame, sample_form_qml(Legend(read_run(run).legend)))
    with pytest.raises(InputError, match="3"):
        estimate_run(run, [path])
    content = estimate_run(run, [path], allow_missing=True).estimates
    assert content.samples.used == content.samples.total - 3


def test_another_folder_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for verb in (lambda: sample_run(tmp_path), lambda: estimate_run(tmp_path, [tmp_path / "samples.gpkg"])):
        with pytest.raises(InputError, match=r"is not the folder of a run: it lacks record/run\.json"):
            verb()


def test_a_run_without_change_and_one_without_classes_work_too(tmp_path: Path) -> None:
    for name, how in (("quiet", {"quiet": True}), ("binary", {"classes": ()})):
        run = finished(tmp_path / name / "run", **how)
        sample_run(run, aim=Aim(size=60, minimum=20))
        content = estimate_run(run, [judge(run)]).estimates
        assert content.samples.used == content.samples.total
        if name == "quiet":
            assert content.changed.mapped_ha == 0
            assert content.changed.area_ha.estimate in (0, None)


HOSTILE = (("Wald \"A\" & 'B' <b>", "#2f6b3c"), ("\U0001f33e [% env('HOME') %]", "#ead27a"), ("غابة</script>", "#4a86b8"))


def test_hostile_names_go_through_every_file(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", classes=HOSTILE, names=("=1+1", "</table><script>alert(1)</script>"))
    sample_run(run, aim=Aim(size=40, minimum=10))
    estimate_run(run, [judge(run, wrong=1, interpreter="<img src=x onerror=alert(1)>")])
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert read_run(run).legend == tuple(LandUse(i, *entry) for i, entry in enumerate(HOSTILE, 1))
    names = set(read_layer(run / "changes.gpkg", "samples")["map_name"])
    assert f"{HOSTILE[0][0]} to {HOSTILE[1][0]}" in names


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="ogrinfo (Debian: gdal-bin) is not installed")
def test_gdal_reads_the_layers_of_an_estimated_run(estimated: Estimated) -> None:
    command = ["ogrinfo", "-ro", "-so", "-al", str(estimated.run / "changes.gpkg")]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    counts = dict(re.findall(r"Layer name: (\w+).*?Feature Count: (\d+)", said, flags=re.DOTALL))
    assert int(counts["samples"]) == estimated.estimates.samples.used
    assert (counts["changes"], counts["areas_of_interest"]) == ("4", "2")


def test_pixels_that_are_added_to_a_sample_count_with_it(run: Path) -> None:
    first = sample_run(run, aim=Aim(size=60, minimum=20))
    more = add_to_sample(run, first.folder, size=40, area_error=None, seed=3)
    assert more.folder == run.parent / "sample-2"
    assert more.record.plan.pixels == 40
    frame, other = read_samples(first.folder / SAMPLES), read_samples(more.folder / SAMPLES)
    assert not set(frame["sample_id"]) & set(other["sample_id"])
    files = [judge(run), judge(run, folder=more.folder)]
    found = estimate_run(run, files[::-1]).estimates
    assert (found.samples.used, found.samples.total) == (100, 100)
    drawn = {a.name: a.samples + b.samples for a, b in zip(first.record.strata, more.record.strata, strict=True)}
    assert {row.name: row.drawn for row in found.samples.strata} == drawn
    assert found.changed.area_ha.estimate == pytest.approx(found.changed.mapped_ha, rel=1e-3)
    for wrong, message in (
        ([files[1]], "was added to a sample that is not given"),
        ([files[0], files[0]], "is given twice"),
    ):
        with pytest.raises(InputError, match=message):
            estimate_run(run, wrong)
    sample_run(run, run.parent / "other", aim=Aim(size=60, minimum=20), seed=9)
    with pytest.raises(InputError, match="is not a part of the sample"):
        estimate_run(run, [judge(run, folder=run.parent / "other"), files[1]])
    with pytest.raises(InputError, match="needs no more pixels"):
        add_to_sample(run, first.folder, size=None, area_error=2.0)


def test_a_plan_draws_nothing(run: Path) -> None:
    planned = sample_run(run, draws=False)
    assert planned.total > 0
    assert not planned.folder.exists()


def test_a_second_interpreter_is_compared(run: Path) -> None:
    sample_run(run, aim=Aim(size=60, minimum=20))
    first = judge(run)
    other = shutil.copytree(run.parent / "sample", run.parent / "theirs") / "judged.gpkg"
    second = judge(run, wrong=3, folder=other.parent)
    found = estimate_run(run, [first], second=[second]).estimates
    assert found.agreement.questions[0].agreed.estimate == pytest.approx(57 / 60)
    assert any("95 % of 60 sampled pixels" in note for note in found.notes)
    listed = pd.read_csv(first.parent / "disagreements.csv")
    assert listed["sample_id"].tolist() == list(found.agreement.disagreements)
    assert (listed["reference_after_first"] != listed["reference_after_second"]).all()


def test_a_sample_that_was_judged_in_collect_earth_online_is_estimated(run: Path) -> None:
    sampled = sample_run(run, aim=Aim(size=60, minimum=20))
    plots = pd.read_csv(sampled.folder / "collect_earth_plots.csv")
    names = {c.code: c.name for c in read_run(run).legend}
    frame = read_samples(judge(run))
    answers = {f"Land use {e}": frame[f"reference_{e}"].map(names) for e in ("before", "after")}
    table = pd.DataFrame({"plot_id": plots["PLOTID"], "email": "a@b.org", "flagged": False, **answers})
    path = sampled.folder / "ceo.csv"
    table.to_csv(path, index=False)
    assert estimate_run(run, [path]).estimates.changed == estimate_run(run, [sampled.folder / "judged.gpkg"]).estimates.changed
