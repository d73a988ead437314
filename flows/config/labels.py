"""The section of a configuration about labels: polygons, rasters or chips."""

import codecs
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from landshift.flows.config.sections import Section

_COLOUR = re.compile("#[0-9a-f]{6}")


class PolygonLabels(Section):
    """Labels in a vector layer."""

    path: Path
    """GeoPackage, FlatGeobuf, Shapefile or GeoJSON, any CRS; with `split: by: folder`, the folder that holds train, val and
    test."""
    layer: str | None = None
    """Layer, where the file has several."""
    encoding: str | None = None
    """Of the text of a Shapefile without .cpg file, such as `gbk`, `big5`, `cp1252` or `cp1251`; None: as the file declares."""
    crs: str | None = None
    """Of a file that declares none, such as a Shapefile without .prj file: `EPSG:32651`."""
    before_column: str = "before"
    """Class before: name or code."""
    after_column: str = "after"
    """Class after: name or code."""
    change_column: str | None = None
    """`changed` or `unchanged` (or 1 and 0), for a binary project."""
    region_column: str | None = None
    """Region of each polygon."""
    values: dict[int | str, str | int] = Field(default_factory=dict)
    """Value in these columns (but for regions), a number or a word, to class name or code, `changed`, `unchanged` or `not
    labelled`: then it names every value that occurs. Empty: the values are names or codes themselves."""

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str | None) -> str | None:
        try:
            return None if encoding is None else codecs.lookup(encoding).name
        except LookupError as error:
            raise ValueError("this encoding is not known; expected one such as gbk, big5, cp1252, cp1250 or cp1251") from error

    @field_validator("values")
    @classmethod
    def _are_there_once(cls, values: dict[int | str, str | int]) -> dict[int | str, str | int]:
        if len({str(key).casefold() for key in values}) < len(values):
            raise ValueError("a value is there twice")
        return values

    @model_validator(mode="after")
    def _has_two_dates(self) -> "PolygonLabels":
        if self.before_column == self.after_column:
            raise ValueError(
                f"`before_column` and `after_column` are both {self.before_column!r}, so nothing would have changed; name the "
                f"column of each date, or leave one of them out where the layer has the classes of one date"
            )
        return self


class RasterLabels(Section):
    """Labels in rasters on the grid of the scenes: one band of whole numbers, or colours in a palette or in three bands.

    With `split: by: folder`, the paths are folders that hold train, val and test.
    """

    before: Path | None = None
    """Classes before."""
    after: Path | None = None
    """Classes after."""
    change: Path | None = None
    """Changed or unchanged."""
    values: dict[int | str, str | int]
    """Number in the raster, or colour as `"#rrggbb"`, to class name or code, `changed`, `unchanged` or `not labelled`."""

    @field_validator("values")
    @classmethod
    def _are_of_one_kind(cls, values: dict[int | str, str | int]) -> dict[int | str, str | int]:
        return _of_one_kind(values)


def _of_one_kind(values: dict[int | str, str | int]) -> dict[int | str, str | int]:
    """Return what the values of labels mean: all numbers or all colours, which are in lower case.

    Raises:
        ValueError: They are mixed, something else, or there twice.
    """
    plain = {int(k) if isinstance(k, str) and k.isdecimal() else k: v for k, v in values.items()}
    keys = {k.lower() if isinstance(k, str) else k: v for k, v in plain.items()}
    wrong = [k for k in keys if isinstance(k, str) and not _COLOUR.fullmatch(k)]
    if wrong:
        raise ValueError(f'{wrong[0]!r} is neither a whole number nor a colour such as "#3ca03c"')
    if len({isinstance(k, str) for k in keys}) > 1:
        raise ValueError("name the numbers or the colours of the labels, not both")
    if len(keys) < len(values):
        raise ValueError("a value is there twice")
    return keys


class ChipSplit(Section):
    """Which chips train, validate and test: the split that the collection comes with."""

    train: Path
    """Folder of the split, above or below those of the dates (`train/A`, `A/train`), or a list of names (`.txt`)."""
    validation: Path | Annotated[float, Field(gt=0, le=0.5)]
    """As `train`; or the share of the training chips to hold out for it, where the collection has none."""
    test: Path
    """As `train`."""


class ChipLabels(Section):
    """Pairs of small pictures with their labels, as benchmarks of change detection have them; the project has no territory."""

    folder: Path = Path()
    """Of the collection, relative to the data folder."""
    before: Path
    """Folder of the pictures before, for example `A`."""
    after: Path
    """Folder of the pictures after, for example `B`; a pair has one name."""
    label: Path | None = None
    """Folder of the masks of change."""
    before_label: Path | None = None
    """Folder of the classes before; needs a legend."""
    after_label: Path | None = None
    """Folder of the classes after; needs a legend."""
    values: dict[int | str, int | str] = Field(default_factory=dict)
    """Value of the masks, a number or a colour `"#rrggbb"`, to `changed`, `unchanged` or `not labelled`."""
    class_values: dict[int | str, int | str] = Field(default_factory=dict)
    """Value of `before_label` and `after_label` to a class (name or code), `unchanged` or `not labelled`."""
    split: ChipSplit
    """Which chips train, validate and test."""

    @field_validator("values", "class_values")
    @classmethod
    def _are_of_one_kind(cls, values: dict[int | str, int | str]) -> dict[int | str, int | str]:
        return _of_one_kind(values)

    @model_validator(mode="after")
    def _has_labels(self) -> "ChipLabels":
        if (self.before_label is None) != (self.after_label is None):
            raise ValueError("give both `before_label` and `after_label`, or neither")
        if self.label is None and self.before_label is None:
            raise ValueError("give `label`, the folder of the masks of change, or `before_label` and `after_label`")
        for folder, name in ((self.label, "values"), (self.before_label, "class_values")):
            if (folder is None) != (not getattr(self, name)):
                wants = (
                    "is missing: it names what each value of the labels means"
                    if folder
                    else "belongs to labels that are not given"
                )
                raise ValueError(f"`{name}` {wants}")
        return self


class LabelsConfig(Section):
    """Where the labels are: polygons, rasters or chips."""

    polygons: PolygonLabels | None = None
    """A vector layer."""
    rasters: RasterLabels | None = None
    """Rasters."""
    chips: ChipLabels | None = None
    """Pairs of small pictures with their labels, instead of a territory."""

    @model_validator(mode="after")
    def _one(self) -> "LabelsConfig":
        if sum(kind is not None for kind in (self.polygons, self.rasters, self.chips)) != 1:
            raise ValueError("give either `polygons`, `rasters` or `chips`")
        return self
