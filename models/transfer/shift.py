"""Domain shift: distance of a place from the training regions in the features of an encoder."""

from dataclasses import dataclass, replace
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


@dataclass(frozen=True, eq=False)
class Shift:
    """Place of the training regions in feature space, and the distance of their edge."""

    center: Numbers
    """float64 (channel,): mean of each channel over the training blocks."""
    spread: Numbers
    """float64 (channel,): standard deviation, above 0."""
    # Rounded when written: of unit length, unlike the spread, which may be far below the sixth decimal.
    components: Annotated[Numbers, PlainSerializer(lambda array: array.round(6).tolist())]
    """float64 (component, channel): directions in which the training blocks vary most."""
    domain: Domain
    """Of the components."""
    edge: float
    """Mahalanobis distance that 95 % of the training blocks stay within, measured from others and from all; above 0."""

    def __post_init__(self) -> None:
        """Refuse numbers that do not fit together.

        Raises:
            InputError: Shapes that do not fit, or numbers that are not finite.
        """
        fits = self.center.shape == self.spread.shape == self.components.shape[1:] and self.center.ndim == 1
        fits = fits and self.components.shape[:1] == self.domain.mean.shape
        finite = all(np.isfinite(part).all() for part in (self.center, self.spread, self.components, self.edge))
        if not (fits and finite and (self.spread > 0).all() and self.edge > 0):
            raise InputError("The domain of the training regions is damaged: its numbers do not fit together. Train again.")

    def ratio(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the distance from the training regions, 1 = their edge.

        Args:
            embeddings: (..., channel), as from `features.block_embeddings`; NaN = not observed.

        Returns:
            float32 (...), at least 0, NaN where not observed.
        """
        flat = embeddings.reshape(-1, embeddings.shape[-1]).astype(np.float64)
        seen = np.isfinite(flat).all(axis=1)
        out = np.full(len(flat), np.nan, dtype=np.float32)
        if seen.any():
            points = (flat[seen] - self.center) / self.spread @ self.components.T
            out[seen] = self.domain.distance(points) / self.edge
        return out.reshape(embeddings.shape[:-1])


def fit_shift(embeddings: np.ndarray) -> Shift:
    """Fit the place of the training regions and the distance of their edge.

    Args:
        embeddings: (block, channel) of the training blocks; rows with NaN are left out.

    Raises:
        InputError: Fewer than `FEWEST_BLOCKS` are observed.
    """
    flat = embeddings[np.isfinite(embeddings).all(axis=1)].astype(np.float64)
    if len(flat) < FEWEST_BLOCKS:
        raise InputError(
            f"{len(flat)} observed blocks hold training labels; at least {FEWEST_BLOCKS} are needed to describe them."
        )
    # A tenth at a time is left out and measured by the rest: blocks lie nearer to a domain that was fitted on them.
    part = np.random.default_rng(0).permutation(len(flat)) % min(_PARTS, len(flat))
    outside = [_fit(flat[part != k], 1.0).ratio(flat[part == k]) for k in np.unique(part)]
    whole = _fit(flat, 1.0)
    # Where channels are many and blocks few it is the other way round: the components hold what is chance in these blocks.
    edge = max(float(np.quantile(distances, _EDGE)) for distances in (np.concatenate(outside), whole.ratio(flat)))
    return replace(whole, edge=max(edge, 1e-9))


def _fit(flat: np.ndarray, edge: float) -> Shift:
    center, spread = flat.mean(axis=0), flat.std(axis=0)
    # A channel that never varies would make any other value infinitely far.
    spread = np.where(spread > 1e-9, spread, 1.0)
    normal = (flat - center) / spread
    components = np.linalg.svd(normal, full_matrices=False)[2][: min(DIMENSIONS, max(len(flat) // 3, 1))]
    return Shift(center, spread, components, domain=fit_domain(normal @ components.T), edge=edge)
