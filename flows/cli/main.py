"""The command line. Everything heavy is imported inside the verbs, so that help answers at once."""

import json
import logging
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from landshift.flows.cli.deploy import add_deployment_verbs
from landshift.flows.cli.options import Config, Data, Json, Output, Outside, Verbose
from landshift.flows.cli.register import register_app
from landshift.flows.cli.release import release_app
from landshift.flows.cli.sample import add_sample_verbs
from landshift.pipeline.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from landshift.flows.config.project import Project
    from landshift.flows.steps.publication.run import Detected

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What a terminal obeys instead of showing it, or cannot encode: names and tags of files are written by strangers."""

_GO_ON = "run the same command again; what is finished is not done again."

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="landshift",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="From satellite images of two dates and a few labels to a land-use change map.\n\n"
    "Try `landshift demo` first. Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted.",
)


@contextmanager
def _session(as_json: bool, verbose: bool) -> Iterator[None]:
    """Turn what a verb raises into words and an exit code."""
    _quiet_prefect(verbose)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s")
    for name in ("httpx", "alembic", "fsspec", "pyogrio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("urllib3", "rasterio"):
        # A request that is tried again is no news; what fails in the end is told in our words.
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    # A notice between two libraries, of no use to anyone here.
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    # A scheduler or an operator that ends the process gets the same tidy stop as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except InputError as error:
        _complain("bad input", str(error), as_json)
        raise typer.Exit(BAD_INPUT) from error
    except UnavailableError as error:
        if verbose:
            traceback.print_exc()
        _complain("failed", str(error), as_json)
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        _complain("interrupted", _GO_ON, as_json)
        raise typer.Exit(INTERRUPTED) from error
    except Exception as error:
        if _is_interrupt(error):
            _complain("interrupted", _GO_ON, as_json)
            raise typer.Exit(INTERRUPTED) from error
        if verbose:
            traceback.print_exc()
        _complain(
            "failed",
            f"{type(error).__name__}: {error}" + ("" if verbose else "\nRun again with --verbose for the traceback."),
            as_json,
        )
        raise typer.Exit(FAILED) from error


def _is_interrupt(error: BaseException | None) -> bool:
    """Tell whether an interrupt is behind an exception: libraries that start something may wrap it in one of their own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _complain(kind: str, text: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": kind, "message": _CONTROL.sub("", text)}))
    typer.secho(_CONTROL.sub("", f"{kind.capitalize()}: {text}"), err=True, fg=typer.colors.RED)


def _quiet_prefect(verbose: bool) -> None:
    """Set what Prefect reads from the environment at import, where the operator has not."""
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The first start makes its database, which takes longer than Prefect's default allows on small machines.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
        # Prefect logs what a step raised as an error with a traceback; the verbs say it in their own words.
        "PREFECT_LOGGING_LEVEL": "INFO" if verbose else "CRITICAL",
        # Its temporary server complains where it is stopped while it still writes down task runs, which nobody asks it for.
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING" if verbose else "CRITICAL",
    }
    for key, value in defaults.items():
        os.environ.setdefault(key, value)


def _open(config: Path, data: Path | None, output: Path | None, outside: bool) -> "tuple[Project, dict[str, Any]]":
    from landshift.flows.config.project import load_project

    project = load_project(config)
    folder = data if data is not None else config.parent
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Expected the data folder; check --data.")
    return project, {"data": folder, "output": output, "allow_outside": outside}


def _answer(content: dict[str, Any], lines: list[str], as_json: bool) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2, default=str) if as_json else "\n".join(lines)
    typer.echo(_CONTROL.sub("", text))


@app.command(epilog="Example: `landshift demo landshift-demo`")
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put the demo.")] = Path("landshift-demo"),
    seed: Annotated[int, typer.Option(help="Which landscape.")] = 7,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Also assess a source that helps and one that hurts (some minutes more).")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make a landscape with known truth, train, detect, and say what to try next."""
    with _session(as_json, verbose):
        from landshift.flows.demo.run import run_demo
        from landshift.flows.runtime.progress import bars

        with bars(as_json):
            content, lines = run_demo(folder, seed)
            if transfer:
                from landshift.flows.demo.transfer import run_transfer_demo

                content["transfer"], more = run_transfer_demo(folder, seed)
                lines += ["", *more]
        _answer(content, lines, as_json)


