"""Weights of every source into encoders: real files where they are installed, files of their format elsewhere."""

import landshift.models  # noqa: F401  # isort: skip - declares torchvision operators that a CPU build may lack

import io
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.torch import save_file
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import Tensor, nn

from landshift.models.encoders.backbones import build_encoder, first_convolution
from landshift.models.encoders.bands import match_bands
from landshift.models.encoders.normalisation import Normalisation
from landshift.models.encoders.table import encoder_named, file_encoder
from landshift.models.encoders.weight_files import read_tensors, weights_path
from landshift.models.encoders.weights import CLOUD_CLASSES, cloud_model, fit_to_bands, load_encoder
from landshift.models.estimators.model import model_of
from landshift.models.network.siamese import NetworkSpec
from landshift.pipeline.errors import InputError

RGB = ("red", "green", "blue")
CLOUD = "ukis-csmask-6b-l2a"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def features(model: nn.Module, image: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return list(model.eval()(image))


@pytest.mark.parametrize(
    "architecture",
    ["resnet18", "tf_efficientnet_lite0", "swin_v2_t", "vit_small_patch16_224", "vit_small_patch14_dinov2"],
)
def test_every_family_feeds_every_decoder(architecture: str) -> None:
    encoder: Any = build_encoder(architecture, 4)
    channels = list(encoder.out_channels)
    maps = features(encoder, torch.randn(2, 4, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, c, 64 >> i, 96 >> i) for i, c in enumerate(channels)]
    for decoder, side in (
        (UnetDecoder(channels, (32, 16, 8, 8, 8)), (64, 96)),
        (FPNDecoder(channels, 5, pyramid_channels=32, segmentation_channels=32), (16, 24)),
        (UPerNetDecoder(channels, 5, decoder_channels=16), (16, 24)),
    ):
        with torch.no_grad():
            assert tuple(decoder.eval()(maps).shape[-2:]) == side


def test_position_embeddings_follow_the_input_size() -> None:
    encoder = build_encoder("vit_small_patch16_224", 3)
    assert features(encoder, torch.randn(1, 3, 32, 32))[4].shape == (1, 384, 2, 2)
    assert features(encoder, torch.randn(1, 3, 288, 64))[4].shape == (1, 384, 18, 4)


def test_architecture_without_a_pyramid_is_refused() -> None:
    with pytest.raises(InputError, match="gives no feature maps at strides 2 to 32"):
        build_encoder("mixer_b16_224", 3)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_lite_is_the_whole_published_classifier(size: int) -> None:
    row = encoder_named(f"imagenet-efficientnet-lite{size}")
    classifier: Any = timm.create_model(f"tf_efficientnet_lite{size}").eval()
    classifier.load_state_dict(read_tensors(row, weights_path(row, None)), strict=True)
    loaded = load_encoder(row, RGB)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        deepest = classifier.forward_intermediates(image, intermediates_only=True)[-1]
    torch.testing.assert_close(features(loaded.model, image)[-1], deepest)
    assert loaded.weights_hash.removeprefix("sha256:").startswith(Path(row.weights).stem.rsplit("-", 1)[1])
    assert (loaded.notes, loaded.decoder_state) == ((), None)


def test_lite_knows_stripes_from_a_published_network() -> None:
    """The class is what `efficientnet_lite_pytorch`, for which the file was made, says to the last bit: curtains."""
    y, x = np.mgrid[:224, :224]
    picture = np.stack([np.sin(x / 9) * 0.3 + 0.5, y / 224, np.hypot(y - 110, x - 110) / 200])
    for size in (0, 2):
        row = encoder_named(f"imagenet-efficientnet-lite{size}")
        classifier = timm.create_model(f"tf_efficientnet_lite{size}").eval()
        classifier.load_state_dict(read_tensors(row, weights_path(row, None)))
        normal = torch.tensor((picture - row.mean[0]) / row.std[0], dtype=torch.float32)[None]
        with torch.no_grad():
            best = classifier(normal).topk(3).indices[0].tolist()
        assert {854, 794} & set(best), best  # theatre curtain, shower curtain


def test_order_of_our_bands_does_not_change_the_features() -> None:
    row = encoder_named("imagenet-efficientnet-lite0")
    image = torch.randn(1, 3, 32, 64)
    straight = features(load_encoder(row, RGB).model, image)[1:]
    turned = features(load_encoder(row, RGB[::-1]).model, image.flip(1))[1:]
    for a, b in zip(straight, turned, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_first_convolution_is_fitted_as_declared() -> None:
    row = encoder_named("imagenet-efficientnet-lite0")
    weight = torch.arange(2 * 3, dtype=torch.float32).reshape(2, 3, 1, 1)
    lacking = fit_to_bands(row, weight, match_bands(row, ["blue", "red"]))
    assert lacking[:, :, 0, 0].tolist() == [[2 * 1.5, 0 * 1.5], [5 * 1.5, 3 * 1.5]]
    extra = fit_to_bands(row, weight, match_bands(row, ["nir", "red", "green", "blue"]))
    assert extra[:, :, 0, 0].tolist() == [[0.75, 0, 0.75, 1.5], [3, 2.25, 3, 3.75]]
    # A grey picture answers as before: the sum over bands is kept.
    torch.testing.assert_close(extra.sum(1), weight.sum(1))
    assert fit_to_bands(row, weight, match_bands(row, RGB)).equal(weight)


def in_single_precision(path: Path) -> onnx.ModelProto:
    """Undo the half precision of the published graphs, whose rounding would hide real differences."""
    model: Any = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT16:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype("float32")))
    return model  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["6b-l1c", "6b-l2a", "4b-l1c", "4b-l2a"])
