"""Deployments: one a config, with its schedule, and nothing without a server that keeps it."""

import json
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from typer.testing import CliRunner

from landshift.flows import deploy as deploying
from landshift.flows.cli.main import app
from landshift.flows.config.paths import ProjectPaths, resolve_paths
from landshift.flows.deploy import TAG, deploy_projects, deployments, serve_projects
from landshift.flows.monitor import monitor
from landshift.flows.runtime.limits import LIMIT, ensure_limit, model_slot
from landshift.flows.runtime.states.dead import NAME
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import file_hash
from landshift.pipeline.register.store import open_register
from landshift.pipeline.releases import require_whole
from tests.demo_territory import demo_project
from tests.register_runs import run


def write(folder: Path, name: str, **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    content = demo_project().model_dump(mode="json") | {"name": name, "monitor": settings}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def here(*configs: Path) -> list[ProjectPaths]:
    return resolve_paths(configs, None, None, None)


def test_each_config_becomes_a_deployment_that_any_worker_can_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path, "north", cron="0 2 * * *", timezone="Europe/Berlin"), write(tmp_path, "south", cron="30 3 1 * *")]
    monkeypatch.chdir(tmp_path)
    made = deployments(resolve_paths(paths, None, Path("runs"), Path("model")))
    assert [d.name for d in made] == ["north", "south"]
    schedules = [d.schedules[0].schedule for d in made if d.schedules]
    assert [(s.cron, s.timezone) for s in schedules] == [("0 2 * * *", "Europe/Berlin"), ("30 3 1 * *", "UTC")]  # type: ignore[union-attr]
    assert made[0].concurrency_limit is None, "a killed run would hold it for ever"
    given = json.loads(json.dumps(made[0].parameters))
    assert Path(given["output"]) == tmp_path / "runs"
    assert Path(given["model"]) == tmp_path / "model"
    assert given["project"] == str(paths[0])
    monitor.validate_parameters(given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "has no schedule"),
        ({"cron": "whenever"}, "cron: 'whenever'.*cannot be used"),
        ({"cron": "0 2 * * *", "timezone": "Mars/Olympus"}, "Mars/Olympus.*cannot be used"),
        ({"cron": "0 2 * * *", "timezone": "Europe"}, "Europe.*cannot be used"),
        ({"cron": "0 2 * * *", "timezone": "x" * 5000}, "cannot be used"),
        ({"cron": "0 0 2 * * *"}, "6 fields"),
        ({"cron": "0 0 30 2 *"}, "0 0 30 2.*cannot be used"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        deployments(here(write(tmp_path, "north", **settings)))


def test_two_projects_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / folder, "north", cron="0 2 * * *") for folder in ("a", "b")]
    with pytest.raises(InputError, match="are both called north"):
        deployments(here(*paths))


def test_sqlalchemy_is_one_that_prefects_scheduler_can_work_with() -> None:
    """With 2.1 the insert of planned runs fails, each minute, in the log of the server alone."""
    assert version("sqlalchemy").startswith("2.0.")


def test_without_a_server_schedules_would_be_forgotten(tmp_path: Path) -> None:
    path = write(tmp_path, "north", cron="0 2 * * *")
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        with pytest.raises(InputError, match="No Prefect server is named"):
            serve_projects(here(path))
        result = CliRunner().invoke(app, ["serve", str(path)])
    assert result.exit_code == 2
    assert "prefect server start" in result.output


@pytest.mark.usefixtures("prefect_server")
def test_a_work_pool_gets_what_it_needs_once(tmp_path: Path) -> None:
    config = write(tmp_path, "north", cron="0 2 * * *", timezone="Europe/Berlin")
    command = ["deploy", str(config), "--pool", "territories", "--limit", "gpu=2"]
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30}):
        first = CliRunner().invoke(app, [*command, "--json"])
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["made_pool"] is True
    with get_client(sync_client=True) as client:
        client.update_work_pool("territories", WorkPoolUpdate(concurrency_limit=3))
    again = CliRunner().invoke(app, [*command[:-1], "gpu=1"])
    assert "Work pool territories is used." in again.output
    assert f"Warning: {config}: no run can succeed yet. " in again.output, "no model was trained"
    with get_client(sync_client=True) as client:
        pool = client.read_work_pool("territories")
        assert (pool.type, pool.concurrency_limit) == ("process", 3), "what was there is left as it is"
        made = client.read_deployment_by_name("monitor/north")
        assert (made.entrypoint, made.work_pool_name) == ("landshift.flows.monitor.monitor", "territories")
        assert [s.schedule.timezone for s in made.schedules] == ["Europe/Berlin"]  # type: ignore[union-attr]
        assert made.job_variables["env"] == {LIMIT: "gpu"}
        assert client.read_global_concurrency_limit_by_name("gpu").limit == 1
        assert len(client.read_automations_by_name(NAME)) == 1


