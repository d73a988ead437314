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
from landshift.pipeline.change.decision import Decision, probability_codes
from landshift.pipeline.change.polygons import find_map_patches, map_layers, outline_labels
from landshift.pipeline.epochs.gates import coverage_gate
from landshift.pipeline.legend import Change, LandUse, Legend
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.records import write_record
from landshift.pipeline.run.rasters import MapParts
from landshift.pipeline.run.record import (
    AreasNotes,
    InputFile,
    MapGrid,
    ObservedShares,
    RunRecord,
    SpentSeconds,
    Steadiness,
    TerritoryShift,
    UsedAdaptation,
    UsedModel,
    UsedRadiometry,
)
from landshift.pipeline.run_files import CHANGE_MAP, CHANGES, IMAGES, RUN
from landshift.pipeline.sample.area_estimation import STEHMAN, UNKNOWN, Interval
from landshift.pipeline.sample.design import WILSON
from landshift.pipeline.sample.disagreement import ClassIntensity, Disagreement, Intensity, TransitionIntensity
from landshift.pipeline.sample.record import (
    AllChanges,
    ErrorMatrix,
    EstimatedArea,
    EstimatedClass,
    EstimatedPart,
    Estimates,
    JudgedSample,
    JudgedStratum,
    TransitionMatrix,
)
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.gates import model_gates
from landshift.pipeline.scores.reliability import KnownCalibration
from landshift.pipeline.vector.columns import KnownHere
from landshift.pipeline.vector.write import write_changes
from tests.conftest import small_grid

SHAPE = (60, 80)
CLASSES = (("Forest", "#2f6b3c"), ("Cropland", "#ead27a"), ("Water", "#4a86b8"))
DATES = (date(2020, 6, 15), date(2022, 6, 20))
PATCHES = (  # place, code of the change, its probability; hectares are 0.01 times the pixels, nearly
    ((slice(5, 15), slice(5, 15)), 2, 0.8),  # Forest to Cropland, 100 pixels
    ((slice(20, 26), slice(40, 45)), 3, 0.95),  # Forest to Water, 30
    ((slice(30, 50), slice(10, 22)), 5, 0.6),  # Cropland to Water, 240
    ((slice(40, 44), slice(60, 64)), 2, 0.7),  # Forest to Cropland, 16
)
CALIBRATION = KnownCalibration(0.3, 0.3)
UNSEEN = (slice(0, 10), slice(70, 80))
NAMES = ("Nature reserve", "Plan B")


def write_run(
    folder: Path, *, names: tuple[str, ...] = NAMES, classes: tuple[tuple[str, str], ...] = CLASSES,
    project: str = "place", quiet: bool = False, patches: Sequence[tuple[Any, int, float]] = PATCHES,
    assessment: Assessment | None = None, calibration: KnownCalibration = CALIBRATION,
    tested: bool = True, labels: np.ndarray | None = None,
) -> RunRecord:  # fmt: skip
    """Write the folder, and return what its `run.json` holds; `quiet` has no change."""
    folder.mkdir(parents=True, exist_ok=True)
    grid, legend = small_grid(*SHAPE), Legend(tuple(LandUse(i, *entry) for i, entry in enumerate(classes, 1)))
    codes, probability = np.ones(SHAPE, np.uint8), np.full(SHAPE, 0.9, np.float32)
    for where, code, sure in () if quiet else patches:
        codes[where], probability[where] = code if classes else 2, sure
    codes[UNSEEN] = 0
    layers = map_layers(find_map_patches(codes), probability, grid, legend, *DATES, prefix=project)
    changes, summary = layers.changes, None
    if names:
        left, top = grid.transform.c, grid.transform.f
        boxes = [shapely.box(left + 300 * i, top - 400, left + 300 * (i + 1), top + 100) for i in range(len(names))]
        areas = AreasOfInterest(gpd.GeoDataFrame({"name": list(names)}, geometry=boxes, crs=changes.crs), grid)
        changes["areas_of_interest"] = names_of(areas, changes)
        summary = area_summary(areas, find_map_patches(codes), changes, grid, legend, DATES)
    write_changes(
        folder / CHANGES, changes, legend, known=KnownHere(calibration.is_known, tested),
        not_observed=layers.not_observed,
        areas_of_interest=summary, labels=None if labels is None else outline_labels(labels, grid),
    )  # fmt: skip
    write_raster(folder / CHANGE_MAP, codes, grid, nodata=0)
    for number, epoch in enumerate(("before", "after")):
        picture = np.random.default_rng(number).integers(1, 255, (3, *SHAPE)).astype(np.uint8)
        picture[:, codes == 0] = 0
        write_raster(folder / IMAGES[epoch], picture, grid, nodata=0, descriptions=("red", "green", "blue"))
    plain = run_record(legend, project)
    mapped = measure_areas(changes, layers.not_observed, legend, grid)
    run = replace(
        plain, model=replace(plain.model, tested_here=tested), areas=mapped,
        areas_of_interest=AreasNotes(()) if names else None, assessment=assessment or Assessment(),
        files={CHANGE_MAP: "Change map"}, calibration=calibration,
    )  # fmt: skip
    write_record(folder / RUN, run)
    return run


