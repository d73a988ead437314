"""Features of single pixels and of blocks, from an encoder as a network would use it here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from landshift.models.encoders.bands import Encoder, match_bands
from landshift.models.encoders.normalisation import Normalisation, normalisation_for
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_LABELLED
from landshift.pipeline.raster.read import open_readers
from landshift.pipeline.tiles import STRIDE, Tile, mirrored, tiles

_TILE = 256

_MARGIN = 32


class Encodes(Protocol):
    """What can encode an image; a `ChangeNetwork` in evaluation mode can."""

    def encode(self, image: Tensor) -> list[Tensor]:
        """Turn (batch, band, y, x) in the units of the scenes, NaN = not observed, into maps, the input itself first."""
        ...


@dataclass(frozen=True, eq=False)
class Sample:
    """Pixels of a scene, row by row."""

    y: np.ndarray
    """int64 (n,): rows."""
    x: np.ndarray
    """int64 (n,): columns."""

    def __len__(self) -> int:
        """Return the number of pixels."""
        return self.y.size


@dataclass(frozen=True, eq=False)
class PixelFeatures:
    """What an encoder says of each pixel of a sample, at each of its depths; rows are in the order of the sample."""

    before: tuple[np.ndarray, ...]
    """float32 (n, channel), one a depth, finest first; without meaning where `observed` is False."""
    after: tuple[np.ndarray, ...]
    """As `before`."""
    depths: tuple[str, ...]
    """What the depths are called: `stride 2`, `stride 4`..."""
    observed: np.ndarray
    """bool (n,): every band of both dates has a value there."""

    @property
    def difference(self) -> tuple[np.ndarray, ...]:
        """Distance of the dates in each channel, float32 (n, channel), one a depth."""
        return tuple(np.abs(a - b) for b, a in zip(self.before, self.after, strict=True))


@dataclass(frozen=True)
class SourceInput:
    """How the image's bands become the input of a network that was trained elsewhere."""

    taken: tuple[int, ...]
    """Position in the image of each channel of the network."""
    normalisation: Normalisation
    """Of those bands, in the same order."""


