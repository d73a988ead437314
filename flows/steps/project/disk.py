"""Disk space that a project needs and has."""

import shutil

from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError


def require_disk(ws: Workspace, made: Plan) -> None:
    """Refuse a disk that is too small for the images and maps, before any of them is written.

    Raises:
        InputError: Less is free than needed, counting what earlier runs of this project wrote as free.
    """
    needed = bytes_required(made, moved=ws.project.gates.misregistration_px.correct)
    free = free_bytes(ws)
    if needed > free:
        earlier = (ws.epochs, ws.work, ws.run)
        free += sum(p.lstat().st_size for folder in earlier for p in folder.rglob("*") if p.is_file())
    if needed > free:
        raise InputError(
            f"{ws.output} has {free / 1e9:,.3g} GB free; the images and maps of {made.grid.shape[0]} x {made.grid.shape[1]} "
            f"pixels need up to {needed / 1e9:,.3g} GB. Free some, choose another folder with --output, or set a "
            f"smaller `grid:`."
        )


def bytes_required(made: Plan, *, moved: bool = False) -> int:
    """Return what two float32 images, two observation layers, the maps, their shards and the images to look at take.

    Nothing is taken off for compression.

    Args:
        made: The plan.
        moved: Whether the image after may be there a second time, moved onto the one before.
    """
    epochs = 3 if moved else 2
    return int(made.grid.shape[0] * made.grid.shape[1] * (epochs * (4 * len(made.bands) + 8) + 22))


def free_bytes(ws: Workspace) -> int:
    """Return what is free where the outputs go."""
    return shutil.disk_usage(ws.output).free
