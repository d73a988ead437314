"""Judge: calibrate on the validation blocks, score the test blocks once, and score classical methods on the same pixels."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.labelling import TEST, VALIDATION, read_masks
from flows.prepare import Prepared
from flows.progress import step
from flows.workspace import Workspace
from pipeline.accuracy import binary_scores, class_scores, transition_scores
from pipeline.calibration import (
    always_unchanged,
    best_threshold,
    cooled,
    cooled_classes,
    expected_calibration_error,
    fit_temperature,
    logit,
)
from pipeline.change import decide
from pipeline.classical import fit_change_vector, fit_ir_mad, otsu_threshold, sample_pixels
from pipeline.labels import Labels
from pipeline.legend import NOT_LABELLED, Legend
from pipeline.manifest import value_hash, write_json
from pipeline.raster import RasterReader
from pipeline.tiles import Window, tiles

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.network import ChangeNetwork

_ROWS = "classical.json"
_STRIP = 512


@dataclass(frozen=True)
class _Pixels:
    """The labelled pixels of the held-out splits; the arrays are (1, pixel), those of classes (class, 1, pixel)."""

    change: np.ndarray | None
    before: np.ndarray | None
    after: np.ndarray | None
    labels: Labels
    role: np.ndarray


def classical_rows(ws: Workspace, prepared: Prepared, labels_hash: str) -> dict[str, Any]:
    """Score classical methods on the test pixels, each with Otsu's threshold and with one chosen on validation pixels.

    Returns:
        Row name to scores.
    """
    key = value_hash([prepared.hashes, labels_hash, "classical 2"])
    manifest = ws.manifest(ws.training)
    path = ws.training / _ROWS
    if not manifest.is_current("classical", key):
        with step("Classical methods") as advance:
            labels, role = read_masks(ws)
            rows = {}
            methods = _classical_scores(prepared, role.shape)
            for number, (name, score) in enumerate(methods.items(), start=1):
                thresholds = {
                    "Otsu": otsu_threshold(_sampled(score)),
                    "validation": best_threshold(*_known(score, labels.change, role == VALIDATION)),
                }
                for rule, threshold in thresholds.items():
                    scores = binary_scores(*_known(labels.change, score, role == TEST), threshold)
                    rows[f"{name}, threshold by {rule}"] = {"threshold": float(threshold), **scores.as_dict()}
                advance(number / len(methods))
        write_json(path, rows)
        manifest.record("classical", key, [path])
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _classical_scores(prepared: Prepared, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    readers = [RasterReader(p) for p in prepared.images]
    strips = [Window(y, 0, min(_STRIP, shape[0] - y), shape[1]) for y in range(0, shape[0], _STRIP)]
    each = max(1_000_000 // len(strips), 1)
    parts = [sample_pixels(readers[0].read(s), readers[1].read(s), each) for s in strips]
    before, after = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    mad = fit_ir_mad(before, after)
    methods: dict[str, Any] = {
        "Change vector analysis": fit_change_vector(before, after).apply,
        # The square root of the chi-square statistic, whose two modes Otsu's threshold can tell apart.
        "IR-MAD": lambda b, a: np.sqrt(mad.apply(b, a)),
    }
    bands = readers[0].info.descriptions
    if {"red", "nir"} <= set(bands):
        red, nir = bands.index("red"), bands.index("nir")

        def greenness(image: np.ndarray) -> np.ndarray:
            total = image[nir] + image[red]
            ratio = np.full_like(total, np.nan)
            return np.asarray(np.divide(image[nir] - image[red], total, out=ratio, where=np.abs(total) > 1e-9))

        methods["NDVI difference"] = lambda b, a: np.abs(greenness(a) - greenness(b))
    return {n: np.concatenate([m(*(r.read(s) for r in readers)) for s in strips]) for n, m in methods.items()}


def _sampled(score: np.ndarray) -> np.ndarray:
    seen = score[np.isfinite(score)]
    return np.asarray(seen[:: max(len(seen) // 1_000_000, 1)])


def _known(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the labelled, observed pixels of two arrays of which one is a uint8 label and the other a score."""
    label, score = (first, second) if first.dtype == np.uint8 else (second, first)
    kept = where & (label != NOT_LABELLED) & np.isfinite(score)
    return first[kept], second[kept]


