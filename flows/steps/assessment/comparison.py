"""Strategies and rankings compared by what their trainings scored."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from statistics import fmean
from typing import Any

from landshift.flows.steps.assessment.guard import scores_by_region, trials_for
from landshift.flows.steps.assessment.trials import Outcome, Trial, worst_and_mean
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.labels.regions import Regions
from landshift.pipeline.scores.evidence import kendall_tau, paired_interval


def recommended(ws: Workspace, outcomes: Mapping[Trial, Outcome], regions: Regions) -> dict[str, Any]:
    """Compare strategies by what their trainings scored on the validation regions; the held-out ones have no part in it.

    Returns:
        `rows` with validation and held-out scores, `choice`, and a `sentence`.
    """
    encoder = ws.project.model.encoder
    rows: list[dict[str, Any]] = []
    by_fold: dict[str, dict[str, float]] = {}
    for strategy in dict.fromkeys((*ws.project.assess.strategies, ws.project.training.strategy)):
        own = [o for t, o in outcomes.items() if (t.encoder, t.strategy) == (encoder, strategy) and t.split.startswith("fold")]
        done = [o for o in own if o.state == "done"]
        if not done:
            untried = "It was not tried." if regions.folds > 1 else "It was not tried: there is one region only."
            empty = dict.fromkeys(("validation", "low", "high", "f1", "parameters", "kwh"))
            rows.append({"strategy": strategy, **empty, "trainings": 0, "reason": own[0].reason if own else untried})
            continue
        by_fold[strategy] = _validation_by_fold(own)
        scores = paired_interval(list(by_fold[strategy].values()))
        costs = [(o.facts.get("cost") or {}).get("kwh") for o in done]
        rows.append({
            "strategy": strategy, "validation": scores.estimate, "low": scores.low, "high": scores.high,
            "f1": worst_and_mean(own, regions), "parameters": done[0].facts["fit"]["parameters"], "trainings": len(done),
            "kwh": sum(c for c in costs if c is not None) if all(c is not None for c in costs) else None,
            "reason": "; ".join(o.reason for o in own if o.state != "done"),
        })  # fmt: skip
    known = [r for r in rows if r["validation"] is not None]
    best = max(known, key=lambda r: r["validation"], default=None)
    if best is None:
        return {"rows": rows, "choice": None, "sentence": "No strategy could be measured."}
    alike = [name for name in by_fold if name != best["strategy"] and _may_be_alike(by_fold[best["strategy"]], by_fold[name])]
    sentence = f"On the validation regions {best['strategy']} scored best ({best['validation']:.3f}, mean over folds)."
    if alike:
        sentence += f" It is not told apart from {', '.join(alike)}: the cheapest of these will do."
    return {"rows": rows, "choice": best["strategy"], "sentence": sentence}


def _validation_by_fold(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Return the mean validation score over the seeds of each fold; a training that diverged scored 0."""
    found: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.state != "not possible":
            found.setdefault(outcome.trial.split, []).append(float(outcome.facts.get("validation_score", 0.0)))
    return {split: fmean(values) for split, values in found.items()}


def _may_be_alike(best: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Tell whether the interval of the difference, paired by fold, holds 0."""
    low = paired_interval([best[split] - other[split] for split in best if split in other]).low
    return low is None or low <= 0


def verified(ws: Workspace, ranking: Mapping[str, Any], outcomes: Mapping[Trial, Outcome], regions: Regions) -> dict[str, Any]:
    """Judge the scores by which encoders were ranked: how well did each foretell the F1 after training?

    Returns:
        `rows` (encoder, F1 after training), `scores` (score name to Kendall's tau with its p value), `notes` on trainings
        that were not possible, and on those that diverged, which count as F1 0.
    """
    realised, notes = {}, []
    for row in ranking["rows"]:
        own = [outcomes[t] for t in verification_trials(ws, [row["name"]], regions) if t in outcomes]
        notes += [f"{o.trial.arm} ({o.trial.split}): {o.state}. {o.reason}" for o in own if o.state != "done"]
        values = [v or 0.0 for v in scores_by_region(own, regions).values()]
        if values:
            realised[row["name"]] = sum(values) / len(values)
    by_score = {name: {r["name"]: r["scores"][name] for r in ranking["rows"] if r["scores"][name] is not None}
                for name in ranking["rows"][0]["scores"]}  # fmt: skip
    by_score["linear probe F1"] = {r["name"]: r["probe_f1"] for r in ranking["rows"] if r["probe_f1"] is not None}
    return {
        "rows": [{"encoder": name, "f1": f1} for name, f1 in sorted(realised.items(), key=lambda item: -item[1])],
        "scores": {name: asdict(kendall_tau(values, realised)) for name, values in by_score.items()}, "notes": notes,
    }  # fmt: skip


def verification_trials(ws: Workspace, names: Iterable[str], regions: Regions) -> list[Trial]:
    """List the trials by which the ranking of encoders is verified."""
    strategy = ws.project.training.strategy
    pairs = [(n, "scratch" if n.startswith("random") else "full" if strategy == "scratch" else strategy) for n in names]
    return [t for t in trials_for(ws, pairs, regions) if t.seed == ws.project.assess.seeds[0]]


def total_cost(costs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up what the trials cost."""
    from landshift.models.use.energy import Cost, total

    return total([Cost(**c) for c in costs], "assessment").as_dict()


def alignment_of(outcomes: Iterable[Outcome]) -> dict[str, dict[str, float]]:
    """Return how alike the features are before and after training: linear CKA by arm and depth, mean over the folds."""
    found: dict[str, dict[str, list[float]]] = {}
    for outcome in outcomes:
        for depth, value in (outcome.facts.get("alignment") or {}).items():
            if value is not None:
                found.setdefault(outcome.trial.arm, {}).setdefault(depth, []).append(value)
    return {arm: {depth: fmean(values) for depth, values in depths.items()} for arm, depths in found.items()}
