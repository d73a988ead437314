"""Check of a collection of chips without heavy work."""

from collections.abc import Mapping
from dataclasses import dataclass

from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.chips.collection import look_through, reader_of
from landshift.flows.steps.chips.training import require_network
from landshift.flows.steps.inspection.check import EncoderFacts, measure_network
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.chips.survey import RoleCount
from landshift.pipeline.records import content_of


@dataclass(frozen=True, kw_only=True)
class ChipsCheck:
    """What a collection holds, in the order of `landshift check --json`."""

    project: str
    """Its name."""
    chips: Mapping[str, RoleCount]
    """Role to its chips."""
    sizes: tuple[tuple[int, int], ...]
    """Rows and columns that occur."""
    bands: tuple[str, ...]
    """In order."""
    units: str
    """Of the values."""
    notes: tuple[str, ...]
    """Sentences."""
    encoder: EncoderFacts
    """Of the project."""
    expected_minutes: float | None
    """Of `train` at most, measured on one window here."""


def check_chips(ws: Workspace) -> Reply:
    """Look through a collection and plan its training.

    Returns:
        A `ChipsCheck` as JSON, and as lines for people.

    Raises:
        InputError: Whatever would stop `train` but damaged pixels, which only reading all of them shows.
    """
    ws.require_writable()
    require_network(ws.project)
    survey, sensor = look_through(ws, thorough=False), reader_of(ws).sensor
    bands = tuple(b.name for b in sensor.bands)
    wavelengths = {b.name: b.wavelength_nm for b in sensor.bands if b.wavelength_nm}
    encoder, minutes = measure_network(ws, bands, wavelengths, 0)
    check = ChipsCheck(
        project=ws.project.name, chips=survey.counts, sizes=tuple(survey.sizes), bands=bands, units=sensor.units,
        notes=survey.notes, encoder=encoder, expected_minutes=minutes["train"],
    )  # fmt: skip
    return content_of(check), _lines(check)


def _lines(check: ChipsCheck) -> list[str]:
    sizes = [f"{width} x {height}" for height, width in check.sizes]
    lines = [f"Project  {check.project}: everything fits; chips train a model, and are not mapped."]
    lines.append("Chips    " + ", ".join(f"{role} {count.chips:,}" for role, count in check.chips.items()))
    for role, count in check.chips.items():
        pixels = ", ".join(f"{name} {n:,}" for name, n in count.pixels.items())
        lines.append(f"  {role:<10} {count.with_change:,} with change; pixels: {pixels}")
    lines += [
        f"Sizes    {', '.join(sizes[:6])}{', ...' if len(sizes) > 6 else ''} pixels (width x height)",
        f"Bands    {', '.join(check.bands)} ({check.units})",
        *(f"Note     {note}" for note in check.notes),
        f"Encoder  {check.encoder.name} on {check.encoder.device}",
        *(f"         {note}" for note in check.encoder.notes),
        f"Time     train at most {check.expected_minutes:g} min (measured on one window here), and reading",
    ]
    return lines
