"""The verbs around a project: `landshift demo`, `init`, `check`, `scenes` and `encoders`."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landshift.flows.cli.options import Config, Data, Json, Output, Outside, Verbose
from landshift.flows.cli.session import answer, session

if TYPE_CHECKING:
    from landshift.flows.config.project import Project
    from landshift.flows.steps.project.workspace import Workspace


def open_project(config: Path, data: Path | None, *, chips: bool = False) -> "tuple[Project, Path]":
    """Return a project and its data folder.

    Args:
        config: The config.
        data: The data folder; the config's own where None.
        chips: Whether it may be a collection of chips.

    Raises:
        InputError: The config cannot be used, or the data folder is not there.
    """
    from landshift.flows.config.paths import data_folder
    from landshift.flows.config.project import load_project

    return load_project(config, chips=chips), data_folder(config, data)


def _open_workspace(
    config: Path, data: Path | None, output: Path | None, allow_outside: bool, *, chips: bool = False
) -> "Workspace":
    from landshift.flows.steps.project.workspace import workspace

    project, folder = open_project(config, data, chips=chips)
    return workspace(project, folder, output, allow_outside=allow_outside)


def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put the demo.")] = Path("landshift-demo"),
    seed: Annotated[int, typer.Option(help="Which landscape.")] = 7,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Also assess a source that helps and one that hurts (some minutes more).")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make a landscape with known truth, train, detect, and show what to try next."""
    with session(as_json, verbose):
        from landshift.flows.demo.run import run_demo
        from landshift.flows.runtime.progress import bars

        with bars(as_json):
            content, lines = run_demo(folder, seed)
            if transfer:
                from landshift.flows.demo.transfer import run_transfer_demo

                content["transfer"], more = run_transfer_demo(folder, seed)
                lines += ["", *more]
        answer(content, lines, as_json)


def init(
    folder: Annotated[Path, typer.Argument(help="Folder with images of at least two dates.", show_default=False)],
    config: Annotated[
        Path | None, typer.Option(help="Config to write; FOLDER/landshift.yaml by default.", show_default=False)
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Understand the images and labels in a folder, and write a commented config with what is left to decide."""
    with session(as_json, verbose):
        from landshift.flows.steps.chips.proposing import is_collection, write_chips_config
        from landshift.flows.steps.inspection.init import write_config
        from landshift.flows.steps.inspection.understood import show_understood

        path = config or folder / "landshift.yaml"
        elsewhere = "" if path.parent.resolve() == folder.resolve() else f" --data {shlex.quote(str(folder))}"
        command = f"landshift check {shlex.quote(str(path))}{elsewhere}"
        if is_collection(folder):
            answer(*write_chips_config(folder, path, command), as_json)
            return
        answer(*show_understood(write_config(folder, path), command), as_json)


def check(
    config: Config, data: Data = None, output: Output = None, allow_outside: Outside = False, as_json: Json = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Check a config and its files without heavy work, and print the plan."""
    with session(as_json, verbose):
        ws = _open_workspace(config, data, output, allow_outside, chips=True)
        if ws.project.chips is not None:
            from landshift.flows.steps.chips.checking import check_chips

            answer(*check_chips(ws), as_json)
            return
        from landshift.flows.steps.inspection.check import check_project

        answer(*check_project(ws), as_json)


def scenes(
    config: Config, data: Data = None, output: Output = None, allow_outside: Outside = False, as_json: Json = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """List the scenes that are found, which epoch uses them, and why not."""
    with session(as_json, verbose):
        from landshift.flows.runtime.progress import bars
        from landshift.flows.steps.inspection.scenes import list_scenes

        with bars(as_json):
            reply = list_scenes(_open_workspace(config, data, output, allow_outside))
        answer(*reply, as_json)


def encoders(as_json: Json = False, verbose: Verbose = False) -> None:
    """List the pretrained encoders: bands, source task, and whether they need the network."""
    with session(as_json, verbose):
        from landshift.flows.runtime.reply import table_lines
        from landshift.models.encoders.table import encoders as table

        rows = table()
        here = sum(e.source == "pypi" for e in rows)
        lines = [f"{len(rows)} encoders; {here} of them come as Python packages, and others are downloaded once.", ""]
        lines += table_lines(("Encoder", "Source", "Bands"), [(e.name, e.source, ", ".join(e.bands) or "any") for e in rows])
        answer({"encoders": [asdict(e) for e in rows]}, lines, as_json)
