"""Files of pretrained weights: where they are, how they are fetched, and the tensors in them.

Nothing in a weights file is executed: checkpoints load with `weights_only=True`, the rest is safetensors or ONNX.
"""

import importlib.util
import math
import re
import urllib.request
import zipfile
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from landshift.models.encoders.bands import Encoder
from landshift.pipeline.errors import InputError
from landshift.pipeline.files.opening import require_file
from landshift.pipeline.limits import WEIGHTS_BYTES
from landshift.pipeline.manifest import file_hash, replace_when_done

DOWNLOAD_TIMEOUT_S = 10
OFFLINE = "'random', 'imagenet-efficientnet-lite0' and 'ukis-csmask-6b-l2a' need no network."
LITE_DEPTHS = {"lite0": 1.0, "lite1": 1.1, "lite2": 1.2}
"""Depth multipliers of EfficientNet-Lite."""

State = dict[str, Tensor]


def weights_path(encoder: Encoder, cache: Path | None) -> Path:
    """Return the weights file, fetched if need be."""
    if encoder.source == "file":
        return Path(encoder.weights)
    if encoder.source == "pypi":
        package, _, file = encoder.weights.partition("/")
        # Found, not imported: ukis_csmask would want an ONNX runtime.
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                f"Encoder {encoder.name} needs the package {package.replace('_', '-')}: install it with "
                f"`pip install {package.replace('_', '-')}`."
            )
        return Path(spec.submodule_search_locations[0]) / file
    folder = cache or Path(torch.hub.get_dir()) / "checkpoints"
    name = encoder.url.rsplit("/", 1)[-1]
    path = folder / (name if encoder.source == "torchgeo" else f"{encoder.weights}-{name}")
    if not path.is_file():
        _fetch(encoder, path)
    return path


def _fetch(encoder: Encoder, path: Path) -> None:
    """Download weights.

    Raises:
        InputError: They cannot be had; the message names the address and the path for a download by hand.
    """
    if not encoder.url.startswith("https://"):
        raise InputError(f"Encoder {encoder.name}: its address {encoder.url!r} is not https.")
    try:
        with replace_when_done(path) as partial:
            with (
                urllib.request.urlopen(encoder.url, timeout=DOWNLOAD_TIMEOUT_S) as reply,  # noqa: S310 - https, above
                partial.open("wb") as file,
            ):
                while block := reply.read(1 << 20):
                    file.write(block)
            if unlike_published(path, file_hash(partial)):
                raise InputError(f"Encoder {encoder.name}: {encoder.url} sent another file than its name; try again.")
    except (OSError, HTTPException) as error:
        raise InputError(
            f"Encoder {encoder.name}: its weights are not on this machine and could not be fetched ({error}). Fetch "
            f"{encoder.url} where there is a network and put it at {path}. {OFFLINE}"
        ) from error


def read_tensors(encoder: Encoder, path: Path) -> State:
    """Read every tensor of a weights file, running none of its content.

    Raises:
        InputError: It is not a plain file, is too large, holds no tensors, or some that are not finite.
    """
    require_file(path)
    _require_size(encoder, path)
    try:
        if path.suffix == ".onnx":
            return _read_onnx(path)
        content: Any
        plain = path.suffix == ".safetensors"
        content = load_file(path) if plain else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged pickle raises nearly anything, KeyError included.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"Encoder {encoder.name}: {path} cannot be read as a state dict without running its content ({reason}); "
            "save only `model.state_dict()`, or fetch the file again."
        ) from error
    for inner in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(inner), dict):
            content = content[inner]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"Encoder {encoder.name}: {path} holds no state dict (names and tensors); save one.")
    damaged = find_not_finite(content)
    if damaged:
        raise InputError(
            f"Encoder {encoder.name}: {path}: {damaged} holds numbers that are not finite. Save it again, or take another."
        )
    depth = next((d for size, d in LITE_DEPTHS.items() if encoder.source == "pypi" and size in path.name), None)
    return dict(content) if depth is None else _lite_names(content, depth)


def _require_size(encoder: Encoder, path: Path) -> None:
    """Refuse a file that is larger than any of weights, packed or unpacked."""
    size = path.stat().st_size
    if path.suffix != ".onnx" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            size = max(size, sum(entry.file_size for entry in packed.infolist()))
    if size > WEIGHTS_BYTES:
        raise InputError(
            f"Encoder {encoder.name}: {path} holds {size / 2**20:,.0f} MiB; expected weights of at most "
            f"{WEIGHTS_BYTES // 2**20:,} MiB."
        )


def find_not_finite(tensors: Mapping[str, Tensor]) -> str:
    """Return the name of the first tensor that holds NaN or infinity; empty where none does.

    Thresholds of trees are infinite where a question has one answer alone.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            sound = ~torch.isnan(tensor) if name.endswith(".threshold") else torch.isfinite(tensor)
            if not bool(sound.all()):
                return name
    return ""


def write_tensors(path: Path, model: nn.Module) -> None:
    """Write the weights of a model as `.safetensors`, which `table.file_encoder` reads."""
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)


def _read_onnx(path: Path) -> State:
    import onnx
    from onnx import numpy_helper

    # The published networks keep their weights in half precision, under the names that they had in smp.
    return {
        tensor.name.removeprefix("model."): torch.from_numpy(numpy_helper.to_array(tensor).astype("float32"))
        for tensor in onnx.load(path).graph.initializer
    }


def _lite_names(state: Mapping[str, Tensor], depth: float) -> State:
    """Rename EfficientNet-Lite from `efficientnet_lite_pytorch` to timm.

    Args:
        state: With blocks numbered through, `_blocks.7._expand_conv.weight`.
        depth: Depth multiplier of the size: it gives the number of blocks of each stage.

    Returns:
        With blocks numbered in stages, `blocks.3.2.conv_pw.weight`.
    """
    # Lite keeps the first and last stage at their base depth.
    repeats = [1, *(math.ceil(depth * n) for n in (2, 2, 3, 3, 4)), 1]
    places = [f"blocks.{stage}.{index}" for stage, count in enumerate(repeats) for index in range(count)]
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {
        **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
        **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
    }
    renamed = {}
    for key, tensor in state.items():
        parts = key.split(".")
        if parts[0] == "_blocks":
            number = int(parts[1])
            new = [places[number], (first if number == 0 else later)[parts[2]], *parts[3:]]
        else:
            new = [outside[parts[0]], *parts[1:]]
        renamed[".".join(new)] = tensor
    return renamed


def unlike_published(path: Path, digest: str) -> tuple[str, ...]:
    """Return a note where the hash in a file's name, as PyTorch's hub writes it, is not the file's own."""
    named = re.search(r"-([0-9a-f]{8,})\.[a-z]+$", path.name)
    if named is None or digest.removeprefix("sha256:").startswith(named.group(1)):
        return ()
    return (f"{path.name} is not the published file: its hash is {digest}, not {named.group(1)}...",)
