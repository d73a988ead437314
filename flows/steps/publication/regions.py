"""Many territories detected in one go: configurations and outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landshift.flows.config.paths import ProjectPaths, load_projects
from landshift.flows.config.project import Project, with_method
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.flows.steps.publication.run import Detected
from landshift.pipeline.errors import in_words

DONE, KNOWN, FAILED = "done", "known", "failed"


@dataclass(frozen=True)
class Region:
    """A project with its folders, absolute, as a worker needs it."""

    project: Project
    """The validated config."""
    data: Path
    """Data folder."""
    output: Path
    """Folder of outputs."""
    model: Path | None
    """Model to use instead of the project's own."""
    allow_outside: bool
    """Whether paths in the config may leave the data folder."""

    @property
    def workspace(self) -> Workspace:
        """The project with its folders."""
        return workspace(self.project, self.data, self.output, allow_outside=self.allow_outside, model=self.model)


@dataclass(frozen=True)
class Outcome:
    """What became of a region."""

    region: str
    """Name of its project."""
    outcome: str
    """`done`, `known` (the same run was there already), or `failed`."""
    changed_ha: float | None
    """Hectares mapped as changed (pixel count, biased); None where it failed."""
    polygons: int | None
    """Patches; None where it failed."""
    run: Path | None
    """Folder of the run; None where it failed."""
    message: str
    """What went wrong; empty where all went well."""


def regions_of(paths: Sequence[ProjectPaths], method: str | None = None) -> list[Region]:
    """Read all configs before any work.

    Args:
        paths: Of the projects.
        method: What maps the changes in all of them; that of each config where None.

    Raises:
        InputError: A config cannot be used, or two projects have one name.
    """
    return [
        Region(
            with_method(project, method), place.data, place.output or project.output.resolve(), place.model,
            allow_outside=place.allow_outside,
        )
        for project, place in zip(load_projects(paths), paths, strict=True)
    ]  # fmt: skip


def outcome_of(region: Region, found: Detected | Exception) -> Outcome:
    """Describe what became of a region: its run, or what went wrong."""
    name = region.project.name
    if isinstance(found, Exception):
        return Outcome(name, FAILED, None, None, run=None, message=in_words(found))
    return Outcome(name, DONE if found.fresh else KNOWN, found.changed_ha, found.polygons, run=found.run, message="")


def lines_of(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a table for the command line."""
    width = max(len(o.region) for o in outcomes)
    lines = []
    for o in outcomes:
        text = o.message if o.changed_ha is None else f"{o.changed_ha:>12,.1f} ha in {o.polygons:>7,} patches  {o.run}"
        lines.append(f"{o.region:<{width}}  {o.outcome:<6}  {text}")
    count = {state: sum(o.outcome == state for o in outcomes) for state in (DONE, KNOWN, FAILED)}
    counts = f"{count[DONE]} done, {count[KNOWN]} known from before, {count[FAILED]} failed."
    return [*lines, f"{counts} Hectares are pixel counts, and biased."]
