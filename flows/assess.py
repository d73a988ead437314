"""Assess: does a pretrained encoder help in this territory, which one, with how many labels, and how far to trust it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.adapting import check_adaptations, current_adaptation
from flows.config import Project
from flows.curve import curve_trials, label_efficiency
from flows.evaluation import evaluated, evaluation_trials
from flows.fitting import encoder_facts, encoder_label, encoder_of, require_model_fits
from flows.guard import arms, is_harmful, scores_by_region, trials_for, verdicts
from flows.labelling import divide_labels, labels_hash_of, labels_key_of, read_labels
from flows.overlap import overlap_of
from flows.prepare import Prepared, artifact_name, as_task, plan, prepare, require_disk
from flows.ranking import rank_encoders
from flows.trials import Outcome, Trial, budget, run_trial, worst_and_mean
from flows.workspace import Workspace, versions, workspace
from pipeline.errors import InputError
from pipeline.evidence import kendall_tau, paired_interval
from pipeline.manifest import file_hash, value_hash, write_json, write_text
from pipeline.regions import Regions, regions_of
from pipeline.releases import COMPARED
from pipeline.report import model_card

ASSESSMENT, PAGE = "assessment.json", "assessment.html"


@dataclass(frozen=True)
class Assessed:
    """What an assessment made."""

    report: Path
    """`assessment.json`: everything that was measured."""
    page: Path
    """`assessment.html`: the same for people."""


def assessment_key(ws: Workspace, prepared: Prepared, labels_hash: str) -> str:
    """Return the hash of what an assessment holds for: images, labels, model, training and budget."""
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
    return value_hash([prepared.hashes, labels_hash, labels_key_of(ws), described, encoder_facts(encoder_of(ws))])


def current_assessment(ws: Workspace, prepared: Prepared, labels_hash: str) -> dict[str, Any]:
    """Return the assessment of these inputs; empty where there is none, or where its file is not the one that was written."""
    key = assessment_key(ws, prepared, labels_hash)
    if not ws.manifest(ws.assessment).is_current("assessment", key):
        return {}
    return dict(json.loads((ws.assessment / ASSESSMENT).read_text(encoding="utf-8")))


def assessment_of(ws: Workspace, prepared: Prepared) -> dict[str, Any]:
    """Return what was assessed of the images and the model of a run; empty where nothing was."""
    labels_hash = labels_hash_of(ws)
    # What was found about the project's own encoder says nothing about a model from elsewhere.
    is_own = ws.project.labels is not None and labels_hash is not None and not ws.uses_other_model
    found = current_assessment(ws, prepared, labels_hash or "") if is_own else {}
    adaptation = current_adaptation(ws, prepared)
    return found | ({"adaptation": adaptation} if adaptation else {})


def require_harmless(ws: Workspace, prepared: Prepared, labels_hash: str) -> None:
    """Stop a training that an assessment found to be worse than starting from random weights.

    Raises:
        InputError: The verdict is `hurts`, and the config does not say to go on.
    """
    assessment = current_assessment(ws, prepared, labels_hash)
    if ws.project.assess.guard == "stop" and is_harmful(assessment):
        raise InputError(
            f"Training stopped: {assessment['guard']['sentence']} Choose another encoder or strategy in `model:` and "
            f"`training:` (see {ws.assessment / PAGE}), or go on all the same with --despite-verdict."
        )


def run_trials(
    ws: Workspace, prepared: Prepared, labels_hash: str, trials: Iterable[Trial], regions: Regions
) -> dict[Trial, Outcome]:
    """Run trials one after another, each once."""
    return {t: run_trial_task(ws, prepared, labels_hash, t, regions) for t in dict.fromkeys(trials)}


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
        own = [outcomes[t] for t in _verification_trials(ws, [row["name"]], regions) if t in outcomes]
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


def _verification_trials(ws: Workspace, names: Iterable[str], regions: Regions) -> list[Trial]:
    strategy = ws.project.training.strategy
    pairs = [(n, "scratch" if n.startswith("random") else "full" if strategy == "scratch" else strategy) for n in names]
    return [t for t in trials_for(ws, pairs, regions) if t.seed == ws.project.assess.seeds[0]]


def _ledger(costs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up what the trials cost."""
    from models.energy import Cost, total

    return total([Cost(**c) for c in costs], "assessment").as_dict()


