"""Reviews: changes of a register go out to be judged by persons, and their verdicts come back."""

import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from landshift.flows.runtime.person import login_name
from landshift.flows.runtime.progress import step
from landshift.flows.steps.register.changes import Answer
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import replace_when_done, write_json
from landshift.pipeline.register.address import Place
from landshift.pipeline.register.drawings import AT_RANDOM, LARGEST, RANKINGS, Drawing, Drawn, choose, waiting
from landshift.pipeline.register.reviews import NO_CHANGE, OTHER_CLASS, deciding, disagreements, under_standing_ids, united_ids
from landshift.pipeline.register.states import CONFIRMED, NEW, STATES, Observation
from landshift.pipeline.register.store import open_register
from landshift.pipeline.review.answers import drawing_of, read_answers, review_frame
from landshift.pipeline.review.chips import write_chips
from landshift.pipeline.review.columns import REVIEW_FILE, REVIEW_LAYER
from landshift.pipeline.review.form import RunImages, review_form_qml, write_review_project
from landshift.pipeline.review.labels import review_labels
from landshift.pipeline.review.layers import write_labels, write_review
from landshift.pipeline.review.precision import counts_of, precision_of
from landshift.pipeline.review.text import disagreement, listed, precision_lines, without_picture
from landshift.pipeline.run.folder import read_run
from landshift.pipeline.vector.layer import require_format
from landshift.pipeline.vector.read import read_polygons

_NOT_RANDOM = f"Only reviews of changes drawn with --order {' or '.join(AT_RANDOM)} say how many of all are right."

PROJECT, RECORD = "review.qgz", "review.json"

_MOST = 5_000
"""Changes in one review; each gets a picture, and costs somebody half a minute or more."""


def export_review(
    register: Place, output: Path, runs: Sequence[Path] = (), states: Sequence[str] | None = None, *, limit: int = 100,
    ranking: str = LARGEST, seed: int = 0, again: bool = False, who: str | None = None,
) -> Answer:  # fmt: skip
    """Give changes that nobody has judged yet out to be reviewed; the register remembers which, and how they were chosen.

    Args:
        register: The GeoPackage or the address.
        output: Folder to make.
        runs: Folders of runs, whose images are shown.
        states: States to choose from; new and confirmed where None.
        limit: Changes at most.
        ranking: `largest`, `least-confident`, `random` or `random-by-kind`.
        seed: Of random numbers.
        again: Whether also changes are given out that were reviewed before.
        who: Who gives them out.

    Raises:
        InputError: The folder is there already, nothing waits to be reviewed, a state or ranking is unknown, or a run is not
            in the register or cannot be read.
    """
    wanted = tuple(states or (NEW, CONFIRMED))
    _require_choices(wanted, ranking, limit)
    _require_new(output)
    store = open_register(register)
    facts, changes, observations = store.facts(), store.changes(), store.observations()
    folders = _folders(runs, observations, register)
    judged = under_standing_ids(store.reviews(), united_ids(changes))
    candidates = waiting(changes, () if again else {r.change_id for r in judged}, wanted)
    if candidates.empty:
        raise InputError(
            f"No change in {register} that is {' or '.join(wanted)} waits to be reviewed; choose others with --state, "
            f"or review some --again."
        )
    rows, strata = choose(candidates, ranking, limit, seed)
    chosen = candidates.iloc[rows]
    seen = store.seen_last(list(chosen["change_id"]))
    codes = dict(zip(chosen["change_id"], chosen["change_code"], strict=True))
    items = tuple(Drawn(i, int(code), **seen[i]) for i, code in codes.items())
    drawing = Drawing(
        uuid.uuid4().hex, who or login_name(), ranking, seed if ranking in AT_RANDOM else None, wanted, strata, items, again
    )
    try:
        with replace_when_done(output, new=True) as target, step("Writing the review") as advance:
            target.mkdir(parents=True)
            chips = write_chips(target, chosen, drawing, folders, advance)
            frame = review_frame(chosen, drawing, observations, chips, facts.legend)
            write_review(target / REVIEW_FILE, frame, review_form_qml(facts.legend))
            images = _images(drawing, folders, observations)
            first = chosen.geometry.iloc[0].bounds
            write_review_project(target / PROJECT, output, facts.legend, images, facts.crs.to_wkt(), first)
            record = _record(drawing, register)
            write_json(target / RECORD, record)
            _require_new(output)  # pictures take minutes, in which another process may have made the folder
            store.draw(drawing)
    except FileExistsError as error:
        raise _taken(output) from error
    lacking = sorted({i.run for i in items if i.change_id not in chips})
    lines = [
        f"{len(items):,} of the {drawing.population:,} changes that are {drawing.source} ({ranking}).",
        *([without_picture(len(items) - len(chips), lacking)] if lacking else []),
        *([] if drawing.is_random else [_NOT_RANDOM]),
        f"Review them in QGIS: {output / PROJECT}",
        f"Then: landshift register review import {shlex.quote(str(register))} {shlex.quote(str(output))}",
    ]  # fmt: skip
    answer = {
        **record,
        "output": output,
        "changes": len(items),
        "without_picture": len(items) - len(chips),
        "runs_lacking": lacking,
    }
    return answer, [line for line in lines if line]


