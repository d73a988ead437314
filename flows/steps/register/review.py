"""Steps of a review: changes of a register are given out to persons, and their verdicts are taken into it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from landshift.flows.runtime.person import login_name
from landshift.flows.runtime.progress import step
from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.register.changes import require_other_file
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import replace_when_done
from landshift.pipeline.records import content_of, write_record
from landshift.pipeline.register.address import RegisterLocation
from landshift.pipeline.register.drawings import AT_RANDOM, Drawing, Drawn, Selection, Stratum, choose, waiting
from landshift.pipeline.register.reviews import (
    NO_CHANGE,
    OTHER_CLASS,
    Review,
    deciding,
    disagreements,
    ids_out_of_use,
    under_standing_ids,
)
from landshift.pipeline.register.states import Observation
from landshift.pipeline.register.store import open_register
from landshift.pipeline.review.answers import drawing_of, read_answers, review_frame
from landshift.pipeline.review.chips import write_chips
from landshift.pipeline.review.form import RunImages, review_form_qml, write_review_project
from landshift.pipeline.review.labels import review_labels, write_labels
from landshift.pipeline.review.layers import REVIEW_FILE, REVIEW_LAYER, write_review
from landshift.pipeline.review.precision import counts_of, precision_lines, precision_of
from landshift.pipeline.run.record import read_run
from landshift.pipeline.vector.read import read_polygons

_NOT_RANDOM = f"Only reviews of changes drawn with --order {' or '.join(AT_RANDOM)} allow an estimate for all."
PROJECT, RECORD = "review.qgz", "review.json"

_LISTED = 20
"""Rows and disagreements that are printed; `--json` has them all."""

USUAL = Selection()
"""New and confirmed changes, the largest first."""


@dataclass(frozen=True)
class ReviewRecord:
    """`review.json`: how the changes in a folder were chosen."""

    review: str
    """Key of the drawing."""
    register: str
    """Name of its file, or its address on a server."""
    who: str | None
    """Person who gave them out."""
    order: str
    """Ranking."""
    seed: int | None
    """Of random numbers; None where nothing was random."""
    states: tuple[str, ...]
    """States that were chosen from."""
    again: bool
    """Whether changes that were reviewed before could be chosen."""
    population: int
    """Changes that could have been chosen."""
    strata: tuple[Stratum, ...]
    """The changes of each kind."""


def export_review(
    register: RegisterLocation, output: Path, runs: Sequence[Path] = (), selection: Selection = USUAL, who: str | None = None
) -> Reply:
    """Give changes out to be reviewed; the register keeps which, and how they were chosen.

    Args:
        register: The GeoPackage or the address.
        output: Folder to make.
        runs: Folders of runs, whose images are shown.
        selection: Which changes.
        who: Person who gives them out.

    Raises:
        InputError: The folder is there already, nothing waits to be reviewed, or a run is not in the register or unreadable.
    """
    _require_new(output)
    store = open_register(register)
    facts, changes, observations = store.facts(), store.changes(), store.observations()
    folders = _folders(runs, observations, register)
    reviewed = {r.change_id for r in under_standing_ids(store.reviews(), ids_out_of_use(changes))}
    candidates = waiting(changes, () if selection.again else reviewed, selection.states)
    if candidates.empty:
        raise InputError(
            f"No change in {register} that is {' or '.join(selection.states)} waits to be reviewed; choose others with "
            f"--state, or review some --again."
        )
    rows, strata = choose(candidates, selection.ranking, selection.limit, selection.seed)
    chosen = candidates.iloc[rows]
    patches = store.last_patches(list(chosen["change_id"]))
    codes = zip(chosen["change_id"], chosen["change_code"], strict=True)
    drawing = Drawing(
        key=uuid.uuid4().hex, who=who or login_name(), ranking=selection.ranking,
        seed=selection.seed if selection.ranking in AT_RANDOM else None, states=selection.states, strata=strata,
        items=tuple(Drawn(i, int(code), *patches[i]) for i, code in codes), again=selection.again,
    )  # fmt: skip
    record = ReviewRecord(
        drawing.key, register.name if isinstance(register, Path) else str(register), drawing.who, drawing.ranking,
        seed=drawing.seed,
        states=drawing.states, again=drawing.again, population=drawing.population, strata=drawing.strata,
    )  # fmt: skip
    try:
        with replace_when_done(output, new=True) as target, step("Writing the review") as advance:
            target.mkdir(parents=True)
            chips = write_chips(target, chosen, drawing, folders, advance=advance)
            frame = review_frame(chosen, drawing, observations, chips, legend=facts.legend)
            write_review(target / REVIEW_FILE, frame, review_form_qml(facts.legend))
            images = _images(drawing, folders, observations)
            first = chosen.geometry.iloc[0].bounds
            write_review_project(target / PROJECT, output, facts.legend, images, crs=facts.crs.to_wkt(), first=first)
            write_record(target / RECORD, record)
            _require_new(output)  # pictures take minutes, in which another process may have made the folder
            store.draw(drawing)
    except FileExistsError as error:
        raise _in_use(output) from error
    lacking = sorted({i.run for i in drawing.items if i.change_id not in chips})
    without = len(drawing.items) - len(chips)
    lines = [
        f"{len(drawing.items):,} of the {drawing.population:,} changes that are {drawing.source} ({drawing.ranking}).",
        *([f"{without:,} of them have no picture, because these runs that saw them last were not given, or have no images: "
           f"{', '.join(lacking[:3])}{' and others' if len(lacking) > 3 else ''}."] if lacking else []),
        *([] if drawing.is_random else [_NOT_RANDOM]),
        f"Review them in QGIS: {output / PROJECT}",
    ]  # fmt: skip
    content = content_of(record) | {
        "output": output, "changes": len(drawing.items), "without_picture": without, "runs_lacking": lacking,
    }  # fmt: skip
    return content, lines


def import_review(register: RegisterLocation, review: Path, who: str | None = None) -> Reply:
    """Take the answers of a reviewer into the register, or nothing if something is wrong with the file.

    Args:
        register: The GeoPackage or the address.
        review: The folder that was given out, its `review.gpkg`, or a copy that QGIS saved.
        who: The reviewer, where the form has none.

    Raises:
        InputError: As in `read_answers`, or the register did not give out this file.
    """
    path = review / REVIEW_FILE if review.is_dir() else review
    store = open_register(register)
    facts = store.facts()
    found = read_polygons(path, facts.crs, REVIEW_LAYER if path.name == REVIEW_FILE else None)
    drawing = drawing_of(found, store.drawings(), str(path), str(register))
    polygons = store.polygons([(i.run, i.patch) for i in drawing.items])
    answers = read_answers(found, drawing, polygons, facts.legend, name=str(path), who=(who or "").strip() or None)
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
        *_list("Not taken, because half-filled:", answers.half_filled),
        *_list("Reviewers disagree:", [_disagreement(*c) for c in conflicts]),
        *precision_lines(precision),
    ]
    content = {
        "register": register, "review": drawing.key, "taken": len(fresh), "known": known, "states": dict(states),
        "not_reviewed": answers.empty, "half_filled": list(answers.half_filled),
        "conflicts": [
            {"change_id": new.change_id,
             "said": [{"who": r.who, "verdict": r.verdict, "reviewed_on": r.reviewed_on} for r in (other, new)],
             "counts": counting.who}
            for other, new, counting in conflicts
        ],
        "precision": content_of(precision),
    }  # fmt: skip
    return content, lines


def review_precision(register: RegisterLocation) -> Reply:
    """Return the precision of each drawing, and counts of all that was reviewed.

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
    content = {
        "register": register, "reviewed": total, "verdicts": counts, "rejected_share": rejected / total if total else None,
        "drawings": [content_of(p) for p in found],
    }  # fmt: skip
    return content, lines


