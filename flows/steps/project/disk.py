"""Disk space that a project needs and has."""

import shutil

from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.scenes.image import is_read_in_place

_MAPS = 36
"""Bytes a pixel: each layer of a run as it is mapped and as it is published, and one on its way."""


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
    """Return what images that are made, their observation layers, the maps and the images to look at take while they grow.

    Nothing is taken off for compression. An epoch of one scene that lies here is read where it lies, and takes nothing.

    Args:
        made: The plan.
        moved: Whether the image after may be there a second time, moved onto the one before.
    """
    images = sum(len(e.scenes) > 1 or not is_read_in_place(e.scenes[0]) for e in made.epochs)
    # A moved image is made of one that is a file.
    images = max(images, 1) + 1 if moved else images
    return int(made.grid.shape[0] * made.grid.shape[1] * (images * (4 * len(made.bands) + 8) + _MAPS))


def free_bytes(ws: Workspace) -> int:
    """Return what is free where the outputs go."""
    return shutil.disk_usage(ws.output).free
