"""Pretrained weights into encoders: fitted to our bands and loaded strictly.

Every tensor has to find its place with its shape, and every place its tensor, or the load fails with the list.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from landshift.models.encoders.backbones import build_encoder, first_convolution
from landshift.models.encoders.bands import BandPlan, Encoder, match_bands
from landshift.models.encoders.weight_files import State, read_tensors, unlike_published, weights_path
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import file_hash

CLOUD_CLASSES = ("clear", "cloud", "cloud shadow")

# Classifiers, and what timm leaves out of an encoder because only the classifier uses it.
_HEADS = ("fc.", "head.", "classifier.", "norm.", "fc_norm.", "conv_head.", "bn2.")

# A model that Landshift trained can be the source of another.
_OUR_DECODERS = ("change_decoder.", "landuse_decoder.")
# What such a model has beside encoder and decoders belongs to its own territory: the line through the priors, trees, a probe.
_OUR_OTHER_PARTS = ("prior.", "change.", "landuse.")

# smp's EfficientNet has these, but its forward never reaches them; BatchNorm counts are no weights.
_UNUSED = ("_conv_head.", "_bn1.")
_PREFIXES = ("module.", "state_dict.", "encoder.", "backbone.", "model.")


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder ready for a decoder."""

    model: nn.Module
    """Takes (B, len(bands), H, W), H and W multiples of 32; gives six maps at strides 1 to 32; has `out_channels`."""
    bands: tuple[str, ...]
    """The bands that it takes, in order."""
    notes: tuple[str, ...]
    """Sentences for a person: how the bands were met."""
    weights_hash: str
    """`sha256:...` of the weights file; of the tensors for a random encoder."""
    decoder_state: State | None = None
    """Weights beside the encoder, where there are any: of a `smp.Unet`, named `decoder.*` and `segmentation_head.*`, or of a
    model that Landshift trained, named `change_decoder.*` and `landuse_decoder.*`."""


