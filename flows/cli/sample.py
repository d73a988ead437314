"""The verbs about a map's errors: `landshift sample` and `landshift estimate`."""

from pathlib import Path
from typing import Annotated

import typer

from landshift.flows.cli.options import Json, Say, Session, Verbose

_Run = Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN", show_default=False)]


def add_sample_verbs(app: typer.Typer, session: Session, say: Say) -> None:
    """Add the verbs, which speak and fail as the others do."""

    @app.command(epilog="Example: `landshift sample runs/taizhou/run --seed 1`")
    def sample(
        run: _Run,
        output: Annotated[
            Path | None, typer.Option(help="Folder to make; `sample` beside the run by default.", show_default=False)
        ] = None,
        size: Annotated[
            int | None,
            typer.Option(min=1, help="Pixels to draw in all; by default what --target-error needs.", show_default=False),
        ] = None,
        target_error: Annotated[
            float, typer.Option(min=0.0001, max=0.5, help="Standard error of the overall accuracy that the size is chosen for.")
        ] = 0.01,
        minimum: Annotated[int, typer.Option(min=2, help="Pixels to draw of each kind of change at least.")] = 50,
        seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same pixels.")] = 0,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Draw a stratified random sample of a map, with pictures and a form to judge it in QGIS."""
        with session(as_json, verbose):
            from landshift.flows.runtime.progress import bars
            from landshift.flows.steps.publication.sample import sample_run
            from landshift.pipeline.records import content_of

            with bars(as_json):
                sampled = sample_run(
                    run, output, size=size, target_standard_error=target_error, minimum=minimum, seed=seed
                )  # fmt: skip
            note = "" if sampled.fresh else " (they were drawn before)"
            lines = [
                f"{sampled.total:,} pixels to judge{note}:",
                *(f"  {row.samples:>6,} of {row.pixels:>12,}  {row.name}" for row in sampled.record.strata),
            ]
            say(
                {
                    "folder": sampled.folder,
                    "total": sampled.total,
                    "strata": content_of(sampled.record)["strata"],
                    "fresh": sampled.fresh,
                },
                lines,
                as_json,
            )

    @app.command(epilog="Example: `landshift estimate runs/taizhou/run runs/taizhou/sample/samples.gpkg`")
    def estimate(
        run: _Run,
        samples: Annotated[Path, typer.Argument(help="The judged sample.", metavar="SAMPLES", show_default=False)],
        areas: Annotated[
            Path | None,
            typer.Option(help="Areas of interest (vector file); those of the run by default.", show_default=False),
        ] = None,
        layer: Annotated[str | None, typer.Option(help="Layer of that file, where it has several.", show_default=False)] = None,
        name_column: Annotated[str | None, typer.Option(help="Column with the names of the areas.", show_default=False)] = None,
        allow_missing: Annotated[
            bool, typer.Option("--allow-missing", help="Leave out pixels that were not judged, or that are gone from the file.")
        ] = False,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Estimate areas and accuracies with 95 % confidence intervals from a judged sample, and put them into the run."""
        with session(as_json, verbose):
            from landshift.flows.runtime.progress import bars
            from landshift.flows.steps.publication.estimate import estimate_run, summary_lines
            from landshift.pipeline.records import content_of
            from landshift.pipeline.run_files import ESTIMATES, PAGE, TABLE

            with bars(as_json):
                estimated = estimate_run(
                    run, samples, areas=areas, layer=layer, name_column=name_column, allow_missing=allow_missing
                )  # fmt: skip
            lines = [*summary_lines(estimated.estimates), f"Numbers: {run / ESTIMATES}, {run / TABLE}",
                     f"Page:    {run / PAGE}"]  # fmt: skip
            say(content_of(estimated.estimates), lines, as_json)
