"""Land-use classes and the dense codes of the changes between them."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from landshift.pipeline.colours.palette import style_kinds
from landshift.pipeline.errors import InputError
from landshift.pipeline.limits import require_name

NOT_OBSERVED = 0
UNCHANGED = 1
CHANGED = 2
NOT_LABELLED = 255
MAX_CLASSES = 16

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_GREY = "#d9d9d9"
_RED = "#d7301f"


@dataclass(frozen=True)
class LandUse:
    """One land-use class."""

    code: int
    """1..16, unique within a legend."""
    name: str
    """What a reader of the map sees, for example `Forest`."""
    colour: str
    """`#rrggbb`."""


@dataclass(frozen=True)
class Change:
    """One value of the change map."""

    code: int
    """0..255: 0 = not observed, 1 = unchanged, from 2 on one code for each change."""
    name: str
    """For example `Forest to Cropland`."""
    colour: str
    """`#rrggbb`, about that of the class after."""
    from_code: int | None = None
    """Land-use code before, None where the code stands for no single class."""
    from_name: str = ""
    """Name of the class before, empty where there is no code."""
    to_code: int | None = None
    """Land-use code after, None where the code stands for no single class."""
    to_name: str = ""
    """Name of the class after, empty where there is no code."""
    pattern: int = 0
    """Index in `colours.palette.PATTERNS` of the lines that stand for the class before; 0 = plain."""


@dataclass(frozen=True)
class Legend:
    """The land-use classes of a project; without classes the project is binary (changed or unchanged)."""

    classes: tuple[LandUse, ...] = ()
    """At most 16, codes 1..16 in ascending order."""

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> "Legend":
        """Return the legend of these classes: `code`, `name` and `colour` of each.

        Raises:
            InputError: Codes or names repeat, a code is outside 1..16, or there is just one class.
            KeyError: An entry lacks one of the three.
        """
        return cls(tuple(LandUse(entry["code"], entry["name"], entry["colour"]) for entry in entries))

    def __post_init__(self) -> None:
        """Refuse codes and names that readers could confuse, or that would act on what shows them.

        Raises:
            InputError: Codes or names repeat, a code is outside 1..16, a name or colour is not fit, or there is just one class.
        """
        codes = [c.code for c in self.classes]
        names = [c.name for c in self.classes]
        if len(codes) == 1:
            raise InputError(f"The legend has one class, {names[0]!r}; list at least two, or none for a binary project.")
        wrong = [c for c in codes if not 1 <= c <= MAX_CLASSES]
        if wrong:
            raise InputError(f"The legend has code {wrong[0]}; land-use codes are 1 to {MAX_CLASSES}: renumber it.")
        if codes != sorted(set(codes)):
            raise InputError(f"The legend's codes are {codes}; give each class its own code, in ascending order.")
        for c in self.classes:
            require_name(c.name, f"Class {c.code} of the legend")
            if not _COLOUR.fullmatch(c.colour):
                raise InputError(f"Class {c.name!r} of the legend has the colour {c.colour!r}; expected one such as #1b7837.")
        if len({n.casefold() for n in names}) != len(names):
            raise InputError(f"The legend's names are {names}; give each class its own name, whatever the case of its letters.")

    @property
    def binary(self) -> bool:
        """Whether the project knows only changed and unchanged."""
        return not self.classes

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """Every value that the change map can hold, by ascending code without gaps."""
        fixed = Change(NOT_OBSERVED, "Not observed", "#ffffff"), Change(UNCHANGED, "Unchanged", _GREY)
        if self.binary:
            return (*fixed, Change(CHANGED, "Changed", _RED))
        styles = style_kinds([c.colour for c in self.classes])
        pairs = [(i, k) for i in range(len(self.classes)) for k in range(len(self.classes)) if i != k]
        return fixed + tuple(
            Change(
                CHANGED + number, f"{(a := self.classes[i]).name} to {(b := self.classes[k]).name}", styles[i, k].colour,
                from_code=a.code, from_name=a.name, to_code=b.code, to_name=b.name, pattern=styles[i, k].pattern,
            )
            for number, (i, k) in enumerate(pairs)
        )  # fmt: skip

    def change_lookup(self) -> np.ndarray:
        """Return the change code for each pair of land-use codes.

        Returns:
            uint8 (17, 17), indexed `[before, after]`; equal codes give 1 and a code that is not in the legend gives 0.
        """
        table = np.zeros((MAX_CLASSES + 1, MAX_CLASSES + 1), dtype=np.uint8)
        for c in self.classes:
            table[c.code, c.code] = UNCHANGED
        for change in self.changes:
            if change.from_code is not None and change.to_code is not None:
                table[change.from_code, change.to_code] = change.code
        return table

    def code_of(self, name: str) -> int:
        """Return the code of the class called `name`, whatever its capitals and spaces.

        Raises:
            InputError: No class is called so; the message names the nearest one.
        """
        by_name = {_fold(c.name): c for c in self.classes}
        if _fold(name) in by_name:
            return by_name[_fold(name)].code
        near = difflib.get_close_matches(_fold(name), by_name, n=1)
        hint = f" Did you mean {by_name[near[0]].name!r}?" if near else ""
        raise InputError(f"Class {name!r} is not in the legend ({', '.join(c.name for c in self.classes)}).{hint}")


def _fold(name: str) -> str:
    return " ".join(name.casefold().split())
