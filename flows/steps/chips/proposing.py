"""A config for a folder that is a collection of chips, with what is left to decide."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.inspection.folder import find_chip_folders
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.search import ROLES
from landshift.pipeline.manifest import write_text
from landshift.pipeline.raster.picture import Picture, read_picture
from landshift.pipeline.records import content_of
from landshift.pipeline.tiles import STRIDE

_ROLES = dict(zip(ROLES, ("train", "val", "test"), strict=True))
"""What the name of the folder or list of each role begins with."""
_MASKS = re.compile(r"label|mask|gt|change|target|cm|ref|out", re.IGNORECASE)
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_COUNTED = 60
"""Masks whose values are counted, evenly spread."""
_RGB = ("red", "green", "blue")
_DECIDE = "DECIDE"


@dataclass(frozen=True)
class ProposedChips:
    """Answer of `landshift init` for a collection of chips."""

    config: str
    """The file that was written."""
    split: Mapping[str, str]
    """Role to its folder or list."""
    values: Mapping[str, int]
    """Value of the masks to its pixels, in the masks that were counted."""
    to_decide: tuple[str, ...]
    """Sentences that begin with the key."""
    next: str
    """Command to run."""


def is_collection(folder: Path) -> bool:
    """Return whether a folder holds chips of two dates."""
    return folder.is_dir() and find_chip_folders(folder) is not None


def write_chips_config(folder: Path, path: Path, command: str) -> Reply:
    """Write a commented config for a collection of chips; what its files do not show is written as a question.

    Args:
        folder: Of the collection.
        path: The config to write; an existing one is not touched.
        command: What to run next.

    Raises:
        InputError: The config is there already, the folder is no collection, or its first pictures cannot be read.
    """
    if path.exists():
        raise InputError(f"{path} is there already, and is not overwritten. Name another with --config, or remove it.")
    pair = find_chip_folders(folder)
    if pair is None:
        raise InputError(f"{folder} is not a collection of chips: expected folders such as A and B.")
    root, split = _find_split(folder, pair)
    parts = {p.name.casefold(): p for p in sorted(root.iterdir()) if p.is_dir()}
    masks = [p.name for name, p in parts.items() if name not in pair and _MASKS.search(name) and _pictures(p)]
    questions = [
        f"labels.chips.split.{role}: no folder or list of this name was found" for role in ROLES if _DECIDE in str(split[role])
    ]
    before, values = _read(parts[pair[0]]), dict[str, int]()
    if len(masks) == 1:
        values = _count_values(_pictures(parts[masks[0].casefold()]))
    else:
        found = ", ".join(masks) or "no folder of masks"
        questions.append(f"labels.chips.label: {found}; name the masks of change, or the classes of each date with a legend")
    named = _name_values(values)
    if _DECIDE in named.values():
        questions.append("labels.chips.values: what each value of the masks means: changed, unchanged or not labelled")
    bands = _RGB if before.colours == _RGB else tuple(f"{_DECIDE}-{n + 1}" for n in range(len(before.numbers)))
    if bands != _RGB:
        questions.append(f"sensor.bands: the files have {len(before.numbers)} bands, and do not declare what they see")
    lines = [
        "# A collection of chips: docs/chips.md describes each key.", f"name: {_name(folder)}", "",
        "sensor: # an alpha band is a mask, and not named",
        "  name: custom", f"  bands: [{', '.join(bands)}] # in the order of the files", "  scale: 1",
        "  nodata: none # or the number that means not observed",
        f"  units: digital numbers # the files hold {before.numbers.dtype}; `reflectance` where scale makes them so", "",
        "labels:", "  chips:", f"    before: {parts[pair[0]].name}", f"    after: {parts[pair[1]].name}",
        f"    label: {masks[0] if len(masks) == 1 else _DECIDE}",
        f"    values: {{{', '.join(f'{_key(v)}: {meaning}' for v, meaning in named.items()) or f'0: {_DECIDE}'}}}"
        f"{' # look at one mask: is it so?' * (_DECIDE not in named.values())}",
        "    split:", *(f"      {role}: {place}" for role, place in split.items()), "",
        "training:", "  strategy: full # chips train a network",
        f"  chip: {_side(before)} # side of the windows, a multiple of {STRIDE}",
    ]  # fmt: skip
    proposed = ProposedChips(
        str(write_text(path, "\n".join(lines) + "\n")), {r: str(p) for r, p in split.items()}, values,
        to_decide=tuple(questions), next=command,
    )  # fmt: skip
    return content_of(proposed), _lines(proposed)


def _lines(proposed: ProposedChips) -> list[str]:
    counted = ", ".join(f"{value} ({count:,} pixels)" for value, count in proposed.values.items())
    return [
        f"Wrote {proposed.config}: a collection of chips.",
        f"  Split   {', '.join(f'{role}: {place}' for role, place in proposed.split.items())}",
        *([f"  Masks   {counted}, in {_COUNTED} of them at most"] if counted else []),
        *(f"  to decide: {question}" for question in proposed.to_decide),
    ]


def _find_split(folder: Path, pair: tuple[str, str]) -> tuple[Path, dict[str, str | float]]:
    """Return the folder in which the dates lie (one of them, where the splits are above), and the place of each role."""
    above = {role: _find_called(folder, start, pair) for role, start in _ROLES.items()}
    dates = next((p for p in sorted(folder.iterdir()) if p.is_dir() and p.name.casefold() == pair[0]), None)
    if dates is None:
        root = above[ROLES[0]] or next(p for p in sorted(folder.iterdir()) if p.is_dir() and _has(p, pair))
        return root, _fill({role: None if p is None else p.name for role, p in above.items()})
    below = {role: _find_called(dates, start) for role, start in _ROLES.items()}
    if any(below.values()):
        return folder, _fill({role: None if p is None else p.name for role, p in below.items()})
    lists = sorted((*folder.glob("*.txt"), *folder.glob("*/*.txt")))
    named = {role: next((p for p in lists if p.stem.lower().startswith(start)), None) for role, start in _ROLES.items()}
    return folder, _fill({role: None if p is None else p.relative_to(folder).as_posix() for role, p in named.items()})


def _fill(found: Mapping[str, str | None]) -> dict[str, str | float]:
    """Give validation a share where there is nothing of it, and put questions in the place of the rest."""
    missing: dict[str, str | float] = {ROLES[0]: _DECIDE, ROLES[1]: 0.1, ROLES[2]: _DECIDE}
    return {role: place or missing[role] for role, place in found.items()}


def _find_called(folder: Path, start: str, pair: tuple[str, str] | None = None) -> Path | None:
    folders = (p for p in sorted(folder.iterdir()) if p.is_dir() and p.name.lower().startswith(start))
    return next((p for p in folders if pair is None or _has(p, pair)), None)


def _has(folder: Path, pair: tuple[str, str]) -> bool:
    return set(pair) <= {p.name.casefold() for p in folder.iterdir() if p.is_dir()}


def _pictures(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in _PICTURES and not p.name.startswith(".")]


def _read(folder: Path) -> Picture:
    return read_picture(_pictures(folder)[0])


def _count_values(masks: Sequence[Path]) -> dict[str, int]:
    """Count the numbers of masks, or their colours where bands differ, the most frequent first."""
    counts: Counter[str] = Counter()
    for path in masks[:: max(len(masks) // _COUNTED, 1)][:_COUNTED]:
        bands = read_picture(path).numbers
        plain = all(np.array_equal(bands[0], other) for other in bands[1:])
        values = bands[0].astype(np.int64) if plain else np.einsum("byx,b->yx", bands[:3].astype(np.int64), [65536, 256, 1])
        for value, count in zip(*np.unique(values, return_counts=True), strict=True):
            counts[str(value) if plain else f"#{value:06x}"] += int(count)
    return dict(counts.most_common(32))


def _name_values(values: Mapping[str, int]) -> dict[str, str]:
    """Name 0 and one other number, as nearly all masks of change have them; ask for all else."""
    usual = len(values) == 2 and "0" in values and set(values) & {"1", "255"}
    return {v: ("unchanged" if v == "0" else "changed") if usual else _DECIDE for v in values}


def _key(value: str) -> str:
    return f'"{value}"' if value.startswith("#") else value


def _name(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:60] or "chips"


def _side(picture: Picture) -> int:
    height, width = picture.numbers.shape[1:]
    return int(np.clip(min(height, width) // STRIDE * STRIDE, STRIDE, 256))
