"""The fuzzer itself: what it must see, and some hundred mutations; `make fuzz` makes many thousands of every target."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PLAYED = """
import json, os, sys, time
from pathlib import Path
from landshift.pipeline.errors import InputError
from tests.fuzz import harness
from tests.fuzz.harness import Target, fuzz

harness.SWELL_BYTES = 2**26

def write_seed(folder):
    (folder / "seed").write_bytes(b"?")
    return [folder / "seed"]

def act(path, _):
    way = path.read_bytes()[0]
    if way == 1:
        raise InputError("found, expected, remedy")
    if way == 2:
        raise KeyError("raw")
    if way == 3:
        time.sleep(60)
    if way == 4:
        os.abort()
    if way == 5:
        b"x" * (100 * 2**20)

target = Target("played", write_seed, act, (lambda rng, content: bytes([rng.randrange(6)]),))
folder = Path(sys.argv[1])
tally = fuzz([target], range(17, 29), folder / "run", kept=folder / "kept", seconds=3)["played"]
print(json.dumps([tally.read, tally.refused, sorted((f.kind, f.case.number) for f in tally.failures)]))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: one that has threads should not fork.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )  # fmt: skip


def test_what_is_no_input_error_is_seen_and_kept(tmp_path: Path) -> None:
    read, refused, failures = json.loads(run("-c", PLAYED, str(tmp_path)).stdout)
    ways = {"KeyError-outside": 2, "hung": 3, "died--6": 4, "swelled": 5}
    assert {kind for kind, _ in failures} == set(ways)
    assert read + refused + len(failures) == 12, "each number once"
    assert read > 0 < refused
    for kind, number in failures:
        assert (tmp_path / "kept" / "played" / f"{kind}-{number}-seed").read_bytes() == bytes([ways[kind]])


QUICK = ("tiff", "jp2", "config", "metadata", "archive", "table")
"""Targets that need neither PyTorch nor GeoPandas."""


@pytest.mark.parametrize(
    "options",
    [("--mutations", "240", "--targets", *QUICK), pytest.param(("--mutations", "2000"), marks=pytest.mark.slow)],
    ids=["quick", "every"],
)
def test_damaged_files_are_read_or_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = run("-m", "tests.fuzz", "--kept", str(tmp_path), *options)
    assert found.returncode == 0, found.stdout + found.stderr
