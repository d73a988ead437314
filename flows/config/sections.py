"""The sections of a configuration, each key with its meaning, range and default."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from landshift.pipeline.scenes.periods import Policy

DEFAULT_MARGIN_PX = 128

Strategy = Literal["frozen", "lp-ft", "discriminative", "l2-sp", "lora", "full", "scratch"]
"""How far a pretrained encoder may move."""

_Seed = Annotated[int, Field(ge=0, lt=2**32)]

_Width = Annotated[int, Field(ge=1, le=4096)]


class Section(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True, allow_inf_nan=False)


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


class ClassConfig(Section):
    """One land-use class."""

    code: int = Field(ge=1, le=16)
    """1..16."""
    name: str = Field(min_length=1, max_length=80)
    """What a reader of the map sees."""
    colour: str = Field(pattern="^#[0-9a-fA-F]{6}$")
    """`#rrggbb`."""


class PolygonLabels(Section):
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


class RasterLabels(Section):
    """Labels in rasters on the grid of the scenes."""

    before: Path | None = None
    """Classes before."""
    after: Path | None = None
    """Classes after."""
    change: Path | None = None
    """Changed or unchanged."""
    values: dict[int, str | int]
    """Raster value to class name or code, `changed`, `unchanged` or `not labelled`."""


class LabelsConfig(Section):
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


class SplitConfig(Section):
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


class EncoderFile(Section):
    """A checkpoint of your own."""

    path: Path
    """.safetensors, or .pth that holds tensors only."""
    architecture: str
    """Encoder name in segmentation_models_pytorch, for example `resnet50`."""
    bands: tuple[str, ...]
    """Bands that it was trained on, in order."""
    mean: tuple[Annotated[float, Field(ge=-1e9, le=1e9)], ...] = ()
    """Of each band, in reflectance; empty: standardise with both dates together."""
    std: tuple[Annotated[float, Field(ge=1e-9, le=1e9)], ...] = ()
    """Of each band, in reflectance."""


class ModelConfig(Section):
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


class TrainingConfig(Section):
    """How to train."""

    strategy: Strategy = "full"
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


class DetectConfig(Section):
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
    adaptation: Literal["none", "auto", "radiometric", "histogram", "moments", "batch-norm"] = "none"
    """How to bring the images of this territory to what the model knows; `auto` takes what `landshift assess` accepted on
    labels, others are marked unverified unless it accepted them."""
    shards: int = Field(default=1, ge=1, le=200)
    """Groups of tile rows that are mapped apart, on a cluster all at once; never more than there are tile rows. The map is the
    same, byte for byte."""
    copies: tuple[Literal["flatgeobuf", "geoparquet"], ...] = ()
    """Further formats to write the change polygons in, beside GeoPackage."""

    @property
    def margin_px(self) -> int:
        """The margin in pixels; the default where it is calibrated later."""
        return DEFAULT_MARGIN_PX if isinstance(self.margin, str) else self.margin


class AreasOfInterestConfig(Section):
    """Named polygons for which changes are summed up: municipalities, protected areas, planning units."""

    path: Path
    """GeoPackage, FlatGeobuf, Shapefile or GeoJSON, any CRS."""
    layer: str | None = None
    """Layer, where the file has several."""
    name_column: str | None = None
    """Column with their names; None takes `name`, or the only text column."""


class CalibrationConfig(Section):
    """How probabilities become a map."""

    max_miss_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Choose the threshold so that on average at most this share of the change in a block is missed (conformal risk
    control); None takes the threshold with the best F1."""


class AssessConfig(Section):
    """How `landshift assess` finds out whether a pretrained encoder helps here."""

    encoders: tuple[str, ...] = ()
    """Encoders to rank; empty takes the model's own, and every one that needs no download."""
    controls: tuple[Literal["random", "imagenet", "frozen"], ...] = ("random", "imagenet", "frozen")
    """What the model is compared with at the same budget: random weights, ImageNet weights, its own weights unmoved."""
    strategies: tuple[Strategy, ...] = ("frozen", "lp-ft", "discriminative", "l2-sp", "full")
    """What `--strategies` compares."""
    regions: int = Field(default=4, ge=1, le=20)
    """Regions that are held out one after another, at most."""
    min_pixels: int = Field(default=50, ge=1)
    """Changed, and unchanged, labelled pixels that a region needs to be judged."""
    seeds: tuple[_Seed, ...] = Field(default=(0, 1, 2), min_length=1)
    """Paired trainings of everything that is compared."""
    epochs: int | None = Field(default=None, ge=1, le=10_000)
    """Of each comparison; None takes training's."""
    chips_per_epoch: int | None = Field(default=None, ge=1, le=10**7)
    """Of each comparison; None takes training's."""
    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.01, 0.05, 0.1, 0.25, 1.0)
    """Shares of the labels that `--curve` trains with."""
    curve_encoders: tuple[str, ...] = ()
    """Encoders of the curve; empty takes the model's own. Random weights are always there."""
    pixels: int = Field(default=2000, ge=50, le=200_000)
    """Labelled pixels that encoders are ranked on, drawn evenly from the classes."""
    replicates: int = Field(default=200, ge=20, le=10_000)
    """Resamples of blocks behind each interval."""
    before_training: bool = False
    """Whether `landshift train` compares with random weights first, where that was not done yet for the same inputs."""
    guard: Literal["stop", "warn"] = "stop"
    """What `landshift train` does where the assessment found that the encoder hurts."""

    @field_validator("seeds", "fractions", "encoders", "curve_encoders", "strategies", "controls")
    @classmethod
    def _each_once(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(values)) != len(values):
            raise ValueError("name each once; a second time would only repeat the first")
        return values

    @field_validator("fractions")
    @classmethod
    def _whole_at_the_end(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        if max(fractions) < 1:
            raise ValueError("the curve needs 1 (all labels) as its last point")
        return tuple(sorted(fractions))


class MonitorConfig(Section):
    """How `landshift monitor` goes on as new scenes come in. The epoch `before` is the baseline; periods begin with `after`."""

    pairs: Policy = "baseline"
    """What a period is compared with: the `baseline`, the `previous` period, or the one a year before (`same-season`)."""
    period_days: int = Field(default=1, ge=1, le=3660)
    """Days whose scenes make one image, counted from the first day of the epoch `after`; 1 makes each day with scenes one."""
    season_tolerance_days: int = Field(default=45, ge=0, le=180)
    """`same-season`: how far from exactly a year before the other period may lie."""
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
