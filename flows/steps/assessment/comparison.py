"""Strategies and rankings compared by what their trainings scored."""

from collections.abc import Iterable, Mapping
from statistics import fmean

from landshift.flows.steps.assessment.guard import scores_by_region, trials_for
from landshift.flows.steps.assessment.trials import Trial, TrialResult, worst_and_mean
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.labels.regions import Regions
from landshift.pipeline.scores.assessment import EncoderF1, Strategies, StrategyRow, Verification
from landshift.pipeline.scores.evidence import interval_of_pairs
from landshift.pipeline.scores.ranking import EncoderRanking, kendall_tau
from landshift.pipeline.scores.training import Cost


def compare_strategies(ws: Workspace, outcomes: Mapping[Trial, TrialResult], regions: Regions) -> Strategies:
    """Compare strategies by what their trainings scored on the validation regions; the held-out ones have no part in it."""
    encoder = ws.project.model.encoder
    rows: list[StrategyRow] = []
    by_fold: dict[str, dict[str, float]] = {}
    for strategy in dict.fromkeys((*ws.project.assess.strategies, ws.project.training.assessed_strategy)):
        own = [o for t, o in outcomes.items() if (t.encoder, t.strategy) == (encoder, strategy) and t.split.startswith("fold")]
        done = [o.facts for o in own if o.facts is not None]
        if not done:
            untried = "It was not tried." if regions.folds > 1 else "It was not tried: there is one region only."
            reason = own[0].reason if own else untried
            rows.append(StrategyRow(strategy, None, None, None, f1=None, parameters=None, trainings=0, kwh=None, reason=reason))
            continue
        by_fold[strategy] = _validation_by_fold(own)
        scores = interval_of_pairs(list(by_fold[strategy].values()))
        costs = [f.cost.kwh for f in done if f.cost is not None and f.cost.kwh is not None]
        rows.append(StrategyRow(
            strategy, scores.estimate, scores.low, scores.high, f1=worst_and_mean(own, regions),
            parameters=done[0].fit.parameters,
            trainings=len(done), kwh=sum(costs) if len(costs) == len(done) else None,
            reason="; ".join(o.reason for o in own if o.state != "done"),
        ))  # fmt: skip
    known = {row.strategy: row.validation for row in rows if row.validation is not None}
    if not known:
        return Strategies(tuple(rows), None, "No strategy could be measured.")
    best = max(known, key=lambda name: known[name])
    alike = [name for name in by_fold if name != best and _may_be_alike(by_fold[best], by_fold[name])]
    sentence = f"On the validation regions {best} scored best ({known[best]:.3f}, mean over folds)."
    if alike:
        sentence += f" It is not told apart from {', '.join(alike)}: the cheapest of these will do."
    return Strategies(tuple(rows), best, sentence)


def _validation_by_fold(outcomes: Iterable[TrialResult]) -> dict[str, float]:
    """Return the mean validation score over the seeds of each fold; a training that diverged scored 0."""
    found: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.state != "not possible":
            score = 0.0 if outcome.facts is None else outcome.facts.validation_score
            found.setdefault(outcome.trial.split, []).append(score)
    return {split: fmean(values) for split, values in found.items()}


def _may_be_alike(best: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Return whether the interval of the difference, paired by fold, holds 0."""
    low = interval_of_pairs([best[split] - other[split] for split in best if split in other]).low
    return low is None or low <= 0


def verify_ranking(
    ws: Workspace, ranking: EncoderRanking, outcomes: Mapping[Trial, TrialResult], regions: Regions
) -> Verification:  # fmt: skip
    """Judge the scores by which encoders were ranked: how well did each foretell the F1 after training?"""
    realised, notes = {}, []
    for row in ranking.rows:
        own = [outcomes[t] for t in verification_trials(ws, [row.name], regions) if t in outcomes]
        notes += [f"{o.trial.arm} ({o.trial.split}): {o.state}. {o.reason}" for o in own if o.state != "done"]
        values = [v or 0.0 for v in scores_by_region(own, regions).values()]
        if values:
            realised[row.name] = sum(values) / len(values)
    by_score = {
        name: {r.name: score for r in ranking.rows if (score := r.scores[name]) is not None} for name in ranking.rows[0].scores
    }
    by_score["linear probe F1"] = {r.name: r.probe_f1 for r in ranking.rows if r.probe_f1 is not None}
    return Verification(
        tuple(EncoderF1(name, f1) for name, f1 in sorted(realised.items(), key=lambda item: -item[1])),
        {name: kendall_tau(values, realised) for name, values in by_score.items()}, tuple(notes),
    )  # fmt: skip


def verification_trials(ws: Workspace, names: Iterable[str], regions: Regions) -> list[Trial]:
    """List the trials by which the ranking of encoders is verified."""
    strategy = ws.project.training.assessed_strategy
    pairs = [(n, "scratch" if n.startswith("random") else "full" if strategy == "scratch" else strategy) for n in names]
    return [t for t in trials_for(ws, pairs, regions) if t.seed == ws.project.assess.seeds[0]]


def total_cost(costs: Iterable[Cost]) -> Cost:
    """Add up the costs of trials."""
    from landshift.models.use.energy import total

    return total(costs, "assessment")


def mean_alignment(outcomes: Iterable[TrialResult]) -> dict[str, dict[str, float]]:
    """Return how alike the features are before and after training: linear CKA by arm and depth, mean over the folds."""
    found: dict[str, dict[str, list[float]]] = {}
    for outcome in outcomes:
        for depth, value in ((outcome.facts and outcome.facts.alignment) or {}).items():
            if value is not None:
                found.setdefault(outcome.trial.arm, {}).setdefault(depth, []).append(value)
    return {arm: {depth: fmean(values) for depth, values in depths.items()} for arm, depths in found.items()}