def test_cloud_network_is_the_published_one(name: str) -> None:
    row = encoder_named(f"ukis-csmask-{name}")
    image = np.random.default_rng(0).normal(size=(1, len(row.bands), 32, 64)).astype("float32")
    evaluator: Any = ReferenceEvaluator(in_single_precision(weights_path(row, None)))
    published = evaluator.run(None, {"input": image})[0]
    with torch.no_grad():
        ours = cloud_model(row)(torch.from_numpy(image)).numpy()
    assert ours.shape == (1, len(CLOUD_CLASSES), 32, 64)
    np.testing.assert_allclose(ours, published, atol=1e-3)


def test_cloud_decoder_comes_with_the_encoder() -> None:
    loaded = load_encoder(encoder_named(CLOUD), ["blue", "green", "red", "nir", "swir16", "swir22"])
    assert loaded.decoder_state is not None
    assert {k.split(".")[0] for k in loaded.decoder_state} == {"decoder", "segmentation_head"}
    network = smp.Unet("efficientnet-b4", encoder_weights=None, in_channels=6, classes=3)
    unexpected = network.load_state_dict(loaded.decoder_state, strict=False).unexpected_keys
    assert unexpected == []
    with pytest.raises(InputError, match="has no decoder"):
        cloud_model(encoder_named("random"))


def as_published(name: str, cache: Path) -> tuple[Any, dict[str, Tensor]]:
    """Write random weights in the format of a torchgeo file to the place where it would be downloaded."""
    row = encoder_named(name)
    count = len(row.bands)
    if row.architecture.startswith("swin"):
        model = torchvision.models.swin_v2_t(weights=None)
        model.features[0][0] = nn.Conv2d(count, 96, 4, 4)
    else:
        size: Any = {"img_size": 224} if row.architecture.startswith("vit") else {}
        model = timm.create_model(row.architecture, in_chans=count, **size)
    cache.mkdir(exist_ok=True)
    torch.save(model.state_dict(), cache / row.url.rsplit("/", 1)[1])
    return row, model.state_dict()


