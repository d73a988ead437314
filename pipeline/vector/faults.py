"""Features that cannot be painted as polygons: which ones, why, and how to mend them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from landshift.pipeline.vector.formats import new_beside

_POLYGONS = ("Polygon", "MultiPolygon")
_SHOWN = 5


@dataclass(frozen=True)
class Faults:
    """Numbers of features, from 0 in the order of the file, by what is wrong with them."""

    empty: tuple[int, ...]
    """Without a geometry, or with an empty one."""
    invalid: tuple[int, ...]
    """Polygons that cross themselves or worse."""
    others: tuple[int, ...]
    """Points, lines, and collections without a valid polygon."""
    kinds: tuple[str, ...]
    """Types of geometry of `others`."""
    collections: tuple[int, ...]
    """Collections that hold polygons and other things."""

    @property
    def bad(self) -> tuple[int, ...]:
        """All that cannot be painted."""
        return tuple(sorted((*self.empty, *self.invalid, *self.others)))

    def describe(self, path: Path) -> str:
        """Write what is wrong with which features, counted from 1, with a command for each kind."""
        counted = [f"{len(self.bad)} cannot be used"] if self.bad else []
        counted += [f"{len(self.collections)} only in part"] if self.collections else []
        files, parts = new_beside(path), [" and ".join(counted) + "."]
        if self.empty:
            parts.append(f"Empty: {_list(self.empty)}; delete or draw them again.")
        if self.invalid:
            parts.append(
                f"Invalid, mostly crossing themselves: {_list(self.invalid)}; repair them with QGIS's `Fix geometries` or "
                f"`ogr2ogr -makevalid {files}`, and look at them."
            )
        if self.others:
            parts.append(
                f"{', '.join(self.kinds)}, without area: {_list(self.others)}; expected polygons: delete or draw them again."
            )
        if self.collections:
            parts.append(
                f"Collections, of which only the polygons count: {_list(self.collections)}; "
                f"`ogr2ogr -explodecollections -unsetFid {files}` takes them apart."
            )
        return " ".join(parts)


def _list(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(n + 1) for n in numbers[:_SHOWN])
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return f"feature number{'s' if len(numbers) > 1 else ''} {shown}{more}"


def find_faults(frame: gpd.GeoDataFrame) -> Faults:
    """Return which features of a layer cannot be painted as they are."""
    shapes = frame.geometry.to_numpy()
    kinds = frame.geometry.geom_type.to_numpy()
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    areal = np.isin(kinds, _POLYGONS) & ~empty
    collections = (kinds == "GeometryCollection") & ~empty
    useful = np.array([c and not _polygons_of(s).is_empty for s, c in zip(shapes, collections, strict=True)], dtype=bool)
    invalid = (areal | useful) & ~shapely.is_valid(shapes)
    others = ~(areal | useful | empty)
    found = [tuple(np.flatnonzero(where).tolist()) for where in (empty, invalid, others, useful & ~invalid)]
    return Faults(found[0], found[1], found[2], tuple(sorted(set(kinds[others].tolist()))), collections=found[3])


def _polygons_of(shape: shapely.Geometry) -> shapely.MultiPolygon:
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.multipolygons([p for p in parts if p.geom_type == "Polygon"])


def keep_polygons(geometry: gpd.GeoSeries) -> gpd.GeoSeries:
    """Return the polygons of each feature, without the points and lines of collections."""
    return geometry.map(lambda shape: _polygons_of(shape) if shape.geom_type == "GeometryCollection" else shape)
