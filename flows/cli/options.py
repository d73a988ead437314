"""Arguments and options that several verbs share, and the types of `session` and `answer`."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(help="Project file (YAML).", metavar="CONFIG", show_default=False)]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the data; the config's own folder by default.", show_default=False)
]
Output = Annotated[
    Path | None, typer.Option("--output", help="Folder of the outputs; `runs` in this folder by default.", show_default=False)
]

Model = Annotated[Path | None, typer.Option(help="Use this model instead of the project's own.", show_default=False)]

Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="What maps the changes, instead of the config's `detect: method:`: model, or, without any model, ir-mad or cva.",
        show_default=False,
    ),
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
Who = Annotated[str | None, typer.Option("--who", help="Who decides; your login name by default.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the log, and tracebacks of failures.")]

Session = Callable[[bool, bool], AbstractContextManager[None]]
"""Turns what a verb raises into a message and an exit code; takes --json and --verbose."""
Say = Callable[[Mapping[str, object], list[str], bool], None]
"""Prints an answer: content for machines, lines for people, and whether machines asked."""
