"""Colours of classes and of the changes between them: what a place became is its colour, what it was its pattern."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.colours.vision import DISTINCT, list_differences

PALETTE = (
    "#5ab496", "#0000c3", "#e1f01e", "#a53c00", "#7896ff", "#690000", "#f0d2ff", "#4b6987", "#d29600", "#4b1e2d", "#d2f0b4",
    "#5a005a", "#6996a5", "#785a5a", "#b4785a", "#783cff",
)  # fmt: skip
"""Sixteen colours of which any two are at least 15.2 apart (CIEDE2000) to readers with normal sight, protanopia and
deuteranopia, and 12 from the grey of unchanged land; found by exchanging one of the two closest again and again."""
_SHADE = 0.16
"""From the first class before to the last, changes into one class get lighter by this share of the way to white and to black:
rasters, which have no patterns, hint at the class before."""


@dataclass(frozen=True)
class Pattern:
    """Lines on an area."""

    angles: tuple[int, ...]
    """Of the lines, degrees counter-clockwise from the east; none where the area is plain."""
    spacing_mm: float
    """From line to line."""
    width_mm: float
    """Of a line."""


def _list_patterns() -> tuple[Pattern, ...]:
    angles = ((45,), (135,), (0,), (90,), (45, 135), (0, 90))
    lines = tuple(
        Pattern(directions, spacing, width)
        for width in (0.16, 0.42)
        for spacing in (1.3, 0.8, 1.9)
        for directions in angles
    )  # fmt: skip
    return (Pattern((), 0.0, 0.0), *lines)


PATTERNS = _list_patterns()
"""The first sixteen for the classes before, the next sixteen where colours of classes after are too alike."""
_FAMILY = 16
_FAMILIES = 2


@dataclass(frozen=True)
class KindStyle:
    """How a change is drawn."""

    colour: str
    """`#rrggbb`, about that of the class after."""
    pattern: int
    """Index in `PATTERNS`, by the class before."""


def fill_colours(given: Sequence[str | None]) -> tuple[str, ...]:
    """Return the colours of classes, where those that were left out get one that is told apart from the others.

    Args:
        given: `#rrggbb` or None, class by class; at most 16.

    Returns:
        `#rrggbb` for each; the same for the same input.
    """
    chosen = list(given)
    for index, colour in enumerate(chosen):
        if colour is None:
            there = [c for c in chosen if c is not None]
            chosen[index] = _pick(there)
    return tuple(c for c in chosen if c is not None)


def _pick(there: Sequence[str]) -> str:
    """Return the first colour of the palette that is distinct from all that are there, or else the most distinct one."""
    if not there:
        return PALETTE[0]
    nearest = list_differences(PALETTE, there).min(axis=1)
    distinct = np.flatnonzero(nearest >= DISTINCT)
    return PALETTE[int(distinct[0] if len(distinct) else nearest.argmax())]


def style_kinds(classes: Sequence[str]) -> dict[tuple[int, int], KindStyle]:
    """Return how the change between each pair of classes is drawn: any two differ in pattern, or in colour by at least 15.

    The difference is CIEDE2000, the smallest to readers with normal sight, protanopia and deuteranopia.

    Args:
        classes: Their colours, `#rrggbb`, in legend order; at most 16.

    Returns:
        By the places of the class before and after in the legend; where colours of the legend are so alike that patterns do not
        suffice, the palette's take their place.
    """
    return _style_kinds(classes) or _style_kinds(PALETTE[: len(classes)]) or {}


def _style_kinds(classes: Sequence[str]) -> dict[tuple[int, int], KindStyle] | None:
    styles: dict[tuple[int, int], KindStyle] = {}
    for before in range(len(classes)):
        share = before / max(len(classes) - 1, 1) - 0.5
        after = [k for k in range(len(classes)) if k != before]
        colours = [_shade(classes[k], _SHADE * share) for k in after]
        apart = list_differences(colours) >= DISTINCT
        family = np.zeros(len(after), dtype=int)
        for index in range(len(after)):
            taken = set(family[:index][~apart[index, :index]].tolist())
            family[index] = next(f for f in range(len(after) + 1) if f not in taken)
        if family.max(initial=0) >= _FAMILIES:
            return None
        for k, colour, number in zip(after, colours, family.tolist(), strict=True):
            styles[before, k] = KindStyle(colour, before + _FAMILY * number)
    return styles


def _shade(colour: str, share: float) -> str:
    """Return a colour moved by a share of its way to white, or to black where the share is negative."""
    target = 255 if share > 0 else 0
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(c + (target - c) * abs(share)):02x}" for c in channels)