def run_record(legend: Legend, name: str = "place") -> RunRecord:
    """The record of a run of `SHAPE` in which nothing changed, as `landshift detect` writes it."""
    gates = (coverage_gate(0.98), *model_gates(
        beyond=None, calibration=CALIBRATION, same_images=True, adaptation="none", is_verified=True, verdict=None
    ))  # fmt: skip
    return RunRecord(
        name=name, key="k1", before_date=DATES[0], after_date=DATES[1], created="2024-01-01T00:00:00+00:00",
        inputs=(InputFile("a.tif", "before", DATES[0], "sha256:abc"),),
        grid=MapGrid("EPSG:32651", *SHAPE, pixel_size_m=10.0, transform=tuple(small_grid(*SHAPE).transform)[:6]),
        clouds={epoch: ({"scene": "a", "date": str(DATES[0]), "by": "SCL"},) for epoch in ("before", "after")},
        bands=("blue", "green", "red"), units="reflectance", legend=legend.classes, observed=ObservedShares(1.0, 0.5),
        model=UsedModel(
            name=name, encoder="resnet18", weights="sha256:00", description="sha256:11", scores=None, tested_here=True
        ),
        calibration=CALIBRATION, threshold=0.4, margin_px=128.0, network_form="fused",
        steadiness=Steadiness(256, 1, 15.0, 20_000.0, 0.85),
        seconds=SpentSeconds(detect=2.0, model=1.0), alignment=None,
        radiometry=UsedRadiometry(True, False, 200, ((0.1, 0.05),) * 3, notes=("The dates were matched.",)),
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


def known(estimate: float, half: float, most: float = np.inf, method: str = STEHMAN) -> Interval:
    """An estimate with an interval of this half width, cut at 0 and `most`."""
    return Interval(estimate, half / 1.96, max(estimate - half, 0.0), min(estimate + half, most), method)


def estimated_class(
    code: int, name: str, mapped_ha: float, area: Interval, samples: int, *, shares: tuple[Interval, Interval] | None = None
) -> EstimatedClass:
    """A class of a judged map; accuracies that nobody set are those of its code, and unknown without samples."""
    users, producers = shares or (
        (known(0.1234567 * code, 0.0196008, 1), known(0.7654321 / code, 0.0392, 1, WILSON)) if samples else (UNKNOWN, UNKNOWN)
    )
    return EstimatedClass(code, name, "#123456", mapped_ha, area, users, producers, samples)


def small_estimates() -> Estimates:
    """Forest and built-up on 100 ha of which 25 pixels were judged; built-up to forest is mapped, and never met."""
    lost = known(16.9, 17.052, 100)
    kinds = ("Unchanged", "Forest to Built-up", "Built-up to Forest")
    strata = ((890, 89.0, 10, 11), (100, 10.0, 10, 10), (10, 1.0, 5, 5))
    forest, built = known(43.1, 17.64, 100), known(40, 17.64, 100)
    transitions = {
        "area_ha": 16.9, "gain_intensity": 0.281667, "gain_uniform": 0.281667, "gain": "uniform",
        "loss_intensity": 0.297, "loss_uniform": None, "loss": None,
    }  # fmt: skip
    never = dict.fromkeys(transitions, 0.0) | {"gain": None, "loss": None}
    return Estimates(
        run="3e4223b458fbb0b5", confidence_level=0.95,
        samples=JudgedSample(
            total=26, used=25, untold=0, seed=0, file="judged.gpkg",
            strata=tuple(
                JudgedStratum(code, name, (code,), pixels, area_ha=mapped, judged=judged, drawn=drawn)
                for code, (name, (pixels, mapped, judged, drawn)) in enumerate(zip(kinds, strata, strict=True), 1)
            ),
        ),
        overall_accuracy=known(0.881, 0.1568, 1),
        changed=AllChanges(11.0, lost, known(0.727273, 0.196, 1), known(0.473373, 0.392, 1)),
        changes=(
            estimated_class(1, kinds[0], 89.0, known(83.1, 17.052, 100), 16), estimated_class(2, kinds[1], 10.0, lost, 9),
            estimated_class(3, kinds[2], 1.0, UNKNOWN, 0),
        ),
        landuse_before=(
            estimated_class(1, "Forest", 61.0, known(60.00004, 17.64, 100), 15),
            estimated_class(2, "Built-up", 39.0, built, 10),
        ),
        landuse_after=(
            estimated_class(1, "Forest", 52.0, forest, 12),
            estimated_class(2, "Built-up", 48.0, known(56.9, 17.64, 100), 13),
        ),
        matrix=ErrorMatrix(
            (1, 2, 3), kinds, ((9, 1, 0), (2, 8, 0), (5, 0, 0)), ((80.1, 8.9, 0.0), (2.0, 8.0, 0.0), (1.0, 0.0, 0.0))
        ),
        transitions=TransitionMatrix((1, 2), ("Forest", "Built-up"), ((forest, lost), (UNKNOWN, built))),
        disagreement=Disagreement(0.06900000001, 0.05),
        intensity=Intensity(
            0.169,
            (
                ClassIntensity(1, "Forest", 60.0, 43.1, 0.0, 16.9, 0.0, 0.2816666666, "dormant", "active"),
                ClassIntensity(2, "Built-up", 40.0, 56.9, 16.9, 0.0, 0.297, 0.0, "active", "dormant"),
            ),
            (
                TransitionIntensity(1, "Forest", 2, "Built-up", **transitions),
                TransitionIntensity(2, "Built-up", 1, "Forest", **never),
            ),
        ),
        areas_of_interest=(
            EstimatedArea(
                "Åsby", 40.5, 0.25, 6.0, known(7.5, 3.92, 40), 12, "12 sampled pixels lie here: the intervals are rough.",
                (EstimatedPart(2, kinds[1], 5.5, known(7.5, 3.92, 40)), EstimatedPart(3, kinds[2], 0.5, UNKNOWN)),
            ),
            EstimatedArea("Três Rios", 3.0, 3.0, 0.0, UNKNOWN, 0, "Nothing was observed here on both dates.", ()),
        ),
        not_observed_ha=7.5, notes=("Mapped hectares are biased.", "=7.5 ha were not observed."),
    )  # fmt: skip


def estimates_of(run: RunRecord) -> Estimates:
    """Estimates of a run: each change a tenth larger than mapped, and one that the map missed."""
    shares = (known(0.875, 0.0625), UNKNOWN)
    codes = [entry.code for entry in run.legend]
    cells = tuple(tuple(known(100.0 * x + y, 1.0) for y in range(len(codes))) for x in range(len(codes)))
    found = small_estimates()
    return replace(
        found, run=run.key, samples=replace(found.samples, total=120, used=117, strata=()),
        overall_accuracy=known(0.9375, 0.03125),
        changed=AllChanges(run.areas.changed_ha, known(12.25, 1.5), known(0.75, 0.125), known(0.5, 0.25)),
        changes=(
            estimated_class(1, "Unchanged", 40.0, known(39.0, 3.0), 25, shares=shares),
            *(
                estimated_class(r.code, r.name, r.area_ha, known(1.1 * r.area_ha, 0.5), 25, shares=shares)
                for r in run.areas.changes
            ),
            estimated_class(4, "Cropland to Forest", 0.0, known(7.5, 2.5), 25, shares=shares),
        ),
        landuse_before=(), landuse_after=(), matrix=ErrorMatrix((), (), (), ()),
        transitions=TransitionMatrix(tuple(codes), (), cells) if codes else None,
        disagreement=Disagreement(0.0125, 0.0375), intensity=None,
        areas_of_interest=tuple(
            EstimatedArea(name, 1.0, 0.0, 1.0, known(1.25, 0.25), 12, "Few samples.", ()) for name in NAMES
        ),
        not_observed_ha=run.areas.not_observed_ha, notes=("3 samples were not judged.",),
    )  # fmt: skip


def parts_of(decision: Decision) -> MapParts:
    """A map that is in memory, as rasters are written from."""
    return MapParts(decision.change, probability_codes(decision.change_probability), decision.before, decision.after)
