"""Domain shift: how far a place lies from the training regions in the features of an encoder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landshift.models.transfer.overlap import Domain, fit_domain
from landshift.pipeline.errors import InputError

DIMENSIONS = 8
"""Principal components: a covariance of hundreds of channels cannot be told from the few blocks of a small project."""

FEWEST_BLOCKS = 10
"""Below this nothing can be said about what the training regions look like."""

_EDGE = 0.95

_PARTS = 10


@dataclass(frozen=True, eq=False)
class Shift:
    """Where the training regions lie in feature space, and how far out their edge is."""

    center: np.ndarray
    """float64 (channel,): mean of each channel over the training blocks."""
    spread: np.ndarray
    """float64 (channel,): standard deviation, above 0."""
    components: np.ndarray
    """float64 (component, channel): directions in which the training blocks vary most."""
    domain: Domain
    """Of the components."""
    edge: float
    """Mahalanobis distance that 95 % of the training blocks stay within, measured from others and from all; above 0."""

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

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        # Only the components are of unit length; a spread may be far below the sixth decimal.
        arrays = {"center": self.center, "spread": self.spread, "components": self.components.round(6)}
        return {**{n: a.tolist() for n, a in arrays.items()}, "domain": self.domain.as_dict(), "edge": self.edge}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Shift":
        """Read what `as_dict` wrote.

        Raises:
            InputError: The numbers do not fit together.
        """
        try:
            center, spread, components = (np.asarray(content[n], dtype=np.float64) for n in ("center", "spread", "components"))
            edge, domain = float(content["edge"]), Domain.from_dict(content["domain"])
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise InputError(f"The domain of the training regions is damaged ({error!r}). Train again.") from error
        fits = center.shape == spread.shape == components.shape[1:] and components.ndim == 2
        numbers = np.concatenate([center.ravel(), spread.ravel(), components.ravel()])
        if not (fits and np.isfinite(numbers).all() and (spread > 0).all() and np.isfinite(edge) and edge > 0):
            raise InputError("The domain of the training regions is damaged: its numbers do not fit together. Train again.")
        return cls(center, spread, components, domain, edge)


def fit_shift(embeddings: np.ndarray) -> Shift:
    """Describe the training regions.

    Args:
        embeddings: (block, channel) of the training blocks; rows with NaN are left out.

    Raises:
        InputError: Fewer than `FEWEST_BLOCKS` are observed.
    """
    flat = embeddings[np.isfinite(embeddings).all(axis=1)].astype(np.float64)
    if len(flat) < FEWEST_BLOCKS:
        raise InputError(
            f"{len(flat)} observed blocks hold training labels; at least {FEWEST_BLOCKS} are needed to say what they look like."
        )
    # A tenth at a time is left out and measured by the rest: blocks lie nearer to a domain that was fitted on them.
    part = np.random.default_rng(0).permutation(len(flat)) % min(_PARTS, len(flat))
    outside = [_described(flat[part != k], 1.0).ratio(flat[part == k]) for k in np.unique(part)]
    whole = _described(flat, 1.0)
    # Where channels are many and blocks few it is the other way round: the components hold what is chance in these blocks.
    edge = max(float(np.quantile(distances, _EDGE)) for distances in (np.concatenate(outside), whole.ratio(flat)))
    return replace(whole, edge=max(edge, 1e-9))


def _described(flat: np.ndarray, edge: float) -> Shift:
    center, spread = flat.mean(axis=0), flat.std(axis=0)
    # A channel that never varies would make any other value infinitely far.
    spread = np.where(spread > 1e-9, spread, 1.0)
    normal = (flat - center) / spread
    components = np.linalg.svd(normal, full_matrices=False)[2][: min(DIMENSIONS, max(len(flat) // 3, 1))]
    return Shift(center, spread, components, fit_domain(normal @ components.T), edge)
