"""Run the demo on several landscapes and with one and two threads, and keep what it found: how far its figures spread.

    python benchmarks/demo_spread.py --out docs/measurements/demo.json [--landscapes 7 8 9] [--again]

Numbers of a training depend on the order in which sums are added up, and so on threads, processor and libraries: one run is no
figure for another machine. Runs of this code that the file has already are kept; each takes some minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import describe_machine

LANDSCAPES = (7, 8, 9)
THREADS = (1, 2)
FIRST = LANDSCAPES[0]
"""The landscape of `make demo`, which is run with every number of threads."""


def run_demo(landscape: int, threads: int, folder: Path) -> dict[str, Any]:
    """Run the demo once and return its figures."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "landshift.flows.cli.main", "demo", str(folder), "--seed", str(landscape), "--json"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    answer = json.loads(done.stdout)
    training = json.loads((folder / "runs/demo/training.json").read_text(encoding="utf-8"))
    (kept,) = training["seeds"]
    rows = {name: row["kappa"] for name, row in training["classical"].items()}
    return {
        "landscape": landscape, "threads": threads, "seconds": answer["seconds"], "kappa": kept["test"]["kappa"],
        "f1": kept["test"]["f1"], "classical_kappa": rows, "outside_f1": answer["outside_labels"]["f1"],
        "outside_kappa": answer["outside_labels"]["kappa"], "mapped_ha": answer["changed_ha"],
        "estimated": answer["estimated"],
    }  # fmt: skip


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--landscapes", type=int, nargs="+", default=list(LANDSCAPES))
    parser.add_argument("--again", action="store_true", help="measure all of them anew")
    asked = parser.parse_args()
    known: list[dict[str, Any]] = []
    if asked.out.is_file() and not asked.again:
        known = json.loads(asked.out.read_text(encoding="utf-8"))["runs"]
    for landscape, threads in [(s, t) for s in asked.landscapes for t in (THREADS if s == FIRST else THREADS[:1])]:
        if any((row["landscape"], row["threads"]) == (landscape, threads) for row in known):
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = run_demo(landscape, threads, Path(folder))
        print(json.dumps(row), flush=True)
        known.append(row)
        content = {"machine": describe_machine(), "runs": sorted(known, key=lambda r: (r["landscape"], r["threads"]))}
        asked.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
