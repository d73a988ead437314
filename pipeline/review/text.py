"""What reviews say, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from landshift.pipeline.review.precision import Kind, Precision, Share

_LISTED = 20


def precision_lines(found: Precision) -> list[str]:
    """Put what the reviews of a drawing say into words."""
    total = found.total
    missing = total.drawn - total.judged - total.untold
    left = f"; {total.untold:,} could not be told" * bool(total.untold) + f"; {missing:,} not reviewed yet" * bool(missing)
    if not found.estimates_all:
        return [
            f"Drawn on {found.drawn_on}, {found.ranking}: of those reviewed ({total.judged:,}{left}), {_shown(total.right)} "
            f"are as mapped and {_shown(total.changed)} changed at all. This is no estimate for all {total.population:,} "
            f"changes: draw some with --order random for that."
        ]
    head = f"Drawn at random on {found.drawn_on} (seed {found.seed}) from {total.population:,} changes that were {found.source}"
    if total.right.estimate is None:
        none = [k.name for k in found.kinds if k.judged == 0]
        return [f"{head}: no estimate for all yet, because none was judged of {', '.join(none)}{left}."]
    return [
        f"{head}: {_shown(total.right)} of all are as mapped, and {_shown(total.changed)} changed at all; {total.judged:,} "
        f"judged{left}.",
        *(_kind_line(k) for k in found.kinds if k.judged),
    ]


def _kind_line(kind: Kind) -> str:
    return f"  {kind.name}: {_shown(kind.right)} as mapped ({kind.judged:,} judged of {kind.population:,})"


def _shown(share: Share) -> str:
    if share.estimate is None:
        return "none"
    interval = "" if share.low is None or share.high is None else f" ({share.low:.0%} to {share.high:.0%})"
    return f"{share.estimate:.0%}{interval}"


def without_picture(number: int, runs: Sequence[str]) -> str:
    """Say how many changes are given out without a picture, and which runs they lack."""
    return (
        f"{number:,} of them have no picture, because these runs that saw them last were not given, or have no images: "
        f"{', '.join(runs[:3])}{' and others' if len(runs) > 3 else ''}."
    )


def disagreement(conflict: Mapping[str, Any]) -> str:
    """Say who disagrees on a change: `change_id`, `said` and `counts`."""
    said = ", ".join(f"{s['who']} said {s['verdict']} on {s['reviewed_on']}" for s in conflict["said"])
    return f"{conflict['change_id']}: {said}; that of {conflict['counts']} counts"


def listed(title: str, items: Sequence[str]) -> list[str]:
    """Return lines for some of many items, under a title; none where there is none."""
    rest = [f"  ... and {len(items) - _LISTED:,} more; --json lists them all."] if len(items) > _LISTED else []
    return [title, *(f"  {item}" for item in items[:_LISTED]), *rest] if items else []