def judge(ws: Workspace, prepared: Prepared, bundle: "Bundle", network: "ChangeNetwork") -> "tuple[Bundle, dict[str, Any]]":
    """Calibrate on the validation pixels, then score the test pixels once."""
    from models.inference import Temperatures

    seen = _predicted(ws, prepared, network)
    change, before, after, labels, role = seen.change, seen.before, seen.after, seen.labels, seen.role
    held_out = role == VALIDATION
    temperatures = Temperatures()
    if change is not None:
        temperatures = replace(temperatures, change=_change_temperature(change, labels.change, held_out))
        change = cooled(change, temperatures.change)
    if before is not None and after is not None:
        landuse = _landuse_temperature(before, after, labels, bundle.legend, held_out)
        temperatures = replace(temperatures, landuse=landuse)
        before, after = cooled_classes(before, landuse), cooled_classes(after, landuse)
    if change is not None:
        probability = change
    elif before is not None and after is not None:
        probability = np.asarray(1.0 - np.einsum("kyx,kyx->yx", before, after), dtype=np.float32)
    else:
        raise ValueError("the network has no head")
    threshold = best_threshold(*_known(probability, labels.change, held_out))
    decided = decide(change, before, after, bundle.legend, threshold)
    test = role == TEST
    scored, truth = _known(probability, labels.change, test)
    scores: dict[str, Any] = {
        "seed": bundle.facts["seed"], "validation_score": bundle.facts["fit"]["best_score"], "threshold": threshold,
        "temperatures": asdict(temperatures), "test": binary_scores(truth, scored, threshold).as_dict(),
        "calibration_error": expected_calibration_error(scored, truth),
        "warnings": [w for w in [always_unchanged(*_known(probability, labels.change, held_out), threshold)] if w],
    }  # fmt: skip
    if decided.before is not None and decided.after is not None:
        dates_found = (("landuse_before", labels.before, decided.before), ("landuse_after", labels.after, decided.after))
        for name, true, found in dates_found:
            known = test & (true != NOT_LABELLED) & (found != 0)
            scores[name] = class_scores(true[known], found[known], bundle.legend).as_dict()
        scores["transitions"] = _transitions(labels, decided.change, test, bundle.legend)
    calibrated = replace(bundle, temperatures=temperatures, threshold=threshold, facts={**bundle.facts, "scores": scores})
    return calibrated, scores


def _predicted(ws: Workspace, prepared: Prepared, network: "ChangeNetwork") -> _Pixels:
    """Predict the tiles that hold a labelled pixel of the held-out splits, and keep just those pixels."""
    from models.inference import Temperatures, device_of, stream

    labels, role = read_masks(ws)
    used = np.isin(role, (VALIDATION, TEST)) & labels.labelled
    config = ws.project.detect
    wanted = [t for t in tiles((role.shape[0], role.shape[1]), config.core, config.margin_px) if used[t.core.slices].any()]
    network = network.to(device_of(config.device)).eval()
    truth = {"label_before": labels.before, "label_after": labels.after, "label_change": labels.change, "role": role}
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    with step("Judging") as advance:
        for number, (tile, said) in enumerate(stream(network, prepared.images, wanted, Temperatures()), start=1):
            inside = used[tile.core.slices]
            for name, array in (("change", said.change), ("before", said.before), ("after", said.after)):
                if array is not None:
                    parts[name].append(array[..., inside])
            for name, array in truth.items():
                parts[name].append(array[tile.core.slices][inside])
            advance(number / len(wanted))
    network.to("cpu")
    # One row of pixels, so that the rules for maps apply as they are.
    rows = {name: np.concatenate(part, axis=-1)[..., np.newaxis, :] for name, part in parts.items()}
    known = Labels(rows["label_before"], rows["label_after"], rows["label_change"])
    return _Pixels(rows.get("change"), rows.get("before"), rows.get("after"), known, rows["role"])


def _transitions(labels: Labels, found: np.ndarray, test: np.ndarray, legend: Legend) -> dict[str, Any]:
    known = test & (labels.before != NOT_LABELLED) & (labels.after != NOT_LABELLED) & (found != 0)
    truth = legend.change_lookup()[labels.before[known], labels.after[known]]
    return transition_scores(truth, found[known], legend).as_dict()


def _change_temperature(probability: np.ndarray, label: np.ndarray, where: np.ndarray) -> float:
    said, truth = _known(probability, label, where)
    return fit_temperature(logit(said), truth)


def _landuse_temperature(before: np.ndarray, after: np.ndarray, labels: Labels, legend: Legend, where: np.ndarray) -> float:
    index = np.full(256, NOT_LABELLED, dtype=np.uint8)
    index[[c.code for c in legend.classes]] = np.arange(len(legend.classes))
    logits, truth = [], []
    for share, label in ((before, labels.before), (after, labels.after)):
        known = where & (label != NOT_LABELLED) & np.isfinite(share[0])
        logits.append(np.log(np.clip(share[:, known].T, 1e-12, 1)))
        truth.append(index[label[known]])
    return fit_temperature(np.concatenate(logits), np.concatenate(truth))
