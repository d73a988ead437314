"""Adapters of low rank: beside a transformer while it trains, gone without a trace afterwards."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from landshift.models.encoders.backbones import build_encoder
from landshift.models.network.lora import add_lora, merge_lora
from landshift.models.network.strategies import parameter_groups, strategy_named
from landshift.pipeline.errors import InputError
from tests import small_network
from tests.small_network import Killed, Whole, after_epochs, copied, end_after, network_of, run, same_weights, whole_fit

pytest.importorskip("peft")

SPEC = replace(small_network.SPEC, architecture="vit_tiny_patch16_224")
RANK = 4
SETTINGS = replace(small_network.SETTINGS, strategy=replace(strategy_named("lora"), lora_rank=RANK), weight_decay=0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return whole_fit(tmp_path_factory.mktemp("whole"), SPEC, SETTINGS)


def features(encoder: nn.Module, size: int = 64) -> list[Tensor]:
    with torch.no_grad():
        return list(encoder.eval()(torch.rand((1, 2, size, size), generator=torch.Generator().manual_seed(1))))


@pytest.mark.parametrize(
    ("architecture", "size", "layers"),
    [
        ("vit_tiny_patch16_224", 64, 12 * 4),
        # Attention of torchvision's Swin v2 reads qkv and proj itself: two layers of the MLP in each of 12 blocks, and the
        # second layer of the relative position bias where there are more heads than 4: in 2 + 6 + 2 blocks.
        ("swin_v2_t", 64, 12 * 2 + 10),
        ("mit_b0", 64, 8 * 5),
        ("tu-swin_tiny_patch4_window7_224", 224, 12 * 4),
        # timm's Swin v2 reads qkv itself, and calls proj.
        ("tu-swinv2_tiny_window8_256", 256, 12 * 3 + 10),
    ],
)
def test_adapters_start_silent_and_each_gets_a_gradient(architecture: str, size: int, layers: int) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(architecture, 2)
    for name, parameter in encoder.named_parameters():
        if "norm" in name and name.endswith("weight"):
            # Some blocks of Swin v2 are born with a norm of 0, behind which nothing has a gradient.
            nn.init.ones_(parameter)
    names, channels, before = list(encoder.state_dict()), list(encoder.out_channels), features(encoder, size)  # type: ignore[arg-type]
    assert add_lora(encoder, RANK) == layers
    assert list(encoder.out_channels) == channels  # type: ignore[arg-type]
    assert not encoder.training
    for old, new in zip(before, features(encoder, size), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-5)
    moving = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    assert len(moving) == 2 * layers
    assert all("lora_" in n for n in moving)
    maps = encoder(torch.rand(1, 2, size, size))
    torch.stack([m.square().mean() for m in maps if m.numel() and m.requires_grad]).sum().backward()
    # The other half starts at 0 and holds back the gradient of its partner.
    silent = [n for n, p in moving.items() if "lora_B" in n and (p.grad is None or not p.grad.any())]
    assert silent == []
    merge_lora(encoder)
    assert list(encoder.state_dict()) == names


def test_merged_weights_give_the_features_of_the_adapters() -> None:
    encoder = network_of(SPEC).encoder
    plain = copied(encoder)
    add_lora(encoder, RANK)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    adapted = features(encoder)
    merge_lora(encoder)
    assert type(encoder.get_submodule("model.blocks.0.attn.qkv")) is nn.Linear
    assert not hasattr(encoder, "peft_config")
    for merged, expected in zip(features(encoder), adapted, strict=True):
        torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-4)
    for name, weight in encoder.state_dict().items():
        rank = int(torch.linalg.matrix_rank((weight - plain[name]).double(), atol=1e-4)) if weight.ndim == 2 else 0
        assert rank == (RANK if ("attn" in name or "mlp" in name) and weight.ndim == 2 else 0)


def test_without_adapters_merging_does_nothing() -> None:
    encoder = network_of(SPEC).encoder
    before = copied(encoder)
    merge_lora(encoder)
    assert same_weights(encoder, before)


def test_what_cannot_be_adapted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"transformers.*`training: strategy: discriminative` or `full`"):
        add_lora(build_encoder("resnet18", 2), RANK)
    # ConvNeXt has linear layers, but no attention.
    with pytest.raises(InputError, match="no attention"):
        add_lora(build_encoder("tu-convnext_tiny", 2), RANK)
    encoder = build_encoder("vit_tiny_patch16_224", 2)
    with pytest.raises(InputError, match="rank of 192 is not below"):
        # Its layers are 192 wide at their narrowest.
        add_lora(encoder, 192)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        add_lora(encoder, 0)
    add_lora(encoder, 1)
    with pytest.raises(ValueError, match="adapters already"):
        add_lora(encoder, 1)
    with pytest.raises(InputError, match=r"takes no image of 224 x 224 pixels: .*; 256 x 256 pixels"):
        add_lora(build_encoder("tu-swin_base_patch4_window12_384", 2), 1)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'landshift\[lora\]'"):
        add_lora(build_encoder("vit_tiny_patch16_224", 2), 1)


def test_only_adapters_and_decoders_are_optimised() -> None:
    network = network_of(SPEC)
    add_lora(network.encoder, RANK)
    groups = parameter_groups(network, SETTINGS.strategy, 1.0, 0.0)
    assert network.change_decoder is not None
    wanted = [p for n, p in network.encoder.named_parameters() if "lora_" in n] + list(network.change_decoder.parameters())
    assert [id(p) for g in groups for p in g["params"]] == [id(p) for p in wanted]


def test_a_fit_moves_linear_layers_by_the_rank_and_nothing_else(whole: Whole) -> None:
    network, before = whole.network, copied(network_of(SPEC).encoder)
    assert list(network.encoder.state_dict()) == list(before)
    decoder = sum(p.numel() for p in network.change_decoder.parameters())
    # Width 192: query, key and value 192 -> 576, projection 192 -> 192, MLP 192 -> 768 -> 192; 12 blocks.
    assert whole.fit.parameters == decoder + 12 * RANK * ((192 + 576) + (192 + 192) + 2 * (192 + 768))
    moved = {k: v - before[k] for k, v in network.encoder.state_dict().items() if not torch.equal(v, before[k])}
    assert len(moved) == 12 * 4
    assert all(int(torch.linalg.matrix_rank(v.double(), rtol=1e-3)) <= RANK for v in moved.values())
    assert all(p.requires_grad for p in network.parameters())
    assert not network.training


def test_normalisation_stands_still(tmp_path: Path) -> None:
    # Its first layers are convolutions with BatchNorm.
    network = network_of(replace(SPEC, architecture="tu-mobilevit_xxs"))
    before = {k: v for k, v in copied(network.encoder).items() if ".bn." in k or "norm" in k}
    assert {k.rpartition(".")[2] for k in before} == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    run(network, tmp_path, replace(SETTINGS, epochs=1))
    assert all(torch.equal(network.encoder.state_dict()[k], v) for k, v in before.items())


def test_a_killed_fit_goes_on_to_the_same_bits(whole: Whole, tmp_path: Path) -> None:
    killed, resumed = network_of(SPEC), network_of(SPEC, seed=99)
    names = list(killed.state_dict())
    with pytest.raises(Killed):
        run(killed, tmp_path, SETTINGS, end_after(2))
    assert list(killed.state_dict()) == names
    shares: list[float] = []
    assert run(resumed, tmp_path, SETTINGS, after_epochs(shares.append)) == whole.fit
    assert shares == pytest.approx([2 / 3, 1])
    # Once more, with the network that was killed, and nothing left to do.
    assert run(killed, tmp_path, SETTINGS, after_epochs(shares.append)) == whole.fit
    assert len(shares) == 2
    for network in (resumed, killed):
        assert same_weights(network, whole.network)


def test_a_convolutional_encoder_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="adapts the linear layers of transformers"):
        run(network_of(), tmp_path, SETTINGS)
