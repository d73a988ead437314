"""The estimates of a run: areas and accuracies from its judged sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landshift.pipeline.legend import CHANGED, NOT_OBSERVED, Change, LandUse, Legend
from landshift.pipeline.sample.area_estimation import (
    ClassEstimate,
    Interval,
    areas,
    class_estimates,
    error_matrix,
    method_for,
    overall_accuracy,
    producers_accuracies,
    users_accuracies,
)
from landshift.pipeline.sample.design import Design
from landshift.pipeline.sample.disagreement import Intensity, intensity_analysis, quantity_and_allocation
from landshift.pipeline.sample.domain_estimation import domain_estimates
from landshift.pipeline.sample.draw import DrawnStratum
from landshift.pipeline.sample.grouping import balances_of_land_uses, pool_small_kinds
from landshift.pipeline.sample.notes import note_on_limits, notes_on_classes, notes_on_sample
from landshift.pipeline.sample.official import official_matrix
from landshift.pipeline.sample.record import (
    AllChanges,
    ErrorMatrix,
    EstimatedArea,
    EstimatedClass,
    EstimatedPart,
    Estimates,
    JudgedSample,
    JudgedStratum,
    OfficialMatrix,
    OtherChanges,
    TransitionMatrix,
)
from landshift.pipeline.sample.references import References, require_strata

_DECIMALS = 6
_QUANTITIES = ("area", "user's accuracy", "producer's accuracy")


@dataclass(frozen=True)
class MapFacts:
    """Values of the map, in all and at the judged pixels."""

    change_pixels: np.ndarray
    """int64 (256): pixels of each change code; the codes above 0 that occur are the strata."""
    before_pixels: np.ndarray | None
    """int64 (256): pixels of each land-use code before; None in a binary project."""
    after_pixels: np.ndarray | None
    """int64 (256): pixels of each land-use code after; None in a binary project."""
    hectares_per_pixel: float
    """Mean over the map."""
    not_observed_ha: float
    """Hectares that were not observed on both dates; in no estimate."""
    change: np.ndarray
    """uint8 (n): change code at each judged pixel, which is its stratum."""
    before: np.ndarray | None
    """uint8 (n): land-use code before at each; None in a binary project."""
    after: np.ndarray | None
    """uint8 (n): land-use code after at each; None in a binary project."""
    strata: tuple[DrawnStratum, ...] = ()
    """That the sample was drawn from, with the pixels of all draws; empty where each change code is one."""
    stratum: np.ndarray | None = None
    """int64 (n): number of the stratum of each judged pixel; None where `strata` is empty."""


@dataclass(frozen=True)
class AreaFacts:
    """The areas of interest, for which areas are estimated too."""

    names: tuple[str, ...]
    """One for each."""
    pixels: np.ndarray
    """int64 (area, 256): pixels of each change code inside, 0 = not observed included."""
    inside: np.ndarray
    """bool (n, area): whether each judged pixel lies inside; they may overlap."""
    stratum_pixels: np.ndarray | None = None
    """int64 (area, stratum): pixels of each stratum inside; None where the change codes are the strata."""


def estimates(
    legend: Legend,
    references: References,
    facts: MapFacts,
    places: AreaFacts | None,
    *,
    run: str,
    seed: int | None,
    file: str,
    crosswalks: Mapping[str, Mapping[int, str]] | None = None,
) -> Estimates:
    """Estimate areas and accuracies from a judged sample (Olofsson 2014 and Stehman 2014, see `area_estimation`).

    Args:
        legend: Of the run.
        references: The judged pixels, n of them.
        facts: Of the map.
        places: The areas of interest, None without any.
        run: Id of the run.
        seed: That the sample was drawn with, None where not known.
        file: Name of the labelling file, or of several.
        crosswalks: Key of `official.SCHEMES` to the official class of each land-use code.

    Raises:
        InputError: A judged pixel lies where the map observed nothing, a stratum has no judged pixel, or has more than
            were drawn.
    """
    strata, stratum, drawn = _strata(legend, facts)
    require_strata(references, stratum, strata, drawn=drawn)
    numbers = [row.number for row in strata]
    design = Design(
        np.array([row.pixels for row in strata], dtype=np.int64), np.searchsorted(numbers, stratum.astype(np.int64))
    )
    hectares, mapped, reference = facts.hectares_per_pixel, facts.change, references.change
    mapped_codes = [code for code in range(1, len(facts.change_pixels)) if facts.change_pixels[code] > 0]
    codes = sorted({*mapped_codes, *np.unique(reference).tolist()})
    entries = [legend.changes[code] for code in codes]
    found = class_estimates(design, mapped, reference, codes, pixel_area=hectares)
    overall, changed = overall_accuracy(design, mapped, reference), _all_changes(design, mapped, reference, hectares)
    counts, crossed = error_matrix(design, mapped, reference, codes)
    before, after = (
        _land_use(legend, design, *columns, hectares)
        for columns in (
            (facts.before, references.before, facts.before_pixels), (facts.after, references.after, facts.after_pixels),
        )
    )  # fmt: skip
    transitions, intensity = _transitions(legend, design, references, hectares)
    named = list(zip([entry.name for entry in entries], found, strict=True))
    total = max(references.total, sum(row.samples for row in facts.strata))
    missing = total - references.untold - len(reference)
    notes = [
        *notes_on_sample(
            design,
            [row.name for row in strata],
            reference,
            missing,
            untold=references.untold,
            not_observed_ha=facts.not_observed_ha,
        ),
        *note_on_limits(
            [
                ("the overall accuracy", overall),
                *((f"the {of} of all change", one) for of, one in zip(_QUANTITIES, changed, strict=True)),
                *_name_intervals("kinds of change", found),
                *_name_intervals("land uses before", [e for _, e in before[1]]),
                *_name_intervals("land uses after", [e for _, e in after[1]]),
            ]
        ),
        *notes_on_classes(named, "change"),
        *notes_on_classes(before[1], "land use before"),
        *notes_on_classes(after[1], "land use after"),
    ]
    strata_rows = tuple(
        JudgedStratum(
            number=row.number, name=row.name, codes=row.codes, pixels=row.pixels, area_ha=_ha(row.pixels * hectares),
            judged=int(n), drawn=row.samples if drawn else None,
        )
        for row, n in zip(strata, design.samples, strict=True)
    )  # fmt: skip
    return Estimates(
        run=run, confidence_level=0.95,
        samples=JudgedSample(
            total=total, used=len(reference), untold=references.untold, seed=seed, file=file, strata=strata_rows
        ),
        overall_accuracy=_round(overall),
        changed=AllChanges(_ha(facts.change_pixels[CHANGED:].sum() * hectares), *map(_round, changed)),
        changes=tuple(
            _class_row(entry, estimate, int(facts.change_pixels[entry.code]), hectares)
            for entry, estimate in zip(entries, found, strict=True)
        ),
        landuse_before=before[0], landuse_after=after[0],
        matrix=ErrorMatrix(
            codes=tuple(codes), names=tuple(entry.name for entry in entries), counts=tuple(map(tuple, counts.tolist())),
            area_ha=tuple(tuple(_ha(pixels * hectares) for pixels in row) for row in crossed),
        ),
        transitions=transitions, disagreement=quantity_and_allocation(crossed), intensity=intensity,
        areas_of_interest=_areas_of_interest(
            legend, design, references, places, strata=mapped_codes, codes=codes, hectares=hectares
        ),
        not_observed_ha=_ha(facts.not_observed_ha), notes=tuple(notes),
        other_changes=_other_changes(
            pool_small_kinds(legend, design, mapped, reference, occurring=codes, pixel_area=hectares), facts.change_pixels,
            hectares,
        ),
        balances=tuple(
            replace(row, gain_ha=_round(row.gain_ha), loss_ha=_round(row.loss_ha), net_ha=_round(row.net_ha))
            for row in balances_of_land_uses(legend, design, references.before, references.after, pixel_area=hectares)
        ),
        official=tuple(
            _round_matrix(matrix)
            for scheme, crosswalk in (crosswalks or {}).items()
            if (matrix := official_matrix(scheme, crosswalk, design, references, pixel_area=hectares)) is not None
        ),
    )  # fmt: skip


def _strata(legend: Legend, facts: MapFacts) -> tuple[tuple[DrawnStratum, ...], np.ndarray, bool]:
    """Return the strata, the number of that of each judged pixel, and whether it is known how many were drawn."""
    if facts.strata and facts.stratum is not None:
        return facts.strata, facts.stratum, True
    codes = [code for code in range(1, len(facts.change_pixels)) if facts.change_pixels[code] > 0]
    strata = tuple(
        DrawnStratum(
            code, legend.changes[code].name, (code,), probability=None, pixels=int(facts.change_pixels[code]), samples=0,
            expected_changed=0.0,
        )
        for code in codes
    )  # fmt: skip
    return strata, facts.change, False


def _land_use(
    legend: Legend,
    design: Design,
    mapped: np.ndarray | None,
    reference: np.ndarray | None,
    pixels: np.ndarray | None,
    hectares: float,
) -> tuple[tuple[EstimatedClass, ...], list[tuple[str, ClassEstimate]]]:
    if mapped is None or reference is None or pixels is None:
        return (), []
    occurring = [c for c in legend.classes if pixels[c.code] or (reference == c.code).any()]
    found = class_estimates(design, mapped, reference, [c.code for c in occurring], pixel_area=hectares)
    pairs = list(zip(occurring, found, strict=True))
    return tuple(_class_row(c, e, int(pixels[c.code]), hectares) for c, e in pairs), [(c.name, e) for c, e in pairs]


def _class_row(entry: Change | LandUse, found: ClassEstimate, pixels: int, hectares: float) -> EstimatedClass:
    return EstimatedClass(
        code=entry.code, name=entry.name, colour=entry.colour, mapped_ha=_ha(pixels * hectares), area_ha=_round(found.area),
        users_accuracy=_round(found.users_accuracy), producers_accuracy=_round(found.producers_accuracy),
        samples=found.reference_samples, mapped_samples=found.mapped_samples,
    )  # fmt: skip


def _all_changes(
    design: Design, mapped: np.ndarray, reference: np.ndarray, hectares: float
) -> tuple[Interval, Interval, Interval]:
    """Estimate area, user's and producer's accuracy of all changes together."""
    is_mapped, is_so = mapped[:, None] >= CHANGED, reference[:, None] >= CHANGED
    method = method_for(design, is_mapped[:, 0])
    return (
        areas(design, is_so, hectares, method)[0],
        users_accuracies(design, is_mapped, is_so, method)[0],
        producers_accuracies(design, is_mapped, is_so, method)[0],
    )


def _other_changes(found: OtherChanges | None, change_pixels: np.ndarray, hectares: float) -> OtherChanges | None:
    if found is None:
        return None
    return replace(
        found, mapped_ha=_ha(change_pixels[list(found.codes)].sum() * hectares), area_ha=_round(found.area_ha),
        users_accuracy=_round(found.users_accuracy), producers_accuracy=_round(found.producers_accuracy),
    )  # fmt: skip


def _name_intervals(what: str, found: Sequence[ClassEstimate]) -> list[tuple[str, Interval]]:
    return [
        (f"the {of} of {what}", one)
        for estimate in found
        for of, one in zip(_QUANTITIES, (estimate.area, estimate.users_accuracy, estimate.producers_accuracy), strict=True)
    ]


def _transitions(
    legend: Legend, design: Design, references: References, hectares: float
) -> tuple[TransitionMatrix | None, Intensity | None]:
    if references.before is None or references.after is None:
        return None, None
    codes, names = [c.code for c in legend.classes], [c.name for c in legend.classes]
    first, second = (column[:, None] == np.asarray(codes) for column in (references.before, references.after))
    pairs = (first[:, :, None] & second[:, None, :]).reshape(len(first), -1)
    cells = areas(design, pairs, hectares)
    table = np.array([cell.estimate or 0.0 for cell in cells]).reshape(len(codes), len(codes))
    met = pairs.any(axis=0).reshape(table.shape)
    rounded = [_round(cell) for cell in cells]
    rows = tuple(tuple(rounded[start : start + len(codes)]) for start in range(0, len(rounded), len(codes)))
    counts = tuple(map(tuple, pairs.sum(axis=0).reshape(table.shape).tolist()))
    return TransitionMatrix(tuple(codes), tuple(names), rows, counts), intensity_analysis(table, codes, names, met)


def _areas_of_interest(
    legend: Legend,
    design: Design,
    references: References,
    places: AreaFacts | None,
    strata: Sequence[int],
    codes: Sequence[int],
    hectares: float,
) -> tuple[EstimatedArea, ...]:
    if places is None or not places.names:
        return ()
    kinds = [legend.changes[code] for code in codes if code >= CHANGED]
    is_kind = references.change[:, None] == np.array([kind.code for kind in kinds], dtype=np.int64)
    member = np.concatenate([references.change[:, None] >= CHANGED, is_kind], axis=1)
    pixels_inside = places.pixels[:, list(strata)] if places.stratum_pixels is None else places.stratum_pixels
    found = domain_estimates(design, member, places.inside, pixels_inside, pixel_area=hectares)
    return tuple(
        EstimatedArea(
            name=name, total_ha=_ha(pixels.sum() * hectares), not_observed_ha=_ha(pixels[NOT_OBSERVED] * hectares),
            mapped_changed_ha=_ha(pixels[CHANGED:].sum() * hectares), changed_ha=_round(here.areas[0]),
            samples=here.samples, note=here.note, moved=here.moved[0],
            changes=tuple(
                EstimatedPart(kind.code, kind.name, _ha(pixels[kind.code] * hectares), _round(area), moved=moved)
                for kind, area, moved in zip(kinds, here.areas[1:], here.moved[1:], strict=True)
            ),
        )
        for name, pixels, here in zip(places.names, places.pixels, found, strict=True)
    )  # fmt: skip


def _round_matrix(found: OfficialMatrix) -> OfficialMatrix:
    return replace(
        found, area_ha=tuple(tuple(map(_round, row)) for row in found.area_ha), before_ha=tuple(map(_round, found.before_ha)),
        after_ha=tuple(map(_round, found.after_ha)), net_ha=tuple(map(_round, found.net_ha)),
        changed_ha=_round(found.changed_ha),
    )  # fmt: skip


def _round(interval: Interval) -> Interval:
    numbers = {name: getattr(interval, name) for name in ("estimate", "standard_error", "low", "high")}
    return replace(interval, **{name: None if value is None else round(value, _DECIMALS) for name, value in numbers.items()})


def _ha(hectares: float) -> float:
    return round(float(hectares), _DECIMALS)
