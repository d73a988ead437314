"""BatchNorm takes in the target's statistics in the share it was told, and nothing else of the network moves."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landshift.models.encoders.normalisation import Normalisation
from landshift.models.encoders.table import encoder_named
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
from landshift.models.transfer.adaptation import MixedStatistics, adapt_batch_norm
from landshift.pipeline.epochs.matching import PairWindow
from landshift.pipeline.errors import InputError
from tests import small_network

BANDS = ("red", "green", "blue", "nir")
ARCHITECTURE = encoder_named("random:tu-tf_efficientnet_lite0").architecture


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    return [m for m in module.modules() if isinstance(m, _BatchNorm)]


def network_of(
    architecture: str = ARCHITECTURE, decoder: str = "unet", heads: str = "both", channels: tuple[int, ...] = (32, 16, 16, 8, 8)
) -> ChangeNetwork:
    spec = NetworkSpec(architecture, BANDS, BANDS, heads, 3, decoder, decoder_channels=channels)
    network = small_network.network_of(spec, normalisation=Normalisation((0.2,) * 4, (0.1,) * 4, 1.0, "both dates"))
    # As after a training: not the statistics that BatchNorm is born with.
    for m in batch_norms(network):
        nn.init.uniform_(m.running_mean, -0.5, 0.5)
        nn.init.uniform_(m.running_var, 0.5, 2.0)
    return network.train()


NETWORK = network_of()


def statistics(network: ChangeNetwork) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items() if k.endswith(("running_mean", "running_var"))}


def windows(count: int = 4, seed: int = 0, size: int = 64) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of reflectances, each window with a light of its own, a hole here and there."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        light = rng.uniform(0.1, 0.4, (4, 1, 1))
        before, after = (light + 0.1 * rng.normal(size=(2, 4, size, size))).astype(np.float32)
        before[:, rng.random((size, size)) < 0.05] = np.nan
        pairs.append((before, after))
    return pairs


def adapted(
    pairs: list[tuple[np.ndarray, np.ndarray]], prior: float, network: ChangeNetwork = NETWORK
) -> tuple[ChangeNetwork, MixedStatistics]:
    own = copy.deepcopy(network)
    return own, adapt_batch_norm(own, (PairWindow(*pair) for pair in pairs), prior=prior)


def first_layer_target(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of what meets the first BatchNorm, from the first convolution alone."""
    convolution = next(m for m in NETWORK.encoder.modules() if isinstance(m, nn.Conv2d))
    images = np.stack([image for pair in pairs for image in pair]).astype(np.float64)
    normal = torch.from_numpy(np.nan_to_num((images - 0.2) / 0.1)).float()
    with torch.no_grad():
        values = convolution(normal).double().numpy()
    return values.mean(axis=(0, 2, 3)), values.var(axis=(0, 2, 3), ddof=1)


def test_without_a_prior_the_first_layer_has_the_statistics_of_the_target() -> None:
    pairs = windows()
    network, found = adapted(pairs, 0.0)
    mean, var = first_layer_target(pairs)
    first = batch_norms(network.encoder)[0]
    np.testing.assert_allclose(first.running_mean.numpy(), mean, atol=1e-5)
    np.testing.assert_allclose(first.running_var.numpy(), var, rtol=1e-5)
    assert (found.windows, found.prior) == (4, 0.0)
    assert found.layers == len(batch_norms(network)) > 48
    assert found.shift > 0
    assert not network.training
    assert not any(m.training for m in network.modules())


@pytest.mark.parametrize("prior", [4.0, 12.0])
def test_every_layer_is_mixed_in_the_share_of_the_windows(prior: float) -> None:
    pairs = windows()
    share = 4 / (4 + prior)
    source, target, mixed = (statistics(n) for n in (NETWORK, adapted(pairs, 0.0)[0], adapted(pairs, prior)[0]))
    for name, value in mixed.items():
        expected = (1 - share) * source[name] + share * target[name]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("prior", [1e12, float("inf")])
def test_an_endless_prior_leaves_the_statistics_alone(prior: float) -> None:
    network, found = adapted(windows(2), prior)
    source = statistics(NETWORK)
    for name, value in statistics(network).items():
        torch.testing.assert_close(value, source[name], rtol=1e-6, atol=1e-6)
    assert found.shift == pytest.approx(0, abs=1e-6)


def test_the_shift_is_counted_in_standard_deviations_of_the_source() -> None:
    network, found = adapted(windows(), 4.0)
    shifts = [
        ((new.running_mean - old.running_mean).abs() / (old.running_var + old.eps).sqrt()).mean().item()
        for old, new in zip(batch_norms(NETWORK), batch_norms(network), strict=True)
    ]
    assert found.shift == pytest.approx(np.mean(shifts), rel=1e-4)


