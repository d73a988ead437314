"""The assessment of a project's images and model, where there is one."""

from dataclasses import replace

from landshift.flows.steps.assessment.adapting import current_adaptation
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.fitting import encoder_facts, encoder_of
from landshift.flows.steps.learning.labelling import labels_hash_of, labels_key_of
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.records import read_record
from landshift.pipeline.scores.assessment import Assessment

ASSESSMENT, PAGE = "assessment.json", "assessment.html"


def assessment_key(ws: Workspace, prepared: Pair, labels_hash: str) -> str:
    """Return the hash of the images, labels, model, training and budget of an assessment."""
    budgeted = {"regions", "min_pixels", "seeds", "epochs", "chips_per_epoch", "controls"}
    described = ws.project.model_dump(
        mode="json",
        include={
            "model": True, "legend": True, "split": True, "training": True, "calibration": True, "sensor": True, "labels": True,
            "assess": budgeted,
        },
    )  # fmt: skip
    for irrelevant in ("workers", "seeds"):
        described["training"].pop(irrelevant)
    return value_hash([prepared.key, labels_hash, labels_key_of(ws), described, encoder_facts(encoder_of(ws))])


def current_assessment(ws: Workspace, prepared: Pair, labels_hash: str) -> Assessment:
    """Return the assessment of these inputs; empty without one, or where its file is not the one that was written."""
    key = assessment_key(ws, prepared, labels_hash)
    if not ws.manifest(ws.assessment).is_current("assessment", key):
        return Assessment()
    return read_record(ws.assessment / ASSESSMENT, Assessment)


def assessment_of(ws: Workspace, prepared: Pair) -> Assessment:
    """Return what was assessed of the images and the model of a run; empty where nothing was."""
    labels_hash = labels_hash_of(ws)
    # The verdict on the project's own encoder does not hold for a model from elsewhere.
    is_own = ws.project.labels is not None and labels_hash is not None and not ws.uses_other_model
    found = current_assessment(ws, prepared, labels_hash or "") if is_own else Assessment()
    return replace(found, adaptation=current_adaptation(ws, prepared) or found.adaptation)


def require_harmless(ws: Workspace, prepared: Pair, labels_hash: str) -> None:
    """Stop a training that an assessment found to be worse than starting from random weights.

    Raises:
        InputError: The verdict is `hurts`, and the config does not allow to go on.
    """
    found = current_assessment(ws, prepared, labels_hash)
    if ws.project.assess.guard == "stop" and found.guard is not None and found.is_harmful:
        raise InputError(
            f"Training stopped: {found.guard.sentence} Choose another encoder or strategy in `model:` and "
            f"`training:` (see {ws.assessment / PAGE}), or go on all the same with --despite-verdict."
        )
