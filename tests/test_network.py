"""The siamese network: exact symmetry in time, every combination of its parts, and what it refuses."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from landshift.flows.config.learning import ModelConfig
from landshift.models.encoders.backbones import build_encoder
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.encoders.table import encoder_named
from landshift.models.encoders.weights import load_encoder
from landshift.models.network.siamese import DECODERS, FUSIONS, HEADS, ChangeNetwork, NetworkSpec
from landshift.pipeline.errors import InputError
from tests import small_network

RGB = ("red", "green", "blue")
TINY = "tu-test_efficientnet"
SPEC = NetworkSpec(TINY, RGB, RGB, "both", 3, decoder_channels=(32, 16, 16, 8, 8))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def plain(bands: int) -> Normalisation:
    return Normalisation((0.0,) * bands, (1.0,) * bands, 1.0, "both dates")


def network_of(spec: NetworkSpec, normalisation: Normalisation | None = None) -> ChangeNetwork:
    return small_network.network_of(spec, normalisation=normalisation).eval()


def logits(network: ChangeNetwork, before: Tensor, after: Tensor) -> list[Tensor]:
    with torch.no_grad():
        output = network(before, after)
    return [t for t in (output.change, output.before, output.after) if t is not None]


NETWORK = network_of(SPEC)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    height=st.sampled_from([32, 64]),
    width=st.sampled_from([32, 96]),
    spread=st.sampled_from([1e-3, 1.0, 1e3]),
    holes=st.booleans(),
)
def test_swapping_the_dates_swaps_from_and_to_exactly(
    seed: int, batch: int, height: int, width: int, spread: float, holes: bool
) -> None:
    source = torch.Generator().manual_seed(seed)
    before, after = (torch.randn((batch, 3, height, width), generator=source) * spread for _ in range(2))
    if holes:
        before[torch.rand(before.shape, generator=source) < 0.1] = torch.nan
    change, was, became = logits(NETWORK, before, after)
    change_back, was_back, became_back = logits(NETWORK, after, before)
    assert torch.equal(change, change_back)
    assert torch.equal(was, became_back)
    assert torch.equal(became, was_back)
    assert change.std() > 0


def test_the_same_image_twice_is_the_same_land_use_twice() -> None:
    image = torch.randn(1, 3, 64, 64)
    _, was, became = logits(NETWORK, image, image)
    assert torch.equal(was, became)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("heads", HEADS)
def test_every_decoder_fusion_and_head_gives_the_size_of_the_input(decoder: str, fusion: str, heads: str) -> None:
    channels = (64, 16, 16, 8, 8) if decoder != "unet" else SPEC.decoder_channels
    classes = 0 if heads == "change" else 3
    spec = replace(SPEC, decoder=decoder, fusion=fusion, heads=heads, classes=classes, decoder_channels=channels)
    with torch.no_grad():
        output = network_of(spec)(torch.randn(2, 3, 64, 96), torch.randn(2, 3, 64, 96))
    if heads == "landuse":
        assert output.change is None
    else:
        assert output.change.shape == (2, 64, 96)
    for date in (output.before, output.after):
        if heads == "change":
            assert date is None
        else:
            assert date.shape == (2, 3, 64, 96)


def test_a_unet_may_stop_at_half_of_the_resolution_and_each_head_has_its_own_widths() -> None:
    network = network_of(replace(SPEC, decoder_channels=(32, 16, 16, 8, 8), landuse_channels=(16, 16, 8, 8)))
    with torch.no_grad():
        output = network(torch.randn(1, 3, 64, 96), torch.randn(1, 3, 64, 96))
    assert output.before.shape == output.after.shape == (1, 3, 64, 96)
    assert len(network.change_decoder.decoder.blocks) == 5
    assert len(network.landuse_decoder.decoder.blocks) == 4


def test_half_of_the_resolution_still_sees_single_pixels() -> None:
    network = network_of(replace(SPEC, heads="landuse", decoder_channels=(16, 16, 8, 8)))
    image = torch.randn(1, 3, 64, 64)
    other = image.clone()
    other[..., 33, 33] += 1
    with torch.no_grad():
        difference = (network.landuse_decoder.detail(other) - network.landuse_decoder.detail(image)).abs().amax(dim=(0, 1))
    y, x = torch.nonzero(difference).T
    assert (y.min(), y.max(), x.min(), x.max()) == (32, 34, 32, 34)


def test_the_default_network_of_change_costs_at_most_110_kflop_a_pixel_and_its_decoder_less_than_twice_the_encoder() -> None:
    config, bands = ModelConfig(), tuple(f"band {i}" for i in range(10))
    spec = NetworkSpec(
        "tu-tf_efficientnet_lite0", bands, bands, "change", 0, decoder=config.decoder, fusion=config.fusion,
        decoder_channels=config.decoder_channels,
    )  # fmt: skip
    network, image = network_of(spec, plain(10)), torch.randn(1, 10, 128, 128)
    with FlopCounterMode(display=False) as encoding, torch.no_grad():
        features = [network.encode(image) for _ in range(2)]
    with FlopCounterMode(display=False) as decoding, torch.no_grad():
        network.decode(*features)
    encoder, decoders = (counted.get_total_flops() / 128**2 / 1000 for counted in (encoding, decoding))
    assert encoder + decoders < 110
    assert decoders < 2 * encoder


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("stages", [5, 4])
@pytest.mark.parametrize("trim", [32, 64, 96])
def test_what_is_not_wanted_at_the_sides_changes_nothing_of_the_rest(decoder: str, stages: int, trim: int) -> None:
    widths = (32, 16, 16, 8, 8)[:stages] if decoder == "unet" else (64,)
    network = network_of(replace(SPEC, decoder=decoder, decoder_channels=widths, priors=("ir-mad",), fusion="symmetric"))
    assert network.prior is not None
    before, after, priors = torch.randn(1, 3, 320, 256), torch.randn(1, 3, 320, 256), torch.rand(1, 1, 320, 256)
    with torch.no_grad():
        features = network.encode(before), network.encode(after)
        whole, part = network.decode(*features, priors), network.decode(*features, priors, trim=trim)
    inside = (..., slice(trim, 320 - trim), slice(trim, 256 - trim))
    for wanted, found in ((whole.change, part.change), (whole.before, part.before), (whole.after, part.after)):
        assert wanted.abs().max() > 0
        torch.testing.assert_close(found, wanted[inside])


def test_the_sides_that_are_not_wanted_cost_a_decoder_next_to_nothing() -> None:
    network = network_of(replace(SPEC, decoder_channels=(64, 32, 24, 16, 8)))

    def work(side: int, trim: int) -> int:
        with torch.no_grad():
            features = network.encode(torch.randn(1, 3, side, side))
            with FlopCounterMode(display=False) as counted:
                network.decode(features, features, trim=trim)
        return counted.get_total_flops()

    assert work(512 + 2 * 128, 128) < 1.15 * work(512, 0)


@pytest.mark.parametrize("fusion", ["difference", "symmetric"])
def test_with_the_dates_exchanged_the_change_is_the_same(fusion: str) -> None:
    network = network_of(replace(SPEC, fusion=fusion, priors=("ir-mad", "difference")))
    before, after, priors = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 32, 32), torch.rand(1, 4, 32, 32)
    with torch.no_grad():
        there, back = network(before, after, priors), network(after, before, priors)
    assert torch.equal(there.change, back.change)
    assert torch.equal(there.before, back.after)


def test_a_network_that_has_learned_nothing_orders_pixels_as_ir_mad_does() -> None:
    network = network_of(replace(SPEC, priors=("ir-mad",)))
    priors = 3 * torch.rand(1, 1, 32, 32)
    priors[0, 0, 3, 4] = torch.nan
    with torch.no_grad():
        change = network(*torch.randn(2, 1, 3, 32, 32), priors).change[0]
    known = torch.isfinite(priors[0, 0])
    assert torch.equal(change[known].argsort(), priors[0, 0][known].argsort())
    assert torch.isfinite(change).all()
    assert (change[known] > 0).equal(priors[0, 0][known] > 2), "nine times the statistic of unchanged ground is even odds"


def test_only_the_sum_shows_what_lies_there() -> None:
    """Both dates brighter by the same: their distance is the same, and what lies there is not."""
    network = network_of(replace(SPEC, fusion="symmetric"))
    before, after = torch.randn(2, 1, 3, 32, 32)
    maps = [network.encode(image) for image in (before, after)]
    brighter = [[level + 1 for level in date] for date in maps]
    with torch.no_grad():
        assert not torch.allclose(network.decode(*maps).change, network.decode(*brighter).change)
        plain = network_of(replace(SPEC, fusion="difference"))
        torch.testing.assert_close(plain.decode(*maps).change, plain.decode(*brighter).change, rtol=1e-4, atol=1e-4)


def test_concatenation_sees_the_direction_of_change() -> None:
    network = network_of(replace(SPEC, fusion="concatenation"))
    before, after = torch.randn(2, 1, 3, 32, 32)
    assert not torch.allclose(logits(network, before, after)[0], logits(network, after, before)[0])


def test_one_batch_for_both_dates_says_what_each_date_alone_says() -> None:
    before, after = torch.randn(2, 2, 3, 64, 64)
    with torch.no_grad():
        apart = NETWORK.decode(NETWORK.encode(before), NETWORK.encode(after))
    for together, alone in zip(logits(NETWORK, before, after), (apart.change, apart.before, apart.after), strict=True):
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_pixel_that_nobody_saw_never_spoils_the_logits(bad: float) -> None:
    before, after = torch.randn(2, 1, 3, 64, 64)
    before[0, 1, 5, 7] = bad
    after[:, :, :32] = bad
    assert all(t.isfinite().all() for t in logits(NETWORK, before, after))
    assert all(t.isfinite().all() for t in logits(NETWORK, torch.full_like(before, bad), torch.full_like(after, bad)))


def test_a_pixel_that_nobody_saw_counts_as_the_mean_of_its_band() -> None:
    network = network_of(SPEC, Normalisation((500.0, 1000.0, 2000.0), (10.0, 20.0, 40.0), 10_000.0, "encoder"))
    holed, filled = torch.rand(2, 1, 3, 32, 32)
    holed[:, :, 3, 4] = torch.nan
    filled[:] = holed
    filled[0, :, 3, 4] = torch.tensor([0.05, 0.1, 0.2])
    for one, other in zip(logits(network, holed, holed), logits(network, filled, filled), strict=True):
        torch.testing.assert_close(one, other)


class Recorder(nn.Module):
    """Remembers what it was given."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.out_channels = encoder, encoder.out_channels
        self.given: Tensor | None = None

    def forward(self, x: Tensor) -> list[Tensor]:
        self.given = x
        return list(self.encoder(x))