def test_the_order_of_the_windows_and_of_the_dates_does_not_matter() -> None:
    pairs = windows()
    once = statistics(adapted(pairs, 2.0)[0])
    for other in (pairs[::-1], [(after, before) for before, after in pairs]):
        for name, value in statistics(adapted(other, 2.0)[0]).items():
            torch.testing.assert_close(value, once[name], rtol=1e-4, atol=1e-4)


def test_nothing_but_the_statistics_moves() -> None:
    network, _ = adapted(windows(2), 1.0)
    before, after = NETWORK.state_dict(), network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == set(statistics(NETWORK))
    assert all(p.grad is None for p in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == [p.requires_grad for p in NETWORK.parameters()]
    assert not any(m._forward_pre_hooks for m in network.modules())


def test_more_contrast_in_the_target_is_undone() -> None:
    """About the mean that the normalisation takes off, where holes and the padding of the convolutions lie too."""
    pairs = windows()
    bright = [(0.2 + 2 * (before - 0.2), 0.2 + 2 * (after - 0.2)) for before, after in pairs]
    network, _ = adapted(pairs, 0.0)
    again, _ = adapted(bright, 0.0)

    def coarsest(net: ChangeNetwork, image: np.ndarray) -> Tensor:
        with torch.no_grad():
            return net.encode(torch.from_numpy(image)[None])[-1]

    same, off, undone = (coarsest(n, p[0][0]) for n, p in ((network, pairs), (network, bright), (again, bright)))
    assert (undone - same).abs().mean() < 0.05 * (off - same).abs().mean()


def test_windows_in_which_nothing_is_observed_are_skipped() -> None:
    pairs = windows(2)
    blind = (pairs[0][0], np.full_like(pairs[0][0], np.nan))
    network, found = adapted([blind, *pairs, blind], 3.0)
    alone, _ = adapted(pairs, 3.0)
    assert found.windows == 2
    assert any("2 windows in which nothing is observed" in n for n in found.notes)
    for name, value in statistics(network).items():
        assert torch.equal(value, statistics(alone)[name])


def test_without_a_window_nothing_is_adapted_and_it_says_so() -> None:
    blind = np.full((4, 64, 64), np.nan, dtype=np.float32)
    for none in ([], [PairWindow(blind, blind)]):
        network = copy.deepcopy(NETWORK)
        with pytest.raises(InputError, match=f"None of the {len(none)} windows"):
            adapt_batch_norm(network, none, prior=1.0)
        assert all(torch.equal(v, statistics(NETWORK)[k]) for k, v in statistics(network).items())


def test_a_failure_halfway_leaves_the_statistics_as_they_were() -> None:
    network = copy.deepcopy(NETWORK)
    with pytest.raises(ValueError, match="multiples of 32"):
        adapt_batch_norm(network, [PairWindow(*pair) for pair in (*windows(1), *windows(1, size=40))], prior=0.0)
    assert all(torch.equal(v, statistics(NETWORK)[k]) for k, v in statistics(network).items())
    assert not any(m._forward_pre_hooks for m in network.modules())


@pytest.mark.parametrize("prior", [-1.0, float("nan")])
def test_a_prior_is_a_number_of_windows(prior: float) -> None:
    with pytest.raises(InputError, match="0 or more"):
        adapt_batch_norm(copy.deepcopy(NETWORK), [PairWindow(*windows(1)[0])], prior=prior)


def test_a_network_without_batch_norm_is_left_alone() -> None:
    network = network_of("swin_v2_t", "fpn", channels=(64,))
    found = adapt_batch_norm(network, [PairWindow(*windows(1)[0])], prior=0.0)
    assert (found.layers, found.windows, found.shift) == (0, 0, 0.0)
    assert found.notes == ("The network has no BatchNorm layer, so nothing was adapted.",)
    assert not network.training


@pytest.mark.parametrize(
    ("architecture", "decoder", "heads"),
    [("swin_v2_t", "unet", "landuse"), ("efficientnet-b0", "upernet", "change"), ("tu-test_efficientnet", "upernet", "both")],
)
def test_other_encoders_and_decoders_are_adapted_where_they_have_batch_norm(
    architecture: str, decoder: str, heads: str
) -> None:
    network = network_of(architecture, decoder, heads, (32, 16, 16, 8, 8) if decoder == "unet" else (32,))
    old = statistics(network)
    found = adapt_batch_norm(network, [PairWindow(*pair) for pair in windows(2)], prior=0.0)
    moved = [k for k, v in statistics(network).items() if k.endswith("mean") and not torch.equal(v, old[k])]
    assert 0 < found.layers == len(moved) <= len(batch_norms(network))
    assert any("only the decoders" in n for n in found.notes) == (architecture == "swin_v2_t")
    assert all(v.isfinite().all() for v in statistics(network).values())
