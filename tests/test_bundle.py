"""Bundles: the same prediction in another process, nothing executed, and damage told in words."""

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from landshift.models.encoders.normalisation import Normalisation
from landshift.models.encoders.table import encoder_named
from landshift.models.network.lora import add_lora, merge_lora
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
from landshift.models.use.bundle import CARD, FORMAT, MODEL, WEIGHTS, Bundle, describe, load, save
from landshift.models.use.inference import device_of, predict
from landshift.pipeline.epochs.matching import PairWindow, Treatment
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import LandUse, Legend
from landshift.pipeline.limits import WEIGHTS_BYTES
from landshift.pipeline.manifest import file_hash
from landshift.pipeline.scores.accuracy import BinaryScores, ClassScore, ClassScores
from landshift.pipeline.scores.training import CandidateScores, Temperatures
from tests import small_network
from tests.small_network import provenance

BANDS = ("green", "red", "nir")
SPEC = NetworkSpec("tu-test_efficientnet", BANDS, ("nir", "red"), "both", 2, "unet", "difference", (32, 16, 16, 8, 8))
NORMALISATION = Normalisation((0.1, 1 / 3), (0.2, 0.7), 10_000.0, "encoder", ("nir", "red"), ("A note.",))
LEGEND = Legend((LandUse(3, "Forêt", "#006400"), LandUse(7, 'Built-up "area"', "#cc0000")))
TEST = BinaryScores(0.4, 0.5, 0.3, None, 1.0, None, 0.9, 100)
TRANSITION = ClassScore(2, "Forest to Built-up", 0.4, 0.3, 0.5, None, 7)
SCORES = CandidateScores(
    seed=4, validation_score=0.5, threshold=0.3, temperatures=Temperatures(1.7, 0.3), test=TEST, calibration_error=0.1,
    warnings=("Beware.",), transitions=ClassScores((TRANSITION,), 0.4, 0.3, None, 0.9, 7),
)  # fmt: skip
BUNDLE = Bundle(
    name="demo",
    spec=SPEC,
    encoder=encoder_named("random"),
    units="reflectance",
    treatment=Treatment(matched=True),
    normalisation=NORMALISATION,
    legend=LEGEND,
    temperatures=Temperatures(1.7, 0.3),
    threshold=0.1 + 0.2,
    notes=("Bands nir and red are used.",),
    facts=provenance(seed=4, scores=SCORES),
)


def network_of(spec: NetworkSpec = SPEC, seed: int = 0) -> ChangeNetwork:
    network = small_network.network_of(spec, seed, NORMALISATION)
    # Some steps in training mode, so that the statistics of BatchNorm are not the ones that it is born with.
    with torch.no_grad():
        network(*torch.rand(2, 2, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("models") / "demo", BUNDLE, network_of(), "# Demo\n")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "demo"))


PREDICT = """
import sys, hashlib
import numpy as np
unpickled = []
import torch
torch.set_num_threads(1)
from landshift.models.use.bundle import load
from landshift.models.use.inference import predict
from landshift.pipeline.epochs.matching import PairWindow
from pathlib import Path
sys.addaudithook(lambda event, args: unpickled.append(args) if event == "pickle.find_class" else None)
bundle, network = load(Path(sys.argv[1]))
assert not unpickled, unpickled
before, after = np.load(sys.argv[2])
said = predict(network, PairWindow(before, after), bundle.temperatures)
print(hashlib.sha256(b"".join(a.tobytes() for a in (said.change, said.before, said.after))).hexdigest())
"""


