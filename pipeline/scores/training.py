"""Records of an encoder and of a training: bands, course, cost and scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from landshift.pipeline.records import IfAny
from landshift.pipeline.scores.accuracy import BinaryScores, ClassScores, KindScore, ScoreEvidence
from landshift.pipeline.scores.calibration import TemperatureCheck
from landshift.pipeline.scores.conformal import RiskControl


@dataclass(frozen=True)
class Cost:
    """Time, electricity and greenhouse gas of a step."""

    step: str
    """Its name."""
    seconds: float
    """Wall clock, without the meter's own start."""
    kwh: float | None
    """Electricity of processor, memory and GPUs; None = not measured."""
    co2e_kg: float | None
    """Greenhouse gas as kilograms of CO2, with the mean of the country's grid; None = no energy or no country."""
    gpu_hours: float
    """Hours times CUDA devices."""
    how: str
    """`MEASURED`, `ESTIMATED`, both with what is missing, or `not measured: REASON`."""
    country: str | None
    """ISO 3166 code of three letters; None = not named."""


@dataclass(frozen=True)
class BandFinding:
    """One band of the territory in the terms of an encoder."""

    band: str
    """Common name."""
    offset: float
    """How far the territory's mean lies from the one that the encoder expects, in the encoder's standard deviations."""
    contrast: float
    """The territory's standard deviation relative to the one that the encoder expects, above 0."""
    fault: str
    """What is wrong, in a sentence with a remedy; empty where nothing is."""


@dataclass(frozen=True)
class Temperatures:
    """Divisors of the logits before they are read as probabilities."""

    change: float = 1.0
    """Of the change head, above 0."""
    landuse: float = 1.0
    """Of the land-use heads, above 0."""


@dataclass(frozen=True)
class TemperatureChecks:
    """What the temperatures do to the calibration error on held-out validation blocks."""

    change: IfAny[TemperatureCheck] = None
    """Of the change head; None without one."""
    landuse: IfAny[TemperatureCheck] = None
    """Of the land-use heads; None without them."""


@dataclass(frozen=True)
class Fit:
    """Course of a training."""

    epochs: int
    """Epochs run, over all resumed parts."""
    best_epoch: int
    """Epoch of the weights that were kept, from 0: the best of the second half, if training came so far."""
    best_score: float
    """Validation score of those weights, 0..1."""
    history: tuple[Mapping[str, int | float], ...] = ()
    """One row an epoch: `epoch`, `loss`, `score`, and `f1` of changed at its best threshold, of the validation chips."""
    parameters: int = 0
    """Numbers that the last epoch trained: not a frozen encoder's; with LoRA those of the adapters and the decoders."""
    seconds: float = field(default=0.0, compare=False)
    """Wall time of the whole epochs with their validation, over all resumed parts; what a kill undid is not in it."""


@dataclass(frozen=True)
class ImageScore:
    """Agreement of the map of one image with its labels."""

    name: str
    """Of the image."""
    pixels: int
    """Labelled and observed."""
    changed: int
    """Of these, labelled as changed."""
    mapped: int
    """Of these, mapped as changed."""
    kappa: float | None
    """Cohen's kappa, -1..1; None where the labels hold one class only."""
    f1: float | None
    """Of changed, 0..1; None where no pixel is labelled changed."""
    iou: float | None
    """Intersection over union of changed, 0..1; None where no pixel is labelled changed."""
    false_alarms: float | None
    """Share of the unchanged pixels that are mapped as changed, 0..1; None without unchanged ones."""


@dataclass(frozen=True)
class Quartiles:
    """A score over images."""

    low: float | None
    """A quarter of the images lies below; None without an image for which the score is defined."""
    median: float | None
    """Half of the images lie below."""
    high: float | None
    """Three quarters of the images lie below."""
    images: int
    """For which the score is defined."""


@dataclass(frozen=True)
class ImageScores:
    """The test images one by one."""

    images: int
    """With a labelled, observed pixel."""
    with_change: int
    """Of these, with a pixel labelled changed; only they have an F1."""
    kappa: Quartiles
    """Over images with changed and unchanged pixels."""
    f1: Quartiles
    """Over images with change."""
    iou: Quartiles
    """Over images with change."""
    false_alarms: Quartiles
    """Over images without change: share of their pixels that is mapped as changed."""
    worst: tuple[ImageScore, ...]
    """The images with the lowest F1, the lowest first; ten at most."""
    worst_alarms: IfAny[ImageScore] = None
    """The image without change of which the largest share is mapped as changed; None where none is."""


@dataclass(frozen=True, kw_only=True)
class NetworkScores:
    """Calibration of a network on the validation blocks, and its scores on the test blocks."""

    validation_score: float
    """Of the weights that were kept, 0..1."""
    threshold: float
    """Probability from which a pixel counts as changed, 0..1."""
    temperatures: Temperatures
    """Fitted on the validation blocks; 1 where a fitted one does not lower the calibration error of blocks held out of it."""
    test: BinaryScores
    """Scores of change."""
    evidence: IfAny[ScoreEvidence] = None
    """What the scores of change rest on."""
    kinds: tuple[KindScore, ...] = ()
    """How often each kind of change was right; empty before it is measured."""
    calibration_error: float | None
    """Of the probability of change, 0..1; None where no test pixel is labelled and observed."""
    warnings: tuple[str, ...]
    """Sentences for the user."""
    phases: int = 1
    """Shifts of the sampling grid whose mean was calibrated and scored."""
    temperature_checks: TemperatureChecks = TemperatureChecks()
    """Which temperatures were kept, and the calibration errors with and without them."""
    landuse_before: IfAny[ClassScores] = None
    """None without land-use heads."""
    landuse_after: IfAny[ClassScores] = None
    """None without land-use heads."""
    transitions: IfAny[ClassScores] = None
    """Scores of each kind of change; None without land-use heads."""
    risk_control: IfAny[RiskControl] = None
    """The threshold that limits the share of missed change."""
    images: IfAny[ImageScores] = None
    """Of a collection of chips: the test images one by one."""


@dataclass(frozen=True, kw_only=True)
class _OfSeed:
    seed: int
    """Of weights and chips."""
    strategy: str = ""
    """Row of `strategies.STRATEGIES`."""


# In this order of bases the seed is the first field, and so the first key of the JSON.
@dataclass(frozen=True, kw_only=True)
class CandidateScores(NetworkScores, _OfSeed):
    """Scores and cost of one candidate: its `scores.json`."""

    cost: Cost | None = None
    """None where it was not metered."""
