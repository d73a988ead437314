"""The record of a judged sample's estimates: `estimates.json`."""

from dataclasses import dataclass
from datetime import date

from landshift.pipeline.sample.agreement import InterpreterAgreement
from landshift.pipeline.sample.area_estimation import Interval
from landshift.pipeline.sample.disagreement import Disagreement, Intensity


@dataclass(frozen=True)
class JudgedStratum:
    """A part of the map, as it was sampled."""

    number: int
    """From 1."""
    name: str
    """Of the change or changes that it holds."""
    codes: tuple[int, ...]
    """Change codes of the map that it holds."""
    pixels: int
    """Of the map."""
    area_ha: float
    """Hectares of these pixels."""
    judged: int
    """Judged pixels that the estimates use."""
    drawn: int | None
    """Drawn pixels; None where not known."""


NOT_RECORDED = "not recorded"
_NAMED = 5
"""Interpreters that a text names."""


@dataclass(frozen=True)
class Judging:
    """Who judged a sample, and by what: as the columns `interpreter` and `reference_date` of the judged pixels state."""

    interpreters: tuple[str, ...] = ()
    """Names that occur, the one with most pixels first."""
    unnamed: int = 0
    """Judged pixels without a name."""
    first: date | None = None
    """Earliest date of an image or visit by which a pixel was judged; None where none is recorded."""
    last: date | None = None
    """Latest such date."""
    undated: int = 0
    """Judged pixels without such a date."""

    @property
    def by(self) -> str:
        """Who judged, for example `Ada, Ben; for 3 pixels not recorded`."""
        if not self.interpreters:
            return NOT_RECORDED
        more = len(self.interpreters) - _NAMED
        names = ", ".join(self.interpreters[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"{names}; for {self.unnamed:,} pixels {NOT_RECORDED}" if self.unnamed else names

    @property
    def dates(self) -> str:
        """Of what they were judged by, for example `2023-05-02 to 2023-07-11`."""
        if self.first is None or self.last is None:
            return NOT_RECORDED
        span = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"{span}; for {self.undated:,} pixels {NOT_RECORDED}" if self.undated else span


@dataclass(frozen=True)
class JudgedSample:
    """The sample that the estimates come from."""

    total: int
    """Drawn pixels."""
    used: int
    """Judged pixels that the estimates use."""
    untold: int
    """Pixels whose land use the interpreter could not recognise."""
    seed: int | None
    """That the sample was drawn with; None where not known."""
    file: str
    """Name of the labelling file; names of several, separated by commas."""
    strata: tuple[JudgedStratum, ...]
    """Of the map, by ascending number."""
    judging: Judging = Judging()
    """Who judged it, and by what."""


@dataclass(frozen=True)
class AllChanges:
    """All changes together."""

    mapped_ha: float
    """Hectares of the map (pixel count, biased)."""
    area_ha: Interval
    """Hectares."""
    users_accuracy: Interval
    """Share of what is mapped as changed that is right, 0..1."""
    producers_accuracy: Interval
    """Share of what changed that is mapped as changed, 0..1."""


@dataclass(frozen=True)
class EstimatedClass:
    """A value of the change map, or a land use of one date."""

    code: int
    """Change code or land-use code."""
    name: str
    """Of the legend."""
    colour: str
    """`#rrggbb`."""
    mapped_ha: float
    """Hectares of the map (pixel count, biased)."""
    area_ha: Interval
    """Hectares."""
    users_accuracy: Interval
    """Share of what is mapped as the class that is right, 0..1."""
    producers_accuracy: Interval
    """Share of the class that is mapped as such, 0..1."""
    samples: int
    """Pixels that were judged to be the class."""
    mapped_samples: int | None = None
    """Judged pixels that are mapped as the class; None where not counted."""


@dataclass(frozen=True)
class OtherChanges:
    """Kinds of change of which the sample holds few pixels, taken together: alone, their intervals would mean little."""

    codes: tuple[int, ...]
    """Change codes of the kinds, ascending; two or more."""
    names: tuple[str, ...]
    """Of the codes."""
    mapped_ha: float
    """Hectares of the map (pixel count, biased)."""
    area_ha: Interval
    """Hectares of all these kinds; what is of one of them and mapped as another counts once."""
    users_accuracy: Interval
    """Share of what is mapped as one of these kinds that is of one of them, 0..1."""
    producers_accuracy: Interval
    """Share of what is of one of these kinds that is mapped as one of them, 0..1."""
    samples: int
    """Pixels that were judged to be of one of them."""


@dataclass(frozen=True)
class LandUseBalance:
    """What a land use gained and lost between the dates."""

    code: int
    """Land-use code."""
    name: str
    """Of the legend."""
    colour: str
    """`#rrggbb`."""
    gain_ha: Interval
    """Hectares that became it."""
    loss_ha: Interval
    """Hectares that were it and are it no longer."""
    net_ha: Interval
    """Gain minus loss in hectares; below 0 where more was lost."""
    samples: int
    """Judged pixels that were gained or lost."""
    gained: int | None = None
    """Judged pixels that were gained; None where not counted."""
    lost: int | None = None
    """Judged pixels that were lost; None where not counted."""


@dataclass(frozen=True)
class ErrorMatrix:
    """Map against interpretation, indexed `[map, reference]`."""

    codes: tuple[int, ...]
    """Change codes of the rows and columns."""
    names: tuple[str, ...]
    """Of the codes."""
    counts: tuple[tuple[int, ...], ...]
    """Judged pixels."""
    area_ha: tuple[tuple[float, ...], ...]
    """Estimated hectares."""


@dataclass(frozen=True)
class TransitionMatrix:
    """Estimated hectares of each pair of land uses, indexed `[before, after]`."""

    codes: tuple[int, ...]
    """Land-use codes of the rows and columns."""
    names: tuple[str, ...]
    """Of the codes."""
    area_ha: tuple[tuple[Interval, ...], ...]
    """Hectares; persistence on the diagonal."""
    counts: tuple[tuple[int, ...], ...] = ()
    """Judged pixels of each pair; empty where not counted."""


@dataclass(frozen=True)
class EstimatedPart:
    """One kind of change inside an area of interest."""

    code: int
    """Change code."""
    name: str
    """Of the change."""
    mapped_ha: float
    """Hectares of the map (pixel count, biased)."""
    area_ha: Interval
    """Hectares."""
    moved: bool = False
    """Whether the estimate lay beyond what is possible and was moved to the limit."""


@dataclass(frozen=True)
class EstimatedArea:
    """An area of interest."""

    name: str
    """That the user gave it."""
    total_ha: float
    """Hectares inside the map."""
    not_observed_ha: float
    """Hectares that were not observed on both dates."""
    mapped_changed_ha: float
    """Hectares mapped as changed (pixel count, biased)."""
    changed_ha: Interval
    """Hectares that changed."""
    samples: int
    """Judged pixels inside."""
    note: str | None
    """Weaknesses of the intervals, in sentences."""
    changes: tuple[EstimatedPart, ...]
    """The kinds of change."""
    moved: bool = False
    """Whether `changed_ha` lay beyond what is possible and was moved to the limit."""


@dataclass(frozen=True)
class OfficialMatrix:
    """Estimated hectares of each pair of official classes."""

    scheme: str
    """Key of `official.SCHEMES`."""
    keys: tuple[str, ...]
    """Of its classes, in the order of the official table."""
    area_ha: tuple[tuple[Interval, ...], ...]
    """Hectares, indexed `[before, after]`; persistence on the diagonal."""
    before_ha: tuple[Interval, ...]
    """Hectares of each class before."""
    after_ha: tuple[Interval, ...]
    """Hectares of each class after."""
    net_ha: tuple[Interval, ...]
    """After minus before of each class."""
    changed_ha: Interval
    """Hectares that changed their official class; changes within one do not count."""


@dataclass(frozen=True)
class Estimates:
    """Areas and accuracies from a judged sample; where an interval has no ends, the notes give the reason."""

    run: str
    """Key of the run."""
    confidence_level: float
    """Of all intervals, 0..1."""
    samples: JudgedSample
    """That they come from."""
    overall_accuracy: Interval
    """Share of the map that is right, 0..1."""
    changed: AllChanges
    """All changes together."""
    changes: tuple[EstimatedClass, ...]
    """Values of the change map that occur in it or in the sample, unchanged included."""
    landuse_before: tuple[EstimatedClass, ...]
    """Land uses before; empty in a binary project."""
    landuse_after: tuple[EstimatedClass, ...]
    """Land uses after; empty in a binary project."""
    matrix: ErrorMatrix
    """Map against interpretation."""
    transitions: TransitionMatrix | None
    """None in a binary project."""
    disagreement: Disagreement | None
    """Between map and interpretation; None where nothing was mapped."""
    intensity: Intensity | None
    """Of the transitions; None in a binary project."""
    areas_of_interest: tuple[EstimatedArea, ...]
    """In the order of their layer."""
    not_observed_ha: float
    """Hectares that were not observed on both dates; in no estimate."""
    notes: tuple[str, ...]
    """Sentences for readers of the numbers."""
    other_changes: OtherChanges | None = None
    """The kinds of change with fewer than 10 judged pixels, taken together; None where fewer than two are so small. All kinds,
    these included, are in `changes`, too."""
    balances: tuple[LandUseBalance, ...] = ()
    """Gain and loss of each land use, by ascending code; empty in a binary project."""
    agreement: InterpreterAgreement | None = None
    """How far a second interpreter agrees; None without one."""
    official: tuple[OfficialMatrix, ...] = ()
    """In official classes, one for each scheme of the config's crosswalk."""