def balanced_sample(label: np.ndarray, groups: np.ndarray, *, limit: int = 2000, seed: int = 0) -> Sample:
    """Draw about as many pixels of each class, spread as evenly over the groups as their pixels allow.

    Args:
        label: uint8 (y, x), 255 = not labelled.
        groups: Integer (y, x): region or block of each pixel, below 0 = none, which leaves the pixel out.
        limit: Pixels at most; each of the classes that occur gets up to `limit // classes`.
        seed: Of the draw.

    Returns:
        Empty where no pixel is labelled and in a group.

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
    return Sample(np.asarray(y, dtype=np.int64), np.asarray(x, dtype=np.int64))


def _in_turns(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order items so that each group, in an order drawn at random, gives one a round."""
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    by_group = np.argsort(index, kind="stable")
    round_ = np.empty_like(by_group)
    round_[by_group] = np.arange(index.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.lexsort((rng.permutation(counts.size)[index], round_))


@torch.inference_mode()
def pixel_features(
    network: Encodes,
    images: tuple[Path, Path],
    sample: Sample,
    *,
    tile: int = _TILE,
    margin: int = _MARGIN,
    device: torch.device,
) -> PixelFeatures:
    """Encode the tiles that hold sampled pixels, each date once, and interpolate every map at the pixels' centres.

    Args:
        network: In evaluation mode, on `device`.
        images: Before and after, on one grid.
        sample: Which pixels, at least one.
        tile: Side of a tile in pixels, a multiple of 32.
        margin: Pixels read around a tile, a multiple of 32.
        device: Where the network is.

    Returns:
        A depth for each map that has channels, the input itself left out.

    Raises:
        InputError: The sample is empty, or an image cannot be read.
        ValueError: The network is in training mode, or a pixel lies outside the images.
    """
    _require_evaluation(network)
    observed = np.zeros(len(sample), dtype=bool)
    names: tuple[str, ...] = ()
    dates: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for place, rows, pair in _read_where_sampled(images, sample, tile, margin):
        y, x = sample.y[rows] - place.read.y, sample.x[rows] - place.read.x
        observed[rows] = np.isfinite(np.stack(pair)[:, :, y, x]).all(axis=(0, 1))
        for values, image in zip(dates, pair, strict=True):
            maps = _maps(network, image, device)
            if not values:
                names = tuple(f"stride {image.shape[1] // m.shape[2]}" for m in maps)
                values.extend(np.empty((len(sample), m.shape[1]), dtype=np.float32) for m in maps)
            for value, features in zip(values, maps, strict=True):
                value[rows] = _at_centres(features, y, x, image.shape[1:])
    return PixelFeatures(tuple(dates[0]), tuple(dates[1]), names, observed)


@torch.inference_mode()
def block_embeddings(
    network: Encodes,
    images: tuple[Path, Path],
    shape: tuple[int, int],
    block: int,
    *,
    tile: int = _TILE,
    margin: int = _MARGIN,
    wanted: np.ndarray | None = None,
    device: torch.device,
) -> np.ndarray:
    """Say in a few numbers what each block of a territory looks like to an encoder.

    These are the means, over the observed pixels of the block, of the channels of every map but the input itself, and
    over both dates.

    Args:
        network: In evaluation mode, on `device`.
        images: Before and after, on one grid.
        shape: Rows and columns of the grid.
        block: Side of a block in pixels, a multiple of 32; the last ones of a row or column may be cut by the edge.
        tile: Side of what is read at once in pixels; at least one block is.
        margin: Pixels read around it, a multiple of 32.
        wanted: bool (block row, block column): blocks that must be embedded; others may be NaN. All where None.
        device: Where the network is.

    Returns:
        float32 (block row, block column, channel), the finest map's channels first; NaN in every channel where no pixel of
        the block is observed on both dates.

    Raises:
        InputError: `block` is not a multiple of 32, or an image cannot be read.
        ValueError: The network is in training mode.
    """
    _require_evaluation(network)
    if block <= 0 or block % STRIDE:
        raise InputError(f"Blocks of {block} pixels: expected a multiple of {STRIDE}, above 0.")
    # Reads of several blocks, because each read needs its margin.
    wide = max(tile // block, 1)
    out: np.ndarray | None = None
    with open_readers(*images) as readers:
        for place in tiles(shape, block * wide, margin):
            y, x = place.row * wide, place.column * wide
            if wanted is not None and not wanted[y : y + wide, x : x + wide].any():
                continue
            pair = [reader.read(place.read) for reader in readers]
            seen = np.isfinite(np.stack(pair)).all(axis=(0, 1))
            shown = [mirrored(image, place.read, shape) for image in pair]
            found = block_means([network.encode(_batch(image, device)) for image in shown], seen, block, margin)
            if out is None:
                out = np.full((*(-(-n // block) for n in shape), found.shape[0]), np.nan, dtype=np.float32)
            out[y : y + found.shape[1], x : x + found.shape[2]] = found.transpose(1, 2, 0)
    if out is None:
        raise ValueError(f"A grid of {shape} pixels has no block that is wanted.")
    return out


def block_means(dates: Sequence[list[Tensor]], seen: np.ndarray, block: int, margin: int) -> np.ndarray:
    """Average what an encoder gave for both dates over the blocks of a window.

    Args:
        dates: Feature maps of each date, the input itself first, over the window with its margin.
        seen: bool (y, x) of the same window: observed on both dates. A cell counts as often as pixels in it are observed.
        block: Side of a block in pixels, a multiple of 32.
        margin: Pixels around the blocks, a multiple of 32, or 0.

    Returns:
        float32 (channel, block row, block column), NaN where no pixel of a block is observed.
    """
    inside = slice(margin, seen.shape[0] - margin), slice(margin, seen.shape[1] - margin)
    weight = torch.from_numpy(seen[inside].astype(np.float32))[None, None].to(dates[0][0].device)
    means = [torch.cat(list(_means(maps, weight, block, margin))) for maps in dates]
    return np.asarray(torch.stack(means).mean(dim=0).cpu().numpy())


def _means(maps: list[Tensor], weight: Tensor, block: int, margin: int) -> Iterator[Tensor]:
    """Yield the weighted means (channel, block row, block column) of each map; 0 / 0 is NaN."""
    height, width = weight.shape[2:]
    missing = (0, -width % block, 0, -height % block)
    for features in _with_channels(maps):
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


def source_input(
    encoder: Encoder,
    bands: Sequence[str],
    units: str,
    statistics: tuple[Sequence[float], Sequence[float]] | None = None,
    *,
    wavelengths: Mapping[str, float] | None = None,
) -> SourceInput:
    """Find the bands that a whole pretrained network takes, in its order, and their normalisation.

    Args:
        encoder: A row that comes with a dense head.
        bands: The image's, in order.
        units: Of the pixels, as for `normalisation_for`.
        statistics: Means and standard deviations per band of `bands`, over both dates together.
        wavelengths: Centre wavelengths in nanometres, as for `match_bands`.

    Raises:
        InputError: A band that the network needs lacks, or it cannot be normalised.
    """
    plan = match_bands(encoder, bands, wavelengths, extra="drop")
    picked = tuple(band for band in plan.channels if band is not None)
    if not picked or len(picked) < len(encoder.bands):
        lacking = [want for want, band in zip(encoder.bands, plan.channels, strict=True) if band is None]
        raise InputError(
            f"Encoder {encoder.name} says something of the pixels only with all of its bands; {', '.join(lacking) or 'they'} "
            f"lack among {', '.join(bands)}. Take a row of fewer bands, or leave its classes out."
        )
    taken = tuple(list(bands).index(band) for band in picked)
    chosen = None if statistics is None else ([statistics[0][i] for i in taken], [statistics[1][i] for i in taken])
    return SourceInput(taken, normalisation_for(encoder, picked, units, chosen, wavelengths=wavelengths))


@torch.inference_mode()
def source_probabilities(
    network: nn.Module,
    given: SourceInput,
    images: tuple[Path, Path],
    sample: Sample,
    *,
    tile: int = _TILE,
    margin: int = _MARGIN,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Ask a network with a dense head of its own for the classes that it was trained on.

    Args:
        network: Gives logits (batch, class, y, x), such as `table.cloud_model`; in evaluation mode, on `device`.
        given: Its input, from `source_input`.
        images: Before and after, on one grid.
        sample: Which pixels, at least one.
        tile: Side of a tile in pixels, a multiple of 32.
        margin: Pixels read around a tile, a multiple of 32.
        device: Where the network is.

    Returns:
        Probabilities before and after, float32 (n, class) in the order of the sample; NaN where the network's bands are
        not observed on that date.

    Raises:
        InputError: The sample is empty, or an image cannot be read.
        ValueError: The network is in training mode, or a pixel lies outside the images.
    """
    _require_evaluation(network)
    normalisation = given.normalisation
    mean, std = (torch.tensor(v, device=device).reshape(-1, 1, 1) for v in (normalisation.mean, normalisation.std))
    dates: list[np.ndarray] = []
    for place, rows, pair in _read_where_sampled(images, sample, tile, margin):
        y, x = sample.y[rows] - place.read.y, sample.x[rows] - place.read.x
        for date, image in enumerate(pair):
            picked = image[list(given.taken)]
            normal = (torch.from_numpy(picked)[None].to(device) * normalisation.scale - mean) / std
            logits = network(torch.nan_to_num(normal, nan=0.0, posinf=0.0, neginf=0.0))
            share = torch.softmax(logits[0, :, y, x].float(), dim=0).T.cpu().numpy()
            if len(dates) <= date:
                dates.append(np.empty((len(sample), share.shape[1]), dtype=np.float32))
            dates[date][rows] = np.where(np.isfinite(picked[:, y, x]).all(axis=0)[:, None], share, np.nan)
    return dates[0], dates[1]


def joint(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the probability of each pair of classes, as if the dates were independent.

    Args:
        before: (n, class).
        after: (n, class).

    Returns:
        (n, class x class); the pair `(from, to)` is column `from * classes + to`.
    """
    return np.asarray(before[:, :, None] * after[:, None, :]).reshape(len(before), -1)


def _read_where_sampled(
    images: tuple[Path, Path], sample: Sample, tile: int, margin: int
) -> Iterator[tuple[Tile, np.ndarray, list[np.ndarray]]]:
    """Yield each tile that holds sampled pixels, their rows in the sample, and both dates (band, y, x) of its window.

    Beyond the edges of the images they are mirrored.
    """
    if not len(sample):
        raise InputError("No pixel is sampled: none is labelled inside a region or block. Label more, or use smaller blocks.")
    with open_readers(*images) as readers:
        height, width = shape = readers[0].info.shape
        if min(sample.y.min(), sample.x.min()) < 0 or sample.y.max() >= height or sample.x.max() >= width:
            raise ValueError(f"Sampled pixels lie outside the image of {height} x {width} pixels.")
        for place in tiles(shape, tile, margin):
            rows = np.flatnonzero((sample.y // tile == place.row) & (sample.x // tile == place.column))
            if rows.size:
                yield place, rows, [mirrored(reader.read(place.read), place.read, shape) for reader in readers]


def _require_evaluation(network: object) -> None:
    if getattr(network, "training", False):
        raise ValueError("The network is in training mode, in which BatchNorm would see the sample; call eval() first.")


def _batch(image: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(image)[None].to(device)


def _with_channels(maps: list[Tensor]) -> list[Tensor]:
    """Leave out the input itself, and the maps without channels that transformers have."""
    return [m for m in maps[1:] if m.shape[1]]


def _maps(network: Encodes, image: np.ndarray, device: torch.device) -> list[Tensor]:
    """Encode one date."""
    return _with_channels(network.encode(_batch(image, device)))


def _at_centres(features: Tensor, y: np.ndarray, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Interpolate a map (1, channel, row, column) at pixels of the window that it covers: (n, channel)."""
    # Cells and pixels share the corners of the window, not the centres of their first and last ones.
    centres = np.stack([2 * (x + 0.5) / shape[1] - 1, 2 * (y + 0.5) / shape[0] - 1], axis=-1).astype(np.float32)
    grid = torch.from_numpy(centres)[None, None].to(features.device)
    found = functional.grid_sample(features.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return np.asarray(found[0, :, 0].T.cpu().numpy())
