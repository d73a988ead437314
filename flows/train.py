"""Train: labels to splits, splits to one candidate a seed, the best candidate to the project's model."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.config import Project
from flows.prepare import Prepared, as_task, legend_of, plan, prepare
from flows.progress import step
from flows.workspace import Workspace, versions, workspace
from pipeline.accuracy import binary_scores, class_scores, transition_scores
from pipeline.calibration import always_unchanged, best_threshold, expected_calibration_error, fit_temperature
from pipeline.change import decide
from pipeline.classical import fit_change_vector, fit_ir_mad, otsu_threshold, sample_pixels
from pipeline.errors import InputError
from pipeline.grid import Grid
from pipeline.labels import Labels, labels_from_polygons, labels_from_rasters, summary
from pipeline.legend import NOT_LABELLED, Legend
from pipeline.manifest import file_hash, value_hash, write_json
from pipeline.raster import RasterReader, read_raster, write_raster
from pipeline.splits import ROLES, Splits, spatial_split
from pipeline.statistics import band_statistics
from pipeline.tiles import Tile, Window, tiles

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.network import ChangeNetwork

_TRAIN, _VALIDATION, _TEST = range(3)
_LABELS, _SPLITS, _ROWS, _SCORES = "labels.tif", "splits.json", "classical.json", "scores.json"
_STRIP = 512


@dataclass(frozen=True)
class Trained:
    """What a training made."""

    model: Path
    """Folder of the model."""
    report: Path
    """`training.json`: every row that was measured."""


def read_labels(ws: Workspace, grid: Grid) -> Labels:
    """Read the project's labels onto its grid.

    Raises:
        InputError: The project has none, or they cannot be used.
    """
    project, legend = ws.project, legend_of(ws.project)
    if project.labels is None:
        raise InputError("The config has no `labels:`; training needs some. See configs/ for examples.")
    polygons, rasters = project.labels.polygons, project.labels.rasters
    if polygons is not None:
        return labels_from_polygons(
            ws.input(polygons.path, "labels: polygons: path"), grid, legend, before_column=polygons.before_column,
            after_column=polygons.after_column, change_column=polygons.change_column, region_column=polygons.region_column,
            layer=polygons.layer,
        )  # fmt: skip
    if rasters is None:
        raise InputError("`labels:` has neither polygons nor rasters.")
    paths = {
        name: ws.input(path, f"labels: rasters: {name}")
        for name, path in (("before", rasters.before), ("after", rasters.after), ("change", rasters.change))
        if path is not None
    }
    return labels_from_rasters(grid, legend, rasters.values, **paths)


def split_labels(ws: Workspace, labels: Labels) -> Splits:
    """Divide labels into training, validation and test."""
    split = ws.project.split
    return spatial_split(
        labels, legend_of(ws.project), block=split.block_px, buffer=split.buffer_px, fractions=split.fractions,
        min_pixels=split.min_pixels, seed=split.seed,
    )  # fmt: skip


def divide_labels(ws: Workspace) -> str:
    """Write the label masks and their splits, unless they are there already from the same inputs.

    Returns:
        Hash of the masks.
    """
    made = plan(ws)
    labels = read_labels(ws, made.grid)
    splits = split_labels(ws, labels)
    key = value_hash([dict(labels.hashes), ws.project.model_dump(mode="json", include={"labels", "split", "legend"}), str(made.grid)])
    manifest = ws.manifest(ws.training)
    path = ws.training / _LABELS
    if not manifest.is_current("labels", key):
        layers = np.stack([labels.before, labels.after, labels.change, splits.role]).astype(np.uint8)
        write_raster(path, layers, made.grid, nodata=NOT_LABELLED, descriptions=("before", "after", "change", "split"))
        counts = summary(labels, legend_of(ws.project)).as_dict()
        write_json(ws.training / _SPLITS, {"labels": counts, "splits": splits.as_dict()})
        manifest.record("labels", key, [path, ws.training / _SPLITS])
    return str(manifest.entries()["labels"]["files"][_LABELS])


def _read_masks(ws: Workspace) -> tuple[Labels, np.ndarray, Grid]:
    layers = [read_raster(ws.training / _LABELS, band) for band in (1, 2, 3, 4)]
    before, after, change, role = (a for a, _ in layers)
    return Labels(before, after, change), role, layers[0][1]


def classical_rows(ws: Workspace, prepared: Prepared, labels_hash: str) -> dict[str, Any]:
    """Score classical methods on the test pixels, each with Otsu's threshold and with one chosen on validation pixels.

    Returns:
        Row name to scores.
    """
    key = value_hash([prepared.hashes, labels_hash, "classical 2"])
    manifest = ws.manifest(ws.training)
    path = ws.training / _ROWS
    if not manifest.is_current("classical", key):
        with step("Classical methods") as advance:
            labels, role, _ = _read_masks(ws)
            rows = {}
            for number, (name, score) in enumerate(_classical_scores(prepared, role.shape).items(), start=1):
                thresholds = {
                    "Otsu": otsu_threshold(_sampled(score)),
                    "validation": best_threshold(*_known(score, labels.change, role == _VALIDATION)),
                }
                for rule, threshold in thresholds.items():
                    scores = binary_scores(*_known(labels.change, score, role == _TEST), threshold)
                    rows[f"{name}, threshold by {rule}"] = {"threshold": float(threshold), **scores.as_dict()}
                advance(number / 3)
        write_json(path, rows)
        manifest.record("classical", key, [path])
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _classical_scores(prepared: Prepared, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    readers = [RasterReader(p) for p in prepared.images]
    strips = [Window(y, 0, min(_STRIP, shape[0] - y), shape[1]) for y in range(0, shape[0], _STRIP)]
    parts = [sample_pixels(*(r.read(s) for r in readers), limit=max(1_000_000 // len(strips), 1)) for s in strips]
    before, after = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    mad = fit_ir_mad(before, after)
    methods: dict[str, Any] = {
        "Change vector analysis": fit_change_vector(before, after).apply,
        # The square root of the chi-square statistic, whose two modes Otsu's threshold can tell apart.
        "IR-MAD": lambda b, a: np.sqrt(mad.apply(b, a)),
    }
    bands = readers[0].info.descriptions
    if {"red", "nir"} <= set(bands):
        red, nir = bands.index("red"), bands.index("nir")

        def greenness(image: np.ndarray) -> np.ndarray:
            total = image[nir] + image[red]
            return np.divide(image[nir] - image[red], total, out=np.full_like(total, np.nan), where=np.abs(total) > 1e-9)

        methods["NDVI difference"] = lambda b, a: np.abs(greenness(a) - greenness(b))
    return {n: np.concatenate([m(*(r.read(s) for r in readers)) for s in strips]) for n, m in methods.items()}


def _sampled(score: np.ndarray) -> np.ndarray:
    seen = score[np.isfinite(score)]
    return seen[:: max(len(seen) // 1_000_000, 1)]


def _known(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the labelled, observed pixels of two arrays of which one is a uint8 label and the other a score."""
    label, score = (first, second) if first.dtype == np.uint8 else (second, first)
    kept = where & (label != NOT_LABELLED) & np.isfinite(score)
    return first[kept], second[kept]


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
    key = value_hash([prepared.hashes, labels_hash, project.model.model_dump(mode="json"), settings, tiling, seed, _encoder_facts(encoder)])
    manifest = ws.manifest(folder)
    if not manifest.is_current("candidate", key):
        checkpoints = folder / f"checkpoints-{key[7:19]}"
        bundle, network = _fit(ws, prepared, encoder, seed, checkpoints)
        bundle, scores = _judge(ws, prepared, bundle, network)
        from models.bundle import CARD, MODEL, WEIGHTS, save

        save(folder / "model", bundle, network, "")
        write_json(folder / _SCORES, scores)
        files = [folder / _SCORES, *(folder / "model" / n for n in (WEIGHTS, MODEL, CARD))]
        manifest.record("candidate", key, files)
        import shutil

        shutil.rmtree(checkpoints, ignore_errors=True)
    return dict(json.loads((folder / _SCORES).read_text(encoding="utf-8")))


