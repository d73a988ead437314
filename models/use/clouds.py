"""Clouds: a published network for clouds and their shadows, as a function of arrays."""

from collections.abc import Callable

import numpy as np
import torch

from landshift.models.encoders.table import encoder_named
from landshift.models.encoders.weight_files import weights_path
from landshift.models.encoders.weights import cloud_model
from landshift.pipeline.manifest import file_hash


def cloud_classifier(name: str, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """Load a cloud model.

    Args:
        name: Row of the encoder table, `ukis-csmask-6b-l2a` for example.
        device: Where to compute.

    Returns:
        A function of float32 reflectance (band, y, x) in the row's bands, sides multiples of 32, to uint8 (y, x): the number of
        the class in `weights.CLOUD_CLASSES`.

    Raises:
        InputError: No such row, or its weights are not there.
    """
    row = encoder_named(name)
    network = cloud_model(row).to(device)
    mean, std = (np.array(v, dtype=np.float32)[:, None, None] for v in (row.mean, row.std))

    @torch.inference_mode()
    def classify(image: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy((image - mean) / std)[None].to(device)
        found: np.ndarray = network(batch)[0].argmax(dim=0).to(torch.uint8).cpu().numpy()
        return found

    return classify


def origin(name: str) -> dict[str, str]:
    """Return the origin of a cloud model: `model`, `licence`, `citation` and `weights` (hash of the file)."""
    row = encoder_named(name)
    return {
        "model": row.name, "licence": row.licence, "citation": row.citation, "weights": file_hash(weights_path(row, None)),
    }  # fmt: skip
