"""Classical methods over a whole pair: the raw map of a run without a model, and the second opinion on a model's."""

import time
from contextlib import ExitStack

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.detection.layers import AT_ONCE, beside_of, layers_of, writing_layers
from landshift.flows.steps.detection.raw_map import RawMap
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.published import raster_tags
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import probability_codes
from landshift.pipeline.epochs.agreement import spread_pixels
from landshift.pipeline.epochs.detector import SAMPLED, TITLES, ClassicalDetector, ClassicalMethod, change_codes, fit_detector
from landshift.pipeline.epochs.observed import cover_of
from landshift.pipeline.legend import NOT_OBSERVED, Legend
from landshift.pipeline.raster.images import open_readers
from landshift.pipeline.records import content_of
from landshift.pipeline.run.record import ClassicalThreshold, UsedAdaptation, UsedClassical
from landshift.pipeline.tiles import Window, pieces


def map_by_statistic(ws: Workspace, prepared: Pair, key: str, method: ClassicalMethod) -> RawMap:
    """Map a pair by a classical method, as the raw map of a run.

    Raises:
        InputError: Too little was observed, a band is the same everywhere, or both dates are the same image.
    """
    started, folder, config, grid = time.perf_counter(), ws.work / key, ws.project.detect, prepared.plan.grid
    beside = beside_of(prepared, None, raster_tags(ws, prepared.plan, key))
    paths = {name: folder / f"raw_{name}.tif" for name in (*layers_of(Legend()), *beside.names)}
    shape = (grid.shape[0], grid.shape[1])
    with ExitStack() as stack, step(f"{TITLES[method]}") as advance:
        before, after = stack.enter_context(open_readers(*prepared.images))
        detector = fit_detector(*spread_pixels(before, after, limit=SAMPLED), method, config.false_alarm_rate)
        threshold = detector.otsu if config.classical_threshold == "otsu" else detector.false_alarm.value
        writer = stack.enter_context(writing_layers(beside, paths, Window(0, 0, *shape)))
        seen, above = 0, np.zeros(2, dtype=np.int64)
        work = pieces(shape, AT_ONCE)
        for number, window in enumerate(work, start=1):
            images = before.read(window), after.read(window)
            statistic = detector.statistic(*images)
            codes = change_codes(statistic, threshold)
            mapped = {"change": codes, "change_probability": probability_codes(detector.score(statistic))}
            writer.add(window, images, mapped)
            seen += int((codes != NOT_OBSERVED).sum())
            above += [int((statistic >= value).sum()) for value in (detector.otsu, detector.false_alarm.value)]
            advance(number / len(work))
    raw = RawMap(
        seconds=time.perf_counter() - started, model_seconds=0.0, margin=0.0, threshold=None, cost=None,
        adaptation=UsedAdaptation("none", False, None, None, notes=()), beyond=None, observed=cover_of(writer.count),
        classical=_describe(ws, detector, [n / max(seen, 1) for n in above.tolist()]),
    )  # fmt: skip
    ws.manifest(folder).record("raw", key, list(paths.values()), content_of(raw))
    return raw


def legend_in_use(ws: Workspace) -> Legend:
    """Return what a run of the project can map: the model's classes; changed and unchanged by a classical method."""
    if ws.project.detect.method != "model":
        return Legend()
    from landshift.models.use.bundle import describe

    return describe(ws.model_in_use).legend


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
