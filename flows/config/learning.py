"""The sections of a configuration about the network: training, assessment, calibration and release."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from landshift.flows.config.sections import Section, Seed
from landshift.pipeline.scores.release import ReleaseRule, Undecided

Strategy = Literal["frozen", "lp-ft", "discriminative", "l2-sp", "lora", "full", "scratch", "probe", "boosted"]
"""How far a pretrained encoder may move."""

_PIXELS = ("probe", "boosted")
"""Strategies that train no network."""

_Width = Annotated[int, Field(ge=1, le=4096)]

_USUAL = ReleaseRule()


class EncoderFile(Section):
    """A checkpoint of your own, or a model that Landshift trained elsewhere."""

    path: Path
    """.safetensors, .pth that holds tensors only, or the folder of a model, which knows the rest itself."""
    architecture: str = ""
    """Of a checkpoint: encoder name in segmentation_models_pytorch, for example `resnet50`."""
    bands: tuple[str, ...] = ()
    """Of a checkpoint: bands that it was trained on, in order."""
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
    decoder_channels: tuple[_Width, ...] = Field(default=(128, 64, 32, 24, 16), min_length=4, max_length=5)
    """Widths of the stages of the change's U-Net, from the coarsest: five, or four, which stop at half of the resolution, where
    most of the time is saved; the first is the pyramid's width for fpn and upernet."""
    landuse_channels: tuple[_Width, ...] = Field(default=(256, 128, 64, 32, 16), min_length=4, max_length=5)
    """The same of the decoder of land use, which works on each date by itself."""
    fusion: Literal["difference", "symmetric", "concatenation"] = "symmetric"
    """How the features of the dates meet: their distance; their distance and their sum, which shows what lies there; or both
    dates one after the other, which alone sees the direction of a change, and is never the same with the dates exchanged."""
    priors: tuple[Literal["ir-mad", "difference"], ...] | Literal["auto"] = "auto"
    """What the change decoder sees beside the features: `ir-mad`, the IR-MAD statistic of the pair, which no light changes;
    `difference`, the distance of the matched dates in each band. `auto`: the first, where it orders the labels well."""


class AugmentationConfig(Section):
    """How much the light of training chips varies, relative to the contrast of each band in a chip."""

    date: float = Field(default=0.1, ge=0, le=2)
    """Gains and offsets, apart for each date and band: standard deviation."""
    common: float = Field(default=0.0, ge=0, le=2)
    """Gains and offsets of a band, the same for both dates: as another territory or sensor would show them."""
    gamma: float = Field(default=0.0, ge=0, le=1)
    """How much the scale of a band is bent, apart for each date: standard deviation."""
    haze: float = Field(default=0.0, ge=0, lt=1)
    """Largest share of the contrast that haze takes from one date."""


class TrainingConfig(Section):
    """How to train."""

    strategy: Strategy | Literal["auto"] = "auto"
    """How far the encoder may move, or `boosted` or `probe`, which leave it as it is; `auto` trains all of `candidates` and
    keeps the one that is best on the validation blocks."""
    candidates: tuple[Strategy, ...] = Field(default=("boosted", "probe", "full"), min_length=1)
    """What `auto` trains."""
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
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    """One training each; the report gives mean and spread, the best on validation is kept."""
    workers: int = Field(default=0, ge=0, le=256)
    """Processes that read chips."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """How much the light of the chips varies."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """`auto` uses mixed precision on a GPU."""

    @field_validator("seeds", "candidates")
    @classmethod
    def _each_once(cls, values: tuple[object, ...], info: ValidationInfo) -> tuple[object, ...]:
        if len(set(values)) != len(values):
            name = "seed" if info.field_name == "seeds" else "strategy"
            raise ValueError(f"name each {name} once; a second training with it would only repeat the first")
        return values

    @property
    def strategies(self) -> tuple[str, ...]:
        """What a training trains."""
        return self.candidates if self.strategy == "auto" else (self.strategy,)

    @property
    def network_strategies(self) -> tuple[str, ...]:
        """Those of them that train a network."""
        return tuple(s for s in self.strategies if s not in _PIXELS)

    @property
    def assessed_strategy(self) -> str:
        """The one that an assessment of the encoder trains: a network, since the others leave the encoder as it is."""
        return next(iter(self.network_strategies), "full")


class CalibrationConfig(Section):
    """How probabilities become a map."""

    max_miss_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Choose the threshold so that on average at most this share of the change in a block is missed (conformal risk
    control); None takes, of the thresholds with the best F1 or nearly so, the one
    nearest to 0.5."""


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
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1)
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


class ReleaseConfig(Section):
    """When a newly trained model replaces the one in use: only where it is worse in no region."""

    automatic: bool = True
    """Whether `landshift train` promotes a model that passes; else a person does, with `landshift release promote`."""
    tolerance: float = Field(default=_USUAL.tolerance, ge=0, le=1)
    """Loss in F1 that a region may show on the held-out labels; a larger one refuses the new model."""
    min_blocks: int = Field(default=_USUAL.min_blocks, ge=2, le=10_000)
    """Held-out blocks with change that a region needs to be judged."""
    regions: int = Field(default=4, ge=1, le=20)
    """Parts that a territory is cut into, at most, where its labels name no regions."""
    undecided: Undecided = _USUAL.undecided
    """Where labels are too few to judge a region: `refuse` the new model, or `promote` it all the same."""

    @property
    def rule(self) -> ReleaseRule:
        """The limits, as the pipeline takes them."""
        return ReleaseRule(self.tolerance, self.min_blocks, self.undecided)
