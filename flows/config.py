"""The configuration: typed at the border, frozen after, unknown keys refused with the nearest right name."""

import difflib
import json
import math
import reprlib
from collections.abc import Hashable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator, model_validator
from pydantic.fields import FieldInfo
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from pipeline.errors import InputError

DEFAULT_MARGIN_PX = 128

_LONGEST_NUMBER = 40
"""Characters; no number of a config needs more, and Python takes very long over some that have more."""

_Seed = Annotated[int, Field(ge=0, lt=2**32)]
_Width = Annotated[int, Field(ge=1, le=4096)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True, allow_inf_nan=False)


def _default(field: FieldInfo) -> object:
    return field.get_default(call_default_factory=True)


class SensorConfig(_Section):
    """What the files hold."""

    name: Literal["sentinel-2-l2a", "sentinel-2-l1c", "landsat-c2-l2-oli", "landsat-c2-l2-tm", "custom"]
    """Row of the sensor table; `custom` needs the fields below."""
    bands: tuple[str, ...] = ()
    """custom: the band names in the order of the file."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """custom: value = number x scale + offset; above 0."""
    offset: float = 0.0
    """custom: see `scale`."""
    nodata: Annotated[float, Field(allow_inf_nan=True)] | Literal["none"] | None = None
    """custom: the number that means not observed, or `none` where every number is a measurement."""
    units: str = "reflectance"
    """custom: `reflectance` (0..1), or what the values are, for example `digital numbers`."""
    wavelengths_nm: dict[str, float] = Field(default_factory=dict)
    """custom: centre wavelengths by band name, where they differ from Sentinel-2's."""
    number_offset: Annotated[float, Field(ge=-1e6, le=1e6)] | None = None
    """Sentinel-2: what to add to every number (0 or -1000), where neither file name nor tags tell the baseline."""

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
            given = [k for k in fields if k not in ("name", "number_offset") and getattr(self, k) != _default(fields[k])]
            if given:
                raise ValueError(f"`{min(given)}` belongs to sensor custom; {self.name} has its own")
        if self.number_offset is not None and not self.name.startswith("sentinel-2"):
            raise ValueError(f"`number_offset` belongs to Sentinel-2; {self.name} has none")
        return self


class ScenesConfig(_Section):
    """Where the scenes are."""

    folder: Path = Path()
    """Relative to the data folder."""
    pattern: str = "*.tif"
    """Which files of the folder."""
    dates: dict[str, date] = Field(default_factory=dict)
    """File name to date, where neither name nor tags tell it."""


class EpochConfig(_Section):
    """A date range; the scenes in it are composited, the most observed first."""

    start: date
    """First day."""
    end: date
    """Last day, included."""


class EpochsConfig(_Section):
    """The two epochs that are compared."""

    before: EpochConfig
    """Earlier."""
    after: EpochConfig
    """Later."""

    @model_validator(mode="after")
    def _ascending(self) -> "EpochsConfig":
        if self.before.end >= self.after.start:
            raise ValueError(f"before ends on {self.before.end}, after starts on {self.after.start}: the dates must ascend")
        return self


class GridConfig(_Section):
    """The region's grid, where it is not simply that of the scenes."""

    crs: str
    """Projected, for example `EPSG:32633`."""
    pixel_size: float = Field(gt=0)
    """In the units of the CRS, mostly metres."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north in the CRS."""


class ClassConfig(_Section):
    """One land-use class."""

    code: int = Field(ge=1, le=16)
    """1..16."""
    name: str = Field(min_length=1, max_length=80)
    """What a reader of the map sees."""
    colour: str = Field(pattern="^#[0-9a-fA-F]{6}$")
    """`#rrggbb`."""


class PolygonLabels(_Section):
    """Labels in a vector layer."""

    path: Path
    """GeoPackage, FlatGeobuf, Shapefile or GeoJSON, any CRS."""
    layer: str | None = None
    """Layer, where the file has several."""
    before_column: str = "before"
    """Class before: name or code."""
    after_column: str = "after"
    """Class after: name or code."""
    change_column: str | None = None
    """`changed` or `unchanged` (or 1 and 0), for a binary project."""
    region_column: str | None = None
    """Region of each polygon."""


class RasterLabels(_Section):
    """Labels in rasters on the grid of the scenes."""

    before: Path | None = None
    """Classes before."""
    after: Path | None = None
    """Classes after."""
    change: Path | None = None
    """Changed or unchanged."""
    values: dict[int, str | int]
    """Raster value to class name or code, `changed`, `unchanged` or `not labelled`."""


class LabelsConfig(_Section):
    """Where the labels are: polygons or rasters."""

    polygons: PolygonLabels | None = None
    """A vector layer."""
    rasters: RasterLabels | None = None
    """Rasters."""

    @model_validator(mode="after")
    def _one(self) -> "LabelsConfig":
        if (self.polygons is None) == (self.rasters is None):
            raise ValueError("give either `polygons` or `rasters`")
        return self


