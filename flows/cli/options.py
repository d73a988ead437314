"""The arguments and options that several verbs share, and what the verbs are given to speak with."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

Config = Annotated[Path, typer.Argument(help="Project file (YAML).", metavar="CONFIG", show_default=False)]

Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the data; the config's own folder by default.", show_default=False)
]

Output = Annotated[
    Path | None, typer.Option("--output", help="Folder of the outputs; `runs` in this folder by default.", show_default=False)
]

Outside = Annotated[bool, typer.Option("--allow-outside", help="Let paths of the config leave the data folder.")]

RegisterPlace = Annotated[
    str,
    typer.Argument(
        help="The register: a GeoPackage, or postgresql://USER@HOST/DATABASE?schema=NAME.",
        metavar="REGISTER",
        show_default=False,
    ),
]

Who = Annotated[str | None, typer.Option("--who", help="Who says so; your login name by default.", show_default=False)]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the log, and tracebacks of failures.")]

Session = Callable[[bool, bool], AbstractContextManager[None]]
"""Turns what a verb raises into words and an exit code; takes --json and --verbose."""

Say = Callable[[dict[str, Any], list[str], bool], None]
"""Prints an answer: for machines, for people, and which of them is asked for."""