def import_review(register: Place, review: Path, who: str | None = None) -> Answer:
    """Take what a reviewer filled in into the register: all of it, or nothing where something is wrong with the file.

    Args:
        register: The GeoPackage or the address.
        review: The folder that was given out, or its `review.gpkg`, or what QGIS saved it as.
        who: The reviewer, where the form names nobody.

    Raises:
        InputError: As `read_answers` says, or the register did not give out this file.
    """
    path = review / REVIEW_FILE if review.is_dir() else review
    store = open_register(register)
    facts = store.facts()
    found = read_polygons(path, facts.crs, REVIEW_LAYER if path.name == REVIEW_FILE else None)
    drawing = drawing_of(found, store.drawings(), str(path), str(register))
    polygons = store.polygons([(i.run, i.patch) for i in drawing.items])
    answers = read_answers(found, drawing, polygons, facts.legend, str(path), who=(who or "").strip() or None)
    before = deciding(store.reviews())
    fresh, states = store.review(answers.reviews)
    reviews = store.reviews()
    conflicts = disagreements(fresh, before, deciding(reviews))
    precision = precision_of(drawing, reviews, facts.legend)
    known = len(answers.reviews) - len(fresh)
    counted = ", ".join(f"{n:,} {s}" for s, n in states.items())
    lines = [
        f"{len(fresh):,} verdicts were taken into {register}" + (f", {known:,} were known before" if known else "") + ".",
        f"Changes that came into another state: {counted or 'none'}.",
        *([f"{answers.empty:,} changes are not reviewed yet."] if answers.empty else []),
        *listed("Not taken, because half-filled:", answers.half_filled),
        *listed("Reviewers disagree:", [disagreement(c) for c in conflicts]),
        *precision_lines(precision),
    ]
    answer = {
        "register": register, "review": drawing.key, "taken": len(fresh), "known": known, "states": dict(states),
        "not_reviewed": answers.empty, "half_filled": list(answers.half_filled), "conflicts": conflicts,
        "precision": precision.as_dict(),
    }  # fmt: skip
    return answer, lines


def review_precision(register: Place) -> Answer:
    """Say how many of the changes are right: an estimate for each drawing at random, and counts of all that was reviewed.

    Raises:
        InputError: No register.
    """
    store = open_register(register)
    legend, reviews, drawings = store.facts().legend, store.reviews(), store.drawings()
    counts = counts_of(reviews)
    total = sum(counts.values())
    judged = {r.drawing for r in reviews}
    found = [precision_of(d, reviews, legend) for d in drawings if d.key in judged]
    rejected = counts[NO_CHANGE] + counts[OTHER_CLASS]
    share = f" ({rejected / total:.0%} rejected)" if total else ""
    lines = [
        f"{total:,} changes were reviewed{share}: " + ", ".join(f"{n:,} {v}" for v, n in counts.items()) + "."
        if total
        else "No change was reviewed.",
        *(line for one in found for line in precision_lines(one)),
    ]
    answer = {
        "register": register, "reviewed": total, "verdicts": counts, "rejected_share": rejected / total if total else None,
        "drawings": [p.as_dict() for p in found],
    }  # fmt: skip
    return answer, lines


