"""Records of an assessment: whether a pretrained encoder helps in a territory, and how far to trust its model."""

from dataclasses import dataclass

from landshift.pipeline.gates import Gate
from landshift.pipeline.records import IfAny
from landshift.pipeline.scores.adaptation import AdaptationCheck
from landshift.pipeline.scores.conformal import RiskControl
from landshift.pipeline.scores.evidence import HURTS, TransferVerdict
from landshift.pipeline.scores.ranking import EncoderRanking, RankAgreement
from landshift.pipeline.scores.regional import ClassRegion, OptimismGap, Regional
from landshift.pipeline.scores.reliability import CalibrationRow, ReliabilityBin
from landshift.pipeline.scores.training import BandFinding, CandidateScores, Cost


@dataclass(frozen=True)
class Budget:
    """What every training of a comparison gets."""

    epochs: int
    """At most."""
    chips_per_epoch: int
    """Chips drawn in an epoch."""
    seeds: tuple[int, ...]
    """Trainings of each arm in each fold."""


@dataclass(frozen=True)
class HeldOutRegions:
    """The regions that are held out in turn."""

    names: tuple[str, ...]
    """Of the regions."""
    folds: int
    """Groups of regions that are held out together."""
    notes: tuple[str, ...]
    """How the regions were made, in sentences."""


@dataclass(frozen=True)
class BlockOverlap:
    """Difference between the blocks with training labels and all others, in the features of the unmoved encoder."""

    training_blocks: int
    """Blocks that hold training labels."""
    target_blocks: int
    """The others."""
    frechet: float | None
    """Fréchet distance; None with too few blocks, as the next four."""
    coral: float | None
    """Distance of the covariances."""
    mmd: float | None
    """Maximum mean discrepancy."""
    mmd_p_value: float | None
    """Of no difference, by permutation."""
    beyond: float | None
    """Share of the target that lies further out than 95 % of the training blocks, 0..1."""
    sentence: str
    """For a planner."""


@dataclass(frozen=True)
class RegionF1:
    """F1 of one training in one held-out region."""

    region: str
    """The region's name."""
    seed: int
    """Of the training."""
    f1: float | None
    """0..1; None where the training diverged."""


@dataclass(frozen=True)
class NotPossible:
    """A trial that could not be run."""

    arm: str
    """Encoder and strategy."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class Guard:
    """The project's model against controls with the same budget."""

    verdict: str
    """Against random weights: `helps`, `no evidence` or `hurts`."""
    sentence: str
    """For a planner."""
    folds: int
    """Folds behind the verdict."""
    controls: dict[str, TransferVerdict]
    """Verdict against each control."""
    notes: tuple[str, ...]
    """On the regions."""
    f1: dict[str, tuple[RegionF1, ...]]
    """Scores of `candidate` and of each control."""
    compared: dict[str, tuple[str, str]]
    """Encoder and strategy of each side."""
    diverged: tuple[str, ...]
    """Names of the trials that diverged."""
    not_possible: tuple[NotPossible, ...]
    """Trials that could not be run."""


@dataclass(frozen=True)
class MeanF1:
    """Mean F1 over regions, and the region where it is lowest."""

    mean: float | None
    """0..1; None where no region has an F1."""
    worst_region: str | None
    """Name of the region with the lowest F1."""
    worst: float | None
    """Its F1, 0..1."""
    regions: dict[str, float]
    """F1 of each region, mean over trainings."""


@dataclass(frozen=True)
class CalibrationComparison:
    """Raw probabilities against those at two temperatures, on the same held-out pixels."""

    rows: tuple[CalibrationRow, ...]
    """One for each kind of probabilities."""
    temperatures: dict[str, float | None]
    """Fitted in each region; None where it has too few labels."""
    reliability: dict[str, tuple[ReliabilityBin, ...]]
    """Table of each kind."""
    pixels: int
    """Pixels that were scored."""
    notes: tuple[str, ...]
    """Regions without a temperature of their own."""


@dataclass(frozen=True)
class CheckedRisk(RiskControl):
    """A threshold with a promise, and what share of the change it missed in other blocks."""

    checked_tiles: int
    """Other blocks with change."""
    checked_miss_rate: float | None
    """Mean share of change that is missed in them, 0..1; None without a threshold or a block."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of the project's model in regions that it never saw."""

    seed: int
    """Of the trainings whose pixels are scored."""
    worst: MeanF1
    """Over all seeds."""
    regional: Regional
    """Scores of each region."""
    calibration: CalibrationComparison
    """How far the probabilities can be trusted."""
    risk: CheckedRisk
    """A threshold with a promise."""
    optimism: OptimismGap
    """How much a random split flatters."""
    regions_by_seed: dict[str, dict[str, float | None]]
    """F1 of each seed in each region."""
    classes: IfAny[dict[str, tuple[ClassRegion, ...]]] = None
    """Classes by region, before and after; None without land-use heads."""


@dataclass(frozen=True)
class NoEvaluation:
    """Why there is no evaluation."""

    notes: tuple[str, ...]
    """The reasons, in sentences."""


