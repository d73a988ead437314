"""The record that describes a run: `run.json`."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from landshift.pipeline.change.areas import MappedAreas
from landshift.pipeline.change.second_opinion import SecondOpinion
from landshift.pipeline.errors import InputError
from landshift.pipeline.gates import Caution, Gate
from landshift.pipeline.legend import LandUse
from landshift.pipeline.manifest import file_hash
from landshift.pipeline.records import Json, read_record
from landshift.pipeline.run_files import CHANGE_MAP, CHANGES, RUN, RUN_MANIFEST, manifest_of_run
from landshift.pipeline.scores.assessment import Assessment
from landshift.pipeline.scores.reliability import KnownCalibration
from landshift.pipeline.scores.training import Cost, Temperatures

CLASSICAL_SCORE = (
    "In place of a probability of change stands a score: the share of the pixels with about such a difference that the other "
    "of two classical methods (IR-MAD, change vector analysis) also calls changed, 0 to 1. It puts pixels in order; it is not "
    "a probability of change, and no label confirmed it."
)
"""What the probability of change is in a run by a classical method."""


@dataclass(frozen=True)
class InputFile:
    """One file that a run was made from."""

    path: str
    """Relative to the data folder."""
    epoch: str
    """`before` or `after`."""
    date: date
    """Of the scene."""
    hash: str
    """Of the content, `sha256:` first."""


@dataclass(frozen=True)
class MapGrid:
    """Where the pixels of a run are."""

    crs: str
    """Authority and code, or a name."""
    rows: int
    """Pixels from north to south."""
    columns: int
    """Pixels from west to east."""
    pixel_size_m: float
    """Side of a pixel, metres."""
    transform: tuple[float, float, float, float, float, float]
    """Affine, pixel (column, row) to CRS coordinates, row by row."""
    notes: tuple[str, ...] = ()
    """What did not lie on these pixels, and from what it was resampled; sentences."""


@dataclass(frozen=True)
class ObservedShares:
    """Share of the pixels observed on each date."""

    before: float
    """0..1."""
    after: float
    """0..1."""


@dataclass(frozen=True)
class UsedModel:
    """The model that mapped a run."""

    name: str
    """Of its project."""
    encoder: str
    """Row of the table of encoders."""
    weights: str
    """Hash of `weights.safetensors`."""
    description: str
    """Hash of `model.json`."""
    scores: Json | None
    """On its test blocks; None where it was not tested."""
    tested_here: bool
    """Whether its test blocks lie in the very images of the run, used as they are; else the scores are of other images."""


@dataclass(frozen=True)
class ClassicalThreshold:
    """A threshold of a classical method that needs no label, and how much it maps."""

    rule: str
    """`otsu` or `false-alarm`."""
    value: float
    """Of the method's statistic."""
    changed_share: float
    """Share of the observed pixels that it maps as changed, 0..1, before the minimum mapping unit."""


@dataclass(frozen=True)
class UsedClassical:
    """The classical method that mapped a run, without any model or label."""

    method: str
    """`ir-mad` or `cva`."""
    title: str
    """The same for people."""
    used: str
    """Rule of the threshold that the map was made by."""
    thresholds: tuple[ClassicalThreshold, ...]
    """Both of them."""
    rate: float
    """Share of unchanged ground that the threshold `false-alarm` was to call changed, 0..1."""
    rate_from: str
    """`chi-square`, scaled to the scene, or `invariant pixels` for a method without a distribution in theory."""
    scale: float | None
    """Times that the squared statistic of pixels that look invariant exceeds the theory, by their medians; None as above."""
    found: float
    """Share of the pixels that look invariant beyond it, 0..1; change that the other classical method missed is among them."""
    pixels: int
    """That statistic, thresholds and score were taken from, spread over the region."""
    invariant: int
    """Of these, those that look invariant to the other classical method."""
    converged: bool
    """Whether the iterations of IR-MAD ended by themselves."""
    settings: str
    """Hash of method, rule and rate."""


