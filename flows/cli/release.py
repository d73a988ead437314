"""The command line of the releases: `landshift release ...`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landshift.flows.cli.options import Config, Data, Json, Output, Outside, Say, Session, Verbose, Who
from landshift.flows.cli.session import Verbs

if TYPE_CHECKING:
    from landshift.flows.steps.project.workspace import Workspace


def release_app(session: Session, say: Say) -> typer.Typer:
    """Make the sub-command, which speaks and fails as the other verbs do."""
    app = Verbs(
        name="release", within="release", no_args_is_help=True, rich_markup_mode="markdown",
        help="Which model of a project is in use, since when and why; and the way back.",
    )  # fmt: skip

    @app.command("list", epilog="Example: `landshift release list taizhou.yaml`")
    def list_(config: Config, output: Output = None, as_json: Json = False, verbose: Verbose = False) -> None:
        """List what was released, refused and rolled back."""
        with session(as_json, verbose):
            from landshift.flows.steps.release.releases import list_releases

            say(*list_releases(_place(config, output)), as_json)

    @app.command(epilog='Example: `landshift release promote taizhou.yaml --despite-verdict --reason "new legend"`')
    def promote(
        config: Config, data: Data = None, output: Output = None,
        despite_verdict: Annotated[
            bool, typer.Option("--despite-verdict", help="Put it in use though it may be worse; needs --reason.")
        ] = False,
        reason: Annotated[
            str | None, typer.Option("--reason", help="Why; it stays in the journal.", show_default=False)
        ] = None,
        who: Who = None, allow_outside: Outside = False, as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Put the model that was trained last in use, where it is worse in no region or you decide so."""
        with session(as_json, verbose):
            from landshift.flows.config.project import load_project
            from landshift.flows.promote import promote as flow
            from landshift.flows.runtime.progress import bars
            from landshift.flows.steps.release.offering import require_promotable

            require_promotable(_place(config, output), despite_verdict=despite_verdict, reason=reason)
            with bars(as_json):
                offered = flow(
                    load_project(config), data or config.parent, output, allow_outside, despite_verdict, reason, who
                )  # fmt: skip
            say({"promoted": offered.promoted, "fresh": offered.fresh, **vars(offered.entry)}, offered.lines, as_json)
        if not offered.promoted:
            raise typer.Exit(1)

    @app.command(epilog='Example: `landshift release rollback taizhou.yaml --reason "maps haze as clear-cut"`')
    def rollback(
        config: Config,
        reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the journal.", show_default=False)],
        to: Annotated[
            int | None, typer.Option(min=1, help="Number of the release; the one before by default.", show_default=False)
        ] = None,
        output: Output = None, who: Who = None, as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Put an earlier release in use again."""
        with session(as_json, verbose):
            from landshift.flows.steps.release.releases import roll_back

            say(*roll_back(_place(config, output), to, reason, who), as_json)

    return app


def _place(config: Path, output: Path | None) -> "Workspace":
    from landshift.flows.config.project import load_project
    from landshift.flows.steps.project.workspace import workspace

    return workspace(load_project(config), config.parent, output)
