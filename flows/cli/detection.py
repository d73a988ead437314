"""The verbs that map change and judge by the map: `landshift detect`, `landshift monitor` and `landshift plots`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from landshift.flows.cli.options import Config, Data, Json, Method, Model, Output, Outside, Verbose
from landshift.flows.cli.project import open_project
from landshift.flows.cli.session import FAILED, answer, load_models, loading, session
from landshift.flows.runtime.reply import Reply

if TYPE_CHECKING:
    from landshift.flows.steps.publication.run import Detected

_KINDS_SHOWN = 12
"""Kinds of change that the screen lists, the largest first; run.json and the page have all."""


def detect(
    configs: Annotated[list[Path], typer.Argument(help="Project files (YAML).", metavar="CONFIG...", show_default=False)],
    data: Data = None, output: Output = None, model: Model = None, method: Method = None,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask", envvar="LANDSHIFT_DASK", help="Run on the Dask cluster with this scheduler.", show_default=False
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", envvar="LANDSHIFT_RAY", help="Run on the Ray cluster with this head.", show_default=False),
    ] = None,
    allow_outside: Outside = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Make the change map of a project, with its layers and its page; or of several projects, one by one or on a cluster."""
    with session(as_json, verbose):
        from landshift.flows.runtime.compute import cluster_of
        from landshift.flows.runtime.progress import bars

        cluster = cluster_of(dask, ray)
        if len(configs) > 1:
            from landshift.flows.config.paths import resolve_paths
            from landshift.flows.detect_regions import detect_all
            from landshift.flows.steps.publication.regions import lines_of, regions_of

            regions = regions_of(resolve_paths(configs, data, output, model, allow_outside=allow_outside), method)
            with bars(as_json):
                outcomes = detect_all(regions, cluster)
            answer({"regions": [asdict(o) for o in outcomes]}, lines_of(outcomes), as_json)
            if any(o.run is None for o in outcomes):
                raise typer.Exit(FAILED)
        else:
            with loading():
                project, folder = open_project(configs[0], data)
                from landshift.flows.config.project import with_method
                from landshift.flows.detect import detect_one

                project = with_method(project, method)
                if project.detect.method == "model":
                    load_models()
            with bars(as_json):
                detected = detect_one(project, folder, output, allow_outside=allow_outside, model=model, cluster=cluster)
            answer(*detect_answer(detected), as_json)


def first_map(
    folder: Annotated[
        Path, typer.Argument(help="Folder with images of at least two dates.", metavar="FOLDER", show_default=False)
    ],
    config: Annotated[
        Path | None,
        typer.Option(help="Config to use, written where it is missing; FOLDER/landshift.yaml by default.", show_default=False),
    ] = None,
    output: Output = None,
    method: Annotated[str, typer.Option(help="What maps the changes: ir-mad or cva.")] = "ir-mad",
    as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Make a first change map of a folder of images, without labels and without a model: `init` and `detect` in one."""
    with session(as_json, verbose):
        with loading():
            from landshift.flows.config.project import with_method
            from landshift.flows.detect import detect_one
            from landshift.flows.runtime.progress import bars
            from landshift.flows.steps.inspection.first import find_or_write_config
            from landshift.pipeline.errors import InputError

        if method == "model":
            raise InputError("A first map needs no model: --method is ir-mad or cva. With a model, use `landshift detect`.")
        path = config or folder / "landshift.yaml"
        understood = find_or_write_config(folder, path)
        project, data = open_project(path, folder)
        with bars(as_json):
            detected = detect_one(with_method(project, method), data, output)
        content, lines = detect_answer(detected)
        answer({"config": path, **content}, [*understood, *lines], as_json)


def detect_answer(detected: "Detected") -> Reply:
    """Return what a run found, for machines and as lines for people."""
    from landshift.pipeline.records import content_of
    from landshift.pipeline.run.record import read_run
    from landshift.pipeline.run_files import CHANGE_MAP, CHANGES, PAGE, PROJECT

    run = read_run(detected.run)
    note = "" if detected.fresh else " (it was there already, from the same inputs)"
    kinds = run.areas.changes
    rest = kinds[_KINDS_SHOWN:]
    lines = [
        f"{detected.changed_ha:,.1f} ha mapped as changed (pixel count, biased), in {detected.polygons:,} patches{note}.",
        *(f"  {r.area_ha:>10,.1f} ha  {r.name}" for r in kinds[:_KINDS_SHOWN]),
        *([f"  {sum(r.area_ha for r in rest):>10,.1f} ha  in {len(rest):,} more kinds of change"] if rest else []),
        *(f"Warning: {w.full}" for w in run.warnings),
        f"Map:    {detected.run / CHANGE_MAP}",
        f"Layers: {detected.run / CHANGES}",
        f"QGIS:   {detected.run / PROJECT}",
        f"Page:   {detected.run / PAGE}",
        *([f"Copy:   {detected.copied}"] if detected.copied else []),
    ]
    areas = content_of(run.areas)
    return {
        "run": detected.run,
        "fresh": detected.fresh,
        "copied": detected.copied,
        "areas": areas,
        "warnings": [w.full for w in run.warnings],
    }, lines


def monitor(
    config: Config, data: Data = None, output: Output = None, model: Model = None,
    again: Annotated[bool, typer.Option("--again", help="Make done pairs again, for example with a new model.")] = False,
    allow_outside: Outside = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Compare what is new since the last time, and merge it into the register of changes."""
    with session(as_json, verbose):
        with loading():
            project, folder = open_project(config, data)
            from landshift.flows.monitor import monitor as flow
            from landshift.flows.runtime.progress import bars
            from landshift.flows.steps.monitoring.outcome import ending_of, lines_of

        with bars(as_json):
            result = flow(project, folder, output, allow_outside=allow_outside, model=model, again=again)
        ending = ending_of(result)
        outcome = "done" if ending is None else ending.name.lower()
        answer({"outcome": outcome, **asdict(result)}, lines_of(result), as_json)
        if ending is not None:
            raise typer.Exit(FAILED)


def plots(
    config: Config, data: Data = None, output: Output = None, allow_outside: Outside = False, as_json: Json = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Judge thousands of plots by the run of a project: changed after a cut-off date, no change seen, or no answer."""
    with session(as_json, verbose):
        from landshift.flows.runtime.progress import bars
        from landshift.flows.steps.plots.judging import lines_of, make_plots
        from landshift.flows.steps.project.workspace import workspace
        from landshift.pipeline.records import content_of

        project, folder = open_project(config, data)
        with bars(as_json):
            made = make_plots(workspace(project, folder, output, allow_outside=allow_outside))
        answer({"folder": made.folder, "count": made.count, **content_of(made.record)}, lines_of(made), as_json)
