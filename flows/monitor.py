"""Monitor: go on where the last run ended, as new scenes come in, and keep the register up to date."""

import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.alerts import send_alerts
from flows.config import Project, load_project
from flows.detect import detect
from flows.finding import find_scenes
from flows.masking import FOLDER, borrow_masks
from flows.prepare import artifact_name, epoch_key, plan, sensor_of
from flows.progress import step
from flows.publishing import published_config
from flows.workspace import Workspace, workspace
from pipeline.errors import InputError, UnavailableError, in_words
from pipeline.manifest import Manifest, file_hash, link_or_copy, value_hash, write_json
from pipeline.pairing import Pair, Pairing, Period, pairing
from pipeline.register_diff import changed_between
from pipeline.register_run import read_mergeable
from pipeline.register_store import Register, open_register
from pipeline.register_tables import HISTORY
from pipeline.releases import short
from pipeline.season import Season, in_season, outside
from pipeline.survey import Finding
from pipeline.vector_register import write_changed

STATE, PAIRS, DIFFS = "monitor.json", "pairs", "diffs"
"""In the project's folder of outputs."""
DONE, FAILED = "done", "failed"

_LENT_FOR_DAYS = 430
"""How long the image of a period may still be needed: a year and the largest tolerance of the season, or so."""


@dataclass(frozen=True)
class Compared:
    """What became of a pair."""

    pair: str
    """Its name, which is that of its folder."""
    before: str
    """Earlier period."""
    after: str
    """Later period."""
    outcome: str
    """`done`, `failed`, or `known`: done before from the same scenes."""
    message: str
    """What was found, or what went wrong; a sentence."""


@dataclass(frozen=True)
class Monitored:
    """What a monitor run did."""

    pairs: tuple[Compared, ...]
    """By date, those that were known already included."""
    waiting: tuple[str, ...]
    """Periods that are not compared yet, and why; sentences."""
    faulty: tuple[str, ...]
    """Scenes that were skipped, and why; sentences."""
    register: Path | str
    """The register: its file, or its address on a server."""
    diff: Path | None
    """What changed in it since the last time, as GeoPackage (a GeoJSON lies beside it); None where nothing did."""
    what: dict[str, int]
    """State to the number of changes that are in it now and were not before."""
    told: tuple[str, ...] = ()
    """Who was told of it; sentences."""
    untold: tuple[str, ...] = ()
    """Alerts that did not arrive, and why; the next run tries them again; sentences."""
    other_models: tuple[str, ...] = ()
    """Pairs that were made by another model than the one in use now; sentences."""

    @property
    def failed(self) -> tuple[Compared, ...]:
        """Pairs that went wrong; the next run tries them again."""
        return tuple(pair for pair in self.pairs if pair.outcome == FAILED)


