"""What is known of the calibration of a run's probabilities, before anything is mapped."""

from landshift.flows.steps.assessment.adapting import adaptation_in_use, current_adaptation
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.gates import Gate
from landshift.pipeline.scores.adaptation import ScoredAdaptation, ScoredBaseline
from landshift.pipeline.scores.gates import calibration_gate
from landshift.pipeline.scores.reliability import KnownCalibration


def calibration_of(ws: Workspace, prepared: Pair) -> KnownCalibration:
    """Return the calibration error on these very images: of the training, or of an assessment with labels; else None."""
    from landshift.models.use.bundle import TrainingImages, describe

    facts = describe(ws.model_in_use).facts
    trained = None if facts.scores is None else facts.scores.calibration_error
    chosen = adaptation_in_use(ws, prepared)
    if facts.inputs == TrainingImages(*prepared.hashes) and chosen.method == "none" and chosen.temperatures is None:
        return KnownCalibration(trained, trained)
    check = current_adaptation(ws, prepared)
    row = None
    if check is not None and check.verified:
        row = next((r for r in check.rows if r.method == chosen.method and isinstance(r, ScoredAdaptation)), None)
    if chosen.temperatures is not None and row is not None:
        return KnownCalibration(row.calibration_error, trained)
    # Without temperatures of this territory the model's own are used; they were tried on the images as they are alone.
    return KnownCalibration(row.own_calibration_error if isinstance(row, ScoredBaseline) else None, trained)


def ask_calibration(ws: Workspace, prepared: Pair) -> Gate:
    """Ask how well the model in use is calibrated on these images."""
    return calibration_gate(calibration_of(ws, prepared), ws.project.gates.rules)