def test_normalisation_scales_then_centres_each_band() -> None:
    encoder = Recorder(build_encoder(TINY, 2))
    spec = replace(SPEC, image_bands=("green", "red"), bands=("green", "red"), heads="change", classes=0)
    network = ChangeNetwork(spec, encoder, Normalisation((100.0, 500.0), (50.0, 100.0), 1000.0, "encoder")).eval()
    image = torch.full((1, 2, 32, 32), 0.2)
    logits(network, image, image)
    assert encoder.given is not None
    torch.testing.assert_close(encoder.given[0, :, 0, 0], torch.tensor([2.0, -3.0]))


def test_bands_that_the_encoder_does_not_take_are_left_out_in_its_order() -> None:
    encoder = Recorder(build_encoder(TINY, 2))
    spec = replace(SPEC, image_bands=("blue", "green", "red", "nir"), bands=("nir", "green"), heads="change", classes=0)
    network = ChangeNetwork(spec, encoder, plain(2)).eval()
    image = torch.arange(4.0).reshape(1, 4, 1, 1).expand(1, 4, 32, 32).clone()
    said = logits(network, image + 1, image)
    assert encoder.given is not None
    assert encoder.given[0, :, 0, 0].tolist() == [3.0, 1.0]
    image[:, [0, 2]] = torch.nan
    assert torch.equal(said[0], logits(network, image + 1, image)[0])


