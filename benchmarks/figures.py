"""Write the figures of README and of the pages from the JSON files of the measurements, between their marks.

    python benchmarks/figures.py [--check]

A block stands between `<!-- figures: NAME -->` and `<!-- /figures -->`. With `--check` nothing is written, and the exit code is
1 where a block is not what the files make.
"""

import json
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from demo_spread import MARGIN
from tables import make_table

ROOT = Path(__file__).parents[1]
MEASUREMENTS = ROOT / "docs" / "measurements"
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
_FEWEST = 0.01
"""Share of the training blocks: one of them."""
_FIRST = 7
"""The landscape of `make demo`."""
_BY_OTSU, _BY_LABELS = "threshold by Otsu", "threshold by validation"


def read(name: str) -> Any:  # noqa: ANN401 (JSON)
    """Return a measurement."""
    return json.loads((MEASUREMENTS / f"{name}.json").read_text(encoding="utf-8"))


def span(values: Sequence[float], digits: int = 2) -> str:
    """Write the mean of several runs with the least and the greatest, or the one that there is."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def few_labels() -> tuple[list[float], float]:
    """Return the kappas of boosted trees with one labelled block, and the mean of IR-MAD on the same test blocks."""
    content = read("few_labels")
    rows = [row for row in content["rows"] if (row["method"], row["share"]) == ("boosted", _FEWEST)]
    alone = {row["division"]: row["kappa"] for row in content["classical"] if row["method"] == "IR-MAD"}
    return [row["half"] for row in rows], statistics.fmean(alone[row["division"]] for row in rows)


def demo_runs() -> list[Any]:
    """Return the runs of the landscape of `make demo`."""
    return [row for row in read("demo")["runs"] if row["landscape"] == _FIRST]


def scores_of(runs: Sequence[Any], method: str, score: str) -> list[float]:
    """Return a score of a classical method, the same ones once."""
    return sorted({round(row["classical"][method][score], 6) for row in runs if score in row["classical"][method]})


def show_readme() -> str:
    """Return the table of README."""
    trees, ir_mad = few_labels()
    runs = demo_runs()
    demo = [row["kappa"] for row in runs]
    rows = [
        ["Taizhou (Landsat 7), boosted trees, one labelled block", span(trees), f"{len(trees)} draws of the block"],
        ["Taizhou, IR-MAD, no labels", f"{ir_mad:.2f}", "the same test blocks"],
        ["`make demo`, network", span(demo), f"{len(demo)} runs; expected elsewhere: within {MARGIN} of them"],
        ["`make demo`, IR-MAD, no labels", span(scores_of(runs, f"IR-MAD, {_BY_OTSU}", "kappa")), "the same test blocks"],
    ]  # fmt: skip
    return make_table(("Kappa on blocks that were never learnt from", "mean (range)", "of"), rows)


def show_demo() -> str:
    """Return the table of the demo in the results."""
    runs = demo_runs()
    titles = {
        f"Change vector analysis, {_BY_LABELS}": "Change vector analysis, threshold from validation blocks",
        f"IR-MAD, {_BY_LABELS}": "IR-MAD, threshold from validation blocks",
        f"IR-MAD, {_BY_OTSU}": "IR-MAD, Otsu's threshold",
        f"NDVI difference, {_BY_LABELS}": "NDVI difference, threshold from validation blocks",
    }
    rows = [[f"Network, {len(runs)} runs, mean (range)", *(span([row[s] for row in runs], 3) for s in ("kappa", "f1"))]]
    rows += [[title, *(span(scores_of(runs, name, s), 3) for s in ("kappa", "f1"))] for name, title in titles.items()]
    return make_table((f"Method, {runs[0]['pixels']:,} test pixels", "kappa", "F1"), rows)


BLOCKS: Mapping[str, Callable[[], str]] = {"readme": show_readme, "demo": show_demo}


def fill(text: str) -> str:
    """Return a page with its blocks made anew."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]]()}\n\n{found[3]}", text)


def main(check: bool) -> int:
    """Write the blocks, or return 1 where one differs."""
    stale = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        filled = fill(text)
        if filled != text:
            stale.append(page.name)
            if not check:
                page.write_text(filled, encoding="utf-8")
    if check and stale:
        print(f"`make figures` would change {', '.join(stale)}.", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
