"""Drawings: changes given out for review, and how they were chosen."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from landshift.pipeline.errors import InputError
from landshift.pipeline.register.states import CONFIRMED, NEW, STATES
from landshift.pipeline.sample.draw import allocate

LARGEST, LEAST_PROBABLE, RANDOM, RANDOM_BY_KIND = "largest", "least-probable", "random", "random-by-kind"
RANKINGS = (LARGEST, LEAST_PROBABLE, RANDOM, RANDOM_BY_KIND)
"""How changes are chosen; only random ones allow an estimate for all."""
AT_RANDOM = (RANDOM, RANDOM_BY_KIND)
"""The rankings whose reviews stand for all."""

_MOST = 5_000
"""Changes that can be given out at once."""

_LEAST_OF_KIND = 50
"""Changes of each kind that a drawing by kind asks for where it can: of fewer, intervals are wide."""


@dataclass(frozen=True)
class Selection:
    """Which changes are given out for review."""

    states: tuple[str, ...] = (NEW, CONFIRMED)
    """States to choose from."""
    ranking: str = LARGEST
    """One of `RANKINGS`."""
    limit: int = 100
    """Changes at most; each gets a picture, and takes a reviewer half a minute or more."""
    seed: int = 0
    """Of random numbers; the same seed draws the same of the same changes."""
    again: bool = False
    """Whether changes that were reviewed before are chosen as well."""

    def __post_init__(self) -> None:
        """Refuse an unknown state or ranking, and too many changes.

        Raises:
            InputError: One of them.
        """
        wrong = [s for s in self.states if s not in STATES]
        if wrong:
            raise InputError(f"--state {wrong[0]}: expected one of {', '.join(STATES)}.")
        if self.ranking not in RANKINGS:
            raise InputError(f"--order {self.ranking}: expected one of {', '.join(RANKINGS)}.")
        if self.limit > _MOST:
            raise InputError(f"--limit {self.limit:,}: no more than {_MOST:,} changes can be reviewed at once; lower it.")


@dataclass(frozen=True)
class Stratum:
    """The changes of one kind."""

    code: int
    """Change code."""
    population: int
    """Changes that could have been drawn."""
    drawn: int
    """Changes that were."""


@dataclass(frozen=True)
class Drawn:
    """One change that was given out."""

    change_id: str
    """Which change."""
    change_code: int
    """Its kind."""
    run: str
    """Key of the run that saw it last."""
    patch: int
    """Number of its polygon among the patches of that run."""


@dataclass(frozen=True)
class Drawing:
    """Changes that were given out to be reviewed."""

    key: str
    """Unique; the file that is given out holds it."""
    who: str | None
    """Who gave them out."""
    ranking: str
    """One of `RANKINGS`."""
    seed: int | None
    """Of what was drawn at random; None where nothing was."""
    states: tuple[str, ...]
    """The states of the changes that could be drawn."""
    strata: tuple[Stratum, ...]
    """By code; also kinds of which none was drawn."""
    items: tuple[Drawn, ...]
    """In the order in which they are to be judged."""
    again: bool = False
    """Whether also changes could be drawn that had been reviewed before."""
    drawn_on: str = ""
    """Date, ISO 8601; empty before it is recorded."""

    @property
    def population(self) -> int:
        """Number of changes that could have been drawn."""
        return sum(s.population for s in self.strata)

    @property
    def source(self) -> str:
        """What could be drawn, in words."""
        return f"{' or '.join(self.states)}{'' if self.again else ' and not reviewed before'}"

    @property
    def is_random(self) -> bool:
        """Whether its answers stand for all that could have been drawn."""
        return self.ranking in AT_RANDOM


def waiting(changes: pd.DataFrame, reviewed: Collection[str], states: Sequence[str]) -> pd.DataFrame:
    """Return the changes in some states that are not reviewed yet, by id.

    Args:
        changes: `change_id`, `state` and more.
        reviewed: Ids of those that are reviewed.
        states: Which states.
    """
    chosen = changes[changes["state"].isin(list(states)) & ~changes["change_id"].isin(set(reviewed))]
    return chosen.sort_values("change_id", kind="stable")


def choose(candidates: pd.DataFrame, ranking: str, limit: int, seed: int = 0) -> tuple[np.ndarray, tuple[Stratum, ...]]:
    """Choose the changes that are given out.

    A simple random sample stands in the order in which it was drawn, so that its beginning is one as well.

    Args:
        candidates: From `waiting`: `change_id`, `change_code`, `area_ha` and `change_probability`.
        ranking: One of `RANKINGS`.
        limit: How many at most.
        seed: Of random numbers; the same seed draws the same of the same candidates.

    Returns:
        Row numbers (n) in the order in which they are to be judged, and the strata.

    Raises:
        InputError: The limit is too small to draw some of each kind.
    """
    codes = candidates["change_code"].to_numpy(dtype=np.int64)
    populations = {int(code): int(n) for code, n in zip(*np.unique(codes, return_counts=True), strict=True)}
    generator = np.random.default_rng(seed)
    if ranking == RANDOM:
        chosen = generator.permutation(len(candidates))[:limit]
    elif ranking == RANDOM_BY_KIND:
        chosen = _by_kind(codes, populations, limit, generator)
    else:
        column = candidates["area_ha" if ranking == LARGEST else "change_probability"].to_numpy(dtype=np.float64)
        # Unknown values come last.
        chosen = np.argsort(np.nan_to_num(-column if ranking == LARGEST else column, nan=np.inf), kind="stable")[:limit]
    drawn = np.bincount(codes[chosen], minlength=max(populations, default=0) + 1) if len(chosen) else np.zeros(256, np.int64)
    return chosen, tuple(Stratum(code, n, int(drawn[code])) for code, n in populations.items())


def _by_kind(codes: np.ndarray, populations: dict[int, int], limit: int, generator: np.random.Generator) -> np.ndarray:
    if not populations:
        return np.zeros(0, dtype=np.int64)
    if limit < 2 * len(populations):
        raise InputError(
            f"--limit {limit}: there are {len(populations)} kinds of change, and of each at least 2 are drawn. Give at least "
            f"{2 * len(populations)}, or draw with --order {RANDOM}."
        )
    sizes = allocate(populations, {}, size=limit, minimum=_LEAST_OF_KIND) if limit < len(codes) else populations
    parts = [generator.permutation(np.flatnonzero(codes == code))[:n] for code, n in sizes.items()]
    return generator.permutation(np.concatenate(parts))