def test_another_process_predicts_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((2, 3, 64, 96), dtype=np.float32)
    images[0, :, 3, 4] = np.nan
    np.save(tmp_path / "images.npy", images)
    said = predict(network_of(), PairWindow(images[0], images[1]), BUNDLE.temperatures)
    parts = [a for a in (said.change, said.before, said.after) if a is not None]
    assert len(parts) == 3
    expected = hashlib.sha256(b"".join(a.tobytes() for a in parts)).hexdigest()
    found = subprocess.run(
        [sys.executable, "-c", PREDICT, str(folder), str(tmp_path / "images.npy")],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert found.stdout.split() == [expected], found.stderr


def test_what_is_known_comes_back(folder: Path) -> None:
    bundle, network = load(folder)
    assert bundle == BUNDLE == describe(folder)
    assert not network.training
    assert network.spec == SPEC
    assert {p.device.type for p in network.parameters()} == {"cpu"}
    own = network_of().state_dict()
    assert all(torch.equal(v, own[k]) for k, v in network.state_dict().items())


def test_a_network_that_had_adapters_is_a_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("peft")
    network = network_of(replace(SPEC, architecture="vit_tiny_patch16_224"))
    assert add_lora(network.encoder, 2) == 48
    with torch.no_grad():
        for name, parameter in network.encoder.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
    merge_lora(network.encoder)
    save(tmp_path / "adapted", replace(BUNDLE, spec=network.spec), network, "")
    for name in [n for n in sys.modules if n.partition(".")[0] == "peft"]:
        monkeypatch.setitem(sys.modules, name, None)
    _, loaded = load(tmp_path / "adapted")
    before, after = torch.rand(2, 1, 3, 64, 64)
    with torch.no_grad():
        said, expected = loaded(before, after), network(before, after)
    assert torch.equal(said.change, expected.change)


def test_a_binary_project_has_no_legend(tmp_path: Path) -> None:
    spec = replace(SPEC, heads="change", classes=0)
    bundle = replace(BUNDLE, spec=spec, legend=Legend())
    save(tmp_path / "binary", bundle, network_of(spec), "")
    assert load(tmp_path / "binary")[0] == bundle


def test_a_bundle_is_three_files_that_name_no_code(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted([WEIGHTS, MODEL, CARD])
    assert (folder / CARD).read_text(encoding="utf-8") == "# Demo\n"
    text = (folder / MODEL).read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["format"] == FORMAT
    assert content["weights"] == file_hash(folder / WEIGHTS)
    assert "Forêt" in text
    weights = (folder / WEIGHTS).read_bytes()
    header = weights[8 : 8 + int.from_bytes(weights[:8], "little")].decode()
    code = re.compile(r"\b(models|pipeline|flows|torch|timm|torchgeo|lightning|segmentation_models_pytorch|builtins|numpy)\b")
    assert code.findall(text) == []
    assert code.findall(header) == []
    assert all(set(entry) == {"dtype", "shape", "data_offsets"} for entry in json.loads(header).values())
    for path in folder.iterdir():
        with path.open("rb") as stream, pytest.raises((pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError)):
            pickle.load(stream)


def test_loading_runs_no_pickle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was read")

    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    load(folder)


def test_a_pickle_in_the_place_of_weights_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"a": Trap()}, folder / WEIGHTS)
    rewrite(folder, lambda content: content | {"weights": file_hash(folder / WEIGHTS)})
    with pytest.raises(InputError, match="does not fit"):
        load(folder)
    assert not (tmp_path / "sprung").exists()


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / MODEL
    path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k != key}


def test_a_folder_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"model\.json is missing. Run `landshift train` first"):
            load(folder)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 1', b"\xff\xfe\x00", b"[]", b"5", b"null", b"{}"])
def test_damaged_json_is_refused(folder: Path, damage: bytes) -> None:
    (folder / MODEL).write_bytes(damage)
    with pytest.raises(InputError, match="is damaged"):
        describe(folder)


@pytest.mark.parametrize(
    "key", ["name", "spec", "encoder", "units", "normalisation", "legend", "temperatures", "threshold", "weights"]
)
@pytest.mark.parametrize("value", [None, "?", ["?"]])
def test_missing_or_foreign_entries_never_pass_as_a_bundle(folder: Path, key: str, value: object) -> None:
    rewrite(folder, lambda content: without(content, key))
    with pytest.raises(InputError, match="is damaged"):
        describe(folder)
    if key in ("spec", "normalisation", "legend", "temperatures", "threshold", "weights"):
        rewrite(folder, lambda content: content | {key: value})
        with pytest.raises(InputError):
            describe(folder)


