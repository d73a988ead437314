"""Precision: the share of the changes in a register that are right, estimated from reviews."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.legend import Legend
from landshift.pipeline.register.drawings import RANDOM, Drawing
from landshift.pipeline.register.reviews import CHANGE, OTHER_CLASS, UNTOLD, VERDICTS, Review, deciding
from landshift.pipeline.sample.design import distances


@dataclass(frozen=True)
class Share:
    """A share of changes, by number and not by hectares."""

    estimate: float | None
    """0..1; None where nothing was judged."""
    low: float | None
    """Lower end of the 95 % interval; None where the changes were not drawn at random, too."""
    high: float | None
    """Upper end, likewise."""


@dataclass(frozen=True)
class Kind:
    """The changes of one kind in a drawing, or all of them."""

    code: int | None
    """Change code; None for all kinds together."""
    name: str
    """Its name."""
    population: int
    """Changes that could have been drawn."""
    drawn: int
    """Changes that were."""
    judged: int
    """Of these, changes with a verdict that decides."""
    untold: int
    """Of these, changes that could not be decided."""
    right: Share
    """Are as mapped: the user's accuracy."""
    changed: Share
    """Changed in any way, also into another class than mapped."""


@dataclass(frozen=True)
class Precision:
    """Precision by the reviews of one drawing."""

    key: str
    """Of the drawing."""
    drawn_on: str
    """Date, ISO 8601."""
    ranking: str
    """How it was drawn."""
    seed: int | None
    """Of random numbers."""
    source: str
    """What could be drawn, such as `new or confirmed and not reviewed before`."""
    estimates_all: bool
    """Whether it holds for all that could have been drawn, or only for those that were reviewed."""
    total: Kind
    """All kinds together."""
    kinds: tuple[Kind, ...]
    """Each kind, by code."""


def precision_of(drawing: Drawing, reviews: Sequence[Review], legend: Legend) -> Precision:
    """Estimate how many of the changes that could have been drawn are right.

    Changes count, not hectares. Where each could be drawn with the same chance, the share of all is that of those judged;
    where a number of each kind was drawn, the shares of the kinds are weighted by how many changes each has. The limits are
    Wilson's, with the finite population correction; those of several kinds are combined as in `sample.design`. What was
    drawn and not judged, or not decided, is taken to be like the rest.

    Args:
        drawing: What was given out.
        reviews: All of the register, in the order in which they were recorded.
        legend: Of the register.
    """
    verdict = verdicts_of(drawing, reviews)
    names = {c.code: c.name for c in legend.changes}
    by_code = {
        s.code: Counter(verdict[i.change_id] for i in drawing.items if i.change_code == s.code and i.change_id in verdict)
        for s in drawing.strata
    }
    sizes = {s.code: s for s in drawing.strata}
    kinds = tuple(
        _kind(code, names[code], sizes[code].drawn, [sizes[code].population], counts=[counts], random=drawing.is_random)
        for code, counts in by_code.items()
    )
    drawn = sum(s.drawn for s in drawing.strata)
    if drawing.is_random and drawing.ranking != RANDOM:
        total = _kind(None, "All", drawn, [s.population for s in drawing.strata], counts=list(by_code.values()), random=True)
    else:
        total = _kind(
            None, "All", drawn, [drawing.population], counts=[sum(by_code.values(), Counter())], random=drawing.is_random
        )
    return Precision(
        drawing.key,
        drawing.drawn_on,
        drawing.ranking,
        drawing.seed,
        source=drawing.source,
        estimates_all=drawing.is_random,
        total=total,
        kinds=kinds,
    )


def verdicts_of(drawing: Drawing, reviews: Sequence[Review]) -> dict[str, str]:
    """Return the verdict that counts on each change of a drawing that was judged because it was drawn.

    One that was judged for another reason is left out, as it may differ from the others.
    """
    judged = {r.change_id for r in reviews if r.drawing == drawing.key}
    decided = deciding(reviews)
    return {i: decided[i].verdict if i in decided else UNTOLD for i in judged}


def counts_of(reviews: Sequence[Review]) -> dict[str, int]:
    """Return verdict to the number of changes that it counts for, `UNTOLD` where there is no other."""
    decided = deciding(reviews)
    found = Counter(decided[i].verdict if i in decided else UNTOLD for i in {r.change_id for r in reviews})
    return {v: found[v] for v in VERDICTS}


def _kind(
    code: int | None, name: str, drawn: int, populations: Sequence[int], counts: Sequence[Counter[str]], random: bool
) -> Kind:
    """Sum up strata, each with its population and the verdicts on what was judged in it."""
    judged = [sum(c.values()) - c[UNTOLD] for c in counts]
    right = [c[CHANGE] for c in counts]
    changed = [c[CHANGE] + c[OTHER_CLASS] for c in counts]
    return Kind(
        code, name, sum(populations), drawn, judged=sum(judged), untold=sum(c[UNTOLD] for c in counts),
        right=_share(populations, right, judged, random), changed=_share(populations, changed, judged, random),
    )  # fmt: skip


def _share(populations: Sequence[int], cases: Sequence[int], judged: Sequence[int], random: bool) -> Share:
    if not random:
        return Share(sum(cases) / sum(judged) if sum(judged) else None, None, None)
    if not judged or min(judged) == 0:
        return Share(None, None, None)
    pixels, counts, samples = (np.array(v, dtype=np.float64) for v in (populations, cases, judged))
    whole = pixels.sum()
    estimate = float((pixels * counts / samples).sum() / whole)
    off = distances(pixels, counts[:, None], samples, 1 - samples / pixels)
    low, high = (float(np.sqrt(part.sum()) / whole) for part in (off.below, off.above))
    return Share(estimate, max(estimate - low, 0.0), min(estimate + high, 1.0))


def precision_lines(found: Precision) -> list[str]:
    """Return the precision of a drawing in words."""
    total = found.total
    missing = total.drawn - total.judged - total.untold
    left = f"; {total.untold:,} could not be decided" * bool(total.untold) + f"; {missing:,} not reviewed yet" * bool(missing)
    if not found.estimates_all:
        return [
            f"Drawn on {found.drawn_on}, {found.ranking}: of those reviewed ({total.judged:,}{left}), {_text(total.right)} "
            f"are as mapped and {_text(total.changed)} changed at all. This is no estimate for all {total.population:,} "
            f"changes: draw some with --order random for that."
        ]
    head = f"Drawn at random on {found.drawn_on} (seed {found.seed}) from {total.population:,} changes that were {found.source}"
    if total.right.estimate is None:
        none = [k.name for k in found.kinds if k.judged == 0]
        return [f"{head}: no estimate for all yet, because none was judged of {', '.join(none)}{left}."]
    return [
        f"{head}: {_text(total.right)} of all are as mapped, and {_text(total.changed)} changed at all; {total.judged:,} "
        f"judged{left}.",
        *(_kind_line(k) for k in found.kinds if k.judged),
    ]


def _kind_line(kind: Kind) -> str:
    return f"  {kind.name}: {_text(kind.right)} as mapped ({kind.judged:,} judged of {kind.population:,})"


def _text(share: Share) -> str:
    if share.estimate is None:
        return "none"
    interval = "" if share.low is None or share.high is None else f" ({share.low:.0%} to {share.high:.0%})"
    return f"{share.estimate:.0%}{interval}"
