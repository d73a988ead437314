"""Importing `landshift.models` first lets any build of torchvision be imported, and leaves a whole one alone."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from landshift.models.torchvision_operators import declare_missing_operators

ROOT = Path(__file__).parents[1]


def python(code: str, path: Path | None = None) -> str:
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT,
        env={"PYTHONPATH": f"{path or ''}:{ROOT / 'src'}", "PATH": "", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_torchvision_works_after_models() -> None:
    said = python(
        "import landshift.models, torch, torchvision\n"
        "print(torchvision.models.resnet18(weights=None).eval()(torch.zeros(1, 3, 32, 32)).shape[1])\n"
        "print(hasattr(torch.ops.torchvision, 'nms'))\n"
    )
    assert said.split() == ["1000", "True"]


def test_a_second_call_declares_nothing() -> None:
    assert not declare_missing_operators()


def test_without_torchvision_nothing_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert not declare_missing_operators()


ASK = (
    "import torch\n"
    "{patch}\n"
    "from landshift.models.torchvision_operators import declare_missing_operators as declare\n"
    "print(loaded, hasattr(torch.ops.torchvision, 'nms'), hasattr(torch.ops.torchvision, 'qnms'))\n"
)


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A torchvision with a compiled library that only pretends to be one."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("")
    (tmp_path / "torchvision" / "_C.so").write_bytes(b"no library")
    return tmp_path


def test_a_library_that_loads_keeps_its_own_operators(fake: Path) -> None:
    patch = "loaded = []\ntorch.ops.load_library = lambda path: loaded.append(path[-5:])"
    assert python(ASK.format(patch=patch), fake) == "['_C.so'] False False"


def test_a_library_that_does_not_load_is_stood_in_for(fake: Path) -> None:
    assert python(ASK.format(patch="loaded = []"), fake) == "[] True True"


def test_a_torchvision_without_a_library_is_stood_in_for(fake: Path) -> None:
    (fake / "torchvision" / "_C.so").unlink()
    assert python(ASK.format(patch="loaded = []"), fake) == "[] True True"
