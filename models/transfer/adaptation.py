"""BatchNorm statistics of the region that is to be mapped, mixed into a network without labels."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landshift.models.network.siamese import Siamese
from landshift.pipeline.epochs.matching import PairWindow
from landshift.pipeline.errors import InputError
from landshift.pipeline.tiles import STRIDE


@dataclass(frozen=True)
class MixedStatistics:
    """Statistics of BatchNorm that a network has taken in."""

    layers: int
    """BatchNorm layers that took in statistics of the target; 0 where the network has none."""
    windows: int
    """Windows of the target that were read, without those skipped."""
    prior: float
    """How many windows the statistics of the source count for, 0 or more."""
    shift: float
    """How far the means moved, in standard deviations of the source: the mean over the layers of the mean over channels."""
    notes: tuple[str, ...]
    """Sentences for the user."""


@dataclass
class _Norm:
    """Statistics of the source, and sums over the target while it is looked at; all float64 (channel,)."""

    module: _BatchNorm
    mean: Tensor
    var: Tensor
    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def look(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add an input (batch, channel, ...), and normalise it with its own statistics, as in training."""
        (x,) = inputs
        over = [d for d in range(x.ndim) if d != 1]
        var, mean = torch.var_mean(x.detach().float(), dim=over, correction=0)
        self.set(mean, var)
        values = x.numel() // x.shape[1]
        mean, var = mean.double(), var.double()
        self.count += values
        self.total = self.total + values * mean
        self.squares = self.squares + values * (var + mean**2)

    def set(self, mean: Tensor, var: Tensor) -> None:
        """Make these the layer's statistics."""
        for buffer, value in ((self.module.running_mean, mean), (self.module.running_var, var)):
            if buffer is not None:
                buffer.copy_(value)

    def mix(self, share: float) -> float:
        """Give the target this share, 0..1; return how far the means moved, in standard deviations of the source."""
        mean = torch.as_tensor(self.total / self.count)
        # Unbiased, as PyTorch keeps it.
        var = (torch.as_tensor(self.squares / self.count) - mean**2).clamp(min=0) * self.count / max(self.count - 1, 1)
        self.set((1 - share) * self.mean + share * mean, (1 - share) * self.var + share * var)
        return float((share * (mean - self.mean).abs() / (self.var + self.module.eps).sqrt()).mean())


@torch.no_grad()
def adapt_batch_norm(network: Siamese, windows: Iterable[PairWindow], *, prior: float) -> MixedStatistics:
    """Mix the statistics of the target into every BatchNorm layer, in place (Schneider 2020, arXiv:2006.16971).

    Mean and variance become N / (N + n) of the source's plus n / (N + n) of the target's, for n windows and a prior of N.
    Nothing is trained: weights, and the scale and offset of each layer, stay as they are. The target's are those of all
    windows together, taken in one pass, in which each window is normalised with its own statistics and both dates go
    through the encoder in one batch, as in training. So the order of the windows does not matter, and the first layer's
    are exact; those of later layers come from inputs that a whole region's statistics would have normalised a little
    differently.

    Args:
        network: Left in evaluation mode; with its statistics as they were if anything goes wrong.
        windows: float32, in the units of the scenes, NaN = not observed, sides multiples of 32; gone through once. Those
            in which no pixel is observed at both dates are skipped. What is not observed counts as the mean of its band.
        prior: N, 0 or more: 0 takes the target's statistics alone, infinity leaves the source's.

    Returns:
        The layers that changed, and how far; a layer that the images never reach is left alone and not counted.

    Raises:
        InputError: `prior` is negative, or no window is observed.
        ValueError: A window that the network cannot take.
    """
    if math.isnan(prior) or prior < 0:
        raise InputError(f"The prior of the adaptation is {prior}; expected a number of windows, 0 or more.")
    network.eval()
    layers = _layers(network)
    if not layers:
        return MixedStatistics(0, 0, prior, 0.0, notes=("The network has no BatchNorm layer, so nothing was adapted.",))
    seen = skipped = 0
    hooks = [layer.module.register_forward_pre_hook(layer.look) for layer in layers]
    device = network.mean.device
    try:
        for window in windows:
            before, after = window.before, window.after
            _check(network, before, after)
            if not (np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)).any():
                skipped += 1
                continue
            features = network.encode(torch.from_numpy(np.stack([before, after]).astype(np.float32, copy=False)).to(device))
            priors = None if window.priors is None else torch.from_numpy(window.priors)[None].to(device)
            network.decode([f[:1] for f in features], [f[1:] for f in features], priors)
            seen += 1
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers:
            layer.set(layer.mean, layer.var)
    if not seen:
        raise InputError(
            f"None of the {skipped} windows of the target has a pixel that is observed at both dates, so the network cannot "
            "be adapted: choose less cloudy dates or a larger region."
        )
    share = seen / (seen + prior)
    reached = [layer for layer in layers if layer.count]
    shift = float(np.mean([layer.mix(share) for layer in reached]))
    return MixedStatistics(len(reached), seen, prior, shift, notes=_notes(network, seen, skipped, share))


def _layers(network: Siamese) -> list[_Norm]:
    """Return the BatchNorm layers that keep statistics, of whatever subclass."""
    return [
        _Norm(m, m.running_mean.to(torch.float64, copy=True), m.running_var.to(torch.float64, copy=True))
        for m in network.modules()
        if isinstance(m, _BatchNorm) and m.running_mean is not None and m.running_var is not None
    ]


def _check(network: Siamese, before: np.ndarray, after: np.ndarray) -> None:
    bands = len(network.spec.image_bands)
    fits = before.shape == after.shape and before.ndim == 3 and before.shape[0] == bands
    if not fits or before.shape[1] % STRIDE or before.shape[2] % STRIDE:
        raise ValueError(
            f"Windows {before.shape} and {after.shape}: expected ({bands}, y, x) twice, with sides that are multiples of "
            f"{STRIDE}."
        )


def _notes(network: Siamese, seen: int, skipped: int, share: float) -> tuple[str, ...]:
    notes = [f"{share:.0%} of the BatchNorm statistics are from {seen} windows of the target, the rest from training."]
    if skipped:
        notes.append(f"{skipped} windows in which nothing is observed at both dates were skipped.")
    if not any(isinstance(m, _BatchNorm) for m in network.encoder.modules()):
        notes.append("The encoder has no BatchNorm layer: only the decoders were adapted.")
    return tuple(notes)
