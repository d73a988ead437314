"""Classical methods over a whole pair: the raw map of a run without a model, and the second opinion on a model's."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.detection.raw_map import RawMap
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import PROBABILITY_NODATA, probability_codes
from landshift.pipeline.epochs.agreement import spread_pixels
from landshift.pipeline.epochs.detector import SAMPLED, TITLES, ClassicalDetector, ClassicalMethod, fit_detector
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import Grid
from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, UNCHANGED, Legend
from landshift.pipeline.raster.read import RasterReader, open_readers
from landshift.pipeline.raster.write import Layout, open_writer
from landshift.pipeline.records import content_of, record_of
from landshift.pipeline.run.record import ClassicalThreshold, UsedAdaptation, UsedClassical
from landshift.pipeline.tiles import pieces

SECOND = "raw_second.tif"
"""The IR-MAD map beside the raw map of a model; its name keeps it out of what is published."""
_AT_ONCE = 1 << 18
"""Pixels that are worked on at once: memory does not grow with the scene."""


@dataclass(frozen=True)
class SecondMap:
    """The IR-MAD map beside the raw map of a model."""

    is_there: bool
    """Whether there is one."""
    reason: str = ""
    """Why it could not be made; empty where it was."""


def map_by_statistic(ws: Workspace, prepared: Pair, key: str, method: ClassicalMethod) -> RawMap:
    """Map a pair by a classical method, as the raw map of a run.

    Raises:
        InputError: Too little was observed, a band is the same everywhere, or both dates are the same image.
    """
    started, folder, config, grid = time.perf_counter(), ws.work / key, ws.project.detect, prepared.plan.grid
    paths = folder / "raw_change.tif", folder / "raw_change_probability.tif"
    with ExitStack() as stack, step(f"{TITLES[method]}") as advance:
        before, after = stack.enter_context(open_readers(*prepared.images))
        detector = fit_detector(*spread_pixels(before, after, limit=SAMPLED), method, config.false_alarm_rate)
        threshold = detector.otsu if config.classical_threshold == "otsu" else detector.false_alarm.value
        layouts = (Layout(grid, 1, "uint8", nodata) for nodata in (NOT_OBSERVED, PROBABILITY_NODATA))
        write_change, write_score = (stack.enter_context(open_writer(*pair)) for pair in zip(paths, layouts, strict=True))
        seen, above = 0, np.zeros(2, dtype=np.int64)
        work = pieces((grid.shape[0], grid.shape[1]), _AT_ONCE)
        for number, window in enumerate(work, start=1):
            statistic = detector.statistic(before.read(window), after.read(window))
            codes = _codes(statistic, threshold)
            write_change(window, codes[np.newaxis])
            write_score(window, probability_codes(detector.score(statistic))[np.newaxis])
            seen += int((codes != NOT_OBSERVED).sum())
            above += [int((statistic >= value).sum()) for value in (detector.otsu, detector.false_alarm.value)]
            advance(number / len(work))
    raw = RawMap(
        seconds=time.perf_counter() - started, model_seconds=0.0, margin=0.0, threshold=None, cost=None,
        adaptation=UsedAdaptation("none", False, None, None, notes=()), beyond=None,
        classical=_describe(ws, detector, [n / max(seen, 1) for n in above.tolist()]),
    )  # fmt: skip
    ws.manifest(folder).record("raw", key, list(paths), content_of(raw))
    return raw


def map_second_opinion(ws: Workspace, prepared: Pair, key: str) -> SecondMap:
    """Map a pair by IR-MAD and the stricter of its thresholds beside the map of a model, unless that is done already."""
    folder = ws.work / key
    manifest = ws.manifest(folder)
    if not manifest.is_current("second", key):
        with step("Second opinion by IR-MAD") as advance, open_readers(*prepared.images) as (before, after):
            try:
                detector = fit_detector(
                    *spread_pixels(before, after, limit=SAMPLED), "ir-mad", ws.project.detect.false_alarm_rate
                )
            except InputError as error:
                made, files = SecondMap(False, str(error).rstrip(".")), []
            else:
                advance(0.2)
                made, files = SecondMap(True), [_write_second(folder / SECOND, detector, (before, after), prepared.plan.grid)]
        manifest.record("second", key, files, content_of(made))
    return record_of(SecondMap, manifest.facts("second"), str(folder))


def legend_in_use(ws: Workspace) -> Legend:
    """Return what a run of the project can map: the model's classes; changed and unchanged by a classical method."""
    if ws.project.detect.method != "model":
        return Legend()
    from landshift.models.use.bundle import describe

    return describe(ws.model_in_use).legend


def _write_second(path: Path, detector: ClassicalDetector, images: tuple[RasterReader, RasterReader], grid: Grid) -> Path:
    before, after = images
    # The stricter one: where nothing changed, Otsu's threshold lies amid the noise.
    threshold = max(detector.otsu, detector.false_alarm.value)
    with open_writer(path, Layout(grid, 1, "uint8", NOT_OBSERVED)) as write:
        for window in pieces((grid.shape[0], grid.shape[1]), _AT_ONCE):
            statistic = detector.statistic(before.read(window), after.read(window))
            write(window, _codes(statistic, threshold)[np.newaxis])
    return path


def _codes(statistic: np.ndarray, threshold: float) -> np.ndarray:
    codes = np.where(statistic >= threshold, np.uint8(CHANGED), np.uint8(UNCHANGED))
    codes[np.isnan(statistic)] = NOT_OBSERVED
    return np.asarray(codes)


def _describe(ws: Workspace, detector: ClassicalDetector, shares: list[float]) -> UsedClassical:
    alarm, config = detector.false_alarm, ws.project.detect
    return UsedClassical(
        method=detector.method, title=TITLES[detector.method], used=config.classical_threshold,
        thresholds=(
            ClassicalThreshold("otsu", detector.otsu, shares[0]), ClassicalThreshold("false-alarm", alarm.value, shares[1])
        ),
        rate=alarm.rate, rate_from=alarm.rule, scale=alarm.scale, found=alarm.found,
        pixels=detector.pixels, invariant=detector.invariant, converged=detector.converged, settings=config.classical_hash,
    )  # fmt: skip
