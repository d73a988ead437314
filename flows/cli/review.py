"""Verbs `landshift register review ...`."""

from pathlib import Path
from typing import Annotated

import typer

from landshift.flows.cli.options import Json, RegisterPlace, Say, Session, Verbose
from landshift.flows.cli.session import Verbs
from landshift.pipeline.register.address import location_of


def review_app(session: Session, say: Say) -> typer.Typer:
    """Return the sub-command; its verbs print and fail as the others do."""
    app = Verbs(
        name="review", within="register review", no_args_is_help=True, rich_markup_mode="markdown",
        help="Let persons judge changes in QGIS, and take their verdicts into the register.",
    )  # fmt: skip

    @app.command(epilog="Example: `landshift register review export changes-register.gpkg runs/*/run --output to-review`")
    def export(
        register: RegisterPlace,
        runs: Annotated[
            list[Path] | None,
            typer.Argument(help="Folders of the runs whose images are shown.", metavar="[RUN...]", show_default=False),
        ] = None,
        output: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)] = Path("review"),
        state: Annotated[
            list[str] | None, typer.Option(help="States to choose from (new and confirmed).", show_default=False)
        ] = None,
        limit: Annotated[int, typer.Option(min=1, help="Changes to give out at most.")] = 100,
        order: Annotated[
            str, typer.Option(help="largest, least-probable, random, or random-by-kind (at least 50 of each kind if it can).")
        ] = "largest",
        seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same of the same changes.")] = 0,
        again: Annotated[bool, typer.Option("--again", help="Also changes that were reviewed before.")] = False,
        who: Annotated[
            str | None, typer.Option("--who", help="Who gives them out; your login name by default.", show_default=False)
        ] = None,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Give changes out to be reviewed: a QGIS project with a form, and pictures before and after."""
        with session(as_json, verbose):
            from landshift.flows.runtime.progress import bars
            from landshift.flows.steps.register.review import USUAL, export_review
            from landshift.pipeline.register.drawings import Selection

            with bars(as_json):
                selection = Selection(tuple(state) if state else USUAL.states, order, limit, seed, again=again)
                reply = export_review(location_of(register), output, runs or (), selection, who=who)
            say(*reply, as_json)

    @app.command("import", epilog="Example: `landshift register review import changes-register.gpkg to-review`")
    def import_(
        register: RegisterPlace,
        review: Annotated[
            Path, typer.Argument(help="The folder given out, or its review.gpkg.", metavar="REVIEW", show_default=False)
        ],
        who: Annotated[
            str | None, typer.Option("--who", help="The reviewer, where the form has none.", show_default=False)
        ] = None,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Take verdicts into the register: all of a file or, where something is wrong with it, none."""
        with session(as_json, verbose):
            from landshift.flows.steps.register.review import import_review

            say(*import_review(location_of(register), review, who), as_json)

    @app.command(epilog="Example: `landshift register review precision changes-register.gpkg`")
    def precision(register: RegisterPlace, as_json: Json = False, verbose: Verbose = False) -> None:
        """Estimate how many of the changes are right, of all where they were drawn at random, else of those reviewed."""
        with session(as_json, verbose):
            from landshift.flows.steps.register.review import review_precision

            say(*review_precision(location_of(register)), as_json)

    @app.command(epilog="Example: `landshift register review labels changes-register.gpkg --output labels.gpkg`")
    def labels(
        register: RegisterPlace,
        output: Annotated[Path, typer.Option(help="File to write: .gpkg or .geojson.", show_default=False)],
        project: Annotated[
            str | None, typer.Option(help="Only of the runs of this project.", show_default=False)
        ] = None,
        before: Annotated[
            str | None, typer.Option(help="Only of runs with this date before, such as 2020-06-15.", show_default=False)
        ] = None,
        after: Annotated[str | None, typer.Option(help="Only of runs with this date after.", show_default=False)] = None,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Write reviews as labels, for the next model to be trained and calibrated on."""
        with session(as_json, verbose):
            from landshift.flows.steps.register.review import write_review_labels

            say(*write_review_labels(location_of(register), output, project, before, after=after), as_json)

    return app