@flow(name="monitor", persist_result=False)
def monitor(
    project: Project | Path, data: Path, output: Path | None = None, allow_outside: bool = False, model: Path | None = None,
    today: date | None = None, again: bool = False,
) -> Monitored:  # fmt: skip
    """Compare what is new since the last time, and merge it into the register.

    A pair whose scenes and configuration are those of the last time is left as it is. One that goes wrong is reported, and the
    others go on. The state of the register depends on the runs, not on the order or the number of times that this ran.

    Args:
        project: Its epoch `before` is the baseline, and its epoch `after` begins with the first day that is watched. A path is
            that of its config, read now: what a deployment names.
        data: The data folder.
        output: Folder of outputs; the config's where None.
        allow_outside: Whether paths in the config may leave the data folder.
        model: A model to use instead of the project's own.
        today: The present day (UTC) where None.
        again: Whether pairs that are done are made again, for example with another model.

    Raises:
        InputError: The config, the scenes, the model or the register cannot be used at all.
    """
    if isinstance(project, Path):
        project = load_project(project)
    # Another list of faulty scenes shall not make every pair another one.
    project = project.model_copy(update={"scenes": project.scenes.model_copy(update={"faulty": "skip"})})
    ws = workspace(project, data, output, allow_outside=allow_outside, model=model)
    ws.require_writable()
    with ws.alone():
        chosen = ws.model_in_use
        weights = _weights_of(chosen)
        register = _register(ws)
        findings = find_scenes(ws, sensor_of(project.sensor), tolerant=True)
        made = pairs_of(project, findings, today or datetime.now(UTC).date())
        state = _read_state(ws)
        compared, merged = [], _merged(register)
        with step("Monitoring") as advance:
            for number, pair in enumerate(made.pairs, start=1):
                compared.append(_compare(ws, register, merged, pair, findings, state, chosen, weights, again=again))
                advance(number / len(made.pairs))
        _forget_images(ws, made.pairs, state)
        others = _of_other_models(made.pairs, state, weights)
        try:
            diff, what = _publish(ws, register, state)
            told, untold = _tell(ws, register)
        except UnavailableError as error:
            diff, what, told, untold = None, {}, (), (str(error),)
    result = Monitored(
        tuple(compared),
        made.waiting,
        tuple(f"{f.name}: {f.fault}" for f in findings if f.fault),
        ws.register_file if isinstance(ws.register, Path) else str(ws.register),
        diff,
        what,
        told,
        untold,
        others,
    )
    _show(ws, result)
    return result


def pairs_of(project: Project, findings: Sequence[Finding], today: date) -> Pairing:
    """Return the pairs that the scenes of a project come to."""
    baseline, settings = project.epochs.before, project.monitor
    days = in_season(project.epochs.part_of_year, [f.day for f in findings if f.day is not None and f.scene is not None])
    return pairing(
        days, Period(baseline.start, baseline.end), project.epochs.after.start, today, policy=settings.pairs,
        days=settings.period_days, tolerance_days=settings.season_tolerance_days,
    )  # fmt: skip


def _compare(
    ws: Workspace, register: Register, merged: Collection[str] | None, pair: Pair, findings: Sequence[Finding],
    state: dict[str, Any], model: Path, weights: str, *, again: bool,
) -> Compared:  # fmt: skip
    """Map one pair and merge it, unless that is done already."""
    ours = _pair_workspace(ws, pair, model)
    fingerprint = value_hash([published_config(ours), _used(pair, findings, ws.project.epochs.part_of_year)])
    known = state["pairs"].get(pair.name, {})
    same = known.get("fingerprint") == fingerprint and known.get("register", "") == _name_of(ws)
    # A register that was lost, or restored from an older copy, gets back what it lacks.
    there = merged is None or known.get("run") in merged
    if known.get("outcome") == DONE and same and there and not again:
        return Compared(pair.name, str(pair.before), str(pair.after), "known", known["message"])
    try:
        _borrow_images(ours, ws.output / PAIRS)
        detected = detect(ours.project, ws.data, ours.output.parent, ws.allow_outside, model)
        run = read_mergeable(detected.run)
        register.merge([run])
        outcome, key = DONE, run.view.observation.key
        message = f"{detected.changed_ha:,.1f} ha mapped as changed (pixel count, biased), in {detected.polygons:,} patches."
    except Exception as error:
        outcome, key, message = FAILED, None, in_words(error)
    state["pairs"][pair.name] = {
        "outcome": outcome, "fingerprint": fingerprint, "register": _name_of(ws), "run": key, "message": message,
        "attempts": known.get("attempts", 0) + 1 if known.get("outcome") == FAILED else 1,
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "model": weights,
    }  # fmt: skip
    write_json(ws.output / STATE, state)
    return Compared(pair.name, str(pair.before), str(pair.after), outcome, message)


def _weights_of(model: Path) -> str:
    """Return the hash by which registers know a model.

    Raises:
        InputError: It is none, or damaged.
    """
    from models.bundle import WEIGHTS, describe

    describe(model)
    return file_hash(model / WEIGHTS)


