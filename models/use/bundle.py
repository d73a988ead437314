"""A trained model as a directory: weights, everything needed to use them honestly, and a card to read."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from landshift.models.encoders.backbones import build_encoder
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import file_hash, replace_when_done, write_json
from landshift.pipeline.scores.training import Temperatures

FORMAT = 1
"""Version of `model.json`."""

WEIGHTS, MODEL, CARD = "weights.safetensors", "model.json", "card.md"

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

_MAX_CHANNELS = 4096

_TEST_SCORES = ("kappa", "f1", "n", "precision", "recall")


@dataclass(frozen=True)
class Bundle:
    """What is known of a trained model, without its weights."""

    name: str
    """The project that it was trained for."""
    spec: NetworkSpec
    """How to build the network."""
    encoder: Mapping[str, Any]
    """Row of the encoder table that it started from: name, source, task, licence, citation."""
    units: str
    """Units that the images must have, for example `reflectance`."""
    normalisation: Normalisation
    """Mean and deviation of each band."""
    legend: Legend
    """Land-use classes; empty for a binary project."""
    temperatures: Temperatures
    """Calibration, fitted on the validation blocks."""
    threshold: float
    """Probability from which a pixel counts as changed, 0..1, chosen on the validation blocks."""
    notes: tuple[str, ...] = ()
    """What was done about bands and units, in sentences."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Splits, metrics, training regions' statistics, versions and hashes of inputs."""

    def as_dict(self) -> dict[str, Any]:
        """Return what `model.json` holds."""
        return {"format": FORMAT, **asdict(self), "legend": [asdict(c) for c in self.legend.classes]}


def save(folder: Path, bundle: Bundle, network: ChangeNetwork, card: str) -> Path:
    """Write a bundle in one atomic step; an earlier one of that name is replaced whole.

    Args:
        folder: Directory to make.
        bundle: What to say of the model.
        network: Its weights.
        card: Markdown for people.
    """
    with replace_when_done(folder) as temporary:
        temporary.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, temporary / WEIGHTS)
        content = {**bundle.as_dict(), "weights": file_hash(temporary / WEIGHTS)}
        write_json(temporary / MODEL, content)
        (temporary / CARD).write_text(card, encoding="utf-8")
    return folder


def load(folder: Path) -> tuple[Bundle, ChangeNetwork]:
    """Read a bundle; nothing in it is executed.

    Returns:
        What is known of the model, and the network in evaluation mode on the CPU.

    Raises:
        InputError: A file is missing or damaged, or the weights do not fit the network that `model.json` describes.
    """
    bundle = describe(folder)
    network = ChangeNetwork(bundle.spec, build_encoder(bundle.spec.architecture, len(bundle.spec.bands)), bundle.normalisation)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(
            f"{folder / WEIGHTS} does not fit {MODEL} ({error}). Train again, or copy the whole folder again."
        ) from error
    return bundle, network.eval()


def describe(folder: Path) -> Bundle:
    """Read `model.json` alone.

    Raises:
        InputError: It is missing, is no bundle of this version, holds a value that makes no sense, or the weights are not
            the ones it was written with.
    """
    path = folder / MODEL
    if not path.is_file():
        raise InputError(
            f"{folder} is no model: {MODEL} is missing. Run `landshift train` first (from the same "
            f"folder, or with the same --output), or name a model with --model."
        )
    remedy = "Train again, or copy the whole folder again."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format"]
        if version == FORMAT:
            bundle, expected = _bundle(content), content["weights"]
            wrong = next(_faults(bundle), None)
    except InputError as error:
        raise InputError(f"{path} is damaged ({error}) {remedy}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error!r}). {remedy}") from error
    if version != FORMAT:
        raise InputError(
            f"{path} has format {version}, this version reads {FORMAT}. Train again, or use the version that wrote it."
        )
    if wrong is not None:
        raise InputError(f"{path} is damaged ({wrong}). {remedy}")
    if not (folder / WEIGHTS).is_file() or file_hash(folder / WEIGHTS) != expected:
        raise InputError(
            f"{folder / WEIGHTS} is missing or is not the file that {MODEL} was written with. Copy the whole folder again."
        )
    return bundle


