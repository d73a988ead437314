"""Fine-tuning: what stands still, what the loss looks at, and a fit that survives being killed."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landshift.models.network.callbacks import Diverged, EpochSampler, WholeCheckpoints
from landshift.models.network.losses import loss_of
from landshift.models.network.siamese import ChangeNetwork, Output
from landshift.models.network.strategies import STRATEGIES, parameter_groups, strategy_named
from landshift.models.network.training import fit, precision_for
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import NOT_LABELLED
from tests.small_network import (
    SETTINGS,
    SPEC,
    Brightened,
    Killed,
    Whole,
    after_epochs,
    copied,
    end_after,
    network_of,
    run,
    same_weights,
    using,
    whole_fit,
)

N = NOT_LABELLED


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return whole_fit(tmp_path_factory.mktemp("whole"))


def numbers(*modules: nn.Module | None) -> int:
    return sum(p.numel() for m in modules if m is not None for p in m.parameters())


# Strategies


def test_strategies_are_a_table() -> None:
    assert [s.name for s in STRATEGIES] == [
        "frozen",
        "lp-ft",
        "discriminative",
        "l2-sp",
        "lora",
        "full",
        "scratch",
        "probe",
        "boosted",
    ]
    assert [s.name for s in STRATEGIES if not s.pretrained] == ["scratch"]
    with pytest.raises(InputError, match="'frosen' is not known; expected one of frozen, lp-ft"):
        strategy_named("frosen")


def watch(network: ChangeNetwork, seen: list[dict[str, Tensor]]) -> Callable[[float], None]:
    return lambda _share: seen.append(copied(network.encoder))


def test_frozen_moves_nothing_of_the_encoder_not_even_its_statistics(tmp_path: Path) -> None:
    network = network_of()
    start, decoder = copied(network.encoder), copied(network.change_decoder)
    assert any(k.endswith("num_batches_tracked") for k in start)
    seen: list[dict[str, Tensor]] = []
    result = run(network, tmp_path, using("frozen"), after_epochs(watch(network, seen)))
    assert len(seen) == 3
    for state in (*seen, network.encoder.state_dict()):
        assert all(torch.equal(state[k], v) for k, v in start.items())
    moved = {k: v - decoder[k] for k, v in network.change_decoder.state_dict().items()}
    assert all(v.any() for k, v in moved.items() if k.endswith(("weight", "running_mean")))
    assert result.parameters == numbers(network.change_decoder)
    assert all(p.requires_grad for p in network.parameters())
    assert not network.training


def test_lp_ft_probes_first_and_then_moves_the_encoder(tmp_path: Path) -> None:
    network = network_of()
    start = copied(network.encoder)
    seen: list[dict[str, Tensor]] = []
    # 30 % of 4, rounded up: 2 frozen epochs.
    result = run(network, tmp_path, using("lp-ft", epochs=4), after_epochs(watch(network, seen)))
    assert result.parameters == numbers(network), "those of the last epoch"
    assert [all(torch.equal(state[k], v) for k, v in start.items()) for state in seen] == [True, True, False, False]
    changed = [k for k, v in start.items() if not torch.equal(seen[2][k], v)]
    assert any("running_mean" in k for k in changed)
    assert any(k.endswith("conv_stem.weight") for k in changed)


def test_rates_of_the_stages_typed_out() -> None:
    def rates(name: str) -> list[float]:
        return [g["lr"] for g in parameter_groups(network_of(), strategy_named(name), 1.0, 0.0)]

    assert rates("discriminative") == [0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0]
    assert rates("lp-ft") == pytest.approx([0.1] * 5 + [1.0])
    for name in ("full", "scratch", "frozen"):
        assert rates(name) == [1.0] * 6


def test_every_parameter_has_one_rate() -> None:
    network = network_of()
    groups = parameter_groups(network, SETTINGS.strategy, SETTINGS.learning_rate, SETTINGS.weight_decay)
    grouped = [id(p) for g in groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())
    assert {id(p) for p in groups[-1]["params"]} == {id(p) for p in network.change_decoder.parameters()}
    assert groups[0]["params"][0] is next(network.encoder.parameters())


def test_discriminative_moves_earlier_stages_less(tmp_path: Path) -> None:
    network = network_of()
    start = {k: v.detach().clone() for k, v in network.encoder.named_parameters()}
    run(network, tmp_path, using("discriminative", epochs=1, weight_decay=0.0))
    # AdamW's step is about the learning rate, whatever the gradient.
    steps = [float((p.detach() - start[k]).abs().median()) for k, p in network.encoder.named_parameters()]
    fifths: list[list[float]] = [[] for _ in range(5)]
    for index, size in enumerate(steps):
        fifths[index * 5 // len(steps)].append(size)
    means = [sum(f) / len(f) for f in fifths]
    assert all(0 < early < late for early, late in pairwise(means))


# Loss


def batch_of(change: Tensor, before: Tensor | None = None, after: Tensor | None = None) -> dict[str, Tensor]:
    nothing = torch.full_like(change, N)
    given = {"change": change, "before": nothing if before is None else before, "after": nothing if after is None else after}
    return {f"{k}_label": v for k, v in given.items()}


def test_loss_of_change_has_known_values() -> None:
    label = torch.tensor([[[1, 0, N], [0, 1, N]]])
    output = Output(torch.tensor([[[0.0, 0.0, 50.0], [0.0, 0.0, -50.0]]]), None, None)
    assert float(loss_of(output, batch_of(label), "cross-entropy")) == pytest.approx(math.log(2))
    assert float(loss_of(output, batch_of(label), "dice")) == pytest.approx(1 - 2 * 1 / (2 + 2))
    assert float(loss_of(output, batch_of(label), "both")) == pytest.approx(math.log(2) + 0.5)
    right = Output(torch.tensor([[[40.0, -40.0, 0.0], [-40.0, 40.0, 0.0]]]), None, None)
    assert float(loss_of(right, batch_of(label), "both")) == pytest.approx(0, abs=1e-6)


def test_loss_of_land_use_has_known_values() -> None:
    label = torch.tensor([[[0, 1, 2, N]]])
    logits = torch.zeros(1, 3, 1, 4)
    logits[..., 3] = torch.tensor([9.0, 0.0, 0.0])[None, :, None]
    output = Output(None, logits, logits)
    only_before = batch_of(torch.full_like(label, N), before=label)
    assert float(loss_of(output, only_before, "cross-entropy")) == pytest.approx(math.log(3))
    # Each class: 2 x 1/3 against 1 + 1.
    assert float(loss_of(output, only_before, "dice")) == pytest.approx(1 - (2 / 3) / 2)


@pytest.mark.parametrize("kind", ["dice", "cross-entropy", "both"])
def test_loss_looks_at_labelled_pixels_only(kind: str) -> None:
    torch.manual_seed(0)
    change, before, after = torch.randint(0, 2, (2, 8, 8)), torch.randint(0, 3, (2, 8, 8)), torch.randint(0, 3, (2, 8, 8))
    output = Output(torch.randn(2, 8, 8), torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8))
    partial = {k: v.clone() for k, v in batch_of(change, before, after).items()}
    for label in partial.values():
        label[:, 5:] = N
        label[:, :, :2] = N
    part = (..., slice(None, 5), slice(2, None))
    cropped = Output(*(t[part] for t in (output.change, output.before, output.after) if t is not None))
    expected = loss_of(cropped, {k: v[part] for k, v in partial.items()}, kind)
    torch.testing.assert_close(loss_of(output, partial, kind), expected)
    for tensor in (output.change, output.before, output.after):
        assert tensor is not None
        tensor[..., 5:, :] = 1e4
    torch.testing.assert_close(loss_of(output, partial, kind), expected)


def test_each_head_counts_once_and_heads_without_labels_not_at_all() -> None:
    label = torch.tensor([[[0, 1]]])
    output = Output(torch.zeros(1, 1, 2), torch.zeros(1, 4, 1, 2), torch.zeros(1, 4, 1, 2))
    two, four = math.log(2), math.log(4)
    nothing = torch.full_like(label, N)
    for batch, expected in (
        (batch_of(label), two),
        (batch_of(nothing, before=label), four),
        (batch_of(label, before=label), (two + four) / 2),
        (batch_of(label, label, label), (two + four + four) / 3),
    ):
        assert float(loss_of(output, batch, "cross-entropy")) == pytest.approx(expected)


def test_a_batch_without_labels_has_loss_zero_and_still_a_gradient() -> None:
    network = network_of(replace(SPEC, heads="both", classes=3))
    image = torch.randn(1, 2, 32, 32)
    loss = loss_of(network(image, image), batch_of(torch.full((1, 32, 32), N)), "both")
    assert float(loss.detach()) == 0
    loss.backward()  # type: ignore[no-untyped-call]
    heads = [p.grad for p in network.parameters() if p.grad is not None]
    assert len(heads) > 10
    assert not any(g.any() for g in heads)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(InputError, match="'focal' is not known; expected dice, cross-entropy or both"):
        loss_of(Output(torch.zeros(1, 2, 2), None, None), batch_of(torch.zeros(1, 2, 2, dtype=torch.int64)), "focal")


# Fits


def test_a_trivial_change_is_learned(tmp_path: Path) -> None:
    network = network_of(replace(SPEC, heads="both", classes=2))
    shares: list[float] = []
    settings = using("full", epochs=6, learning_rate=1e-2)
    result = fit(network, Brightened(32), Brightened(8, first=10_000), settings, tmp_path, after_epochs(shares.append))
    assert result.best_score > 0.9
    assert result.epochs == 6
    assert shares == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert [row["epoch"] for row in result.history] == [0, 1, 2, 3, 4, 5]
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    # Only the second half of the epochs may be kept.
    assert result.best_score == max(row["score"] for row in result.history[3:])
    assert result.history[result.best_epoch]["score"] == result.best_score
    assert not network.training


def test_every_batch_is_reported(tmp_path: Path) -> None:
    shares: list[float] = []
    run(network_of(), tmp_path, using("full", epochs=2), shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(set(shares)) == 2 * -(-8 // SETTINGS.batch)


def test_the_best_weights_are_kept_not_the_last(tmp_path: Path) -> None:
    network = network_of()
    seen: list[dict[str, Tensor]] = []
    result = run(network, tmp_path, using("full", epochs=4), after_epochs(lambda _: seen.append(copied(network))))
    assert same_weights(network, seen[result.best_epoch])


def test_the_same_seed_gives_the_same_weights(whole: Whole, tmp_path: Path) -> None:
    network = network_of()
    assert run(network, tmp_path) == whole.fit
    assert same_weights(network, whole.network)


@pytest.mark.parametrize("strategy", ["full", "lp-ft", "l2-sp"])
def test_a_killed_fit_goes_on_to_the_same_bits(whole: Whole, tmp_path: Path, strategy: str) -> None:
    settings = using(strategy)
    undisturbed = whole if strategy == "full" else whole_fit(tmp_path / "whole", settings=settings)
    with pytest.raises(Killed):
        run(network_of(), tmp_path / "parts", settings, end_after(2))
    resumed, shares = network_of(seed=99), list[float]()
    result = run(resumed, tmp_path / "parts", settings, after_epochs(shares.append))
    # The epoch in which it was killed had no checkpoint yet, and is run again.
    assert shares == pytest.approx([2 / 3, 1])
    assert result == undisturbed.fit
    assert same_weights(resumed, undisturbed.network)


def test_a_fit_killed_inside_an_epoch_goes_on_to_the_same_bits(whole: Whole, tmp_path: Path) -> None:
    parts = network_of()
    with pytest.raises(Killed):
        # Index 8 x 1 + 5: the second half of the second epoch.
        fit(parts, Brightened(8, fail_at=13), Brightened(4, first=10_000), SETTINGS, tmp_path)
    assert run(parts, tmp_path) == whole.fit
    assert same_weights(parts, whole.network)


def test_a_checkpoint_is_written_where_it_will_lie_and_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning writes into the system's folder for temporary files, which may be another disk, and moves: a copy there."""
    path, there = tmp_path / "last.ckpt", []
    save = torch.save

    def look(content: object, target: Path) -> None:
        there.append((Path(target).parent == tmp_path, path.exists()))
        save(content, target)

    monkeypatch.setattr(torch, "save", look)
    for epoch in (1, 2):
        WholeCheckpoints().save_checkpoint({"epoch": epoch}, path)
    assert there == [(True, False), (True, True)]
    assert torch.load(path, weights_only=True) == {"epoch": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_finished_fit_is_not_run_again(whole: Whole) -> None:
    network, shares = network_of(seed=99), list[float]()
    assert run(network, whole.folder, advance=shares.append) == whole.fit
    assert shares == []
    assert same_weights(network, whole.network)


class Unchanging(Brightened):
    """Labels that hold one answer only, with which no epoch scores."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        chip = super().__getitem__(index)
        return {**chip, "change_label": torch.zeros_like(chip["change_label"])}


def test_training_stops_when_the_score_no_longer_rises(tmp_path: Path) -> None:
    settings = using("full", epochs=9, patience=2)
    shares: list[float] = []
    first, second = network_of(), network_of(seed=99)
    result = fit(first, Brightened(8), Unchanging(4), settings, tmp_path, after_epochs(shares.append))
    assert (result.epochs, result.best_epoch, result.best_score) == (3, 0, 0.0)
    assert result.seconds > 0
    assert shares == pytest.approx([1 / 9, 2 / 9, 3 / 9])
    again = fit(second, Brightened(8), Unchanging(4), settings, tmp_path, after_epochs(shares.append))
    assert again == result
    assert again.seconds == result.seconds
    assert same_weights(first, second)


def test_the_seconds_are_those_of_all_parts_but_count_for_no_comparison(tmp_path: Path) -> None:
    def slow(share: float) -> None:
        if share >= 1:
            raise Killed
        time.sleep(0.5)

    began = time.perf_counter()
    with pytest.raises(Killed):
        run(network_of(), tmp_path, advance=slow)
    result = run(network_of(), tmp_path)
    # The pause after the first epoch belongs to the second, which was not undone.
    assert 0.5 < result.seconds < time.perf_counter() - began
    assert result == replace(result, seconds=0.0)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_ends_with_a_remedy(tmp_path: Path, value: float) -> None:
    network = network_of()
    with torch.no_grad():
        network.change_decoder.head[0].bias.fill_(value)
    with pytest.raises(Diverged, match=r"diverged.*epoch 0.*Lower `training: learning_rate:`"):
        run(network, tmp_path)


def test_a_rate_that_is_much_too_high_ends_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="Training diverged"):
        run(network_of(), tmp_path, using("full", learning_rate=1e30))


# Shares of the processes


@pytest.mark.parametrize(("count", "world"), [(8, 1), (8, 2), (10, 4)])
def test_processes_share_new_indices_every_epoch(monkeypatch: pytest.MonkeyPatch, count: int, world: int) -> None:
    def drawn(rank: int, epoch: int) -> list[int]:
        for name, value in (("is_available", True), ("is_initialized", True), ("get_rank", rank), ("get_world_size", world)):
            monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
        sampler = EpochSampler(count)
        sampler.set_epoch(epoch)
        indices = list(sampler)
        assert len(indices) == len(sampler) == count // world
        return indices

    for epoch in range(3):
        together = [i for rank in range(world) for i in drawn(rank, epoch)]
        assert len(set(together)) == len(together)
        assert set(together) <= set(range(epoch * count, (epoch + 1) * count))
        assert len(together) > count - world


def test_every_epoch_of_a_fit_sees_new_chips(tmp_path: Path) -> None:
    asked: list[int] = []

    class Asked(Brightened):
        def __getitem__(self, index: int) -> dict[str, Tensor]:
            asked.append(index)
            return super().__getitem__(index)

    fit(network_of(), Asked(8), Brightened(4), using("full", epochs=2), tmp_path)
    assert asked == list(range(16))


def test_precision_has_lightnings_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [precision_for(p) for p in ("32", "bf16", "16")] == ["32-true", "bf16-mixed", "16-mixed"]
    for available, bf16, expected in ((False, False, "32-true"), (True, True, "bf16-mixed"), (True, False, "16-mixed")):
        found: Any = {"is_available": available, "is_bf16_supported": bf16}
        for name, value in found.items():
            monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
        assert precision_for("auto") == expected