def alignment_of(outcomes: Iterable[Outcome]) -> dict[str, dict[str, float]]:
    """Return how alike the features are before and after training: linear CKA by arm and depth, mean over the folds."""
    found: dict[str, dict[str, list[float]]] = {}
    for outcome in outcomes:
        for depth, value in (outcome.facts.get("alignment") or {}).items():
            if value is not None:
                found.setdefault(outcome.trial.arm, {}).setdefault(depth, []).append(value)
    return {arm: {depth: fmean(values) for depth, values in depths.items()} for arm, depths in found.items()}


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
    labels = read_labels(ws, plan(ws).grid)
    regions = regions_of(labels, config.regions, config.min_pixels)
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
        trials = _verification_trials(ws, [r["name"] for r in content["ranking"]["rows"]], regions)
        content["verification"] = verified(ws, content["ranking"], tried(trials), regions)
    if curve:
        content["curve"] = label_efficiency(ws, tried(curve_trials(ws)))
    costs = content.get("costs", {}) | {o.trial.slug: o.facts["cost"] for o in outcomes.values() if o.facts.get("cost")}
    if costs:
        content |= {"costs": costs, "cost": _ledger(costs.values())}
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
    if ws.uses_other_model:
        require_model_fits(ws, plan(ws))
    encoder_of(ws)
    with ws.alone():
        require_disk(ws, plan(ws))
        labels_hash = None if project.labels is None else divide_labels_task(ws)
        prepared = prepare(project, data, output, allow_outside)
        content: dict[str, Any] = {"project": project.name, "versions": versions()}
        if ws.uses_other_model:
            content["adaptation"] = check_adaptations_task(ws, prepared, labels_hash)
        if labels_hash is not None:
            content |= assess_transfer(
                ws, prepared, labels_hash, quick=quick, strategies=strategies, verify=verify, curve=curve
            )
        return publish_assessment(ws, content)


def _refresh_card(ws: Workspace, content: Mapping[str, Any]) -> None:
    """Put the assessment on the card of the model that this project trained, where there is one."""
    from models.bundle import CARD, MODEL

    report, manifest = ws.output / "training.json", ws.manifest(ws.output)
    entry = manifest.entries().get("model")
    if "ranking" not in content or entry is None:
        return
    files = [ws.output / name for name in entry["files"]]
    described = next((path for path in files if path.name == MODEL and path.is_file()), None)
    if described is None:
        return
    told, model = (json.loads(path.read_text(encoding="utf-8")) for path in (report, described))
    if (model["encoder"]["name"], model["facts"]["strategy"]) != (encoder_of(ws).name, ws.project.training.strategy):
        return  # it was trained from another encoder, or in another way
    card = model_card(told, model, content)
    write_text(described.with_name(CARD), card)
    shown = ws.model / MODEL
    if shown != described and shown.is_file() and file_hash(shown) == file_hash(described):
        # It is the model in use.
        path = ws.model / CARD
        _, heading, compared = path.read_text(encoding="utf-8").partition(f"\n{COMPARED}") if path.is_file() else ("", "", "")
        write_text(path, f"{card.rstrip()}\n{heading}{compared}" if heading else card)
    manifest.record("model", entry["key"], files)


def publish_assessment(ws: Workspace, content: dict[str, Any]) -> Assessed:
    """Write the assessment as JSON, as a page and on the model's card, and show it in Prefect."""
    from pipeline.assessment import assessment_page, summary_lines

    page = ws.assessment / PAGE
    write_json(ws.assessment / ASSESSMENT, content)
    write_text(page, assessment_page(content))
    manifest, key = ws.manifest(ws.assessment), content.get("key", "")
    if not manifest.is_current("assessment", key):
        manifest.record("assessment", key, [ws.assessment / ASSESSMENT])
    _refresh_card(ws, content)
    name = artifact_name(ws.project)
    if "ranking" in content:
        create_table_artifact(
            [{"encoder": r["name"], "rank": r["rank"], **r["scores"]} for r in content["ranking"]["rows"]],
            key=f"{name}-ranking", description=content["ranking"]["sentence"],
        )  # fmt: skip
    told = "\n".join(f"- {line}" for line in summary_lines(content) if line)
    create_markdown_artifact(told, key=f"{name}-assessment", description="Assessment")
    return Assessed(ws.assessment / ASSESSMENT, page)