def write_review_labels(
    register: RegisterLocation, output: Path, project: str | None = None, before: str | None = None, after: str | None = None
) -> Reply:
    """Write reviews as labels, in the form that `labels: polygons:` reads.

    Args:
        register: The GeoPackage or the address.
        output: `.gpkg` or `.geojson`.
        project: Only of runs of this project.
        before: Only of runs with this date before, ISO 8601.
        after: Only of runs with this date after, ISO 8601.

    Raises:
        InputError: Nothing was judged, or the output cannot be written.
    """
    require_other_file(output, register)
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
    frame = review_labels(chosen, polygons, runs, facts.legend, crs=facts.crs)
    write_labels(output, frame)
    counts = {str(k): int(n) for k, n in frame["change"].value_counts().items()}
    pairs = sorted({(runs[str(r.run)].before_date, runs[str(r.run)].after_date) for r in chosen})
    unclassed = 0 if facts.legend.binary else int(((frame["change"] == "unchanged") & frame["before"].isna()).sum())
    lost = len(decided) - len(located)
    lines = [
        f"{len(frame):,} labels: {', '.join(f'{n:,} {k}' for k, n in counts.items())}.",
        *([f"{unclassed:,} of them are unchanged, without a class."] if unclassed else []),
        *([f"They are of {len(pairs)} pairs of dates: train with those of one, chosen with --before and --after."]
          if len(pairs) > 1 else []),
        *([f"{lost:,} verdicts on changes that are united with others have no outline, and are left out."] if lost else []),
        f"Wrote {output}.",
    ]  # fmt: skip
    return {"output": output, "labels": len(frame), "change": counts, "without_class": unclassed, "pairs": pairs}, lines


def _require_new(output: Path) -> None:
    if output.exists():
        raise _in_use(output)


def _in_use(output: Path) -> InputError:
    return InputError(f"{output} is there already, and may hold answers of a reviewer: choose another folder with --output.")


def _folders(runs: Sequence[Path], observations: Mapping[str, Observation], register: RegisterLocation) -> dict[str, Path]:
    """Return key to folder of the runs that are given."""
    folders = {}
    for folder in runs:
        key = read_run(folder).key
        if key not in observations:
            raise InputError(f"{folder} has the key {key}, which {register} does not know; merge it first, or leave it out.")
        folders[key] = folder
    return folders


def _images(drawing: Drawing, folders: Mapping[str, Path], observations: Mapping[str, Observation]) -> list[RunImages]:
    """Return the images of the runs that saw one of the changes last, in the order in which they are needed."""
    keys = [k for k in dict.fromkeys(item.run for item in drawing.items) if k in folders]
    runs = [observations[k] for k in keys]
    return [
        RunImages(f"{o.project}, {o.before_date} to {o.after_date}", o.key, folders[o.key], (o.before_date, o.after_date))
        for o in runs
    ]


def _disagreement(other: Review, new: Review, counting: Review) -> str:
    verdicts = " and ".join(f"{r.verdict} ({r.who}, {r.reviewed_on})" for r in (other, new))
    return f"{new.change_id}: {verdicts}; that of {counting.who} counts"


def _list(title: str, items: Sequence[str]) -> list[str]:
    """Return lines for the first of many items, under a title; empty if there are no items."""
    rest = [f"  ... and {len(items) - _LISTED:,} more; --json lists them all."] if len(items) > _LISTED else []
    return [title, *(f"  {item}" for item in items[:_LISTED]), *rest] if items else []
