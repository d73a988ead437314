"""The first screen of a run's page: how good the map is, and where not to trust it, in the words of its reader."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from landshift.pipeline.change.second_opinion import NOT_INDEPENDENT
from landshift.pipeline.formatting import percent
from landshift.pipeline.run.page.tables import EVEN, AreaFigures
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.sample.record import Estimates

_USUAL_BEYOND = 0.05
"""Share of blocks that lie past the edge of the training regions by definition."""
_NAMED = 2
"""Kinds that a sentence names."""


@dataclass(frozen=True)
class OfHundred:
    """How many of a hundred hectares, with what is known of its uncertainty."""

    share: float
    """0..1."""
    low: float | None
    """Lower end of its 95 % interval, 0..1; None without one."""
    high: float | None
    """Upper end, 0..1."""

    @property
    def text(self) -> str:
        """For example `86`."""
        return f"{100 * self.share:.0f}"

    @property
    def span(self) -> str:
        """For example `80 to 91`, or `no interval`."""
        return "no interval" if self.low is None or self.high is None else f"{100 * self.low:.0f} to {100 * self.high:.0f}"


@dataclass(frozen=True)
class Quality:
    """How good the map of change is, kinds aside, and by whose test."""

    right: OfHundred | None
    """Of what is mapped as changed, what had changed (user's accuracy); None where not measured."""
    found: OfHundred | None
    """Of what changed, what is mapped as changed (producer's accuracy); None where not measured."""
    tested_on: str
    """Whose test it is and where it lies, sentences; the reason where nothing was measured."""

    @property
    def is_measured(self) -> bool:
        """Whether there is a number."""
        return self.right is not None or self.found is not None


@dataclass(frozen=True)
class Doubt:
    """Where not to trust the map."""

    text: str
    """A sentence."""
    layer: str = ""
    """Layer of the page's map that shows where; empty without one."""
    kinds: tuple[int, ...] = ()
    """Places of the kinds of change that it names, in the rows of the table of areas; empty where it names none."""


def measure_quality(run: RunRecord, estimates: Estimates | None) -> Quality:
    """Return how good a map is by the best test that there is: a judged sample, else the test blocks of its model.

    Args:
        run: What describes it.
        estimates: Of the run, None before there is a judged sample.
    """
    if estimates is not None:
        changed = estimates.changed
        right, found = _of_interval(changed.users_accuracy), _of_interval(changed.producers_accuracy)
        if right or found:
            used = f"{estimates.samples.used:,}"
            who = f"judged by: {estimates.samples.judging.by}"
            return Quality(right, found, f"Tested on {used} points drawn at random over the whole map; {who}.")
    scores = run.model.scores if run.model is not None else None
    if isinstance(scores, Mapping) and isinstance(test := scores.get("test"), Mapping):
        evidence = scores.get("evidence")
        evidence = evidence if isinstance(evidence, Mapping) else {}
        right = _of_scores(test.get("precision"), evidence.get("precision"))
        found = _of_scores(test.get("recall"), evidence.get("recall"))
        if right or found:
            return Quality(right, found, _blocks(run, evidence.get("blocks")))
    why = "was made without labels" if run.model is None else "was made by a model without test blocks"
    return Quality(None, None, f"The map {why}, and no sample of it was judged.")


def _blocks(run: RunRecord, count: object) -> str:
    blocks = (
        f"{count} blocks of labels" if isinstance(count, int) and count != 1 else "one block of labels" if count else "labels"
    )
    if run.model is not None and run.model.tested_here:
        return f"Tested on {blocks} in these images, which the model never saw; they lie where labels are, not everywhere."
    return f"Tested on {blocks} in the images that the model was trained on, and not on these: here it can be worse."


def _of_interval(found: Interval) -> OfHundred | None:
    return None if found.estimate is None else OfHundred(found.estimate, found.low, found.high)


def _of_scores(value: object, bounds: object) -> OfHundred | None:
    if not isinstance(value, int | float):
        return None
    if isinstance(bounds, Sequence) and len(bounds) == 2:
        return OfHundred(value, float(bounds[0]), float(bounds[1]))
    return OfHundred(value, None, None)


def list_doubts(run: RunRecord, rows: Sequence[AreaFigures]) -> list[Doubt]:
    """List where the map deserves less trust.

    Args:
        run: What describes it.
        rows: Its changes, from `area_rows`.
    """
    return list(chain(_doubt_unseen(run), _doubt_unlike(run), _doubt_kinds(rows), _doubt_opinion(run)))


def _doubt_unseen(run: RunRecord) -> Iterator[Doubt]:
    if run.areas.not_observed_ha:
        share = percent(1 - run.areas.observed_share)
        yield Doubt(
            f"{run.areas.not_observed_ha:,.1f} ha ({share}) were not seen on both dates: nothing is known there.", "unseen"
        )


def _doubt_unlike(run: RunRecord) -> Iterator[Doubt]:
    beyond = run.domain_shift.beyond
    if run.classical is None and beyond is None:
        yield Doubt("How far this territory is like what the model learnt from is not known.")
    elif beyond is not None and beyond > _USUAL_BEYOND:
        yield Doubt(f"{percent(beyond)} of the territory looks unlike what the model learnt from.", "unlike")


def _doubt_kinds(rows: Sequence[AreaFigures]) -> Iterator[Doubt]:
    mapped = [row for row in rows if row.mapped_ha]
    unsure = [row for row in mapped if row.is_hardly_tested]
    wrong = [row for row in mapped if row not in unsure and (right := row.right) is not None and right < EVEN]
    for text, found in (("More often wrong than right when tested", wrong), ("Hardly tested or not at all", unsure)):
        if found and (found is wrong or len(mapped) > 1):
            yield Doubt(f"{text}: {_names(found)}.", "kinds", tuple(rows.index(row) for row in found))


def _names(rows: Sequence[AreaFigures]) -> str:
    area = sum(row.mapped_ha for row in rows)
    if len(rows) > _NAMED + 1:
        return f"{', '.join(map(_name, rows[:_NAMED]))} and {len(rows) - _NAMED} more kinds ({area:,.1f} ha mapped)"
    return f"{', '.join(map(_name, rows))}; {area:,.1f} ha mapped"


def _name(row: AreaFigures) -> str:
    return f"{row.name} ({row.tests_text})"


def _doubt_opinion(run: RunRecord) -> Iterator[Doubt]:
    opinion = run.second_opinion
    if opinion is not None and opinion.kappa is not None and opinion.mapped:
        share = percent(opinion.only_model / opinion.mapped)
        yield Doubt(f"{share} of the mapped change is not seen by a simple comparison of the two images.", "opinion")


def note_dependence(run: RunRecord) -> str:
    """Return the sentence that the model looks at what its second opinion comes from, empty where no check found so."""
    return NOT_INDEPENDENT if any(NOT_INDEPENDENT in gate.meaning for gate in run.gates) else ""
