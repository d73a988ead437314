"""Judge a network on a collection: calibrated on the validation chips, scored once on the test chips, image by image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from landshift.flows.runtime.progress import step
from landshift.flows.steps.learning.judging import Calibrated, HeldOut, calibrate, score_kinds, score_landuse
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.decision import decide
from landshift.pipeline.chips.layout import Chip
from landshift.pipeline.chips.read import ChipReader
from landshift.pipeline.chips.scoring import score_images, scores_of_cells, summarise_images
from landshift.pipeline.chips.survey import Survey
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.search import ROLES, TEST, VALIDATION
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.scores.accuracy import evidence_of_cells
from landshift.pipeline.scores.calibration import always_unchanged
from landshift.pipeline.scores.release import BlockTally, tally_blocks
from landshift.pipeline.scores.reliability import calibration_error_of
from landshift.pipeline.scores.training import CandidateScores, ImageScore, Temperatures
from landshift.pipeline.tiles import Tile, Window, tiles

if TYPE_CHECKING:
    from landshift.models.network.siamese import Siamese
    from landshift.models.use.bundle import Bundle
    from landshift.models.use.inference import Probabilities

KEPT = 2_000_000
"""Labelled pixels of a split that are kept at once, at most: of each chip as many. Counts are of all pixels."""


@dataclass(frozen=True)
class ChipJudgement:
    """A network after its calibration and its scores."""

    bundle: "Bundle"
    """With temperatures and threshold."""
    scores: CandidateScores
    """On the test chips."""
    images: tuple[ImageScore, ...]
    """Every test chip with a labelled, observed pixel."""
    tallies: tuple[BlockTally, ...]
    """Of each validation chip, of the pixels that were kept."""


def judge_on_chips(
    ws: Workspace, survey: Survey, reader: ChipReader, bundle: "Bundle", network: "Siamese"
) -> ChipJudgement:  # fmt: skip
    """Calibrate on the validation chips, then score the test chips once; a chip is the block of all intervals."""
    from landshift.models.use.inference import device_of

    legend, network = bundle.legend, network.to(device_of(ws.project.detect.device)).eval()
    predict = _Predictor(ws, reader, network)
    seen = predict.sample(survey, VALIDATION)
    calibrated = calibrate(seen, legend, seen.position, ws.project.calibration.max_miss_rate)
    temperatures, threshold = calibrated.temperatures, calibrated.threshold
    chips = [f.chip for f in survey.of(ROLES[TEST])]
    cells, kept = np.zeros((4, len(chips)), dtype=np.int64), []
    with step("Judging") as advance:
        for number, found in enumerate(predict.each(chips, TEST)):
            calm = found.at(temperatures)
            change = decide(calm.change, calm.before, calm.after, legend, threshold=threshold).change
            known = (found.labels.change != NOT_LABELLED) & (change > 0)
            changed, mapped = found.labels.change[known] == 1, change[known] > 1
            parts = (changed & mapped, ~changed & mapped, changed & ~mapped, ~changed & ~mapped)
            cells[:, number] = [int(part.sum()) for part in parts]
            kept.append(_thin(calm, max(KEPT // len(chips), 1), number))
            advance((number + 1) / len(chips))
    network.to("cpu")
    test = _join(kept)
    images = score_images(cells, [c.name for c in chips])
    scores = _score(bundle, calibrated, test, cells=cells[:, cells.sum(axis=0) > 0], images=images)
    scores = replace(scores, phases=ws.project.detect.phases)
    return ChipJudgement(
        replace(bundle, temperatures=temperatures, threshold=threshold), scores, images, _tally(calibrated)
    )  # fmt: skip


def _score(
    bundle: "Bundle", calibrated: Calibrated, test: HeldOut, cells: np.ndarray, images: Sequence[ImageScore]
) -> CandidateScores:
    labels, probability, threshold = test.labels, test.probability, calibrated.threshold
    known = (labels.change != NOT_LABELLED) & np.isfinite(probability)
    truth, scored = labels.change[known], probability[known]
    both = 0 < int(truth.sum()) < truth.size
    evidence = evidence_of_cells(cells)
    decided = decide(test.change, test.before, test.after, bundle.legend, threshold=threshold)
    validation = calibrated.cooled.probability, calibrated.raw.labels.change
    warning = always_unchanged(*validation, threshold)
    everywhere = np.ones(labels.change.shape, dtype=bool)
    scores = CandidateScores(
        seed=bundle.facts.seed, strategy=bundle.facts.strategy, validation_score=bundle.facts.fit.best_score,
        threshold=threshold, temperatures=calibrated.temperatures,
        test=scores_of_cells(cells, float(roc_auc_score(truth, scored)) if both else None),
        calibration_error=calibration_error_of(scored, truth), evidence=evidence,
        kinds=score_kinds(labels, decided.change, everywhere, test.position, legend=bundle.legend),
        warnings=tuple(sentence for sentence in (warning, evidence.caution) if sentence),
        risk_control=calibrated.risk, temperature_checks=calibrated.checks, images=summarise_images(images),
    )  # fmt: skip
    return score_landuse(scores, labels, decided, everywhere, legend=bundle.legend)


def _tally(calibrated: Calibrated) -> tuple[BlockTally, ...]:
    probability, labels = calibrated.cooled.probability, calibrated.raw.labels.change
    known = (labels != NOT_LABELLED) & np.isfinite(probability)
    found = probability[known]
    return tally_blocks(labels[known], found >= calibrated.threshold, calibrated.raw.position[known], found)


@dataclass(frozen=True)
class _Predictor:
    """Predicts chips whole, one after another."""

    ws: Workspace
    reader: ChipReader
    network: "Siamese"

    def sample(self, survey: Survey, role: int) -> HeldOut:
        """Predict the chips of a role, and keep as many labelled pixels of each."""
        chips = [f.chip for f in survey.of(ROLES[role])]
        each = max(KEPT // len(chips), 1)
        parts = []
        with step("Calibrating") as advance:
            for number, found in enumerate(self.each(chips, role)):
                parts.append(_thin(found, each, number))
                advance((number + 1) / len(chips))
        return _join(parts)

    def each(self, chips: Sequence[Chip], role: int) -> Iterator[HeldOut]:
        """Yield the labelled pixels of each chip at temperatures of 1; their position is the number of the chip."""
        for number, chip in enumerate(chips):
            before, after, labels = self.reader.read(chip)
            known = labels.labelled
            shape, classes = (1, int(known.sum())), self.network.spec.classes
            # The class-wise arrays of a chip are let go once its labelled pixels are taken.
            change = np.full(labels.change.shape, np.nan, np.float32) if self.network.spec.heads != "landuse" else None
            dates = [np.full((classes, *labels.change.shape), np.nan, np.float32) for _ in range(2 if classes else 0)]
            for tile in self._tiles(labels.change.shape):
                found = self._predict(before, after, tile)
                if change is not None and found.change is not None:
                    change[tile.core.slices] = found.change
                for whole, part in zip(dates, (found.before, found.after), strict=False):
                    if part is not None:
                        whole[(slice(None), *tile.core.slices)] = part
            first, second = (whole[:, known].reshape(-1, *shape) for whole in dates) if dates else (None, None)
            layers = (layer[known].reshape(shape) for layer in (labels.before, labels.after, labels.change))
            yield HeldOut(
                None if change is None else change[known].reshape(shape), first, second, _label(*layers),
                role=np.full(shape, role, dtype=np.uint8), position=np.full(shape, number, dtype=np.int64),
            )  # fmt: skip

    def _tiles(self, shape: tuple[int, int]) -> list[Tile]:
        """Cut a large chip as detect does; a small one needs no margin, for beyond its edges there is nothing."""
        config = self.ws.project.detect
        return tiles(shape, config.core, 0 if max(shape) <= config.core else config.margin_px)

    def _predict(self, before: np.ndarray, after: np.ndarray, tile: Tile) -> "Probabilities":
        from landshift.models.use.inference import beyond_edges, predict, reach_back, reach_of
        from landshift.pipeline.epochs.matching import PairWindow

        phases, shape = self.ws.project.detect.phases, (before.shape[1], before.shape[2])
        wide = reach_back(tile.read, reach_of(phases))
        window = PairWindow(*(_cut(image, wide, shape) for image in (before, after)))
        shown = beyond_edges(window, wide, shape)
        inner = tile.core.within(tile.read)
        return predict(self.network, window, Temperatures(), shown=shown, phases=phases, part=inner)


def _label(before: np.ndarray, after: np.ndarray, change: np.ndarray) -> Labels:
    return Labels(before, after, change)


def _cut(image: np.ndarray, window: Window, shape: tuple[int, int]) -> np.ndarray:
    """Return a window (band, y, x) of an image, NaN beyond its edges."""
    out = np.full((len(image), window.height, window.width), np.nan, dtype=np.float32)
    inside = window.clip(shape)
    out[(slice(None), *inside.within(window).slices)] = image[(slice(None), *inside.slices)]
    return out


def _thin(found: HeldOut, count: int, seed: int) -> HeldOut:
    """Keep at most so many pixels, drawn at random."""
    pixels = found.role.shape[1]
    if pixels <= count:
        return found
    kept = np.sort(np.random.default_rng(seed).choice(pixels, count, replace=False))
    return _apply(lambda parts: parts[0][..., kept], [found])


def _join(parts: Sequence[HeldOut]) -> HeldOut:
    return _apply(lambda arrays: np.concatenate(arrays, axis=-1), parts)


def _apply(make: Callable[[list[np.ndarray]], np.ndarray], parts: Sequence[HeldOut]) -> HeldOut:
    """Make one record of held-out pixels of the same arrays of several."""

    def of(take: Callable[[HeldOut], np.ndarray | None]) -> np.ndarray | None:
        arrays = [take(part) for part in parts]
        known = [a for a in arrays if a is not None]
        return make(known) if len(known) == len(arrays) else None

    layers = (make([getattr(p.labels, name) for p in parts]) for name in ("before", "after", "change"))
    return HeldOut(
        of(lambda p: p.change), of(lambda p: p.before), of(lambda p: p.after), _label(*layers),
        role=make([p.role for p in parts]), position=make([p.position for p in parts]),
    )  # fmt: skip
