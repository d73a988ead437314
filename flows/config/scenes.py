"""The sections of a configuration about scenes and epochs: files, catalogs, clouds, dates and composites."""

import math
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_serializer, field_validator, model_validator
from pydantic_core import PydanticCustomError

from landshift.flows.config.sections import Section, default_of
from landshift.pipeline.epochs.rules import MOST_OBSERVED, CompositeRule
from landshift.pipeline.raster.servers.access import Credential
from landshift.pipeline.scenes.season import Season, month_and_day

_Added = Annotated[float, Field(ge=-1e6, le=1e6)]


class SensorConfig(Section):
    """What the files hold."""

    name: Literal[
        "sentinel-2-l2a", "sentinel-2-l1c", "landsat-c2-l2", "landsat-c2-l2-oli", "landsat-c2-l2-tm", "landsat-c2-l1", "hls",
        "planetscope", "custom",
    ]  # fmt: skip
    """Row of the sensor table; `custom` needs the fields below. `landsat-c2-l2`, `landsat-c2-l1` and `hls` stand for several
    satellites: each scene is read by its own."""
    bands: tuple[str, ...] = ()
    """custom: the band names in the order of the file."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """custom: value = number x scale + offset; above 0."""
    offset: float = 0.0
    """custom: see `scale`."""
    nodata: Annotated[float, Field(allow_inf_nan=True)] | Literal["none", "declared"] | None = None
    """custom: the number that means not observed; `none` where every number is a measurement; `declared`: what each file
    declares, or none. NaN, infinite numbers, and what masks and alpha of a file mark are never observed."""
    units: str = "reflectance"
    """custom: `reflectance` (0..1), or what the values are, for example `digital numbers`."""
    wavelengths_nm: dict[str, float] = Field(default_factory=dict)
    """custom: centre wavelengths by band name, where they differ from Sentinel-2's."""
    number_offset: _Added | dict[str, _Added] | None = None
    """Sentinel-2: what to add to every number (0 or -1000), where neither names nor metadata hold the baseline and the pixels
    do not show it: by id or day of the scene (`{T33TWN_20190615T100031: 0}`), or one number for all scenes."""

    @field_serializer("nodata", when_used="json")
    def _nan_as_text(self, nodata: float | str | None) -> float | str | None:
        """Write NaN as a word that is read back, because JSON has none."""
        return "nan" if isinstance(nodata, float) and math.isnan(nodata) else nodata

    @field_validator("nodata")
    @classmethod
    def _not_infinite(cls, nodata: float | str | None) -> float | str | None:
        if isinstance(nodata, float) and math.isinf(nodata):
            raise ValueError("infinite pixels are never observed; name a number, `.nan` or `none`")
        return nodata

    @model_validator(mode="after")
    def _custom_says_all(self) -> "SensorConfig":
        if self.name == "custom":
            for key, value in (("bands", self.bands), ("scale", self.scale), ("nodata", self.nodata)):
                if value is None or value == ():
                    raise ValueError(f"sensor custom needs `{key}`: nothing about the numbers is guessed")
        else:
            fields = type(self).model_fields
            # By value, since a configuration that comes back from JSON has every field set.
            given = [k for k in fields if k not in ("name", "number_offset") and getattr(self, k) != default_of(fields[k])]
            if given:
                raise ValueError(f"`{min(given)}` belongs to sensor custom; {self.name} has its own")
        if self.number_offset is not None and not self.name.startswith("sentinel-2"):
            raise ValueError(f"`number_offset` belongs to Sentinel-2; {self.name} has none")
        return self


