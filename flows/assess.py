"""Assess: does a pretrained encoder help in this territory, which one, with how many labels, and how far to trust it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect import flow

from landshift.flows.config.project import Project
from landshift.flows.prepare import prepare_images
from landshift.flows.runtime.tasks import as_task
from landshift.flows.runtime.versions import versions
from landshift.flows.steps.assessment.adapting import check_adaptations
from landshift.flows.steps.assessment.comparison import alignment_of, recommended, total_cost, verification_trials, verified
from landshift.flows.steps.assessment.current import assessment_key, current_assessment
from landshift.flows.steps.assessment.curve import curve_trials, label_efficiency
from landshift.flows.steps.assessment.evaluation import evaluated, evaluation_trials
from landshift.flows.steps.assessment.guard import arms, trials_for, verdicts
from landshift.flows.steps.assessment.overlap import overlap_of
from landshift.flows.steps.assessment.publish import Assessed, publish_assessment
from landshift.flows.steps.assessment.ranking import rank_encoders
from landshift.flows.steps.assessment.trials import Outcome, Trial, budget, run_trial
from landshift.flows.steps.images.epochs import Prepared
from landshift.flows.steps.learning.fitting import encoder_label, encoder_of, require_model_fits
from landshift.flows.steps.learning.labelling import divide_labels, read_masks
from landshift.flows.steps.project.disk import require_disk
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.regions import Regions, regions_of


def run_trials(
    ws: Workspace, prepared: Prepared, labels_hash: str, trials: Iterable[Trial], regions: Regions
) -> dict[Trial, Outcome]:
    """Run trials one after another, each once."""
    return {t: run_trial_task(ws, prepared, labels_hash, t, regions) for t in dict.fromkeys(trials)}


rank_encoders_task = as_task(rank_encoders, "rank-encoders")

check_adaptations_task = as_task(check_adaptations, "check-adaptations")

overlap_task = as_task(overlap_of, "overlap")

run_trial_task = as_task(run_trial, "trial")

divide_labels_task = as_task(divide_labels, "divide-labels")


def assess_transfer(
    ws: Workspace, prepared: Prepared, labels_hash: str, *, quick: bool = False, strategies: bool = False, verify: bool = False,
    curve: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Measure what was asked for; what an earlier assessment of the same inputs measured is kept."""
    config = ws.project.assess
    regions = regions_of(read_masks(ws).labels, config.regions, config.min_pixels)
    content = current_assessment(ws, prepared, labels_hash)
    # Of another model, and measured anew where it was asked for.
    content.pop("adaptation", None)
    content |= {
        "key": assessment_key(ws, prepared, labels_hash), "project": ws.project.name, "encoder": ws.project.model.encoder,
        "encoder_label": encoder_label(ws),
        "strategy": ws.project.training.strategy, "versions": versions(),
        "budget": {"epochs": budget(ws)[0], "chips_per_epoch": budget(ws)[1], "seeds": list(config.seeds)},
        "regions": {"names": list(regions.names), "folds": regions.folds, "notes": list(regions.notes)},
        "ranking": rank_encoders_task(ws, prepared, labels_hash), "overlap": overlap_task(ws, prepared, labels_hash),
    }  # fmt: skip
    outcomes: dict[Trial, Outcome] = {}

    def tried(trials: Iterable[Trial]) -> dict[Trial, Outcome]:
        found = run_trials(ws, prepared, labels_hash, trials, regions)
        outcomes.update(found)
        return found

    if not quick:
        compared = tried(trials_for(ws, list(arms(ws).values()), regions))
        content["guard"] = verdicts(ws, compared, regions)
        content["evaluation"] = evaluated(ws, tried(evaluation_trials(ws, regions)), regions)
        content["alignment"] = alignment_of(o for o in compared.values() if o.trial.encoder == ws.project.model.encoder)
    if strategies:
        pairs = [(ws.project.model.encoder, s) for s in dict.fromkeys((*config.strategies, ws.project.training.strategy))]
        # A single region leaves none to choose on.
        trials = trials_for(ws, pairs, regions) if regions.folds > 1 else []
        content["strategies"] = recommended(ws, tried(trials), regions)
    if verify:
        trials = verification_trials(ws, [r["name"] for r in content["ranking"]["rows"]], regions)
        content["verification"] = verified(ws, content["ranking"], tried(trials), regions)
    if curve:
        content["curve"] = label_efficiency(ws, tried(curve_trials(ws)))
    costs = content.get("costs", {}) | {o.trial.slug: o.facts["cost"] for o in outcomes.values() if o.facts.get("cost")}
    if costs:
        content |= {"costs": costs, "cost": total_cost(costs.values())}
    return content


@flow(name="assess", persist_result=False)
def assess(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None,
    quick: bool = False, strategies: bool = False, verify: bool = False, curve: bool = False,
) -> Assessed:  # fmt: skip
    """Find out whether the project's encoder helps in its territory, or a model from elsewhere, and write down the evidence."""
    ws = workspace(project, data, output, allow_outside=allow_outside, model=model)
    if project.labels is None and not ws.uses_other_model:
        raise InputError(
            "The config has no `labels:`, and no model was named. Whether an encoder helps can only be judged on labels; "
            "without them, a model that was trained elsewhere can at least be tried: name it with --model or `trained_model:`."
        )
    made = plan(ws)
    if ws.uses_other_model:
        require_model_fits(ws, made)
    encoder_of(ws)
    with ws.alone():
        require_disk(ws, made)
        labels_hash = None if project.labels is None else divide_labels_task(ws, made.grid)
        prepared = prepare_images(ws, made)
        content: dict[str, Any] = {"project": project.name, "versions": versions()}
        if ws.uses_other_model:
            content["adaptation"] = check_adaptations_task(ws, prepared, labels_hash)
        if labels_hash is not None:
            content |= assess_transfer(
                ws, prepared, labels_hash, quick=quick, strategies=strategies, verify=verify, curve=curve
            )
        return publish_assessment(ws, content)
