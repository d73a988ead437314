"""Domain shift: distance of a place from the training regions in what a network sees of each date, and of their difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import PlainSerializer

from landshift.models.transfer.overlap import Domain, fit_domain
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import Numbers

DIMENSIONS = 8
"""Principal components: a covariance of hundreds of channels cannot be estimated from the few blocks of a small project."""

FEWEST_BLOCKS = 10
"""Below this the training regions cannot be described."""

_EDGE = 0.95
_PARTS = 10
_SMALLEST = 1e-6
"""Least edge: where nothing varies, or all that does is in the components."""


@dataclass(frozen=True, eq=False)
class SeenGround:
    """Place of the training regions in some channels."""

    center: Numbers
    """float64 (channel,): mean of each channel over the training blocks."""
    spread: Numbers
    """float64 (channel,): standard deviation, above 0."""
    # Rounded when written: of unit length, unlike the spread, which may be far below the sixth decimal.
    components: Annotated[Numbers, PlainSerializer(lambda array: array.round(6).tolist())]
    """float64 (component, channel): directions in which the training blocks vary most."""
    domain: Domain
    """Of the components."""

    def __post_init__(self) -> None:
        """Refuse numbers that do not fit together.

        Raises:
            InputError: Shapes that do not fit, or numbers that are not finite.
        """
        fits = self.center.shape == self.spread.shape == self.components.shape[1:] and self.center.ndim == 1
        fits = fits and self.components.shape[:1] == self.domain.mean.shape
        finite = all(np.isfinite(part).all() for part in (self.center, self.spread, self.components))
        if not (fits and finite and (self.spread > 0).all()):
            raise InputError("The domain of the training regions is damaged: its numbers do not fit together. Train again.")

    def measure(self, flat: np.ndarray) -> np.ndarray:
        """Return two distances of each block, at least 0.

        The first looks at the directions in which the training blocks vary, the second at all others: what lies far out where
        these never went has no part in the first.

        Args:
            flat: float64 (block, channel), no NaN.

        Returns:
            float64 (block, 2): Mahalanobis distance in the components, and root mean square of what they leave over.
        """
        normal = (flat - self.center) / self.spread
        points = normal @ self.components.T
        rest = normal - points @ self.components
        return np.stack([self.domain.distance(points), np.sqrt(np.square(rest).mean(axis=1))], axis=1)


@dataclass(frozen=True, eq=False)
class Shift:
    """Place of the training regions in feature space, and the distances of their edges."""

    views: tuple[SeenGround, ...]
    """Of each part of the channels, in their order: what both dates show, and how they differ."""
    edges: Numbers
    """float64 (view, 2), above 0: for each distance of `SeenGround.measure`; 95 % of the training blocks stay within all of
    them."""

    def __post_init__(self) -> None:
        """Refuse edges that do not fit the views.

        Raises:
            InputError: There are more or fewer, or they are not above 0.
        """
        fits = self.edges.shape == (len(self.views), 2) and len(self.views) > 0
        if not (fits and np.isfinite(self.edges).all() and (self.edges > 0).all()):
            raise InputError("The domain of the training regions is damaged: its edges do not fit. Train again.")

    def ratio(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the distance from the training regions, 1 = their edge: the largest of all distances.

        Args:
            embeddings: (..., channel), as from `blocks.block_embeddings`; NaN = not observed.

        Returns:
            float32 (...), at least 0, NaN where not observed.
        """
        flat = embeddings.reshape(-1, embeddings.shape[-1]).astype(np.float64)
        seen = np.isfinite(flat).all(axis=1)
        out = np.full(len(flat), np.nan, dtype=np.float32)
        if seen.any():
            out[seen] = (_measure(self.views, flat[seen]) / self.edges).max(axis=(1, 2))
        return out.reshape(embeddings.shape[:-1])


def fit_shift(embeddings: np.ndarray, sizes: Sequence[int] | None = None) -> Shift:
    """Fit the place of the training regions and the distances of their edges.

    Args:
        embeddings: (block, channel) of the training blocks; rows with NaN are left out.
        sizes: Channels of each view, in order; one view of all of them where None.

    Raises:
        InputError: Fewer than `FEWEST_BLOCKS` are observed.
    """
    flat = embeddings[np.isfinite(embeddings).all(axis=1)].astype(np.float64)
    if len(flat) < FEWEST_BLOCKS:
        raise InputError(
            f"{len(flat)} observed blocks hold training labels; at least {FEWEST_BLOCKS} are needed to describe them."
        )
    sizes = [flat.shape[1]] if sizes is None else sizes
    # A tenth at a time is left out and measured by the rest: blocks lie nearer to a domain that was fitted on them.
    part = np.random.default_rng(0).permutation(len(flat)) % min(_PARTS, len(flat))
    outside = [_measure(_fit(flat[part != k], sizes), flat[part == k]) for k in np.unique(part)]
    views = _fit(flat, sizes)
    # Where channels are many and blocks few it is the other way round: the components hold what is chance in these blocks.
    sets = (np.concatenate(outside), _measure(views, flat))
    edges = np.maximum(np.max([np.quantile(distances, _EDGE, axis=0) for distances in sets], axis=0), _SMALLEST)
    # Each distance has its own 5 %; all of them together have to leave 95 % of the blocks within, also of new ones: the rank of
    # a conformal quantile, since the edges were taken from the same few blocks.
    level = min(np.ceil((len(flat) + 1) * _EDGE) / len(flat), 1.0)
    joint = [(distances / edges).max(axis=(1, 2)) for distances in sets]
    common = max(float(np.quantile(joint[0], level, method="higher")), float(np.quantile(joint[1], _EDGE)))
    return Shift(views, edges * max(common, _SMALLEST))


def _measure(views: Sequence[SeenGround], flat: np.ndarray) -> np.ndarray:
    """Return the distances of blocks (block, channel) in every view, float64 (block, view, 2)."""
    ends = np.cumsum([len(view.center) for view in views])
    if flat.shape[1] != ends[-1]:
        raise ValueError(f"Blocks have {flat.shape[1]} channels; the training regions have {ends[-1]}.")
    parts = np.split(flat, ends[:-1], axis=1)
    return np.stack([view.measure(part) for view, part in zip(views, parts, strict=True)], axis=1)


def _fit(flat: np.ndarray, sizes: Sequence[int]) -> tuple[SeenGround, ...]:
    return tuple(_fit_view(part) for part in np.split(flat, np.cumsum(sizes)[:-1], axis=1))


def _fit_view(flat: np.ndarray) -> SeenGround:
    center, spread = flat.mean(axis=0), flat.std(axis=0)
    # A channel that never varies would make any other value infinitely far.
    spread = np.where(spread > 1e-9, spread, 1.0)
    normal = (flat - center) / spread
    components = np.linalg.svd(normal, full_matrices=False)[2][: min(DIMENSIONS, max(len(flat) // 3, 1))]
    return SeenGround(center, spread, components, domain=fit_domain(normal @ components.T))
