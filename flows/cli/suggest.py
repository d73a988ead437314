"""The verb about what to label next: `landshift suggest`."""

from pathlib import Path
from typing import Annotated

import typer

from landshift.flows.cli.options import Data, Json, Model, Output, Outside, Verbose
from landshift.flows.cli.project import open_project
from landshift.flows.cli.session import answer, session


def suggest(
    place: Annotated[
        Path | None, typer.Argument(help="Project file (YAML), or folder of a run.", metavar="CONFIG|RUN", show_default=False)
    ] = None,
    data: Data = None, output: Output = None, model: Model = None,
    blocks: Annotated[int, typer.Option(min=1, max=1000, help="Blocks to suggest at most.")] = 10,
    patches: Annotated[int, typer.Option(min=1, max=200, help="Patches of each block at most.")] = 8,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to make; `to-label` among the outputs by default.", show_default=False)
    ] = None,
    answered: Annotated[
        Path | None,
        typer.Option("--import", help="Take in answers instead: the folder given out, or its file.", show_default=False),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="File of labels that the answers go to: .gpkg or .geojson.", show_default=False),
    ] = None,
    who: Annotated[
        str | None, typer.Option("--who", help="Who gives it out or, with --import, who judged.", show_default=False)
    ] = None,
    allow_outside: Outside = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Suggest blocks and patches to label next, as a QGIS project with a form, and take the answers in as labels."""
    with session(as_json, verbose):
        from landshift.flows.runtime.progress import bars
        from landshift.pipeline.errors import InputError

        if (place is None) == (answered is None):
            raise InputError("Give a CONFIG or the folder of a RUN to get suggestions, or --import FOLDER to take answers in.")
        if answered is not None:
            from landshift.flows.steps.suggestion.taking import take_answers

            if labels is None:
                raise InputError("--import needs --labels FILE: the answers are written there, or added to what is there.")
            answer(*take_answers(answered, labels, who), as_json)
        elif place is not None:
            from landshift.flows.steps.suggestion.giving import Wish, suggest_for_run

            wish = Wish(blocks, patches, to, who)
            with bars(as_json):
                if place.is_dir():
                    reply = suggest_for_run(place, wish)
                else:
                    from landshift.flows.suggest import suggest as flow

                    project, folder = open_project(place, data)
                    reply = flow(project, folder, output, allow_outside=allow_outside, model=model, wish=wish)
            answer(*reply, as_json)