@pytest.mark.parametrize(
    "name",
    [
        "ResNet18_Weights.SENTINEL2_ALL_MOCO",
        "ResNet50_Weights.LANDSAT_OLI_SR_SIMCLR",
        "Swin_V2_T_Weights.SENTINEL2_SI_MS_SATLAS",
        "ViTSmall16_Weights.SENTINEL2_ALL_DINO",
        "ViTSmall14_DINOv2_Weights.SENTINEL2_ALL_SOFTCON",
    ],
)
def test_files_in_the_format_of_torchgeo_load(name: str, tmp_path: Path) -> None:
    row, state = as_published(f"torchgeo:{name}", tmp_path)
    bands = row.bands[::-1]
    loaded = load_encoder(row, bands, cache=tmp_path)
    mine = loaded.model.state_dict()
    first = first_convolution(loaded.model)
    shared = {k: state[k.removeprefix("model.")] for k in mine}
    assert mine[first].equal(shared[first].flip(1))
    assert all(mine[k].equal(v) for k, v in shared.items() if k != first)
    assert len(features(loaded.model, torch.randn(1, len(bands), 64, 32))) == 6
    # SoftCon's file carries no hash in its name, so nothing can be said of it.
    assert ("SOFTCON" in name) or "is not the published file" in loaded.notes[-1]


def test_swin_features_are_those_of_torchvision(tmp_path: Path) -> None:
    row, state = as_published("torchgeo:Swin_V2_T_Weights.SENTINEL2_SI_MS_SATLAS", tmp_path)
    model = torchvision.models.swin_v2_t(weights=None)
    model.features[0][0] = nn.Conv2d(9, 96, 4, 4)
    model.load_state_dict(state)
    image = torch.randn(1, 9, 64, 64)
    with torch.no_grad():
        deepest = model.eval().features(image).permute(0, 3, 1, 2)
    mine = features(load_encoder(row, row.bands, cache=tmp_path).model, image)
    torch.testing.assert_close(mine[-1], deepest)


def test_weights_that_need_a_network_say_how_to_get_them(tmp_path: Path) -> None:
    row = encoder_named("torchgeo:ResNet18_Weights.SENTINEL2_ALL_MOCO")
    # Port 9 refuses at once, so that the test waits for no network.
    row = replace(row, url="https://127.0.0.1:9/resnet18-59bfdff9.pth")
    with pytest.raises(InputError) as caught:
        load_encoder(row, ["red"], cache=tmp_path)
    message = str(caught.value)
    assert row.url in message
    assert str(tmp_path / "resnet18-59bfdff9.pth") in message
    assert "imagenet-efficientnet-lite0" in message
    assert list(tmp_path.iterdir()) == []


def test_download_that_is_not_the_published_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"a page that says no"))
    row = encoder_named("torchgeo:ResNet18_Weights.SENTINEL2_ALL_MOCO")
    with pytest.raises(InputError, match="sent another file than its name"):
        load_encoder(row, ["red"], cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_download_is_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = encoder_named("timm:resnet18.a1_in1k")
    model = timm.create_model("resnet18")
    save_file(model.state_dict(), tmp_path / "sent")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: (tmp_path / "sent").open("rb"))
    loaded = load_encoder(row, ["red", "green", "blue", "nir"], cache=tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["resnet18.a1_in1k-model.safetensors"]
    assert loaded.model.state_dict()["model.layer1.0.bn2.weight"].equal(model.state_dict()["layer1.0.bn2.weight"])
    monkeypatch.setattr(urllib.request, "urlopen", None)
    assert load_encoder(row, RGB, cache=tmp_path / "cache").weights_hash == loaded.weights_hash


@pytest.mark.parametrize("tag", ["convnext_tiny.fb_in1k", "vit_small_patch16_224.dino", "efficientnet_b0.ra_in1k"])
def test_timm_weights_load_whatever_the_layout(tag: str, tmp_path: Path) -> None:
    model = timm.create_model(tag.split(".", maxsplit=1)[0])
    save_file(model.state_dict(), tmp_path / f"{tag}-model.safetensors")
    loaded = load_encoder(encoder_named(f"timm:{tag}"), RGB, cache=tmp_path)
    assert loaded.model.state_dict()[first_convolution(loaded.model)].shape[1] == 3
    assert features(loaded.model, torch.randn(1, 3, 32, 32))[5].shape[-2:] == (1, 1)


@pytest.fixture(scope="module")
def resnet() -> dict[str, Tensor]:
    return timm.create_model("resnet18", in_chans=2).state_dict()


@pytest.mark.parametrize(
    ("estimator", "priors", "decoders"),
    [("network", ("ir-mad",), {"change_decoder"}), ("network", (), {"change_decoder"}), ("trees", ("ir-mad",), None)],
)
def test_a_model_that_landshift_trained_is_a_source_whatever_decides_in_it(
    estimator: str, priors: tuple[str, ...], decoders: set[str] | None, tmp_path: Path
) -> None:
    spec = NetworkSpec("tu-test_efficientnet", RGB, RGB, "change", 0, priors=priors, estimator=estimator)
    plain = Normalisation((0.0,) * 3, (1.0,) * 3, 1.0, "both dates")
    trained = model_of(spec, build_encoder(spec.architecture, 3), plain)
    # Trees that were not fitted share one array.
    save_file({k: v.clone() for k, v in trained.state_dict().items()}, tmp_path / "weights.safetensors")
    row = file_encoder(tmp_path / "weights.safetensors", architecture=spec.architecture, bands=RGB)
    loaded = load_encoder(row, RGB)
    for key, value in trained.encoder.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key], value), key
    found = None if loaded.decoder_state is None else {k.partition(".")[0] for k in loaded.decoder_state}
    assert found == decoders


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "model.encoder.", "backbone."])
def test_checkpoint_of_ones_own_loads_with_common_prefixes(prefix: str, resnet: dict[str, Tensor], tmp_path: Path) -> None:
    state = {f"{prefix}{k}": v for k, v in resnet.items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "mine.ckpt")
    for architecture, place in (("resnet18", "layer4.1.conv2.weight"), ("tu-resnet18", "model.layer4.1.conv2.weight")):
        row = file_encoder(tmp_path / "mine.ckpt", architecture=architecture, bands=["red", "nir"])
        mine = load_encoder(row, ["red", "nir"]).model.state_dict()
        assert mine[place].equal(state[f"{prefix}layer4.1.conv2.weight"])


