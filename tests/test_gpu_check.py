"""The GPU check: its CPU half runs everywhere; the comparison needs a device."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu_check.py"


def check(*words: str) -> tuple[int, dict[str, object]]:
    said = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    return said.returncode, json.loads(said.stdout)


def test_the_cpu_half_learns_and_detects() -> None:
    code, result = check("--cpu-only", "--steps", "6", "--size", "96")
    assert code == 0
    assert result["passed"] is True


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu() -> None:
    code, result = check()
    assert code == 0, result
