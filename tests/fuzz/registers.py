"""Targets: what Landshift wrote and reads again: runs, samples, registers, reviews, and records of all kinds."""

import shutil
from pathlib import Path

from tests.fuzz.harness import Target
from tests.fuzz.mutators import JSON
from tests.fuzz.sqlite import SQLITE


def _link_beside(path: Path, seeds: Path) -> None:
    for other in seeds.iterdir():
        if other.name != path.name and other.is_file():
            (path.parent / other.name).symlink_to(other)


def _write_run(folder: Path) -> None:
    from landshift.pipeline.run_files import list_files, manifest_of_run
    from tests.small_run import write_run

    write_run(folder)
    manifest_of_run(folder).record("run", "k1", list_files(folder))


def _run_record(folder: Path) -> list[Path]:
    _write_run(folder)
    return [folder / "record/run.json"]


def _run_layers(folder: Path) -> list[Path]:
    _write_run(folder)
    return [folder / "changes.gpkg"]


def _run_manifest(folder: Path) -> list[Path]:
    _write_run(folder)
    return [folder / "record/manifest.json"]


def _read_run(path: Path, seeds: Path) -> None:
    from contextlib import suppress

    import landshift
    from landshift.pipeline.errors import InputError
    from landshift.pipeline.register.runs import read_mergeable
    from landshift.pipeline.register.store import open_register
    from landshift.pipeline.run.package import complete
    from landshift.pipeline.run.record import list_altered_files, read_run

    _link_beside(path, seeds)
    folder = path.parent
    refused: InputError | None = None
    with suppress(InputError):
        list_altered_files(folder, everything=True)
    with suppress(InputError):
        landshift.open_run(folder)
    try:
        run = read_mergeable(folder)
        open_register(folder / "register.gpkg").merge([run])
    except InputError as error:
        refused = error
    with suppress(InputError):
        complete(folder, read_run(folder))
    if refused is not None:
        raise refused


def _register(folder: Path) -> list[Path]:
    from datetime import UTC, datetime

    from landshift.pipeline.register.store import open_register
    from tests.register_runs import run

    register, now = open_register(folder / "register.gpkg"), datetime(2024, 1, 1, tzinfo=UTC)
    pictures = (
        (["22..", "22.3", "...."], "2021-06-15"),
        (["22..", "22.3", "?..."], "2022-06-15"),
        (["2...", "..33", "...."], "2023-06-15"),
    )
    for picture, after in pictures:
        register.merge([run(picture, after)], now=now)
    register.withdraw("run", "k-2020-06-15-2022-06-15", "clouds", now=now)
    register.reject(str(register.changes()["change_id"].iloc[0]), "a shadow", who="me", now=now)
    return [folder / "register.gpkg"]


def _read_register(path: Path, _: Path) -> None:
    from contextlib import suppress

    from landshift.pipeline.errors import InputError
    from landshift.pipeline.register.database.tables import HISTORY, OBSERVATIONS
    from landshift.pipeline.register.history import diff_states, line_of
    from landshift.pipeline.register.store import open_register
    from tests.register_runs import run

    def read() -> None:
        register = open_register(path)
        changes, history = register.changes(), register.table(HISTORY)
        register.table(OBSERVATIONS)
        for name in changes["change_id"][:2]:
            register.sightings(str(name))
        diff_states(changes, history, 0)
        line_of(history, {}, "2024-01-01")

    refused: InputError | None = None
    for work in (
        read,
        # In order, which looks at what is known, and late, which folds all again.
        lambda: open_register(path).merge([run(["22..", ".333", "...."], "2024-06-15")]),
        lambda: open_register(path).merge([run(["22..", ".333", "...."], "2020-12-15")]),
        lambda: open_register(path).withdraw("run", "k-2020-06-15-2021-06-15", "why"),
        read,
    ):
        try:
            work()
        except InputError as error:
            refused = error
    with suppress(InputError):
        shutil.copyfile(path, path.with_name("again.gpkg"))
    if refused is not None:
        raise refused


_MODULES = (
    "landshift", "landshift.pipeline.register.store", "landshift.pipeline.run.package", "landshift.pipeline.run.results",
    "tests.small_run", "tests.register_runs", "tests.conftest",
)  # fmt: skip
TARGETS = (
    Target("run.json", _run_record, _read_run, JSON, imports=_MODULES),
    Target("run-layers", _run_layers, _read_run, SQLITE, imports=_MODULES),
    Target("run-manifest", _run_manifest, _read_run, JSON, imports=_MODULES),
    Target("register", _register, _read_register, SQLITE, imports=_MODULES),
)
