"""Train: labels to splits, splits to one candidate a seed, and the best of them offered for use."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.assess import assess_transfer, current_assessment, publish_assessment, require_harmless
from flows.baselines import classical_rows
from flows.comparing import SEEN, write_seen
from flows.config import Project
from flows.fitting import Recipe, encoder_facts, encoder_of, fit_network
from flows.guard import is_harmful
from flows.judging import judge
from flows.labelling import SPLITS, divide_labels, read_masks
from flows.limits import model_slot
from flows.offering import Offered, offer_candidate
from flows.overlap import BLOCK, training_blocks
from flows.prepare import Prepared, artifact_name, as_task, plan, prepare, require_disk
from flows.progress import step
from flows.promote import show_release
from flows.releasing import settled
from flows.workspace import Workspace, versions, workspace
from pipeline.accuracy import BinaryScores, mean_and_spread
from pipeline.errors import InputError
from pipeline.manifest import file_hash, value_hash, write_json
from pipeline.outlines import crs_of
from pipeline.report import model_card
from pipeline.stac import ITEM, footprint
from pipeline.stac_model import write_model_item

if TYPE_CHECKING:
    from models.network import ChangeNetwork

_SCORES = "scores.json"


@dataclass(frozen=True)
class Trained:
    """What a training made."""

    model: Path
    """Folder of the model: that of the model in use, or the candidate's where it was not promoted."""
    report: Path
    """`training.json`: every row that was measured."""
    promoted: bool = True
    """Whether it is in use now."""
    told: tuple[str, ...] = ()
    """How it compares with the model that was in use, and what became of it; sentences."""


def train_seed(ws: Workspace, prepared: Prepared, labels_hash: str, seed: int) -> dict[str, Any]:
    """Train, calibrate and judge one candidate, unless it is there already from the same inputs.

    Returns:
        Its scores: `validation_score`, `threshold`, `test` and more, as in its `scores.json`.
    """
    project = ws.project
    encoder = encoder_of(ws)
    folder = ws.training / f"seed-{seed}"
    settings = project.training.model_dump(mode="json", exclude={"seeds", "workers"})
    tiling = [project.detect.core, project.detect.margin]
    described = project.model_dump(mode="json", include={"model", "legend", "calibration", "sensor"})
    key = value_hash([prepared.hashes, labels_hash, described, settings, tiling, seed, encoder_facts(encoder)])
    manifest = ws.manifest(folder)
    if not manifest.is_current("candidate", key):
        from models.bundle import CARD, MODEL, WEIGHTS, save
        from models.energy import metered

        checkpoints = folder / f"checkpoints-{key[7:19]}"
        recipe = Recipe(encoder, project.training.strategy, seed, project.training.epochs, project.training.chips_per_epoch)
        masks = read_masks(ws)
        with metered(f"training, seed {seed}", project.energy.country) as meter:
            with step(f"Training (seed {seed})") as advance:
                bundle, network = fit_network(ws, prepared, plan(ws), recipe, masks, checkpoints, advance)
            bundle, scores, _ = judge(ws, prepared, bundle, network, masks)
            domain = _training_domain(ws, prepared, network, masks[1])
        scores["cost"] = meter.cost.as_dict() if meter.cost else None
        bundle = replace(bundle, facts={**bundle.facts, "domain_shift": domain})
        save(folder / "model", bundle, network, "")
        write_json(folder / _SCORES, scores)
        files = [folder / _SCORES, *(folder / "model" / n for n in (WEIGHTS, MODEL, CARD))]
        manifest.record("candidate", key, files)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return dict(json.loads((folder / _SCORES).read_text(encoding="utf-8")))


def _training_domain(ws: Workspace, prepared: Prepared, network: "ChangeNetwork", role: np.ndarray) -> dict[str, Any] | None:
    """Describe where the training regions lie in the network's feature space; None where they are too few to tell."""
    from models.domain_shift import FEWEST_BLOCKS, fit_shift
    from models.features import block_embeddings
    from models.inference import device_of

    device = device_of(ws.project.detect.device)
    wanted = training_blocks(role)
    shape = (role.shape[0], role.shape[1])
    # Tiles as in detect: the means of a block depend a little on how far the network can see around it.
    config = ws.project.detect
    embedded = block_embeddings(
        network.eval().to(device), prepared.images, shape, BLOCK, tile=config.core, margin=config.margin_px, wanted=wanted,
        device=device,
    )  # fmt: skip
    network.to("cpu")
    seen = embedded[wanted & np.isfinite(embedded).all(axis=-1)]
    return fit_shift(seen).as_dict() if len(seen) >= FEWEST_BLOCKS else None


