"""What persons say about changes, and what becomes of a change that a person has judged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from landshift.pipeline.register.states import CLOSED, CONFIRMED, NO_LONGER_SEEN, NOT_SEEN_AGAIN, REJECTED, WITHDRAWN, Rule

CHANGE, NO_CHANGE, OTHER_CLASS, UNTOLD = "change", "not a change", "other class", "cannot be told"

VERDICTS = (CHANGE, NO_CHANGE, OTHER_CLASS, UNTOLD)
"""What a person can say: it is as the map says; nothing changed; something else changed; nobody can tell."""


@dataclass(frozen=True)
class Review:
    """One person's verdict on one change."""

    change_id: str
    """Which change."""
    verdict: str
    """One of `VERDICTS`."""
    who: str | None
    """The reviewer; None where an account without a name said it."""
    reviewed_on: str
    """Date on which it was judged, ISO 8601."""
    note: str = ""
    """Why, or anything to note."""
    before_code: int | None = None
    """Land use before as the reviewer sees it; None where not said, and in a project without classes."""
    after_code: int | None = None
    """Land use after as the reviewer sees it; None likewise."""
    run: str | None = None
    """Key of the run whose polygon and dates were judged; None where nobody knows any more."""
    patch: int | None = None
    """Number of the polygon among the patches of that run; None likewise."""
    drawing: str = ""
    """Key of the drawing by which it came to be judged; empty where somebody picked it."""


def deciding(reviews: Iterable[Review]) -> dict[str, Review]:
    """Return for each change the review that counts: the one of the latest date; of one day, the one recorded last.

    "Cannot be told" decides nothing, and takes nothing back that was said before.

    Args:
        reviews: In the order in which they were recorded.
    """
    result: dict[str, Review] = {}
    for review in reviews:
        last = result.get(review.change_id)
        if review.verdict != UNTOLD and (last is None or review.reviewed_on >= last.reviewed_on):
            result[review.change_id] = review
    return result


def under_standing_ids(reviews: Iterable[Review], united: Mapping[str, str]) -> list[Review]:
    """Put what was said about a change that turned out to be the same as another under the id that stands for both.

    Had the runs come in order, there would have been one id from the start: what a person said must not hang on that.

    Args:
        reviews: In the order in which they were recorded; that of the result, too.
        united: Id that is no longer used to the one that stands, from `united_ids`.
    """
    return [replace(r, change_id=united[r.change_id]) if r.change_id in united else r for r in reviews]


def united_ids(changes: pd.DataFrame) -> dict[str, str]:
    """Return the ids that are no longer used, each with the one that stands, from `change_id` and `united_with`."""
    return {str(i): str(other) for i, other in zip(changes["change_id"], changes["united_with"], strict=True) if other}


def is_known(review: Review, said: Iterable[Review]) -> bool:
    """Tell whether the same person said the same before, and nothing else after it.

    Args:
        review: A verdict.
        said: All that was recorded about this change, in that order.
    """
    own = [r for r in said if (r.who, r.drawing) == (review.who, review.drawing)]
    return review in own and (own[-1] == review or review.reviewed_on < max(r.reviewed_on for r in own))


def disagreements(fresh: Sequence[Review], before: Mapping[str, Review], after: Mapping[str, Review]) -> list[dict[str, Any]]:
    """Name the changes on which somebody else had said something else.

    Args:
        fresh: What was recorded now.
        before: What counted before, from `deciding`.
        after: What counts now.

    Returns:
        `change_id`, who `said` what and when, and the person whose word `counts`.
    """
    result = []
    for review in fresh:
        other = before.get(review.change_id)
        if other is None or other.who == review.who or review.change_id not in after:
            continue
        if (other.verdict, other.before_code, other.after_code) != (review.verdict, review.before_code, review.after_code):
            counts = after[review.change_id]
            said = [{"who": r.who, "verdict": r.verdict, "reviewed_on": r.reviewed_on} for r in (other, review)]
            result.append({"change_id": review.change_id, "said": said, "counts": counts.who})
    return result


def judged_states(changes: pd.DataFrame, reviews: Iterable[Review], rule: Rule, names: Mapping[int, str]) -> pd.DataFrame:
    """Add `state` and `reason`: the lifecycle, and on top what persons said.

    Args:
        changes: With `change_id`, `united_with`, `lifecycle`, `why` and `misses`.
        reviews: All of the register, in the order in which they were recorded.
        rule: When changes are closed.
        names: Land-use code to name.
    """
    decided = deciding(under_standing_ids(reviews, united_ids(changes)))
    state, reason = (changes[name].to_numpy(dtype=object, copy=True) for name in ("lifecycle", "why"))
    ids, misses = changes["change_id"].to_numpy(), changes["misses"].to_numpy(dtype=np.int64)
    for row in np.flatnonzero(changes["change_id"].isin(set(decided))).tolist():
        state[row], reason[row] = _outcome(decided[ids[row]], state[row], reason[row], int(misses[row]), rule, names)
    return changes.assign(state=state, reason=reason)


def _outcome(review: Review, lifecycle: str, why: str, misses: int, rule: Rule, names: Mapping[int, str]) -> tuple[str, str]:
    """Return state and reason of a change that a person has judged."""
    if review.verdict != CHANGE:
        return REJECTED, said(review, names)
    if lifecycle == WITHDRAWN:
        return lifecycle, why
    # It is taken for confirmed from the images on that were judged: too few sightings no longer close it, silence does.
    if lifecycle == CLOSED and (why != NOT_SEEN_AGAIN or misses >= rule.of):
        return CLOSED, NO_LONGER_SEEN if why == NOT_SEEN_AGAIN else why
    return CONFIRMED, _joined(f"reviewed by {review.who or 'somebody'}", review.note)


def said(review: Review, names: Mapping[int, str]) -> str:
    """Put a verdict that is not "change" into words.

    Args:
        review: The verdict.
        names: Land-use code to name.
    """
    if review.verdict == OTHER_CLASS and review.before_code is not None and review.after_code is not None:
        return _joined(f"is {names[review.before_code]} to {names[review.after_code]}", review.note)
    if review.verdict == NO_CHANGE and review.before_code is not None:
        return _joined(f"is {names[review.before_code]} on both dates", review.note)
    return review.note or review.verdict


def _joined(words: str, note: str) -> str:
    return f"{words}: {note}" if note else words
