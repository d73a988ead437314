"""The image after moved onto the one before, where the config asks for it and it helps."""

from dataclasses import replace
from pathlib import Path

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.epochs import Correction, EpochImage, make_image
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.compose import write_aligned
from landshift.pipeline.epochs.coregistration import Misregistration, misregistration
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.images import ImageSource, open_readers
from landshift.pipeline.records import content_of, record_of

_FORMAT = 1
"""Raised whenever the content of an aligned image changes for the same inputs."""
_NAME = "after_aligned"


def align(ws: Workspace, made: Plan, before: EpochImage, after: EpochImage) -> tuple[EpochImage, Correction]:
    """Move the image after by the shift that was measured, unless that is done already from the same images.

    It is left as it is where it lies within the limit already (resampling costs sharpness), where the shift cannot be
    measured, and where the moved image does not lie closer.

    Returns:
        The image after to go on with, and what became of the correction.
    """
    limit = ws.project.gates.misregistration_px.limit
    image, observation = ws.epochs / f"{_NAME}.tif", ws.epochs / f"{_NAME}_observation.tif"
    key = value_hash([_FORMAT, before.hash, after.hash, limit])
    manifest = ws.manifest(ws.epochs)
    if not manifest.is_current(_NAME, key):
        with step("Aligning the dates"):
            correction = _correct(ws, made, (before, after), (image, observation), limit=limit)
        kept = [image, observation] if correction.moved else []
        for path in () if kept else (image, observation):
            path.unlink(missing_ok=True)
        manifest.record(_NAME, key, kept, content_of(correction))
    correction = record_of(Correction, manifest.facts(_NAME), str(manifest.folder))
    if correction.moved is None:
        return after, correction
    files = manifest.entries()[_NAME]["files"]
    return replace(after, image=image, hash=files[image.name], observation=observation), correction


def _correct(
    ws: Workspace, made: Plan, pair: tuple[EpochImage, EpochImage], files: tuple[Path, Path], *, limit: float
) -> Correction:
    """Write the moved image where the shift exceeds the limit, and measure whether it lies closer."""
    before, after = pair
    found = _shift(before.image, after.image)
    if found.pixels is None or found.dy is None or found.dx is None:
        sentence = "The image after was not moved: the shift could not be measured."
        return Correction(None, found.pixels, found.pixels, sentence)
    if found.pixels <= limit:
        return Correction(None, found.pixels, found.pixels, "The image after was not moved: it lies within the limit.")
    image, observation = files
    # Moving an image resamples it once more, window by window: it has to be a file.
    still = make_image(ws, made, "after")
    if not (isinstance(still.image, Path) and isinstance(still.observation, Path)):
        raise TypeError("an image that was made is a file")
    write_aligned(still.image, still.observation, (found.dy, found.dx), image, target_observation=observation)
    now = _shift(before.image, image).pixels
    change = f"from {found.pixels:.2f} px to {f'{now:.2f} px' if now is not None else 'an unknown shift'}"
    if now is None or now >= found.pixels:
        sentence = f"The image after was not moved: it would have gone {change}."
        return Correction(None, found.pixels, now, sentence)
    moved = (-found.dy, -found.dx)
    sentence = f"The image after was moved by {moved[0]:+.2f} px down and {moved[1]:+.2f} px right: {change}."
    return Correction(moved, found.pixels, now, sentence)


def _shift(before: ImageSource, after: ImageSource) -> Misregistration:
    with open_readers(before, after) as readers:
        return misregistration(*readers)
