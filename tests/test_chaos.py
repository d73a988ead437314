"""Ten kills of verbs, each of which then ends as if nothing had been; `make chaos` tries hundreds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_ten_kills(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--signals", "10", "--starved", "0", "--seed", "1", "--verbs"]
    command += ["detect by IR-MAD", "sample", "estimate", "merge"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "10 of   10 held" in ended.stdout
