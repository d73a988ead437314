"""A network made ready for mapping: other forms of it say the same, and the choice among them is made once."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from torch import Tensor, nn

from landshift.models.encoders.backbones import build_encoder
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec, Siamese
from landshift.models.use import ready
from landshift.models.use.ready import MAX_FLIPS_PPM, FormTrial, choose_form, choose_soonest, make_ready, prefer
from landshift.pipeline.epochs.matching import PairSource
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import grid_of
from landshift.pipeline.raster.write import write_raster
from landshift.pipeline.scores.training import Temperatures
from tests.small_network import SPEC, network_of

ENCODERS = (
    "tu-test_efficientnet", "tu-tf_efficientnet_lite0", "resnet18", "efficientnet-b0", "tu-convnext_atto",
    "vit_tiny_patch16_224",
)  # fmt: skip
OWN_CONVOLUTIONS = ("efficientnet-b0", "tu-convnext_atto")
"""Encoders with convolutions that are left as they are."""


def lively(network: ChangeNetwork) -> ChangeNetwork:
    """Give each normalisation statistics of its own: at its start it changes nothing, and could be left out unnoticed."""
    draw = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, low in (("running_mean", -0.3), ("running_var", 0.5), ("weight", 0.7), ("bias", -0.2)):
                value: Tensor = getattr(module, name)
                value.data.copy_(low + 0.6 * torch.rand(value.shape, generator=draw))
    return network.eval()


def same(network: Siamese, other: Siamese, side: int = 96) -> bool:
    """Say whether two networks give the same logits, but for rounding, where a corner is not observed."""
    draw = torch.Generator().manual_seed(2)
    before, after = torch.randn((2, 1, len(network.spec.image_bands), side, side), generator=draw)
    before[..., :8, :8] = torch.nan
    priors = torch.rand((1, network.spec.prior_channels, side, side), generator=draw) if network.spec.priors else None
    with torch.inference_mode():
        one, two = (n.decode(n.encode(before), n.encode(after), priors) for n in (network, other))
    pairs = [(getattr(one, name), getattr(two, name)) for name in ("change", "before", "after")]
    return all(a is None or torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max())) for a, b in pairs)


@pytest.mark.parametrize("form", ["fused", "bands-last"])
@pytest.mark.parametrize("heads", ["change", "landuse", "both"])
def test_forms_say_the_same(heads: str, form: str) -> None:
    network = lively(network_of(replace(SPEC, heads=heads, classes=3, fusion="symmetric", priors=("ir-mad",))))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    made = make_ready(network, form)
    assert same(network, made)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("decoder", ["unet", "fpn", "upernet"])
def test_decoders_are_fused(decoder: str) -> None:
    network = lively(network_of(replace(SPEC, decoder=decoder, decoder_channels=(64, 16, 16, 8, 8))))
    assert same(network, make_ready(network, "fused"))


@pytest.mark.parametrize("architecture", ENCODERS)
def test_encoders_are_fused_or_refused(architecture: str) -> None:
    spec = NetworkSpec(architecture, SPEC.bands, SPEC.bands, "change", 0, decoder_channels=(16, 16, 8, 8, 8))
    torch.manual_seed(0)
    network = lively(ChangeNetwork(spec, build_encoder(architecture, 2), Normalisation((0, 0), (1, 1), 1, "both dates")))
    try:
        made = make_ready(network, "fused")
    except Exception:
        assert architecture.startswith("vit_")
        return
    kinds = {type(module).__name__ for module in made.encoder.modules()}
    assert same(network, made)
    assert architecture in OWN_CONVOLUTIONS or ("_Fused" in kinds and not {"Conv2d", "Conv2dSame"} & kinds)


def test_a_wrong_form_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = np.random.default_rng(0).random((2, len(SPEC.bands), 64, 96), dtype=np.float32)
    before[:, :9, :9] = np.nan
    grid = grid_of(Affine(10, 0, 600_000, 0, -10, 5_900_000), (64, 96), "EPSG:32633")
    pair = PairSource(*(
        write_raster(tmp_path / f"{name}.tif", image, grid, nodata=np.nan)
        for name, image in (("before", before), ("after", after))
    ))  # fmt: skip
    network = lively(network_of())

    def choose() -> FormTrial:
        trial, made = choose_form(network, pair, (64, 96), threshold=0.5, temperatures=Temperatures())
        assert same(network, made)
        return trial

    probe = choose()
    # What comes after the first that is right is not tried.
    assert probe.flips_ppm == {"plain": 0.0, "fused": 0.0}
    assert set(probe.seconds) == set(probe.flips_ppm)

    def fail(_: Siamese) -> Siamese:
        raise RuntimeError("cannot be traced")

    monkeypatch.setitem(ready._FORMS["cpu"], "bands-last", fail)
    monkeypatch.setitem(ready._FORMS["cpu"], "fused", lambda _: lively(network_of(seed=1)))
    probe = choose()
    assert probe.form == "plain"
    assert probe.flips_ppm["fused"] > MAX_FLIPS_PPM
    assert "bands-last" not in probe.seconds


def test_a_form_is_chosen_if_it_is_right_and_not_for_a_noisy_clock() -> None:
    right = dict.fromkeys(("fused", "bands-last", "plain"), 0.0)
    assert prefer({"fused": 1.0, "bands-last": 0.9, "plain": 2.0}, right) == "fused"
    assert prefer({"fused": 1.0, "bands-last": 0.2, "plain": 2.0}, right) == "bands-last"
    assert prefer({"fused": 1.0, "bands-last": 0.9, "plain": 0.1}, right) == "plain"
    assert prefer({"fused": 1.0, "bands-last": 1.0, "plain": 2.0}, {**right, "fused": MAX_FLIPS_PPM + 1}) == "bands-last"
    assert prefer({"plain": 2.0}, {"plain": 0.0}) == "plain"


def test_a_compiler_is_worth_its_time_on_many_tiles_only() -> None:
    seconds, first = {"plain": 0.02, "bands-last": 0.015, "compiled": 0.01}, {"plain": 0.1, "bands-last": 0.1, "compiled": 20.0}
    right = dict.fromkeys(seconds, 0.0)
    assert choose_soonest(seconds, right, first, tiles=100) == "bands-last"
    # Four shapes of 20 seconds against five milliseconds a tile.
    assert choose_soonest(seconds, right, first, tiles=15_000) == "bands-last"
    assert choose_soonest(seconds, right, first, tiles=17_000) == "compiled"
    assert choose_soonest(seconds, {**right, "compiled": MAX_FLIPS_PPM + 1}, first, tiles=17_000) == "bands-last"


def test_a_compiled_network_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """With PyTorch's tracing compiler, and without its code for devices."""
    monkeypatch.setattr(ready, "_COMPILER", "aot_eager")
    monkeypatch.setitem(ready._FORMS["cpu"], "compiled", ready._FORMS["cuda"]["compiled"])
    network = lively(network_of(replace(SPEC, heads="both", classes=3, fusion="symmetric", priors=("ir-mad",))))
    assert same(network, make_ready(network, "compiled"))


def test_a_compiled_network_takes_many_shapes_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its usual limit the compiler would give up without a word, and the map would be made at the speed of before."""
    graphs: list[object] = []

    def count(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(ready, "_COMPILER", count)
    monkeypatch.setitem(ready._FORMS["cpu"], "compiled", ready._FORMS["cuda"]["compiled"])
    network = lively(network_of(replace(SPEC, heads="change", classes=0)))
    made = make_ready(network, "compiled")
    found = []
    for side in range(32, 32 * 11, 32):
        assert same(network, made, side)
        found.append(len(graphs))
    assert all(after > before for before, after in pairwise(found)), "each shape has a graph of its own"


def test_forms_this_process_cannot_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of().eval()
    assert make_ready(network, "plain") is network
    with pytest.raises(InputError, match="machines of one kind"):
        make_ready(network, "unknown")
    monkeypatch.setattr(ready, "can_fuse", lambda: False)
    with pytest.raises(InputError, match="machines of one kind"):
        make_ready(network, "fused")
