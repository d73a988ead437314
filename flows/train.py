"""Train: labels to splits, splits to one candidate a seed, the best candidate to the project's model."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.config import Project
from flows.judging import classical_rows, judge
from flows.labelling import SPLITS, TRAIN, VALIDATION, divide_labels, read_masks
from flows.prepare import Prepared, artifact_name, as_task, legend_of, plan, prepare, require_disk
from flows.progress import step
from flows.workspace import Workspace, versions, workspace
from pipeline.accuracy import BinaryScores, mean_and_spread
from pipeline.errors import InputError
from pipeline.legend import Legend
from pipeline.manifest import file_hash, value_hash, write_json
from pipeline.report import model_card
from pipeline.statistics import band_statistics

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.network import ChangeNetwork

_SCORES = "scores.json"


@dataclass(frozen=True)
class Trained:
    """What a training made."""

    model: Path
    """Folder of the model."""
    report: Path
    """`training.json`: every row that was measured."""


def encoder_of(ws: Workspace) -> Any:  # noqa: ANN401 (an Encoder; torch stays out of this module's imports)
    """Return the row of the encoder table, or the checkpoint, that the config names.

    Raises:
        InputError: There is no such row or file.
    """
    from models.encoders import encoder_named, file_encoder

    config = ws.project.model
    if config.file is None:
        return encoder_named(config.encoder)
    path = ws.input(config.file.path, "model: file: path")
    return file_encoder(
        path, architecture=config.file.architecture, bands=config.file.bands, mean=config.file.mean, std=config.file.std
    )


def _encoder_facts(encoder: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what a training depends on; a local file counts by its content."""
    facts = asdict(encoder)
    return {**facts, "weights": file_hash(Path(encoder.weights))} if encoder.source == "file" else facts


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
    described = project.model_dump(mode="json", include={"model", "legend"})
    key = value_hash([prepared.hashes, labels_hash, described, settings, tiling, seed, _encoder_facts(encoder)])
    manifest = ws.manifest(folder)
    if not manifest.is_current("candidate", key):
        checkpoints = folder / f"checkpoints-{key[7:19]}"
        bundle, network = _fit(ws, prepared, encoder, seed, checkpoints)
        bundle, scores = judge(ws, prepared, bundle, network)
        from models.bundle import CARD, MODEL, WEIGHTS, save

        save(folder / "model", bundle, network, "")
        write_json(folder / _SCORES, scores)
        files = [folder / _SCORES, *(folder / "model" / n for n in (WEIGHTS, MODEL, CARD))]
        manifest.record("candidate", key, files)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return dict(json.loads((folder / _SCORES).read_text(encoding="utf-8")))


def _fit(ws: Workspace, prepared: Prepared, encoder: Any, seed: int, checkpoints: Path) -> "tuple[Bundle, ChangeNetwork]":  # noqa: ANN401
    from models.bundle import Bundle
    from models.encoders import encoder_named, load_encoder, normalisation_for
    from models.inference import Temperatures
    from models.network import ChangeNetwork, NetworkSpec
    from models.samples import LabelledTiles, TrainingChips, masks_of
    from models.strategies import strategy_named
    from models.training import TrainingSettings, fit, seed_everything

    project, legend, config = ws.project, legend_of(ws.project), ws.project.training
    made = plan(ws)
    labels, role = read_masks(ws)
    strategy = strategy_named(config.strategy)
    if not strategy.pretrained:
        encoder = encoder_named(f"random:{encoder.architecture}")
    statistics = band_statistics(prepared.images)
    seed_everything(seed)
    loaded = load_encoder(encoder, made.bands, extra=project.model.extra_bands, wavelengths=made.wavelengths_nm)
    normalisation = normalisation_for(
        encoder, made.bands, made.sensor.units, (statistics.mean, statistics.std), wavelengths=made.wavelengths_nm,
        extra=project.model.extra_bands,
    )  # fmt: skip
    heads = project.heads
    spec = NetworkSpec(
        encoder.architecture, made.bands, loaded.bands, heads, 0 if heads == "change" else len(legend.classes),
        project.model.decoder, project.model.fusion, project.model.decoder_channels,
    )  # fmt: skip
    network = ChangeNetwork(spec, loaded.model, normalisation)
    notes = [*loaded.notes, *normalisation.notes]
    if loaded.decoder_state is not None:
        taken = network.load_decoder(loaded.decoder_state)
        notes.append(f"The pretrained decoder starts these decoders: {', '.join(taken) or 'none (its shape differs)'}.")
    codes = [c.code for c in legend.classes]
    training = TrainingChips(
        *prepared.images, masks_of(labels, role, TRAIN, codes), size=config.chip, count=config.chips_per_epoch, seed=seed
    )
    validation = LabelledTiles(*prepared.images, masks_of(labels, role, VALIDATION, codes), config.chip)
    settings = TrainingSettings(
        strategy, config.epochs, config.batch, config.learning_rate, config.weight_decay, config.patience, config.loss, seed,
        config.workers, config.precision,
    )  # fmt: skip
    with step(f"Training (seed {seed})") as advance:
        result = fit(network, training, validation, settings, checkpoints, advance)
    regions = band_statistics(prepared.images, role == TRAIN)
    facts = {
        "seed": seed, "fit": asdict(result), "weights_hash": loaded.weights_hash, "training_regions": asdict(regions),
        "inputs": {"before": prepared.hashes[0], "after": prepared.hashes[1]}, "versions": versions(),
        "strategy": strategy.name,
    }  # fmt: skip
    bundle = Bundle(
        project.name, spec, asdict(encoder) | {"weights": Path(encoder.weights).name}, made.sensor.units, normalisation,
        Legend() if heads == "change" else legend, Temperatures(), 0.5, tuple(notes), facts,
    )  # fmt: skip
    return bundle, network


