"""The siamese network: one encoder for both dates, decoders for the change and for the land use of each date."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from landshift.models.encoders.normalisation import Normalisation
from landshift.models.network.decoder import STAGES, Decoder, cut, cut_maps, keep_around
from landshift.pipeline.epochs.matching import PRIORS, count_priors
from landshift.pipeline.errors import InputError

DECODERS = ("unet", "fpn", "upernet")
HEADS = ("change", "landuse", "both")
FUSIONS = ("difference", "symmetric", "concatenation")
ESTIMATORS = ("network", "trees", "line")
"""What decides on the features of an encoder: decoders, or an estimator for each pixel by itself."""

_PRIOR_SLOPE, _PRIOR_MIDDLE = 3.0, 2.0
"""Of the logit that a network starts from: a pixel whose IR-MAD statistic is nine times that of unchanged ground is as likely
changed as not."""


@dataclass(frozen=True)
class NetworkSpec:
    """Settings from which the network is built again, without its weights."""

    architecture: str
    """Name of the encoder's architecture, as in the encoder table."""
    image_bands: tuple[str, ...]
    """Common names of the bands that the images must have, in order."""
    bands: tuple[str, ...]
    """Those of them that the encoder takes, in order."""
    heads: str
    """`change`, `landuse` or `both`."""
    classes: int
    """Land-use classes; 0 where the heads are `change`."""
    decoder: str = "unet"
    """One of `DECODERS`."""
    fusion: str = "difference"
    """`difference` or `symmetric` (swapping the dates swaps from and to exactly), or `concatenation`."""
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16)
    """Channels of the U-Net's stages, from the coarsest: five, or four, which stop at half of the resolution; the first is the
    pyramid's width for `fpn` and `upernet`."""
    landuse_channels: tuple[int, ...] = ()
    """The same of the land-use decoder; empty: as `decoder_channels`."""
    priors: tuple[str, ...] = ()
    """What the change decoder sees beside the features, of `matching.PRIORS`."""

    estimator: str = "network"
    """One of `ESTIMATORS`; `decoder` and `fusion` matter to the first alone."""

    def __post_init__(self) -> None:
        """Refuse contradictions.

        Raises:
            InputError: A name that is not in its table, land-use heads without classes, or widths that the decoder cannot have.
        """
        if not self.bands:
            raise InputError(f"The encoder takes no band; give it at least one of {', '.join(self.image_bands)}.")
        missing = [b for b in self.bands if b not in self.image_bands]
        if missing:
            raise InputError(f"The encoder takes band {missing[0]}, the images have {', '.join(self.image_bands)}.")
        for value, table, name in (
            (self.decoder, DECODERS, "decoder"), (self.heads, HEADS, "heads"), (self.fusion, FUSIONS, "fusion"),
            (self.estimator, ESTIMATORS, "estimator"),
        ):  # fmt: skip
            if value not in table:
                raise InputError(f"{name} {value!r} is not known; expected one of {', '.join(table)}.")
        unknown = [name for name in self.priors if name not in PRIORS]
        if unknown:
            raise InputError(f"priors {unknown[0]!r} is not known; expected some of {', '.join(PRIORS)}.")
        if self.heads != "change" and self.classes < 2:
            raise InputError(f"`model: heads: {self.heads}` needs a `legend:` of at least two classes; it has {self.classes}.")
        self._check_channels()

    @property
    def prior_channels(self) -> int:
        """How many channels the priors have."""
        return count_priors(self.priors, len(self.image_bands))

    def _check_channels(self) -> None:
        wanted = STAGES - 1 if self.decoder == "unet" else 1
        given = {"decoder_channels": self.decoder_channels, "landuse_channels": self.landuse_channels or self.decoder_channels}
        for name, widths in given.items():
            if len(widths) < wanted or min(widths) < 1:
                number = f"{STAGES - 1} or {STAGES}" if self.decoder == "unet" else "1"
                raise InputError(f"`model: {name}: {list(widths)}`: decoder {self.decoder!r} needs {number} positive numbers.")
            # smp's FPN normalises half of the width in 32 groups.
            if self.decoder == "fpn" and widths[0] % 64:
                raise InputError(f"`model: {name}: {list(widths)}`: decoder 'fpn' needs a multiple of 64 as the first.")


