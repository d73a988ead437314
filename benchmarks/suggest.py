"""Whether suggested blocks teach a learner more than blocks drawn at random.

Blocks of 40 pixels of the Taizhou pair. Blocks of the test role are fixed for each division and never labelled. Two labelled
blocks are drawn at random; then blocks are added to 4, 8 and 16, by `choose_blocks` or at random from the same pool of blocks
that have labels. After each step a random forest on the values of both dates (matched), their difference and the IR-MAD
statistic is trained on all labels so far, and judged on the test blocks. Five small forests and IR-MAD are the committee whose
disagreement is asked, as seeds of a network and IR-MAD are by `landshift suggest`. Prints one JSON object.

A first rule failed on divisions 0 to 4, which are measured; the present one was chosen among others on divisions 10 to 14.

    python benchmarks/suggest.py FOLDER [--out docs/measurements/suggest.json] [--repeats 5]

FOLDER holds `taizhou_LE07_20000317.tif`, `taizhou_LE07_20030206.tif` and `taizhou_label.tif`.
"""

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import cohen_kappa_score, f1_score

from landshift.pipeline.epochs.detector import fit_detector
from landshift.pipeline.epochs.matching import PairSource, fit_radiometry
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.search import TEST
from landshift.pipeline.labels.splits import spatial_split
from landshift.pipeline.labels.suggesting import (
    choose_blocks,
    disagreement_of,
    doubt_of,
    fit_looks,
    table_blocks,
)
from landshift.pipeline.legend import NOT_LABELLED, Legend
from landshift.pipeline.raster.images import open_readers
from landshift.pipeline.raster.read import read_raster
from landshift.pipeline.tiles import Window

BLOCK, BUFFER, STEPS = 40, 8, (2, 4, 8, 16)
MEMBERS, TREES = 5, 20
WAYS = "random", "suggested", "suggested from the first"
"""`suggested` begins with the two blocks that `random` begins with; the last way has those suggested without any label."""

FILES = "taizhou_LE07_20000317.tif", "taizhou_LE07_20030206.tif", "taizhou_label.tif"


