"""Deployments: one a config, with its schedule, and nothing without a server that keeps it."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from flows.cli import app
from flows.config import Project
from flows.monitor import monitor
from flows.places import place_of
from flows.serve import deployments, serve_projects
from pipeline.errors import InputError
from tests.test_flows import demo_project


def write(folder: Path, name: str, **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    content = demo_project().model_dump(mode="json") | {"name": name, "monitor": settings}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_each_config_becomes_a_deployment_that_any_worker_can_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path, "north", cron="0 2 * * *", timezone="Europe/Berlin"), write(tmp_path, "south", cron="30 3 1 * *")]
    monkeypatch.chdir(tmp_path)
    places = [place_of(path, None, Path("runs"), Path("model"), allow_outside=False) for path in paths]
    made = deployments(places)
    assert [d.name for d in made] == ["north", "south"]
    schedules = [d.schedules[0].schedule for d in made if d.schedules]
    assert [(s.cron, s.timezone) for s in schedules] == [("0 2 * * *", "Europe/Berlin"), ("30 3 1 * *", "UTC")]  # type: ignore[union-attr]
    assert made[0].concurrency_limit is None, "a killed run would hold it for ever"
    given = json.loads(json.dumps(made[0].parameters))
    assert Path(given["output"]) == tmp_path / "runs"
    assert Path(given["model"]) == tmp_path / "model"
    assert Project.model_validate(given["project"]).name == "north"
    monitor.validate_parameters(given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "has no schedule"),
        ({"cron": "whenever"}, "cron: 'whenever'.*cannot be used"),
        ({"cron": "0 2 * * *", "timezone": "Mars/Olympus"}, "Mars/Olympus.*cannot be used"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    place = place_of(write(tmp_path, "north", **settings), None, None, None, allow_outside=False)
    with pytest.raises(InputError, match=message):
        deployments([place])


def test_two_projects_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / folder, "north", cron="0 2 * * *") for folder in ("a", "b")]
    with pytest.raises(InputError, match="are both called north"):
        deployments([place_of(path, None, None, None, allow_outside=False) for path in paths])


def test_sqlalchemy_is_one_that_prefects_scheduler_can_work_with() -> None:
    """With 2.1 the insert of planned runs fails, each minute, in the log of the server alone."""
    assert version("sqlalchemy").startswith("2.0.")


def test_without_a_server_schedules_would_be_forgotten(tmp_path: Path) -> None:
    path = write(tmp_path, "north", cron="0 2 * * *")
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        with pytest.raises(InputError, match="No Prefect server is named"):
            serve_projects([place_of(path, None, None, None, allow_outside=False)])
        said = CliRunner().invoke(app, ["serve", str(path)])
    assert said.exit_code == 2
    assert "prefect server start" in said.output