def _of_other_models(pairs: Sequence[Pair], state: dict[str, Any], weights: str) -> tuple[str, ...]:
    """Name the pairs that are done and were made by another model; what is not known of old pairs is left out."""
    made = [(pair.name, state["pairs"].get(pair.name, {})) for pair in pairs]
    models = Counter(known["model"] for _, known in made if known.get("outcome") == DONE and known.get("model"))
    return tuple(
        f"{count} pair{'' if count == 1 else 's'} made by the model {short(model)}, while {short(weights)} is in use now. "
        f"They stay as they are; --again makes them again."
        for model, count in models.items()
        if model != weights
    )


def _pair_workspace(ws: Workspace, pair: Pair, model: Path) -> Workspace:
    epochs = {
        name: {"start": period.start, "end": period.end} for name, period in (("before", pair.before), ("after", pair.after))
    }
    content = ws.project.model_dump()
    content["epochs"] |= epochs
    project = type(ws.project).model_validate(content)
    return workspace(project, ws.data, ws.output / PAIRS / pair.name, allow_outside=ws.allow_outside, model=model)


def _used(pair: Pair, findings: Sequence[Finding], season: Season | None) -> list[list[object]]:
    """Say what a pair is made of, in what can be had without reading a file."""
    dated = [f for f in findings if f.day is not None and not outside(season, f.day)]
    wanted = [f for f in dated if f.day and any(p.start <= f.day <= p.end for p in (pair.before, pair.after))]
    return [[f.name, str(f.day), f.fault, [_version(p) for p in f.scene.paths] if f.scene else None] for f in wanted]


def _version(place: Any) -> list[object]:  # noqa: ANN401 (a file, here or on a server)
    if isinstance(place, Path):
        said = place.stat()
        return [place.name, said.st_size, said.st_mtime_ns]
    return [str(place), place.version]


def _borrow_images(ws: Workspace, pairs: Path) -> None:
    """Take over the images of epochs that other pairs made already: each date is composited once."""
    made = plan(ws)
    scenes = [scene for epoch in made.epochs for scene in epoch.scenes]
    borrow_masks(ws, scenes, made.cloud_model, made.grid, sorted(pairs.glob(f"*/*/epochs/{FOLDER}")))
    ours = ws.manifest(ws.epochs)
    for name in ("before", "after"):
        key = epoch_key(ws, made, name)
        if ours.is_current(name, key):
            continue
        for folder in sorted(pairs.glob("*/*/epochs")):
            theirs = Manifest(folder)
            lender = next((n for n in ("after", "before") if folder != ws.epochs and theirs.is_current(n, key)), None)
            if lender is None:
                continue
            ws.epochs.mkdir(parents=True, exist_ok=True)
            files = [ws.epochs / f"{name}{suffix}" for suffix in (".tif", "_observation.tif")]
            for file in files:
                file.unlink(missing_ok=True)
                link_or_copy(folder / f"{lender}{file.name.removeprefix(name)}", file)
            ours.record(name, key, files, theirs.facts(lender))
            break


def _forget_images(ws: Workspace, pairs: Sequence[Pair], state: dict[str, Any]) -> None:
    """Remove images that no later pair can need; years of them would fill any disk."""
    if not pairs:
        return
    last = pairs[-1].after.end
    for pair in pairs[:-1]:
        old = ws.project.monitor.pairs != "same-season" or (last - pair.after.end).days > _LENT_FOR_DAYS
        if old and state["pairs"].get(pair.name, {}).get("outcome") == DONE:
            shutil.rmtree(ws.output / PAIRS / pair.name / ws.project.name / "epochs", ignore_errors=True)


