"""What a reader of estimates has to know before trusting them, in sentences."""

from collections.abc import Sequence

import numpy as np

from landshift.pipeline.legend import CHANGED
from landshift.pipeline.sample.agreement import InterpreterAgreement
from landshift.pipeline.sample.area_estimation import ClassEstimate, Interval
from landshift.pipeline.sample.design import FEW, WILSON, Design
from landshift.pipeline.sample.grouping import SMALL_KIND


def notes_on_sample(
    design: Design, names: Sequence[str], reference: np.ndarray, missing: int, untold: int, not_observed_ha: float
) -> list[str]:
    """Note what weakens the whole sample.

    Args:
        design: Of the sample.
        names: Of the strata, in the order of the design.
        reference: uint8 (sample): change codes that the interpreter gave.
        missing: Pixels that were drawn and not judged.
        untold: Pixels whose land use the interpreter could not recognise.
        not_observed_ha: Hectares that were not observed on both dates.
    """
    notes = ["Mapped hectares are pixel counts, which are biased; the estimates are corrected by the sample."]
    if not_observed_ha > 0:
        notes.append(
            f"{not_observed_ha:,.2f} ha were not observed on one of the dates or on both. They are in no estimate, neither as "
            f"changed nor as unchanged."
        )
    drawn = len(reference) + missing + untold
    if missing:
        notes.append(
            f"{missing} of {drawn} sampled pixels were not judged and are left out, as if they were like the others of their "
            f"stratum. If they are harder to judge than the others, the estimates are biased."
        )
    if untold:
        notes.append(
            f"Of {untold} of {drawn} sampled pixels the interpreter could not tell what they show. They are left out, as if "
            f"they were like the others of their stratum, which hard ones seldom are: the estimates may be biased."
        )
    lone = [name for name, alone in zip(names, design.lone, strict=True) if alone]
    if lone:
        notes.append(
            f"Of the stratum {_quote(lone)} a single pixel was judged. Of one pixel no variance is known: "
            f"estimates that it enters have no standard error, and limits that allow for nearly anything there. Judge more of "
            f"them."
        )
    return [*notes, *_rare_answers(design, names, reference >= CHANGED)]


def notes_on_classes(named: Sequence[tuple[str, ClassEstimate]], what: str) -> list[str]:
    """Note which classes no sampled pixel was judged to be.

    Args:
        named: Name of each class with its estimates.
        what: What the classes are of, such as `land use before`.
    """
    unmet = [name for name, estimate in named if not estimate.reference_samples]
    wrong = [(n, e.mapped_samples) for n, e in named if e.mapped_samples and e.users_accuracy.estimate == 0]
    sure = {False: "; of so few this shows little: judge more of them.", True: ": do not trust the map where it says so."}
    notes = []
    for are_many, advice in sure.items():
        texts = [f"{name!r} ({n} sampled)" for name, n in wrong if (n >= SMALL_KIND) == are_many]
        if texts:
            notes.append(
                f"Every sampled pixel that is mapped as {', '.join(texts)} ({what}) was judged to be something else{advice}"
            )
    if not unmet:
        return notes
    return [
        *notes,
        f"No sampled pixel was judged to be {_quote(unmet)} ({what}). Such an area is estimated as 0; the upper end of its "
        f"interval is an upper limit of what such a sample can miss and nothing more. Its producer's accuracy is unknown.",
    ]


_NAMED_LIMITS = 4
"""Intervals that a note names; more are counted."""


def note_on_limits(named: Sequence[tuple[str, Interval]]) -> list[str]:
    """Note which intervals are built from Wilson's limits, and why.

    Args:
        named: What each interval is of, such as `the changed area`, with the interval; the same text may stand often.
    """
    of = list(dict.fromkeys(name for name, interval in named if interval.method == WILSON))
    if not of:
        return []
    counts = [(sum(n == name and i.method == WILSON for n, i in named), sum(n == name for n, _ in named)) for name in of]
    texts = [name if total == 1 else f"{name} ({found} of {total})" for name, (found, total) in zip(of, counts, strict=True)]
    if len(texts) > _NAMED_LIMITS:
        shown = [text for text in texts if "all change" in text][:_NAMED_LIMITS]
        with_limits = sum(interval.method == WILSON for _, interval in named)
        counted = f"{with_limits} of the {len(named)} intervals of kinds of change, land uses and the whole map"
        texts = [counted] + ([f"{', '.join(shown)} among them"] if shown else [])
    return [
        f"All are design-based estimates from the sample; the limits of {', '.join(texts)} are Wilson limits combined by "
        f"stratum (Zou and Donner 2008; marked in the tables) instead of the normal approximation, which is too narrow there "
        f"because a stratum that matters has fewer than {FEW} sampled pixels of one of two answers. Such limits "
        f"say how much of each the sample can have missed: do not add up those of several."
    ]


def note_on_agreement(found: InterpreterAgreement) -> str:
    """Note how far two interpreters agreed."""
    change = found.questions[0]
    kappa = change.kappa
    if change.agreed.estimate is None:
        return "The second interpreter judged none of the sampled pixels that the first recognised."
    bounds = "" if kappa.low is None or kappa.high is None else f", {kappa.low:.2f} to {kappa.high:.2f}"
    known = "" if kappa.estimate is None else f" (kappa {kappa.estimate:.2f}{bounds})"
    return (
        f"A second interpreter gave the same answer on change for {100 * change.agreed.estimate:.0f} % of {found.pixels:,} "
        f"sampled pixels{known}; {len(found.disagreements):,} are judged differently in some answer. The estimates use the "
        f"first's judgements, and their intervals do not reckon with errors of interpreters."
    )


def _rare_answers(design: Design, names: Sequence[str], changed: np.ndarray) -> list[str]:
    """Name the stratum that most of the uncertainty of the changed area comes from, where it rests on a few pixels."""
    parts = design.distances(changed[:, None]).parts[:, 0]
    parts = np.where(design.lone, 0, parts)
    largest = int(np.argmax(parts))
    if not parts[largest] > parts.sum() / 2:
        return []
    here = changed[design.stratum == largest]
    rarer = int(min(here.sum(), (~here).sum()))
    if rarer >= FEW:
        return []
    answer = "changed" if here.sum() == rarer else "unchanged"
    return [
        f"Most of the uncertainty of the changed area comes from {rarer} of the {len(here)} sampled pixels of the stratum "
        f"{names[largest]!r}, which {'is' if rarer == 1 else 'are'} {answer}. With so few its interval is wide: judge more "
        f"pixels of that stratum to narrow it."
    ]


def _quote(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
