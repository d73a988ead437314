"""Classical methods, scored on the same pixels as the network."""

from collections.abc import Callable

import numpy as np

from landshift.flows.runtime.progress import step
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.judging import keep_labelled
from landshift.flows.steps.learning.labelling import read_masks
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.epochs.classical import fit_change_vector, fit_ir_mad, otsu_threshold, sample_pixels
from landshift.pipeline.labels.regions import block_index
from landshift.pipeline.labels.search import TEST, VALIDATION
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.raster.images import ImageReader, open_readers
from landshift.pipeline.records import read_record, write_record
from landshift.pipeline.scores.accuracy import MethodScores, binary_scores, score_evidence
from landshift.pipeline.scores.calibration import best_threshold
from landshift.pipeline.scores.release import BlockTally, tally_blocks
from landshift.pipeline.tiles import strips

_ROWS, _PRIOR = "classical.json", "classical_validation.json"


def classical_rows(ws: Workspace, prepared: Pair, labels_hash: str) -> dict[str, MethodScores]:
    """Score classical methods on the test pixels, each with Otsu's threshold and with one chosen on validation pixels.

    Returns:
        Scores by the name of the row.
    """
    key = value_hash([prepared.hashes, labels_hash, "classical 4", ws.project.split.block_px])
    manifest = ws.manifest(ws.training)
    path = ws.training / _ROWS
    if not manifest.is_current("classical", key):
        with step("Classical methods") as advance:
            masks = read_masks(ws)
            labels, role = masks.labels, masks.role
            height, width = role.shape
            block = block_index(np.arange(height)[:, None], np.arange(width), width, ws.project.split.block_px)
            rows, prior = {}, tuple[BlockTally, ...]()
            with open_readers(*prepared.images) as readers:
                methods = _classical_scores(readers)
            for number, (name, score) in enumerate(methods.items(), start=1):
                thresholds = {
                    "Otsu": otsu_threshold(_sample(score)),
                    "validation": best_threshold(*keep_labelled(score, labels.change, role == VALIDATION)),
                }
                for rule, threshold in thresholds.items():
                    known = (role == TEST) & (labels.change != NOT_LABELLED) & np.isfinite(score)
                    truth, found = labels.change[known], score[known]
                    evidence = score_evidence(truth, found >= threshold, block[known])
                    scores = vars(binary_scores(truth, found, threshold))
                    if (name, rule) == ("IR-MAD", "Otsu"):
                        seen = (role == VALIDATION) & (labels.change != NOT_LABELLED) & np.isfinite(score)
                        prior = tally_blocks(labels.change[seen], score[seen] >= threshold, block[seen])
                    rows[f"{name}, threshold by {rule}"] = MethodScores(threshold=float(threshold), **scores, evidence=evidence)
                advance(number / len(methods))
        write_record(path, rows)
        write_record(ws.training / _PRIOR, prior)
        manifest.record("classical", key, [path, ws.training / _PRIOR])
    return read_record(path, dict[str, MethodScores])


def prior_tallies(ws: Workspace) -> tuple[BlockTally, ...]:
    """Return how the map of IR-MAD by Otsu's threshold does in each validation block, as `classical_rows` wrote it."""
    path = ws.training / _PRIOR
    return read_record(path, tuple[BlockTally, ...]) if path.is_file() else ()


def _classical_scores(readers: tuple[ImageReader, ...]) -> dict[str, np.ndarray]:
    work = strips(readers[0].info.shape)
    each = max(1_000_000 // len(work), 1)
    parts = [sample_pixels(readers[0].read(s), readers[1].read(s), each) for s in work]
    before, after = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    mad = fit_ir_mad(before, after)
    methods: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "Change vector analysis": fit_change_vector(before, after).apply,
        # The square root of the chi-square statistic, whose two modes Otsu's threshold separates.
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
    return {n: np.concatenate([m(*(r.read(s) for r in readers)) for s in work]) for n, m in methods.items()}


def _sample(score: np.ndarray) -> np.ndarray:
    seen = score[np.isfinite(score)]
    return np.asarray(seen[:: max(len(seen) // 1_000_000, 1)])
