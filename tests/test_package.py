"""The package: nothing of ours can be shadowed by the folders of a user, whatever adds the working directory to the path."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = "from landshift.flows.cli.main import main; main()"
"""What the console script runs, which does not add the working directory itself."""
ENGINE = (
    "import sys; sys.path.insert(0, '.'); from prefect.flows import load_flow_from_entrypoint as load; "
    "print(load('landshift.flows.monitor.monitor').name)"
)
"""What Prefect's engine does for a deployment."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory whose packages have the names of our folders, and cannot be imported."""
    for name in ("flows", "models", "pipeline", "configs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('a package of the user')\n")
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((".", str(ROOT / "src"))), "DO_NOT_TRACK": "1"}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-c", "import landshift; print(landshift.open_run.__name__)"), "open_run"),
        (("-m", "landshift.flows.cli.main", "--help"), "landshift demo"),
        (("-c", SCRIPT, "--help"), "landshift demo"),
        (("-c", ENGINE), "monitor"),
        (("-c", "from landshift.flows.config.project import find_config as s; print(s('demo.yaml'))"), "demo.yaml"),
    ],
    ids=["import", "module", "script", "engine", "config"],
)
def test_folders_of_a_user_do_not_shadow_ours(folder: Path, words: tuple[str, ...], expected: str) -> None:
    shadowed = run(folder, "-c", "import flows")
    assert "a package of the user" in shadowed.stderr
    result = run(folder, *words)
    assert result.returncode == 0, result.stderr
    assert expected in result.stdout


def test_wheels_and_editable_installs_have_one_package() -> None:
    """`.ci/run` builds both distributions; here the links and the wheel's table name the same folders."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    links = {p.name: p for p in (ROOT / "src/landshift").iterdir() if p.is_symlink()}
    assert wheel["sources"] == {"src/landshift": "landshift", **{name: f"landshift/{name}" for name in links}}
    assert wheel["only-include"] == ["src/landshift/__init__.py", *sorted(links)]
    assert all(link.resolve() == ROOT / name for name, link in links.items())
    assert [p.name for p in (ROOT / wheel["dev-mode-dirs"][0]).iterdir()] == ["landshift"]
