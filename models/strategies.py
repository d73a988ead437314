"""Strategies: how far a pretrained encoder may move."""

from dataclasses import dataclass
from typing import Any

from models.network import ChangeNetwork
from pipeline.errors import InputError


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


STRATEGIES = (
    Strategy("frozen", frozen_share=1.0),
    # Kumar 2022, https://arxiv.org/abs/2202.10054: probe first, so that a random head does not tear the features apart.
    Strategy("lp-ft", frozen_share=0.3, encoder_rate=0.1),
    # Howard and Ruder 2018, doi:10.18653/v1/P18-1031: early layers are the most general, so they move least.
    Strategy("discriminative", encoder_rate=0.5, stage_decay=0.5),
    Strategy("full"),
    Strategy("scratch", pretrained=False),
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
        Groups for an optimiser: the five fifths of the encoder from the earliest, then everything else.
    """
    encoder = list(network.encoder.parameters())
    own = {id(p) for p in encoder}
    groups = []
    for stage in range(_STAGES):
        part = [p for i, p in enumerate(encoder) if i * _STAGES // len(encoder) == stage]
        rate = strategy.encoder_rate * strategy.stage_decay ** (_STAGES - 1 - stage)
        groups.append({"params": part, "lr": learning_rate * rate, "weight_decay": weight_decay})
    rest = [p for p in network.parameters() if id(p) not in own]
    groups.append({"params": rest, "lr": learning_rate, "weight_decay": weight_decay})
    return [g for g in groups if g["params"]]