def _publish(ws: Workspace, store: Register, state: dict[str, Any]) -> tuple[Path | None, dict[str, int]]:
    """Write what changed in the register since it was written the last time."""
    if not store.database.exists:
        return None, {}
    history = store.table(HISTORY)
    last = int(history["number"].max()) if len(history) else 0
    since = int(state["published"].get(_name_of(ws), 0))
    if last < since:
        # A register that was made anew, or came back from an older copy.
        since = 0
    if last == since:
        return None, {}
    frame = changed_between(store.changes(), history, since)
    folder = ws.output / DIFFS if isinstance(ws.register, Path) else ws.output / DIFFS / ws.register.schema
    target = folder / f"{since + 1:06d}-{last:06d}.gpkg"
    target.parent.mkdir(parents=True, exist_ok=True)
    for file in (target, target.with_suffix(".geojson")):
        write_changed(file, frame)
    state["published"][_name_of(ws)] = last
    write_json(ws.output / STATE, state)
    return target, {str(name): int(n) for name, n in frame["what"].value_counts().items()}


def _tell(ws: Workspace, store: Register) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Send what the alert rules ask for, by every channel."""
    if not ws.project.alerts.channels or not store.database.exists:
        return (), ()
    try:
        deliveries = send_alerts(ws.register, ws).deliveries
    except (InputError, UnavailableError) as error:
        return (), (str(error),)
    told = tuple(f"{d.channel}: {d.sent:,} alerts sent." for d in deliveries if d.sent)
    return told, tuple(f"{d.channel}: {d.waiting:,} alerts wait: {d.error}" for d in deliveries if d.error)


def _register(ws: Workspace) -> Register:
    """Return the register; one on a server that refuses us stops the monitor here, one that is away may be back in time."""
    store = open_register(ws.register)
    with suppress(UnavailableError):
        _ = store.database.exists
    return store


def _merged(register: Register) -> Collection[str] | None:
    """Return the keys of the runs that the register holds; None where it is away and cannot say."""
    try:
        return set(register.observations()) if register.database.exists else ()
    except UnavailableError:
        return None


def _name_of(ws: Workspace) -> str:
    """Return what tells one register from another in the state, without showing where it is."""
    return "" if isinstance(ws.register, Path) else value_hash(str(ws.register))


def _read_state(ws: Workspace) -> dict[str, Any]:
    """Read what the last run left; where it cannot be read, everything is looked at again, which changes nothing."""
    empty: dict[str, Any] = {"pairs": {}, "published": {}}
    try:
        found = json.loads((ws.output / STATE).read_text(encoding="utf-8"))
        pairs = {name: dict(known) for name, known in found["pairs"].items() if _is_whole(known)}
        return {"pairs": pairs, "published": {name: int(last) for name, last in found["published"].items()}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return empty


def _is_whole(known: Any) -> bool:  # noqa: ANN401 (whatever the file holds)
    """Whether what is said of a pair can be used."""
    return isinstance(known, dict) and isinstance(known.get("message"), str) and type(known.get("attempts", 0)) is int


def lines_of(result: Monitored) -> list[str]:
    """Say what a monitor run did, for the command line."""
    fresh = [pair for pair in result.pairs if pair.outcome != "known"]
    known = len(result.pairs) - len(fresh)
    return [
        *(f"{pair.after} against {pair.before}: {pair.outcome}. {pair.message}" for pair in fresh),
        *([f"{known} pair{'' if known == 1 else 's'} known from before."] if known else []),
        *_listed("Waiting", result.waiting),
        *_listed("Skipped", result.faulty),
        *([] if result.diff is None else [f"Changed in the register: {_counted(result.what)}. See {result.diff}"]),
        *_listed("Told", result.told),
        *_listed("Not told", result.untold),
        *_listed("Another model", result.other_models),
        f"Register: {result.register}",
    ]


def _listed(heading: str, sentences: Iterable[str]) -> list[str]:
    return [f"{heading}: {sentence}" for sentence in sentences]


def _counted(what: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in sorted(what.items())) or "nothing that lasted"


def _show(ws: Workspace, result: Monitored) -> None:
    key = f"{artifact_name(ws.project)}-pairs"
    create_table_artifact([asdict(pair) for pair in result.pairs], key=key, description="Pairs of periods, by date")