@dataclass(frozen=True)
class Output:
    """Logits of a batch, before any calibration."""

    change: Tensor | None
    """Logit of change (batch, y, x), None without a change head."""
    before: Tensor | None
    """Logits of land use before (batch, class, y, x), None without land-use heads."""
    after: Tensor | None
    """Logits of land use after (batch, class, y, x), None without land-use heads."""


class Siamese(nn.Module):
    """A model of both dates: one encoder for them, and whatever decides on its features."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: NetworkSpec, encoder: nn.Module, normalisation: Normalisation) -> None:
        """Take an encoder.

        Args:
            spec: What to build.
            encoder: Gives a list of feature maps at strides 1, 2, 4, ... with their channels in `out_channels`.
            normalisation: Mean and deviation for each band of `spec`.

        Raises:
            InputError: Another number of means or deviations than of bands.
        """
        super().__init__()
        if not len(normalisation.mean) == len(normalisation.std) == len(spec.bands):
            raise InputError(
                f"{len(normalisation.mean)} means and {len(normalisation.std)} standard deviations for the "
                f"{len(spec.bands)} bands {', '.join(spec.bands)}; give one each."
            )
        self.spec = spec
        self.encoder = encoder
        self.scale = normalisation.scale
        self._taken = None if spec.bands == spec.image_bands else [spec.image_bands.index(b) for b in spec.bands]
        for name in ("mean", "std"):
            value = torch.tensor(getattr(normalisation, name), dtype=torch.float32).reshape(-1, 1, 1)
            # Not in the state dict: model.json holds it, in one place, readable.
            self.register_buffer(name, value, persistent=False)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Encode one date.

        Args:
            image: (batch, band, y, x) in the units of the scenes, NaN = not observed; sides are multiples of 32.

        Returns:
            Feature maps, finest first.
        """
        taken = image if self._taken is None else image[:, self._taken]
        normal = taken * self.scale
        normal -= self.mean
        normal /= self.std
        # The mean of a band is the least misleading value for a pixel that is not observed, and infinity is no observation.
        return list(self.encoder(normal.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)))

    def decode(self, before: list[Tensor], after: list[Tensor], priors: Tensor | None = None, *, trim: int = 0) -> Output:
        """Decide on the features of both dates.

        Args:
            before: As `encode` returns them.
            after: As `before`.
            priors: (batch, prior, y, x) as `matching.prior_channels` gives them, NaN = not observed; None where the model takes
                none.
            trim: Pixels at each side that are not wanted, a multiple of 32: they are left out of the logits, and of the work
                as far as that changes nothing of the others.
        """
        raise NotImplementedError


