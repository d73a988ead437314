"""How time, memory and disk of `landshift detect` grow as one thing doubles, with a network that costs next to nothing.

    python benchmarks/growth.py [--out FILE] [--folder FOLDER] [--what edge dates classes regions]

Fitted is the exponent b of a * x^b: by pixels for the scene's edge, by number for the dates of a composite (2 to 32), the
classes (2 to 16) and the regions of one command. Processor time is without that of the smallest pair, which is start-up.
Patches and changes of the register have scripts of their own.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from detect_path import HERE, SMALL, detect
from free_model import save_free_model
from machine import Cost, describe_machine, fit_exponent, keep_figures, one_thread, run_watched, say
from made import BANDS, CLASSES, COLOURS, Recipe, make_pair

EDGES, DATES, NUMBERS, REGIONS = (1280, 2560, 5120), (2, 8, 32), (2, 4, 16), (1, 2, 4)
BANDS_USED = 4


def double_edge(pairs: Path, folder: Path) -> dict[float, Cost]:
    """Detect on larger and larger scenes; by megapixels."""
    return {edge**2 / 1e6: detect(make_pair(pairs, Recipe(edge, BANDS_USED)), folder).cost for edge in EDGES}


def double_dates(pairs: Path, folder: Path) -> dict[float, Cost]:
    """Compose the date before of more and more scenes."""
    home, found = make_pair(pairs, Recipe(1024, BANDS_USED)), {}
    for count in DATES:
        copy = folder / f"dates-{count}"
        (copy / "data").mkdir(parents=True)
        before, after = sorted((home / "data").glob("*.tif"))
        for number in range(count):
            shutil.copyfile(before, copy / "data" / f"scene_2020{5 + number // 30:02}{1 + number % 30:02}.tif")
        shutil.copyfile(after, copy / "data" / after.name)
        shutil.copytree(home / "model", copy / "model")
        text = (home / "config.yaml").read_text(encoding="utf-8")
        (copy / "config.yaml").write_text(text.replace("2020-06-01", "2020-05-01"), encoding="utf-8")
        found[float(count)] = detect(copy, folder).cost
        shutil.rmtree(copy)
    return found


def double_classes(pairs: Path, folder: Path) -> dict[float, Cost]:
    """Map more and more classes."""
    home, found = make_pair(pairs, Recipe(1280, BANDS_USED)), {}
    for count in NUMBERS:
        copy = folder / f"classes-{count}"
        copy.mkdir()
        (copy / "data").symlink_to((home / "data").resolve())
        save_free_model(copy / "model", BANDS[BANDS_USED], count)
        head, _, rest = (home / "config.yaml").read_text(encoding="utf-8").partition("legend:\n")
        names = CLASSES if count == len(CLASSES) else [f"Class {i}" for i in range(1, count + 1)]
        rows = (f'  - {{code: {i}, name: {n}, colour: "{COLOURS[i % len(COLOURS)]}"}}\n' for i, n in enumerate(names, 1))
        (copy / "config.yaml").write_text(
            f"{head}legend:\n{''.join(rows)}detect:{rest.partition('detect:')[2]}", encoding="utf-8"
        )
        found[float(count)] = detect(copy, folder).cost
    return found


def double_regions(pairs: Path, folder: Path) -> dict[float, Cost]:
    """Detect on more and more regions by one command."""
    home, found = make_pair(pairs, Recipe(512, BANDS_USED)), {}
    text = (home / "config.yaml").read_text(encoding="utf-8")
    for count in REGIONS:
        configs = []
        for number in range(count):
            configs.append(folder / f"region{number}.yaml")
            configs[-1].write_text(text.replace("name: made", f"name: region{number}"), encoding="utf-8")
        output = folder / "regions"
        words = [sys.executable, HERE / "free_model.py", "detect", *configs, "--data", home / "data", "--model", home / "model"]
        found[float(count)] = run_watched(
            [*words, "--output", output, "--json"], [output], {"PREFECT_HOME": str(folder / "prefect")}
        )
        shutil.rmtree(output)
    return found


WHAT = {"edge": double_edge, "dates": double_dates, "classes": double_classes, "regions": double_regions}


def describe(costs: dict[float, Cost], startup: float) -> dict[str, Any]:
    """Return the figures of each step and the fitted exponents."""
    x = list(costs)
    beyond = [cost.cpu_s - startup for cost in costs.values()]
    rows = zip(costs.items(), beyond, strict=True)
    return {
        "steps": {f"{k:g}": {**c.figures, "beyond_startup_cpu_s": round(b, 2)} for (k, c), b in rows},
        "exponents": {
            "cpu": fit_exponent(x, beyond), "ram": fit_exponent(x, [c.peak_process_gb for c in costs.values()]),
            "disk": fit_exponent(x, [c.peak_disk_gb for c in costs.values()]),
        },
    }  # fmt: skip


def main() -> None:
    """Measure what is wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--column", default="now")
    parser.add_argument("--what", nargs="+", choices=list(WHAT), default=list(WHAT))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    os.environ |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    result: dict[str, Any] = {"machine": describe_machine(), "bands": BANDS_USED}
    with tempfile.TemporaryDirectory(dir=options.folder) as name, one_thread():
        pairs, folder = options.folder or Path(name) / "pairs", Path(name)
        small = make_pair(pairs, Recipe(SMALL, BANDS_USED))
        startup = min(detect(small, folder).cost.cpu_s for _ in range(2))
        result["startup_cpu_s"] = round(startup, 2)
        for what in options.what:
            say(f"doubling: {what}")
            result[what] = describe(WHAT[what](pairs, folder), startup)
            say(json.dumps(result[what]["exponents"]))
    keep_figures(options.out, options.column, result)


if __name__ == "__main__":
    main()
