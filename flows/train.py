"""Train: labels to splits, splits to one candidate a seed, and the best of them offered for use."""

from pathlib import Path

from landshift.flows.assess import Measures, assess_transfer
from landshift.flows.config.project import Project
from landshift.flows.prepare import ask_gates, prepare_images
from landshift.flows.runtime.artifacts import show_table, show_text
from landshift.flows.runtime.limits import model_slot
from landshift.flows.runtime.tasks import as_flow, as_task
from landshift.flows.steps.assessment.current import current_assessment, require_harmless
from landshift.flows.steps.assessment.publish import publish_assessment
from landshift.flows.steps.chips.collection import look_through
from landshift.flows.steps.chips.training import keep_best, require_network, train_on_chips
from landshift.flows.steps.images.gating import ask_before_work
from landshift.flows.steps.learning.baselines import classical_rows
from landshift.flows.steps.learning.fits import require_encoder_fits
from landshift.flows.steps.learning.fitting import encoder_of
from landshift.flows.steps.learning.labelling import divide_labels
from landshift.flows.steps.project.disk import require_disk
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.flows.steps.release.candidates import Trained, choose_model, train_seed
from landshift.flows.steps.release.offering import Offered, offer_candidate, show_release
from landshift.flows.steps.release.releases import settle_release
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import content_of

divide_labels_task = as_task(divide_labels, "divide-labels")
classical_rows_task = as_task(classical_rows, "classical-rows")
train_seed_task = as_task(train_seed, "train-seed")
choose_model_task = as_task(choose_model, "choose-model")
offer_candidate_task = as_task(offer_candidate, "release")


look_through_task = as_task(look_through, "look-through-chips")
train_on_chips_task = as_task(train_on_chips, "train-on-chips")
keep_best_task = as_task(keep_best, "keep-best")


@as_flow("train")
def train(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, despite_verdict: bool = False
) -> Trained:
    """Train the project's model, measure it, and put it in use where it is worse in no region than the one before.

    A verdict that its encoder hurts here stops the training, unless overridden.
    """
    ws = workspace(project, data, output, allow_outside=allow_outside)
    if project.chips is not None:
        return train_on_collection(ws)
    if project.labels is None:
        raise InputError("The config has no `labels:`; training needs some. See configs/ for examples.")
    with ws.alone():
        settle_release(ws)
        made = plan(ws)
        require_disk(ws, made)
        ask_before_work(ws, made)
        require_encoder_fits(ws, made)
        labels_hash = divide_labels_task(ws, made.grid)
        prepared = prepare_images(ws, made)
        gates = ask_gates(ws, prepared)
        if not despite_verdict:
            if project.assess.before_training and current_assessment(ws, prepared, labels_hash).guard is None:
                publish_assessment(ws, assess_transfer(ws, prepared, labels_hash, Measures(), gates=gates))
            require_harmless(ws, prepared, labels_hash)
        rows = classical_rows_task(ws, prepared, labels_hash)
        with model_slot():
            scores = [
                train_seed_task(ws, prepared, labels_hash, seed, strategy)
                for strategy in project.training.strategies for seed in project.training.seeds
            ]  # fmt: skip
        assessment = current_assessment(ws, prepared, labels_hash)
        trained: Trained = choose_model_task(ws, prepared.plan, scores, rows, assessment, gates=gates)
        table = [{"row": f"{s.strategy}, seed {s.seed}", **content_of(s.test)} for s in scores]
        table += [{"row": name, **content_of(row)} for name, row in rows.items()]
        show_table(table, key=f"{project.artifact_name}-scores", description="Scores on the test blocks")
        card = (trained.model / "card.md").read_text(encoding="utf-8")
        show_text(card, key=f"{project.artifact_name}-model", description="Model card")
        offered: Offered = offer_candidate_task(ws, prepared)
        show_release(ws, offered)
        return Trained(ws.model if offered.promoted else ws.candidate, trained.report, offered.promoted, tuple(offered.lines))


def train_on_collection(ws: Workspace) -> Trained:
    """Train a project that is a collection of chips; its model is a source for territories, and in use for none.

    Raises:
        InputError: The collection has faults, or the config asks for what chips cannot train.
    """
    strategies, name = require_network(ws.project), ws.project.artifact_name
    encoder_of(ws)
    with ws.alone():
        look_through_task(ws, thorough=True)
        with model_slot():
            scores = [train_on_chips_task(ws, seed, strategy) for strategy in strategies for seed in ws.project.training.seeds]
        trained: Trained = keep_best_task(ws, scores)
    table = [{"row": f"{s.strategy}, seed {s.seed}", **content_of(s.test)} for s in scores]
    show_table(table, key=f"{name}-scores", description="Scores on the test images")
    card = (trained.model / "card.md").read_text(encoding="utf-8")
    show_text(card, key=f"{name}-model", description="Model card")
    return trained
