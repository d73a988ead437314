"""Aligning: move the image after onto the one before, where the config asks for it and it helps."""

from pathlib import Path
from typing import Any

from landshift.flows.runtime.progress import step
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.alignment import write_aligned
from landshift.pipeline.epochs.coregistration import Misregistration, misregistration
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.read import open_readers

_FORMAT = 1
"""Raised whenever the content of an aligned image changes for the same inputs."""

_NAME = "after_aligned"


def align(ws: Workspace, before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Move the image after by the shift that was found, unless that is done already from the same images.

    It is left as it is where it lies within the limit already (resampling costs sharpness), where the shift cannot be
    measured, and where the moved image does not lie closer.

    Args:
        ws: The project.
        before: `path`, `hash` and `observed` of the image before.
        after: The same of the image after.

    Returns:
        `path`, `hash` and `observed` of the image after to go on with, and what became of the correction: `moved` (pixels
        y, x; None where it was left), `was` and `now` (length of the shift in pixels, None where not measured), and a
        `sentence`.
    """
    limit = ws.project.gates.misregistration_px.limit
    image, observation = ws.epochs / f"{_NAME}.tif", ws.epochs / f"{_NAME}_observation.tif"
    key = value_hash([_FORMAT, before["hash"], after["hash"], limit])
    manifest = ws.manifest(ws.epochs)
    if not manifest.is_current(_NAME, key):
        with step("Aligning the dates"):
            found = _shift(before["path"], after["path"])
            facts: dict[str, Any] = {"moved": None, "was": found.pixels, "now": found.pixels}
            if found.pixels is None or found.dy is None or found.dx is None:
                facts["sentence"] = "The image after was not moved: the shift could not be measured."
            elif found.pixels <= limit:
                facts["sentence"] = "The image after was not moved: it lies within the limit."
            else:
                source = after["path"].with_name(f"{after['path'].stem}_observation.tif")
                facts["observed"] = write_aligned(after["path"], source, (found.dy, found.dx), image, observation)
                facts["now"] = _shift(before["path"], image).pixels
                now = "an unknown shift" if facts["now"] is None else f"{facts['now']:.2f} px"
                told = f"from {found.pixels:.2f} px to {now}"
                if facts["now"] is not None and facts["now"] < found.pixels:
                    facts["moved"] = [-found.dy, -found.dx]
                    facts["sentence"] = (
                        f"The image after was moved by {-found.dy:+.2f} px down and {-found.dx:+.2f} px right: {told}."
                    )
                else:
                    facts["sentence"] = f"The image after was not moved: it would have gone {told}."
        kept = [image, observation] if facts["moved"] else []
        for path in () if kept else (image, observation):
            path.unlink(missing_ok=True)
        manifest.record(_NAME, key, kept, facts)
    facts = manifest.facts(_NAME)
    if not facts["moved"]:
        return after, facts
    files = manifest.entries()[_NAME]["files"]
    return {"path": image, "hash": files[image.name], "observed": facts["observed"]}, facts


def _shift(before: Path, after: Path) -> Misregistration:
    with open_readers(before, after) as readers:
        return misregistration(*readers)
