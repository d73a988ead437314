"""The GPU check: its CPU half runs everywhere; the comparison needs a device."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu_check.py"


def check(*words: str) -> tuple[int, dict[str, Any]]:
    said = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    return said.returncode, json.loads(said.stdout)


def test_the_cpu_half_learns_and_detects() -> None:
    code, result = check("--cpu-only", "--steps", "6", "--size", "96", "--scene", "128")
    assert code == 0
    assert result["passed"] is True
    assert result["cpu"]["speed"]["streamed_mpx_per_second"] > 0


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu() -> None:
    code, result = check()
    assert code == 0, result


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_check_is_explained_and_passes(tmp_path: Path) -> None:
    code, result = check("--out", str(tmp_path / "gpu.json"))
    assert code == 0
    assert "No CUDA device" in result["message"]
    assert not (tmp_path / "gpu.json").exists()
