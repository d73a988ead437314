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


class Decoder(nn.Module):
    """An smp decoder with its head, back at the resolution of the input.

    smp's decoders leave the finest map, the bands themselves, out. A patch of a few pixels needs it (the next finer map has a
    quarter of the pixels), so a path of one convolution, `detail`, brings it to the head.
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
        if kind == "unet" and len(widths) < depth:
            self.decoder: nn.Module = _HalfUnet(channels, widths)
            last, step = widths[-1], 2
        elif kind == "unet":
            self.decoder = UnetDecoder(encoder_channels=channels, decoder_channels=widths[:depth], n_blocks=depth)
            last, step = widths[depth - 1], 1
        elif kind == "fpn":
            self.decoder = FPNDecoder(channels, depth, pyramid_channels=width, segmentation_channels=width // 2, dropout=0.0)
            last = width // 2
        else:
            self.decoder = UPerNetDecoder(channels, depth, decoder_channels=width)
            last = width
        self.upsample = nn.UpsamplingBilinear2d(scale_factor=step) if step > 1 else nn.Identity()
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
        """Return logits (batch, output, y, x) for feature maps, finest first, and priors at full resolution."""
        coarse = self.decoder(features)
        detail = self.detail(features[0] if priors is None else torch.cat([features[0], priors], dim=1))
        if self.mix is None:
            fine = torch.cat([self.upsample(coarse), detail], dim=1)
        else:
            fine = torch.relu(self.upsample(self.mix(coarse)) + detail)
        logits: Tensor = self.head(fine)
        return logits


class _HalfUnet(UnetDecoder):  # type: ignore[misc]
    """smp's U-Net decoder without its last stage."""

    def __init__(self, channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__(encoder_channels=channels, decoder_channels=(*widths, 1), n_blocks=len(widths) + 1)
        del self.blocks[-1]