class StacConfig(Section):
    """A STAC catalog: an API that is searched, or a static one that is read."""

    url: str | None = None
    """Address of a STAC API, for example `https://earth-search.aws.element84.com/v1`."""
    catalog: str | None = None
    """A static catalog or collection: a JSON file in the data folder, or an address."""
    collection: str | tuple[str, ...] | None = None
    """Id of the collection, or a list of ids; an API needs it."""
    max_cloud_cover: Annotated[float, Field(ge=0, le=100)] | None = None
    """Percent of an item's `eo:cloud_cover`, included; cloudier items are left out, and so are those without it."""
    query: dict[str, Any] = Field(default_factory=dict)
    """Further conditions, as in the API's query extension: `{"platform": {"eq": "sentinel-2a"}}`."""
    max_items: int = Field(default=500, ge=1, le=100_000)
    """More items than this are an error: a range or a region was not meant."""
    assets: dict[str, str] = Field(default_factory=dict)
    """Band name to asset key, where names and bands of the assets are not enough; `quality` for the quality band."""
    max_documents: int = Field(default=5000, ge=1, le=1_000_000)
    """More catalogs, items of their own and pages of answers than this are an error: links may lead on for ever."""
    timeout_s: float = Field(default=60, gt=0, le=3600)
    """Seconds to wait for an answer of the catalog, from the question to its last byte."""
    hosts: tuple[Annotated[str, Field(min_length=1, max_length=253)], ...] = ()
    """Hosts that may be asked, the catalog's own among them, and buckets of `s3://`; `*.example.org` stands for all below one.
    Empty: any that the catalog names."""
    credentials: tuple[Credential, ...] = ()
    """What may be used besides the addresses themselves: `hrefs` (user and password in them), `aws` (keys, profiles and roles
    of this machine), `netrc`, `gdal` (what `GDAL_HTTP_USERPWD`, `_BEARER`, `_HEADERS` and `_COOKIE` have). Empty: nothing."""
    leave_out: tuple[str, ...] = ()
    """Ids of items not to use."""
    alternate: Annotated[str, Field(min_length=1)] | None = None
    """Which of the addresses of a file is read, where a catalog has several (`alternate` of its assets): `s3`, `https`."""
    sign: Literal["none", "planetary-computer"] = "none"
    """How the addresses of files are signed; `planetary-computer` needs the extra of that name."""

    @property
    def collections(self) -> tuple[str, ...]:
        """Ids of the collections, none where all of a static catalog are meant."""
        return (self.collection,) if isinstance(self.collection, str) else self.collection or ()

    @field_validator("url", "catalog")
    @classmethod
    def _without_secrets(cls, address: str | None) -> str | None:
        """The config is published with every run."""
        parts = urlsplit(address or "")
        if parts.scheme in ("http", "https") and (parts.query or parts.username or parts.password or not parts.hostname):
            # Raised without the value, which a message would show.
            raise PydanticCustomError(
                "address", "expected a plain address, without user, password or query: configs are published"
            )
        if address is not None and "\0" in address:
            raise ValueError("an address cannot hold a NUL character")
        return address

    @model_validator(mode="after")
    def _one(self) -> "StacConfig":
        if (self.url is None) == (self.catalog is None):
            raise ValueError("give either `url` (an API) or `catalog` (a static catalog)")
        if self.url is not None and urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError("`url` is the address of an API, https://...; a file is a `catalog`")
        if self.url is not None and not self.collections:
            raise ValueError("`url` needs `collection`, the id of the collection to search")
        if self.query and self.url is None:
            raise ValueError("`query` belongs to `url`; a static catalog cannot be queried")
        return self


class CloudsConfig(Section):
    """How clouds and their shadows are found, which are not observed."""

    mask: Literal["quality", "model", "auto", "none"] = "quality"
    """`quality`: the scene's quality band (SCL, QA_PIXEL), nothing where it has none. `model`: a cloud model. `auto`: the
    quality band where there is one, else the model. `none`: nothing, for images that are free of clouds already."""
    model: Literal["auto", "ukis-csmask-6b-l1c", "ukis-csmask-6b-l2a", "ukis-csmask-4b-l1c", "ukis-csmask-4b-l2a"] = "auto"
    """Which model: of 6 bands (blue, green, red, nir, swir16, swir22) or the first 4, for top-of-atmosphere (l1c) or surface
    reflectance (l2a). `auto` takes the one that fits sensor and bands; sensor custom has to name one."""
    buffer_px: int = Field(default=4, ge=0, le=32)
    """Model: pixels of the mask (about 30 m) around clouds and shadows that are not observed either."""

    @property
    def wants_model(self) -> bool:
        """Whether a scene may need the model."""
        return self.mask in ("model", "auto")