def _fit(ws: Workspace, prepared: Prepared, encoder: Any, seed: int, checkpoints: Path) -> "tuple[Bundle, ChangeNetwork]":  # noqa: ANN401
    from models.bundle import Bundle
    from models.encoders import encoder_named, load_encoder, normalisation_for
    from models.inference import Temperatures
    from models.network import ChangeNetwork, NetworkSpec
    from models.samples import LabelledTiles, TrainingChips, masks_of
    from models.training import TrainingSettings, fit, seed_everything, strategy_named

    project, legend, config = ws.project, legend_of(ws.project), ws.project.training
    made = plan(ws)
    labels, role, _ = _read_masks(ws)
    strategy = strategy_named(config.strategy)
    if not strategy.pretrained:
        encoder = encoder_named(f"random:{encoder.architecture}")
    statistics = band_statistics(prepared.images)
    wavelengths = {b.name: b.wavelength_nm for b in made.sensor.bands if b.name in made.bands and b.wavelength_nm}
    seed_everything(seed)
    loaded = load_encoder(encoder, made.bands, extra=project.model.extra_bands, wavelengths=wavelengths)
    normalisation = normalisation_for(
        encoder, made.bands, made.sensor.units, (statistics.mean, statistics.std), wavelengths=wavelengths,
        extra=project.model.extra_bands,
    )  # fmt: skip
    heads = project.model.heads
    if heads == "auto":
        heads = "change" if legend.binary else "both"
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
        *prepared.images, masks_of(labels, role, _TRAIN, codes), size=config.chip, count=config.chips_per_epoch, seed=seed
    )
    validation = LabelledTiles(*prepared.images, masks_of(labels, role, _VALIDATION, codes), config.chip)
    settings = TrainingSettings(
        strategy, config.epochs, config.batch, config.learning_rate, config.weight_decay, config.patience, config.loss, seed,
        config.workers, config.precision,
    )  # fmt: skip
    with step(f"Training (seed {seed})") as advance:
        result = fit(network, training, validation, settings, checkpoints, advance)
    regions = band_statistics(prepared.images, role == _TRAIN)
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


