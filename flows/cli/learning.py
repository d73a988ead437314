"""The verbs around labels and learning: `landshift assess`, `train` and `suggest`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from landshift.flows.cli.options import Config, Data, Json, Model, Output, Outside, Verbose
from landshift.flows.cli.project import open_project
from landshift.flows.cli.session import FAILED, answer, session


def assess(
    config: Config, data: Data = None, output: Output = None,
    model: Annotated[Path | None, typer.Option(help="Try this model, which was trained elsewhere.", show_default=False)] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Rank encoders and compare regions only; train nothing.")] = False,
    strategies: Annotated[bool, typer.Option("--strategies", help="Compare ways to use the encoder.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Train every ranked encoder, to judge the ranking.")] = False,
    curve: Annotated[bool, typer.Option("--curve", help="Train with shares of the labels, pretrained and random.")] = False,
    allow_outside: Outside = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Find out whether the pretrained encoder helps in this territory, and how far to trust the model."""
    with session(as_json, verbose):
        project, folder = open_project(config, data, chips=True)
        from landshift.flows.assess import Measures
        from landshift.flows.assess import assess as flow
        from landshift.flows.runtime.progress import bars
        from landshift.pipeline.pages.assessment import summary_lines
        from landshift.pipeline.records import content_of, read_record
        from landshift.pipeline.scores.assessment import Assessment

        measures = Measures(quick=quick, strategies=strategies, verify=verify, curve=curve)
        with bars(as_json):
            assessed = flow(project, folder, output, allow_outside=allow_outside, model=model, measures=measures)
        found = read_record(assessed.report, Assessment)
        lines = [*summary_lines(found), "", f"Page:    {assessed.page}", f"Numbers: {assessed.report}"]
        answer({"report": assessed.report, "page": assessed.page, **content_of(found)}, lines, as_json)


def train(
    config: Config, data: Data = None, output: Output = None,
    despite_verdict: Annotated[
        bool, typer.Option("--despite-verdict", help="Train even where the assessment found that the encoder hurts.")
    ] = False,
    allow_outside: Outside = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Train a model, measure it on blocks it never saw, and use it where it is worse in no region than the one in use."""
    with session(as_json, verbose):
        project, folder = open_project(config, data, chips=True)
        from landshift.flows.runtime.progress import bars
        from landshift.flows.steps.release.showing import score_lines
        from landshift.flows.train import train as flow

        with bars(as_json):
            trained = flow(project, folder, output, allow_outside=allow_outside, despite_verdict=despite_verdict)
        report = json.loads(trained.report.read_text(encoding="utf-8"))
        lines = [*score_lines(trained.report), "", *(f"Warning: {w}" for w in report["warnings"])]
        lines += [*trained.told, "", f"Model: {trained.model}", f"Card:  {trained.model / 'card.md'}"]
        answer({"model": trained.model, "promoted": trained.promoted, "release": trained.told, **report}, lines, as_json)
        if not trained.promoted:
            raise typer.Exit(FAILED)


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