def read_pair(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values (value, y, x) of the matched pair, IR-MAD's chance of change (y, x), and labels (y, x)."""
    dates = [_read(folder / name) for name in FILES[:2]]
    flat = [d.reshape(len(d), -1).T.astype(np.float64) for d in dates]
    detector = fit_detector(*flat, "ir-mad", 0.01)
    with PairSource(folder / FILES[0], folder / FILES[1], fit_radiometry(*flat, match=True, standardise=True)).open() as reader:
        window = reader.read(Window(0, 0, *reader.shape), ("ir-mad",))
    raw, _ = read_raster(folder / FILES[2])
    change = np.full(raw.shape, NOT_LABELLED, dtype=np.uint8)
    change[raw == 1], change[raw == 2] = 0, 1
    values = np.concatenate([window.before, window.after, window.after - window.before, np.asarray(window.priors)])
    return values, detector.score(detector.statistic(*dates)).astype(np.float64), change


def _read(path: Path) -> np.ndarray:
    with open_readers(path) as (reader,):
        return np.asarray(reader.read(Window(0, 0, *reader.info.shape)))


def fit(values: np.ndarray, change: np.ndarray, seed: int) -> np.ndarray:
    """Train a committee on labels, and return each member's chance of change (member, y, x)."""
    known = change != NOT_LABELLED
    pixels, truth = values[:, known].T, change[known]
    everywhere = values.reshape(len(values), -1).T
    members = []
    for member in range(MEMBERS):
        forest = RandomForestClassifier(TREES, min_samples_leaf=2, n_jobs=1, random_state=1000 * seed + member).fit(
            pixels, truth
        )
        found = forest.predict_proba(everywhere)
        changed = found[:, list(forest.classes_).index(1)] if 1 in forest.classes_ else np.zeros(len(everywhere))
        members.append(changed.reshape(change.shape))
    return np.stack(members)


def blocks_of(mask: np.ndarray) -> np.ndarray:
    """Return whether a block (block row, block column) holds any pixel of a mask (y, x)."""
    rows, columns = (n // BLOCK for n in mask.shape)
    return np.asarray(mask.reshape(rows, BLOCK, columns, BLOCK).any(axis=(1, 3)))


def spread(chosen: np.ndarray) -> np.ndarray:
    """Return the pixels (y, x) of blocks (block row, block column)."""
    return np.asarray(chosen.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1))


def run(values: np.ndarray, prior: np.ndarray, change: np.ndarray, repeat: int, how: str) -> list[dict[str, Any]]:
    """Add blocks step by step in one division; scores on its test blocks after each step."""
    labels = Labels(np.full_like(change, NOT_LABELLED), np.full_like(change, NOT_LABELLED), change)
    role, _ = spatial_split(labels, Legend(), block=BLOCK, buffer=BUFFER, seed=repeat)
    test = role == TEST
    pool = blocks_of(change != NOT_LABELLED) & ~blocks_of(test)
    # Labels within the buffer of a test block are never given.
    usable = np.where((role != NOT_LABELLED) & ~test, change, NOT_LABELLED)
    pool &= blocks_of(usable != NOT_LABELLED)
    order = np.random.default_rng(repeat).permutation(np.argwhere(pool))
    chosen = np.zeros_like(pool)
    looks = fit_looks(values.reshape(len(values), -1).T.astype(np.float64)).apply(values)
    given, votes = np.full_like(change, NOT_LABELLED), prior[None]
    rows = []
    for step in STEPS:
        missing = step - int(chosen.sum())
        if how == "random" or (how == "suggested" and not rows):
            more = [(int(y), int(x)) for y, x in order if not chosen[y, x]][:missing]
        else:
            table = table_blocks(
                looks, doubt_of(votes.mean(axis=0)), disagreement_of(votes), given != NOT_LABELLED, block=BLOCK
            )
            more = [(b.row, b.column) for b in choose_blocks(table, missing, pool)]
        for place in more:
            chosen[place] = True
        given = np.where(spread(chosen), usable, NOT_LABELLED).astype(np.uint8)
        members = fit(values, given, repeat)
        votes, mean = np.concatenate([members, prior[None]]), members.mean(axis=0)
        found, truth = mean[test] >= 0.5, change[test] == 1
        rows.append({
            "blocks": int(chosen.sum()), "pixels": int((given != NOT_LABELLED).sum()), "changed": int((given == 1).sum()),
            "f1": float(f1_score(truth, found, zero_division=0)),
            "kappa": float(cohen_kappa_score(truth, found)) if found.any() else 0.0,
        })  # fmt: skip
    return rows


def interval(values: list[float]) -> dict[str, float]:
    """Return mean and 95 % interval over repeats (Student's t)."""
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    middle = float(np.mean(values))
    return {"mean": round(middle, 3), "low": round(middle - half, 3), "high": round(middle + half, 3)}


def summarise(found: dict[str, list[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Return one row for each number of blocks: each way, and each way less random on the same division."""
    rows = []
    for number, step in enumerate(STEPS):
        row: dict[str, Any] = {"blocks": step}
        for how, repeats in found.items():
            at = [r[number] for r in repeats]
            row[how] = {name: interval([r[name] for r in at]) for name in ("f1", "kappa")}
            row[how]["changed_share"] = round(float(np.mean([r["changed"] / r["pixels"] for r in at])), 3)
            row[how]["pixels"] = round(float(np.mean([r["pixels"] for r in at])))
            if how != "random":
                other = [r[number] for r in found["random"]]
                row[how]["f1_less_random"] = interval([a["f1"] - b["f1"] for a, b in zip(at, other, strict=True)])
        rows.append(row)
    return rows


def main() -> int:
    """Measure all ways in the same divisions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    values, prior, change = read_pair(options.folder)
    found = {how: [run(values, prior, change, r, how) for r in range(options.repeats)] for how in WAYS}
    about = {"machine": platform.machine(), "territories": 1, "block_px": BLOCK, "repeats": options.repeats,
             "learner": f"random forest, {MEMBERS} x {TREES} trees"}  # fmt: skip
    text = json.dumps({**about, "rows": summarise(found), "repeats_in_full": found}, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
