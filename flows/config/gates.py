"""The section `gates` of a configuration: limits, and what happens where one is not met."""

from pydantic import Field

from landshift.flows.config.sections import Section
from landshift.pipeline.gates import RULES, GateRule, Otherwise


class GateConfig(Section):
    """One thing that is asked of a run."""

    otherwise: Otherwise = "mark"
    """Where the limit is not met: `pass`, `mark` the run with a warning, or `stop` it before it replaces the run before."""


class ObservedShareGate(GateConfig):
    """How much of the region both dates observed."""

    limit: float = Field(default=RULES["observed_share"].limit, ge=0, le=1)
    """At least this share of the region."""


class GridOverlapGate(GateConfig):
    """How much of the region scenes of both dates cover, whatever clouds hide."""

    limit: float = Field(default=RULES["grid_overlap"].limit, ge=0, le=1)
    """At least this share of the region."""


class MisregistrationGate(GateConfig):
    """How far the images lie beside each other."""

    limit: float = Field(default=RULES["misregistration_px"].limit, ge=0)
    """At most so many pixels."""
    correct: bool = False
    """Whether an image after that lies further off than the limit is moved onto the one before, by parts of a pixel; kept
    only where it then lies closer."""


class SeasonGapGate(GateConfig):
    """How far the dates lie apart in the course of a year."""

    limit: float = Field(default=RULES["season_gap_days"].limit, ge=0)
    """At most so many days, whatever the years."""


class RadiometricDifferenceGate(GateConfig):
    """How different ground that looks unchanged is on both dates."""

    limit: float = Field(default=RULES["radiometric_difference"].limit, ge=0)
    """At most this share of its mean, in the worst band; the median of the tenth of the pixels that IR-MAD finds most alike."""


class InvariantPixelsGate(GateConfig):
    """How many pixels look unchanged for certain, on which the dates are matched."""

    limit: float = Field(default=RULES["invariant_pixels"].limit, ge=RULES["invariant_pixels"].limit)
    """At least so many pixels of a sample; with fewer than 100 the dates are never matched."""


class LevelRatioGate(GateConfig):
    """How many times as bright one date is as the other, on ground that looks unchanged."""

    limit: float = Field(default=RULES["level_ratio"].limit, ge=1)
    """At most so many times, in the middle band; a wrong scale changes all bands alike."""
    otherwise: Otherwise = RULES["level_ratio"].otherwise
    """As for every gate; here the default is to stop, since nothing that is learned from such a pair holds."""


class ImplausibleLevelsGate(GateConfig):
    """Whether levels of the bands can be the reflectance of land."""

    limit: float = Field(default=RULES["implausible_levels"].limit, ge=0)
    """At most so many implausible levels, of both dates together."""


class UnmaskedCloudsGate(GateConfig):
    """How much of a date looks like cloud though no mask took it out."""

    limit: float = Field(default=RULES["unmasked_clouds"].limit, ge=0, le=1)
    """At most this share of what both dates observed."""


class StripesGate(GateConfig):
    """How far rows or columns of the images stand out."""

    limit: float = Field(default=RULES["stripes"].limit, ge=0)
    """At most this share of the band's median, in the worst band: the standard deviation of what far parts of a row share."""


class VegetationDifferenceGate(GateConfig):
    """How much greener plants are on one date."""

    limit: float = Field(default=RULES["vegetation_difference"].limit, ge=0, le=2)
    """At most this difference of the vegetation index, at the median of the ground that plants cover."""


class DomainShiftGate(GateConfig):
    """How much of the territory looks unlike the training regions."""

    limit: float = Field(default=RULES["domain_shift"].limit, ge=0, le=1)
    """At most this share of the territory beyond their edge; 0.05 lie there by definition."""


class CalibrationErrorGate(GateConfig):
    """How far probabilities were off on the test blocks."""

    limit: float = Field(default=RULES["calibration_error"].limit, ge=0, le=1)
    """At most this calibration error, 0..1."""


class MappedShareGate(GateConfig):
    """How much of what was observed is mapped as changed."""

    limit: float = Field(default=RULES["mapped_share"].limit, ge=0, le=1)
    """At most this share of the observed area."""
    otherwise: Otherwise = RULES["mapped_share"].otherwise
    """As for every gate; here the default is to stop."""


class MappedRatioGate(GateConfig):
    """How much more is mapped as changed than other evidence shows."""

    limit: float = Field(default=RULES["mapped_ratio"].limit, gt=0)
    """At most so many times the larger of two shares: of the training labels, and of the IR-MAD map of the same pair."""


class SecondOpinionGate(GateConfig):
    """How far the IR-MAD map of the same pair, which needs no labels, confirms what the map of a model shows as changed."""

    limit: float = Field(default=RULES["second_opinion"].limit, ge=-1, le=1)
    """At least this conditional kappa: 1 = all of it is confirmed, 0 = no more often than by chance."""


class GatesConfig(Section):
    """What is asked of the data and the model of a run, and what happens where it is not met."""

    observed_share: ObservedShareGate = ObservedShareGate()
    """Observed on both dates."""
    grid_overlap: GridOverlapGate = GridOverlapGate()
    """Covered by scenes of both dates."""
    misregistration_px: MisregistrationGate = MisregistrationGate()
    """Shift between the dates."""
    season_gap_days: SeasonGapGate = SeasonGapGate()
    """Season of the dates."""
    radiometric_difference: RadiometricDifferenceGate = RadiometricDifferenceGate()
    """Light of the dates."""
    invariant_pixels: InvariantPixelsGate = InvariantPixelsGate()
    """Ground to match the dates on; asked where `radiometry: match: auto`."""
    level_ratio: LevelRatioGate = LevelRatioGate()
    """Brightness of one date over that of the other."""
    implausible_levels: ImplausibleLevelsGate = ImplausibleLevelsGate()
    """Scale and offset of the values."""
    vegetation_difference: VegetationDifferenceGate = VegetationDifferenceGate()
    """Season that the plants show."""
    unmasked_clouds: UnmaskedCloudsGate = UnmaskedCloudsGate()
    """Clouds that no mask took out."""
    stripes: StripesGate = StripesGate()
    """Stripes of a sensor."""
    domain_shift: DomainShiftGate = DomainShiftGate()
    """Likeness to the training regions; known only once the model has seen the territory."""
    calibration_error: CalibrationErrorGate = CalibrationErrorGate()
    """Calibration on the test blocks."""
    mapped_share: MappedShareGate = MappedShareGate()
    """Share mapped as changed; known once the map is made, before it is published."""
    mapped_ratio: MappedRatioGate = MappedRatioGate()
    """The same, beside training labels and IR-MAD."""
    second_opinion: SecondOpinionGate = SecondOpinionGate()
    """Agreement with IR-MAD."""

    @property
    def rules(self) -> dict[str, GateRule]:
        """The limits by key, as the pipeline takes them."""
        given = {name: getattr(self, name) for name in RULES}
        return {name: GateRule(gate.limit, gate.otherwise, RULES[name].at_least) for name, gate in given.items()}
