"""The section of a configuration about plots: parcels or concessions, and what is asked about each."""

from datetime import date
from pathlib import Path

from pydantic import Field, model_validator

from landshift.flows.config.sections import Section


class VerdictConfig(Section):
    """When a plot counts as changed."""

    min_changed_ha: float | None = Field(default=None, ge=0, le=1e6)
    """Changed hectares that count; None takes `detect: min_area_ha`, below which the map holds no change."""
    min_share: float = Field(default=0.0, ge=0, le=1)
    """Changed share of what was seen that counts."""
    min_probability: float = Field(default=0.0, ge=0, le=1)
    """Mean probability of change that counts; less is uncertain. Classical methods have none, and are not asked for it."""
    min_observed: float = Field(default=0.9, ge=0, le=1)
    """Share of a plot that both dates must show before "no change seen"."""
    min_plot_ha: float | None = Field(default=None, ge=0, le=1e6)
    """Plots without change that are smaller are too small to judge; None takes `detect: min_area_ha`."""


class PlotsConfig(Section):
    """Thousands of parcels or concessions for `landshift plots`: whether each changed, after a cut-off date or at all."""

    path: Path
    """GeoPackage, FlatGeobuf, Shapefile or GeoJSON, any CRS."""
    layer: str | None = None
    """Layer, where the file has several."""
    name_column: str | None = None
    """Column with their names; None takes `name`, or the only text column, or none."""
    cut_off: date | None = None
    """The question is what changed after this day; None asks for any change between the images."""
    from_classes: tuple[str, ...] = ()
    """Names of land uses that a change must begin with to count; any where empty."""
    to_classes: tuple[str, ...] = ()
    """Names of land uses that a change must end with to count; any where empty."""
    verdict: VerdictConfig = VerdictConfig()
    """When a plot counts as changed."""

    @model_validator(mode="after")
    def _counts_something(self) -> "PlotsConfig":
        both = set(self.from_classes) & set(self.to_classes)
        if len(self.from_classes) == len(self.to_classes) == 1 and both:
            raise ValueError(f"from_classes and to_classes are both {both.pop()!r}: no change begins and ends there")
        return self