def choose_model(
    ws: Workspace, scores: Sequence[dict[str, Any]], rows: dict[str, Any], assessment: Mapping[str, Any]
) -> Trained:
    """Keep the seed that is best on the validation blocks, with a card and a report of every row, as the candidate.

    The test blocks have no part in the choice.
    """
    from models.bundle import CARD, MODEL, WEIGHTS, load, save

    best = max(scores, key=lambda s: (s["validation_score"], -s["seed"]))
    source = ws.training / f"seed-{best['seed']}" / "model"
    key = value_hash([file_hash(source / MODEL), list(scores), rows, is_harmful(assessment)])
    manifest = ws.manifest(ws.output)
    report = ws.output / "training.json"
    if not manifest.is_current("model", key):
        bundle, network = load(source)
        tests = [BinaryScores(**s["test"]) for s in scores]
        splits = json.loads((ws.training / SPLITS).read_text(encoding="utf-8"))
        told = [*best["warnings"], *_better_rows(best, rows)]
        if is_harmful(assessment):
            told.append(f"The assessment advises against this model. {assessment['guard']['sentence']}")
        content = {
            "warnings": told,
            "project": ws.project.name, "encoder": bundle.encoder, "strategy": bundle.facts["strategy"], "notes": bundle.notes,
            "network": {k: asdict(v) for k, v in mean_and_spread(tests).items()}, "seeds": list(scores),
            "kept_seed": best["seed"],
            "classical": rows, **splits, "versions": versions(),
        }  # fmt: skip
        scored = {**bundle.facts["scores"], "warnings": told}
        known = {"scores": scored, "splits": splits["splits"], "classical": rows, "territory": _territory(ws)}
        kept = replace(bundle, facts={**bundle.facts, **known})
        save(ws.candidate, kept, network, model_card(content, kept.as_dict(), assessment))
        write_json(report, content)
        write_model_item(ws.candidate, json.loads((ws.candidate / MODEL).read_text(encoding="utf-8")))
        write_seen(ws, ws.candidate)
        manifest.record("model", key, [report, *(ws.candidate / n for n in (WEIGHTS, MODEL, CARD, ITEM, SEEN))])
    return Trained(ws.candidate, report)


def card_scores(model: Path) -> str:
    """Return the part of a model's card that scores change, for people at a terminal."""
    card = (model / "card.md").read_text(encoding="utf-8")
    return "Scores of change" + card.partition("\n## Scores of change")[2].partition("\n## ")[0].rstrip()


def _territory(ws: Workspace) -> dict[str, Any]:
    """Return when and where the model learnt."""
    made = plan(ws)
    outline = footprint(made.grid.transform, (made.grid.shape[0], made.grid.shape[1]), crs_of(made.grid).to_wkt())
    return {
        "before_date": str(made.before.date), "after_date": str(made.after.date),
        "footprint": shapely.geometry.mapping(outline),
    }  # fmt: skip


def _better_rows(kept: dict[str, Any], rows: dict[str, Any]) -> list[str]:
    """Say so where a classical method does as well as the network."""
    name, row = max(rows.items(), key=lambda item: item[1]["kappa"] or -1.0)
    own, other = kept["test"]["kappa"], row["kappa"]
    if own is None or other is None or own > other:
        return []
    return [
        f"On the same test pixels, {name} does as well or better (kappa {other:.3f} against {own:.3f}): use it, label more, or "
        f"train longer."
    ]


divide_labels_task = as_task(divide_labels, "divide-labels")
classical_rows_task = as_task(classical_rows, "classical-rows")
train_seed_task = as_task(train_seed, "train-seed")
choose_model_task = as_task(choose_model, "choose-model")
offer_candidate_task = as_task(offer_candidate, "release")


@flow(name="train", persist_result=False)
def train(
    project: Project, data: Path, output: Path | None = None, allow_outside: bool = False, despite_verdict: bool = False
) -> Trained:
    """Train the project's model, measure it, and put it in use where it is worse in no region than the one before.

    A verdict that its encoder hurts here stops the training, unless overridden.
    """
    ws = workspace(project, data, output, allow_outside=allow_outside)
    if project.labels is None:
        raise InputError("The config has no `labels:`; training needs some. See configs/ for examples.")
    with ws.alone():
        settled(ws)
        require_disk(ws, plan(ws))
        labels_hash = divide_labels_task(ws)
        prepared = prepare(project, data, output, allow_outside)
        if not despite_verdict:
            if project.assess.before_training and "guard" not in current_assessment(ws, prepared, labels_hash):
                publish_assessment(ws, assess_transfer(ws, prepared, labels_hash))
            require_harmless(ws, prepared, labels_hash)
        rows = classical_rows_task(ws, prepared, labels_hash)
        with model_slot():
            scores = [train_seed_task(ws, prepared, labels_hash, seed) for seed in project.training.seeds]
        trained: Trained = choose_model_task(ws, scores, rows, current_assessment(ws, prepared, labels_hash))
        table = [{"row": f"network, seed {s['seed']}", **s["test"]} for s in scores]
        table += [{"row": name, **row} for name, row in rows.items()]
        create_table_artifact(table, key=f"{artifact_name(project)}-scores", description="Scores on the test blocks")
        card = (trained.model / "card.md").read_text(encoding="utf-8")
        create_markdown_artifact(card, key=f"{artifact_name(project)}-model", description="Model card")
        offered: Offered = offer_candidate_task(ws, prepared)
        show_release(ws, offered)
        return Trained(ws.model if offered.promoted else ws.candidate, trained.report, offered.promoted, tuple(offered.lines))
