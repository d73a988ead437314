"""A test that hangs is named, with its stack: where a signal reaches it, where none does, and when all tests are over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests import limits

limits.GRACE = limits.EXIT = 3.0
pytest_plugins = ["tests.limits"]
"""
NEVER_ENDS = """
import itertools, subprocess, threading, time
def test_that_ends(): pass
def test_that_hangs(): {}
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("subprocess.run(['sleep', '100'])", ["::test_that_hangs - Failed: Timeout (>1.0s)", "1 failed, 1 passed"]),
        # No instruction of Python's is reached.
        ("sum(itertools.repeat(0))", ["::test_that_hangs hangs", "in test_that_hangs"]),
        ("threading.Thread(target=time.sleep, args=(100,)).start()", ["2 passed", "The end of the tests hangs"]),
    ],
    ids=["waiting", "in C", "at the end"],
)
def test_what_hangs_is_named_and_ended(tmp_path: Path, body: str, said: list[str]) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 1\ntimeout_method = signal\n")
    (tmp_path / "test_scratch.py").write_text(NEVER_ENDS.format(body))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path, timeout=60,
        env={**environment, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src")))}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode
    assert all(words in result.stdout + result.stderr for words in said), result.stdout + result.stderr


def test_a_worker_that_is_done_waits_for_the_others(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.replace("3.0", "1.0"))
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 60\n")
    (tmp_path / "test_short.py").write_text("def test_short(): pass\n")
    (tmp_path / "test_long.py").write_text("import time\ndef test_long(): time.sleep(4)\ndef test_after(): pass\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", "--max-worker-restart", "0"]
    result = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, timeout=60, capture_output=True, text=True,
        env={**environment, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src")))},
    )  # fmt: skip
    said = result.stdout + result.stderr
    assert (result.returncode, "3 passed" in said, "hangs" in said) == (0, True, False), said
