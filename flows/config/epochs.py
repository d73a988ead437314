"""The section `epochs` of a configuration: the dates that are compared, and how the scenes of each become one image."""

from datetime import date

from pydantic import field_validator, model_validator

from landshift.flows.config.sections import Section
from landshift.pipeline.epochs.rules import MOST_OBSERVED, CompositeRule
from landshift.pipeline.season import Season, month_and_day


class EpochConfig(Section):
    """A date range; the scenes in it become one image."""

    start: date
    """First day."""
    end: date
    """Last day, included."""


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