@dataclass(frozen=True)
class SpentSeconds:
    """How long a run took, added up over its shards."""

    detect: float
    """Reading, mapping and writing the raw map."""
    model: float
    """The network alone."""


@dataclass(frozen=True)
class UsedAdaptation:
    """What was done about a territory that the model does not know."""

    method: str
    """`none` where nothing was done."""
    verified: bool
    """Whether labels of this territory confirmed that it helps."""
    threshold: float | None
    """Chosen on labels of this territory, 0..1; None took the model's own."""
    temperatures: Temperatures | None
    """Fitted on labels of this territory; None took the model's own."""
    notes: tuple[str, ...]
    """What was done, in sentences."""


@dataclass(frozen=True)
class Steadiness:
    """How much of a map depends on where its grid begins and where its tiles end, on one chip in the middle of the scene."""

    chip_px: int
    """Side of the chip, pixels."""
    phases: int
    """Shifts of the network's sampling grid that were averaged, in the map as here."""
    margin_flips_ppm: float | None
    """Pixels whose change or land use is another one where the network sees twice as far around the chip, parts per million
    of the observed ones; None where nothing is observed, or one tile covers the map."""
    shift_flips_ppm: float | None
    """As before, where the grid begins 5 pixels earlier in both directions; None where nothing is observed."""
    shift_iou: float | None
    """Intersection over union of the changed pixels of both grids, 0..1; None where no pixel changed in either."""


@dataclass(frozen=True)
class UsedRadiometry:
    """How both dates were brought to one light, before any model saw them."""

    matched: bool
    """Whether the date after was matched to the date before."""
    standardised: bool
    """Whether each band has mean 0 and deviation 1 over both dates."""
    invariant_pixels: int | None
    """Of a sample, on which the match rests; None where none was wanted."""
    residuals: tuple[tuple[float, float], ...]
    """Of each band, the root mean square difference of held-out invariant pixels as they are, and matched; empty where none was
    wanted."""
    notes: tuple[str, ...]
    """What was done and why, in sentences."""


@dataclass(frozen=True)
class TerritoryShift:
    """How much of a territory looks unlike the training regions."""

    block_px: int
    """Side of a block, pixels."""
    beyond: float | None
    """Share of the blocks past the edge of the training regions, 0..1; None where the model does not know them."""


@dataclass(frozen=True)
class AreasNotes:
    """What a reader of the areas of interest must know."""

    notes: tuple[str, ...]
    """Sentences."""


