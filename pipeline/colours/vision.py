"""How far apart colours look, also to readers with protanopia and deuteranopia.

Written out here since scikit-image, which has the same formula, takes half a second to import: verbs that only list names
would wait for it.
"""

from collections.abc import Sequence

import numpy as np

DISTINCT = 15.0
"""CIEDE2000 difference from which two areas of a map are told apart."""

_VISIONS = np.array(
    [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
)
"""What normal sight, protanopia and deuteranopia make of linear RGB: Machado, Oliveira and Fernandes (2009),
https://doi.org/10.1109/TVCG.2009.113, severity 1."""
_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])
"""D65, 2 degrees."""
_25_7 = 25.0**7


def lab_of(colours: Sequence[str]) -> np.ndarray:
    """Return how colours look to readers with normal sight, protanopia and deuteranopia.

    Args:
        colours: `#rrggbb` each.

    Returns:
        float64 (vision, colour, 3): CIELAB of D65, in the order above.
    """
    channels = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours]).reshape(-1, 3)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.einsum("vij,cj->vci", _VISIONS, linear), 0.0, 1.0)
    ratio = seen @ _TO_XYZ.T / _WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def ciede2000(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the CIEDE2000 difference of colours: Sharma, Wu and Dalal (2005), https://doi.org/10.1002/col.20070.

    Args:
        one: (..., 3), CIELAB.
        other: The same, of a shape that broadcasts with it.
    """
    l_1, a_1, b_1 = np.moveaxis(np.asarray(one, dtype=float), -1, 0)
    l_2, a_2, b_2 = np.moveaxis(np.asarray(other, dtype=float), -1, 0)
    mean_7 = ((np.hypot(a_1, b_1) + np.hypot(a_2, b_2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(mean_7 / (mean_7 + _25_7))
    c_1, c_2 = np.hypot(a_1 * stretch, b_1), np.hypot(a_2 * stretch, b_2)
    h_1, h_2 = (np.degrees(np.arctan2(b, a * stretch)) % 360 for a, b in ((a_1, b_1), (a_2, b_2)))
    grey = c_1 * c_2 == 0
    turn = np.where(grey, 0.0, (h_2 - h_1 + 180) % 360 - 180)
    # Of two opposite hues the formula takes the turn towards larger ones.
    turn = np.where(~grey & (turn == -180) & (h_2 > h_1), 180.0, turn)
    beyond = np.where(np.abs(h_1 - h_2) > 180, np.where(h_1 + h_2 < 360, 180, -180), 0)
    hue = np.where(grey, h_1 + h_2, (h_1 + h_2) / 2 + beyond)
    lightness, chroma = (l_1 + l_2) / 2, (c_1 + c_2) / 2
    apart = 2 * np.sqrt(c_1 * c_2) * np.sin(np.radians(turn) / 2)
    t = (
        1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)
    )  # fmt: skip
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    chroma_7 = chroma**7
    rotation = -2 * np.sqrt(chroma_7 / (chroma_7 + _25_7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    d_l, d_c, d_h = (l_2 - l_1) / s_l, (c_2 - c_1) / s_c, apart / s_h
    return np.asarray(np.sqrt(np.maximum(d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h, 0.0)))


def list_differences(colours: Sequence[str], others: Sequence[str] | None = None) -> np.ndarray:
    """Return how far apart colours look at least, whichever of the three visions a reader has.

    Args:
        colours: `#rrggbb` each.
        others: What they are compared with; each other where None.

    Returns:
        float64 (colours, others): the smallest of three CIEDE2000 differences.
    """
    one = lab_of(colours)
    other = one if others is None else lab_of(others)
    return np.asarray(ciede2000(one[:, :, None], other[:, None]).min(axis=0))


def is_dark(colour: str) -> bool:
    """Return whether white lines show on a colour better than black ones."""
    return bool(lab_of([colour])[0, 0, 0] < 55)


def _cos(degrees: np.ndarray) -> np.ndarray:
    return np.asarray(np.cos(np.radians(degrees)))