def write_review_labels(
    register: Place, output: Path, project: str | None = None, before: str | None = None, after: str | None = None
) -> Answer:
    """Write what was judged as labels, in the form that `labels: polygons:` reads.

    Args:
        register: The GeoPackage or the address.
        output: `.gpkg` or `.geojson`.
        project: Only of runs of this project.
        before: Only of runs with this date before, ISO 8601.
        after: Only of runs with this date after, ISO 8601.

    Raises:
        InputError: Nothing was judged, or the output cannot be written.
    """
    require_format(output)
    if isinstance(register, Path) and output.resolve() == register.resolve():
        raise InputError(f"--output {output} is the register itself; choose another file.")
    store = open_register(register)
    facts, runs = store.facts(), store.observations()
    decided = list(deciding(store.reviews()).values())
    located = [r for r in decided if r.run is not None and r.patch is not None]
    asked = {"project": project, "before_date": before, "after_date": after}
    chosen = [r for r in located if all(v in (None, getattr(runs[str(r.run)], k)) for k, v in asked.items())]
    if not chosen:
        raise InputError(
            f"{register} holds no verdict that could be a label"
            + (" of these runs" if any(v is not None for v in asked.values()) else "")
            + f"; {len(located):,} changes were judged in all. Review some with `landshift register review export`."
        )
    polygons = store.polygons([(str(r.run), int(r.patch or 0)) for r in chosen])
    frame = review_labels(chosen, polygons, runs, facts.legend, facts.crs)
    write_labels(output, frame)
    counts = {str(k): int(n) for k, n in frame["change"].value_counts().items()}
    pairs = sorted({(runs[str(r.run)].before_date, runs[str(r.run)].after_date) for r in chosen})
    unclassed = 0 if facts.legend.binary else int(((frame["change"] == "unchanged") & frame["before"].isna()).sum())
    lost = len(decided) - len(located)
    lines = [
        f"{len(frame):,} labels: {', '.join(f'{n:,} {k}' for k, n in counts.items())}.",
        *([f"{unclassed:,} of them say that nothing changed, but not what is there."] if unclassed else []),
        *([f"They are of {len(pairs)} pairs of dates: train with those of one, chosen with --before and --after."]
          if len(pairs) > 1 else []),
        *([f"{lost:,} verdicts of an older Landshift are left out: their outlines are not known."] if lost else []),
        f"Wrote {output}.",
    ]  # fmt: skip
    return {"output": output, "labels": len(frame), "change": counts, "without_class": unclassed, "pairs": pairs}, lines


def _require_new(output: Path) -> None:
    if output.exists():
        raise _taken(output)


def _taken(output: Path) -> InputError:
    return InputError(f"{output} is there already, and somebody may have reviewed in it: choose another folder with --output.")


def _require_choices(states: Sequence[str], ranking: str, limit: int) -> None:
    wrong = [s for s in states if s not in STATES]
    if wrong:
        raise InputError(f"--state {wrong[0]}: expected one of {', '.join(STATES)}.")
    if ranking not in RANKINGS:
        raise InputError(f"--order {ranking}: expected one of {', '.join(RANKINGS)}.")
    if limit > _MOST:
        raise InputError(f"--limit {limit:,}: nobody reviews more than {_MOST:,} changes at once; lower it.")


def _folders(runs: Sequence[Path], observations: Mapping[str, Observation], register: Place) -> dict[str, Path]:
    """Key of each run that was given to its folder."""
    folders = {}
    for folder in runs:
        key = str(read_run(folder)["key"])
        if key not in observations:
            raise InputError(f"{folder} has the key {key}, which {register} does not know; merge it first, or leave it out.")
        folders[key] = folder
    return folders


def _images(drawing: Drawing, folders: Mapping[str, Path], observations: Mapping[str, Observation]) -> list[RunImages]:
    """Images of the runs that saw one of the changes last, in the order in which they are needed."""
    keys = [k for k in dict.fromkeys(item.run for item in drawing.items) if k in folders]
    runs = [observations[k] for k in keys]
    return [
        RunImages(f"{o.project}, {o.before_date} to {o.after_date}", o.key, folders[o.key], (o.before_date, o.after_date))
        for o in runs
    ]


def _record(drawing: Drawing, register: Place) -> dict[str, Any]:
    name = register.name if isinstance(register, Path) else str(register)
    return {
        "review": drawing.key, "register": name, "who": drawing.who, "order": drawing.ranking, "seed": drawing.seed,
        "states": list(drawing.states), "again": drawing.again, "population": drawing.population,
        "strata": [asdict(s) for s in drawing.strata],
    }  # fmt: skip
