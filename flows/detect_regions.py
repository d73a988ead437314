"""Regions: many territories detected in one go, each in its own folder; one that fails stops no other."""

from collections.abc import Sequence

from landshift.flows.detect import detect
from landshift.flows.runtime.artifacts import show_table
from landshift.flows.runtime.compute import Cluster, each, on_cluster
from landshift.flows.runtime.tasks import as_flow, as_task
from landshift.flows.steps.publication.regions import Outcome, Region, outcome_of
from landshift.flows.steps.publication.run import Detected


def detect_region(region: Region) -> Detected:
    """Detect one region; its shards, if it has several, are mapped by the same process, one after the other."""
    detected: Detected = detect(region.project, region.data, region.output, region.allow_outside, model=region.model)
    return detected


# The steps within are tried again where that may help; the whole once more would try each of them nine times.
detect_region_task = as_task(detect_region, "detect-region", retries=0)


@as_flow("detect-regions")
def detect_regions(regions: Sequence[Region]) -> tuple[Outcome, ...]:
    """Detect many regions: on a cluster at once, here one after the other.

    Each has its own folder, lock and record of what is done, so that the same call goes on where it was interrupted. What goes
    wrong with one is reported, and the others go on.
    """
    found = each(detect_region_task, [(region,) for region in regions], f"Detecting {len(regions)} regions")
    outcomes = tuple(outcome_of(region, what) for region, what in zip(regions, found, strict=True))
    table = [{"region": o.region, "outcome": o.outcome, "changed_ha": o.changed_ha, "message": o.message} for o in outcomes]
    show_table(table, key="landshift-regions", description="Regions, in the order that they were named")
    return outcomes


def detect_all(regions: Sequence[Region], cluster: Cluster | None = None) -> tuple[Outcome, ...]:
    """Detect many regions, on a cluster where one is named.

    Raises:
        InputError: A folder of outputs cannot be written to, or as `compute.on_cluster`.
    """
    run = detect_regions
    if cluster is not None:
        spaces = [region.workspace for region in regions]
        for ws in spaces:
            ws.require_writable()
        seen = [folder for ws in spaces for folder in (ws.output, ws.data, *ws.models_needed)]
        run = on_cluster(detect_regions, cluster, list(dict.fromkeys(seen)), [r.project.detect.device for r in regions])
    outcomes: tuple[Outcome, ...] = run(regions)
    return outcomes