def _bundle(content: dict[str, Any]) -> Bundle:
    # JSON has no tuples.
    spec: dict[str, Any]
    normal: dict[str, Any]
    spec, normal = (
        {k: tuple(v) if isinstance(v, list) else v for k, v in content[n].items()} for n in ("spec", "normalisation")
    )
    return Bundle(
        name=content["name"],
        spec=NetworkSpec(**spec),
        encoder=content["encoder"],
        units=content["units"],
        normalisation=Normalisation(**normal),
        legend=Legend.of(content["legend"]),
        temperatures=Temperatures(**content["temperatures"]),
        threshold=content["threshold"],
        notes=tuple(content["notes"]),
        facts=content["facts"],
    )


def _faults(bundle: Bundle) -> Iterator[str]:
    """Say what in a bundle cannot be meant: JSON holds any type, and a damaged number would draw a wrong map in silence."""
    spec, normal = bundle.spec, bundle.normalisation
    if not _texts((bundle.name, bundle.units, spec.architecture, *bundle.notes)):
        yield "name, units, architecture and notes must be text"
    if not (isinstance(spec.bands, tuple) and isinstance(spec.image_bands, tuple) and _texts((*spec.bands, *spec.image_bands))):
        yield "bands must be lists of names"
    if not all(isinstance(c, int) and not isinstance(c, bool) and 1 <= c <= _MAX_CHANNELS for c in spec.decoder_channels):
        yield f"decoder_channels {list(spec.decoder_channels)}, expected whole numbers 1 to {_MAX_CHANNELS}"
    if not (isinstance(bundle.encoder, dict) and isinstance(bundle.encoder["name"], str)):
        yield "encoder must have a name"
    if len(normal.mean) != len(spec.bands) or len(normal.std) != len(spec.bands):
        yield (
            f"{len(normal.mean)} means and {len(normal.std)} standard deviations for the {len(spec.bands)} bands "
            f"{', '.join(spec.bands)}"
        )
    if not all(_finite(v) for v in normal.mean):
        yield f"means {list(normal.mean)}, expected finite numbers"
    if not all(_finite(v) and v > 0 for v in (*normal.std, normal.scale)):
        yield f"standard deviations {list(normal.std)} and scale {normal.scale}, expected finite numbers above 0"
    if not all(_finite(v) and v > 0 for v in (bundle.temperatures.change, bundle.temperatures.landuse)):
        yield f"{bundle.temperatures}, expected finite numbers above 0"
    # A network that is sure of itself reaches 1 in single precision, and so may the best threshold.
    if not (_finite(bundle.threshold) and 0 < bundle.threshold <= 1):
        yield f"threshold {bundle.threshold}, expected a number above 0 and at most 1"
    yield from _legend_faults(bundle)
    if not isinstance(bundle.facts, dict):
        yield "facts must be an object"
    elif "scores" in bundle.facts:
        yield from _score_faults(bundle.facts["scores"])


def _legend_faults(bundle: Bundle) -> Iterator[str]:
    classes = bundle.legend.classes
    if not all(isinstance(c.code, int) and _texts((c.name, c.colour)) and _COLOUR.fullmatch(c.colour) for c in classes):
        yield "each class of the legend must have a whole number as code, a name and a colour such as #1b7837"
    wanted = 0 if bundle.spec.heads == "change" else bundle.spec.classes
    if len(classes) != wanted or isinstance(bundle.spec.classes, bool):
        yield f"heads {bundle.spec.heads!r} with {bundle.spec.classes} classes, and a legend of {len(classes)}"


def _score_faults(scores: Any) -> Iterator[str]:  # noqa: ANN401 (whatever the file holds)
    """Say what in the scores would break or falsify a report."""
    if not (isinstance(scores, dict) and isinstance(scores.get("test"), dict)):
        yield "scores must be an object with `test`"
        return
    missing = [name for name in _TEST_SCORES if name not in scores["test"]]
    if missing:
        yield f"the test scores lack {', '.join(missing)}"
    if not all(v is None or _finite(v) for v in (*scores["test"].values(), scores.get("calibration_error"))):
        yield "each score must be a finite number or null"
    warned = scores.get("warnings", [])
    if not (isinstance(warned, list) and _texts(warned)):
        yield "the warnings must be a list of sentences"
    for row in scores["transitions"]["classes"] if "transitions" in scores else ():
        if not (
            _finite(row["code"]) and all(v is None or _finite(v) for v in (row["precision"], row["recall"], row["support"]))
        ):
            yield "each score of a transition must be a finite number or null"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _texts(values: Iterable[object]) -> bool:
    return all(isinstance(v, str) for v in values)
