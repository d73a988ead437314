"""Gates: what is asked of a run's data and model, what was found, and whether that is good enough."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.rendering import percent

Outcome = Literal["pass", "mark", "not measured"]
PASS: Outcome = "pass"  # noqa: S105 (no password)
MARK: Outcome = "mark"
NOT_MEASURED: Outcome = "not measured"

_LEAST_OBSERVED = 0.5
"""Share of the region observed on both dates, 0..1, below which a run is marked."""
_MUCH_BEYOND = 0.2
"""Share of the territory beyond the edge of the training regions, 0..1, from which a run is marked; 5 % are by definition."""
_POORLY_CALIBRATED = 0.1
"""Calibration error on the test blocks, 0..1, from which a run is marked."""


@dataclass(frozen=True)
class Gate:
    """One question to a run, with its answer."""

    name: str
    """What is looked at."""
    found: str
    """What was found."""
    limit: str
    """What was expected."""
    outcome: Outcome
    """Whether it was met; a run that is marked says so wherever it is shown."""
    meaning: str
    """What to make of it, a sentence; the warning of a marked run."""

    def as_dict(self) -> dict[str, str]:
        """Return the fields for JSON."""
        return asdict(self)


def run_gates(
    *,
    observed_share: float,
    beyond: float | None,
    calibration_error: float | None,
    same_images: bool,
    adaptation: Mapping[str, Any],
    verdict: str | None,
) -> tuple[Gate, ...]:
    """Ask what a reader of the map has to know before trusting it.

    Args:
        observed_share: Share of the region observed on both dates, 0..1.
        beyond: Share of the territory past the edge of what the training regions hold, 0..1; None where not known.
        calibration_error: Of the test blocks, 0..1; None where it was not measured.
        same_images: Whether the model was trained on the images that it maps.
        adaptation: With `method` and `verified`.
        verdict: Of the assessment: `helps`, `no evidence` or `hurts`; None where transfer was not assessed.
    """
    return (
        Gate(
            "Observed on both dates", f"{percent(observed_share)} of the region", f"at least {percent(_LEAST_OBSERVED)}",
            PASS if observed_share >= _LEAST_OBSERVED else MARK,
            f"Only {percent(observed_share)} of the region was observed on both dates: what happened in the rest is unknown."
            if observed_share < _LEAST_OBSERVED
            else "What was not observed is not counted as unchanged.",
        ),
        _likeness(beyond),
        _calibration(calibration_error),
        Gate(
            "Images of the training", "these images" if same_images else "other images", "these images",
            PASS if same_images else MARK,
            "The test blocks lie in these images."
            if same_images
            else "The model was trained on other images than these; its scores need not hold here.",
        ),
        _adaptation(str(adaptation["method"]), bool(adaptation["verified"])),
        _transfer(verdict),
    )  # fmt: skip


def warnings_of(gates: tuple[Gate, ...]) -> list[str]:
    """Return what the gates that were not met warn of."""
    return [gate.meaning for gate in gates if gate.outcome == MARK]


def _likeness(beyond: float | None) -> Gate:
    name, limit = "Likeness to the training regions", f"at most {percent(_MUCH_BEYOND)} beyond their edge"
    if beyond is None:
        return Gate(name, "not known", limit, NOT_MEASURED, "The model does not hold what its training regions look like.")
    much = beyond > _MUCH_BEYOND
    return Gate(
        name, f"{percent(beyond)} beyond their edge", limit, MARK if much else PASS,
        f"{percent(beyond)} of the territory looks unlike 95 % of the blocks that the model was trained on (see "
        f"domain_shift.tif): its scores need not hold there."
        if much
        else "The territory looks like what the model was trained on (see domain_shift.tif); 5 % lie beyond by definition.",
    )  # fmt: skip


def _calibration(error: float | None) -> Gate:
    name, limit = "Calibration on the test blocks", f"error of at most {_POORLY_CALIBRATED:.2f}"
    if error is None:
        return Gate(name, "not known", limit, NOT_MEASURED, "Whether probabilities can be read as shares is not known.")
    poor = error > _POORLY_CALIBRATED
    return Gate(
        name, f"error of {error:.3f}", limit, MARK if poor else PASS,
        f"On the test blocks, probabilities were off by {error:.2f} on average: read the confidence as a ranking, not as a "
        f"share of right pixels."
        if poor
        else "The confidence can be read as the share of right pixels.",
    )  # fmt: skip


def _adaptation(method: str, verified: bool) -> Gate:
    name, limit = "Adaptation to the territory", "none, or confirmed by labels"
    if method == "none":
        return Gate(name, "none", limit, PASS, "The images were used as they are.")
    return Gate(
        name, f"{method}, {'confirmed' if verified else 'unverified'}", limit, PASS if verified else MARK,
        "Labels of this territory confirmed that the adaptation helps."
        if verified
        else f"The images were adapted ({method}), and no label of this territory confirmed that it helps: unverified.",
    )  # fmt: skip


def _transfer(verdict: str | None) -> Gate:
    name, limit = "Transfer from the encoder's source", "does not hurt"
    if verdict is None:
        return Gate(name, "not known", limit, NOT_MEASURED, "Whether the pretrained encoder helps here was not assessed.")
    hurts = verdict == "hurts"
    return Gate(
        name, verdict, limit, MARK if hurts else PASS,
        "The assessment found that the pretrained encoder hurts in this territory." if hurts
        else "Short trainings were compared with random weights in regions that were held out.",
    )  # fmt: skip
