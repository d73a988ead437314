"""What `landshift init` understood of a folder, as a table for people and as JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.inspection.init import Initialised
from landshift.pipeline.grid import crs_name
from landshift.pipeline.records import content_of
from landshift.pipeline.scenes.scene import Scene

_MOST_ROWS = 20


@dataclass(frozen=True)
class SceneFound:
    """One scene that was understood."""

    id: str
    """As `landshift scenes` lists it."""
    date: str
    """Day of the acquisition (UTC)."""
    sensor: str
    """That reads it."""
    platform: str
    """Satellite; empty where it is not known."""
    bands: tuple[str, ...]
    """In order."""
    masked_by: str
    """What masks its clouds: the quality band, or nothing."""
    grid: str
    """Size, pixel and CRS."""
    chosen: bool
    """Whether an epoch has it."""


@dataclass(frozen=True)
class Understood:
    """Answer of `landshift init`."""

    config: str
    """The file that was written."""
    scenes: tuple[SceneFound, ...]
    """By date."""
    to_decide: tuple[str, ...]
    """Sentences that begin with the key."""
    left_out: tuple[str, ...]
    """Sentences."""
    next: str
    """Command to run."""


def show_understood(made: Initialised, command: str) -> Reply:
    """Return what was understood, as JSON and as lines for people."""
    rows = tuple(_row(scene, scene.id in made.chosen) for scene in made.scenes)
    content = Understood(str(made.config), rows, made.to_decide, left_out=made.notes, next=command)
    lines = [
        f"Wrote {made.config}. Understood:",
        "  Date        Sensor             Mask      Grid                            Scene",
    ]
    lines += [
        f"{'*' if r.chosen else ' '} {r.date}  {r.sensor:<17}  {r.masked_by:<8}  {r.grid:<30}  {r.id}"
        for r in rows[:_MOST_ROWS]
    ]
    if len(rows) > _MOST_ROWS:
        lines.append(f"  ... and {len(rows) - _MOST_ROWS} more; `landshift scenes` lists all")
    lines.append(f"  Bands: {_bands(made.scenes)}. Those marked * are compared.")
    lines += [f"  Left out: {text}" for text in _shorten(made.notes)]
    lines += [f"To decide: {text}" for text in made.to_decide]
    return content_of(content), lines


def _row(scene: Scene, chosen: bool) -> SceneFound:
    height, width = scene.grid.shape
    return SceneFound(
        scene.id, str(scene.date), scene.sensor.name, scene.platform, bands=tuple(scene.bands),
        masked_by=(scene.sensor.quality or "") if scene.quality is not None else "none",
        grid=f"{width} x {height} of {scene.grid.transform.a:.6g}, {crs_name(scene.grid.crs)}", chosen=chosen,
    )  # fmt: skip


def _bands(scenes: Sequence[Scene]) -> str:
    kinds = Counter(", ".join(s.bands) for s in scenes)
    return "; ".join(f"{bands}{f' ({count} scenes)' if len(kinds) > 1 else ''}" for bands, count in kinds.most_common(3))


def _shorten(notes: Sequence[str]) -> list[str]:
    """Return the first notes, and how many more there are."""
    return [*notes[:5], *([f"... and {len(notes) - 5} more"] if len(notes) > 5 else [])]
