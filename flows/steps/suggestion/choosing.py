"""Blocks and patches to label next: what is asked of each pixel, window by window, so that memory does not grow."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine

from landshift.flows.runtime.progress import step
from landshift.flows.steps.suggestion.ground import Ground
from landshift.pipeline.change.decision import PROBABILITY_NODATA, PROBABILITY_SCALE
from landshift.pipeline.epochs.agreement import spread_pixels
from landshift.pipeline.epochs.detector import SAMPLED, ClassicalDetector, fit_detector
from landshift.pipeline.epochs.matching import PairReader
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import pixel_area_ha
from landshift.pipeline.labels.patches import cut_patches, outline_patches
from landshift.pipeline.labels.suggesting import (
    BlockTable,
    ChosenBlock,
    Looks,
    choose_blocks,
    disagreement_of,
    doubt_of,
    explain_block,
    fit_looks,
    join_tables,
    table_blocks,
)
from landshift.pipeline.raster.images import ImageReader, open_readers
from landshift.pipeline.review.suggestions import SuggestedBlock, SuggestedPatch
from landshift.pipeline.tiles import Window, spread_windows, strips

_RATE = 0.01
"""Of false alarms; the chance of change does not depend on it."""
_LOOKED_AT = 50_000
"""Pixels that the kinds of look are found on, at most."""


@dataclass(frozen=True)
class Choice:
    """What is suggested."""

    labelled: int
    """Blocks that hold labels."""
    usable: int
    """Blocks that could be chosen."""
    blocks: tuple[SuggestedBlock, ...]
    """By rank."""
    patches: tuple[SuggestedPatch, ...]
    """Those of the first block first."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked of the pixels of a window."""

    values: np.ndarray
    """float64 (value, y, x): both dates and their difference, NaN = not observed."""
    chance: np.ndarray
    """float64 (y, x), 0..1: mean over the methods."""
    doubt: np.ndarray
    """float64 (y, x), 0..1."""
    disagreement: np.ndarray
    """float64 (y, x), 0..1."""


class _Asker:
    """Reads a territory and asks every method about it."""

    def __init__(self, pair: PairReader, plain: tuple[ImageReader, ...], members: tuple[ImageReader, ...]) -> None:
        self._pair, self._plain, self._members = pair, plain, members
        before, after = spread_pixels(plain[0], plain[1], limit=SAMPLED)
        self._detector: ClassicalDetector = fit_detector(before, after, "ir-mad", _RATE)

    def values(self, window: Window) -> np.ndarray:
        """Return both dates and their difference, float32 (value, y, x), NaN = not observed."""
        found = self._pair.read(window)
        return np.concatenate([found.before, found.after, found.after - found.before])

    def ask(self, window: Window) -> _Asked:
        """Ask about a window; IR-MAD sees the images as they are."""
        statistic = self._detector.statistic(*(reader.read(window) for reader in self._plain))
        chances = [self._detector.score(statistic), *(_chance(reader, window) for reader in self._members)]
        votes = np.stack(chances).astype(np.float64)
        mean = votes.mean(axis=0)
        return _Asked(self.values(window).astype(np.float64), mean, doubt_of(mean), disagreement_of(votes))


def _chance(reader: ImageReader, window: Window) -> np.ndarray:
    codes = reader.read(window)[0]
    return np.where(codes == PROBABILITY_NODATA, np.nan, codes * PROBABILITY_SCALE)


@contextmanager
def _open(ground: Ground) -> Iterator[_Asker]:
    with (
        ground.source.open() as pair, open_readers(*ground.source.images) as plain,
        open_readers(*(m.chances for m in ground.members)) as members,
    ):  # fmt: skip
        yield _Asker(pair, plain, members)


