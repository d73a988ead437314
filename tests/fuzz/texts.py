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


def _write_archives(folder: Path) -> list[Path]:
    import tarfile
    import zipfile

    from tests.archives import landsat

    scene = landsat(folder / "scene", "LC08", "20230620", after=True)
    members = sorted((folder / "scene").glob(f"{scene}_*B[45]*")) + sorted((folder / "scene").glob("*MTL*"))
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for member in members:
            packed.write(member, member.name)
    with tarfile.open(folder / f"{scene}.tar", "w") as tar:
        for member in members:
            tar.add(member, member.name)
    return [folder / "a.zip", folder / f"{scene}.tar"]


def _look_into_archive(path: Path, _: Path) -> None:
    from contextlib import suppress

    from landshift.pipeline.errors import InputError
    from landshift.pipeline.raster.read import inspect, read_preview
    from landshift.pipeline.scenes.products.metadata import read_metadata
    from landshift.pipeline.scenes.products.walk import walk

    for file in walk(path.parent, lambda name, error: None, (".tif", ".txt")):
        with suppress(InputError):
            if file.relative.lower().endswith(".tif"):
                inspect(file.place)
                read_preview(file.place, [1], 16)
            else:
                read_metadata(file)


def _write_tables(folder: Path) -> list[Path]:
    (folder / "roles.csv").write_text("name,split\na,train\nb,val\nc,test\n", encoding="utf-8")
    (folder / "names.csv").write_text("name;split\n" + "".join(f"chip {i};train\n" for i in range(20)), encoding="utf-8-sig")
    return sorted(folder.iterdir())


def _read_table(path: Path, _: Path) -> None:
    from landshift.pipeline.labels.given import read_role_table, role_reader

    read_role_table(path, "split", role_reader({}))


TARGETS = (
    Target("config", _copy_configs, _load_config, YAML, imports=("landshift.flows.config.project",)),
    Target("archive", _write_archives, _look_into_archive, imports=("landshift.pipeline.scenes.products.walk",)),
    Target("table", _write_tables, _read_table, TEXT, imports=("landshift.pipeline.labels.given",)),
    Target("metadata", _write_metadata, _read_metadata, TEXT, imports=("landshift.pipeline.scenes.products.metadata",)),
)