@pytest.mark.parametrize(
    ("changes", "bands", "message"),
    [
        ({"decoder.block.weight": torch.zeros(1)}, 2, r"no place for: decoder\.block\.weight"),
        ({"layer1.0.conv1.weight": None}, 2, r"no tensors for these places.*layer1\.0\.conv1\.weight"),
        ({"conv1.weight": None}, 2, r"no tensors for these places.*: conv1\.weight"),
        ({"layer1.0.bn1.bias": torch.zeros(7)}, 2, r"layer1\.0\.bn1\.bias \(7,\) instead of \(64,\)"),
        ({}, 3, "first convolution takes 2 bands, but 3 are named"),
    ],
)
def test_checkpoint_that_does_not_fit_says_what(
    changes: dict[str, Tensor | None], bands: int, message: str, resnet: dict[str, Tensor], tmp_path: Path
) -> None:
    state = {k: v for k, v in {**resnet, **changes}.items() if v is not None}
    save_file(state, tmp_path / "mine.safetensors")
    row = file_encoder(tmp_path / "mine.safetensors", architecture="resnet18", bands=RGB[:bands])
    with pytest.raises(InputError, match=message):
        load_encoder(row, ["red"])


class Malicious:
    """Would write a file when a naive reader unpickles it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return exec, (f"open({str(self.target)!r}, 'w').close()", "")


def test_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": Malicious(tmp_path / "owned")}, tmp_path / "mine.pth")
    with pytest.raises(InputError, match="cannot be read as a state dict without running its content"):
        load_encoder(file_encoder(tmp_path / "mine.pth", architecture="resnet18", bands=["red"]), ["red"])
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_damaged_file_is_an_input_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"half a downl")
    with pytest.raises(InputError, match="cannot be read as a state dict"):
        load_encoder(file_encoder(tmp_path / name, architecture="resnet18", bands=["red"]), ["red"])


def test_missing_package_says_what_to_install() -> None:
    row = replace(encoder_named(CLOUD), weights="no_such_package/model.onnx")
    with pytest.raises(InputError, match="pip install no-such-package"):
        load_encoder(row, row.bands)


def test_random_encoder_takes_any_bands() -> None:
    loaded = load_encoder(encoder_named("random:resnet18"), ["vv", "vh"])
    assert loaded.bands == ("vv", "vh")
    assert loaded.weights_hash != load_encoder(encoder_named("random:resnet18"), ["vv", "vh"]).weights_hash
