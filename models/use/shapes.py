"""Shapes of the tensors in a file of weights, compared with those of the network that it is for before either is made."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from landshift.models.encoders.backbones import build_encoder
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.estimators.model import model_of
from landshift.models.network.siamese import NetworkSpec
from landshift.pipeline.errors import InputError, UnreadableError
from landshift.pipeline.files.opening import require_file
from landshift.pipeline.limits import WEIGHTS_BYTES

Shapes = dict[str, tuple[int, ...]]
"""Name of a tensor to its shape."""
_ENCODER = "encoder."


def require_shapes(path: Path, spec: NetworkSpec, normalisation: Normalisation) -> None:
    """Refuse weights that are not of a network, by the header of their file; a network of any size costs nothing here.

    Raises:
        InputError: The file cannot be read, is too large, or a tensor is missing, unknown or of another shape.
    """
    found, wanted = shapes_in(path), shapes_of(spec, normalisation)
    if spec.estimator != "network":
        # What decides on a pixel may be of any size that the file has.
        found = {name: shape for name, shape in found.items() if name.startswith(_ENCODER)}
    if found == wanted:
        return
    name = min(n for n in {*found, *wanted} if found.get(n) != wanted.get(n))
    raise InputError(
        f"{path} does not fit model.json: {name} has {_show(found, name)}, and {_show(wanted, name)} in the network that is "
        f"described there. Train again, or copy the whole folder again."
    )


def _show(shapes: Shapes, name: str) -> str:
    return f"the shape {list(shapes[name])}" if name in shapes else "no such tensor"


def require_weights(path: Path) -> None:
    """Refuse what is no file of weights by its size, before anything reads it: a file of no bytes on the disk may be endless.

    Raises:
        InputError: It is no plain file, or too large.
    """
    require_file(path)
    size = path.stat().st_size
    if size > WEIGHTS_BYTES:
        raise InputError(
            f"{path} has {size / 2**20:,.0f} MiB; expected at most {WEIGHTS_BYTES // 2**20:,}. Is it the file of a model?"
        )


def shapes_in(path: Path) -> Shapes:
    """Return the shapes that the header of a safetensors file lists.

    Raises:
        InputError: It cannot be read, or is too large.
    """
    require_weights(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise UnreadableError(
            f"{path} does not fit model.json: it is not a safetensors file ({error}). Train again, or copy the whole "
            f"folder again."
        ) from error


def shapes_of(spec: NetworkSpec, normalisation: Normalisation) -> Shapes:
    """Return the shapes of a network's tensors, or of its encoder's where it has no decoders; no memory is taken for them."""
    with torch.device("meta"):
        encoder = build_encoder(spec.architecture, len(spec.bands))
        if spec.estimator != "network":
            return {f"{_ENCODER}{name}": tuple(t.shape) for name, t in encoder.state_dict().items()}
        network = model_of(spec, encoder, normalisation)
    return {name: tuple(t.shape) for name, t in network.state_dict().items()}
