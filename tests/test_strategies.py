"""Anchored training: the encoder stays near where it started, and only there."""

from dataclasses import replace
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landshift.models.network.strategies import STRATEGIES, parameter_groups, pull_back, strategy_named
from tests.small_network import network_of, run, using

L2_SP = strategy_named("l2-sp")


def farthest(before: dict[str, Tensor], module: nn.Module) -> float:
    return max(float((p.detach() - before[name]).abs().max()) for name, p in module.named_parameters())


def distances(folder: Path, anchor: float) -> tuple[float, float]:
    """Return how far a parameter of the encoder and of the decoder has gone, at most."""
    network = network_of()
    parts = (network.encoder, network.change_decoder)
    starts = [{k: p.detach().clone() for k, p in part.named_parameters()} for part in parts if part is not None]
    run(network, folder, replace(using("l2-sp", epochs=2), strategy=replace(L2_SP, anchor=anchor)))
    encoder, decoder = (farthest(start, part) for start, part in zip(starts, parts, strict=True) if part is not None)
    return encoder, decoder


def test_only_l2_sp_has_an_anchor_and_only_lora_has_adapters() -> None:
    assert [s.name for s in STRATEGIES if s.anchor] == ["l2-sp"]
    assert [s.name for s in STRATEGIES if s.lora_rank] == ["lora"]


def test_a_stronger_anchor_holds_the_encoder_and_lets_the_decoders_go(tmp_path: Path) -> None:
    loose, tight, huge = (distances(tmp_path / str(a), a) for a in (1e-6, 1e3, 1e9))
    assert loose[0] > 2e-3
    # AdamW's step is the learning rate, a little more at the start.
    assert tight[0] < 3 / 1e3
    assert huge[0] < 3 / 1e9 + 1e-7
    assert min(d for _, d in (loose, tight, huge)) > 2e-3


def test_weight_decay_stays_on_the_decoders_alone() -> None:
    groups = parameter_groups(network_of(), L2_SP, 1.0, 0.01)
    assert [g["weight_decay"] for g in groups] == [0.0] * 5 + [0.01]
    assert [g["lr"] for g in groups] == [1.0] * 6
    for other in STRATEGIES:
        if other.name not in ("l2-sp", "lora"):
            assert {g["weight_decay"] for g in parameter_groups(network_of(), other, 1.0, 0.01)} == {0.01}


def test_the_pull_typed_out() -> None:
    one, two = nn.Parameter(torch.tensor([[3.0, 1.0]])), nn.Parameter(torch.tensor([5.0]))
    groups = [{"params": [two], "lr": 0.3}, {"params": [one], "lr": 0.1}]
    pull_back(groups, [one, two], torch.tensor([1.0, 1.0, 1.0]), 10.0)
    # Distances 2, 0 and 4, divided by 1 + 0.1 x 10 and by 1 + 0.3 x 10.
    torch.testing.assert_close(one.detach(), torch.tensor([[2.0, 1.0]]), rtol=0, atol=1e-6)
    torch.testing.assert_close(two.detach(), torch.tensor([2.0]), rtol=0, atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=6), st.floats(0, 1e12), st.floats(0, 10), st.floats(-10, 10))
def test_the_pull_never_overshoots_and_a_start_stays(values: list[float], strength: float, rate: float, origin: float) -> None:
    parameter, start = nn.Parameter(torch.tensor(values)), torch.full((len(values),), origin)
    before = (parameter.detach() - start).clone()
    pull_back([{"params": [parameter], "lr": rate}], [parameter], start, strength)
    after = parameter.detach() - start
    assert bool((after.abs() <= before.abs() + 1e-5).all())
    assert bool((after * before >= -1e-4).all())
    resting = nn.Parameter(start.clone())
    pull_back([{"params": [resting], "lr": rate}], [resting], start, strength)
    assert torch.equal(resting.detach(), start)


def test_the_pull_is_that_of_the_penalty() -> None:
    # For a small step, the gradient step on strength / 2 x |w - start|^2.
    parameter = nn.Parameter(torch.tensor([2.0, -1.0], dtype=torch.float64))
    start = torch.tensor([0.5, 0.5], dtype=torch.float64)
    penalty = 3.0 / 2 * (parameter - start).square().sum()
    (gradient,) = torch.autograd.grad(penalty, parameter)
    expected = parameter.detach() - 1e-5 * gradient
    pull_back([{"params": [parameter], "lr": 1e-5}], [parameter], start, 3.0)
    torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=1e-8)
