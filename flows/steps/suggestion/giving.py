"""A folder to label in QGIS is given out, and its answers become labels."""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from landshift.flows.runtime.person import login_name
from landshift.flows.runtime.progress import step
from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.workspace import Workspace
from landshift.flows.steps.suggestion.choosing import Choice, choose
from landshift.flows.steps.suggestion.ground import Ground, ask_project, ask_run
from landshift.pipeline.drawing.pictures import stretches_of, write_image
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import crs_of
from landshift.pipeline.manifest import replace_when_done, scratch_folder
from landshift.pipeline.records import content_of, write_record
from landshift.pipeline.review.chips import write_chips
from landshift.pipeline.review.suggestions import (
    SUGGESTION_FILE,
    SUGGESTION_PROJECT,
    SUGGESTION_RECORD,
    Suggestion,
    suggestion_frame,
    write_suggestion_project,
    write_suggestions,
)
from landshift.pipeline.run_files import IMAGES
from landshift.pipeline.scenes.sensors import REFLECTANCE

DEFAULT_FOLDER = "to-label"


@dataclass(frozen=True)
class Wish:
    """How much is to be suggested, and where to."""

    blocks: int = 10
    """Blocks at most, 1 or more."""
    patches: int = 8
    """Patches of each block at most, 1 or more."""
    folder: Path | None = None
    """To make; `to-label` among the outputs where None."""
    who: str | None = None
    """Person who gives it out; the login name where None."""


def suggest_for_project(ws: Workspace, prepared: Pair, wish: Wish) -> Reply:
    """Suggest what to label next in a project, by its images, its labels and its models, whichever are there.

    Raises:
        InputError: As `ask_project` and `choose`, or the folder is there already.
    """
    output = wish.folder or ws.output / DEFAULT_FOLDER
    _require_new(output)
    with scratch_folder(ws.output) as place:
        ground = ask_project(ws, prepared, place)
        choice = choose(ground, wish.blocks, wish.patches)
    return _give_out(ground, choice, wish, output, images=None, pair=prepared)


def suggest_for_run(run: Path, wish: Wish) -> Reply:
    """Suggest what to label next in the territory of a finished run.

    Raises:
        InputError: As `ask_run` and `choose`, or the folder is there already.
    """
    output = wish.folder or run.resolve().parent / DEFAULT_FOLDER
    _require_new(output)
    ground = ask_run(run)
    return _give_out(ground, choose(ground, wish.blocks, wish.patches), wish, output, images=run, pair=None)


def _require_new(output: Path) -> None:
    if output.exists():
        raise InputError(f"{output} is there already, and may hold answers of a person: choose another folder with --to.")


def _give_out(ground: Ground, choice: Choice, wish: Wish, output: Path, *, images: Path | None, pair: Pair | None) -> Reply:
    key = uuid.uuid4().hex
    # Labels of several suggestions lie in one file.
    patches = tuple(replace(p, patch=f"{ground.project}-{key[:8]}-{p.patch}") for p in choice.patches)
    suggestion = Suggestion(
        key=key, who=wish.who or login_name(), given_on=datetime.now(UTC).date(), project=ground.project,
        before_date=ground.dates[0], after_date=ground.dates[1], crs=crs_of(ground.grid).to_wkt(),
        legend=ground.legend.classes, block_px=ground.block_px, methods=(*(m.name for m in ground.members), "IR-MAD"),
        labelled=choice.labelled, usable=choice.usable, blocks=choice.blocks, patches=patches, notes=ground.notes,
    )  # fmt: skip
    legend = ground.legend
    try:
        with replace_when_done(output, new=True) as target, step("Writing the suggestions") as advance:
            target.mkdir(parents=True)
            if pair is not None:
                _write_images(target, pair)
            frame = suggestion_frame(suggestion, binary=legend.binary)
            chips = write_chips(target, frame, suggestion.drawing, {suggestion.key: images or target}, advance=advance)
            frame["chip"] = [chips[p.patch] for p in suggestion.patches]
            write_suggestions(target / SUGGESTION_FILE, suggestion, frame, legend)
            write_suggestion_project(target / SUGGESTION_PROJECT, output, suggestion, images or output)
            write_record(target / SUGGESTION_RECORD, suggestion)
    except FileExistsError:
        _require_new(output)
        raise
    return content_of(suggestion) | {"output": output}, _lines(suggestion, output)


def _write_images(folder: Path, pair: Pair) -> None:
    made = pair.plan
    stretches = stretches_of(*pair.images, comparable=made.sensor.units == REFLECTANCE)
    for name, image, stretch in zip(IMAGES.values(), pair.images, stretches, strict=True):
        names = [made.bands[band - 1] for band in stretch.bands]
        write_image(folder / name, image, stretch, made.grid, tags={}, names=names)


def _lines(suggestion: Suggestion, output: Path) -> list[str]:
    counts = np.bincount([p.rank for p in suggestion.patches], minlength=len(suggestion.blocks) + 1)
    return [
        f"{len(suggestion.blocks)} of {suggestion.usable} blocks of {suggestion.block_px} pixels to label next, by "
        f"{', '.join(suggestion.methods)} ({suggestion.labelled} blocks hold labels):",
        "rank  row  column  patches  why; expected use",
        *(f"{b.rank:>4} {b.row:>4} {b.column:>7} {counts[b.rank]:>8}  {b.reason}; {b.use}" for b in suggestion.blocks),
        *suggestion.notes,
        f"Label in QGIS: {output / SUGGESTION_PROJECT}",
    ]
