"""The command line. Everything heavy is imported inside the verbs, so that help answers at once."""

import atexit
import gc
from typing import Annotated

import typer

from landshift.flows.cli.deploy import deploy, serve
from landshift.flows.cli.detection import detect, first_map, monitor, plots
from landshift.flows.cli.learning import assess, suggest, train
from landshift.flows.cli.project import check, demo, encoders, init, scenes
from landshift.flows.cli.register import register_app
from landshift.flows.cli.release import release_app
from landshift.flows.cli.sample import add_sample_verbs
from landshift.flows.cli.session import Verbs, answer, session

app = Verbs(
    name="landshift",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="From satellite images of two dates and a few labels to a land-use change map.\n\n"
    "Try `landshift demo` first, then `landshift first-map FOLDER` with images of your own. "
    "Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"landshift {version('landshift')}")
        raise typer.Exit


@app.callback()
def show_version(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version, and nothing else.")
    ] = False,
) -> None:
    """Take the options that stand before a verb."""


for verb, example in (
    (demo, "landshift demo landshift-demo"),
    (first_map, "landshift first-map my-scenes"),
    (init, "landshift init my-scenes"),
    (check, "landshift check configs/taizhou.yaml --data taizhou"),
    (scenes, "landshift scenes configs/stac_earth_search.yaml"),
    (assess, "landshift assess configs/taizhou.yaml --data taizhou --curve"),
    (train, "landshift train configs/taizhou.yaml --data taizhou"),
    (detect, "landshift detect configs/taizhou.yaml --data taizhou"),
    (suggest, "landshift suggest configs/taizhou.yaml --data taizhou"),
    (monitor, "landshift monitor taizhou.yaml --data scenes"),
    (plots, "landshift plots configs/deforestation.yaml --data concession"),
    (encoders, "landshift encoders --json"),
    (serve, "PREFECT_API_URL=http://127.0.0.1:4200/api landshift serve taizhou.yaml"),
    (deploy, "landshift deploy taizhou.yaml --pool landshift --limit gpu=1"),
):
    app.command(verb.__name__.replace("_", "-"), epilog=f"Example: `{example}`")(verb)

add_sample_verbs(app, session, answer)
app.add_typer(register_app(session, answer))
app.add_typer(release_app(session, answer))


def main() -> None:
    """Run the command line."""
    # What was loaded ends with the process: to look for garbage among it would take a second and more.
    atexit.register(gc.freeze)
    app()


if __name__ == "__main__":
    main()
