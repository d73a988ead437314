"""Nouns of the register: states, observations, views, withdrawals and the frame of changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from landshift.pipeline.errors import InputError

NEW, CONFIRMED, CLOSED, REJECTED, WITHDRAWN = "new", "confirmed", "closed", "rejected", "withdrawn"
STATES = (NEW, CONFIRMED, CLOSED, REJECTED, WITHDRAWN)
"""Every change is in exactly one of these."""
NOT_SEEN_AGAIN, NO_LONGER_SEEN = "not seen again", "no longer seen"
"""Why a change was closed without another one in its place: one that was never confirmed, and one that was."""


@dataclass(frozen=True)
class ConfirmationRule:
    """When a change counts as confirmed, and when as over."""

    seen_again: int = 1
    """How often it has to be seen again to be confirmed, among the next `of` observations of its place; 1 or more."""
    of: int = 2
    """Number of observations that are waited for: to confirm a new change, and in a row without it to close a confirmed one."""

    def __post_init__(self) -> None:
        """Refuse a rule that no change could meet.

        Raises:
            InputError: Not 1 <= `seen_again` <= `of`.
        """
        if not 1 <= self.seen_again <= self.of:
            raise InputError(
                f"A change cannot be confirmed by being seen in {self.seen_again} of the next {self.of} observations; expected "
                f"at least 1, and no more than there are."
            )


@dataclass(frozen=True)
class Observation:
    """What the register keeps of a run that was merged."""

    key: str
    """Of the run."""
    project: str
    """Name of the project or region."""
    before_date: str
    """Date of the image before, ISO 8601."""
    after_date: str
    """Date of the image after, ISO 8601."""
    created: str
    """When the run was made, ISO 8601; empty where unknown."""
    model_name: str
    """Of the model that made it."""
    model_hash: str
    """Hash of the model's weights."""
    scenes: tuple[str, ...] = ()
    """Names of its scenes: paths of their files, names with and without endings, their folders' names, hashes, and ids."""
    min_area_ha: int | float = 0.0
    """Minimum mapping unit of its map, hectares: smaller patches were dropped."""
    pixel_size: int | float = 0.0
    """Side of a pixel of its map, in units of the CRS; outlines are about so exact."""

    @property
    def order(self) -> tuple[str, str, str, str]:
        """Where it stands among the observations: by the date after, the date before, when it was made, and its key."""
        return (self.after_date, self.before_date, self.created, self.key)

    @property
    def pair(self) -> tuple[str, str, str]:
        """Two runs with one pair look at the same two dates of the same project, and only the one made last counts."""
        return (self.project, self.before_date, self.after_date)


@dataclass(frozen=True, eq=False)
class View:
    """What one run saw."""

    observation: Observation
    """The run."""
    extent: shapely.Polygon
    """Outline of its map."""
    patches: gpd.GeoDataFrame
    """`change_id` of the run, `change_code`, `to_code` (Int32), `area_ha`, `change_probability` and polygons, in the order of
    the run."""
    not_observed: np.ndarray
    """Polygons (n) within the map that one of its dates did not observe."""


@dataclass(frozen=True)
class Sighting:
    """What one run saw of one change."""

    run: str
    """Key of the run."""
    before_date: str
    """Date of the image before, ISO 8601."""
    after_date: str
    """Date of the image after, ISO 8601."""
    area_ha: float | None
    """Hectares by pixel count."""
    change_probability: float | None
    """Mean probability of change, 0..1."""
    model_name: str
    """Of the model that made the run."""
    model_hash: str
    """Hash of the model's weights."""
    standing: str
    """Empty where the run counts, else why it does not."""


@dataclass(frozen=True)
class Withdrawal:
    """A run, a model or a scene that was taken back, with everything made from it."""

    kind: str
    """`run`, `model` or `scene`."""
    target: str
    """Key of the run, hash of the model's weights, or path, name or hash of the scene."""
    reason: str
    """Why."""

    def concerns(self, observation: Observation) -> bool:
        """Return whether an observation is taken back by it."""
        names: Mapping[str, Sequence[str]] = {
            "run": (observation.key,), "model": (observation.model_hash,), "scene": observation.scenes,
        }  # fmt: skip
        return self.target in names[self.kind]


