"""A small run folder with known patches, made by the pipeline itself, for tests of what is made from such a folder."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from landshift.pipeline.change.areas import METHOD, MappedAreas, MappedChange, OnTestBlocks, measure_areas
from landshift.pipeline.change.areas_of_interest import AreasOfInterest, area_summary, names_of
from landshift.pipeline.change.polygons import map_layers
from landshift.pipeline.epochs.gates import coverage_gate
from landshift.pipeline.legend import Change, LandUse, Legend
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.records import write_record
from landshift.pipeline.run.record import (
    AreasNotes,
    InputFile,
    MapGrid,
    ObservedShares,
    RunRecord,
    SpentSeconds,
    TerritoryShift,
    UsedAdaptation,
    UsedModel,
)
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.gates import model_gates
from landshift.pipeline.vector.write import write_changes
from tests.conftest import small_grid

SHAPE = (60, 80)
CLASSES = (("Forest", "#2f6b3c"), ("Cropland", "#ead27a"), ("Water", "#4a86b8"))
DATES = (date(2020, 6, 15), date(2022, 6, 20))
PATCHES = (  # place, code of the change, confidence; hectares are 0.01 times the pixels, nearly
    ((slice(5, 15), slice(5, 15)), 2, 0.8),  # Forest to Cropland, 100 pixels
    ((slice(20, 26), slice(40, 45)), 3, 0.95),  # Forest to Water, 30
    ((slice(30, 50), slice(10, 22)), 5, 0.6),  # Cropland to Water, 240
    ((slice(40, 44), slice(60, 64)), 2, 0.7),  # Forest to Cropland, 16
)
UNSEEN = (slice(0, 10), slice(70, 80))
NAMES = ("Nature reserve", "Plan B")


def write_run(
    folder: Path, *, names: tuple[str, ...] = NAMES, classes: tuple[tuple[str, str], ...] = CLASSES,
    project: str = "place", quiet: bool = False, patches: Sequence[tuple[Any, int, float]] = PATCHES,
    assessment: Assessment | None = None,
) -> RunRecord:  # fmt: skip
    """Write the folder, and return what its `run.json` holds; `quiet` has no change."""
    folder.mkdir(parents=True, exist_ok=True)
    grid, legend = small_grid(*SHAPE), Legend(tuple(LandUse(i, *entry) for i, entry in enumerate(classes, 1)))
    codes, confidence = np.ones(SHAPE, np.uint8), np.full(SHAPE, 0.9, np.float32)
    for where, code, sure in () if quiet else patches:
        codes[where], confidence[where] = code if classes else 2, sure
    codes[UNSEEN] = 0
    layers = map_layers(codes, confidence, grid, legend, *DATES, prefix=project)
    changes, summary = layers.changes, None
    if names:
        left, top = grid.transform.c, grid.transform.f
        boxes = [shapely.box(left + 300 * i, top - 400, left + 300 * (i + 1), top + 100) for i in range(len(names))]
        areas = AreasOfInterest(gpd.GeoDataFrame({"name": list(names)}, geometry=boxes, crs=changes.crs), grid)
        changes["areas_of_interest"] = names_of(areas, changes)
        summary = area_summary(areas, codes, changes, grid, legend, DATES)
    write_changes(folder / "changes.gpkg", changes, legend, not_observed=layers.not_observed, areas_of_interest=summary)
    write_raster(folder / "change.tif", codes, grid, nodata=0)
    for number, epoch in enumerate(("before", "after")):
        picture = np.random.default_rng(number).integers(1, 255, (3, *SHAPE)).astype(np.uint8)
        picture[:, codes == 0] = 0
        write_raster(folder / f"image_{epoch}.tif", picture, grid, nodata=0, descriptions=("red", "green", "blue"))
    run = replace(
        run_record(legend, project), areas=measure_areas(codes, changes, layers.not_observed, legend, grid),
        areas_of_interest=AreasNotes(()) if names else None, assessment=assessment or Assessment(),
        files={"change.tif": "Change map"},
    )  # fmt: skip
    write_record(folder / "run.json", run)
    return run


def run_record(legend: Legend, name: str = "place") -> RunRecord:
    """The record of a run of `SHAPE` in which nothing changed, as `landshift detect` writes it."""
    gates = (coverage_gate(0.98), *model_gates(
        beyond=None, calibration_error=0.3, same_images=True, adaptation="none", is_verified=True, verdict=None
    ))  # fmt: skip
    return RunRecord(
        name=name, key="k1", before_date=DATES[0], after_date=DATES[1], created="2024-01-01T00:00:00+00:00",
        inputs=(InputFile("a.tif", "before", DATES[0], "sha256:abc"),),
        grid=MapGrid("EPSG:32651", *SHAPE, pixel_size_m=10.0, transform=tuple(small_grid(*SHAPE).transform)[:6]),
        clouds={epoch: ({"scene": "a", "date": str(DATES[0]), "by": "SCL"},) for epoch in ("before", "after")},
        bands=("blue", "green", "red"), units="reflectance", legend=legend.classes, observed=ObservedShares(1.0, 0.5),
        model=UsedModel(name=name, encoder="resnet18", weights="sha256:00", description="sha256:11", scores=None),
        threshold=0.4, margin_px=128.0, seconds=SpentSeconds(detect=2.0, model=1.0), alignment=None,
        adaptation=UsedAdaptation(method="none", verified=True, threshold=None, temperatures=None, notes=()),
        domain_shift=TerritoryShift(block_px=32, beyond=0.375), cost=None, assessment=Assessment(), gates=gates,
        areas=MappedAreas(
            method=METHOD, total_ha=48.0, changed_ha=0.0, unchanged_ha=48.0, not_observed_ha=0.0, changed_share=0.0,
            observed_share=1.0, polygons=0, changes=(),
        ),
        warnings=(), areas_of_interest=None, config={"detect": {"min_area_ha": 0.1}},
        versions={"landshift": "0.1.0", "rasterio": "1.4"},
    )  # fmt: skip


def mapped_change(change: Change, area_ha: float, *, polygons: int = 1, test: OnTestBlocks | None = None) -> MappedChange:
    """A kind of change that a map holds."""
    ends = {"from_code": change.from_code, "from_name": change.from_name, "to_code": change.to_code, "to_name": change.to_name}
    return MappedChange(
        change.code, change.name, **ends, colour=change.colour, pixels=round(100 * area_ha), polygons=polygons,
        area_ha=area_ha, test=test or OnTestBlocks(),
    )  # fmt: skip


def interval(estimate: float | None, half: float = 0.0) -> dict[str, float | None]:
    if estimate is None:
        return {"estimate": None, "low": None, "high": None}
    return {"estimate": estimate, "low": estimate - half, "high": estimate + half}


def estimates_of(run: RunRecord) -> dict[str, Any]:
    """Estimates as `landshift estimate` writes them: each change a tenth larger than mapped, and one that the map missed."""
    shares = {"users_accuracy": interval(0.875, 0.0625), "producers_accuracy": interval(None), "samples": 25}
    rows = [
        {"code": r.code, "name": r.name, "colour": r.colour, "mapped_ha": r.area_ha,
         "area_ha": interval(1.1 * r.area_ha, 0.5), **shares}
        for r in run.areas.changes
    ]  # fmt: skip
    missed = {"code": 4, "name": "Cropland to Forest", "colour": "#123456", "mapped_ha": 0.0, "area_ha": interval(7.5, 2.5)}
    unchanged = {"code": 1, "name": "Unchanged", "colour": "#d9d9d9", "mapped_ha": 40.0, "area_ha": interval(39.0, 3.0)}
    total = {"mapped_ha": run.areas.changed_ha, "area_ha": interval(12.25, 1.5), "users_accuracy": interval(0.75, 0.125),
             "producers_accuracy": interval(0.5, 0.25)}  # fmt: skip
    codes = [entry.code for entry in run.legend]
    moved = [[interval(100.0 * x + y, 1.0) for y in range(len(codes))] for x in range(len(codes))]
    place = {
        "total_ha": 1.0,
        "not_observed_ha": 0.0,
        "mapped_changed_ha": 1.0,
        "changed_ha": interval(1.25, 0.25),
        "samples": 12,
    }
    places = [{"name": name, **place, "note": "Few samples.", "changes": []} for name in NAMES]
    return {
        "run": run.key, "confidence_level": 0.95,
        "samples": {"total": 120, "used": 117, "seed": 1, "file": "s.gpkg", "strata": []},
        "overall_accuracy": interval(0.9375, 0.03125),
        "changed": total, "changes": [unchanged | shares, *rows, missed | shares],
        "landuse_before": [], "landuse_after": [], "matrix": {"codes": [], "names": [], "counts": [], "area_ha": []},
        "transitions": {"codes": codes, "names": [], "area_ha": moved} if codes else None,
        "disagreement": {"quantity": 0.0125, "allocation": 0.0375}, "intensity": None, "areas_of_interest": places,
        "not_observed_ha": run.areas.not_observed_ha, "notes": ["3 samples were not judged."],
    }  # fmt: skip
