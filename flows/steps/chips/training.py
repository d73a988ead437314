"""Train a network on a collection: one candidate a seed, and the best of them kept as the project's model."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from landshift.flows.config.project import Project
from landshift.flows.runtime.progress import step
from landshift.flows.runtime.versions import versions
from landshift.flows.steps.assessment.publish import Assessed, publish_assessment
from landshift.flows.steps.chips.collection import look_through, reader_of
from landshift.flows.steps.chips.judging import judge_on_chips
from landshift.flows.steps.learning.fitting import (
    STANDARDISED,
    ModelInput,
    Recipe,
    build_for,
    encoder_facts,
    encoder_label,
    encoder_of,
    settings_of,
)
from landshift.flows.steps.project.plan import legend_of
from landshift.flows.steps.project.workspace import CHECKPOINTS, Workspace
from landshift.flows.steps.release.candidates import Trained
from landshift.flows.steps.release.choosing import best_candidate, describe_choice
from landshift.pipeline.chips.read import ChipReader
from landshift.pipeline.chips.scoring import table_of_images
from landshift.pipeline.chips.survey import Survey, warn_of_copies
from landshift.pipeline.epochs.matching import Treatment
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.search import ROLES, TRAIN
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import file_hash, value_hash, write_json, write_text
from landshift.pipeline.pages.assessment import image_lines
from landshift.pipeline.pages.card import model_card
from landshift.pipeline.raster.images import BandStatistics
from landshift.pipeline.records import content_of, read_record, write_record
from landshift.pipeline.scenes.sensors import REFLECTANCE
from landshift.pipeline.scores.accuracy import mean_and_spread
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.release import BlockTally
from landshift.pipeline.scores.training import CandidateScores, ImageScore

if TYPE_CHECKING:
    from landshift.models.network.siamese import Siamese
    from landshift.models.use.bundle import Bundle

_STANDARDISED = (
    "Each band was standardised with its mean and deviation over both dates of all training chips: a chip alone is too small, "
    "and a roof that fills it would become average ground."
)

_SCORES, _TALLIES, IMAGES = "scores.json", "validation.json", "test_images.csv"


def require_network(project: Project) -> tuple[str, ...]:
    """Return the strategies that a collection is trained with.

    Raises:
        InputError: The config asks for trees or lines alone.
    """
    strategies = project.training.network_strategies
    if not strategies:
        raise InputError(
            f"training: {', '.join(project.training.strategies)} decide pixel by pixel with the IR-MAD statistic of a pair, "
            f"which chips are too small for: they train the network only. Set `strategy: full`, or another one of a network."
        )
    return strategies


def _leave_out(project: Project) -> list[str]:
    """Name the strategies of the config that a collection is not trained with, in a sentence."""
    names = [name for name in project.training.strategies if name not in project.training.network_strategies]
    return [f"Not trained: {', '.join(names)}, which need the IR-MAD statistic of a whole pair."] * bool(names)


def prepare_input(ws: Workspace, survey: Survey) -> tuple[ModelInput, ChipReader, Treatment]:
    """Return what a network is given of a collection: values that are no reflectance are standardised over all training chips.

    Not chip by chip: most are too small for statistics of their own.
    """
    reader, statistics = reader_of(ws), survey.statistics
    if statistics is None or not statistics.pixels:
        raise InputError("No pixel of the training chips is observed. Correct `sensor: nodata:`, or the files.")
    sensor = reader.sensor
    units, treatment = sensor.units, Treatment()
    if ws.project.radiometry.standardise == "auto" and units != REFLECTANCE:
        reader = replace(reader, shift=statistics.mean, divisor=statistics.std)
        statistics, units, treatment = _standardise(statistics), STANDARDISED, Treatment(standardised=True)
    wavelengths = {b.name: b.wavelength_nm for b in sensor.bands if b.wavelength_nm}
    return ModelInput(tuple(b.name for b in sensor.bands), wavelengths, units, statistics), reader, treatment


def _standardise(given: BandStatistics) -> BandStatistics:
    def move(values: Sequence[float]) -> tuple[float, ...]:
        return tuple((v - m) / s for v, m, s in zip(values, given.mean, given.std, strict=True))

    ones = tuple(1.0 for _ in given.std)
    return BandStatistics(move(given.mean), ones, {k: move(v) for k, v in given.percentiles.items()}, given.pixels)


def train_on_chips(ws: Workspace, seed: int, strategy: str) -> CandidateScores:
    """Train, calibrate and score one candidate, unless it is there already from the same inputs."""
    project, encoder, survey = ws.project, encoder_of(ws), look_through(ws, thorough=True)
    folder = ws.training / f"{strategy}-seed-{seed}"
    settings = project.training.model_dump(mode="json", exclude={"seeds", "workers", "candidates", "strategy"})
    tiling = [project.detect.core, project.detect.margin, project.detect.phases]
    described = project.model_dump(
        mode="json", include={"model", "legend", "calibration", "sensor", "radiometry", "labels"}
    )  # fmt: skip
    digests = [survey.digest(part) for part in range(3)]
    key = value_hash([digests, described, settings, tiling, strategy, seed, encoder_facts(encoder)])
    manifest = ws.manifest(folder)
    if not manifest.is_current("candidate", key):
        from landshift.models.use.bundle import CARD, MODEL, WEIGHTS, save
        from landshift.models.use.energy import measure_cost

        checkpoints = manifest.begin(CHECKPOINTS, key)
        recipe = Recipe(encoder, strategy, seed, project.training.epochs, chips_per_epoch=project.training.chips_per_epoch)
        given = prepare_input(ws, survey)
        with measure_cost(f"training, {strategy}, seed {seed}", project.energy.country) as meter:
            with step(f"Training {strategy} (seed {seed})") as advance:
                bundle, network = _fit(ws, survey, recipe, given, checkpoints=checkpoints, advance=advance)
            judged = judge_on_chips(ws, survey, given[1], bundle, network=network)
        scores = replace(judged.scores, cost=meter.cost)
        bundle = replace(judged.bundle, facts=replace(judged.bundle.facts, scores=scores))
        save(folder / "model", bundle, network, "")
        write_record(folder / _SCORES, scores)
        write_record(folder / _TALLIES, judged.tallies)
        write_text(folder / IMAGES, _table(judged.images))
        files = [folder / n for n in (_SCORES, _TALLIES, IMAGES)]
        manifest.record("candidate", key, [*files, *(folder / "model" / n for n in (WEIGHTS, MODEL, CARD))])
    manifest.finish(CHECKPOINTS)
    return read_record(folder / _SCORES, CandidateScores)


def _table(images: Sequence[ImageScore]) -> str:
    stream, rows = io.StringIO(), table_of_images(images)
    writer = csv.DictWriter(stream, list(ImageScore.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _fit(
    ws: Workspace, survey: Survey, recipe: Recipe, given: tuple[ModelInput, ChipReader, Treatment], *, checkpoints: Path,
    advance: Callable[[float], None],
) -> "tuple[Bundle, Siamese]":  # fmt: skip
    from landshift.models.network.collections import CollectionChips, CollectionTiles, source_of
    from landshift.models.network.samples import Augmentation
    from landshift.models.network.siamese import ChangeNetwork
    from landshift.models.network.training import fit
    from landshift.models.use.bundle import Bundle, Provenance, TrainingImages
    from landshift.pipeline.scores.training import Temperatures

    project, legend, config = ws.project, legend_of(ws.project), ws.project.training
    built = build_for(ws, given[0], recipe.encoder, recipe.strategy, seed=recipe.seed)
    if not isinstance(built.network, ChangeNetwork):
        raise TypeError(f"{type(built.network).__name__} has no decoders to train.")
    codes = [c.code for c in legend.classes]
    sources = [
        source_of(given[1], [(f.chip, f.shape, f.change["changed"]) for f in survey.of(role)], codes) for role in ROLES[:2]
    ]
    training = CollectionChips(
        sources[0], size=config.chip, count=recipe.chips_per_epoch, seed=recipe.seed,
        augmentation=Augmentation(**vars(config.augmentation)),
    )  # fmt: skip
    validation = CollectionTiles(sources[1], size=config.chip)
    result = fit(
        built.network, training, validation, settings_of(config, recipe), folder=checkpoints, advance=advance
    )  # fmt: skip
    pixels = survey.counts[ROLES[TRAIN]].pixels
    notes = [
        *built.notes,
        *([_STANDARDISED] * given[2].standardised),
        "The network sees no IR-MAD statistic and its dates are not matched: a chip is too small for either.",
    ]
    facts = Provenance(
        seed=recipe.seed, fit=result, weights_hash=built.weights_hash, training_regions=given[0].statistics,
        inputs=TrainingImages(survey.digest(0), survey.digest(1)), versions=versions(), strategy=recipe.strategy,
        training_changed=pixels["changed"] / (pixels["changed"] + pixels["unchanged"]),
    )  # fmt: skip
    spec = built.network.spec
    bundle = Bundle(
        name=project.name, spec=spec, encoder=replace(built.encoder, weights=Path(built.encoder.weights).name),
        units=given[1].sensor.units, treatment=given[2], normalisation=built.normalisation,
        legend=Legend() if spec.heads == "change" else legend, temperatures=Temperatures(), threshold=0.5,
        notes=tuple(notes), facts=facts,
    )  # fmt: skip
    return bundle, built.network


def keep_best(ws: Workspace, scores: Sequence[CandidateScores]) -> Trained:
    """Keep the candidate that is best on the validation chips as the project's model, with a card and a report of every row.

    The test chips have no part in the choice.
    """
    from landshift.models.use.bundle import CARD, MODEL, WEIGHTS, load, save

    survey = look_through(ws, thorough=True)
    folders = {(s.strategy, s.seed): ws.training / f"{s.strategy}-seed-{s.seed}" for s in scores}
    tallies = {name: read_record(folder / _TALLIES, tuple[BlockTally, ...]) for name, folder in folders.items()}
    best = best_candidate(scores, tallies)
    folder, report = folders[best.strategy, best.seed], ws.output / "training.json"
    measured = [content_of(s) for s in scores]
    key, manifest = value_hash([file_hash(folder / "model" / MODEL), measured]), ws.manifest(ws.output)
    if not manifest.is_current("model", key):
        bundle, network = load(folder / "model")
        alike = [s.test for s in scores if s.strategy == best.strategy]
        content = {
            "warnings": [*warn_of_copies(survey), *best.warnings], "gates": [],
            "project": ws.project.name, "encoder": content_of(bundle.encoder),
            "strategy": bundle.facts.strategy, "notes": [*_leave_out(ws.project), *survey.notes, *bundle.notes],
            "network": {k: asdict(v) for k, v in mean_and_spread(alike).items()},
            "seeds": measured, "kept_seed": best.seed, "choice": describe_choice(best, scores, tallies),
            "classical": {}, "chips": content_of(survey.counts), "versions": versions(),
        }  # fmt: skip
        save(ws.model, bundle, network, model_card(content, content_of(bundle)))
        write_json(report, content)
        write_text(ws.output / IMAGES, (folder / IMAGES).read_text(encoding="utf-8"))
        show_images(ws, best)
        manifest.record("model", key, [report, ws.output / IMAGES, *(ws.model / n for n in (WEIGHTS, MODEL, CARD))])
    return Trained(ws.model, report, told=tuple(image_lines(best)))


def show_images(ws: Workspace, scores: CandidateScores) -> Assessed:
    """Write the page of the test images, in the place and form of a territory's assessment."""
    found = Assessment(
        project=ws.project.name, versions=versions(), key=value_hash(content_of(scores)), encoder=ws.project.model.encoder,
        encoder_label=encoder_label(ws), strategy=scores.strategy, chips=scores,
    )  # fmt: skip
    return publish_assessment(ws, found)


def assess_chips(ws: Workspace) -> Assessed:
    """Show how the model that was trained last does on each test image; nothing is measured anew.

    Raises:
        InputError: No model was trained yet.
    """
    from landshift.models.use.bundle import MODEL, describe

    if not (ws.model / MODEL).is_file():
        raise InputError(
            f"{ws.project.name} is a collection of chips, and its assessment shows how the trained model does on each test "
            f"image: run `landshift train` first. Whether the pretrained encoder helps is seen with `training: candidates: "
            f"[full, scratch]`, which trains both and compares them on the validation chips."
        )
    scores = describe(ws.model).facts.scores
    if scores is None:
        raise InputError(f"{ws.model} holds no scores; run `landshift train` again.")
    return show_images(ws, scores)
