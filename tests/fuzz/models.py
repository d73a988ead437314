"""Targets: trained models: their weights, and the description of them."""

import json
import os
from pathlib import Path

from tests.fuzz.harness import Target
from tests.fuzz.mutators import BYTES, JSON


def _save_model(folder: Path) -> Path:
    from landshift.models.use.bundle import save
    from tests.test_bundle import BUNDLE, network_of

    return save(folder / "model", BUNDLE, network_of(), "# A model\n")


def _weights(folder: Path) -> list[Path]:
    from landshift.models.use.bundle import WEIGHTS

    return [_save_model(folder) / WEIGHTS]


def _description(folder: Path) -> list[Path]:
    from landshift.models.use.bundle import MODEL

    return [_save_model(folder) / MODEL]


def _load_weights(path: Path, seeds: Path) -> None:
    """Load damaged weights whose description knows them: damage that a checksum would find is too easy."""
    from landshift.models.use.bundle import MODEL, load
    from landshift.pipeline.manifest import file_hash

    content = json.loads((seeds / MODEL).read_text(encoding="utf-8"))
    content["weights"] = file_hash(path)
    (path.parent / MODEL).write_text(json.dumps(content), encoding="utf-8")
    load(path.parent)


def _load_description(path: Path, seeds: Path) -> None:
    from landshift.models.use.bundle import WEIGHTS, load

    os.link(seeds / WEIGHTS, path.parent / WEIGHTS)
    load(path.parent)


_MODULES = ("landshift.models.use.bundle", "landshift.models.network.siamese")
TARGETS = (
    Target("safetensors", _weights, _load_weights, BYTES, imports=_MODULES),
    Target("model.json", _description, _load_description, JSON, imports=_MODULES),
)