def load_encoder(
    encoder: Encoder,
    bands: Sequence[str],
    *,
    cache: Path | None = None,
    extra: str = "mean",
    wavelengths: Mapping[str, float] | None = None,
) -> LoadedEncoder:
    """Build an encoder for our bands and load its weights.

    Args:
        encoder: The row of the table.
        bands: Our bands in order.
        cache: Where downloaded weights are kept; by default `checkpoints` in PyTorch's hub folder.
        extra: `mean` or `drop`, as for `match_bands`.
        wavelengths: As for `match_bands`.

    Raises:
        InputError: The bands do not match, the weights cannot be had, or they do not fit.
    """
    plan = match_bands(encoder, bands, wavelengths, extra=extra)
    model = build_encoder(encoder.architecture, len(plan.used))
    if encoder.source == "random":
        return LoadedEncoder(model, plan.used, plan.notes, _tensors_hash(model.state_dict()))
    path = weights_path(encoder, cache)
    state = read_tensors(encoder, path)
    decoder = None
    if encoder.has_decoder:
        decoder = {k: v for k, v in state.items() if not k.startswith("encoder.")}
        state = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    ours = {k: v for k, v in state.items() if k.startswith(_OUR_DECODERS)}
    if ours:
        decoder = ours
    state = {k: v for k, v in state.items() if not k.startswith((*_OUR_DECODERS, *_OUR_OTHER_PARTS))}
    fitted = _name_tensors(encoder, model, state)
    broken = [k for k, v in fitted.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if broken:
        raise InputError(
            f"Encoder {encoder.name}: {len(broken)} of its tensors hold NaN or infinity, the first is {broken[0]}. Expected "
            f"numbers: take another checkpoint, its training has diverged."
        )
    key = first_convolution(model)
    if key not in fitted:
        raise _misfit(encoder, "no tensors for these places of the architecture", [key])
    fitted[key] = fit_to_bands(encoder, fitted[key], plan)
    _load_strictly(encoder, model, fitted)
    digest = file_hash(path)
    return LoadedEncoder(model, plan.used, (*plan.notes, *unlike_published(path, digest)), digest, decoder_state=decoder)


def cloud_model(encoder: Encoder) -> nn.Module:
    """Return the whole cloud and cloud shadow network that comes with a `ukis-csmask` encoder.

    Args:
        encoder: A row with a decoder. Input is its bands in its order, reflectance, normalised with its mean and std.

    Returns:
        A `smp.Unet` in evaluation mode: (B, band, y, x) to logits (B, 3, y, x); after a softmax over dimension 1 the
        classes are those of `CLOUD_CLASSES`. y and x are multiples of 32; trained at about 30 m a pixel.

    Raises:
        InputError: The encoder has no decoder, or its package is not installed.
    """
    if not encoder.has_decoder:
        raise InputError(f"Encoder {encoder.name} has no decoder; take 'ukis-csmask-6b-l2a' or -l1c, 4b or 6b.")
    loaded = load_encoder(encoder, encoder.bands)
    network: nn.Module = smp.Unet(
        encoder.architecture, encoder_weights=None, in_channels=len(encoder.bands), classes=len(CLOUD_CLASSES)
    )
    encoder_state = {f"encoder.{k}": v for k, v in loaded.model.state_dict().items()}
    _load_strictly(encoder, network, {**encoder_state, **(loaded.decoder_state or {})})
    return network.eval()


def fit_to_bands(encoder: Encoder, weight: Tensor, plan: BandPlan) -> Tensor:
    """Fit the first convolution to our bands.

    Args:
        encoder: The row of the table.
        weight: (out, encoder band, y, x).
        plan: From `match_bands`.

    Returns:
        (out, used band, y, x): the matched channels, the mean channel for extra bands, all times wanted / used.

    Raises:
        InputError: The weights have another number of channels than the row has bands.
    """
    if not encoder.bands:
        return weight
    if weight.shape[1] != len(encoder.bands):
        raise InputError(
            f"Encoder {encoder.name}: its first convolution takes {weight.shape[1]} bands, but {len(encoder.bands)} "
            f"are named ({', '.join(encoder.bands)}); name one band per input channel, in order."
        )
    place = {band: index for index, band in enumerate(plan.channels) if band is not None}
    average = weight.mean(dim=1)
    columns = [weight[:, place[band]] if band in place else average for band in plan.used]
    return torch.stack(columns, dim=1) * (len(encoder.bands) / len(plan.used))


def _name_tensors(encoder: Encoder, model: nn.Module, state: State) -> State:
    """Name tensors as the model does, dropping the classifier's.

    Raises:
        InputError: Tensors have no place in the encoder; the message lists them.
    """
    places = model.state_dict().keys()
    named: State = {}
    leftover = []
    for key, tensor in state.items():
        names = _candidates(key, prefixed=encoder.source == "file")
        place = next((name for name in names if name in places and name not in named), None)
        if place is not None:
            named[place] = tensor
        elif not any(name.startswith(_HEADS) for name in names):
            leftover.append(key)
    if leftover:
        raise _misfit(encoder, "tensors that the architecture has no place for", leftover)
    return named


def _candidates(key: str, *, prefixed: bool) -> list[str]:
    """List the names that a tensor may have in our encoders, plainest first."""
    plain = [key]
    while prefixed and (prefix := next((p for p in _PREFIXES if plain[-1].startswith(p)), None)):
        plain.append(plain[-1].removeprefix(prefix))
    # smp's universal encoder holds timm's model as `model`, with its outer containers flattened: stages.0 is stages_0.
    return [name for p in plain for name in (p, f"model.{p}", "model." + re.sub(r"^(\w+)\.(\d+)\.", r"\1_\2.", p))]


def _load_strictly(encoder: Encoder, model: nn.Module, state: State) -> None:
    places = model.state_dict()
    idle = [k for k in places if k.removeprefix("encoder.").startswith(_UNUSED) or k.endswith("num_batches_tracked")]
    missing = [k for k in places if k not in state and k not in idle]
    if missing:
        raise _misfit(encoder, "no tensors for these places of the architecture", missing)
    shapes = [(k, tuple(v.shape), tuple(places[k].shape)) for k, v in state.items()]
    wrong = [f"{k} {given} instead of {wanted}" for k, given, wanted in shapes if given != wanted]
    if wrong:
        raise _misfit(encoder, "tensors of another shape", wrong)
    # Merged, because smp's EfficientNet overrides load_state_dict and loses what a lenient load would report.
    model.load_state_dict({**places, **state})


def _misfit(encoder: Encoder, what: str, names: Sequence[str]) -> InputError:
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return InputError(
        f"Encoder {encoder.name}: the weights do not fit architecture {encoder.architecture!r}: {what}: {shown}. Name "
        "the architecture and bands that the weights were trained with."
    )


def _tensors_hash(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key, tensor in state.items():
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"
