"""Reviews as labels: what persons said about changes, in the form that training reads."""

from collections.abc import Mapping, Sequence

import geopandas as gpd
import numpy as np
from pyproj import CRS

from landshift.pipeline.columns import frame_of
from landshift.pipeline.legend import Legend
from landshift.pipeline.register.reviews import NO_CHANGE, Review
from landshift.pipeline.register.states import Observation
from landshift.pipeline.review.columns import LABEL_COLUMNS


def review_labels(
    reviews: Sequence[Review], polygons: np.ndarray, runs: Mapping[str, Observation], legend: Legend, crs: CRS
) -> gpd.GeoDataFrame:
    """Turn verdicts into labels of the polygons that were judged.

    A change is labelled with its classes before and after. Of what is no change it is known that nothing changed, and the
    class only where the reviewer said so: that the map called it Forest before is no proof that it was.

    Args:
        reviews: That count, each with its run and patch.
        polygons: (n) of these patches.
        runs: Key of each run to what the register knows of it.
        legend: Of the register.
        crs: Of the polygons.

    Returns:
        `LABEL_COLUMNS` and polygons.
    """
    names = {c.code: c.name for c in legend.classes}
    seen = [runs[str(r.run)] for r in reviews]
    values = {
        "before": [names.get(r.before_code or 0) for r in reviews], "after": [names.get(r.after_code or 0) for r in reviews],
        "change": ["unchanged" if r.verdict == NO_CHANGE else "changed" for r in reviews],
        "region": [o.project for o in seen], "before_date": [o.before_date for o in seen],
        "after_date": [o.after_date for o in seen], "change_id": [r.change_id for r in reviews],
        "reviewer": [r.who for r in reviews], "reviewed_on": [r.reviewed_on for r in reviews],
        "reason": [r.note or None for r in reviews],
    }  # fmt: skip
    return frame_of(values, LABEL_COLUMNS, polygons, crs)
