"""Second opinion: how far a map of change agrees with another map of the same pair, and where it does not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landshift.pipeline.formatting import percent
from landshift.pipeline.gates import Caution, Gate, GateRules, judge, judge_unknown
from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, Change

BOTH_UNCHANGED, BOTH_CHANGED, ONLY_MODEL, ONLY_CLASSICAL = 1, 2, 3, 4

ENTRIES: tuple[Change, ...] = (
    Change(NOT_OBSERVED, "Not observed", "#ffffff"),
    Change(BOTH_UNCHANGED, "Both unchanged", "#d9d9d9"),
    Change(BOTH_CHANGED, "Both changed", "#4d4d4d"),
    Change(ONLY_MODEL, "Only the model", "#e66101"),
    Change(ONLY_CLASSICAL, "Only IR-MAD", "#5e3c99"),
)
"""Values of `disagreement.tif`; orange and purple differ for readers without full colour vision."""


NOT_INDEPENDENT = "The model looks at the statistic of IR-MAD itself: it is not independent of it."
"""Of a model with IR-MAD among its priors."""


@dataclass(frozen=True)
class SecondOpinion:
    """How far the map agrees with the IR-MAD map of the same pair; shares of the observed area, 0..1."""

    kappa: float | None
    """Cohen's kappa of changed against unchanged, -1..1; None where it could not be measured."""
    confirmed: float | None
    """Conditional kappa of what the map shows as changed: how far IR-MAD confirms it beyond chance, at most 1 (all of it), 0 =
    no more often than anywhere; None where the map shows no change, or IR-MAD shows change everywhere."""
    both_changed: float
    """Changed in both maps."""
    only_model: float
    """Changed in the map alone."""
    only_classical: float
    """Changed in the IR-MAD map alone."""
    reason: str = ""
    """Why there is no second opinion; empty where there is one."""

    @property
    def mapped(self) -> float:
        """Share that the map shows as changed."""
        return self.both_changed + self.only_model

    @property
    def classical(self) -> float:
        """Share that the IR-MAD map shows as changed."""
        return self.both_changed + self.only_classical


