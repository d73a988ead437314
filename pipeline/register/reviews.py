"""Reviews: verdicts on changes by persons, and the states that follow from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from landshift.pipeline.register.states import (
    CLOSED,
    CONFIRMED,
    NO_LONGER_SEEN,
    NOT_SEEN_AGAIN,
    REJECTED,
    WITHDRAWN,
    ConfirmationRule,
)

CHANGE, NO_CHANGE, OTHER_CLASS, UNTOLD = "change", "not a change", "other class", "cannot be told"
VERDICTS = (CHANGE, NO_CHANGE, OTHER_CLASS, UNTOLD)
"""Verdicts to choose from: as mapped; nothing changed; something else changed; it cannot be decided."""


@dataclass(frozen=True)
class Review:
    """One person's verdict on one change."""

    change_id: str
    """Which change."""
    verdict: str
    """One of `VERDICTS`."""
    who: str | None
    """The reviewer; None for an account without a name."""
    reviewed_on: str
    """Date on which it was judged, ISO 8601."""
    note: str = ""
    """Why, or anything to note."""
    before_code: int | None = None
    """Land use before as the reviewer sees it; None where not given, and in a project without classes."""
    after_code: int | None = None
    """Land use after as the reviewer sees it; None likewise."""
    run: str | None = None
    """Key of the run whose polygon and dates were judged; None for a change that is united with another."""
    patch: int | None = None
    """Number of the polygon among the patches of that run."""
    drawing: str = ""
    """Key of the drawing by which it was judged; empty where a person picked it."""


def deciding(reviews: Iterable[Review]) -> dict[str, Review]:
    """Return for each change the review that counts: the one of the latest date; of one day, the one recorded last.

    `UNTOLD` decides nothing, and takes no verdict back.

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
    """Return reviews with the standing id where a change turned out to be the same as another.

    Had the runs been merged in order, there would have been one id from the start: reviews must not depend on that.

    Args:
        reviews: In the order in which they were recorded; that of the result, too.
        united: From `ids_out_of_use`.
    """
    return [replace(r, change_id=united[r.change_id]) if r.change_id in united else r for r in reviews]


def ids_out_of_use(changes: pd.DataFrame) -> dict[str, str]:
    """Return id out of use to the id that stands for it, from `change_id` and `united_with`."""
    return {
        str(i): str(other)
        for i, other in zip(changes["change_id"].tolist(), changes["united_with"].tolist(), strict=True)
        if other
    }


def is_known(review: Review, recorded: Iterable[Review]) -> bool:
    """Return whether the same person gave the same verdict before, and no other one after it.

    Args:
        review: A verdict.
        recorded: All reviews of this change, in the order in which they were recorded.
    """
    own = [r for r in recorded if (r.who, r.drawing) == (review.who, review.drawing)]
    return review in own and (own[-1] == review or review.reviewed_on < max(r.reviewed_on for r in own))


def disagreements(
    fresh: Sequence[Review], before: Mapping[str, Review], after: Mapping[str, Review]
) -> list[tuple[Review, Review, Review]]:
    """Return the new reviews that contradict another person's, each as the other one, the new one, and the one that counts.

    Args:
        fresh: Reviews that were recorded now.
        before: Those that counted before, from `deciding`.
        after: Those that count now.
    """
    return [
        (other, review, after[review.change_id])
        for review in fresh
        if (other := before.get(review.change_id)) and other.who != review.who and review.change_id in after
        if (other.verdict, other.before_code, other.after_code) != (review.verdict, review.before_code, review.after_code)
    ]


def add_states(
    changes: pd.DataFrame, reviews: Iterable[Review], rule: ConfirmationRule, names: Mapping[int, str]
) -> pd.DataFrame:
    """Return changes with `state` and `reason`: the lifecycle, and the reviews on top.

    Args:
        changes: With `change_id`, `united_with`, `lifecycle`, `why` and `misses`.
        reviews: All of the register, in the order in which they were recorded.
        rule: When changes are closed.
        names: Land-use code to name.
    """
    decided = deciding(under_standing_ids(reviews, ids_out_of_use(changes)))
    state, reason = (changes[name].to_numpy(dtype=object, copy=True) for name in ("lifecycle", "why"))
    ids, misses = changes["change_id"].to_numpy(), changes["misses"].to_numpy(dtype=np.int64)
    for row in np.flatnonzero(changes["change_id"].isin(set(decided))).tolist():
        review, over = decided[ids[row]], int(misses[row]) >= rule.of
        state[row], reason[row] = _state_of(review, state[row], reason[row], over=over, names=names)
    return changes.assign(state=state, reason=reason)


def _state_of(review: Review, lifecycle: str, why: str, *, over: bool, names: Mapping[int, str]) -> tuple[str, str]:
    """Return state and reason of a reviewed change; it is `over` after enough observations in a row without it."""
    if review.verdict != CHANGE:
        return REJECTED, describe(review, names)
    if lifecycle == WITHDRAWN:
        return lifecycle, why
    # It counts as confirmed from the judged images on: too few sightings no longer close it, misses in a row do.
    if lifecycle == CLOSED and (why != NOT_SEEN_AGAIN or over):
        return CLOSED, NO_LONGER_SEEN if why == NOT_SEEN_AGAIN else why
    return CONFIRMED, _with_note(f"reviewed by {review.who or 'a person'}", review.note)


def describe(review: Review, names: Mapping[int, str]) -> str:
    """Return a verdict other than `CHANGE` in words, with the names of the land uses."""
    if review.verdict == OTHER_CLASS and review.before_code is not None and review.after_code is not None:
        return _with_note(f"is {names[review.before_code]} to {names[review.after_code]}", review.note)
    if review.verdict == NO_CHANGE and review.before_code is not None:
        return _with_note(f"is {names[review.before_code]} on both dates", review.note)
    return review.note or review.verdict


def _with_note(words: str, note: str) -> str:
    return f"{words}: {note}" if note else words
