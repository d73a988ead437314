"""How the pixels of a pair become what a model is given: dates matched, and standardised."""

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.epochs import EpochImage
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.agreement import spread_pixels
from landshift.pipeline.epochs.matching import AS_IT_IS, Radiometry, fit_radiometry
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.images import open_readers
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.scenes.sensors import REFLECTANCE

_FORMAT = 1
"""Raised whenever other numbers are fitted to the same images."""
_NAME = "radiometry"
_PIXELS = 150_000
"""That it is fitted on, at most; about one in twenty unchanged ones is invariant."""


def match_dates(ws: Workspace, units: str, before: EpochImage, after: EpochImage) -> Radiometry:
    """Fit the radiometry of a pair as the config wants it, unless that is done already for the same images.

    Values that are no reflectance mean something else in every scene, so these are standardised pair by pair.
    """
    wanted = ws.project.radiometry
    match, standardise = wanted.match == "auto", wanted.standardise == "auto" and units != REFLECTANCE
    key = value_hash([_FORMAT, before.hash, after.hash, match, standardise])
    manifest = ws.manifest(ws.epochs)
    if not manifest.is_current(_NAME, key):
        with step("Matching the dates"), open_readers(before.image, after.image) as readers:
            pixels = spread_pixels(*readers, limit=_PIXELS)
            found = fit_radiometry(*pixels, match=match, standardise=standardise) if len(pixels[0]) else AS_IT_IS
        manifest.record(_NAME, key, [], content_of(found))
    return record_of(Radiometry, manifest.facts(_NAME), str(manifest.folder))
