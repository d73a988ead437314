"""Pixels drawn from a labelled territory, and the tiles of both dates that hold them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.tiles import mirror, tiles

TILE, MARGIN = 256, 32
"""Pixels: side of what is read at once, and what is read around it."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Places of pixels in a scene."""

    y: np.ndarray
    """int64 (n,): rows."""
    x: np.ndarray
    """int64 (n,): columns."""

    def __len__(self) -> int:
        """Return the number of pixels."""
        return self.y.size


@dataclass(frozen=True, eq=False)
class PixelTile:
    """The sampled pixels of one tile, with the images around them."""

    rows: np.ndarray
    """int64 (n,): their places in the sample."""
    y: np.ndarray
    """int64 (n,): rows within the images."""
    x: np.ndarray
    """int64 (n,): columns within the images."""
    images: tuple[np.ndarray, np.ndarray]
    """Before and after, float32 (band, y, x): the tile with its margin, mirrored beyond the edges of the scene."""


def draw_pixels(label: np.ndarray, groups: np.ndarray, *, limit: int = 2000, seed: int = 0) -> Pixels:
    """Draw about as many pixels of each class, spread as evenly over the groups as their pixels allow.

    Args:
        label: uint8 (y, x), 255 = not labelled.
        groups: Integer (y, x): region or block of each pixel, below 0 = none, which leaves the pixel out.
        limit: Pixels at most; each of the classes that occur gets up to `limit // classes`.
        seed: Of the draw.

    Returns:
        In the order of rows; empty where no pixel is labelled and in a group.

    Raises:
        ValueError: The shapes differ, or `limit` is below the number of classes.
    """
    if label.shape != groups.shape or label.ndim != 2:
        raise ValueError(f"Labels {label.shape} and groups {groups.shape}: expected the same (y, x).")
    usable = np.flatnonzero((label != NOT_LABELLED) & (groups >= 0))
    classes = np.unique(label.ravel()[usable])
    if limit < classes.size:
        raise ValueError(f"A sample of {limit} pixels cannot hold {classes.size} classes.")
    rng = np.random.default_rng(seed)
    chosen = [usable[:0]]
    for value in classes:
        pool = rng.permutation(usable[label.ravel()[usable] == value])
        chosen.append(pool[_in_turns(groups.ravel()[pool], rng)[: limit // classes.size]])
    y, x = np.unravel_index(np.sort(np.concatenate(chosen)), label.shape)
    return Pixels(np.asarray(y, dtype=np.int64), np.asarray(x, dtype=np.int64))


def _in_turns(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order items so that each group, in an order drawn at random, gives one a round."""
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    by_group = np.argsort(index, kind="stable")
    round_ = np.empty_like(by_group)
    round_[by_group] = np.arange(index.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.lexsort((rng.permutation(counts.size)[index], round_))


def read_pixels(pair: PairSource, sample: Pixels, tile: int, margin: int) -> Iterator[PixelTile]:
    """Read each tile that holds sampled pixels.

    Args:
        pair: What is read.
        sample: Which pixels, at least one.
        tile: Side of a tile in pixels, a multiple of 32.
        margin: Pixels read around a tile, a multiple of 32.

    Raises:
        InputError: The sample is empty, or an image cannot be read.
        ValueError: A pixel lies outside the images.
    """
    if not len(sample):
        raise InputError(
            "No pixel is sampled: none is labelled inside a region or block. Label more, or lower `split: block_px:`."
        )
    with pair.open() as reader:
        height, width = shape = reader.shape
        if min(sample.y.min(), sample.x.min()) < 0 or sample.y.max() >= height or sample.x.max() >= width:
            raise ValueError(f"Sampled pixels lie outside the image of {height} x {width} pixels.")
        for place in tiles(shape, tile, margin):
            rows = np.flatnonzero((sample.y // tile == place.row) & (sample.x // tile == place.column))
            if rows.size:
                found = reader.read(place.read)
                images = mirror(found.before, place.read, shape), mirror(found.after, place.read, shape)
                yield PixelTile(rows, sample.y[rows] - place.read.y, sample.x[rows] - place.read.x, images)