def _judge(ws: Workspace, prepared: Prepared, bundle: "Bundle", network: "ChangeNetwork") -> "tuple[Bundle, dict[str, Any]]":
    """Calibrate on the validation pixels, then score the test pixels once."""
    from dataclasses import replace

    from models.inference import Temperatures, device_of, stream

    labels, role, _ = _read_masks(ws)
    used = np.isin(role, (_VALIDATION, _TEST)) & labels.labelled
    wanted = _tiles_with(used, ws.project.detect.core, ws.project.detect.margin)
    network = network.to(device_of(ws.project.detect.device)).eval()
    shape = role.shape
    classes = len(bundle.legend.classes) if network.landuse_decoder is not None else 0
    change = np.full(shape, np.nan, np.float32) if network.change_decoder is not None else None
    dates = [np.full((classes, *shape), np.nan, np.float32) if classes else None for _ in range(2)]
    with step("Judging") as advance:
        for number, (tile, said) in enumerate(stream(network, prepared.images, wanted, Temperatures()), start=1):
            if change is not None and said.change is not None:
                change[tile.core.slices] = said.change
            for whole, part in zip(dates, (said.before, said.after), strict=True):
                if whole is not None and part is not None:
                    whole[(slice(None), *tile.core.slices)] = part
            advance(number / len(wanted))
    network.to("cpu")
    before, after = dates
    held_out = role == _VALIDATION
    temperatures = Temperatures(
        1.0 if change is None else fit_temperature(*_logits(change, labels.change, held_out)),
        1.0 if before is None or after is None else _landuse_temperature(before, after, labels, bundle.legend, held_out),
    )
    change = None if change is None else _cooled_binary(change, temperatures.change)
    before, after = (None if p is None else _cooled_classes(p, temperatures.landuse) for p in (before, after))
    probability = change if change is not None else 1.0 - np.einsum("kyx,kyx->yx", before, after)
    threshold = best_threshold(*_known(probability, labels.change, held_out))
    decided = decide(change, before, after, bundle.legend, threshold)
    test = role == _TEST
    said, truth = _known(probability, labels.change, test)
    scores: dict[str, Any] = {
        "seed": bundle.facts["seed"], "validation_score": bundle.facts["fit"]["best_score"], "threshold": threshold,
        "temperatures": asdict(temperatures), "test": binary_scores(truth, said, threshold).as_dict(),
        "calibration_error": expected_calibration_error(said, truth),
        "warnings": [w for w in [always_unchanged(*_known(probability, labels.change, held_out), threshold)] if w],
    }  # fmt: skip
    if decided.before is not None and decided.after is not None:
        for name, true, found in (("landuse_before", labels.before, decided.before), ("landuse_after", labels.after, decided.after)):
            known = test & (true != NOT_LABELLED) & (found != 0)
            scores[name] = class_scores(true[known], found[known], bundle.legend).as_dict()
        scores["transitions"] = _transitions(labels, decided.change, test, bundle.legend)
    calibrated = replace(bundle, temperatures=temperatures, threshold=threshold, facts={**bundle.facts, "scores": scores})
    return calibrated, scores


def _transitions(labels: Labels, found: np.ndarray, test: np.ndarray, legend: Legend) -> dict[str, Any]:
    known = test & (labels.before != NOT_LABELLED) & (labels.after != NOT_LABELLED) & (found != 0)
    truth = legend.change_lookup()[labels.before[known], labels.after[known]]
    return transition_scores(truth, found[known], legend).as_dict()


