"""Decoders: feature maps of one date, or of both fused, to logits at the resolution of the bands."""

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import Tensor, nn

STAGES = 5
"""Of a U-Net that goes up to full resolution; one with a stage less stops at half of it."""
_DETAIL = 24
"""Channels of the path at full resolution, beside those of the last stage."""
_MIXED = 16
"""Channels at full resolution where the last stage has half of it."""
_AROUND = 4
"""Cells of its own resolution that a stage needs around what is wanted: its two convolutions take two of them, and two remain,
which are the four that the next stage needs."""


class Decoder(nn.Module):
    """An smp decoder with its head, back at the resolution of the input.

    smp's decoders leave the finest map, the bands themselves, out. A patch of a few pixels needs it (the next finer map has a
    quarter of the pixels), so a path of one convolution, `detail`, brings it to the head.

    A U-Net looks no further than some cells at each of its stages: maps may be given without what lies beyond (`cut_maps`).
    """

    def __init__(self, kind: str, widths: Sequence[int], channels: Sequence[int], outputs: int, *, priors: int = 0) -> None:
        """Build it with random weights.

        Args:
            kind: `unet`, `fpn` or `upernet`.
            widths: Channels of the stages of a U-Net, from the coarsest; the first is the pyramid's width of the others.
            channels: Of the feature maps, finest first.
            outputs: Logits a pixel.
            priors: Further channels at full resolution.
        """
        super().__init__()
        depth, width = len(channels) - 1, widths[0]
        step = 4
        if kind == "unet":
            self.decoder: nn.Module = _Unet(channels, widths[:depth])
            last, step = widths[:depth][-1], 1 if len(widths) >= depth else 2
        elif kind == "fpn":
            self.decoder = FPNDecoder(channels, depth, pyramid_channels=width, segmentation_channels=width // 2, dropout=0.0)
            last = width // 2
        else:
            self.decoder = UPerNetDecoder(channels, depth, decoder_channels=width)
            last = width
        # Cells and pixels share corners: if the first and last ones shared their centres, the size of a tile would matter.
        self.upsample = nn.Upsample(scale_factor=step, mode="bilinear") if step > 1 else nn.Identity()
        # What is wide stays at half of the resolution: full resolution costs four times as much a channel.
        self.mix = nn.Conv2d(last, _MIXED, 1, bias=False) if step == 2 else None
        detail = nn.Conv2d(channels[0] + priors, _DETAIL if self.mix is None else _MIXED, 3, padding=1)
        self.detail = nn.Sequential(detail, nn.ReLU(inplace=True)) if self.mix is None else nn.Sequential(detail)
        self.head = SegmentationHead(last + _DETAIL if self.mix is None else _MIXED, outputs, kernel_size=3)
        for part in (self.decoder, self.detail, self.mix):
            if part is not None:
                initialize_decoder(part)
        initialize_head(self.head)

    def forward(self, features: list[Tensor], priors: Tensor | None = None) -> Tensor:
        """Return logits (batch, output, y, x) for feature maps, finest first, and priors at full resolution.

        The logits are those of the finest map; coarser ones of a U-Net may reach further.
        """
        coarse = self.decoder(features)
        if self.mix is not None:
            coarse = _cut_to(coarse, features[0])
        detail = self.detail(features[0] if priors is None else torch.cat([features[0], priors], dim=1))
        if self.mix is None:
            fine = torch.cat([self.upsample(coarse), detail], dim=1)
        else:
            fine = torch.relu(self.upsample(self.mix(coarse)) + detail)
        logits: Tensor = self.head(fine)
        return logits


class _Unet(UnetDecoder):  # type: ignore[misc]
    """smp's U-Net decoder, where one stage may be missing, and maps may reach further the coarser they are."""

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        missing = len(channels) - 1 - len(widths)
        widths = [*widths, *[1] * missing]
        super().__init__(encoder_channels=channels, decoder_channels=widths, n_blocks=len(widths))
        if missing:
            del self.blocks[-missing:]

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return the result of the last stage."""
        x = features[-1]
        for number, block in enumerate(self.blocks, start=2):
            finer = features[-number]
            # The bands themselves go another way.
            skip = finer if number < len(features) else None
            x = block(_cut_to(x, finer), finer.shape[2], finer.shape[3], skip_connection=skip)
        return x


def cut_maps(maps: Sequence[Tensor], trim: int) -> list[Tensor]:
    """Leave out of feature maps what a U-Net needs for no pixel of a window without so many pixels at each side.

    Args:
        maps: (batch, channel, y, x) at strides 1, 2, 4, ..., finest first.
        trim: Pixels at each side that are not wanted, a multiple of the coarsest stride, or 0.

    Returns:
        The same maps, each with `keep_around` pixels of its own around the window at most.
    """
    coarsest = len(maps) - 1
    # The coarsest map is enlarged for the stage of the one before it.
    kept = [min(_AROUND * 2 ** min(level, coarsest - 1), trim) for level in range(len(maps))]
    return [cut(part, (trim - near) // 2**level) for level, (part, near) in enumerate(zip(maps, kept, strict=True))]


def keep_around(trim: int) -> int:
    """Return how many pixels of the finest map `cut_maps` keeps around a window."""
    return min(_AROUND, trim)


def cut(image: Tensor, cells: int) -> Tensor:
    """Return an image (..., y, x) without so many cells at each side."""
    height, width = image.shape[-2], image.shape[-1]
    return image[..., cells : height - cells, cells : width - cells]


def _cut_to(coarse: Tensor, finer: Tensor) -> Tensor:
    """Return a map that covers, enlarged twice, what a finer one does: the same around its middle."""
    height, width = coarse.shape[2], coarse.shape[3]
    y, x = (height - finer.shape[2] // 2) // 2, (width - finer.shape[3] // 2) // 2
    return coarse[:, :, y : height - y, x : width - x]