class ScenesConfig(Section):
    """Where the scenes are."""

    stac: StacConfig | None = None
    """A STAC catalog, instead of a folder."""

    folder: Path = Path()
    """Relative to the data folder."""
    pattern: str | None = None
    """Which files of the folder, such as `*.tif` or `*/response.tiff`; None: all that an archive calls by names of the sensor's
    products, in subfolders, .zip and .tar too, or without such files, the rasters of the folder."""
    dates: dict[str, date] = Field(default_factory=dict)
    """File name to date, where neither name nor tags hold it."""
    faulty: Literal["stop", "skip"] = "stop"
    """What a scene that cannot be used does: `stop` the work, or `skip` it with a warning. `landshift monitor` always skips."""
    clouds: CloudsConfig = CloudsConfig()
    """How clouds and their shadows are found."""

    @model_validator(mode="after")
    def _one_source(self) -> "ScenesConfig":
        fields = type(self).model_fields
        given = [k for k in ("folder", "pattern", "dates") if getattr(self, k) != default_of(fields[k])]
        if self.stac is not None and given:
            raise ValueError(f"`{given[0]}` belongs to a folder of scenes; with `stac` the catalog holds their addresses")
        return self


class EpochConfig(Section):
    """A date range; the scenes in it become one image."""

    start: date
    """First day."""
    end: date
    """Last day, included."""


class RadiometryConfig(Section):
    """How both dates are brought to one light, the same for training, assessing and detecting."""

    match: Literal["auto", "none"] = "auto"
    """`auto`: the date after is matched to the date before on ground that IR-MAD finds unchanged, in each band where that
    brings held-out ground closer; chips are too small for it, and stay as they are. `none`: the dates stay as they are."""
    standardise: Literal["auto", "none"] = "auto"
    """`auto`: values that are no reflectance are standardised with mean and deviation of each band over both dates of the pair,
    of chips over all training chips. `none`: they stay as they are."""


class SeasonConfig(Section):
    """A part of the year, the same in every year."""

    first: str
    """First day, month and day: `"06-01"`."""
    last: str
    """Last day, included: `"08-31"`; one before `first` lies in the next year, as in `"11-01"` to `"02-28"`."""

    @field_validator("first", "last")
    @classmethod
    def _is_a_day(cls, text: str) -> str:
        month_and_day(text)
        return text


class EpochsConfig(Section):
    """The two epochs that are compared."""

    before: EpochConfig
    """Earlier."""
    after: EpochConfig
    """Later."""
    season: SeasonConfig | None = None
    """Takes only scenes of this part of the year, in both epochs; None takes all. An epoch may then span several years."""
    composite: CompositeRule = MOST_OBSERVED
    """How several scenes become one image. `most-observed`: each pixel from the first scene that observed it, scenes with more
    observed pixels first. `least-cloudy`: the same, scenes with fewer clouds first. `median`: of each band. `medoid`: the
    observation most like all others, a spectrum that was measured on one day."""

    @model_validator(mode="after")
    def _ascending(self) -> "EpochsConfig":
        if self.before.end >= self.after.start:
            raise ValueError(f"before ends on {self.before.end}, after starts on {self.after.start}: the dates must ascend")
        season = self.part_of_year
        for name, epoch in self.ranges:
            if season is not None and epoch.start <= epoch.end and not season.meets(epoch.start, epoch.end):
                raise ValueError(
                    f"no day of {name} ({epoch.start} to {epoch.end}) lies in the season ({season}): widen one of them"
                )
        return self

    @property
    def ranges(self) -> tuple[tuple[str, EpochConfig], tuple[str, EpochConfig]]:
        """Both with their names, the earlier first."""
        return ("before", self.before), ("after", self.after)

    @property
    def part_of_year(self) -> Season | None:
        """The season, None where every day of the year will do."""
        return None if self.season is None else Season(month_and_day(self.season.first), month_and_day(self.season.last))
