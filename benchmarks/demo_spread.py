"""Run the demo on several landscapes and with one and two threads, and keep its scores: how far they spread.

    python benchmarks/demo_spread.py --out docs/measurements/demo.json [--landscapes 7 8 9] [--known FOLDER...]
    python benchmarks/demo_spread.py --out docs/measurements/demo.json --compare FOLDER

Numbers of a training depend on the order in which sums are added up, and so on threads, processor and libraries: one run is no
figure for another machine. Runs that the file has are kept; each takes some minutes. `--known` takes in demos that were run
before. With `--compare` nothing is measured, and the exit code is 1 where a finished demo lies further from the others than
`MARGIN`.
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
MARGIN = 0.05
"""Of kappa: as far beyond the measured runs another machine may lie."""


def figures_of(folder: Path, threads: int | None) -> dict[str, Any]:
    """Return the scores of a finished demo."""
    (data,) = folder.glob("landscape-*")
    training = json.loads((folder / "runs/demo/training.json").read_text(encoding="utf-8"))
    (kept,) = training["seeds"]
    return {
        "landscape": int(data.name.rpartition("-")[2]), "threads": threads, "pixels": kept["test"]["n"],
        "kappa": kept["test"]["kappa"], "f1": kept["test"]["f1"], "interval": kept["evidence"]["kappa"],
        "classical": {name: {"kappa": row["kappa"], "f1": row["f1"]} for name, row in training["classical"].items()},
        "torch": training["versions"]["torch"], "numpy": training["versions"]["numpy"],
    }  # fmt: skip


def run_demo(landscape: int, threads: int, folder: Path) -> dict[str, Any]:
    """Run the demo once and return its scores, with the seconds of all of it."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "landshift.flows.cli.main", "demo", str(folder), "--seed", str(landscape), "--json"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return {**figures_of(folder, threads), "seconds": json.loads(done.stdout)["seconds"]}


def lies_apart(runs: list[dict[str, Any]], found: dict[str, Any]) -> str:
    """Return how a demo differs from the runs of its landscape; empty where it lies among them, or within the margin."""
    kappas = [row["kappa"] for row in runs if row["landscape"] == found["landscape"]]
    if not kappas or min(kappas) - MARGIN <= found["kappa"] <= max(kappas) + MARGIN:
        return ""
    known = f"the {len(kappas)} runs, {min(kappas):.3f} to {max(kappas):.3f}"
    return f"kappa {found['kappa']:.3f} lies further than {MARGIN} from {known}"


def main() -> None:
    """Measure what is missing, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--landscapes", type=int, nargs="*", default=list(LANDSCAPES))
    parser.add_argument("--known", type=Path, nargs="*", default=[])
    parser.add_argument("--compare", type=Path)
    asked = parser.parse_args()
    runs: list[dict[str, Any]] = json.loads(asked.out.read_text(encoding="utf-8"))["runs"] if asked.out.is_file() else []
    if asked.compare:
        fault = lies_apart(runs, figures_of(asked.compare, None))
        sys.exit(f"The demo's {fault}." if fault else 0)

    def keep(row: dict[str, Any]) -> None:
        runs.append(row)
        runs.sort(key=lambda r: (r["landscape"], r["threads"] or 0, r["kappa"]))
        content = {"machine": describe_machine(), "margin": MARGIN, "runs": runs}
        asked.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    for folder in asked.known:
        row = figures_of(folder, None)
        if row["kappa"] not in [r["kappa"] for r in runs]:
            keep(row)
    for landscape, threads in [(s, t) for s in asked.landscapes for t in (THREADS if s == FIRST else THREADS[:1])]:
        if not any((row["landscape"], row["threads"]) == (landscape, threads) for row in runs):
            with tempfile.TemporaryDirectory() as folder:
                keep(run_demo(landscape, threads, Path(folder)))


if __name__ == "__main__":
    main()
