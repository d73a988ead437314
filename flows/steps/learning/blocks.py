"""Blocks of training pixels, for comparing features."""

import numpy as np

from landshift.pipeline.labels.search import TRAIN

BLOCK = 32
"""Pixels: the smallest block that the encoder's coarsest map can separate from its neighbour."""


def training_blocks(role: np.ndarray) -> np.ndarray:
    """Return which blocks hold a training label, bool (block row, block column)."""
    height, width = role.shape
    padded = np.pad(role == TRAIN, ((0, -height % BLOCK), (0, -width % BLOCK)))
    return np.asarray(padded.reshape(-(-height // BLOCK), BLOCK, -1, BLOCK).any(axis=(1, 3)))
