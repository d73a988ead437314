"""The sections of a configuration about data, maps and monitoring, each key with its meaning, range and default."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from landshift.pipeline.errors import has_unprintable
from landshift.pipeline.files.addresses import NO_ADDRESS, is_address
from landshift.pipeline.limits import NAME_CHARACTERS, require_name
from landshift.pipeline.manifest import value_hash
from landshift.pipeline.scenes.periods import Policy

_JUDGING_MARGIN_PX, _LONE_MARGIN_PX = 128, 64
"""Margins that `auto` takes without a look: where a model is judged, and where one tile covers the map."""

_BUCKET = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{1,62}(?:/(?P<prefix>[^?#@]*))?")

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _lies_here(cls, value: object) -> object:
        """Refuse an address where a path of this machine is expected: `s3://b/x` would become a folder called `s3:`."""
        if isinstance(value, Path) and is_address(str(value)):
            raise ValueError(NO_ADDRESS)
        return value

    @field_validator("*")
    @classmethod
    def _can_be_shown(cls, value: object) -> object:
        """Refuse texts that a terminal would act on: names become headings, paths and lines of logs."""
        for text in _texts_in(value):
            if has_unprintable(text):
                raise ValueError(f"{text!a:.100} holds line breaks, control characters or such that turn the direction of text")
        return value


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, dict):
        for entry in value.items():
            yield from _texts_in(entry)
    elif isinstance(value, tuple | list | set | frozenset):
        for entry in value:
            yield from _texts_in(entry)


def default_of(field: FieldInfo) -> object:
    """Return the value of a key that is not given."""
    return field.get_default(call_default_factory=True)


class GridConfig(Section):
    """The region's grid, where it is not simply that of the scenes."""

    crs: str
    """Projected, for example `EPSG:32633`."""
    pixel_size: float = Field(gt=0)
    """In the units of the CRS, mostly metres."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north in the CRS."""
    snap: bool = True
    """Where scenes have this CRS and pixel size, the edges go out to the edges of their pixels, so that nothing is resampled;
    else, and with false, to whole multiples of the pixel size."""


class ClassConfig(Section):
    """One land-use class."""

    code: int = Field(ge=1, le=16)
    """1..16."""
    name: str = Field(min_length=1, max_length=NAME_CHARACTERS)
    """What a reader of the map sees."""
    colour: str | None = Field(default=None, pattern="^#[0-9a-fA-F]{6}$")
    """`#rrggbb`; left out, one that readers tell apart from those of the other classes, also with weak colour vision."""

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        return require_name(name, "a class")


class CrosswalkConfig(Section):
    """Official classes of the legend's classes, by their names; `landshift estimate` makes the official tables of them."""

    ipcc: dict[str, Literal["forest_land", "cropland", "grassland", "wetlands", "settlements", "other_land"]] = {}
    """Name of each class to one of the six land-use categories of the IPCC; empty makes no such table."""
    unccd: dict[str, Literal["tree_covered", "grassland", "cropland", "wetland", "artificial", "other_land", "water"]] = {}
    """Name of each class to one of the seven land-cover classes of the UNCCD (SDG 15.3.1); empty makes no such table."""

    def require_whole(self, names: Iterable[str]) -> None:
        """Refuse a crosswalk that leaves out a class of the legend, or names another.

        Raises:
            ValueError: It does; the message names the first.
        """
        for scheme in ("ipcc", "unccd"):
            given, wanted = getattr(self, scheme), list(names)
            unknown = [name for name in given if name not in wanted]
            missing = [name for name in wanted if name not in given]
            if given and (unknown or missing):
                fault = f"{unknown[0]!r} is not in the legend" if unknown else f"{missing[0]!r} has no class"
                raise ValueError(f"crosswalk: {scheme}: {fault}; expected each of {', '.join(wanted) or 'no class'}")