def choose_model(ws: Workspace, scores: Sequence[dict[str, Any]], rows: dict[str, Any]) -> Trained:
    """Keep the candidate that is best on the validation blocks, with a card and a report of every row.

    The test blocks have no part in the choice.
    """
    from models.bundle import CARD, MODEL, WEIGHTS, load, save

    best = max(scores, key=lambda s: (s["validation_score"], -s["seed"]))
    source = ws.training / f"seed-{best['seed']}" / "model"
    key = value_hash([file_hash(source / MODEL), list(scores), rows])
    manifest = ws.manifest(ws.output)
    report = ws.output / "training.json"
    if not manifest.is_current("model", key):
        bundle, network = load(source)
        tests = [BinaryScores(**s["test"]) for s in scores]
        splits = json.loads((ws.training / SPLITS).read_text(encoding="utf-8"))
        told = [*best["warnings"], *_better_rows(best, rows)]
        content = {
            "warnings": told,
            "project": ws.project.name, "encoder": bundle.encoder, "strategy": bundle.facts["strategy"], "notes": bundle.notes,
            "network": {k: asdict(v) for k, v in mean_and_spread(tests).items()}, "seeds": list(scores),
            "kept_seed": best["seed"],
            "classical": rows, **splits, "versions": versions(),
        }  # fmt: skip
        scored = {**bundle.facts["scores"], "warnings": told}
        kept = replace(bundle, facts={**bundle.facts, "scores": scored, "splits": splits["splits"], "classical": rows})
        save(ws.model, kept, network, model_card(content, kept.as_dict()))
        write_json(report, content)
        manifest.record("model", key, [report, *(ws.model / n for n in (WEIGHTS, MODEL, CARD))])
    return Trained(ws.model, report)


def card_scores(model: Path) -> str:
    """Return the part of a model's card that scores change, for people at a terminal."""
    card = (model / "card.md").read_text(encoding="utf-8")
    return "Scores of change" + card.partition("\n## Scores of change")[2].partition("\n## ")[0].rstrip()


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


@flow(name="train", persist_result=False)
def train(project: Project, data: Path, output: Path | None = None, allow_outside: bool = False) -> Trained:
    """Train the project's model and measure it."""
    ws = workspace(project, data, output, allow_outside=allow_outside)
    if project.labels is None:
        raise InputError("The config has no `labels:`; training needs some. See configs/ for examples.")
    with ws.alone():
        require_disk(ws, plan(ws))
        labels_hash = divide_labels_task(ws)
        prepared = prepare(project, data, output, allow_outside)
        rows = classical_rows_task(ws, prepared, labels_hash)
        scores = [train_seed_task(ws, prepared, labels_hash, seed) for seed in project.training.seeds]
        trained: Trained = choose_model_task(ws, scores, rows)
        table = [{"row": f"network, seed {s['seed']}", **s["test"]} for s in scores]
        table += [{"row": name, **row} for name, row in rows.items()]
        create_table_artifact(table, key=f"{artifact_name(project)}-scores", description="Scores on the test blocks")
        card = (trained.model / "card.md").read_text(encoding="utf-8")
        create_markdown_artifact(card, key=f"{artifact_name(project)}-model", description="Model card")
        return trained
