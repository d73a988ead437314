"""Compare: a new model and the one in use, on the same labelled pixels that neither of them learnt from."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from scipy.ndimage import maximum_filter

from landshift.flows.steps.images.epochs import Prepared
from landshift.flows.steps.learning.fitting import require_model_fits
from landshift.flows.steps.learning.judging import HeldOut, predict_held_out
from landshift.flows.steps.learning.labelling import current_labels, read_masks
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import decide
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid, crs_of, differences
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.regions import Regions, block_index, regions_of
from landshift.pipeline.labels.search import NO_ROLE, TEST, TRAIN, VALIDATION
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.labels.values import read_values
from landshift.pipeline.legend import CHANGED, NOT_LABELLED
from landshift.pipeline.raster.read import inspect, read_raster
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.records import content_of
from landshift.pipeline.run.stac import footprint
from landshift.pipeline.scores.calibration import cool, cool_classes
from landshift.pipeline.scores.release import (
    CHANGE,
    KINDS,
    NOT_JUDGED,
    Held,
    compare_regions,
    decide_release,
    enough_blocks,
    kinds_of,
)

if TYPE_CHECKING:
    from landshift.models.use.bundle import Bundle

SEEN = "seen.tif"
"""Beside a model: 1 where it was trained or validated."""


def write_seen(ws: Workspace, grid: Grid, folder: Path) -> Path:
    """Write down, beside a model that was just trained, on which pixels it was trained or validated."""
    seen = np.isin(read_masks(ws).role, (TRAIN, VALIDATION)).astype(np.uint8)
    return write_raster(folder / SEEN, seen, grid)


def seen_by(folder: Path, grid: Grid) -> np.ndarray | None:
    """Return bool (y, x): where a model was trained or validated; None where that cannot be known.

    Of a model that an older Landshift trained, its whole training and validation blocks, if it was trained on this grid.
    """
    path = folder / SEEN
    if path.is_file():
        if not differences(inspect(path).grid, grid):
            return np.asarray(read_raster(path)[0] == 1)
        try:
            moved = read_values(path, grid, resample=True)
        except InputError:  # the territories do not meet
            return np.zeros(tuple(grid.shape), dtype=bool)
        # Another grid may lie half a pixel beside it.
        return _near(moved.filled(0) == 1, 1)
    return _blocks_of(folder, grid)


def _blocks_of(folder: Path, grid: Grid) -> np.ndarray | None:
    from landshift.models.use.bundle import MODEL

    seen = np.zeros(tuple(grid.shape), dtype=bool)
    try:
        facts = json.loads((folder / MODEL).read_text(encoding="utf-8"))["facts"]
        splits, outline = facts["splits"], shapely.geometry.shape(facts["territory"]["footprint"])
        side = int(splits["block"])
        for block in splits["blocks"]:
            if block["role"] != "test":
                top, left = int(block["row"]) * side, int(block["column"]) * side
                seen[top : top + side, left : left + side] = True
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    ours = footprint(grid.transform, (grid.shape[0], grid.shape[1]), crs_of(grid).to_wkt())
    return seen if shapely.equals(outline, ours) else None


def compare_models(ws: Workspace, prepared: Prepared, candidate: Path, in_use: Path) -> dict[str, Any]:
    """Compare two models where neither has learnt, as detect would use them: each with its own temperatures and threshold.

    Held out is every labelled pixel that lies further than the buffer of the split from all that either model was trained
    or validated on; labels that came in after both trainings count, too.

    Returns:
        `verdict`, `promote`, `rows`, `sentence`, and `notes` on the regions. Models that cannot be compared are `not judged`,
        and never promoted by themselves.

    Raises:
        InputError: The labels cannot be used.
    """
    try:
        bundles = [require_model_fits(replace(ws, chosen_model=folder), prepared.plan) for folder in (in_use, candidate)]
    except InputError as error:
        return _not_comparable(str(error))
    fault = next(_not_alike(*bundles), None)
    grid = prepared.plan.grid
    labels = current_labels(ws, grid)
    seen = [seen_by(folder, grid) for folder in (in_use, candidate)]
    if fault is not None:
        return _not_comparable(fault)
    if seen[0] is None or seen[1] is None:
        which = "the one in use" if seen[0] is None else "the new one"
        return _not_comparable(f"It is not known on which pixels {which} was trained, so none are known to be held out.")
    buffer = ws.project.split.buffer_px
    held_out = (labels.change != NOT_LABELLED) & ~_near(seen[0] | seen[1], buffer)
    if not held_out.any():
        return _not_comparable("Every labelled pixel was used to train or to validate one of the two models: label more.")
    role = np.where(held_out, TEST, NO_ROLE).astype(np.uint8)
    found = [_mapped(ws, prepared, folder, DividedLabels(labels, role)) for folder in (in_use, candidate)]
    (old, said), (new, _) = found
    lookup = bundles[1].legend.change_lookup()
    rule = ws.project.release.rule
    divided, held = _divided(ws, labels, lambda regions: _held(ws, said, old, new, regions, lookup))
    verdict = decide_release(compare_regions(held, divided.names, rule), rule)
    return {**content_of(verdict), "notes": list(divided.notes), "pixels": int(held_out.sum())}


def _mapped(ws: Workspace, prepared: Prepared, folder: Path, masks: DividedLabels) -> tuple[np.ndarray, HeldOut]:
    """Return the change codes that a model gives to the held-out pixels, (pixel,)."""
    from landshift.models.use.bundle import load

    bundle, network = load(folder)
    said = predict_held_out(ws, prepared, network, masks)
    temperatures = bundle.temperatures
    change = None if said.change is None else cool(said.change, temperatures.change)
    dates = (said.before, said.after)
    before, after = (None if share is None else cool_classes(share, temperatures.landuse) for share in dates)
    threshold = ws.project.detect.threshold or bundle.threshold
    return decide(change, before, after, bundle.legend, threshold).change.reshape(-1).astype(np.int64), said


def _held(
    ws: Workspace, said: HeldOut, old: np.ndarray, new: np.ndarray, regions: Regions, lookup: np.ndarray
) -> dict[str, Held]:
    """Put the pixels together, by score; kinds of change are scored where labels of both dates hold some."""
    width = regions.index.shape[1]
    position = said.position.reshape(-1)
    y, x = np.divmod(position, width)
    block = block_index(y, x, width, ws.project.split.block_px)
    region = regions.index.reshape(-1)[position].astype(np.int64)
    truth = said.labels.change.reshape(-1).astype(np.int64) + 1
    kinds = kinds_of(said.labels.before.reshape(-1), said.labels.after.reshape(-1), lookup, NOT_LABELLED)
    held = {CHANGE: Held(truth, old, new, region, block).plain}
    if (kinds >= CHANGED).any() and max(kinds.max(), old.max(), new.max()) > CHANGED:
        held[KINDS] = Held(kinds, old, new, region, block)
    return held


def _divided(ws: Workspace, labels: Labels, put: Any) -> tuple[Regions, dict[str, Held]]:  # noqa: ANN401 (regions to pixels)
    """Divide the territory as `assess` does, into as many parts as the held-out blocks can judge; named regions stay."""
    config = ws.project.release
    for count in range(config.regions, 0, -1):
        regions = regions_of(labels, count, ws.project.assess.min_pixels)
        held = put(regions)
        named = set(regions.names) & set(labels.region_names)
        if count == 1 or named or enough_blocks(held[CHANGE], len(regions.names), config.rule):
            break
    return regions, held


def _not_alike(old: "Bundle", new: "Bundle") -> Iterator[str]:
    """Say why two models that both fit the images cannot be compared."""
    first, second = ([(c.code, c.name) for c in bundle.legend.classes] for bundle in (old, new))
    if first != second:
        told = [
            ", ".join(f"{code} {name}" for code, name in classes) or "changed and unchanged only" for classes in (first, second)
        ]
        yield (
            f"The model in use maps {told[0]}, the new one {told[1]}. Maps of another legend cannot be compared, and a "
            f"register that holds runs of the one refuses runs of the other: promote it only together with a new register."
        )


def _not_comparable(why: str) -> dict[str, Any]:
    sentence = f"The new model cannot be compared with the one in use. {why}"
    return {"verdict": NOT_JUDGED, "promote": False, "rows": [], "sentence": sentence, "notes": [], "pixels": 0}


def _near(mask: np.ndarray, distance: int) -> np.ndarray:
    return np.asarray(maximum_filter(mask.astype(np.uint8), size=2 * distance + 1, mode="constant") == 1)


def comparison_lines(comparison: Mapping[str, Any]) -> list[str]:
    """Say, for the command line and the card, what a comparison found in each region."""
    lines = []
    for row in comparison.get("rows", ()):
        gain = row["gain"]
        scores = "      -" if row["new"] is None else f"{row['old']:.3f} > {row['new']:.3f}"
        span = "" if gain["low"] is None else f" ({gain['low']:+z.3f} to {gain['high']:+z.3f})"
        change = "" if gain["estimate"] is None else f"  {gain['estimate']:+z.3f}{span}"
        lines.append(f"{row['region']}: F1 of {row['score']} {scores}{change}, {row['blocks']} blocks: {row['verdict']}")
    return lines
