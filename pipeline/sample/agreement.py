"""How far two interpreters agree on the same pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.legend import Legend
from landshift.pipeline.sample.area_estimation import UNKNOWN, Interval
from landshift.pipeline.sample.design import Z_95, wilson_limits
from landshift.pipeline.sample.references import References

FLEISS, WILSON_SCORE = "Fleiss, Cohen and Everitt 1969", "Wilson 1927"
"""Methods of the intervals of kappa and of shares."""


@dataclass(frozen=True)
class ClassAgreement:
    """One class that either interpreter gave."""

    name: str
    """Of the class or the change."""
    first: int
    """Pixels that the first interpreter judged to be it."""
    second: int
    """Pixels that the second judged to be it."""
    both: int
    """Pixels that both did."""
    agreement: Interval
    """Share of the pixels that at least one judged to be it, of which both did, 0..1."""


@dataclass(frozen=True)
class AgreementOn:
    """Agreement on one question."""

    question: str
    """`change`, `land use before` or `land use after`."""
    agreed: Interval
    """Share of the pixels with the same answer, 0..1."""
    kappa: Interval
    """Cohen's kappa, -1..1: 0 = as much as by chance; unknown where both gave one answer alone."""
    classes: tuple[ClassAgreement, ...]
    """By code."""


@dataclass(frozen=True)
class InterpreterAgreement:
    """Agreement of two interpreters. It is of the sampled pixels, of which more lie where the map has change or doubt."""

    file: str
    """Of the second interpreter."""
    pixels: int
    """That both judged and recognised."""
    only_first: int
    """Pixels that the first interpreter alone recognised."""
    only_second: int
    """Pixels that the second alone recognised."""
    questions: tuple[AgreementOn, ...]
    """Change first; land uses where the legend has them."""
    disagreements: tuple[str, ...]
    """Samples with different answers, to agree upon."""


def measure_agreement(legend: Legend, first: References, second: References, file: str) -> InterpreterAgreement:
    """Compare the judgements of two interpreters.

    Args:
        legend: Of the run.
        first: Judgements of the first.
        second: Of the second, for the same samples.
        file: Name of the second's file.
    """
    place = {name: i for i, name in enumerate(second.sample_id)}
    shared = [(i, place[name]) for i, name in enumerate(first.sample_id) if name in place]
    one, other = (np.array(index, dtype=np.int64) for index in (zip(*shared, strict=True) if shared else ((), ())))
    kinds = {change.code: change.name for change in legend.changes}
    uses = {c.code: c.name for c in legend.classes}
    questions = [_agree("change", first.change[one], second.change[other], kinds)]
    differ = first.change[one] != second.change[other]
    for question, a, b in (
        ("land use before", first.before, second.before), ("land use after", first.after, second.after)
    ):  # fmt: skip
        if a is not None and b is not None:
            questions.append(_agree(question, a[one], b[other], uses))
            differ = differ | (a[one] != b[other])
    return InterpreterAgreement(
        file=file, pixels=len(shared), only_first=len(first.sample_id) - len(shared),
        only_second=len(second.sample_id) - len(shared), questions=tuple(questions),
        disagreements=tuple(first.sample_id[i] for i, wanted in zip(one.tolist(), differ.tolist(), strict=True) if wanted),
    )  # fmt: skip


def _agree(question: str, first: np.ndarray, second: np.ndarray, names: Mapping[int, str]) -> AgreementOn:
    codes = sorted({*first.tolist(), *second.tolist()})
    classes = []
    for code in codes:
        a, b = first == code, second == code
        both, either = int((a & b).sum()), int((a | b).sum())
        classes.append(ClassAgreement(names[code], int(a.sum()), int(b.sum()), both=both, agreement=share_of(both, either)))
    table = np.array([[((first == i) & (second == j)).sum() for j in codes] for i in codes], dtype=float)
    same = int((first == second).sum())
    return AgreementOn(question, share_of(same, len(first)), cohens_kappa(table), tuple(classes))


def share_of(part: int, whole: int) -> Interval:
    """Return a share with Wilson's 95 % interval; unknown of nothing."""
    if not whole:
        return UNKNOWN
    low, high = wilson_limits(np.array([part]), np.array([whole]))
    share = part / whole
    error = float(np.sqrt(share * (1 - share) / whole))
    return _round(share, error, float(low[0]), high=float(high[0]), method=WILSON_SCORE)


def cohens_kappa(table: np.ndarray | Sequence[Sequence[float]]) -> Interval:
    """Return Cohen's kappa of a cross table of counts, with its large-sample interval.

    Cohen 1960 (doi:10.1177/001316446002000104); standard error: Fleiss, Cohen and Everitt 1969 (doi:10.1037/h0028106).

    Args:
        table: (class, class) pixels, rows of the first interpreter.

    Returns:
        Unknown without pixels, or where both gave one and the same answer alone.
    """
    counts = np.asarray(table, dtype=float)
    n = counts.sum()
    if not n:
        return UNKNOWN
    p = counts / n
    rows, columns, diagonal = p.sum(axis=1), p.sum(axis=0), p.diagonal()
    chance = float(rows @ columns)
    if chance >= 1:
        return UNKNOWN
    kappa = float((diagonal.sum() - chance) / (1 - chance))
    same = float((diagonal * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    sums = (columns[:, None] + rows[None, :]) ** 2
    crossed = float(((1 - kappa) ** 2) * (p * sums)[~np.eye(len(p), dtype=bool)].sum())
    variance = (same + crossed - (kappa - chance * (1 - kappa)) ** 2) / (n * (1 - chance) ** 2)
    error = float(np.sqrt(max(variance, 0.0)))
    low, high = max(kappa - Z_95 * error, -1.0), min(kappa + Z_95 * error, 1.0)
    return _round(kappa, error, low, high=high, method=FLEISS)


def _round(estimate: float, error: float, low: float, *, high: float, method: str) -> Interval:
    return Interval(round(estimate, 6), round(error, 6), round(low, 6), high=round(high, 6), method=method)