@pytest.mark.usefixtures("prefect_server")
def test_a_pool_of_another_kind_is_refused(tmp_path: Path) -> None:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="elsewhere", type="kubernetes"))
    config = write(tmp_path, "north", cron="0 2 * * *")
    with pytest.raises(InputError, match="elsewhere is of type kubernetes; expected process"):
        deploy_projects(here(config), "elsewhere")


LIGHT = """
import sys
from landshift.flows.cli.main import app
app({arguments!r}, standalone_mode=False)
print("loaded:", sorted({{"torch", "scipy", "dask", "prefect"}} & set(sys.modules)))
"""


def test_a_look_into_a_register_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    register = tmp_path / "register.gpkg"
    open_register(register).merge([run(["....", ".22.", ".22.", "...."], "2021-06-15")])
    code = LIGHT.format(arguments=["register", "list", str(register)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_to_deploy_takes_no_network() -> None:
    """PyTorch and the network would take longer to load than all the rest."""
    assert "landshift.models" not in Path(deploying.__file__).read_text(encoding="utf-8")


def test_a_model_that_is_not_whole_is_named_without_loading_it(tmp_path: Path) -> None:
    model = tmp_path / "model"
    with pytest.raises(InputError, match=r"model is not a model: weights.safetensors is missing|model.json is missing"):
        require_whole(model)
    model.mkdir()
    (model / "weights.safetensors").write_bytes(b"as they were")
    for text, message in (("{", "is damaged"), ("[]", "is damaged"), ('{"weights": "sha256:0"}', "is not the file that")):
        (model / "model.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            require_whole(model)
    (model / "model.json").write_text(json.dumps({"weights": file_hash(model / "weights.safetensors")}), encoding="utf-8")
    require_whole(model)
    (model / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"weights.safetensors is missing"):
        require_whole(model)


@pytest.mark.parametrize("text", ["gpu", "=1", "gpu=0", "gpu=-1", "gpu=many"])
def test_a_limit_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    config = write(tmp_path, "north", cron="0 2 * * *")
    result = CliRunner().invoke(app, ["deploy", str(config), "--limit", text])
    assert result.exit_code == 2
    assert "expected a name and a number of slots" in result.output


@pytest.mark.usefixtures("prefect_server")
def test_a_model_waits_for_its_slot_and_a_limit_that_is_missing_is_no_freedom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "accelerator")
    with pytest.raises(InputError, match=r"'accelerator', which the Prefect server at .* does not have"), model_slot():
        raise AssertionError("worked without a limit")
    ensure_limit("accelerator", 1)
    order = []

    def second() -> None:
        with model_slot():
            order.append("second")

    with model_slot():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(1)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
    monkeypatch.delenv(LIMIT)
    with model_slot(), model_slot():
        pass


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    config = write(tmp_path, "north", cron="0 2 * * *")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        result = CliRunner().invoke(app, ["deploy", str(config)])
    assert result.exit_code == 2
    assert "http://127.0.0.1:9/api does not answer" in result.output


def test_the_deployments_in_a_file_fit_the_flow() -> None:
    content = yaml.safe_load((Path(__file__).parents[1] / "prefect.yaml").read_text(encoding="utf-8"))
    for entry in content["deployments"]:
        assert load_flow_from_entrypoint(entry["entrypoint"]).name == monitor.name
        monitor.validate_parameters(entry["parameters"])
        assert TAG in entry["tags"], "the automation for dead runs looks at these alone"


def test_a_run_reads_its_config_anew(tmp_path: Path) -> None:
    config = write(tmp_path, "north", cron="0 2 * * *")
    config.write_text("name: [", encoding="utf-8")
    with pytest.raises(InputError, match="is not valid YAML"):
        monitor.fn(config, tmp_path)
