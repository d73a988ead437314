"""Classes that a whole pretrained network finds at sampled pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from landshift.models.encoders.bands import Encoder, match_bands
from landshift.models.encoders.normalisation import Normalisation, normalisation_for
from landshift.models.transfer.features import require_evaluation
from landshift.models.transfer.pixels import MARGIN, TILE, Pixels, read_pixels
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError


@dataclass(frozen=True)
class SourceInput:
    """Bands of the image, and their normalisation, for a network that was trained elsewhere."""

    taken: tuple[int, ...]
    """Position in the image of each channel of the network."""
    normalisation: Normalisation
    """Of those bands, in the same order."""


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
            f"Encoder {encoder.name} finds its classes only with all of its bands; {', '.join(lacking) or 'they'} "
            f"lack among {', '.join(bands)}. Take a row of fewer bands, or leave its classes out."
        )
    taken = tuple(list(bands).index(band) for band in picked)
    chosen = None if statistics is None else ([statistics[0][i] for i in taken], [statistics[1][i] for i in taken])
    return SourceInput(taken, normalisation_for(encoder, picked, units, chosen, wavelengths=wavelengths))


@torch.inference_mode()
def source_probabilities(
    network: nn.Module,
    given: SourceInput,
    pair: PairSource,
    sample: Pixels,
    *,
    tile: int = TILE,
    margin: int = MARGIN,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict the classes that a network with a dense head of its own was trained on.

    Args:
        network: Gives logits (batch, class, y, x), such as `table.cloud_model`; in evaluation mode, on `device`.
        given: Its input, from `source_input`.
        pair: Both dates, in the units of `given`.
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
    require_evaluation(network)
    normalisation = given.normalisation
    mean, std = (torch.tensor(v, device=device).reshape(-1, 1, 1) for v in (normalisation.mean, normalisation.std))
    dates: list[np.ndarray] = []
    for part in read_pixels(pair, sample, tile, margin):
        y, x = part.y, part.x
        for date, image in enumerate(part.images):
            picked = image[list(given.taken)]
            normal = (torch.from_numpy(picked)[None].to(device) * normalisation.scale - mean) / std
            logits = network(torch.nan_to_num(normal, nan=0.0, posinf=0.0, neginf=0.0))
            share = torch.softmax(logits[0, :, y, x].float(), dim=0).T.cpu().numpy()
            if len(dates) <= date:
                dates.append(np.empty((len(sample), share.shape[1]), dtype=np.float32))
            dates[date][part.rows] = np.where(np.isfinite(picked[:, y, x]).all(axis=0)[:, None], share, np.nan)
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
