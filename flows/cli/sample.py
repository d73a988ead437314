"""The verbs about a map's errors: `landshift sample` and `landshift estimate`."""

from pathlib import Path
from typing import Annotated

import typer

from landshift.flows.cli.options import Json, Say, Session, Verbose

_Run = Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN", show_default=False)]


def read_share(text: str) -> float:
    """Return a share of a text such as `20%` or `0.2`."""
    number = text.strip()
    try:
        found = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        found = 0.0
    if not 0.001 <= found <= 2:
        raise typer.BadParameter(f"{text!r} is no share from 0.1% to 200%; expected one such as 20% or 0.2.")
    return found


def add_sample_verbs(app: typer.Typer, session: Session, say: Say) -> None:
    """Add the verbs, which speak and fail as the others do."""

    @app.command(epilog="Example: `landshift sample runs/taizhou/run --area-error 20% --plan`")
    def sample(
        run: _Run,
        output: Annotated[
            Path | None, typer.Option(help="Folder to make; `sample` beside the run by default.", show_default=False)
        ] = None,
        area_error: Annotated[
            float | None,
            typer.Option(
                parser=read_share, metavar="SHARE", show_default=False,
                help="Relative standard error of the changed area that the size is chosen for; by default 10%, with at "
                "most 600 pixels.",
            ),
        ] = None,
        target_error: Annotated[
            float | None,
            typer.Option(
                min=0.0001, max=0.5, show_default=False,
                help="Choose the size for this standard error of the overall accuracy instead, with a stratum for each kind of "
                "change.",
            ),
        ] = None,
        size: Annotated[int | None, typer.Option(min=1, help="Pixels to draw in all.", show_default=False)] = None,
        minimum: Annotated[
            int | None,
            typer.Option(min=2, show_default=False, help="Pixels of each stratum at least; 30, or 50 with --target-error."),
        ] = None,
        seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same pixels.")] = 0,
        add_to: Annotated[
            Path | None,
            typer.Option(
                help="Folder of a sample: draw more pixels of its strata, --size of them or what --area-error needs.",
                show_default=False,
            ),
        ] = None,
        plan: Annotated[bool, typer.Option("--plan", help="Show what the sample would cost, and draw nothing.")] = False,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Draw a stratified random sample of a map, with pictures and a form to judge it in QGIS."""
        with session(as_json, verbose):
            from landshift.flows.runtime.progress import bars
            from landshift.flows.steps.publication.sample import add_to_sample, sample_run
            from landshift.flows.steps.publication.sample_texts import require_consistent, sample_lines
            from landshift.pipeline.records import content_of
            from landshift.pipeline.sample.planning.plan import Aim

            require_consistent(area_error=area_error, target_error=target_error, size=size, minimum=minimum, add_to=add_to)
            with bars(as_json):
                if add_to is not None:
                    sampled = add_to_sample(
                        run, add_to, output, size=size, area_error=area_error, seed=seed, draws=not plan
                    )  # fmt: skip
                else:
                    aim = Aim(area_error, target_error, size, minimum)
                    sampled = sample_run(run, output, aim=aim, seed=seed, draws=not plan)
            record = content_of(sampled.record)
            content = {
                "folder": sampled.folder, "total": sampled.total, "strata": record["strata"], "plan": record["plan"],
                "earlier": record["earlier"], "planned": plan, "fresh": sampled.fresh,
            }  # fmt: skip
            say(content, sample_lines(sampled, planned=plan), as_json)

    @app.command(epilog="Example: `landshift estimate runs/taizhou/run runs/taizhou/sample/samples.gpkg`")
    def estimate(
        run: _Run,
        samples: Annotated[
            list[Path],
            typer.Argument(
                help="The judged sample; where it was added to, the file of each draw.", metavar="SAMPLES", show_default=False
            ),
        ],
        second: Annotated[
            list[Path] | None,
            typer.Option(help="The same pixels judged by a second interpreter; again for each draw.", show_default=False),
        ] = None,
        areas: Annotated[
            Path | None,
            typer.Option(help="Areas of interest (vector file); those of the run by default.", show_default=False),
        ] = None,
        layer: Annotated[str | None, typer.Option(help="Layer of that file, where it has several.", show_default=False)] = None,
        name_column: Annotated[str | None, typer.Option(help="Column with the names of the areas.", show_default=False)] = None,
        allow_missing: Annotated[
            bool, typer.Option("--allow-missing", help="Leave out pixels that were not judged, or that are gone from the file.")
        ] = False,
        crosswalk: Annotated[
            Path | None,
            typer.Option(
                help="Config with a `crosswalk` to classes of the IPCC and the UNCCD; that of the run by default.",
                metavar="CONFIG", show_default=False,
            ),
        ] = None,
        word: Annotated[
            Path | None,
            typer.Option(help="Write the text for a report as a Word document, too.", metavar="DOCX", show_default=False),
        ] = None,
        as_json: Json = False, verbose: Verbose = False,
    ) -> None:  # fmt: skip
        """Estimate areas and accuracies with 95 % confidence intervals from a judged sample, and put them into the run."""
        with session(as_json, verbose):
            from landshift.flows.runtime.progress import bars
            from landshift.flows.steps.publication.estimate import estimate_run, summary_lines
            from landshift.pipeline.records import content_of
            from landshift.pipeline.run_files import PAGE, TABLE, TEXT
            from landshift.pipeline.sample.tables.word import require_word, write_word

            if word is not None:
                require_word(word)
            with bars(as_json):
                estimated = estimate_run(
                    run, samples, second=second or (), areas=areas, layer=layer, name_column=name_column,
                    allow_missing=allow_missing, crosswalk=crosswalk,
                )  # fmt: skip
            if word is not None:
                write_word(word, (run / TEXT).read_text(encoding="utf-8"))
            lines = [*summary_lines(estimated.estimates), f"Numbers: {run / TABLE}",
                     f"Text:    {run / TEXT}", *([f"Word:    {word}"] if word is not None else []),
                     f"Page:    {run / PAGE}"]  # fmt: skip
            say(content_of(estimated.estimates), lines, as_json)
