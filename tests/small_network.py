"""A small network, chips from which it learns a change, and fits of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from landshift.models.encoders.backbones import build_encoder
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.network.learner import TrainingSettings
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
from landshift.models.network.strategies import strategy_named
from landshift.models.network.training import fit
from landshift.models.use.bundle import Provenance, TrainingImages
from landshift.pipeline.raster.images import BandStatistics
from landshift.pipeline.scores.training import Fit

BANDS = ("red", "nir")
SPEC = NetworkSpec("tu-test_efficientnet", BANDS, BANDS, "change", 0, decoder_channels=(32, 16, 16, 8, 8))
SETTINGS = TrainingSettings(strategy_named("full"), epochs=3, batch=4, learning_rate=3e-3)


def network_of(spec: NetworkSpec = SPEC, seed: int = 0, normalisation: Normalisation | None = None) -> ChangeNetwork:
    torch.manual_seed(seed)
    count = len(spec.bands)
    plain = Normalisation((0.0,) * count, (1.0,) * count, 1.0, "both dates")
    return ChangeNetwork(spec, build_encoder(spec.architecture, count), normalisation or plain)


class Killed(BaseException):
    """Stands for whatever ends a process."""


class Brightened(Dataset[dict[str, Tensor]]):
    """Noise before; after, a rectangle of it is brighter and has changed from class 0 to class 1."""

    def __init__(self, count: int = 8, *, first: int = 0, fail_at: int | None = None) -> None:
        self._count, self._first, self._fail_at = count, first, fail_at

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index == self._fail_at:
            raise Killed
        source = torch.Generator().manual_seed(self._first + index)
        before = torch.randn((2, 32, 32), generator=source) * 0.3
        top, left = torch.randint(0, 20, (2,), generator=source).tolist()
        change = torch.zeros((32, 32), dtype=torch.int64)
        change[top : top + 12, left : left + 12] = 1
        labels = {"before_label": torch.zeros_like(change), "after_label": change.clone(), "change_label": change}
        return {"before": before, "after": before + 2.0 * change, **labels}


def run(
    network: ChangeNetwork,
    folder: Path,
    settings: TrainingSettings = SETTINGS,
    advance: Callable[[float], None] = lambda _: None,
) -> Fit:
    return fit(network, Brightened(8), Brightened(4, first=10_000), settings, folder, advance)


def after_epochs(act: Callable[[float], None]) -> Callable[[float], None]:
    """Act once each epoch is over: it reports the share that its last batch has reported already."""
    last = -1.0

    def advance(share: float) -> None:
        nonlocal last
        is_over, last = share == last, share
        if is_over:
            act(share)

    return advance


def end_after(epochs: float) -> Callable[[float], None]:
    def kill(share: float) -> None:
        if share >= epochs / SETTINGS.epochs:
            raise Killed

    return after_epochs(kill)


class Whole(NamedTuple):
    """A fit that nothing disturbed."""

    network: ChangeNetwork
    fit: Fit
    folder: Path


def whole_fit(folder: Path, spec: NetworkSpec = SPEC, settings: TrainingSettings = SETTINGS) -> Whole:
    network = network_of(spec)
    return Whole(network, run(network, folder, settings), folder)


def using(strategy: str, **changes: Any) -> TrainingSettings:
    return replace(SETTINGS, strategy=strategy_named(strategy), **changes)


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in module.state_dict().items()}


def same_weights(module: nn.Module, expected: nn.Module | Mapping[str, Tensor]) -> bool:
    other = expected.state_dict() if isinstance(expected, nn.Module) else expected
    return all(torch.equal(v, other[k]) for k, v in module.state_dict().items())


def provenance(**changes: Any) -> Provenance:
    """Facts of a model that nobody trained."""
    made = Provenance(
        seed=0, fit=Fit(1, 0, 0.5), weights_hash="sha256:0", training_regions=BandStatistics((0.1, 0.2), (0.3, 0.4), {}, 9),
        inputs=TrainingImages("sha256:1", "sha256:2"), versions={"landshift": "1"}, strategy="scratch",
    )  # fmt: skip
    return replace(made, **changes)
