"""What is known of a model on the images of a run: its calibration, and how often each kind of change was right."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from landshift.flows.steps.assessment.adapting import ChosenAdaptation, adaptation_in_use, current_adaptation
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.change.areas import OnTestBlocks
from landshift.pipeline.gates import Gate
from landshift.pipeline.scores.adaptation import ScoredAdaptation, ScoredBaseline
from landshift.pipeline.scores.gates import calibration_gate
from landshift.pipeline.scores.reliability import KnownCalibration
from landshift.pipeline.vector.columns import KnownHere

if TYPE_CHECKING:
    from landshift.models.use.bundle import Provenance


def calibration_of(ws: Workspace, prepared: Pair) -> KnownCalibration:
    """Return the calibration error on these very images: of the training, or of an assessment with labels; else None."""
    if ws.project.detect.method != "model":
        return KnownCalibration(None, None)
    from landshift.models.use.bundle import describe

    facts = describe(ws.model_in_use).facts
    trained = None if facts.scores is None else facts.scores.calibration_error
    chosen = adaptation_in_use(ws, prepared)
    if _is_at_home(facts, prepared, chosen) and chosen.temperatures is None:
        return KnownCalibration(trained, trained)
    check = current_adaptation(ws, prepared)
    row = None
    if check is not None and check.verified:
        row = next((r for r in check.rows if r.method == chosen.method and isinstance(r, ScoredAdaptation)), None)
    if chosen.temperatures is not None and row is not None:
        return KnownCalibration(row.calibration_error, trained)
    # Without temperatures of this territory the model's own are used; they were tried on the images as they are alone.
    return KnownCalibration(row.own_calibration_error if isinstance(row, ScoredBaseline) else None, trained)


def ask_calibration(ws: Workspace, prepared: Pair) -> tuple[Gate, ...]:
    """Ask how well the model in use is calibrated on these images; nothing of a classical method, which has no probability."""
    if ws.project.detect.method != "model":
        return ()
    return (calibration_gate(calibration_of(ws, prepared), ws.project.gates.rules),)


def find_known(ws: Workspace, prepared: Pair) -> KnownHere:
    """Return what was measured of the model in use on the very images of a run; nothing of a classical method."""
    if ws.project.detect.method != "model":
        # Without test blocks nothing is known from elsewhere that a heading had to warn of.
        return KnownHere(calibrated=False, tested=True)
    from landshift.models.use.bundle import describe

    facts = describe(ws.model_in_use).facts
    return KnownHere(
        calibrated=calibration_of(ws, prepared).is_known, tested=_is_at_home(facts, prepared, adaptation_in_use(ws, prepared))
    )


def kinds_on_test(ws: Workspace) -> Mapping[int, OnTestBlocks]:
    """Return how often the model in use was right about each kind of change, by change code; empty where it was not tested."""
    if ws.project.detect.method != "model":
        return {}
    from landshift.models.use.bundle import describe

    scores = describe(ws.model_in_use).facts.scores
    return {
        kind.code: OnTestBlocks(
            kind.right.estimate, kind.right.low, kind.right.high, kind.right.pixels, blocks=kind.right.blocks,
            found=kind.found.estimate, labelled=kind.found.pixels,
        )
        for kind in (() if scores is None else scores.kinds)
    }  # fmt: skip


def _is_at_home(facts: "Provenance", prepared: Pair, chosen: ChosenAdaptation) -> bool:
    """Return whether the images are those of the training, and go into the model as they did then."""
    from landshift.models.use.bundle import TrainingImages

    return facts.inputs == TrainingImages(*prepared.hashes) and chosen.method == "none"