def test_another_format_is_refused(folder: Path) -> None:
    rewrite(folder, lambda content: content | {"format": FORMAT + 1})
    with pytest.raises(InputError, match=f"has format {FORMAT + 1}, this version reads {FORMAT}"):
        load(folder)


def test_a_field_of_a_later_version_is_refused_rather_than_forgotten(folder: Path) -> None:
    rewrite(folder, lambda content: content | {"spec": content["spec"] | {"attention": True}})
    with pytest.raises(InputError, match="attention"):
        load(folder)


def test_missing_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors is missing"):
        load(folder)


@pytest.mark.parametrize("read", [load, describe])
def test_weights_of_another_model_are_refused(folder: Path, tmp_path: Path, read: Callable[[Path], object]) -> None:
    other = save(tmp_path / "other", BUNDLE, network_of(seed=5), "")
    shutil.copy(other / WEIGHTS, folder / WEIGHTS)
    with pytest.raises(InputError, match=r"is not the file that model\.json was written with"):
        read(folder)


def test_truncated_weights_are_refused(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-100])
    with pytest.raises(InputError, match="is not the file"):
        load(folder)
    rewrite(folder, lambda content: content | {"weights": file_hash(folder / WEIGHTS)})
    with pytest.raises(InputError, match="does not fit"):
        load(folder)


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_the_network_are_refused(folder: Path, change: str) -> None:
    state = load_file(folder / WEIGHTS)
    key = next(k for k in state if k.startswith("change_decoder.head") and k.endswith("weight"))
    if change == "extra":
        state["another.weight"] = torch.zeros(1)
    elif change == "shape":
        state[key] = state[key][:, :2].contiguous()
    else:
        del state[key]
    save_file(state, folder / WEIGHTS)
    rewrite(folder, lambda content: content | {"weights": file_hash(folder / WEIGHTS)})
    with pytest.raises(InputError, match="does not fit"):
        load(folder)


def test_normalisation_of_another_number_of_bands_is_refused(folder: Path) -> None:
    rewrite(folder, lambda content: content | {"normalisation": content["normalisation"] | {"mean": [0.1]}})
    with pytest.raises(InputError, match="1 means and 2 standard deviations for the 2 bands nir, red"):
        load(folder)


def test_an_encoder_that_nobody_knows_is_refused(folder: Path) -> None:
    rewrite(folder, lambda content: content | {"spec": content["spec"] | {"architecture": "os.system"}})
    with pytest.raises(InputError, match=r"os\.system"):
        load(folder)


def test_saving_again_replaces_the_whole(folder: Path) -> None:
    (folder / "left-over.txt").write_text("of an earlier version", encoding="utf-8")
    later = replace(BUNDLE, name="later", threshold=0.9)
    assert save(folder, later, network_of(seed=5), "# Later\n") == folder
    assert sorted(p.name for p in folder.iterdir()) == sorted([WEIGHTS, MODEL, CARD])
    assert [p.name for p in folder.parent.iterdir()] == ["demo"]
    bundle, network = load(folder)
    assert bundle == later
    own = network_of(seed=5).state_dict()
    assert all(torch.equal(v, own[k]) for k, v in network.state_dict().items())


