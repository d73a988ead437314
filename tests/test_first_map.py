"""A first map without a model: from images alone to a published run, its sample and its estimates."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from landshift.flows.cli.main import app
from landshift.flows.config.project import Project, with_method
from landshift.flows.detect import detect
from landshift.flows.monitor import monitor
from landshift.flows.steps.inspection.check import check_project
from landshift.flows.steps.project.workspace import workspace
from landshift.flows.steps.publication.cautions import warn_of_otsu
from landshift.flows.steps.publication.estimate import estimate_run
from landshift.flows.steps.publication.sample import SAMPLES, sample_run
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.register.store import open_register
from landshift.pipeline.run.record import ClassicalThreshold, list_altered_files, read_run
from landshift.pipeline.run.results import open_run
from landshift.pipeline.sample.judging.form import sample_form_qml
from landshift.pipeline.sample.judging.points import read_samples
from landshift.pipeline.sample.planning.plan import Aim
from landshift.pipeline.vector.write import write_sample_file
from tests.archives import deliver
from tests.binary_territory import BinaryTerritory, squares


@pytest.fixture(scope="module")
def territory(tmp_path_factory: pytest.TempPathFactory) -> BinaryTerritory:
    """Return images of both dates; its config has no labels and no model."""
    made = BinaryTerritory(tmp_path_factory.mktemp("unlabelled"))
    (made.data / "change.tif").unlink()
    return made


def project(territory: BinaryTerritory, **detect_section: Any) -> Project:
    content = territory.config(detect={"method": "ir-mad", **detect_section})
    for section in ("labels", "split", "model", "training", "assess"):
        content.pop(section)
    return Project.model_validate(content)


@pytest.fixture(scope="module")
def made(territory: BinaryTerritory) -> Path:
    return detect(project(territory), territory.data, territory.output).run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.mark.parametrize("method", ["ir-mad", "cva"])
def test_images_alone_give_the_map_and_everything_around_it(territory: BinaryTerritory, tmp_path: Path, method: str) -> None:
    found = detect(project(territory, method=method), territory.data, tmp_path)
    assert {p.name for p in found.run.iterdir()} == {"report.html", "map.qgz", "changes.gpkg", "README.txt", "layers", "record"}
    assert {p.name for p in (found.run / "layers").iterdir()} == {
        *(f"{name}.{suffix}" for name in ("change", "change_probability", "last_observed")
          for suffix in ("tif", "qml", "sld", "lyrx")),
        "change.tif.aux.xml", "change.tif.vat.dbf", "change.tif.vat.cpg", "changes.lyrx",
        "image_before.tif", "image_after.tif", "changes.qml", "changes.sld", "pictures",
    }  # fmt: skip
    change, truth = read_raster(found.run / "layers/change.tif")[0], squares() + 1
    assert cohen_kappa_score(change.ravel(), truth.ravel()) > 0.85
    record = read_run(found.run)
    assert (record.model, record.threshold, record.legend, record.second_opinion) == (None, None, (), None)
    assert record.classical is not None
    assert (record.classical.method, record.classical.used) == (method, "otsu")
    shares = {row.rule: row.changed_share for row in record.classical.thresholds}
    assert shares["otsu"] == pytest.approx((truth == 2).mean(), abs=0.02)
    assert set(shares) == {"otsu", "false-alarm"}
    score = open_run(found.run).rasters.change_probability.to_numpy()
    assert score[change == 2].mean() > 0.8
    assert score[change == 1].mean() < 0.1
    assert not list_altered_files(found.run, everything=True)


def test_nothing_about_a_model_passes_and_the_page_names_the_method(made: Path) -> None:
    names = {gate.name for gate in read_run(made).gates}
    assert "Share mapped as changed" in names
    assert not names & {"Likeness to the training regions", "Calibration on the test blocks", "Images of the training"}
    page = (made / "report.html").read_text(encoding="utf-8")
    for text in (
        "IR-MAD made this map",
        "Otsu's threshold",
        "false alarms",
        "not a probability of change",
        "landshift train",
    ):
        assert text.replace("'", "&#39;") in page or text in page
    item = json.loads((made / "record/item.json").read_text(encoding="utf-8"))
    assert "without a model" in item["properties"]["processing:lineage"]


def test_the_other_threshold_maps_what_it_was_reported_to_map(territory: BinaryTerritory, made: Path, tmp_path: Path) -> None:
    settings = {"classical_threshold": "false-alarm", "false_alarm_rate": 0.1}
    found = detect(project(territory, **settings), territory.data, tmp_path)
    record = read_run(found.run)
    assert record.classical is not None
    (row,) = (row for row in record.classical.thresholds if row.rule == "false-alarm")
    change = read_raster(found.run / "layers/change.tif")[0]
    assert row.changed_share == pytest.approx((change == 2).mean())
    assert record.classical.rate == 0.1
    assert record.key != read_run(made).key


def test_otsus_line_through_the_noise_is_warned_of(made: Path) -> None:
    used = read_run(made).classical
    assert used is not None
    assert warn_of_otsu(used) == ()
    noise = replace(used, thresholds=(ClassicalThreshold("otsu", 3.3, 0.45), ClassicalThreshold("false-alarm", 5.0, 0.09)))
    (warning,) = warn_of_otsu(noise)
    assert "45 %" in warning.plain
    assert "9.0 %" in warning.plain
    assert "classical_threshold" in warning.remedy
    assert warn_of_otsu(replace(noise, used="false-alarm")) == ()


def test_the_same_again_is_there_already(territory: BinaryTerritory, made: Path) -> None:
    files = {p: p.stat().st_mtime_ns for p in made.iterdir()}
    assert not detect(project(territory), territory.data, territory.output).fresh
    assert {p: p.stat().st_mtime_ns for p in made.iterdir()} == files


def test_an_analyst_has_areas_with_intervals_on_the_first_day(run: Path) -> None:
    sampled = sample_run(run, aim=Aim(size=120, minimum=20))
    frame = read_samples(sampled.folder / SAMPLES)
    truth = squares()[frame["row"].to_numpy(dtype=int), frame["column"].to_numpy(dtype=int)]
    frame["reference_change"] = pd.array(truth.astype(int) + 1, dtype="Int32")
    judged = write_sample_file(sampled.folder / "judged.gpkg", frame, sample_form_qml(Legend()))
    found = estimate_run(run, [judged]).estimates
    interval = found.changed.area_ha
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low <= squares().sum() * 0.01 <= interval.high
    assert "estimated from" in (run / "report.html").read_text(encoding="utf-8")


def test_a_map_that_is_nearly_all_changed_stops_and_the_earlier_run_stays(
    territory: BinaryTerritory, run: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(run, output / "place" / "run")
    content = project(territory).model_dump(mode="json")
    content["gates"]["mapped_share"]["limit"] = 0.05
    with pytest.raises(InputError, match="mapped_share"):
        detect(Project.model_validate(content), territory.data, output)
    assert read_run(output / "place" / "run").key == read_run(run).key


@pytest.mark.parametrize(
    ("section", "message"),
    [({"threshold": 0.4}, "threshold"), ({"adaptation": "moments"}, "adaptation"), ({"false_alarm_rate": 0.0}, "false_alarm")],
)
def test_settings_of_a_model_are_refused_beside_a_method_without_one(
    territory: BinaryTerritory, section: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        project(territory, **section)


def test_the_command_line_takes_the_method_and_refuses_what_does_not_fit(territory: BinaryTerritory, tmp_path: Path) -> None:
    plain = project(territory).model_copy(update={"detect": project(territory).detect.model_copy(update={"method": "model"})})
    config = tmp_path / "landshift.yaml"
    config.write_text(json.dumps(plain.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    asked = ["detect", str(config), "--data", str(territory.data), "--output", str(tmp_path / "out")]
    for more, text in (
        ([], "is not a model"), (["--method", "magic"], "'model', 'ir-mad' or 'cva'"),
        (["--method", "cva", "--model", "m"], "uses no model"),
    ):  # fmt: skip
        refused = CliRunner().invoke(app, [*asked, *more])
        assert refused.exit_code == 2
        assert text in " ".join(refused.output.split())
    done = CliRunner().invoke(app, [*asked, "--method", "cva", "--json"])
    assert done.exit_code == 0, done.output
    classical = read_run(tmp_path / "out" / "place" / "run").classical
    assert classical is not None
    assert classical.method == "cva"


def test_check_needs_neither_encoder_nor_labels(territory: BinaryTerritory, tmp_path: Path) -> None:
    content, lines = check_project(workspace(project(territory), territory.data, tmp_path))
    assert "encoder" not in content
    assert content["method"] == "ir-mad"
    assert any("needs no model" in line for line in lines)


def test_the_monitor_keeps_a_register_of_a_method_and_asks_for_no_model(territory: BinaryTerritory, tmp_path: Path) -> None:
    watched = project(territory)
    first = monitor(watched, territory.data, tmp_path)
    assert [pair.outcome for pair in first.pairs] == ["done"], first.pairs
    assert [pair.outcome for pair in monitor(watched, territory.data, tmp_path).pairs] == ["known"]
    assert len(open_register(tmp_path / "place" / "register.gpkg").changes())
    with pytest.raises(InputError, match="uses no model"):
        monitor(watched, territory.data, tmp_path, model=tmp_path / "model")


def test_a_method_replaces_that_of_the_config(territory: BinaryTerritory) -> None:
    assert with_method(project(territory), None).detect.method == "ir-mad"
    assert with_method(project(territory), "cva").detect.method == "cva"


def test_a_folder_of_scenes_is_a_map_in_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = deliver(tmp_path / "my scenes", "safe")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["first-map", str(folder)])
    assert result.exit_code == 0, result.output
    made = Path("runs/my-scenes/run")
    assert read_run(made).areas.changed_ha > 0
    assert "2019-06-15 and 2023-06-20 are compared" in result.stdout
    assert result.stdout.rstrip().endswith(f"landshift sample {made}")
    again = CliRunner().invoke(app, ["first-map", str(folder)])
    assert "it was there already" in again.stdout


def test_a_first_map_waits_for_what_a_person_has_to_decide(tmp_path: Path) -> None:
    folder = deliver(tmp_path / "scenes", "safe")
    for path in folder.rglob("*_SCL_*"):
        path.unlink()
    result = CliRunner().invoke(app, ["first-map", str(folder), "--output", str(tmp_path / "runs")])
    assert result.exit_code == 2
    assert "before a map can be made you have to decide:\n- scenes: clouds: mask: " in result.output
    assert (folder / "landshift.yaml").is_file()
    assert not (tmp_path / "runs").exists()
