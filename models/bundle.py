"""A trained model as a directory: weights, everything needed to use them honestly, and a card to read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models.encoders import Normalisation, build_encoder
from models.inference import Temperatures
from models.network import ChangeNetwork, NetworkSpec
from pipeline.errors import InputError
from pipeline.legend import LandUse, Legend
from pipeline.manifest import file_hash, replace_when_done, write_json

FORMAT = 1
"""Version of `model.json`."""
WEIGHTS, MODEL, CARD = "weights.safetensors", "model.json", "card.md"


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
        InputError: It is missing, is no bundle of this version, or the weights are not the ones it was written with.
    """
    path = folder / MODEL
    if not path.is_file():
        raise InputError(f"{folder} is no model: {MODEL} is missing. Run `landshift train` first, or correct `model:`.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise InputError(
                f"{path} has format {content['format']}, this version reads {FORMAT}. Train again, or use the version that "
                "wrote it."
            )
        bundle = _bundle(content)
        expected = content["weights"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged ({error!r}). Train again, or copy the whole folder again.") from error
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
        legend=Legend(tuple(LandUse(**c) for c in content["legend"])),
        temperatures=Temperatures(**content["temperatures"]),
        threshold=float(content["threshold"]),
        notes=tuple(content["notes"]),
        facts=content["facts"],
    )
