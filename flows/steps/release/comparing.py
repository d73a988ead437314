"""Comparison of a new model with the one in use, on the same labelled pixels that neither of them learnt from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.fitting import require_model_fits, require_same_treatment
from landshift.flows.steps.learning.judging import HeldOut, predict_held_out
from landshift.flows.steps.learning.labelling import current_labels
from landshift.flows.steps.learning.seen import near, read_seen
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import decide
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.regions import Regions, block_index, regions_of
from landshift.pipeline.labels.search import NO_ROLE, TEST
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.legend import CHANGED, NOT_LABELLED
from landshift.pipeline.scores.release import (
    CHANGE,
    KINDS,
    NOT_JUDGED,
    Held,
    ReleaseComparison,
    compare_regions,
    decide_release,
    enough_blocks,
    kinds_of,
)

if TYPE_CHECKING:
    from landshift.models.use.bundle import Bundle


def compare_models(ws: Workspace, prepared: Pair, candidate: Path, in_use: Path) -> ReleaseComparison:
    """Compare two models where neither has learnt, as detect would use them: each with its own temperatures and threshold.

    Held out is every labelled pixel that lies further than the buffer of the split from all that either model was trained
    or validated on; labels that came in after both trainings count, too. Models that cannot be compared are `not judged`,
    and never promoted by themselves.

    Raises:
        InputError: The labels cannot be used.
    """
    try:
        spaces = [replace(ws, chosen_model=folder) for folder in (in_use, candidate)]
        old, new = (require_model_fits(space, prepared.plan) for space in spaces)
        for space in spaces:
            require_same_treatment(space, prepared)
    except InputError as error:
        return refuse_to_compare(str(error))
    labels = current_labels(ws, prepared.plan.grid)
    if (fault := _difference_of_legends(old, new)) is not None:
        return refuse_to_compare(fault)
    seen = [read_seen(folder, prepared.plan.grid) for folder in (in_use, candidate)]
    if seen[0] is None or seen[1] is None:
        which = "the one in use" if seen[0] is None else "the new one"
        return refuse_to_compare(f"It is not known on which pixels {which} was trained, so none are known to be held out.")
    held_out = (labels.change != NOT_LABELLED) & ~near(seen[0] | seen[1], ws.project.split.buffer_px)
    if not held_out.any():
        return refuse_to_compare("Every labelled pixel was used to train or to validate one of the two models: label more.")
    masks = DividedLabels(labels, np.where(held_out, TEST, NO_ROLE).astype(np.uint8))
    (first, pixels), (second, _) = (_map_pixels(ws, prepared, folder, masks) for folder in (in_use, candidate))
    regions, held = _choose_regions(
        ws, labels, lambda regions: _pixels_by_score(ws, pixels, (first, second), regions, lookup=new.legend.change_lookup())
    )
    rule = ws.project.release.rule
    verdict = decide_release(compare_regions(held, regions.names, rule), rule)
    return ReleaseComparison(**vars(verdict), notes=regions.notes, pixels=int(held_out.sum()))


def _map_pixels(
    ws: Workspace, prepared: Pair, folder: Path, masks: DividedLabels
) -> tuple[np.ndarray, HeldOut]:  # fmt: skip
    """Return the change codes that a model gives to the held-out pixels, (pixel,), and these pixels."""
    from landshift.models.use.bundle import load

    bundle, network = load(folder)
    pixels = predict_held_out(ws, prepared, network, masks)
    at = pixels.at(bundle.temperatures)
    threshold = ws.project.detect.threshold or bundle.threshold
    return decide(at.change, at.before, at.after, bundle.legend, threshold=threshold).change.reshape(-1).astype(
        np.int64
    ), pixels


def _pixels_by_score(
    ws: Workspace, pixels: HeldOut, mapped: tuple[np.ndarray, np.ndarray], regions: Regions, lookup: np.ndarray
) -> dict[str, Held]:
    """Put the pixels together, by score; kinds of change are scored where labels of both dates hold some."""
    width, position = regions.index.shape[1], pixels.position.reshape(-1)
    block = block_index(*np.divmod(position, width), width, ws.project.split.block_px)
    region = regions.index.reshape(-1)[position].astype(np.int64)
    truth = pixels.labels.change.reshape(-1).astype(np.int64) + 1
    kinds = kinds_of(pixels.labels.before.reshape(-1), pixels.labels.after.reshape(-1), lookup, NOT_LABELLED)
    held = {CHANGE: Held(truth, *mapped, region, block).plain}
    if (kinds >= CHANGED).any() and max(kinds.max(), *(codes.max() for codes in mapped)) > CHANGED:
        held[KINDS] = Held(kinds, *mapped, region, block)
    return held


def _choose_regions(
    ws: Workspace, labels: Labels, held_in: Callable[[Regions], dict[str, Held]]
) -> tuple[Regions, dict[str, Held]]:  # fmt: skip
    """Divide the territory as `assess` does, into as many parts as the held-out blocks can judge; named regions stay."""
    config = ws.project.release
    for count in range(config.regions, 0, -1):
        regions = regions_of(labels, count, ws.project.assess.min_pixels)
        held = held_in(regions)
        named = set(regions.names) & set(labels.region_names)
        if count == 1 or named or enough_blocks(held[CHANGE], len(regions.names), config.rule):
            break
    return regions, held


def _difference_of_legends(old: "Bundle", new: "Bundle") -> str | None:
    legends = [", ".join(f"{c.code} {c.name}" for c in bundle.legend.classes) for bundle in (old, new)]
    if legends[0] == legends[1]:
        return None
    first, second = (legend or "changed and unchanged only" for legend in legends)
    return (
        f"The model in use maps {first}, the new one {second}. Maps of another legend cannot be compared, and a "
        f"register that holds runs of the one refuses runs of the other: promote it only together with a new register."
    )


def refuse_to_compare(why: str) -> ReleaseComparison:
    """Return the comparison of two models that cannot be compared, which promotes neither."""
    sentence = f"The new model cannot be compared with the one in use. {why}"
    return ReleaseComparison(NOT_JUDGED, promote=False, rows=(), sentence=sentence, notes=(), pixels=0)


def comparison_lines(comparison: ReleaseComparison) -> list[str]:
    """Return, for the command line and the card, what a comparison found in each region."""
    lines = []
    for row in comparison.rows:
        gain = row.gain
        scores = "      -" if row.old is None or row.new is None else f"{row.old:.3f} > {row.new:.3f}"
        span = "" if gain.low is None else f" ({gain.low:+z.3f} to {gain.high:+z.3f})"
        change = "" if gain.estimate is None else f"  {gain.estimate:+z.3f}{span}"
        lines.append(f"{row.region}: F1 of {row.score} {scores}{change}, {row.blocks} blocks: {row.verdict}")
    return lines
