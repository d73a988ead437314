"""Assess: does a pretrained encoder help in this territory, which one, with how many labels, and how far to trust it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from landshift.flows.config.project import Project
from landshift.flows.prepare import ask_gates, prepare_images
from landshift.flows.runtime.tasks import as_flow, as_task
from landshift.flows.runtime.versions import versions
from landshift.flows.steps.assessment.adapting import check_adaptations
from landshift.flows.steps.assessment.comparison import (
    compare_strategies,
    mean_alignment,
    total_cost,
    verification_trials,
    verify_ranking,
)
from landshift.flows.steps.assessment.current import assessment_key, current_assessment
from landshift.flows.steps.assessment.curve import curve_trials, measure_curve
from landshift.flows.steps.assessment.evaluation import evaluate, evaluation_trials
from landshift.flows.steps.assessment.guard import arms, judge_controls, trials_for
from landshift.flows.steps.assessment.overlap import compare_blocks
from landshift.flows.steps.assessment.publish import Assessed, publish_assessment
from landshift.flows.steps.assessment.ranking import rank_encoders
from landshift.flows.steps.assessment.trials import Trial, TrialResult, budget, run_trial
from landshift.flows.steps.chips.training import assess_chips
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.fitting import encoder_label, encoder_of, require_model_fits, require_same_treatment
from landshift.flows.steps.learning.labelling import divide_labels, read_masks
from landshift.flows.steps.project.disk import require_disk
from landshift.flows.steps.project.plan import plan
from landshift.flows.steps.project.workspace import Workspace, workspace
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import Gate
from landshift.pipeline.labels.regions import regions_of
from landshift.pipeline.scores.assessment import Assessment, Budget, HeldOutRegions

rank_encoders_task = as_task(rank_encoders, "rank-encoders")
check_adaptations_task = as_task(check_adaptations, "check-adaptations")

compare_blocks_task = as_task(compare_blocks, "overlap")

run_trial_task = as_task(run_trial, "trial")
divide_labels_task = as_task(divide_labels, "divide-labels")


@dataclass(frozen=True)
class Measures:
    """What an assessment measures beside the ranking of encoders and the overlap of regions."""

    quick: bool = False
    """Train nothing: no comparison with controls, and no evaluation."""
    strategies: bool = False
    """Compare ways to use the encoder."""
    verify: bool = False
    """Train every ranked encoder, to judge the ranking."""
    curve: bool = False
    """Train with shares of the labels, pretrained and random."""


_PLAIN = Measures()


def assess_transfer(
    ws: Workspace, prepared: Pair, labels_hash: str, measures: Measures, *, gates: tuple[Gate, ...]
) -> Assessment:
    """Measure what was asked for; what an earlier assessment of the same inputs measured is kept.

    `gates` are those that were asked of the images.
    """
    config, encoder, strategy = ws.project.assess, ws.project.model.encoder, ws.project.training.assessed_strategy
    regions = regions_of(read_masks(ws).labels, config.regions, config.min_pixels)
    ranking = rank_encoders_task(ws, prepared, labels_hash)
    found = replace(
        current_assessment(ws, prepared, labels_hash), project=ws.project.name, versions=versions(), gates=gates,
        # Of another model, and measured anew where it was asked for.
        adaptation=None,
        key=assessment_key(ws, prepared, labels_hash), encoder=encoder, encoder_label=encoder_label(ws), strategy=strategy,
        budget=Budget(*budget(ws), config.seeds), regions=HeldOutRegions(regions.names, regions.folds, regions.notes),
        ranking=ranking, overlap=compare_blocks_task(ws, prepared, labels_hash),
    )  # fmt: skip
    costs = dict(found.costs or {})

    def run(trials: Iterable[Trial]) -> dict[Trial, TrialResult]:
        done = {t: run_trial_task(ws, prepared, labels_hash, t, regions) for t in dict.fromkeys(trials)}
        costs.update({t.slug: r.facts.cost for t, r in done.items() if r.facts is not None and r.facts.cost is not None})
        return done

    if not measures.quick:
        compared = run(trials_for(ws, list(arms(ws).values()), regions))
        guard = judge_controls(ws, compared, regions)
        evaluation = evaluate(ws, run(evaluation_trials(ws, regions)), regions)
        alignment = mean_alignment(o for o in compared.values() if o.trial.encoder == encoder)
        found = replace(found, guard=guard, evaluation=evaluation, alignment=alignment)
    if measures.strategies:
        pairs = [(encoder, name) for name in dict.fromkeys((*config.strategies, strategy))]
        # A single region leaves none to choose on.
        trials = trials_for(ws, pairs, regions) if regions.folds > 1 else []
        found = replace(found, strategies=compare_strategies(ws, run(trials), regions))
    if measures.verify:
        trials = verification_trials(ws, [r.name for r in ranking.rows], regions)
        found = replace(found, verification=verify_ranking(ws, ranking, run(trials), regions))
    if measures.curve:
        found = replace(found, curve=measure_curve(ws, run(curve_trials(ws))))
    return replace(found, costs=costs, cost=total_cost(costs.values())) if costs else found


@as_flow("assess")
def assess(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None,
    measures: Measures = _PLAIN,
) -> Assessed:  # fmt: skip
    """Find out whether the project's encoder helps in its territory, or a model from elsewhere, and write down the evidence."""
    ws = workspace(project, data, output, allow_outside=allow_outside, model=model)
    if project.chips is not None:
        with ws.alone():
            return assess_chips(ws)
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
        if ws.uses_other_model:
            require_same_treatment(ws, prepared)
        gates = ask_gates(ws, prepared)
        adaptation = check_adaptations_task(ws, prepared, labels_hash) if ws.uses_other_model else None
        found = Assessment(project=project.name, versions=versions(), gates=gates)
        if labels_hash is not None:
            found = assess_transfer(ws, prepared, labels_hash, measures, gates=gates)
        return publish_assessment(ws, replace(found, adaptation=adaptation))
