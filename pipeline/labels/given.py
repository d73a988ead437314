"""Splits that the labels come with: what each polygon or zone is for, and how far the roles lie apart."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from scipy.ndimage import maximum_filter

from landshift.pipeline.errors import InputError
from landshift.pipeline.files.opening import read_text
from landshift.pipeline.files.walking import raise_fault, require_listable, walk_files
from landshift.pipeline.grid import Grid, pixel_metres
from landshift.pipeline.labels.read import Labels
from landshift.pipeline.labels.regions import block_index
from landshift.pipeline.labels.search import NO_ROLE, ROLES, TEST, TRAIN, VALIDATION
from landshift.pipeline.labels.splits import Block, Splits
from landshift.pipeline.labels.values import CHANGE_NAMES, ROLE_WORDS, codes_of, plain
from landshift.pipeline.legend import Legend
from landshift.pipeline.limits import TABLE_BYTES
from landshift.pipeline.vector.read import StatedLayer, burn, read_usable_polygons

UNUSED = "unused"
"""What `split: roles:` names what has no role by."""
_PAIRS = ((TRAIN, TEST), (TRAIN, VALIDATION), (VALIDATION, TEST))
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class GivenRoles:
    """What the pixels of a territory are for, as a file states it."""

    role: np.ndarray
    """uint8 (y, x): number of the role, 255 = none."""
    notes: tuple[str, ...] = ()
    """Sentences for a person: overlaps, and what has no role."""


def role_reader(roles: Mapping[int | str, str]) -> Callable[[str | int], int]:
    """Return the function from a value to the number of its role.

    Args:
        roles: What further values mean: `train`, `validation`, `test` or `unused`.
    """
    words = {word: ROLES.index(name) for word, name in ROLE_WORDS.items()}
    words |= {str(key).casefold(): NO_ROLE if name == UNUSED else ROLES.index(name) for key, name in roles.items()}

    def read(value: str | int) -> int:
        code = words.get(str(value).casefold())
        if code is None:
            raise InputError(
                f"{str(value)[:60]!r} is not a role; expected one of {', '.join(words)}. Name others in the config, for "
                f"example `split: roles: {{{str(value)[:60]!r}: test}}`, with `train`, `validation`, `test` or `{UNUSED}`."
            )
        return code

    return read


def role_folders(folder: Path, suffixes: Sequence[str]) -> dict[Path, int]:
    """Return the files in folders that are called after roles (`train`, `val`, `test`), and the number of each one's role.

    Raises:
        InputError: The folder is missing, or a role has no such file.
    """
    require_listable(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; `split: by: folder` expects one with train, val and test folders in it.")
    found = {
        file: ROLES.index(ROLE_WORDS[part.name.casefold()])
        for part in sorted(folder.iterdir())
        if part.is_dir() and part.name.casefold() in ROLE_WORDS
        for file in walk_files(part, raise_fault, suffixes=tuple(suffixes), depth=0)
    }
    missing = [name for number, name in enumerate(ROLES) if number not in found.values()]
    if missing:
        there = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "nothing"
        raise InputError(
            f"{folder} has no {' and no '.join(missing)} folder with {', '.join(suffixes)} files; it holds {there}. Expected "
            f"folders called after the roles ({', '.join(ROLE_WORDS)})."
        )
    return found


def read_role_table(path: Path, column: str, read: Callable[[str | int], int]) -> tuple[str, dict[str | int | None, int]]:
    """Read a CSV table of roles.

    Args:
        path: With a line of headings, one of which is `column`; another one is a column of the labels too.
        column: That holds the roles.
        read: From a value of it to the number of its role.

    Returns:
        The heading of the first other column, and from its values to the number of their role.

    Raises:
        InputError: The file cannot be read, lacks the column or another one, holds other words, or two roles for one value.
    """
    try:
        text = read_text(path, TABLE_BYTES, "utf-8-sig")
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), dialect=dialect))
    except (InputError, csv.Error) as error:
        raise InputError(f"{path} is not a readable CSV table ({error}). Expected UTF-8 with a line of headings.") from error
    headings = [str(h) for h in (rows[0] if rows else ())]
    keys = [h for h in headings if h != column]
    if column not in headings or not keys:
        raise InputError(
            f"{path} has the columns {', '.join(headings) or 'none'}; expected {column!r} (`split: column:`) with the roles, "
            f"and one that the labels have too."
        )
    roles = codes_of([row[column] for row in rows], read, f"{path}, column {column!r}")
    table: dict[str | int | None, int] = {}
    for row, role in zip(rows, roles, strict=True):
        key = plain(row[keys[0]])
        if table.setdefault(key, role) != role:
            raise InputError(f"{path}: {keys[0]} {key!r} is there twice, with two roles. Keep one of them.")
    return keys[0], table


def read_zones(
    path: Path, grid: Grid, column: str, stated: StatedLayer, read: Callable[[str | int], int]
) -> tuple[gpd.GeoDataFrame, tuple[str, ...]]:
    """Read polygons that state what lies in them is for.

    Args:
        path: GeoPackage, FlatGeobuf, Shapefile or GeoJSON, any CRS.
        grid: In whose CRS they are wanted.
        column: That holds the roles.
        stated: What the config states of the layer.
        read: From a value of the column to the number of its role.

    Returns:
        Columns `role`, `number` and `file`, and sentences about features that are left out.

    Raises:
        InputError: The layer cannot be read (as in `read_usable_polygons`), lacks the column, or holds other words.
    """
    layer = read_usable_polygons(path, grid.crs, stated)
    found = [str(c) for c in layer.frame.columns if c != "geometry"]
    if column not in found:
        raise InputError(
            f"{path} has no column {column!r}; it has {', '.join(found) or 'none'}. Set `split: column:` to the one with the "
            f"roles."
        )
    frame = layer.frame[["geometry"]].copy()
    frame["role"] = codes_of(layer.frame[column].tolist(), read, f"{path}, column {column!r}")
    frame["number"], frame["file"] = frame.index.to_numpy() + 1, path.name
    return frame, layer.notes


def roles_of_polygons(frame: gpd.GeoDataFrame, grid: Grid, buffer: int, *, what: str = "polygons") -> GivenRoles:
    """Burn roles onto a grid; where polygons of two roles overlap, the later role has the pixels.

    Args:
        frame: In the grid's CRS, with columns `role`, `number` and `file` (as `LabelPolygons.frame`).
        grid: Where to.
        buffer: Pixels within which polygons of two roles are near one another.
        what: What the features are called in notes.
    """
    numbers, out = frame["role"].to_numpy(), np.full(tuple(grid.shape), NO_ROLE, dtype=np.uint8)
    notes, shared = [], 0
    for role in range(len(ROLES)):
        part = frame[numbers == role]
        here = burn(part, [1] * len(part), grid, 0) == 1
        shared += int((here & (out != NO_ROLE)).sum())
        out[here] = role
    without = int((numbers == NO_ROLE).sum())
    if without:
        notes.append(f"{without} of {len(frame)} {what} have no role, and are not used.")
    if shared:
        notes.append(f"{what.capitalize()} of two roles overlap on {shared:,} pixels, which count for the later role only.")
    for earlier, later in _PAIRS:
        near = _near_polygons(frame[numbers == later], frame[numbers == earlier], buffer * pixel_metres(grid) / _unit(grid))
        if near:
            shown = ", ".join(f"{a} beside {b}" for a, b in near[:_SHOWN])
            notes.append(
                f"{len(near)} of {int((numbers == later).sum())} {ROLES[later]} {what} lie within {buffer} pixels of "
                f"{ROLES[earlier]} {what} (feature numbers {shown}{', ...' if len(near) > _SHOWN else ''})."
            )
    return GivenRoles(out, tuple(notes))


def _unit(grid: Grid) -> float:
    """Return the unit of a grid's CRS in metres."""
    return pixel_metres(grid) / float(grid.transform.a)