@app.command(epilog="Example: `landshift init my-scenes`")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder with GeoTIFFs of at least two dates.", show_default=False)],
    config: Annotated[
        Path | None, typer.Option(help="Config to write; FOLDER/landshift.yaml by default.", show_default=False)
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Read the rasters in a folder, and write a commented config to complete."""
    with _session(as_json, verbose):
        from landshift.flows.steps.inspection.init import write_config

        path, questions = write_config(folder, config or folder / "landshift.yaml")
        lines = [f"Wrote {path}."]
        lines += [f"  to decide: {q}" for q in questions]
        _answer({"config": path, "to_decide": questions}, [*lines, f"Then run: landshift check {path}"], as_json)


@app.command(epilog="Example: `landshift check configs/taizhou.yaml --data taizhou`")
def check(
    config: Config, data: Data = None, output: Output = None, allow_outside: Outside = False, as_json: Json = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """Check a config and its files without heavy work, and print the plan."""
    with _session(as_json, verbose):
        from landshift.flows.steps.inspection.check import check_project
        from landshift.flows.steps.project.workspace import workspace

        project, where = _open(config, data, output, allow_outside)
        ws = workspace(project, where["data"], where["output"], allow_outside=allow_outside)
        content, lines = check_project(ws)
        _answer(content, lines, as_json)


@app.command(epilog="Example: `landshift scenes configs/stac.yaml`")
def scenes(
    config: Config, data: Data = None, output: Output = None, allow_outside: Outside = False, as_json: Json = False,
    verbose: Verbose = False,
) -> None:  # fmt: skip
    """List the scenes that are found, which epoch uses them, and why not."""
    with _session(as_json, verbose):
        from landshift.flows.steps.inspection.scenes import list_scenes
        from landshift.flows.steps.project.workspace import workspace

        project, where = _open(config, data, output, allow_outside)
        content, lines = list_scenes(workspace(project, where["data"], where["output"], allow_outside=allow_outside))
        _answer(content, lines, as_json)


@app.command(epilog="Example: `landshift assess configs/taizhou.yaml --data taizhou --curve`")
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
    with _session(as_json, verbose):
        project, where = _open(config, data, output, allow_outside)
        from landshift.flows.assess import assess as flow
        from landshift.flows.runtime.progress import bars
        from landshift.pipeline.pages.assessment import summary_lines

        with bars(as_json):
            assessed = flow(project, **where, model=model, quick=quick, strategies=strategies, verify=verify, curve=curve)
        content = json.loads(assessed.report.read_text(encoding="utf-8"))
        lines = [*summary_lines(content), "", f"Page:    {assessed.page}", f"Numbers: {assessed.report}"]
        _answer({"report": assessed.report, "page": assessed.page, **content}, lines, as_json)


@app.command(epilog="Example: `landshift train configs/taizhou.yaml --data taizhou`")
def train(
    config: Config, data: Data = None, output: Output = None,
    despite_verdict: Annotated[
        bool, typer.Option("--despite-verdict", help="Train even where the assessment found that the encoder hurts.")
    ] = False,
    allow_outside: Outside = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Train a model, measure it on blocks it never saw, and use it where it is worse in no region than the one in use."""
    with _session(as_json, verbose):
        project, where = _open(config, data, output, allow_outside)
        from landshift.flows.runtime.progress import bars
        from landshift.flows.steps.release.candidates import card_scores
        from landshift.flows.train import train as flow

        with bars(as_json):
            trained = flow(project, **where, despite_verdict=despite_verdict)
        report = json.loads(trained.report.read_text(encoding="utf-8"))
        lines = [card_scores(trained.model), "", *(f"Warning: {w}" for w in report["warnings"])]
        lines += [*trained.told, "", f"Model: {trained.model}", f"Card:  {trained.model / 'card.md'}"]
        _answer({"model": trained.model, "promoted": trained.promoted, "release": trained.told, **report}, lines, as_json)
    if not trained.promoted:
        raise typer.Exit(FAILED)


_Dask = Annotated[
    str | None,
    typer.Option("--dask", envvar="LANDSHIFT_DASK", help="Run on the Dask cluster with this scheduler.", show_default=False),
]

_Ray = Annotated[
    str | None, typer.Option("--ray", envvar="LANDSHIFT_RAY", help="Run on the Ray cluster with this head.", show_default=False)
]


@app.command(epilog="Example: `landshift detect configs/taizhou.yaml --data taizhou`")
def detect(
    configs: Annotated[list[Path], typer.Argument(help="Project files (YAML).", metavar="CONFIG...", show_default=False)],
    data: Data = None, output: Output = None,
    model: Annotated[Path | None, typer.Option(help="Use this model instead of the project's own.", show_default=False)] = None,
    dask: _Dask = None, ray: _Ray = None, allow_outside: Outside = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Make the change map of a project, with its layers and its page; or of several projects, one by one or on a cluster."""
    failed = False
    with _session(as_json, verbose):
        from landshift.flows.runtime.compute import cluster_of
        from landshift.flows.runtime.progress import bars

        cluster = cluster_of(dask, ray)
        if len(configs) > 1:
            from landshift.flows.config.places import place_of
            from landshift.flows.detect_regions import detect_all
            from landshift.flows.steps.publication.regions import lines_of, regions_of

            regions = regions_of([place_of(c, data, output, model, allow_outside=allow_outside) for c in configs])
            with bars(as_json):
                outcomes = detect_all(regions, cluster)
            _answer({"regions": [asdict(o) for o in outcomes]}, lines_of(outcomes), as_json)
            failed = any(o.run is None for o in outcomes)
        else:
            project, where = _open(configs[0], data, output, allow_outside)
            from landshift.flows.detect import detect_one

            with bars(as_json):
                detected = detect_one(project, **where, model=model, cluster=cluster)
            _answer(*_detected(detected), as_json)
    if failed:
        raise typer.Exit(FAILED)


_KINDS_SHOWN = 12
"""Kinds of change told one by one on the screen, the largest first; run.json and the page have all."""


def _detected(detected: "Detected") -> tuple[dict[str, Any], list[str]]:
    content = json.loads((detected.run / "run.json").read_text(encoding="utf-8"))
    note = "" if detected.fresh else " (it was there already, from the same inputs)"
    kinds = content["areas"]["changes"]
    rest = kinds[_KINDS_SHOWN:]
    lines = [
        f"{detected.changed_ha:,.1f} ha mapped as changed (pixel count, biased), in {detected.polygons:,} patches{note}.",
        *(f"  {r['area_ha']:>10,.1f} ha  {r['name']}" for r in kinds[:_KINDS_SHOWN]),
        *([f"  {sum(r['area_ha'] for r in rest):>10,.1f} ha  in {len(rest):,} more kinds of change"] if rest else []),
        *(f"Warning: {w}" for w in content["warnings"]),
        f"Map:    {detected.run / 'change.tif'}",
        f"Layers: {detected.run / 'changes.gpkg'}",
        f"QGIS:   {detected.run / 'map.qgz'}",
        f"Page:   {detected.run / 'report.html'}",
    ]
    return {"run": detected.run, "fresh": detected.fresh, "areas": content["areas"], "warnings": content["warnings"]}, lines


@app.command(epilog="Example: `landshift monitor taizhou.yaml --data scenes`")
def monitor(
    config: Config, data: Data = None, output: Output = None,
    model: Annotated[Path | None, typer.Option(help="Use this model instead of the project's own.", show_default=False)] = None,
    again: Annotated[bool, typer.Option("--again", help="Make done pairs again, for example with a new model.")] = False,
    allow_outside: Outside = False, as_json: Json = False, verbose: Verbose = False,
) -> None:  # fmt: skip
    """Compare what is new since the last time, and merge it into the register of changes."""
    with _session(as_json, verbose):
        project, where = _open(config, data, output, allow_outside)
        from landshift.flows.monitor import monitor as flow
        from landshift.flows.runtime.progress import bars
        from landshift.flows.steps.monitoring.outcome import lines_of

        with bars(as_json):
            result = flow(project, **where, model=model, again=again)
        _answer(asdict(result), lines_of(result), as_json)
    if result.failed or result.untold:
        raise typer.Exit(FAILED)


@app.command(epilog="Example: `landshift encoders --json`")
def encoders(as_json: Json = False, verbose: Verbose = False) -> None:
    """List the pretrained encoders: bands, source task, and whether they need the network."""
    with _session(as_json, verbose):
        from dataclasses import asdict

        from landshift.models.encoders.table import encoders as table

        rows = table()
        lines = [f"{e.name:<58} {e.source:<9} {', '.join(e.bands) or 'any bands'}" for e in rows]
        _answer({"encoders": [asdict(e) for e in rows]}, lines, as_json)


app.add_typer(register_app(_session, _answer))

add_deployment_verbs(app, _session, _answer)

add_sample_verbs(app, _session, _answer)

app.add_typer(release_app(_session, _answer))


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