@dataclass(frozen=True)
class RunRecord:
    """Everything about a run besides its maps and layers."""

    name: str
    """Of the project."""
    key: str
    """Hash of the inputs, the model and the settings, 16 characters."""
    before_date: date
    """Of the image before."""
    after_date: date
    """Of the image after."""
    created: str
    """Moment in ISO 8601, UTC."""
    inputs: tuple[InputFile, ...]
    """Files of the scenes of both dates."""
    grid: MapGrid
    """Of the maps."""
    clouds: dict[str, tuple[Json, ...]]
    """By `before` and `after`: what masked the clouds of each scene."""
    bands: tuple[str, ...]
    """That the model was given."""
    units: str
    """Of the pixels that the model was given."""
    legend: tuple[LandUse, ...]
    """Land-use classes; empty in a binary project."""
    observed: ObservedShares
    """Of each date."""
    model: UsedModel | None
    """What mapped the changes; None where a classical method did."""
    calibration: KnownCalibration
    """Of the probabilities of change."""
    threshold: float | None
    """Probability from which on a pixel counts as changed, 0..1; None where a classical method mapped the changes."""
    margin_px: float
    """Of the tiles, pixels."""
    network_form: str | None
    """In which form the network was computed: `plain`, as it was trained, or another that computes the same but for rounding
    (`fused`, `compiled`, `bands-last`); None where a classical method mapped the changes."""
    steadiness: Steadiness | None
    """How much depends on where the grid begins and where tiles end; None where a classical method mapped the changes."""
    seconds: SpentSeconds
    """Of the detection."""
    alignment: Json | None
    """How the image after was moved onto the one before; None where the config does not ask for it."""
    radiometry: UsedRadiometry
    """How both dates were brought to one light."""
    adaptation: UsedAdaptation
    """To the territory."""
    domain_shift: TerritoryShift
    """Of the territory from the training regions."""
    cost: Cost | None
    """Seconds, electricity and greenhouse gas; None where not all of it is known."""
    assessment: Assessment
    """Of the images and the model; empty where nothing was assessed."""
    gates: tuple[Gate, ...]
    """What was asked of data and model."""
    areas: MappedAreas
    """Hectares of the map (pixel count, biased)."""
    warnings: tuple[Caution, ...]
    """What to know before the map is used, each for its reader and for its maker."""
    areas_of_interest: AreasNotes | None
    """None where the project has no areas of interest."""
    config: Json
    """The configuration, without what belongs to one machine."""
    versions: dict[str, str]
    """Of Python and the packages, by name."""
    files: dict[str, str] = field(default_factory=dict)
    """What the folder holds: meaning of each file by name."""
    classical: UsedClassical | None = None
    """The classical method that mapped the changes; None where a model did."""
    second_opinion: SecondOpinion | None = None
    """How far the map of a model agrees with the IR-MAD map of the pair; None where a classical method mapped the changes."""

    @property
    def min_area_ha(self) -> float:
        """Minimum mapping unit in hectares, as the config has it.

        Raises:
            InputError: The config in the record has none.
        """
        detect = self.config.get("detect")
        found = detect.get("min_area_ha") if isinstance(detect, dict) else None
        if not isinstance(found, int | float):
            raise InputError(f"{RUN}: config.detect.min_area_ha is {found!a:.40}, expected hectares. Make the run again.")
        return found

    @property
    def notice(self) -> str:
        """What its maker states about the map before all else, as the config has it; empty where nothing."""
        found = self.config.get("notice")
        return found if isinstance(found, str) else ""

    @property
    def mapper(self) -> str:
        """What mapped the changes: the name of the model's project, or of the classical method."""
        return self.model.name if self.model is not None else self.classical.title if self.classical is not None else ""

    @property
    def mapper_hash(self) -> str:
        """Hash of the model's weights, or of the settings of the classical method."""
        return self.model.weights if self.model is not None else self.classical.settings if self.classical is not None else ""


def read_run(folder: Path) -> RunRecord:
    """Return the record of a run.

    Args:
        folder: As `landshift detect` made it, wherever it was moved to.

    Raises:
        InputError: It is not the folder of a run, or one of another version.
    """
    missing = [name for name in (RUN, CHANGE_MAP, CHANGES) if not (folder / name).is_file()]
    if missing:
        found = sorted(p.name for p in folder.iterdir())[:6] if folder.is_dir() else []
        raise InputError(
            f"{folder} is not the folder of a run: it lacks {', '.join(missing)}"
            + (f" (it holds {', '.join(found)})" if found else "")
            + ". Expected the folder `run` that `landshift detect` made, with all its files."
        )
    return read_record(folder / RUN, RunRecord)


def list_altered_files(folder: Path, *, everything: bool) -> list[str]:
    """Return which files of a run are no longer as they were made, for example `change.tif changed`.

    Args:
        folder: Of the run.
        everything: Look at all its files; else at the record and the rasters.

    Raises:
        InputError: Nothing was recorded.
    """
    entry = manifest_of_run(folder).entries().get("run")
    if entry is None:
        raise InputError(
            f"{folder / RUN_MANIFEST} is missing or damaged, so that nothing can be verified: copy the run's folder "
            f"again, with all its files, or make the run again with `landshift detect`."
        )
    recorded = {n: digest for n, digest in entry["files"].items() if everything or n == RUN or n.endswith(".tif")}
    missing = [name for name in recorded if not (folder / name).is_file()]
    changed = [name for name in recorded if name not in missing and file_hash(folder / name) != recorded[name]]
    return [f"{', '.join(names)} {what}" for names, what in ((missing, "missing"), (changed, "changed")) if names]
