"""A trained model as a directory: weights, everything needed to use them honestly, and a card to read."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from landshift.models.encoders.backbones import build_encoder
from landshift.models.encoders.bands import Encoder
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.encoders.weight_files import find_not_finite
from landshift.models.estimators.model import model_of
from landshift.models.network.siamese import NetworkSpec, Siamese
from landshift.models.transfer.shift import Shift
from landshift.models.use.shapes import require_shapes, require_weights
from landshift.pipeline.epochs.matching import Treatment
from landshift.pipeline.errors import InputError
from landshift.pipeline.files.opening import MISSING, fault_of
from landshift.pipeline.labels.splits import Splits
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.limits import CHANNELS
from landshift.pipeline.manifest import file_hash, replace_when_done, write_json
from landshift.pipeline.raster.images import BandStatistics
from landshift.pipeline.records import IfAny, content_of, read_json, record_of
from landshift.pipeline.scores.accuracy import MethodScores
from landshift.pipeline.scores.training import CandidateScores, Fit, Temperatures

FORMAT = 2
"""Version of `model.json`."""
WEIGHTS, MODEL, CARD = "weights.safetensors", "model.json", "card.md"

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class TrainingImages:
    """Hashes of the images that a model was trained on."""

    before: str
    """Of the image before."""
    after: str
    """Of the image after."""


@dataclass(frozen=True)
class TrainingGround:
    """When and where a model was trained."""

    before_date: str
    """Of the image before, year-month-day."""
    after_date: str
    """Of the image after."""
    footprint: Mapping[str, Any]
    """GeoJSON geometry of the territory, WGS 84."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Training and scores of a model; a candidate has no splits, classical rows and territory until it is chosen."""

    seed: int
    """Of weights and chips."""
    fit: Fit
    """Course of the training."""
    weights_hash: str
    """`sha256:...` of the encoder's weights before the training."""
    training_regions: BandStatistics
    """Of the bands where training labels lie."""
    inputs: TrainingImages
    """What it was trained on."""
    versions: Mapping[str, str]
    """Package to version."""
    strategy: str
    """Row of `STRATEGIES`."""
    scores: IfAny[CandidateScores] = None
    """Calibration and scores of change; None before they are measured."""
    domain_shift: Shift | None = None
    """Place of the training regions in feature space; None where they are too few."""
    training_changed: IfAny[float] = None
    """Share of changed among the training labels that know it, 0..1; None where none does."""
    splits: IfAny[Splits] = None
    """Blocks of the labels."""
    classical: IfAny[Mapping[str, MethodScores]] = None
    """Scores of classical methods on the same pixels."""
    territory: IfAny[TrainingGround] = None
    """When and where it was trained."""


def _legend_of(classes: object) -> Legend:
    return (
        classes if isinstance(classes, Legend) else Legend(record_of(tuple[LandUse, ...], classes, "its classes", exact=True))
    )


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Description of a trained model, without its weights."""

    name: str
    """The project that it was trained for."""
    spec: NetworkSpec
    """How to build the network."""
    encoder: Encoder
    """Row of the encoder table that it started from; `weights` of a checkpoint is its file's name alone."""
    units: str
    """Units that the images must have, for example `reflectance`."""
    treatment: Treatment
    """How the pairs must have been treated that it is given."""
    normalisation: Normalisation
    """Mean and deviation of each band."""
    legend: Annotated[Legend, PlainValidator(_legend_of), PlainSerializer(lambda legend: content_of(legend)["classes"])]
    """Land-use classes, in JSON their list; empty for a binary project."""
    temperatures: Temperatures
    """Calibration, fitted on the validation blocks."""
    threshold: float
    """Probability from which a pixel counts as changed, 0..1, chosen on the validation blocks."""
    notes: tuple[str, ...] = ()
    """What was done about bands and units, in sentences."""
    facts: Provenance
    """Training and scores."""


def save(folder: Path, bundle: Bundle, network: Siamese, card: str) -> Path:
    """Write a bundle in one atomic step; an earlier one of that name is replaced whole.

    Args:
        folder: Directory to make.
        bundle: Description of the model.
        network: Its weights.
        card: Markdown for people.

    Raises:
        OSError: The weights could not be written whole.
    """
    with replace_when_done(folder) as temporary:
        temporary.mkdir(parents=True)
        try:
            save_file({k: v.contiguous() for k, v in network.state_dict().items()}, temporary / WEIGHTS)
        except SafetensorError as error:
            raise OSError(f"{folder / WEIGHTS} could not be written whole ({error}). Is the disk full?") from error
        write_json(temporary / MODEL, {"format": FORMAT, **content_of(bundle), "weights": file_hash(temporary / WEIGHTS)})
        (temporary / CARD).write_text(card, encoding="utf-8")
    return folder


