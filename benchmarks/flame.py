"""Where the processor time of one `landshift detect` goes: a stack sampler's samples, by what the work is for.

    python benchmarks/flame.py [--out FILE] [--column now] [--size 2560] [--folder FOLDER] [--spy py-spy]

Needs py-spy (`pip install py-spy`), which looks at all Python threads of the command a hundred times a second. Shares are
of the samples in which a thread worked; compression in GDAL's own threads is not seen.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from detect_path import HERE
from machine import describe_machine, keep_figures, one_thread, run_watched
from made import Recipe, make_pair

PHASES: tuple[tuple[str, str], ...] = (
    ("second opinion by IR-MAD", r"map_second_opinion|second_opinion"),
    ("gates: measuring the images", r"steps/images/gating|epochs/checks|epochs/measure|epochs/coregistration|epochs/gates"),
    ("matching the dates", r"match_dates|fit_radiometry"),
    ("settling margin and steadiness", r"detection/settle|use/steadiness"),
    ("making images of scenes", r"epochs/compose|images/epochs\.py|images/aligning"),
    ("finding and looking into scenes", r"project/plan|pipeline/scenes/|project/finding|project/disk"),
    ("pass: reading tiles", r"RasterReader\.read |read_date|read_both|read_raw|read_stored"),
    ("pass: treating and mirroring tiles", r"BandMapping|matching\.py|beyond_edges|mirror \(|upload\.py"),
    ("pass: deciding", r"change/decision|_decide \("),
    ("pass: network and probabilities", r"free_model|_probabilities|_compute \(|predict \(|predict_tile \("),
    ("pass: writing the raw map", r"detection/shards|detection/raw_map|write_behind|detection/layers"),
    ("patches and polygons", r"pipeline/change/|pipeline/vector/"),
    ("rasters and pictures of the run", r"run/rasters|write_cog|drawing/pictures|raster/picture|publication/maps"),
    ("record, page, project, hashes", r"publication/|pipeline/run/|pipeline/pages|file_hash|manifest"),
    ("start-up: imports", r"importlib\._bootstrap"),
    ("start-up: Prefect", r"prefect/"),
)
"""What a stack is for: the first whose words stand in it, imports aside, which are known by the last frames."""
_IDLE = re.compile(
    r"(selectors\.py|threading\.py:\d+|heartbeat_loop|_worker \(concurrent/futures/thread|queues?\.py:\d+|sleep|waiting|"
    r"subprocess\.py|SubprocessASGIServer)[^;]*$"
)
_IMPORT = re.compile(r"importlib\._bootstrap[^;]*(;[^;]*){0,8}$")


def phase_of(stack: str) -> str | None:
    """Return what a stack is for; None where its thread only waits."""
    # The first frame is that of the script itself.
    stack = stack.partition(";")[2]
    if not stack or _IDLE.search(stack):
        return None
    if _IMPORT.search(stack):
        return "start-up: imports"
    return next((name for name, words in PHASES if re.search(words, stack)), "other")


def count_phases(lines: list[str]) -> Counter[str]:
    """Count samples by phase in py-spy's raw format: frames from the outside in, joined by `;`, and a number."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        phase = phase_of(stack)
        if phase is not None and count.isdigit():
            found[phase] += int(count)
    return found


def main() -> None:
    """Sample one run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now")
    parser.add_argument("--size", type=int, default=2560)
    parser.add_argument("--bands", type=int, choices=(4, 10), default=10)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--spy", default="py-spy")
    options = parser.parse_args()
    os.environ |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    with tempfile.TemporaryDirectory(dir=options.folder) as name, one_thread():
        spent = Path(name) / "spent.json"
        home, raw = make_pair(options.folder or Path(name) / "pairs", Recipe(options.size, options.bands)), Path(name) / "raw"
        words = [sys.executable, HERE / "free_model.py", "detect", home / "config.yaml", "--data", home / "data"]
        run_watched(
            [options.spy, "record", "--rate", "100", "--format", "raw", "--output", raw, "--",
             *words, "--model", home / "model", "--output", Path(name) / "runs", "--json"],
            environment={"PREFECT_HOME": str(Path(name) / "prefect"), "FREE_MODEL_COST": str(spent)},
        )  # fmt: skip
        took = json.loads(spent.read_text(encoding="utf-8"))["process_cpu_s"]
        counted = count_phases(raw.read_text(encoding="utf-8").splitlines())
    total = sum(counted.values())
    result: dict[str, Any] = {
        "machine": describe_machine(), "size_px": options.size, "bands": options.bands, "samples": total,
        "process_cpu_s": round(took, 1),
        "shares": {name: round(count / total, 4) for name, count in counted.most_common()},
    }  # fmt: skip
    keep_figures(options.out, options.column, result)


if __name__ == "__main__":
    main()