class SplitConfig(Section):
    """How labels are divided into training, validation and test: by spatial blocks, or as they come divided."""

    by: Literal["blocks", "column", "folder", "file"] = "blocks"
    """`blocks` divides them; else the split is given: by a `column` of the polygons, by the `folder` (train, val, test) that
    the files lie in, or by a `file` of zones."""
    column: str = "split"
    """`by: column`, or the column of a `file` of polygons or a CSV table: train, validation (val), test."""
    file: Path | None = None
    """`by: file`: polygons, a raster on the grid, or a CSV table of another column of the labels and the role."""
    layer: str | None = None
    """Layer of `file`, where it has several."""
    roles: dict[int | str, Literal["train", "validation", "test", "unused"]] = {}
    """What other words or numbers of a given split mean; of a raster all."""
    block_px: int = Field(default=64, ge=4)
    """Side of a block in pixels."""
    buffer_px: int = Field(default=16, ge=0)
    """Labels closer than this to a block of another split are not used; of a given split they are counted in a warning."""
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Shares of training, validation and test."""
    min_pixels: int = Field(default=50, ge=1)
    """Pixels that each class needs in each split; of a given split, fewer are named in a warning."""
    seed: Seed = 0
    """Which assignment of blocks."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "SplitConfig":
        if (self.by == "file") != (self.file is not None):
            raise ValueError("`by: file` and `file:` belong together: give both, or neither")
        of_kind = {"column": ("column", "file"), "layer": ("file",), "roles": ("column", "file")}
        for key, kinds in of_kind.items():
            # A config that is written out holds every key, with its default.
            if getattr(self, key) != default_of(type(self).model_fields[key]) and self.by not in kinds:
                raise ValueError(
                    f"`{key}` belongs to `by: {' or `by: '.join(f'{k}`' for k in kinds)}, and this is `by: {self.by}`"
                )
        return self

    @field_validator("fractions")
    @classmethod
    def _whole(cls, fractions: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
            raise ValueError("each share must be above 0, and all three must sum to 1")
        return fractions


class DetectConfig(Section):
    """How to make the map."""

    method: Literal["model", "ir-mad", "cva"] = "model"
    """What maps the changes: a trained `model`, or a classical method, which needs neither labels nor training and maps changed
    and unchanged: `ir-mad` (IR-MAD) or `cva` (change vector analysis)."""
    classical_threshold: Literal["otsu", "false-alarm"] = "otsu"
    """Which threshold a classical method maps by; the run reports both."""
    false_alarm_rate: float = Field(default=0.01, gt=0, lt=0.5)
    """Share of unchanged ground that the threshold `false-alarm` may call changed."""
    core: int = Field(default=1024, ge=32, le=16_384, multiple_of=32)
    """Side of a tile's core in pixels, a multiple of 32."""
    margin: Annotated[int, Field(ge=0, le=4096, multiple_of=32)] | Literal["auto"] = "auto"
    """Pixels that the encoder sees around a core, a multiple of 32. `auto` takes the smallest of 32, 64, 96, 128, 192 and 256
    that decides at most 100 pixels in a million otherwise than a wider view, by one chip of the scene; 64 where one tile covers
    the map, and 128 where a model is judged."""
    phases: Literal[1, 4, 16] = 1
    """Shifts of the network's sampling grid that are averaged: with 1 the map depends on the pixel at which the images begin,
    with 4 far less, and the network has four times the work. Train and detect with the same number."""
    min_area_ha: float = Field(default=0.0, ge=0)
    """Minimum mapping unit in hectares; smaller patches are dropped."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability from which a pixel counts as changed; None takes the one chosen on the validation blocks."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    adaptation: Literal["none", "auto", "histogram", "moments", "batch-norm"] = "none"
    """How to bring the images of this territory to what the model knows; `auto` takes what `landshift assess` accepted on
    labels, others are marked unverified unless it accepted them."""
    shards: int = Field(default=1, ge=1, le=200)
    """Groups of tile rows that are mapped apart, on a cluster all at once; never more than there are tile rows. The map is the
    same, byte for byte."""
    copies: tuple[Literal["flatgeobuf", "geoparquet", "shapefile"], ...] = ()
    """Further formats to write the change polygons in, beside GeoPackage. A Shapefile has names of 10 letters and 2 GiB at
    most."""

    @model_validator(mode="after")
    def _fits_its_method(self) -> "DetectConfig":
        if self.method == "model":
            return self
        settings = {"threshold": self.threshold is not None, "adaptation": self.adaptation != "none"}
        for name in (n for n, given in settings.items() if given):
            raise ValueError(f"`{name}` is about a model, and `method: {self.method}` uses none: leave one of them out")
        return self

    @property
    def classical_hash(self) -> str:
        """Hash of the settings of a classical method, which takes the place of a model's weights."""
        return value_hash([self.method, self.classical_threshold, self.false_alarm_rate])

    @property
    def margin_px(self) -> int:
        """The margin in pixels; one for judging where that of a map is calibrated."""
        return _JUDGING_MARGIN_PX if isinstance(self.margin, str) else self.margin

    def settle_margin(self, shape: tuple[int, int]) -> int | None:
        """Return the margin in pixels for a map of so many rows and columns; None where it is to be calibrated."""
        if isinstance(self.margin, int):
            return self.margin
        return _LONE_MARGIN_PX if max(shape) <= self.core else None


class AreasOfInterestConfig(Section):
    """Named polygons for which changes are summed up: municipalities, protected areas, planning units."""

    path: Path
    """GeoPackage, FlatGeobuf, Shapefile or GeoJSON, any CRS."""
    layer: str | None = None
    """Layer, where the file has several."""
    name_column: str | None = None
    """Column with their names; None takes `name`, or the only text column."""


class MonitorConfig(Section):
    """How `landshift monitor` goes on as new scenes come in. The epoch `before` is the baseline; periods begin with `after`."""

    pairs: Policy = "baseline"
    """What a period is compared with: the `baseline`, the `previous` period, or the one a year before (`same-season`)."""
    period_days: int = Field(default=1, ge=1, le=3660)
    """Days whose scenes make one image, counted from the first day of the epoch `after`; 1 makes each day with scenes one."""
    season_tolerance_days: int = Field(default=45, ge=0, le=180)
    """`same-season`: how far from exactly a year before the other period may lie."""
    season: Literal["skip", "mark", "stop"] = "skip"
    """A pair whose dates lie further apart in the year than `gates: season_gap_days: limit`: it is skipped, with the reason;
    mapped and marked; or it fails."""
    keep: int | None = Field(default=None, ge=1, le=100_000)
    """Runs of so many latest pairs stay, and those that saw a new or confirmed change first or last; None: all."""
    register_env: Annotated[str, Field(pattern="^[A-Z][A-Z0-9_]{0,99}$")] | None = None
    """Environment variable (upper case) with the address of a register on a server, such as
    `postgresql://USER@HOST/DATABASE?schema=NAME`; None: the register is `register.gpkg` in the project's folder of outputs."""
    cron: str | None = None
    """`landshift serve`: when, as five fields (minute, hour, day, month, weekday)."""
    timezone: str = "UTC"
    """`landshift serve`: of `cron`, for example `Europe/Berlin`."""


class EnergyConfig(Section):
    """What computing costs."""

    country: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    """ISO code of three letters, such as FRA, for the carbon intensity of its electricity; None: energy without CO2e."""

    @field_validator("country")
    @classmethod
    def _exists(cls, country: str | None) -> str | None:
        import pycountry

        if country is not None and pycountry.countries.get(alpha_3=country) is None:
            raise ValueError("no country has this code; expected one of three letters of ISO 3166, such as FRA, BRA or KEN")
        return country


class PublishConfig(Section):
    """Where finished runs are copied to; the folder here stays the truth."""

    to: str
    """Bucket and prefix of object storage as S3 has it, `s3://BUCKET/PREFIX`; a run lies there in `PROJECT/KEY/`. Keys are
    those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`)."""

    @field_validator("to")
    @classmethod
    def _is_a_bucket(cls, address: str) -> str:
        found = _BUCKET.fullmatch(address)
        folders = (found["prefix"] or "").removesuffix("/").split("/") if found else []
        if not folders or not address.isprintable() or (folders != [""] and {"", ".", ".."} & set(folders)):
            # Raised without the value, which may hold a key.
            raise PydanticCustomError("address", "expected s3://BUCKET or s3://BUCKET/PREFIX, without user, port or query")
        return address