class SplitConfig(_Section):
    """How labels are divided into training, validation and test by spatial blocks."""

    block_px: int = Field(default=64, ge=4)
    """Side of a block in pixels."""
    buffer_px: int = Field(default=16, ge=0)
    """Labels closer than this to a block of another split are not used."""
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Shares of training, validation and test."""
    min_pixels: int = Field(default=50, ge=1)
    """Pixels that each class needs in each split."""
    seed: _Seed = 0
    """Which assignment of blocks."""

    @field_validator("fractions")
    @classmethod
    def _whole(cls, fractions: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
            raise ValueError("each share must be above 0, and all three must sum to 1")
        return fractions


class EncoderFile(_Section):
    """A checkpoint of your own."""

    path: Path
    """.safetensors, or .pth that holds tensors only."""
    architecture: str
    """Encoder name in segmentation_models_pytorch, for example `resnet50`."""
    bands: tuple[str, ...]
    """Bands that it was trained on, in order."""
    mean: tuple[float, ...] = ()
    """Of each band, in reflectance; empty: standardise with both dates together."""
    std: tuple[float, ...] = ()
    """Of each band, in reflectance."""


class ModelConfig(_Section):
    """The network."""

    encoder: str = "imagenet-efficientnet-lite0"
    """Row of the encoder table; `landshift check` lists them when the name is wrong."""
    file: EncoderFile | None = None
    """A checkpoint of your own; then `encoder: file`."""
    extra_bands: Literal["mean", "drop"] = "mean"
    """Bands that the encoder was not trained on: start them from the mean of its filters, or leave them out."""
    heads: Literal["auto", "change", "landuse", "both"] = "auto"
    """`auto`: both where the legend has classes, else change."""
    decoder: Literal["unet", "fpn", "upernet"] = "unet"
    """From segmentation_models_pytorch."""
    decoder_channels: tuple[_Width, _Width, _Width, _Width, _Width] = (256, 128, 64, 32, 16)
    """Widths of the U-Net's stages; the first is the pyramid's width for fpn and upernet."""
    fusion: Literal["difference", "concatenation"] = "difference"
    """How the features of the dates meet."""


class TrainingConfig(_Section):
    """How to train."""

    strategy: Literal["frozen", "lp-ft", "discriminative", "full", "scratch"] = "full"
    """How far the encoder may move."""
    epochs: int = Field(default=20, ge=1, le=10_000)
    """At most."""
    chips_per_epoch: int = Field(default=256, ge=1, le=10**7)
    """Chips drawn in an epoch."""
    chip: int = Field(default=128, ge=32, le=4096, multiple_of=32)
    """Side of a chip in pixels, a multiple of 32."""
    batch: int = Field(default=8, ge=1, le=4096)
    """Chips a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak, of the decoders."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """AdamW's."""
    patience: int = Field(default=6, ge=1)
    """Epochs without a better validation score."""
    loss: Literal["dice", "cross-entropy", "both"] = "both"
    """Of each head."""
    seeds: tuple[_Seed, ...] = Field(default=(0,), min_length=1)
    """One training each; the report gives mean and spread, the best on validation is kept."""
    workers: int = Field(default=0, ge=0, le=256)
    """Processes that read chips."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """`auto` uses mixed precision on a GPU."""

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("name each seed once; a second training with it would only repeat the first")
        return seeds


class DetectConfig(_Section):
    """How to make the map."""

    core: int = Field(default=1024, ge=32, le=16_384, multiple_of=32)
    """Side of a tile's core in pixels, a multiple of 32."""
    margin: Annotated[int, Field(ge=0, le=4096, multiple_of=32)] | Literal["auto"] = DEFAULT_MARGIN_PX
    """Pixels read around a core, a multiple of 32; `auto` calibrates it on one chip."""
    min_area_ha: float = Field(default=0.0, ge=0)
    """Minimum mapping unit in hectares; smaller patches are dropped."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability from which a pixel counts as changed; None takes the one chosen on the validation blocks."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""

    @property
    def margin_px(self) -> int:
        """The margin in pixels; the default where it is calibrated later."""
        return DEFAULT_MARGIN_PX if isinstance(self.margin, str) else self.margin


class Project(_Section):
    """One territory and two dates."""

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    """Short name without spaces; outputs and ids carry it."""
    sensor: SensorConfig
    """What the files hold."""
    scenes: ScenesConfig = ScenesConfig()
    """Where the scenes are."""
    epochs: EpochsConfig
    """The two epochs."""
    grid: GridConfig | None = None
    """The region's grid; None takes the one that all scenes share."""
    bands: tuple[str, ...] = ()
    """Bands to use, in order; empty takes all that every scene has."""
    legend: tuple[ClassConfig, ...] = ()
    """Land-use classes; empty for a binary project (changed or unchanged)."""
    labels: LabelsConfig | None = None
    """Needed to train."""
    split: SplitConfig = SplitConfig()
    """How labels are divided."""
    model: ModelConfig = ModelConfig()
    """The network."""
    training: TrainingConfig = TrainingConfig()
    """How to train."""
    detect: DetectConfig = DetectConfig()
    """How to make the map."""
    trained_model: Path | None = None
    """A model trained elsewhere, for detect; None takes the one that `landshift train` made for this project."""
    output: Path = Path("runs")
    """Folder of the outputs, relative to the working directory; the project's name is added."""

    @field_validator("output")
    @classmethod
    def _can_be_a_path(cls, output: Path) -> Path:
        if "\0" in str(output):
            raise ValueError("a path cannot hold a NUL character")
        return output

    @model_validator(mode="after")
    def _heads_fit(self) -> "Project":
        if not self.legend and self.model.heads in ("landuse", "both"):
            raise ValueError(f"model: heads: {self.model.heads} needs a `legend`")
        if self.model.encoder == "file" and self.model.file is None:
            raise ValueError("model: encoder: file needs `model: file:`")
        return self

    @property
    def heads(self) -> str:
        """The network's heads: `change`, `landuse` or `both`."""
        if self.model.heads != "auto":
            return self.model.heads
        return "both" if self.legend else "change"


