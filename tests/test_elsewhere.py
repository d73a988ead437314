"""A model in a territory without labels, by the commands that a user gives: nothing there is claimed that was not measured."""

import landshift.models  # isort: skip - declares torchvision operators that a CPU build may lack

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import landshift
from landshift.flows.cli.main import app
from landshift.pipeline.raster.read import inspect
from tests.untrained import Untrained


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Untrained:
    return Untrained(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def words(place: Untrained, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options of a command: a config without labels, and a model."""
    folder = tmp_path_factory.mktemp("config")
    content = place.project().model_dump(mode="json", exclude={"labels"}, exclude_defaults=True)
    (folder / "place.yaml").write_text(yaml.safe_dump(content))
    options = {"data": place.data, "model": place.model, "output": folder / "runs"}
    return [str(folder / "place.yaml"), *(text for key, value in options.items() for text in (f"--{key}", str(value)))]


def run(verb: str, words: list[str]) -> str:
    result = CliRunner().invoke(app, [verb, *words], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def assessed(words: list[str]) -> dict[str, str]:
    return dict(json.loads(run("assess", [*words, "--json"])))


def test_assess_without_labels_ends_with_a_page_that_calls_everything_unverified(
    assessed: dict[str, str], words: list[str]
) -> None:
    page = Path(assessed["page"]).read_text(encoding="utf-8")
    assert "No labels here: nothing can be proved" in page
    assert "there are no labels here" in page
    assert "Assessment of <bdi>demo</bdi>" in page, "to its end"
    assert "key" not in assessed, "nothing was measured that a later run could take up"
    again = run("assess", words)
    assert "Unverified: No labels here" in again


def test_detect_says_beside_every_probability_that_it_is_uncalibrated(assessed: dict[str, str], words: list[str]) -> None:
    made = Path(json.loads(run("detect", [*words, "--json"]))["run"])
    content = landshift.open_run(made)
    gates = {gate["setting"]: gate for gate in content.facts["gates"] if gate["setting"]}
    assert (gates["calibration_error"]["outcome"], gates["calibration_error"]["found"]) == ("not measured", "not measured here")
    assert content.facts["calibration"] == {"here": None, "elsewhere": None}
    assert content.facts["model"]["tested_here"] is False
    assert content.changes[["kind_right", "kind_tested_px"]].isna().to_numpy().all(), "nobody tested this model"
    body = re.sub("<script.*?</script>", "", (made / "report.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert body.count("(uncalibrated here)") == 4
    assert "be read as the share" not in body
    with closing(sqlite3.connect(made / "changes.gpkg")) as database:
        titles = dict(database.execute("SELECT column_name, title FROM gpkg_data_columns WHERE table_name = 'changes'"))
    assert titles["change_probability"] == "Probability of change (uncalibrated here)"
    assert titles["kind_right"] == "Kind was right (measured where the model was trained)"
    assert inspect(made / "layers/change_probability.tif").tags["CALIBRATION"] == "uncalibrated here"
    assert json.loads((made / "record/item.json").read_text())["properties"]["landshift:probabilities"] == "uncalibrated here"