def _tiles_with(used: np.ndarray, core: int, margin: int | str) -> list[Tile]:
    side = (used.shape[0], used.shape[1])
    return [t for t in tiles(side, core, 128 if isinstance(margin, str) else margin) if used[t.core.slices].any()]


def _logit(probability: np.ndarray) -> np.ndarray:
    inside = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(inside / (1 - inside))


def _logits(probability: np.ndarray, label: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    said, truth = _known(probability, label, where)
    return _logit(said), truth


def _cooled_binary(probability: np.ndarray, temperature: float) -> np.ndarray:
    return (1 / (1 + np.exp(-_logit(probability) / temperature))).astype(np.float32)


def _cooled_classes(share: np.ndarray, temperature: float) -> np.ndarray:
    powered = np.clip(share, 1e-12, 1) ** np.float32(1 / temperature)
    return np.asarray(powered / powered.sum(axis=0), dtype=np.float32)


def _landuse_temperature(before: np.ndarray, after: np.ndarray, labels: Labels, legend: Legend, where: np.ndarray) -> float:
    index = np.full(256, NOT_LABELLED, dtype=np.uint8)
    index[[c.code for c in legend.classes]] = np.arange(len(legend.classes))
    logits, truth = [], []
    for share, label in ((before, labels.before), (after, labels.after)):
        known = where & (label != NOT_LABELLED) & np.isfinite(share[0])
        logits.append(np.log(np.clip(share[:, known].T, 1e-12, 1)))
        truth.append(index[label[known]])
    return fit_temperature(np.concatenate(logits), np.concatenate(truth))


def choose_model(ws: Workspace, scores: Sequence[dict[str, Any]], rows: dict[str, Any]) -> Trained:
    """Keep the candidate that is best on the validation blocks, with a card and a report of every row.

    The test blocks have no part in the choice.
    """
    from models.bundle import CARD, MODEL, WEIGHTS, load, save
    from pipeline.report import model_card

    best = max(scores, key=lambda s: (s["validation_score"], -s["seed"]))
    source = ws.training / f"seed-{best['seed']}" / "model"
    key = value_hash([file_hash(source / MODEL), list(scores), rows])
    manifest = ws.manifest(ws.output)
    report = ws.output / "training.json"
    if not manifest.is_current("model", key):
        from dataclasses import replace

        from pipeline.accuracy import BinaryScores, mean_and_spread

        bundle, network = load(source)
        tests = [BinaryScores(**s["test"]) for s in scores]
        splits = json.loads((ws.training / _SPLITS).read_text(encoding="utf-8"))
        content = {
            "project": ws.project.name, "encoder": bundle.encoder, "strategy": bundle.facts["strategy"], "notes": bundle.notes,
            "network": {k: asdict(v) for k, v in mean_and_spread(tests).items()}, "seeds": list(scores), "kept_seed": best["seed"],
            "classical": rows, **splits, "versions": versions(),
        }  # fmt: skip
        kept = replace(bundle, facts={**bundle.facts, "splits": splits["splits"], "classical": rows})
        save(ws.model, kept, network, model_card(content, kept.as_dict()))
        write_json(report, content)
        manifest.record("model", key, [report, *(ws.model / n for n in (WEIGHTS, MODEL, CARD))])
    return Trained(ws.model, report)


divide_labels_task = as_task(divide_labels, "divide-labels")
classical_rows_task = as_task(classical_rows, "classical-rows")
train_seed_task = as_task(train_seed, "train-seed")
choose_model_task = as_task(choose_model, "choose-model")


@flow(name="train", persist_result=False)
def train(project: Project, data: Path, output: Path | None = None, allow_outside: bool = False) -> Trained:
    """Train the project's model and measure it."""
    ws = workspace(project, data, output, allow_outside=allow_outside)
    ws.require_writable()
    labels_hash = divide_labels_task(ws)
    prepared = prepare(project, data, output, allow_outside)
    rows = classical_rows_task(ws, prepared, labels_hash)
    scores = [train_seed_task(ws, prepared, labels_hash, seed) for seed in project.training.seeds]
    trained: Trained = choose_model_task(ws, scores, rows)
    table = [{"row": f"network, seed {s['seed']}", **s["test"]} for s in scores] + [{"row": k, **v} for k, v in rows.items()]
    create_table_artifact(table, key=f"{_artifact_name(project)}-scores", description="Scores on the test blocks")
    card = (trained.model / "card.md").read_text(encoding="utf-8")
    create_markdown_artifact(card, key=f"{_artifact_name(project)}-model", description="Model card")
    return trained


def _artifact_name(project: Project) -> str:
    """Prefect allows lowercase letters, digits and dashes only."""
    return "".join(c if c.isalnum() else "-" for c in project.name.lower())
