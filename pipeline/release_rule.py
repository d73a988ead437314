"""The limits by which a new model is compared with the one in use."""

from dataclasses import dataclass
from typing import Literal

Undecided = Literal["refuse", "promote"]
"""What a region that cannot be judged means for the whole."""


@dataclass(frozen=True)
class ReleaseRule:
    """When a new model may replace the one in use."""

    tolerance: float = 0.02
    """Loss in F1, 0..1, that a region may show: a smaller one comes with any training that is done again."""
    min_blocks: int = 4
    """Held-out blocks with change that a region needs to be judged."""
    undecided: Undecided = "refuse"
    """What a region that cannot be judged means for the whole."""
    level: float = 0.95
    """Confidence of all intervals together, 0..1, both excluded."""