class ChangeNetwork(Siamese):
    """Encode each date once, fuse, decode (Daudt 2018, doi:10.1109/ICIP.2018.8451652, with any pretrained encoder)."""

    def __init__(self, spec: NetworkSpec, encoder: nn.Module, normalisation: Normalisation) -> None:
        """Build the decoders for an encoder.

        Args:
            spec: What to build.
            encoder: Gives a list of feature maps at strides 1, 2, 4, ... with their channels in `out_channels`.
            normalisation: Mean and deviation for each band of `spec`.

        Raises:
            InputError: Another number of means or deviations than of bands.
        """
        super().__init__(spec, encoder, normalisation)
        channels = list(cast(Sequence[int], encoder.out_channels))
        fused = channels if spec.fusion == "difference" else [2 * c for c in channels]
        self.change_decoder: Decoder | None = None
        self.landuse_decoder: Decoder | None = None
        if spec.heads != "landuse":
            self.change_decoder = Decoder(spec.decoder, spec.decoder_channels, fused, 1, priors=spec.prior_channels)
        self.prior = _prior_logit(spec.prior_channels) if spec.priors and self.change_decoder is not None else None
        if self.prior is not None and self.change_decoder is not None:
            nn.init.zeros_(self.change_decoder.head[0].weight)
        if spec.heads != "change":
            widths = spec.landuse_channels or spec.decoder_channels
            self.landuse_decoder = Decoder(spec.decoder, widths, channels, spec.classes)

    def decode(self, before: list[Tensor], after: list[Tensor], priors: Tensor | None = None, *, trim: int = 0) -> Output:
        """Decode the features of both dates.

        Args:
            before: As `encode` returns them.
            after: As `before`.
            priors: (batch, prior, y, x) as `matching.prior_channels` gives them, NaN = not observed; None where the network
                takes none.
            trim: Pixels at each side that are not wanted, a multiple of 32. A U-Net's stages leave out what reaches none of
                the others; the encoder has seen it. Other decoders look at the whole.
        """
        left = trim
        if trim and self.spec.decoder == "unet":
            before, after, left = cut_maps(before, trim), cut_maps(after, trim), keep_around(trim)
            priors = None if priors is None else cut(priors, trim - left)
        change = None
        if self.change_decoder is not None:
            pairs = zip(before, after, strict=True)
            if self.spec.fusion == "difference":
                fused = [(a - b).abs() for b, a in pairs]
            elif self.spec.fusion == "symmetric":
                fused = [torch.cat([(a - b).abs(), a + b], dim=1) for b, a in pairs]
            else:
                fused = [torch.cat(pair, dim=1) for pair in pairs]
            seen = None if priors is None else torch.nan_to_num(priors, nan=0.0, posinf=0.0)
            change = self.change_decoder(fused, seen)[:, 0]
            if self.prior is not None and seen is not None:
                change = change + self.prior(seen)[:, 0]
            change = cut(change, left)
        if self.landuse_decoder is None:
            return Output(change, None, None)
        return Output(change, *(cut(self.landuse_decoder(maps), left) for maps in (before, after)))

    def forward(self, before: Tensor, after: Tensor, priors: Tensor | None = None) -> Output:
        """Encode both dates and decode.

        In training they go in one batch: BatchNorm then sees both together and cannot learn to normalise a date's change
        away. In evaluation each goes alone, because a convolution's last bits depend on the place in the batch, and swapping
        the dates has to give the same bits.
        """
        if not self.training:
            return self.decode(self.encode(before), self.encode(after), priors)
        features = self.encode(torch.cat([before, after]))
        return self.decode([f[: len(before)] for f in features], [f[len(before) :] for f in features], priors)

    def load_decoder(self, state: dict[str, Tensor]) -> list[str]:
        """Start the decoders from pretrained ones, where the shapes fit.

        Args:
            state: Of an smp `Unet` without its encoder, named `decoder.*` and `segmentation_head.*` (the head is left out,
                because its classes are not ours), or of a `ChangeNetwork`, named `change_decoder.*` and `landuse_decoder.*`
                (taken whole, since it has the same task).

        Returns:
            Names of the decoders that took it; empty where the spec asks for another shape.
        """
        shared = {k.removeprefix("decoder."): v for k, v in state.items() if k.startswith("decoder.")}
        taken = []
        for name, part in (("change", self.change_decoder), ("landuse", self.landuse_decoder)):
            if part is None:
                continue
            prefix = f"{name}_decoder."
            whole = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            if (whole and _takes(part, whole)) or (shared and _takes(part.decoder, shared)):
                taken.append(name)
        return taken


def _prior_logit(channels: int) -> nn.Conv2d:
    """Return what turns priors into a logit of change; a network that learnt nothing yet has that of IR-MAD alone."""
    layer = nn.Conv2d(channels, 1, kernel_size=1)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.weight[:, 0] = _PRIOR_SLOPE
        nn.init.constant_(cast(Tensor, layer.bias), -_PRIOR_SLOPE * _PRIOR_MIDDLE)
    return layer


def _takes(part: nn.Module, given: dict[str, Tensor]) -> bool:
    """Load weights if every one of them fits and none is missing."""
    own = part.state_dict()
    # Weights published for inference come without BatchNorm's counters, which are no weights.
    missing = [k for k in own if k not in given and not k.endswith("num_batches_tracked")]
    if missing or not all(k in own and own[k].shape == v.shape for k, v in given.items()):
        return False
    part.load_state_dict({**own, **given})
    return True