COLUMNS: Mapping[str, str] = {
    "change_code": "int64", "to_code": "Int64", "area_ha": "float64", "change_probability": "float64",
    "first_before": "str", "first_seen": "str", "last_seen": "str", "not_before": "str",
    "times_seen": "int64", "times_observed": "int64", "lifecycle": "str", "why": "str",
    "window_seen": "int64", "window_observed": "int64", "misses": "int64", "seen_by": "str",
    "observed_by": "str",
    "first_run": "str", "model_hash": "str", "last_run": "str", "founder_run": "str", "founder_patch": "int64",
}  # fmt: skip
"""Columns of the frame of changes and their types; beside them the geometries `geometry` (the extent) and `first_geometry`.

Dates are ISO 8601. `first_before` and `first_seen` are the dates of the pair that saw the change first, `last_seen` the latest
date after; the change came after `not_before`, the latest date before of all pairs that saw it. `times_observed` counts the
runs that could have seen it, `times_seen` those that did, the first included. `lifecycle` is the state before verdicts; in a
`new` change the two windows count what came after it was seen first; `misses` counts the observations in a row without it.
`seen_by` is a set of bits, as hexadecimal text: bit n stands for the observation that is number n in their order, and is set
where that one counts and saw the change; `observed_by` likewise, of those that could have seen it. `founder_run` and
`founder_patch` name the patch that the change goes back to, whether or not that run still counts; in a register it is the patch
that the id was given for.
"""


SETS = ("seen_by", "observed_by")
"""Columns that are sets of observations."""


@dataclass(frozen=True, eq=False)
class Known:
    """All changes after some observations, in the order in which the fold met them.

    Values are as in `COLUMNS`, but for plain arrays: texts are objects, a missing `to_code` is -1, and `SETS` are numbers.
    """

    columns: Mapping[str, np.ndarray]
    """Each (n)."""
    geometry: np.ndarray
    """Polygons or multipolygons (n): the extent of each change, which is what was seen of it at any observation, less what a
    later one saw unchanged."""
    first_geometry: np.ndarray
    """Polygons or multipolygons (n): what was seen of it first."""
    united: np.ndarray
    """int64 (n): the row of the change that it turned out to be the same as; -1 where it stands for itself."""
    laid: int
    """Observations so far, whether or not they count."""
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Key of the run to the row that each of its patches was given to, for the observations just laid over."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.geometry)

    @property
    def standing(self) -> np.ndarray:
        """int64 (n): the row of the change that stands for each row: its own, or that of the one it is the same as."""
        result = np.where(self.united >= 0, self.united, np.arange(len(self)))
        while (further := result[result] != result).any():
            result[further] = result[result[further]]
        return result


def frame_of_changes(known: Known, crs: object) -> gpd.GeoDataFrame:
    """Return `COLUMNS`, `geometry` and `first_geometry` of all rows."""
    values = dict(known.columns)
    for name in SETS:
        values[name] = np.array([f"{number:x}" for number in known.columns[name]], dtype=object)
    code = known.columns["to_code"]
    values["to_code"] = pd.array(np.where(code < 0, 0, code), dtype="Int64")
    values["to_code"][code < 0] = pd.NA
    series = {name: pd.Series(values[name]).astype(kind) for name, kind in COLUMNS.items()}
    frame = gpd.GeoDataFrame(series, geometry=known.geometry, crs=crs)
    return frame.assign(first_geometry=pd.Series(known.first_geometry, dtype=object))


def parse_frame(frame: gpd.GeoDataFrame, laid: int) -> Known:
    """Return the state that `frame_of_changes` made a frame of.

    Args:
        frame: `COLUMNS`, `geometry` and `first_geometry`; no row is united with another.
        laid: Observations so far.
    """
    arrays = {
        name: frame[name].fillna(-1).to_numpy(dtype=np.int64) if kind == "Int64"
        else frame[name].to_numpy(dtype=object if kind == "str" else kind, copy=True)
        for name, kind in COLUMNS.items()
    }  # fmt: skip
    for name in SETS:
        arrays[name] = np.array([int(text, 16) for text in frame[name]], dtype=object)
    geometry, first = (frame[name].to_numpy(dtype=object, copy=True) for name in ("geometry", "first_geometry"))
    return Known(arrays, geometry, first, united=np.full(len(frame), -1), laid=laid)


def standings(observations: Sequence[Observation], withdrawals: Sequence[Withdrawal]) -> dict[str, str]:
    """Return why each observation does not count.

    Returns:
        Key of the run to an empty text where it counts, else to why it does not.
    """
    result: dict[str, str] = {}
    newest: dict[tuple[str, str, str], str] = {}
    for seen in sorted(observations, key=lambda o: (o.created, o.key), reverse=True):
        taken_back = next((w for w in withdrawals if w.concerns(seen)), None)
        if taken_back is not None:
            result[seen.key] = f"the {taken_back.kind} was withdrawn: {taken_back.reason}"
        elif seen.pair in newest:
            result[seen.key] = f"superseded by run {newest[seen.pair]} of the same dates"
        else:
            result[seen.key], newest[seen.pair] = "", seen.key
    return result