def compare_maps(change: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compare two maps of one pair, or some rows of them, pixel by pixel.

    Args:
        change: uint8 (y, x) change codes of the map: 0 = not observed, 1 = unchanged, from 2 on changed.
        other: The same of the other map.

    Returns:
        uint8 (y, x) codes of `ENTRIES`. Not observed in one map is not observed.
    """
    # Bytes alone: a whole map of wider numbers would not fit into memory beside the others.
    codes = np.full(change.shape, BOTH_UNCHANGED, dtype=np.uint8)
    codes[change >= CHANGED] = ONLY_MODEL
    codes[other >= CHANGED] += np.uint8(ONLY_CLASSICAL - BOTH_UNCHANGED)
    codes[codes > ONLY_CLASSICAL] = BOTH_CHANGED
    codes[(change == NOT_OBSERVED) | (other == NOT_OBSERVED)] = NOT_OBSERVED
    return codes


def form_opinion(counts: np.ndarray) -> SecondOpinion:
    """Return how far two maps agree.

    Args:
        counts: int (code): pixels of the whole map with each of the codes of `compare_maps`.
    """
    seen = np.asarray(counts, dtype=np.int64)[1 : len(ENTRIES)]
    total = int(seen.sum())
    if total == 0:
        return lack_opinion("no pixel was observed on both dates")
    shares = seen / total
    return SecondOpinion(
        _kappa(shares), _condition_kappa(shares), both_changed=float(shares[BOTH_CHANGED - 1]),
        only_model=float(shares[ONLY_MODEL - 1]), only_classical=float(shares[ONLY_CLASSICAL - 1]),
    )  # fmt: skip


def lack_opinion(reason: str) -> SecondOpinion:
    """Return what stands where there is no second opinion, with the reason."""
    return SecondOpinion(None, None, 0.0, 0.0, only_classical=0.0, reason=reason)


def _kappa(shares: np.ndarray) -> float:
    """Return Cohen's kappa (doi:10.1177/001316446002000104) of four shares, in the order of `ENTRIES` from code 1 on."""
    neither, both, ours, theirs = shares.tolist()
    agreed = neither + both
    by_chance = (both + ours) * (both + theirs) + (neither + ours) * (neither + theirs)
    # Two maps of one value each: they agree wholly, or not at all.
    return float((agreed - by_chance) / (1 - by_chance)) if by_chance < 1 else float(agreed)


def _condition_kappa(shares: np.ndarray) -> float | None:
    """Return the conditional kappa of change (Rosenfield and Fitzpatrick-Lins 1986) of four shares, as `_kappa` takes them.

    Kappa itself is low wherever one map shows far more change than the other, however right the other one is: IR-MAD takes
    crops and seasons for change. This one asks only whether it confirms what the map shows.
    """
    _, both, ours, theirs = shares.tolist()
    anywhere = both + theirs
    if both + ours <= 0 or anywhere >= 1:
        return None
    return float((both / (both + ours) - anywhere) / (1 - anywhere))


def result_gates(
    mapped: float, opinion: SecondOpinion | None, trained: float | None, rules: GateRules, *, is_prior: bool = False
) -> tuple[Gate, ...]:
    """Hold what was mapped against what can be: its share, that of other evidence, and the other map.

    Args:
        mapped: Share of the observed area that the map shows as changed, 0..1.
        opinion: Of the IR-MAD map; None for a map that a classical method made itself.
        trained: Share of changed among the training labels, 0..1; None where no model was trained or it does not hold it.
        rules: Limits, and what happens beyond them.
        is_prior: Whether the model itself looks at the statistic of IR-MAD, which makes its agreement less of an evidence.
    """
    limit = rules["mapped_share"].limit
    share = judge(
        "mapped_share", "Share mapped as changed", mapped, rules, found=f"{percent(mapped)} of the observed area",
        limit=f"at most {percent(limit)}",
        met="It is a share that a territory can have; that does not show that the right ground was mapped.",
        missed=Caution(
            f"{percent(mapped)} of the observed area is mapped as changed. More than {percent(limit)} is rarely true, and "
            f"often a model that meets other light or another place: look at the images before you use the map.",
        ),
    )  # fmt: skip
    if opinion is None:
        return (share,)
    return share, _ratio(mapped, opinion, trained, rules, is_prior=is_prior), _agreement(opinion, rules, is_prior=is_prior)


def _ratio(mapped: float, opinion: SecondOpinion, trained: float | None, rules: GateRules, *, is_prior: bool) -> Gate:
    setting, name, limit = "mapped_ratio", "Share mapped, beside other evidence", rules["mapped_ratio"].limit
    expected = f"at most {limit:g} times as much"
    others: list[tuple[float, str]] = [(opinion.classical, "by IR-MAD")] if opinion.kappa is not None else []
    others += [(trained, "of the training labels")] if trained is not None else []
    shown = " and ".join(f"{percent(value)} {what}" for value, what in others)
    # A model that looks at IR-MAD itself goes wrong together with it.
    apart = [value for value, what in others if not (is_prior and what == "by IR-MAD")]
    most = max(apart, default=0.0)
    if most <= 0:
        return judge_unknown(setting, name, rules, limit=expected, reason="There is no other share to hold it against.")
    return judge(
        setting, name, mapped / most, rules, found=f"{percent(mapped)}, against {shown}", limit=expected,
        met="The map shows about as much change as other evidence, or less.",
        missed=Caution(
            f"The map shows {percent(mapped)} as changed, {mapped / most:.1f} times as much as other evidence ({shown}): it "
            f"may take light, season or another place for change.", "See disagreement.tif.",
        ),
    )  # fmt: skip


def _agreement(opinion: SecondOpinion, rules: GateRules, *, is_prior: bool) -> Gate:
    name, least = "Second opinion (IR-MAD)", rules["second_opinion"].limit
    limit = f"change confirmed beyond chance by at least {least:g}"
    if opinion.kappa is None:
        reason = f"There is no IR-MAD map to compare with: {opinion.reason}."
        return judge_unknown("second_opinion", name, rules, limit=limit, reason=reason)
    parts = (
        f"changed in both {percent(opinion.both_changed)}, only by the model {percent(opinion.only_model)}, only by IR-MAD "
        f"{percent(opinion.only_classical)} of the observed area"
    )
    if opinion.confirmed is None:
        reason = f"The map shows no change to confirm, or IR-MAD shows it everywhere: {parts}."
        return judge_unknown("second_opinion", name, rules, limit=limit, reason=reason)
    share = percent(opinion.both_changed / opinion.mapped)
    dependent = f" {NOT_INDEPENDENT}" if is_prior else ""
    return judge(
        "second_opinion", name, opinion.confirmed, rules,
        found=f"{opinion.confirmed:.2f} (kappa {opinion.kappa:.2f})", limit=limit,
        met=f"IR-MAD, which needs no labels, shows {share} of the mapped change too: {parts}.{dependent}",
        missed=Caution(
            f"IR-MAD, which needs no labels, shows {share} of the mapped change, hardly more than anywhere: {parts}. "
            f"One of them is wrong: compare them with the images.{dependent}", "See disagreement.tif.",
        ),
    )  # fmt: skip


def list_shares(opinion: SecondOpinion) -> Sequence[tuple[Change, float]]:
    """Return the kinds of agreement with their shares of the observed area, 0..1, for a table."""
    changed = (opinion.both_changed, opinion.only_model, opinion.only_classical)
    return tuple(zip(ENTRIES[1:], (1 - sum(changed), *changed), strict=True))
