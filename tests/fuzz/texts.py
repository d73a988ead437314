"""Targets: texts that people and archives write: configs, and the metadata of products."""

from pathlib import Path

from tests.fuzz.harness import Target
from tests.fuzz.mutators import TEXT, YAML


def _copy_configs(folder: Path) -> list[Path]:
    configs = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
    for path in configs:
        (folder / path.name).write_bytes(path.read_bytes())
    return [folder / path.name for path in configs]


def _load_config(path: Path, _: Path) -> None:
    from landshift.flows.config.project import load_project

    project = load_project(path, chips=True)
    # What is said of a project later must not fail either.
    repr((project.heads, project.artifact_name, project.model_dump(mode="json")))


def _write_metadata(folder: Path) -> list[Path]:
    from tests.archives import deliver

    kinds = ("safe", "landsat")
    for kind in kinds:
        (folder / kind).mkdir()
        deliver(folder / kind, kind)
    return sorted(p for p in folder.rglob("*") if p.suffix in (".xml", ".txt"))


def _read_metadata(path: Path, _: Path) -> None:
    from landshift.pipeline.scenes.products.metadata import read_metadata
    from landshift.pipeline.scenes.products.names import FoundFile

    read_metadata(FoundFile(path, path.name))


TARGETS = (
    Target("config", _copy_configs, _load_config, YAML, imports=("landshift.flows.config.project",)),
    Target("metadata", _write_metadata, _read_metadata, TEXT, imports=("landshift.pipeline.scenes.products.metadata",)),
)
