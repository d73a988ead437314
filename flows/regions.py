"""Regions: many territories detected in one go, each in its own folder; one that fails stops no other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.compute import Cluster, each, on_cluster
from flows.config import Project
from flows.detect import detect
from flows.places import Place, projects_of
from flows.prepare import as_task
from flows.publishing import Detected
from flows.workspace import Workspace, workspace
from pipeline.errors import in_words

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
    """What went wrong; empty where nothing did."""


def regions_of(places: Sequence[Place]) -> list[Region]:
    """Read all configs before any work.

    Raises:
        InputError: As `projects_of` says.
    """
    return [
        Region(project, place.data, place.output or project.output.resolve(), place.model, place.allow_outside)
        for project, place in zip(projects_of(places), places, strict=True)
    ]


def detect_region(region: Region) -> Detected:
    """Detect one region; its shards, if it has several, are mapped by the same process, one after the other."""
    detected: Detected = detect(region.project, region.data, region.output, region.allow_outside, region.model)
    return detected


# The steps within are tried again where that may help; the whole once more would try each of them nine times.
detect_region_task = as_task(detect_region, "detect-region").with_options(retries=0)


@flow(name="detect-regions", persist_result=False)
def detect_regions(regions: Sequence[Region]) -> tuple[Outcome, ...]:
    """Detect many regions: on a cluster at once, here one after the other.

    Each has its own folder, lock and record of what is done, so that the same call goes on where it was interrupted. What goes
    wrong with one is told, and the others go on.
    """
    found = each(detect_region_task, [(region,) for region in regions], f"Detecting {len(regions)} regions")
    outcomes = tuple(_outcome(region, what) for region, what in zip(regions, found, strict=True))
    table = [{"region": o.region, "outcome": o.outcome, "changed_ha": o.changed_ha, "message": o.message} for o in outcomes]
    create_table_artifact(table, key="landshift-regions", description="Regions, in the order that they were named")
    return outcomes


def detect_all(regions: Sequence[Region], cluster: Cluster | None = None) -> tuple[Outcome, ...]:
    """Detect many regions, on a cluster where one is named.

    Raises:
        InputError: A folder of outputs cannot be written to, or as `flows.compute.on_cluster` says.
    """
    run = detect_regions
    if cluster is not None:
        spaces = [region.workspace for region in regions]
        for ws in spaces:
            ws.require_writable()
        seen = [ws.output for ws in spaces] + [ws.data for ws in spaces] + [ws.model_in_use for ws in spaces]
        run = on_cluster(detect_regions, cluster, list(dict.fromkeys(seen)), [r.project.detect.device for r in regions])
    outcomes: tuple[Outcome, ...] = run(regions)
    return outcomes


def _outcome(region: Region, found: Detected | Exception) -> Outcome:
    name = region.project.name
    if isinstance(found, Exception):
        return Outcome(name, FAILED, None, None, None, in_words(found))
    return Outcome(name, DONE if found.fresh else KNOWN, found.changed_ha, found.polygons, found.run, "")


def lines_of(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a table for the command line."""
    width = max(len(o.region) for o in outcomes)
    lines = []
    for o in outcomes:
        text = o.message if o.changed_ha is None else f"{o.changed_ha:>12,.1f} ha in {o.polygons:>7,} patches  {o.run}"
        lines.append(f"{o.region:<{width}}  {o.outcome:<6}  {text}")
    count = {state: sum(o.outcome == state for o in outcomes) for state in (DONE, KNOWN, FAILED)}
    said = f"{count[DONE]} done, {count[KNOWN]} known from before, {count[FAILED]} failed."
    return [*lines, f"{said} Hectares are pixel counts, and biased."]
