"""What a reader of estimates has to know before trusting them, in sentences."""

from collections.abc import Sequence

import numpy as np

from pipeline.area_estimation import ClassEstimate, Design
from pipeline.legend import CHANGED

_FEW = 5
"""Sampled pixels below which a normal distribution is a poor guide (in a stratum, of the rarer of two answers)."""
_RULE_OF_THREE = 3.0
"""-log(0.05), rounded as everywhere."""


def notes_on_sample(
    design: Design, names: Sequence[str], reference: np.ndarray, missed: int, not_observed_ha: float
) -> list[str]:
    """Say what weakens the whole sample.

    Args:
        design: Of the sample.
        names: Of the strata, in the order of the design.
        reference: uint8 (sample): change codes that the interpreter gave.
        missed: Pixels that were drawn and not judged.
        not_observed_ha: Hectares that were not observed on both dates.
    """
    notes = ["Mapped hectares are pixel counts, which are biased; the estimates are corrected by the sample."]
    if not_observed_ha > 0:
        notes.append(
            f"{not_observed_ha:,.2f} ha were not observed on both dates. They are in no estimate, neither as changed nor as "
            f"unchanged."
        )
    if missed:
        notes.append(
            f"{missed} of {len(reference) + missed} sampled pixels were not judged and are left out, as if they were like the "
            f"others of their stratum. If they are harder to judge than the others, the estimates are biased."
        )
    lone = [name for name, alone in zip(names, design.lone, strict=True) if alone]
    if lone:
        notes.append(
            f"Where the map says {_listed(lone)} a single pixel was judged. Of one pixel no uncertainty can be told, so "
            f"estimates that it enters have no interval: judge more of them."
        )
    return [*notes, *_rare_answers(design, names, reference >= CHANGED)]


def notes_on_classes(named: Sequence[tuple[str, ClassEstimate]], what: str, whole: Sequence[str] = ()) -> list[str]:
    """Say which estimates of classes mean less than they seem to.

    Args:
        named: Name of each class with its estimates.
        what: What the classes are of, such as `land use before`.
        whole: Names of those that were sampled whole, of which nothing is left to chance.
    """
    notes = []
    unmet = [name for name, estimate in named if not estimate.reference_samples]
    if unmet:
        notes.append(
            f"No sampled pixel was judged to be {_listed(unmet)} ({what}): the area is too small for this sample to tell, "
            f"and is left open instead of 0."
        )
    for field, text in (("users_accuracy", "user's accuracy"), ("producers_accuracy", "producer's accuracy"), ("area", "area")):
        certain = [name for name, estimate in named if getattr(estimate, field).standard_error == 0]
        certain = [name for name in certain if field != "users_accuracy" or name not in whole]
        if certain:
            notes.append(
                f"The interval of the {text} of {_listed(certain)} ({what}) has no width: the sampled pixels hold no case to "
                f"the contrary. That is what the sample met; it is no proof that there is none."
            )
    return notes


def note_on_missed(
    design: Design, stratum: int, name: str, reference: np.ndarray, kinds: Sequence[tuple[int, str, ClassEstimate]],
    hectares: float,
) -> list[str]:  # fmt: skip
    """Say how much of a change could be missed in a large stratum although no sampled pixel of it showed any.

    Where none of n pixels shows something, its share can still be 3 / n (the upper 95 % limit; Hanley and Lippman-Hand 1983,
    doi:10.1001/jama.1983.03330370053031), while the formula for the interval takes it for 0.

    Args:
        design: Of the sample.
        stratum: Index of the stratum, such as that of the unchanged pixels.
        name: Of the stratum.
        reference: uint8 (sample): change codes that the interpreter gave.
        kinds: Code, name and estimates of each kind of change.
        hectares: Of a pixel.
    """
    if design.whole[stratum]:
        return []
    here = set(reference[design.stratum == stratum].tolist())
    count = int(design.samples[stratum])
    most = min(_RULE_OF_THREE / count, 1.0) * float(design.pixels[stratum]) * hectares
    narrow = [
        kind
        for code, kind, estimate in kinds
        if code not in here
        and estimate.area.estimate is not None
        and estimate.area.high is not None
        and estimate.area.high - estimate.area.estimate < most
    ]
    if not narrow:
        return []
    return [
        f"None of the {count:,} sampled pixels that the map calls {name!r} was judged to be {_listed(narrow)}. Up to "
        f"{most:,.1f} ha of each can have been missed there all the same (95 % limit), which is more than their intervals "
        f"show: sample more of it before publishing these."
    ]


def _rare_answers(design: Design, names: Sequence[str], changed: np.ndarray) -> list[str]:
    """Name the stratum that most of the uncertainty of the changed area comes from, where it rests on a few pixels."""
    within = design.variances(changed[:, None].astype(float))[:, 0]
    within[design.whole | design.lone] = 0
    parts = design.pixels.astype(float) ** 2 * within / design.samples
    largest = int(np.argmax(parts))
    if not parts[largest] > parts.sum() / 2:
        return []
    here = changed[design.stratum == largest]
    rarer = int(min(here.sum(), (~here).sum()))
    if rarer >= _FEW:
        return []
    answer = "changed" if here.sum() == rarer else "unchanged"
    return [
        f"Most of the uncertainty of the changed area comes from {rarer} of {len(here)} sampled pixels that are {answer} where "
        f"the map says {_listed([names[largest]])}. With so few, its interval is rough and may be too narrow."
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
