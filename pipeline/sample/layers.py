"""What a judged sample adds to the layers of a run: its points, and the estimates of the areas of interest."""

import geopandas as gpd
import numpy as np
import pandas as pd

from landshift.pipeline.columns import AREA_ESTIMATE_COLUMNS, SAMPLE_COLUMNS, frame_of
from landshift.pipeline.legend import Legend
from landshift.pipeline.sample.estimates import MapFacts
from landshift.pipeline.sample.record import Estimates
from landshift.pipeline.sample.references import References


def judged_points(judged: gpd.GeoDataFrame, legend: Legend, references: References, mapped: MapFacts) -> gpd.GeoDataFrame:
    """Put map and interpretation beside each other, for those who want to compute the estimates again.

    Args:
        judged: The labelling file.
        legend: Of the run.
        references: The judgements that were used.
        mapped: Values of the map at them.

    Returns:
        Columns `SAMPLE_COLUMNS` and points, one for each judgement that was used.
    """
    rows = judged.iloc[references.index]
    names = {change.code: change.name for change in legend.changes}
    drawn = np.bincount(mapped.change, minlength=256)
    weight = mapped.change_pixels[mapped.change] / drawn[mapped.change] * mapped.hectares_per_pixel
    values = {
        "sample_id": list(references.sample_id),
        "map_code": mapped.change, "map_name": [names[c] for c in mapped.change.tolist()],
        "reference_code": references.change, "reference_name": [names[c] for c in references.change.tolist()],
        "agrees": (mapped.change == references.change).astype(np.int32), "weight_ha": weight.round(4),
        "map_before": mapped.before, "map_after": mapped.after,
        "reference_before": references.before, "reference_after": references.after,
        "reference_date": rows["reference_date"].to_numpy(),
        "interpreter": rows["interpreter"].to_numpy(), "remarks": rows["remarks"].to_numpy(),
    }  # fmt: skip
    return frame_of(values, SAMPLE_COLUMNS, rows.geometry.to_numpy(), judged.crs)


def with_estimates(areas: gpd.GeoDataFrame, estimates: Estimates) -> gpd.GeoDataFrame:
    """Add what was estimated for each area of interest.

    Args:
        areas: From `area_summary`, in the order of the estimates.
        estimates: Of the run.

    Returns:
        The same frame with `AREA_ESTIMATE_COLUMNS`.
    """
    rows = estimates.areas_of_interest
    found = {
        "changed_estimated_ha": [row.changed_ha.estimate for row in rows],
        "changed_low_ha": [row.changed_ha.low for row in rows],
        "changed_high_ha": [row.changed_ha.high for row in rows],
        "samples": [row.samples for row in rows],
    }
    return areas.assign(**{c.name: pd.Series(found[c.name], index=areas.index, dtype=c.dtype) for c in AREA_ESTIMATE_COLUMNS})
