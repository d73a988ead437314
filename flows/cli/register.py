"""Verbs `landshift register ...`."""

from pathlib import Path
from typing import Annotated

import typer

from landshift.flows.cli.options import Json, RegisterPlace, Say, Session, Verbose, Who
from landshift.flows.cli.review import review_app
from landshift.flows.cli.session import Verbs, loading
from landshift.pipeline.register.address import location_of

_Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the history.", show_default=False)]


def register_app(session: Session, say: Say) -> typer.Typer:
    """Return the sub-command; its verbs print and fail as the others do."""
    app = Verbs(
        name="register", within="register", no_args_is_help=True, rich_markup_mode="markdown",
        help="Keep one record of all changes that many runs found, over years.",
    )  # fmt: skip

    @app.command(epilog="Example: `landshift register merge changes-register.gpkg runs/*/run`")
    def merge(
        register: RegisterPlace,
        runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", metavar="RUN...", show_default=False)],
        seen_again: Annotated[
            int | None, typer.Option(min=1, help="Of a new register: times to be seen again (1).", show_default=False)
        ] = None,
        of: Annotated[
            int | None, typer.Option(min=1, help="Of a new register: in how many observations (2).", show_default=False)
        ] = None,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Merge runs: all of them or, where one does not fit, none."""
        with session(as_json, verbose):
            from landshift.flows.runtime.progress import bars
            from landshift.flows.steps.register.changes import merge_runs

            with bars(as_json):
                answer = merge_runs(location_of(register), runs, seen_again, of)
            say(*answer, as_json)

    @app.command("list", epilog="Example: `landshift register list changes-register.gpkg --state confirmed`")
    def list_(
        register: RegisterPlace,
        state: Annotated[
            str | None, typer.Option(help="new, confirmed, closed, rejected or withdrawn; all by default.", show_default=False)
        ] = None,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """List the changes, the largest first."""
        with session(as_json, verbose):
            with loading():
                from landshift.flows.steps.register.changes import list_changes

            say(*list_changes(location_of(register), state), as_json)

    _Change = Annotated[str, typer.Argument(help="Id of the change.", metavar="CHANGE_ID", show_default=False)]

    @app.command(epilog="Example: `landshift register show changes-register.gpkg taizhou-29731-358412`")
    def show(register: RegisterPlace, change_id: _Change, as_json: Json = False, verbose: Verbose = False) -> None:
        """Show all that is known of one change: the runs that saw it, its reviews and its history."""
        with session(as_json, verbose):
            from landshift.flows.steps.register.changes import show_change

            say(*show_change(location_of(register), change_id), as_json)

    @app.command(epilog="Example: `landshift register diff changes-register.gpkg --since 2024-05-01 --output may.geojson`")
    def diff(
        register: RegisterPlace,
        since: Annotated[str, typer.Option(help="Number of the history, date, or key of a run.", show_default=False)],
        output: Annotated[Path, typer.Option(help="File to write: .gpkg or .geojson.", show_default=False)],
        until: Annotated[
            int | None, typer.Option(min=0, help="Last number of the history; all by default.", show_default=False)
        ] = None,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Write what is new, confirmed, closed, rejected or withdrawn since then."""
        with session(as_json, verbose):
            from landshift.flows.steps.register.changes import diff_register

            say(*diff_register(location_of(register), since, output, until), as_json)

    @app.command(epilog='Example: `landshift register reject changes-register.gpkg taizhou-29731-358412 --reason "harvest"`')
    def reject(
        register: RegisterPlace, change_id: _Change, reason: _Reason, who: Who = None, as_json: Json = False,
        verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Reject a change; it stays rejected when it is seen again."""
        with session(as_json, verbose):
            from landshift.flows.steps.register.changes import reject_change

            say(*reject_change(location_of(register), change_id, reason, who), as_json)

    @app.command(epilog='Example: `landshift register confirm changes-register.gpkg taizhou-29731-358412 --reason "visited"`')
    def confirm(
        register: RegisterPlace, change_id: _Change, reason: _Reason, who: Who = None, as_json: Json = False,
        verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Confirm a change; this also takes a rejection back."""
        with session(as_json, verbose):
            from landshift.flows.steps.register.changes import confirm_change

            say(*confirm_change(location_of(register), change_id, reason, who), as_json)

    @app.command(
        epilog='Example: `landshift register withdraw changes-register.gpkg --run 0123abcd --reason "wrong cloud mask"`'
    )
    def withdraw(
        register: RegisterPlace, reason: _Reason,
        run: Annotated[str | None, typer.Option(help="Key of a run.", show_default=False)] = None,
        model: Annotated[str | None, typer.Option(help="Hash of a model's weights.", show_default=False)] = None,
        scene: Annotated[str | None, typer.Option(help="File name, path, hash or id of a scene.", show_default=False)] = None,
        who: Who = None, as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Take back a run, all of a model, or all that was made from a scene; what others saw stays."""
        with session(as_json, verbose):
            from landshift.flows.steps.register.changes import withdraw as take_back

            say(*take_back(location_of(register), run, model, scene, reason, who), as_json)

    @app.command(epilog="Example: `landshift register alerts changes-register.gpkg configs/taizhou.yaml --dry-run`")
    def alerts(
        register: RegisterPlace,
        config: Annotated[Path, typer.Argument(help="Project file (YAML).", metavar="CONFIG", show_default=False)],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; send and write nothing.")] = False,
        data: Annotated[
            Path | None, typer.Option(help="Folder of the data; the config's own folder by default.", show_default=False)
        ] = None,
        allow_outside: Annotated[
            bool, typer.Option("--allow-outside", help="Let paths of the config leave the data folder.")
        ] = False,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Send alerts of what changed its state, once, by the channels of the config."""
        with session(as_json, verbose):
            from landshift.flows.config.project import load_project
            from landshift.flows.steps.alerts.sending import alerts_answer
            from landshift.flows.steps.project.workspace import workspace

            ws = workspace(load_project(config), data or config.parent, allow_outside=allow_outside)
            answer, failed = alerts_answer(location_of(register), ws, dry_run)
            say(*answer, as_json)
        if failed:
            raise typer.Exit(1)

    app.add_typer(review_app(session, say))
    return app
