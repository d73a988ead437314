"""The verbs that learn from labels: `landshift assess` and `landshift train`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from landshift.flows.cli.options import Config, Data, Json, Output, Outside, Verbose
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
        from landshift.flows.steps.release.candidates import card_scores
        from landshift.flows.train import train as flow

        with bars(as_json):
            trained = flow(project, folder, output, allow_outside=allow_outside, despite_verdict=despite_verdict)
        report = json.loads(trained.report.read_text(encoding="utf-8"))
        lines = [card_scores(trained.model), "", *(f"Warning: {w}" for w in report["warnings"])]
        lines += [*trained.told, "", f"Model: {trained.model}", f"Card:  {trained.model / 'card.md'}"]
        answer({"model": trained.model, "promoted": trained.promoted, "release": trained.told, **report}, lines, as_json)
        if not trained.promoted:
            raise typer.Exit(FAILED)
