"""Mean features of the blocks of a territory: of both dates, and of their difference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from landshift.models.transfer.features import Encodes, maps_with_channels, require_evaluation
from landshift.models.transfer.pixels import MARGIN, TILE
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.tiles import STRIDE, mirror, tiles


@dataclass(frozen=True, eq=False)
class BlockFeatures:
    """Features of the blocks of a territory."""

    values: np.ndarray
    """float32 (block row, block column, channel), NaN in every channel where no pixel of the block is observed on both
    dates."""
    sizes: tuple[int, int]
    """Channels that are means over both dates, and those that are means of their difference."""


@torch.inference_mode()
def block_embeddings(
    network: Encodes,
    pair: PairSource,
    shape: tuple[int, int],
    block: int,
    *,
    tile: int = TILE,
    margin: int = MARGIN,
    wanted: np.ndarray | None = None,
    device: torch.device,
) -> BlockFeatures:
    """Average the features of both dates, and their difference, over each block of a territory, as `block_means` does.

    Args:
        network: In evaluation mode, on `device`.
        pair: Both dates, as the network is given them.
        shape: Rows and columns of the grid.
        block: Side of a block in pixels, a multiple of 32; the last ones of a row or column may be cut by the edge.
        tile: Side of what is read at once in pixels; at least one block is.
        margin: Pixels read around it, a multiple of 32.
        wanted: bool (block row, block column): blocks that must be embedded; others may be NaN. All where None.
        device: Where the network is.

    Raises:
        InputError: `block` is not a multiple of 32, or an image cannot be read.
        ValueError: The network is in training mode.
    """
    require_evaluation(network)
    if block <= 0 or block % STRIDE:
        raise InputError(f"Blocks of {block} pixels: expected a multiple of {STRIDE}, above 0.")
    # Reads of several blocks, because each read needs its margin.
    wide = max(tile // block, 1)
    out: np.ndarray | None = None
    sizes = (0, 0)
    with pair.open() as reader:
        for place in tiles(shape, block * wide, margin):
            y, x = place.row * wide, place.column * wide
            if wanted is not None and not wanted[y : y + wide, x : x + wide].any():
                continue
            window = reader.read(place.read)
            dates = window.before, window.after
            seen = torch.from_numpy(np.isfinite(np.stack(dates)).all(axis=(0, 1))).to(device)
            shown = [torch.from_numpy(mirror(image, place.read, shape))[None].to(device) for image in dates]
            features = [network.encode(image) for image in shown]
            found = block_means(features, seen, block, margin)
            means = sum(m.shape[1] for m in maps_with_channels(features[0]))
            sizes = means, found.shape[0] - means
            if out is None:
                out = np.full((*(-(-n // block) for n in shape), found.shape[0]), np.nan, dtype=np.float32)
            out[y : y + found.shape[1], x : x + found.shape[2]] = found.transpose(1, 2, 0)
    if out is None:
        raise ValueError(f"A grid of {shape} pixels has no block that is wanted.")
    return BlockFeatures(out, sizes)


def block_means(dates: Sequence[list[Tensor]], seen: Tensor, block: int, margin: int) -> np.ndarray:
    """Average feature maps of both dates, and their difference, over the blocks of a window.

    The means are over the observed pixels of a block. First come those of both dates together, of every map but the input; then
    those of |after - before|, of the input and of every map: it is the difference that the change head decides by, and ground
    that did not change can look alike and still differ from date to date as it never did in the training.

    Args:
        dates: Feature maps of each date, the input itself first, over the window with its margin.
        seen: bool (y, x) of the same window: observed on both dates. A cell counts as often as pixels in it are observed.
        block: Side of a block in pixels, a multiple of 32.
        margin: Pixels around the blocks, a multiple of 32, or 0.

    Returns:
        float32 (channel, block row, block column), the finest map's channels first, NaN where no pixel of a block is observed.
    """
    inside = slice(margin, seen.shape[0] - margin), slice(margin, seen.shape[1] - margin)
    weight = seen[inside].float()[None, None]
    means = [torch.cat(list(_means(maps_with_channels(maps), weight, block, margin))) for maps in dates]
    differences = [(a.float() - b.float()).abs() for b, a in zip(*dates, strict=True) if b.shape[1]]
    difference = torch.cat(list(_means(differences, weight, block, margin)))
    return np.asarray(torch.cat([torch.stack(means).mean(dim=0), difference]).cpu().numpy())


def _means(maps: list[Tensor], weight: Tensor, block: int, margin: int) -> Iterator[Tensor]:
    """Yield the weighted means (channel, block row, block column) of each map; 0 / 0 is NaN."""
    height, width = weight.shape[2:]
    missing = (0, -width % block, 0, -height % block)
    for features in maps:
        step = (height + 2 * margin) // features.shape[2]
        cut = margin // step
        cells = functional.avg_pool2d(weight, step)
        inner = features[:, :, cut : features.shape[2] - cut, cut : features.shape[3] - cut].float()
        room = [n // step for n in missing]
        total, count = (
            functional.avg_pool2d(functional.pad(part, room), block // step, divisor_override=1)
            for part in (inner * cells, cells)
        )
        yield (total / count)[0]
