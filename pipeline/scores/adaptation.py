"""Records of ways to adapt a model from elsewhere, as they were tried."""

from dataclasses import dataclass

from landshift.pipeline.scores.evidence import Difference
from landshift.pipeline.scores.training import Temperatures


@dataclass(frozen=True)
class AdaptationRow:
    """A way to adapt a model from elsewhere."""

    method: str
    """`none`, or the method's name."""
    notes: tuple[str, ...]
    """What was done, in sentences."""
    reason: str
    """Why it cannot be used; empty where it can."""
    mapped_share: float | None
    """Share of the observed pixels that is mapped as changed with the model's own threshold, 0..1."""


@dataclass(frozen=True)
class ScoredAdaptation(AdaptationRow):
    """A way to adapt that was scored on the test blocks, at this territory's temperature and threshold."""

    f1: float | None
    """0..1."""
    calibration_error: float | None
    """0..1."""
    gain: Difference
    """F1 less that of doing nothing."""


@dataclass(frozen=True)
class ScoredBaseline(ScoredAdaptation):
    """Doing nothing, also scored at the model's own temperature and threshold."""

    own_calibration_f1: float | None
    """0..1."""
    own_calibration_error: float | None
    """0..1."""
    calibration_gain: Difference
    """F1 at this territory's temperature and threshold less that at the model's own."""


@dataclass(frozen=True)
class LocalCalibration:
    """Temperature and threshold of a territory."""

    threshold: float
    """Probability from which a pixel counts as changed, 0..1."""
    temperatures: Temperatures
    """Fitted on its validation blocks."""


@dataclass(frozen=True)
class AdaptationCheck:
    """Every way to adapt a model from elsewhere, and the one that is accepted."""

    rows: tuple[ScoredBaseline | ScoredAdaptation | AdaptationRow, ...]
    """One for each method, doing nothing first."""
    accepted: str
    """Name of the method; `none` where nothing is proved to help."""
    verified: bool
    """Whether labels of the territory decided."""
    sentence: str
    """For a planner."""
    calibration: LocalCalibration | None
    """None where the model's own is kept."""