def test_extra_bands_can_be_dropped_from_a_real_encoder() -> None:
    bands = ("blue", "green", "red", "nir")
    loaded = load_encoder(encoder_named("imagenet-efficientnet-lite0"), bands, extra="drop")
    spec = NetworkSpec("tu-tf_efficientnet_lite0", bands, loaded.bands, "change", 0, decoder_channels=SPEC.decoder_channels)
    network = ChangeNetwork(spec, loaded.model, plain(3)).eval()
    before, after = torch.rand(2, 1, 4, 32, 32)
    said = logits(network, before, after)[0]
    assert torch.equal(said, logits(network, torch.cat([before[:, :3], before[:, 3:] + 9], dim=1), after)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": "segformer"}, "decoder 'segformer' is not known; expected one of unet, fpn, upernet"),
        ({"heads": "chnge"}, "heads 'chnge' is not known"),
        ({"fusion": "sum"}, "fusion 'sum' is not known"),
        ({"heads": "landuse", "classes": 0}, "at least two classes; it has 0"),
        ({"heads": "both", "classes": 1}, "at least two classes; it has 1"),
        ({"bands": ("red", "swir16")}, "takes band swir16, the images have red, green, blue"),
        ({"bands": ()}, "takes no band"),
        ({"decoder_channels": (32, 16)}, "decoder_channels: .*needs 4 or 5 positive numbers"),
        ({"decoder_channels": (32, 16, 8, 8, 0)}, "decoder_channels: .*needs 4 or 5 positive numbers"),
        ({"landuse_channels": (32, 16)}, "landuse_channels: .*needs 4 or 5 positive numbers"),
        ({"decoder": "upernet", "decoder_channels": ()}, "needs 1 positive numbers"),
        ({"decoder": "fpn", "decoder_channels": (32,)}, "multiple of 64"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SPEC, **change)


def test_normalisation_of_another_number_of_bands_is_refused() -> None:
    with pytest.raises(InputError, match="2 means and 2 standard deviations for the 3 bands red, green, blue"):
        network_of(SPEC, plain(2))


def test_normalisation_is_kept_out_of_the_weights() -> None:
    names = NETWORK.state_dict().keys()
    assert not names & {"mean", "std"}
    assert {n.split(".")[0] for n in names} == {"encoder", "change_decoder", "landuse_decoder"}


BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")


@pytest.fixture(scope="module")
def clouds() -> Any:
    return load_encoder(encoder_named("ukis-csmask-6b-l2a"), BANDS)


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, ["change", "landuse"]),
        ({"heads": "change", "classes": 0}, ["change"]),
        ({"fusion": "concatenation"}, ["landuse"]),
        ({"decoder_channels": (32, 16, 16, 8, 8)}, []),
        ({"decoder": "fpn"}, []),
    ],
)
def test_a_pretrained_decoder_is_taken_where_its_shape_fits(clouds: Any, change: dict[str, Any], taken: list[str]) -> None:
    spec = replace(NetworkSpec("efficientnet-b4", BANDS, BANDS, "both", 4), **change)
    network = ChangeNetwork(spec, clouds.model, plain(6))
    heads = {k: v.clone() for k, v in network.state_dict().items() if ".head." in k}
    assert network.load_decoder(clouds.decoder_state) == taken
    state = network.state_dict()
    for name in taken:
        for key, value in clouds.decoder_state.items():
            if key.startswith("decoder."):
                assert torch.equal(state[f"{name}_decoder.{key}"], value)
    assert all(torch.equal(state[k], v) for k, v in heads.items())


def test_a_decoder_with_a_missing_or_foreign_tensor_is_not_taken(clouds: Any) -> None:
    network = ChangeNetwork(NetworkSpec("efficientnet-b4", BANDS, BANDS, "change", 0), clouds.model, plain(6))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    key = "decoder.blocks.0.conv1.0.weight"
    assert network.load_decoder({k: v for k, v in clouds.decoder_state.items() if k != key}) == []
    assert network.load_decoder({**clouds.decoder_state, "decoder.blocks.9.conv1.0.weight": torch.zeros(1)}) == []
    assert network.load_decoder({}) == []
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