def test_a_save_that_fails_leaves_the_earlier_bundle(folder: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save(folder, replace(BUNDLE, threshold=float("nan")), network_of(seed=5), "")
    assert load(folder)[0] == BUNDLE
    assert [p.name for p in folder.parent.iterdir()] == ["demo"]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("threshold", 0), ("threshold", 1.01), ("threshold", float("nan")), ("threshold", "0.5"), ("threshold", True),
        ("threshold", 10**400), ("units", 5), ("facts", []), ("facts", None), ("encoder", "random"), ("encoder", {}),
        ("encoder.name", 5), ("temperatures.change", 0), ("temperatures.landuse", float("inf")),
        ("temperatures.change", "1"), ("normalisation.mean", [0.1, float("nan")]), ("normalisation.std", [0.1, 0]),
        ("normalisation.std", [0.1]), ("normalisation.std", "ab"), ("normalisation.scale", 0), ("spec.architecture", 5),
        ("spec.bands", "nr"), ("spec.classes", 3), ("spec.classes", 2.5), ("spec.decoder_channels", [32, 16, 16, 8, 10**9]),
        ("spec.decoder_channels", [32, 16, 16, 8, 8.0]), ("legend", []), ("spec.heads", "change"),
        ("legend.0.colour", "red"), ("legend.0.colour", "#00640g"), ("legend.0.colour", "#006400\n"), ("legend.0.name", 5),
        ("legend.0.code", 3.5), ("facts.scores", []), ("facts.seed", None), ("facts.domain_shift", {}),
        ("facts.scores.test", {}),
        ("facts.scores.test.kappa", "0.4"), ("facts.scores.test.f1", float("nan")), ("facts.scores.warnings", "Beware."),
        ("facts.scores.warnings", [5]), ("facts.scores.calibration_error", "0.1"), ("facts.scores.transitions", []),
        ("facts.scores.transitions", {"classes": [{"code": 2}]}),
    ],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(folder: Path, where: str, value: object) -> None:
    def tamper(content: dict[str, Any]) -> dict[str, Any]:
        *way, last = where.split(".")
        inner: Any = content
        for key in way:
            inner = inner[int(key) if isinstance(inner, list) else key]
        inner[last] = value
        return content

    rewrite(folder, tamper)
    with pytest.raises(InputError, match="is damaged"):
        describe(folder)


def test_json_without_end_is_refused(folder: Path) -> None:
    (folder / MODEL).write_text('{"format":' + "[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match="is damaged"):
        describe(folder)


def test_a_gpu_that_is_not_there_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="set `detect: device: auto`"):
        device_of("cuda")
    with pytest.raises(InputError, match="is not known"):
        device_of("gpu")


def describe_anew(folder: Path) -> None:
    """Give the description the hash of the weights that are there: damage that a checksum shows is another test."""
    rewrite(folder, lambda content: {**content, "weights": file_hash(folder / WEIGHTS)})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["landuse", "encoder", "change"])
def test_weights_that_are_not_finite_are_refused(folder: Path, name: str, number: float) -> None:
    """They would map everything as not observed."""
    tensors = load_file(folder / WEIGHTS)
    chosen = next(n for n, t in tensors.items() if n.startswith(name) and t.is_floating_point())
    tensors[chosen].view(-1)[0] = number
    save_file(tensors, folder / WEIGHTS)
    describe_anew(folder)
    with pytest.raises(InputError, match=rf"{WEIGHTS}: {chosen} holds numbers that are not finite.*copy the whole folder"):
        load(folder)


def test_a_network_of_any_size_is_compared_before_it_is_built(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five stages of 4096 channels would take 8 GB."""
    rewrite(folder, lambda content: {**content, "spec": {**content["spec"], "decoder_channels": [4096] * 5}})
    built: list[torch.device] = []

    class Watched(torch.nn.Conv2d):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            built.append(self.weight.device)

    monkeypatch.setattr(torch.nn, "Conv2d", Watched)
    with pytest.raises(InputError, match=r"does not fit model.json: .*, and the shape .4096, .*copy the whole folder"):
        load(folder)
    assert {device.type for device in built} == {"meta"}


def test_weights_without_end_are_refused_before_they_are_read(folder: Path) -> None:
    """Of a hole in a file no disk is needed, and its hash would take hours."""
    os.truncate(folder / WEIGHTS, WEIGHTS_BYTES + 1)
    begun = time.process_time()
    with pytest.raises(InputError, match=r"has 4,096 MiB; expected at most 4,096\. Is it the file of a model\?"):
        load(folder)
    assert time.process_time() - begun < 2
