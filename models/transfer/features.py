"""Features of single pixels, from an encoder as a network would use it here."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from landshift.models.transfer.pixels import MARGIN, TILE, Pixels, read_pixels
from landshift.pipeline.epochs.matching import PairSource


class Encodes(Protocol):
    """A network that encodes an image, such as a `ChangeNetwork` in evaluation mode."""

    def encode(self, image: Tensor) -> list[Tensor]:
        """Turn (batch, band, y, x) in the units of the scenes, NaN = not observed, into maps, the input itself first."""
        ...


@dataclass(frozen=True, eq=False)
class PixelFeatures:
    """Features of each pixel of a sample, at each depth of an encoder; rows are in the order of the sample."""

    before: tuple[np.ndarray, ...]
    """float32 (n, channel), one a depth, finest first; without meaning where `observed` is False."""
    after: tuple[np.ndarray, ...]
    """As `before`."""
    depths: tuple[str, ...]
    """Names of the depths: `stride 2`, `stride 4`..."""
    observed: np.ndarray
    """bool (n,): every band of both dates has a value there."""

    @property
    def difference(self) -> tuple[np.ndarray, ...]:
        """Distance of the dates in each channel, float32 (n, channel), one a depth."""
        return tuple(np.abs(a - b) for b, a in zip(self.before, self.after, strict=True))


@torch.inference_mode()
def pixel_features(
    network: Encodes,
    pair: PairSource,
    sample: Pixels,
    *,
    tile: int = TILE,
    margin: int = MARGIN,
    device: torch.device,
) -> PixelFeatures:
    """Encode the tiles that hold sampled pixels, each date once, and interpolate every map at the pixels' centres.

    Args:
        network: In evaluation mode, on `device`.
        pair: Both dates, as the network is given them.
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
    require_evaluation(network)
    observed = np.zeros(len(sample), dtype=bool)
    names: tuple[str, ...] = ()
    dates: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for part in read_pixels(pair, sample, tile, margin):
        observed[part.rows] = np.isfinite(np.stack(part.images)[:, :, part.y, part.x]).all(axis=(0, 1))
        for values, image in zip(dates, part.images, strict=True):
            maps = maps_with_channels(network.encode(torch.from_numpy(image)[None].to(device)))
            if not values:
                names = tuple(f"stride {image.shape[1] // m.shape[2]}" for m in maps)
                values.extend(np.empty((len(sample), m.shape[1]), dtype=np.float32) for m in maps)
            for value, features in zip(values, maps, strict=True):
                value[part.rows] = _interpolate(features, part.y, part.x, image.shape[1:])
    return PixelFeatures(tuple(dates[0]), tuple(dates[1]), names, observed)


def require_evaluation(network: object) -> None:
    """Refuse a network in training mode.

    Raises:
        ValueError: It is in training mode.
    """
    if getattr(network, "training", False):
        raise ValueError("The network is in training mode, in which BatchNorm would see the sample; call eval() first.")


def maps_with_channels(maps: list[Tensor]) -> list[Tensor]:
    """Leave out the input itself, and the maps without channels that transformers have."""
    return [m for m in maps[1:] if m.shape[1]]


def _interpolate(features: Tensor, y: np.ndarray, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Interpolate a map (1, channel, row, column) at the centres of pixels of the window that it covers: (n, channel)."""
    # Cells and pixels share the corners of the window, not the centres of their first and last ones.
    centres = np.stack([2 * (x + 0.5) / shape[1] - 1, 2 * (y + 0.5) / shape[0] - 1], axis=-1).astype(np.float32)
    grid = torch.from_numpy(centres)[None, None].to(features.device)
    found = functional.grid_sample(features.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return np.asarray(found[0, :, 0].T.cpu().numpy())
