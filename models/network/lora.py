"""Low-rank adapters for transformer encoders (Hu 2021, arXiv:2106.09685), merged away after training."""

from typing import cast

import torch
from torch import nn

from landshift.pipeline.errors import InputError

_SIZES = (224, 256)
"""Sides of trial images, in pixels: some transformers take only the size that they were made for."""


def add_lora(encoder: nn.Module, rank: int) -> int:
    """Put adapters beside the linear layers of an encoder's attention blocks; nothing else keeps a gradient.

    The encoder stays the same object with the same interface, and at first gives the same features. Layers whose smaller
    side is not above the rank get none, because no low rank is left there; nor do layers whose weights are read by an
    attention of its own instead of being called (query, key, value in Swin v2), because an adapter has no effect there.

    Args:
        encoder: Changed in place.
        rank: Of the adapters, at least 1; their product counts once (alpha is the rank).

    Returns:
        Number of adapted layers.

    Raises:
        InputError: peft is not installed, the encoder is no transformer, or no layer is left to adapt.
        ValueError: The rank is below 1, or the encoder has adapters already.
    """
    if rank < 1:
        raise ValueError(f"An adapter needs a rank of at least 1, not {rank}.")
    try:
        from peft import LoraConfig, inject_adapter_in_model
        from peft.tuners.lora import LoraLayer
    except ImportError as error:
        raise InputError("Strategy 'lora' needs the package peft: run `pip install 'landshift[lora]'`.") from error
    if any(isinstance(m, LoraLayer) for m in encoder.modules()):
        raise ValueError("The encoder has adapters already; merge them first.")
    layers = _linear_layers(encoder)
    if not layers:
        raise InputError(
            "Strategy 'lora' adapts the linear layers of transformers, and this encoder has no attention with such layers. "
            "Choose an encoder such as 'vit_small_patch16_224' or 'swin_v2_t', or "
            "`training: strategy: discriminative` or `full`."
        )
    names = [n for n in _call_order(encoder) if n in layers and min(layers[n].in_features, layers[n].out_features) > rank]
    if not names:
        raise InputError(
            f"A rank of {rank} is not below the width of any layer of this encoder. Choose a wider one, or "
            "`training: strategy: discriminative`."
        )
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=names), encoder)
    return sum(isinstance(m, LoraLayer) for m in encoder.modules())


def merge_lora(encoder: nn.Module) -> None:
    """Add what the adapters learned to the weights beside them, and take the adapters out.

    The encoder then has the state dict of its plain architecture, and peft is not needed any more. An encoder without
    adapters is left as it is.

    Args:
        encoder: Changed in place.
    """
    if not hasattr(encoder, "peft_config"):
        return
    from peft.tuners.lora import LoraLayer

    adapted = {name: module for name, module in encoder.named_modules() if isinstance(module, LoraLayer)}
    for name, module in adapted.items():
        module.merge()
        encoder.set_submodule(name, module.get_base_layer())
    del encoder.peft_config


def _linear_layers(encoder: nn.Module) -> dict[str, nn.Linear]:
    """Find the linear layers of all blocks; a block is what has attention as a direct part."""
    found = {}
    for prefix, block in encoder.named_modules():
        if any("attention" in (kind := type(part).__name__.lower()) or "attn" in kind for part in block.children()):
            inside = block.named_modules(prefix=prefix)
            found.update({name: module for name, module in inside if isinstance(module, nn.Linear)})
    return found


def _call_order(encoder: nn.Module) -> list[str]:
    """List the linear layers that the encoder calls, in its order.

    Raises:
        InputError: The encoder takes images of none of the trial sizes.
    """
    called: set[str] = set()
    linear = {name: module for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    hooks = [m.register_forward_hook(lambda *_, name=name: called.add(name)) for name, m in linear.items()]
    first = next(encoder.parameters())
    bands = int(cast(list[int], encoder.out_channels)[0])
    training = encoder.training
    failures = []
    try:
        encoder.eval()
        for size in _SIZES:
            try:
                with torch.no_grad():
                    encoder(torch.zeros((1, bands, size, size), dtype=first.dtype, device=first.device))
                return [name for name in linear if name in called]
            except (RuntimeError, AssertionError, ValueError) as error:
                failures.append(f"{size} x {size} pixels: {error}")
    finally:
        encoder.train(training)
        for hook in hooks:
            hook.remove()
    raise InputError(f"The encoder takes no image of {'; '.join(failures)}. Choose one that takes any size.")
