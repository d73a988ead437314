"""The verbs that put the monitor on a schedule: `landshift serve` and `landshift deploy`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from landshift.flows.cli.options import Json, Output, Verbose
from landshift.flows.cli.session import answer, lines_of_next, loading, session
from landshift.pipeline.errors import InputError

_Configs = Annotated[list[Path], typer.Argument(help="Project files (YAML).", metavar="CONFIG...", show_default=False)]
_Data = Annotated[
    Path | None, typer.Option(help="Folder of the data; each config's own folder by default.", show_default=False)
]
_Model = Annotated[Path | None, typer.Option(help="Use this model, not each project's own.", show_default=False)]
_Outside = Annotated[bool, typer.Option("--allow-outside", help="Let paths of the configs leave the data folder.")]


def serve(
    configs: _Configs, data: _Data = None, output: Output = None, model: _Model = None, allow_outside: _Outside = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Run the monitor of one or more projects by the schedules in their configs, on a Prefect server."""
    with session(False, verbose):
        with loading():
            from landshift.flows.config.paths import resolve_paths
            from landshift.flows.deploy import serve_projects, warn_without_model

        paths = resolve_paths(configs, data, output, model, allow_outside=allow_outside)
        for sentence in warn_without_model(paths):
            typer.echo(f"Warning: {sentence}", err=True)
        serve_projects(paths, _announce)
        typer.echo("\n".join(["Stopped. The schedules stay on the server.", *lines_of_next({})]), err=True)


def deploy(
    configs: _Configs,
    pool: Annotated[str, typer.Option(help="Work pool of type `process`; made where it is missing.")] = "landshift",
    limit: Annotated[
        str | None,
        typer.Option(help="How many models work at once on that server, such as `gpu=1`.", show_default=False),
    ] = None,
    data: _Data = None, output: Output = None, model: _Model = None, allow_outside: _Outside = False,
    as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Leave the monitor of one or more projects, with their schedules, to the workers of a Prefect work pool."""
    with session(as_json, verbose):
        with loading():
            from landshift.flows.config.paths import resolve_paths
            from landshift.flows.deploy import deploy_projects, warn_without_model

        paths = resolve_paths(configs, data, output, model, allow_outside=allow_outside)
        deployed = deploy_projects(paths, pool, limit=_read_limit(limit))
        warnings = warn_without_model(paths)
        lines = [
            *(f"{name} is deployed." for name in deployed.names),
            *(f"Warning: {sentence}" for sentence in warnings),
            f"Work pool {pool} was made, for one run at a time." if deployed.made_pool else f"Work pool {pool} is used.",
        ]
        answer({**asdict(deployed), "warnings": warnings}, lines, as_json)


def _announce(names: Sequence[str]) -> None:
    typer.echo(f"Runs of {', '.join(names)} are begun when they are due. Stop with Ctrl-C.", err=True)


def _read_limit(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    name, _, slots = text.partition("=")
    if not name or not slots.isdecimal() or int(slots) == 0:
        raise InputError(f"--limit {text!r} cannot be read; expected a name and a number of slots, such as gpu=1.")
    return name, int(slots)
