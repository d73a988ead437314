"""Encoders as modules that any smp decoder takes: feature maps at strides 1, 2, 4, 8, 16 and 32."""

import difflib
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from landshift.pipeline.errors import InputError

DEFAULT_ARCHITECTURE = "tu-tf_efficientnet_lite0"
STRIDE = 32
SWIN_WIDTHS = {"swin_v2_t": 96, "swin_v2_b": 128}
VIT_IMAGE_SIZE = 224


class SwinEncoder(nn.Module):
    """torchvision's Swin v2 with any input size, as SatlasPretrain uses it.

    timm's Swin fixes the input size when it is built; torchvision's pads windows as it goes, and torchgeo's weights are
    in its layout. Swin v2: https://doi.org/10.1109/CVPR52688.2022.01170
    """

    def __init__(self, architecture: str, in_channels: int) -> None:
        """Build it with random weights.

        Args:
            architecture: `swin_v2_t` or `swin_v2_b`.
            in_channels: Number of bands.
        """
        super().__init__()
        width = SWIN_WIDTHS[architecture]
        features: Any = getattr(torchvision.models, architecture)(weights=None).features
        features[0][0] = nn.Conv2d(in_channels, width, kernel_size=4, stride=4)
        self.features: Any = features
        self.out_channels = [in_channels, 0, width, 2 * width, 4 * width, 8 * width]
        self.output_stride = STRIDE

    def forward(self, x: Tensor) -> list[Tensor]:
        """Encode (B, C, H, W), H and W multiples of 32, to maps at strides 1, 2 (no channels), 4, 8, 16 and 32."""
        maps = [x, _no_channels(x)]
        y = x
        for index, stage in enumerate(self.features):
            y = stage(y)
            if index % 2:
                # Stages work channels last.
                maps.append(y.permute(0, 3, 1, 2).contiguous())
        return maps


class VitEncoder(nn.Module):
    """A plain vision transformer with a feature pyramid that has no weights of its own.

    Tokens after each quarter of the blocks are brought to strides 4, 8, 16 and 32 by bilinear enlargement and pooling,
    so that a frozen encoder is wholly pretrained; the decoder learns the rest. Position embeddings are interpolated to
    the input size. Where a patch is not 16 pixels (DINOv2: 14), the image is resampled so that one patch still covers
    16 pixels of ours. Pyramids from plain transformers: https://doi.org/10.1007/978-3-031-20077-9_17
    """

    def __init__(self, architecture: str, in_channels: int) -> None:
        """Build it with random weights.

        Args:
            architecture: A timm vision transformer, for example `vit_small_patch16_224`.
            in_channels: Number of bands.
        """
        super().__init__()
        model: Any = timm.create_model(
            architecture,
            pretrained=False,
            in_chans=in_channels,
            num_classes=0,
            img_size=VIT_IMAGE_SIZE,
            dynamic_img_size=True,
        )
        # The last norm belongs to the classifier, and some published encoders come without it.
        model.norm = nn.Identity()
        depth = len(model.blocks)
        self.taken = [depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]
        self.patch = int(model.patch_embed.patch_size[0])
        self.out_channels = [in_channels, 0, *4 * [int(model.embed_dim)]]
        self.model = model
        self.output_stride = STRIDE

    def forward(self, x: Tensor) -> list[Tensor]:
        """Encode (B, C, H, W), H and W multiples of 32, to maps at strides 1, 2 (no channels), 4, 8, 16 and 32."""
        height, width = x.shape[-2] // 16, x.shape[-1] // 16
        y = x
        if self.patch != 16:
            size = (height * self.patch, width * self.patch)
            y = functional.interpolate(x, size, mode="bilinear", align_corners=False)
        a, b, c, d = self.model.forward_intermediates(y, indices=self.taken, intermediates_only=True)
        return [
            x,
            _no_channels(x),
            functional.interpolate(a, scale_factor=4, mode="bilinear", align_corners=False),
            functional.interpolate(b, scale_factor=2, mode="bilinear", align_corners=False),
            c,
            functional.max_pool2d(d, 2),
        ]


def build_encoder(architecture: str, in_channels: int) -> nn.Module:
    """Build an encoder with random weights.

    Args:
        architecture: As `architecture_named` returns it.
        in_channels: Number of bands, at least 1.

    Returns:
        A module with `out_channels` whose forward takes (B, C, H, W) and gives six maps at strides 1 to 32.

    Raises:
        InputError: The architecture is unknown or cannot feed a dense head.
    """
    architecture = architecture_named(architecture)
    if architecture in SWIN_WIDTHS:
        return SwinEncoder(architecture, in_channels)
    try:
        if architecture.startswith("vit_"):
            return VitEncoder(architecture, in_channels)
        encoder: nn.Module = smp.encoders.get_encoder(architecture, in_channels=in_channels, depth=5, weights=None)
    except (ValueError, TypeError, RuntimeError, AttributeError, AssertionError) as error:
        raise InputError(
            f"Architecture {architecture!r} gives no feature maps at strides 2 to 32 ({error}); choose a convolutional "
            "one such as 'resnet18', or one of 'swin_v2_t', 'vit_small_patch16_224'."
        ) from error
    return encoder


def architecture_named(name: str) -> str:
    """Return the full name of an architecture; a bare timm name gets the `tu-` that smp wants.

    Raises:
        InputError: The name is not known; the message gives the nearest one.
    """
    known = [*smp.encoders.get_encoder_names(), *SWIN_WIDTHS]
    bare = name.removeprefix("tu-")
    if name in known:
        return name
    if timm.is_model(bare):
        # smp's universal encoder refuses plain vision transformers; ours takes them.
        return bare if bare.startswith("vit_") else f"tu-{bare}"
    near = difflib.get_close_matches(bare, [*known, *timm.list_models()], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"Architecture {name!r} is not one of segmentation_models_pytorch or timm.{hint}")


def first_convolution(model: nn.Module) -> str:
    """Return the name in the state dict of the weights (out, bands, y, x) that meet the bands."""
    return next(f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Conv2d))


def _no_channels(x: Tensor) -> Tensor:
    """Stand in for the map at stride 2, which transformers with patches of 4 or more do not have."""
    return torch.empty((x.shape[0], 0, x.shape[-2] // 2, x.shape[-1] // 2), dtype=x.dtype, device=x.device)