def load(folder: Path) -> tuple[Bundle, Siamese]:
    """Read a bundle; nothing in it is executed.

    Returns:
        The description of the model, and the network in evaluation mode on the CPU.

    Raises:
        InputError: A file is missing or damaged, or the weights do not fit the network that `model.json` describes.
    """
    bundle = describe(folder)
    require_shapes(folder / WEIGHTS, bundle.spec, bundle.normalisation)
    network = model_of(bundle.spec, build_encoder(bundle.spec.architecture, len(bundle.spec.bands)), bundle.normalisation)
    try:
        tensors = load_file(folder / WEIGHTS)
        damaged = find_not_finite(tensors)
        if damaged:
            raise InputError(
                f"{folder / WEIGHTS}: {damaged} holds numbers that are not finite, of which no map can be made. Train again, "
                f"or copy the whole folder again."
            )
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(
            f"{folder / WEIGHTS} does not fit {MODEL} ({error}). Train again, or copy the whole folder again."
        ) from error
    return bundle, network.eval()


def describe(folder: Path) -> Bundle:
    """Read `model.json` alone.

    Raises:
        InputError: It is missing, is not a bundle of this version, holds a value that makes no sense, or the weights are not
            those that it was written with.
    """
    path = folder / MODEL
    if fault_of(path) == MISSING:
        raise InputError(
            f"{folder} is not a model: {MODEL} is missing. Run `landshift train` first (from the same "
            f"folder, or with the same --output), or name a model with --model."
        )
    remedy = "Train again, or copy the whole folder again."
    try:
        content = read_json(path)
        version = content.pop("format")
        weights = content.pop("weights") if version == FORMAT else None
    except InputError as error:
        raise InputError(f"{path} is damaged ({error}). {remedy}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error!r}). {remedy}") from error
    if version != FORMAT:
        raise InputError(
            f"{path} has format {version}, this version reads {FORMAT}. Train again, or use the version that wrote it."
        )
    bundle = record_of(Bundle, content, str(path), exact=True)
    wrong = next(_faults(bundle), None)
    if wrong is not None:
        raise InputError(f"{path} is damaged ({wrong}). {remedy}")
    if not fault_of(folder / WEIGHTS):
        require_weights(folder / WEIGHTS)
    if fault_of(folder / WEIGHTS) or file_hash(folder / WEIGHTS) != weights:
        raise InputError(
            f"{folder / WEIGHTS} is missing or is not the file that {MODEL} was written with. Copy the whole folder again."
        )
    return bundle


def _faults(bundle: Bundle) -> Iterator[str]:
    """Yield what cannot be meant in a bundle: a damaged number would draw a wrong map in silence."""
    spec, normal = bundle.spec, bundle.normalisation
    for name, widths in (("decoder_channels", spec.decoder_channels), ("landuse_channels", spec.landuse_channels)):
        if not all(1 <= c <= CHANNELS for c in widths):
            yield f"{name} {list(widths)}, expected whole numbers 1 to {CHANNELS}"
    if not len(normal.mean) == len(normal.std) == len(spec.bands):
        yield (
            f"{len(normal.mean)} means and {len(normal.std)} standard deviations for the {len(spec.bands)} bands "
            f"{', '.join(spec.bands)}"
        )
    if not all(map(isfinite, normal.mean)):
        yield f"means {list(normal.mean)}, expected finite numbers"
    if not all(isfinite(v) and v > 0 for v in (*normal.std, normal.scale)):
        yield f"standard deviations {list(normal.std)} and scale {normal.scale}, expected finite numbers above 0"
    if not all(isfinite(v) and v > 0 for v in (bundle.temperatures.change, bundle.temperatures.landuse)):
        yield f"{bundle.temperatures}, expected finite numbers above 0"
    # A network that is sure of itself reaches 1 in single precision, and so may the best threshold.
    if not 0 < bundle.threshold <= 1:
        yield f"threshold {bundle.threshold}, expected a number above 0 and at most 1"
    classes = bundle.legend.classes
    if not all(_COLOUR.fullmatch(c.colour) for c in classes):
        yield "each class of the legend must have a colour such as #1b7837"
    if len(classes) != (0 if spec.heads == "change" else spec.classes):
        yield f"heads {spec.heads!r} with {spec.classes} classes, and a legend of {len(classes)}"
    if not all(map(isfinite, _numbers(content_of(bundle.facts.scores)))):
        yield "each score must be a finite number or null"


def _numbers(content: Any) -> Iterator[float]:  # noqa: ANN401 (JSON)
    """Yield every number in JSON."""
    if isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _numbers(value)
    elif isinstance(content, int | float):
        yield content