def choose(ground: Ground, blocks: int, patches: int) -> Choice:
    """Choose blocks of a territory, and patches within each.

    Args:
        ground: The territory.
        blocks: How many blocks at most.
        patches: How many patches of each at most.

    Raises:
        InputError: Too little is observed, both dates are the same image, or every block holds labels.
    """
    side, shape = ground.block_px, ground.grid.shape.yx
    with _open(ground) as asker:
        looks = _find_looks(asker, shape)
        table = _table(ground, asker, looks)
        chosen = choose_blocks(table, blocks)
        if not chosen:
            held = int(table.labelled.sum())
            raise InputError(
                f"No block of {side} pixels can be suggested: {held} of {table.labelled.size} hold labels, and the others are "
                f"hardly observed. Make `split: block_px:` smaller, or choose less cloudy dates."
            )
        suggested, found = [], []
        methods = len(ground.members) + 1
        for rank, block in enumerate(chosen, start=1):
            window = Window(block.row * side, block.column * side, side, side).clip(shape)
            suggested.append(_describe(ground, block, window, rank=rank, voted=methods > 1, first=not table.labelled.any()))
            found += _patches_of(ground, asker.ask(window), looks, window, rank=rank, count=patches)
    if not found:
        raise InputError("The chosen blocks hold no patch of 4 pixels that is observed on both dates: choose other dates.")
    return Choice(int(table.labelled.sum()), int(table.usable.sum()), tuple(suggested), tuple(found))


def _find_looks(asker: _Asker, shape: tuple[int, int]) -> Looks:
    windows = spread_windows(shape)
    parts, rng = [], np.random.default_rng(0)
    for window in windows:
        values = asker.values(window)
        pixels = values[:, np.isfinite(values).all(axis=0)].T.astype(np.float64)
        parts.append(pixels[rng.permutation(len(pixels))[: max(_LOOKED_AT // len(windows), 1)]])
    return fit_looks(np.concatenate(parts))


def _table(ground: Ground, asker: _Asker, looks: Looks) -> BlockTable:
    """Sum up strip by strip, each one row of blocks."""
    parts = []
    work = strips(ground.grid.shape.yx, ground.block_px)
    with step("Looking at every block") as advance:
        for number, strip in enumerate(work, start=1):
            seen = asker.ask(strip)
            parts.append(
                table_blocks(
                    looks.apply(seen.values), seen.doubt, seen.disagreement, ground.labelled[strip.slices],
                    block=ground.block_px, kinds=len(looks.centres),
                )
            )  # fmt: skip
            advance(number / len(work))
    return join_tables(parts)


def _describe(ground: Ground, block: ChosenBlock, window: Window, *, rank: int, voted: bool, first: bool) -> SuggestedBlock:
    reason, use = explain_block(block, voted=voted, first=first)
    corner, side = _corner(ground, window), ground.grid.transform
    right, bottom = corner.c + window.width * side.a, corner.f + window.height * side.e
    return SuggestedBlock(
        rank, block.row, block.column, reason, use=use, doubt=block.doubt, disagreement=block.disagreement,
        novelty=block.novelty, area_ha=round(window.height * window.width * pixel_area_ha(ground.grid), 2),
        outline=shapely.to_wkt(shapely.box(corner.c, bottom, right, corner.f), rounding_precision=-1),
    )  # fmt: skip


def _corner(ground: Ground, window: Window) -> Affine:
    """Return the transform of a window of the north-up grid."""
    t = ground.grid.transform
    return Affine(t.a, 0.0, t.c + window.x * t.a, 0.0, t.e, t.f + window.y * t.e)


def _patches_of(
    ground: Ground, seen: _Asked, looks: Looks, window: Window, *, rank: int, count: int
) -> list[SuggestedPatch]:  # fmt: skip
    height, width = seen.doubt.shape
    values = looks.standardise(seen.values.reshape(len(seen.values), -1).T).T.reshape(-1, height, width)
    cut = cut_patches(values, seen.doubt, seen.disagreement, count)
    outlines, pixels = outline_patches(cut, _corner(ground, window))
    hectares = pixel_area_ha(ground.grid)
    return [
        SuggestedPatch(
            f"{rank}-{number}", rank, float(seen.chance[cut.index == k].mean()),
            area_ha=round(int(n) * hectares, 4), outline=shapely.to_wkt(outline, rounding_precision=-1),
        )
        for number, (k, outline, n) in enumerate(zip(cut.chosen, outlines, pixels, strict=True), start=1)
    ]  # fmt: skip
