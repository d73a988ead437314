"""Images that the pairs of a monitor share."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from landshift.flows.steps.images.epochs import epoch_key
from landshift.flows.steps.images.masking import FOLDER, borrow_masks
from landshift.flows.steps.monitoring.pairs import PAIRS
from landshift.flows.steps.monitoring.state import MonitorState
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.manifest import Manifest, link_or_copy
from landshift.pipeline.scenes.periods import PeriodPair

_LENT_FOR_DAYS = 430
"""How long the image of a period may still be needed: a year and the largest tolerance of the season, or so."""


def borrow_images(ws: Workspace, made: Plan, pairs: Path) -> None:
    """Take over the images of epochs that other pairs made already: each date is composited once."""
    scenes = [scene for epoch in made.epochs for scene in epoch.scenes]
    borrow_masks(ws, scenes, made.cloud_model, made.grid, folders=sorted(pairs.glob(f"*/*/epochs/{FOLDER}")))
    ours = ws.manifest(ws.epochs)
    for name in ("before", "after"):
        key = epoch_key(ws, made, name)
        if ours.is_current(name, key):
            continue
        for folder in sorted(pairs.glob("*/*/epochs")):
            theirs = Manifest(folder)
            lender = next((n for n in ("after", "before") if folder != ws.epochs and theirs.is_current(n, key)), None)
            if lender is None:
                continue
            ws.epochs.mkdir(parents=True, exist_ok=True)
            files = []
            # A scene that is read where it lies has no file here.
            for lent in theirs.entries()[lender]["files"]:
                file = ws.epochs / f"{name}{lent.removeprefix(lender)}"
                file.unlink(missing_ok=True)
                link_or_copy(folder / lent, file)
                files.append(file)
            ours.record(name, key, files, theirs.facts(lender))
            break


def remove_old_images(ws: Workspace, pairs: Sequence[PeriodPair], state: MonitorState) -> None:
    """Remove images that no later pair can need; years of them would fill any disk."""
    if not pairs:
        return
    last = pairs[-1].after.end
    for pair in pairs[:-1]:
        old = ws.project.monitor.pairs != "same-season" or (last - pair.after.end).days > _LENT_FOR_DAYS
        if old and state.is_done(pair.name):
            shutil.rmtree(ws.output / PAIRS / pair.name / ws.project.name / "epochs", ignore_errors=True)
