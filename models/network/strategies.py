"""Strategies: how far a pretrained encoder may move."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landshift.models.network.siamese import ChangeNetwork
from landshift.pipeline.errors import InputError


@dataclass(frozen=True)
class Strategy:
    """How far the pretrained encoder may move."""

    name: str
    """As written in a config."""
    pretrained: bool = True
    """Whether the encoder starts from its weights."""
    frozen_share: float = 0.0
    """Share of the epochs, 0..1, in which no parameter and no BatchNorm statistic of the encoder moves."""
    encoder_rate: float = 1.0
    """Learning rate of the encoder's last stage, relative to the decoders'."""
    stage_decay: float = 1.0
    """Factor of the learning rate from one encoder stage to the next earlier one."""
    anchor: float = 0.0
    """Strength of the pull of the encoder's parameters to where they started, in place of weight decay; 0 = none.

    AdamW's step is about the learning rate, so that hardly a weight goes further from its start than 1 / anchor."""
    lora_rank: int = 0
    """Rank of the adapters that move in place of the encoder's own parameters and statistics; 0 = no adapters."""
    estimator: str = "network"
    """What decides on the features, of `siamese.ESTIMATORS`; all but the first leave the encoder as it is."""


STRATEGIES = (
    Strategy("frozen", frozen_share=1.0),
    # Kumar 2022, https://arxiv.org/abs/2202.10054: probe first, so that a random head does not tear the features apart.
    Strategy("lp-ft", frozen_share=0.3, encoder_rate=0.1),
    # Howard and Ruder 2018, doi:10.18653/v1/P18-1031: early layers are the most general, so they move least.
    Strategy("discriminative", encoder_rate=0.5, stage_decay=0.5),
    # Li 2018, arXiv:1802.01483: weight decay towards 0 forgets what the encoder knows, towards its start it does not.
    Strategy("l2-sp", anchor=10.0),
    # Hu 2021, arXiv:2106.09685: what a transformer has to learn anew is of low rank.
    Strategy("lora", lora_rank=8),
    Strategy("full"),
    Strategy("scratch", pretrained=False),
    # Decided pixel by pixel, from the values around it, in seconds: what few labels are enough for.
    Strategy("probe", frozen_share=1.0, estimator="line"),
    Strategy("boosted", frozen_share=1.0, estimator="trees"),
)
"""Every way to use an encoder."""

_STAGES = 5


def strategy_named(name: str) -> Strategy:
    """Return the table's row.

    Raises:
        InputError: No such row.
    """
    for strategy in STRATEGIES:
        if strategy.name == name:
            return strategy
    raise InputError(f"Strategy {name!r} is not known; expected one of {', '.join(s.name for s in STRATEGIES)}.")


def parameter_groups(
    network: ChangeNetwork, strategy: Strategy, learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Give each encoder stage its learning rate; depth is the order in which an encoder defines its parameters.

    Returns:
        Groups for an optimiser: the five fifths of the encoder (with LoRA: of its adapters) from the earliest, then
        everything else. An anchored encoder has no weight decay.
    """
    whole = list(network.encoder.parameters())
    own = {id(p) for p in whole}
    encoder = [p for p in whole if p.requires_grad] if strategy.lora_rank else whole
    decay = 0.0 if strategy.anchor else weight_decay
    groups = []
    for stage in range(_STAGES):
        part = [p for i, p in enumerate(encoder) if i * _STAGES // len(encoder) == stage]
        rate = strategy.encoder_rate * strategy.stage_decay ** (_STAGES - 1 - stage)
        groups.append({"params": part, "lr": learning_rate * rate, "weight_decay": decay})
    rest = [p for p in network.parameters() if id(p) not in own]
    groups.append({"params": rest, "lr": learning_rate, "weight_decay": weight_decay})
    return [g for g in groups if g["params"]]


@torch.no_grad()
def pull_back(groups: Sequence[Mapping[str, Any]], parameters: Sequence[Tensor], start: Tensor, strength: float) -> None:
    """Pull parameters to their start after a step of the optimiser (L2-SP: Li 2018, arXiv:1802.01483).

    The penalty `strength / 2 x |w - start|^2` is decoupled from the gradient, as AdamW's weight decay is, and taken as
    a proximal step (arXiv:2202.00089): `w - start` is divided by `1 + rate x strength`, stable at any strength.

    Args:
        groups: Of the optimiser, each with its `params` and the `lr` of the step.
        parameters: Those to pull, each in one of the groups; changed in place.
        start: (n,): the values of all parameters at the start, flat and in order.
        strength: At least 0.
    """
    rates = {id(p): float(group["lr"]) for group in groups for p in group["params"]}
    for parameter, origin in zip(parameters, torch.split(start, [p.numel() for p in parameters]), strict=True):
        step = rates[id(parameter)] * strength
        parameter.lerp_(origin.view_as(parameter), step / (1 + step))