def _near_polygons(these: gpd.GeoDataFrame, those: gpd.GeoDataFrame, distance: float) -> list[tuple[str, str]]:
    """Return a pair of feature numbers for each of `these` polygons that lies within a distance of one of `those`."""
    if not len(these) or not len(those):
        return []
    one, other = those.sindex.query(these.geometry, predicate="dwithin", distance=distance)
    order = np.lexsort((other, one))
    one, other = one[order], other[order]
    _, first = np.unique(one, return_index=True)
    names, others = (_feature_names(frame) for frame in (these, those))
    return [(names[one[k]], others[other[k]]) for k in first.tolist()]


def _feature_names(frame: gpd.GeoDataFrame) -> list[str]:
    """Return the number of each feature, with its file where there are several."""
    several = frame["file"].nunique() > 1
    pairs = zip(frame["number"], frame["file"], strict=True)
    return [f"{number} of {file}" if several else str(number) for number, file in pairs]


def divide_as_given(
    labels: Labels, legend: Legend, given: GivenRoles, *, by: str, block: int, buffer: int, min_pixels: int
) -> tuple[np.ndarray, Splits]:
    """Divide labels as a file states it, and state how far the roles lie apart; nothing is taken away.

    Args:
        labels: Of the territory.
        legend: The classes.
        given: The role of each pixel.
        by: Where it comes from: `column`, `folder` or `file`.
        block: Side in pixels of the blocks that intervals are made of.
        buffer: Pixels: labels of two roles that lie nearer than this are counted in a note.
        min_pixels: Pixels that each class should have in each role; fewer are named in a note.

    Returns:
        uint8 (y, x) as `DividedLabels.role`, and the record of the blocks.

    Raises:
        InputError: A role has no labels, or no changed or no unchanged ones where there are such labels.
    """
    role = np.where(labels.labelled, given.role, NO_ROLE).astype(np.uint8)
    counts = {name: _count(labels, legend, role == number) for number, name in enumerate(ROLES)}
    totals = _count(labels, legend, labels.labelled)
    for name, found in counts.items():
        lacks = [kind for kind in CHANGE_NAMES if totals[kind] and not found[kind]]
        if not any(found.values()) or lacks:
            missing = " and no ".join(lacks) if any(found.values()) and lacks else "labelled"
            raise InputError(
                f"The given split (`split: by: {by}`) has no {missing} pixels for {name}: train "
                f"{_sum(counts['train'])}, validation {_sum(counts['validation'])}, test {_sum(counts['test'])} (changed / "
                f"unchanged / all classes). Give every role both, or let `split: by: blocks` divide the labels."
            )
    notes = [*given.notes, *_describe_nearness(role, buffer), *_describe_short(counts, totals, min_pixels)]
    height, width = role.shape
    columns = -(-width // block)
    index = block_index(np.arange(height)[:, None], np.arange(width), width, block)
    blocks = []
    for number, name in enumerate(ROLES):
        held, pixels = np.unique(index[role == number], return_counts=True)
        blocks += [
            Block(k // columns, k % columns, name, n, used=n) for k, n in zip(held.tolist(), pixels.tolist(), strict=True)
        ]
    return role, Splits(
        block=block, buffer=buffer, seed=0, buffered=int((labels.labelled & (role == NO_ROLE)).sum()),
        counts={name: {k: n for k, n in found.items() if totals[k]} for name, found in counts.items()},
        blocks=tuple(sorted(blocks, key=lambda b: (b.row, b.column))), by=by, notes=tuple(notes),
    )  # fmt: skip


def _count(labels: Labels, legend: Legend, where: np.ndarray) -> dict[str, int]:
    """Return the pixels of each class of each date, and of changed and unchanged."""
    layers = {"before": labels.before, "after": labels.after}
    found = {
        f"{c.name} ({date})": int((layer[where] == c.code).sum()) for date, layer in layers.items() for c in legend.classes
    }
    return found | {name: int((labels.change[where] == code).sum()) for name, code in CHANGE_NAMES.items()}


def _sum(found: Mapping[str, int]) -> str:
    classes = sum(n for name, n in found.items() if name not in CHANGE_NAMES)
    return f"{found['changed']:,} / {found['unchanged']:,} / {classes:,}"


def _describe_nearness(role: np.ndarray, buffer: int) -> list[str]:
    """Return sentences on pixels that lie within the buffer of those of another role."""
    if not buffer:
        return []
    notes = []
    for earlier, later in _PAIRS:
        near = maximum_filter((role == earlier).astype(np.uint8), size=2 * buffer + 1, mode="constant") == 1
        count, total = int((near & (role == later)).sum()), int((role == later).sum())
        if count:
            notes.append(
                f"Given split: {count:,} of {total:,} {ROLES[later]} pixels ({100 * count / total:.0f} %) lie within {buffer} "
                f"pixels (`split: buffer_px`) of {ROLES[earlier]} labels. Neighbouring pixels look alike, so their scores can "
                f"be better than those of places further away; `split: by: blocks` keeps the roles apart."
            )
    return notes


def _describe_short(counts: Mapping[str, Mapping[str, int]], totals: Mapping[str, int], min_pixels: int) -> list[str]:
    """Return a sentence on the classes that have few pixels in a role, where there are some."""
    short = [
        f"{kind} {found[kind]} in {name}"
        for name, found in counts.items()
        for kind in found
        if totals[kind] and found[kind] < min_pixels
    ]
    if not short:
        return []
    listed = "; ".join(short[: 2 * _SHOWN]) + ("; ..." if len(short) > 2 * _SHOWN else "")
    return [f"Given split: fewer than {min_pixels} pixels (`split: min_pixels`) of {listed}: no score of them is dependable."]
