"""What a vector file holds besides outlines, read leniently: for proposals, not for work."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyogrio

from landshift.pipeline.errors import InputError
from landshift.pipeline.vector.formats import UNREADABLE, vector_source
from landshift.pipeline.vector.text import RAW, FittingEncoding, fitting_encodings, is_undeclared


@dataclass(frozen=True, eq=False)
class LayerAttributes:
    """The attributes of a layer, without outlines."""

    name: str
    """Of the layer."""
    frame: pd.DataFrame
    """One row a feature, in the order of the file."""
    crs: str | None
    """As the file names it, None where it names none."""
    geometry: str
    """Type that the layer declares, such as `Polygon`, `MultiPolygon` or `Unknown`."""
    in_degrees: bool
    """Whether all coordinates lie within -180..180 and -90..90."""
    encodings: tuple[FittingEncoding, ...] = ()
    """Where no encoding is declared and the text needs one: those that fit, the likeliest first; `frame` is read in the
    first."""


def read_attributes(path: Path) -> tuple[LayerAttributes, ...]:
    """Read the attributes of every layer with geometries of a file.

    Raises:
        InputError: The file is missing, damaged or of a format that is not accepted.
    """
    source = vector_source(path)
    try:
        names = [str(name) for name, kind in pyogrio.list_layers(source) if kind is not None]
        return tuple(_read(path, source, name) for name in names)
    except UNREADABLE as error:
        raise InputError(
            f"{path} is not a readable vector file ({error}); `ogrinfo -al` must list it without errors."
        ) from error


def _read(path: Path, source: str, name: str) -> LayerAttributes:
    info = pyogrio.read_info(source, layer=name, force_total_bounds=True)
    west, south, east, north = info["total_bounds"] or (math.nan,) * 4
    facts = {
        "name": name, "crs": info["crs"], "geometry": str(info["geometry_type"]),
        "in_degrees": -180 <= west <= east <= 180 and -90 <= south <= north <= 90,
    }  # fmt: skip
    if path.suffix.lower() != ".shp":
        return LayerAttributes(frame=pyogrio.read_dataframe(source, layer=name, read_geometry=False), **facts)
    try:
        if not is_undeclared(path, info["encoding"]):
            return LayerAttributes(frame=pyogrio.read_dataframe(source, layer=name, read_geometry=False), **facts)
    except UnicodeDecodeError:
        # What is declared is wrong: the bytes decide.
        pass
    raw = pyogrio.read_dataframe(source, layer=name, read_geometry=False, encoding=RAW)
    fitting = fitting_encodings(foreign_texts(raw))
    if not fitting:
        return LayerAttributes(frame=raw, **facts)
    return LayerAttributes(frame=decode(raw, fitting[0].name), encodings=fitting, **facts)


def foreign_texts(raw: pd.DataFrame, columns: frozenset[str] | None = None) -> list[bytes]:
    """List the bytes of different values and names that are not ASCII, of a frame read as `RAW`; of all columns where None."""
    used = [c for c in raw.columns if columns is None or c in columns]
    texts = [str(c) for c in used]
    for column in used:
        if _is_text(raw[column]):
            texts += [str(v) for v in raw[column].dropna().unique()]
    return [text.encode(RAW) for text in dict.fromkeys(texts) if not text.isascii()]


def decode(raw: pd.DataFrame, encoding: str) -> pd.DataFrame:
    """Return a frame read as `RAW`, its names and values in another encoding; what does not fit becomes U+FFFD."""
    out = raw.copy()
    for column in raw.columns:
        if _is_text(raw[column]):
            texts = {v: str(v).encode(RAW).decode(encoding, errors="replace") for v in raw[column].dropna().unique()}
            out[column] = raw[column].map(texts)
    names = {c: str(c).encode(RAW).decode(encoding, errors="replace") for c in raw.columns if c != "geometry"}
    return out.rename(columns=names)


def _is_text(series: pd.Series) -> bool:
    return series.dtype == object or isinstance(series.dtype, pd.StringDtype)
