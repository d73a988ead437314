"""Land-use matrices in official classes, with intervals: the six of the IPCC, and the seven of the UNCCD."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.sample.area_estimation import areas
from landshift.pipeline.sample.design import Design
from landshift.pipeline.sample.grouping import estimate_net
from landshift.pipeline.sample.record import OfficialMatrix
from landshift.pipeline.sample.references import References


@dataclass(frozen=True)
class Scheme:
    """A set of official classes, and the form of their matrix."""

    name: str
    """Of the organisation."""
    classes: Mapping[str, str]
    """Key in a config to the name of the class, in the order of the official table."""
    unit: str
    """Of the areas in the official table."""
    hectares: float
    """In one of that unit."""
    initial_in_rows: bool
    """Whether a row of the official matrix is a class before; else it is a class after."""
    citation: str
    """Of the form."""


SCHEMES: Mapping[str, Scheme] = {
    "ipcc": Scheme(
        "IPCC",
        {
            "forest_land": "Forest Land", "cropland": "Cropland", "grassland": "Grassland", "wetlands": "Wetlands",
            "settlements": "Settlements", "other_land": "Other Land",
        },
        "kha", 1000.0, initial_in_rows=False,
        citation="2006 IPCC Guidelines for National Greenhouse Gas Inventories, volume 4, chapter 3 (Approach 2: total "
        "land-use area, including changes between categories)",
    ),
    "unccd": Scheme(
        "UNCCD",
        {
            "tree_covered": "Tree-covered areas", "grassland": "Grassland", "cropland": "Cropland", "wetland": "Wetland",
            "artificial": "Artificial surfaces", "other_land": "Other land", "water": "Water bodies",
        },
        "km2", 100.0, initial_in_rows=True,
        citation="UNCCD Good Practice Guidance for SDG Indicator 15.3.1, version 2 (2021), land cover transition matrix",
    ),
}  # fmt: skip
"""By key of a class in the config."""


def official_matrix(
    scheme: str, crosswalk: Mapping[int, str], design: Design, references: References, *, pixel_area: float
) -> OfficialMatrix | None:
    """Estimate how much of each official class became which.

    Each sampled pixel gets the official class of its land use on both dates; the areas of all pairs, and their sums, are those
    of classes that are not the strata (Stehman 2014, doi:10.1080/01431161.2014.930207). What changed within an official class
    is no change here.

    Args:
        scheme: Key of `SCHEMES`.
        crosswalk: Land-use code to the key of the official class.
        design: Of the sample.
        references: The judged pixels.
        pixel_area: Hectares of one pixel.

    Returns:
        None in a binary project.
    """
    if references.before is None or references.after is None:
        return None
    keys = list(SCHEMES[scheme].classes)
    table = np.full(256, -1, dtype=np.int64)
    for code, key in crosswalk.items():
        table[code] = keys.index(key)
    numbers = np.arange(len(keys))
    was, became = table[references.before][:, None] == numbers, table[references.after][:, None] == numbers
    pairs = (was[:, :, None] & became[:, None, :]).reshape(len(was), -1)
    cells = areas(design, pairs, pixel_area)
    changed = (table[references.before] != table[references.after])[:, None]
    gained, lost = became & ~was, was & ~became
    gains, losses = areas(design, gained, pixel_area), areas(design, lost, pixel_area)
    return OfficialMatrix(
        scheme=scheme, keys=tuple(keys),
        area_ha=tuple(tuple(cells[start : start + len(keys)]) for start in range(0, len(cells), len(keys))),
        before_ha=tuple(areas(design, was, pixel_area)), after_ha=tuple(areas(design, became, pixel_area)),
        net_ha=tuple(estimate_net(design, gained.astype(float) - lost, gains, losses=losses, pixel_area=pixel_area)),
        changed_ha=areas(design, changed, pixel_area)[0],
    )  # fmt: skip