class _Loader(yaml.SafeLoader):
    """Reads YAML as plain as a config is: each key once, no aliases, and every fault with its line."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 (as in PyYAML)
        """Refuse aliases, a few lines of which can stand for more than fits into memory."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise ComposerError(
                None, None, f"anchors and aliases (here {event.anchor}) are not accepted; write it out", event.start_mark
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401
        """Turn what Python says about a value that is none, such as the date 2019-13-45, into a fault with its line."""
        if node.tag == "tag:yaml.org,2002:int" and len(str(node.value)) > _LONGEST_NUMBER:
            raise ConstructorError(None, None, f"a number of {len(str(node.value))} characters", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
            raise ConstructorError(
                None, None, f"{reprlib.repr(node.value)} is no {node.tag.rpartition(':')[2]} ({error})", node.start_mark
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is there twice: which value was meant cannot be known."""
        content = super().construct_mapping(node, deep)
        if len(content) < len(node.value):
            seen: set[Hashable] = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True)
                if key in seen:
                    raise ConstructorError(None, None, f"the key {reprlib.repr(key)} is there twice", key_node.start_mark)
                seen.add(key)
        return content


def load_project(path: Path) -> Project:
    """Read and validate a config.

    Raises:
        InputError: No such file, no YAML, or a key or value that is wrong; every fault is named at once.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path} is not there. Expected a config; `landshift init FOLDER` writes one.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Expected a config that you may read.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no YAML: {error}. Save it as UTF-8.") from error
    try:
        # The loader is a SafeLoader.
        content = _Loader(text).get_single_data()
    except RecursionError as error:
        raise InputError(f"{path} is no YAML of ours: it is nested too deep. Expected sections of a few levels.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {type(content).__name__}; expected keys such as `name:`, `sensor:` and `epochs:`.")
    try:
        return Project.model_validate(content)
    except ValidationError as error:
        count = error.error_count()
        raise InputError(
            f"{path} has {count} fault{'' if count == 1 else 's'}:\n" + "\n".join(_fault(e) for e in error.errors())
        ) from error


def _fault(error: Any) -> str:  # noqa: ANN401 (pydantic's ErrorDetails)
    where = ": ".join(str(part) for part in error["loc"]) or "config"
    if error["type"] == "extra_forbidden":
        known = _keys_at(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"Did you mean `{near[0]}`?" if near else f"Expected one of {', '.join(sorted(known))}."
        return f"  {where}: this key is not known. {hint}"
    # Of a whole section the message itself says what is wrong in it.
    whole = error["type"] == "missing" or isinstance(error["input"], dict)
    found = "" if whole else f" (found {reprlib.repr(error['input'])})"
    return f"  {where}: {str(error['msg']).removeprefix('Value error, ')}{found}"


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """Follow a location through the schema and list the keys that are allowed there."""
    schema = Project.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        node = node.get("items", node) if isinstance(part, int) else node.get("properties", {}).get(part, {})
        options = [*node.get("anyOf", []), *node.get("allOf", []), node]
        for option in options:
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rpartition("/")[2]]
            elif "items" in option and "$ref" in option["items"]:
                node = {"items": schema["$defs"][option["items"]["$ref"].rpartition("/")[2]]}
    return list(node.get("properties", {}))


def schema_text() -> str:
    """Return the content of `configs/schema.json`, which editors use to complete and to check."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Project.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"


def shipped_config(name: str) -> Path:
    """Return a config that comes with Landshift: from the installed package, else from the repository.

    Raises:
        InputError: There is none of that name.
    """
    here = Path(__file__).parent
    for folder in (here / "configs", here.parent / "configs"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"Landshift ships no config {name}.")
