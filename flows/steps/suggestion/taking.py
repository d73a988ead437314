"""Answers to suggestions become labels, in the form that `labels: polygons:` reads."""

from pathlib import Path

from pyproj import CRS

from landshift.flows.runtime.reply import Reply
from landshift.pipeline.errors import InputError
from landshift.pipeline.legend import Legend
from landshift.pipeline.records import read_record
from landshift.pipeline.register.reviews import deciding
from landshift.pipeline.review.answers import read_answers
from landshift.pipeline.review.labels import add_labels, review_labels, write_labels
from landshift.pipeline.review.suggestions import PATCH_LAYER, SUGGESTION_FILE, SUGGESTION_RECORD, Suggestion
from landshift.pipeline.vector.layer import require_format
from landshift.pipeline.vector.read import read_polygons

_LISTED = 20
"""Rows that are printed; `--json` has them all."""


def take_answers(given: Path, output: Path, who: str | None = None) -> Reply:
    """Write the answers to a suggestion as labels, beside those that an earlier import wrote into the same file.

    Args:
        given: The folder that was given out, or its `suggestions.gpkg`.
        output: `.gpkg` or `.geojson`; where it holds labels of earlier suggestions or reviews, they stay. A patch that is
            answered anew has the new answer.
        who: The person, where the form has none.

    Raises:
        InputError: As in `read_answers`; the file does not belong to the folder; nothing was answered; or the output is a file
            of others.
    """
    require_format(output)
    path = given / SUGGESTION_FILE if given.is_dir() else given
    suggestion = read_record(path.parent / SUGGESTION_RECORD, Suggestion)
    legend, crs = Legend(suggestion.legend), CRS(suggestion.crs)
    found = read_polygons(path, crs, PATCH_LAYER)
    keys = set(found["review_id"]) if "review_id" in found else set()
    if keys != {suggestion.key}:
        raise InputError(f"{path} does not belong to {path.parent / SUGGESTION_RECORD}: import the folder as it was given out.")
    answers = read_answers(
        found, suggestion.drawing, suggestion.outlines, legend, name=str(path), who=(who or "").strip() or None
    )
    reviews = list(deciding(answers.reviews).values())
    if not reviews:
        waiting = f" {len(answers.half_filled)} rows are half-filled: {answers.half_filled[0]}." if answers.half_filled else ""
        raise InputError(f"{path} holds no answer that could be a label.{waiting} Judge patches in QGIS, and save the layer.")
    outlines = suggestion.outlines[[int(r.patch or 0) for r in reviews]]
    fresh = review_labels(reviews, outlines, {suggestion.key: suggestion.observation}, legend, crs=crs)
    frame = add_labels(output, fresh)
    kept = len(frame) - len(fresh)
    write_labels(output, frame)
    counts = {str(k): int(n) for k, n in frame["change"].value_counts().items()}
    unsure = len(answers.reviews) - len(reviews)
    lines = [
        f"{len(fresh):,} answers became labels" + (f", beside {kept:,} that were there" if kept else "") + ".",
        *([f"{unsure:,} patches could not be decided."] if unsure else []),
        *([f"{answers.empty:,} patches are not judged yet."] if answers.empty else []),
        *(f"Not taken, because half-filled: {row}" for row in answers.half_filled[:_LISTED]),
        *_lack(counts),
        f"Wrote {output}: {', '.join(f'{n:,} {k}' for k, n in counts.items())}. In the config:",
        f"  labels: {{polygons: {{path: {output.name}, change_column: change}}}}",
    ]  # fmt: skip
    content = {
        "output": output, "suggestion": suggestion.key, "taken": len(fresh), "kept": kept, "change": counts,
        "undecided": unsure, "not_judged": answers.empty, "half_filled": list(answers.half_filled),
    }  # fmt: skip
    return content, lines


def _lack(counts: dict[str, int]) -> list[str]:
    missing = [word for word in ("changed", "unchanged") if not counts.get(word)]
    return [f"None is labelled {missing[0]}: a training needs both. Suggest and label more."] if missing else []