@dataclass(frozen=True)
class StrategyRow:
    """Scores of a way to use the encoder."""

    strategy: str
    """Row of the strategies' table."""
    validation: float | None
    """Score on the validation regions, mean over folds, 0..1; None where it was not tried."""
    low: float | None
    """Lower end of its interval."""
    high: float | None
    """Upper end."""
    f1: MeanF1 | None
    """In the held-out regions."""
    parameters: int | None
    """Numbers that were trained."""
    trainings: int
    """That ended."""
    kwh: float | None
    """Electricity of all trainings; None where one was not measured."""
    reason: str
    """Why some trainings are missing."""


@dataclass(frozen=True)
class Strategies:
    """Strategies compared on the validation regions."""

    rows: tuple[StrategyRow, ...]
    """In the order of the config."""
    choice: str | None
    """The best; None where none could be measured."""
    sentence: str
    """For a planner."""


@dataclass(frozen=True)
class EncoderF1:
    """F1 of an encoder after training."""

    encoder: str
    """Its name."""
    f1: float
    """Mean over the held-out regions, 0..1."""


@dataclass(frozen=True)
class Verification:
    """How well the scores before training foretold the F1 after it."""

    rows: tuple[EncoderF1, ...]
    """The highest first."""
    scores: dict[str, RankAgreement]
    """Kendall's tau of each score."""
    notes: tuple[str, ...]
    """Trainings that were not possible, and those that diverged and count as F1 0."""


@dataclass(frozen=True)
class MeanInterval:
    """A mean over seeds with its interval."""

    mean: float | None
    """None without a value."""
    low: float | None
    """None with fewer than two values."""
    high: float | None
    """None with fewer than two values."""


@dataclass(frozen=True)
class CurveRow:
    """An arm of the curve at one share of the labels."""

    arm: str
    """Encoder, or random weights."""
    share: float
    """Share of the labels, above 0, at most 1."""
    seeds: int
    """Trainings that ended."""
    f1: MeanInterval
    """0..1."""
    f1_by_seed: dict[str, float | None]
    """0..1."""
    gain: MeanInterval
    """F1 less that of random weights, paired by seed."""
    epochs: float | None
    """Of a training, mean."""
    seconds: float | None
    """Of a training, mean."""
    kwh: float | None
    """Of a training, mean of those that were measured."""
    target_f1: float | None
    """F1 on the validation blocks that random weights reach in the end with the same labels, mean over seeds."""
    reached: int
    """Seeds that reached it."""
    epochs_to_target: float | None
    """Mean over these seeds."""
    kwh_to_target: float | None
    """Mean over these seeds."""


@dataclass(frozen=True)
class LabelCurve:
    """F1 over the share of the labels."""

    rows: tuple[CurveRow, ...]
    """By share, then arm."""
    notes: tuple[str, ...]
    """Points that could not be trained."""


@dataclass(frozen=True)
class Assessment:
    """Everything that was assessed of a project: `assessment.json`; a section that was not measured is absent."""

    project: IfAny[str] = None
    """Its name."""
    versions: IfAny[dict[str, str]] = None
    """Of the tools."""
    gates: tuple[Gate, ...] = ()
    """What was asked of the images before."""
    adaptation: IfAny[AdaptationCheck] = None
    """Of a model that was trained elsewhere."""
    key: IfAny[str] = None
    """Hash of the images, labels, model, training and budget that it holds for."""
    encoder: IfAny[str] = None
    """The project's encoder."""
    encoder_label: IfAny[str] = None
    """What to call it."""
    strategy: IfAny[str] = None
    """The project's strategy."""
    budget: IfAny[Budget] = None
    """Of each training."""
    regions: IfAny[HeldOutRegions] = None
    """Held out in turn."""
    ranking: IfAny[EncoderRanking] = None
    """Before training."""
    overlap: IfAny[BlockOverlap] = None
    """Of the training blocks with the rest."""
    guard: IfAny[Guard] = None
    """Against controls."""
    evaluation: IfAny[Evaluation | NoEvaluation] = None
    """In each region."""
    alignment: IfAny[dict[str, dict[str, float]]] = None
    """Linear CKA of the features before and after training, by arm and depth, mean over the folds."""
    strategies: IfAny[Strategies] = None
    """Compared."""
    verification: IfAny[Verification] = None
    """Of the ranking."""
    curve: IfAny[LabelCurve] = None
    """What labels are worth."""
    costs: IfAny[dict[str, Cost]] = None
    """Of each trial, by name."""
    cost: IfAny[Cost] = None
    """Of all trials."""
    chips: IfAny[CandidateScores] = None
    """Of a collection of chips: the model's scores, with the test images one by one."""

    @property
    def is_harmful(self) -> bool:
        """Whether, over several regions, the project's model is worse off than random weights."""
        return self.guard is not None and self.guard.verdict == HURTS and self.guard.folds > 1

    @property
    def bands(self) -> tuple[BandFinding, ...]:
        """The territory's bands in the terms of the project's own encoder."""
        rows = () if self.ranking is None else self.ranking.rows
        return next((row.bands for row in rows if row.name == self.encoder), ())
