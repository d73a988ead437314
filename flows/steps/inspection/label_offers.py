"""Proposals for the labels of a config: layers and rasters, their columns, values and classes."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from landshift.flows.steps.inspection.folder import FolderContent
from landshift.flows.steps.inspection.proposing import Content, Draft
from landshift.pipeline.errors import InputError
from landshift.pipeline.grid import crs_name
from landshift.pipeline.labels.columns import (
    ClassColumn,
    LayerOffer,
    RasterOffer,
    date_columns,
    offer_of_layers,
    offer_of_raster,
)
from landshift.pipeline.legend import MAX_CLASSES
from landshift.pipeline.raster.read import inspect

_COLOURS = {
    "#2f6b3c": ("forest", "wood", "tree", "wald", "bosque", "foret"), "#ead27a": ("crop", "field", "agri", "farm", "arable"),
    "#c4281b": ("built", "urban", "settlement", "artificial", "city", "house"), "#3b7dc4": ("water", "lake", "river", "sea"),
    "#a6c84c": ("grass", "pasture", "meadow"), "#8f8f3f": ("shrub", "bush", "scrub"),
    "#c8a47a": ("bare", "soil", "sand", "rock"), "#6fb7a8": ("wetland", "marsh", "mangrove", "swamp"),
    "#e3eef5": ("snow", "ice", "glacier"),
}  # fmt: skip
"""Colours that planners know, by words in the names of classes; the palette of the legend fills in others."""
_LABEL = re.compile(r"label|truth|reference|lulc|land_?use|land_?cover|class|chang|mask")
"""What rasters of labels are called, whatever they hold."""
_NO_LABEL = re.compile(
    r"cloud|udm|(?<![a-z])(?:dem|dsm|dtm|slope|aspect|hillshade|ndvi|evi|savi|ndwi|ndbi|nbr|qa|scl|fmask)(?![a-z])"
)
"""Heights, indices and masks of quality, which lie beside images."""
_OF_CHANGE = {0, 1, 2, 255}
"""Values that masks of change have: 0 and 1, 1 and 2, 0 and 255."""


def propose_labels(draft: Draft, content: FolderContent) -> None:
    """Write the labels section and the legend from the layers and rasters of a folder."""
    offers = [offer for path in content.layers for offer in _layers(draft, path)]
    usable = [o for o in offers if o.of_polygons and (o.dates or o.changes or o.columns)]
    pair = _find_pair(usable)
    if pair is not None:
        draft.questions.append(_describe_pair(content.folder, *pair))
        return
    if usable:
        best = max(usable, key=lambda o: (bool(o.dates), bool(o.changes), o.features))
        _propose_layer(draft, content.folder, best, _crs_of_scenes(content) if best.crs is None else None)
        others = list(dict.fromkeys(o.path.name for o in usable if o.path != best.path))
        if others:
            draft.questions.append(f"labels: {best.path.name} was taken; {_some(others)} could be labels too")
        return
    rasters = [made for f in content.label_rasters if (made := _raster(draft, Path(str(f.place)))) is not None and _fits(made)]
    if rasters:
        _propose_raster(draft, content.folder, rasters)
        return
    draft.questions.append(
        "labels: none were found; without them `landshift detect --method ir-mad` maps the changes, and training needs "
        "polygons or rasters"
    )


def label_years(content: FolderContent) -> tuple[int, int] | None:
    """Return the years that the columns of the labels are called after; None without any."""
    offers: list[LayerOffer] = []
    for path in content.layers:
        with suppress(InputError):
            offers += [o for o in offer_of_layers(path) if o.of_polygons]
    found = next((o.dates[0].years for o in offers if o.dates and o.dates[0].years is not None), None)
    pair = _find_pair(offers)
    return found if pair is None else _years_of(*pair)


def _layers(draft: Draft, path: Path) -> Sequence[LayerOffer]:
    try:
        return offer_of_layers(path)
    except InputError as error:
        draft.questions.append(f"labels: {error}")
        return ()


def _fits(offer: RasterOffer) -> bool:
    """Return whether a raster can be labels, by its name and by what it holds."""
    stem = offer.path.stem.casefold()
    if _NO_LABEL.search(stem) and not re.search("label|truth", stem):
        return False
    return bool(offer.counts) or _LABEL.search(stem) is not None


def _raster(draft: Draft, path: Path) -> RasterOffer | None:
    try:
        return offer_of_raster(path)
    except InputError as error:
        draft.questions.append(f"labels: {error}")
        return None


@dataclass(frozen=True)
class _OneDate:
    """A layer that holds the classes of one date."""

    offer: LayerOffer
    """The layer."""
    column: ClassColumn
    """With the classes."""
    time: int | None
    """Year, or 0 or 2 by words of time, in the name of the column or else of the layer; None without any."""


def _find_pair(offers: Sequence[LayerOffer]) -> tuple[_OneDate, _OneDate] | None:
    """Return two layers that hold one date each, the earlier one first; None where a layer holds both dates, or the change."""
    if any(o.dates or o.changes for o in offers):
        return None
    parts = [_OneDate(o, c, _time_of(o, c)) for o in offers for c in o.columns if _is_class(o, c)]
    found: list[tuple[tuple[int, int], tuple[_OneDate, _OneDate]]] = []
    for one, other in combinations(parts, 2):
        shared = len({v.value for v in one.column.counts} & {v.value for v in other.column.counts})
        if one.offer == other.offer or not shared:
            continue
        of_names = date_columns((one.column, other.column))
        if of_names:
            found.append(((2, shared), (one, other) if of_names[0].before == one.column.name else (other, one)))
        elif one.time is not None and other.time is not None and one.time != other.time and (one.time > 2) == (other.time > 2):
            found.append(((int(one.column.name == other.column.name), shared), _in_order(one, other)))
    return max(found, key=lambda entry: entry[0])[1] if found else None


def _is_class(offer: LayerOffer, column: ClassColumn) -> bool:
    """Return whether a column can be classes, and neither roles nor numbers that each feature has its own of."""
    return column not in offer.splits and len(column.counts) < max(offer.features, 2)


def _in_order(one: _OneDate, other: _OneDate) -> tuple[_OneDate, _OneDate]:
    return (one, other) if (one.time or 0) < (other.time or 0) else (other, one)


def _time_of(offer: LayerOffer, column: ClassColumn) -> int | None:
    """Return the year, 0 = before or 2 = after that the name of a column, or else of its layer or file, holds."""
    return next((t for name in (column.name, offer.layer, offer.path.stem) if (t := _order(name)) != 1), None)


def _years_of(before: _OneDate, after: _OneDate) -> tuple[int, int] | None:
    """Return the years of two layers, where their names hold them."""
    of_names = date_columns((before.column, after.column))
    if of_names and of_names[0].years is not None:
        return of_names[0].years
    times = before.time or 0, after.time or 0
    return times if min(times) > 2 else None


def _describe_pair(folder: Path, before: _OneDate, after: _OneDate) -> str:
    """Write which layers hold one date each, and the line that joins them."""
    reads, names = [], []
    for part, date in ((before, "before"), (after, "after")):
        layer = f", layer={part.offer.layer!r}" if part.offer.layers > 1 else ""
        place = part.offer.path.relative_to(folder).as_posix()
        names.append(f"{place}{f', layer {part.offer.layer},' if layer else ''} ({part.column.name})")
        rename = f".rename(columns={{{part.column.name!r}: {date!r}}})[[{date!r}, 'geometry']]"
        reads.append(f"g.read_file({place!r}{layer}){rename}")
    to = ".to_crs(a.crs)" if before.offer.crs is not None and after.offer.crs is not None else ""
    return (
        f"labels: {names[0]} and {names[1]} hold one date each; one layer has to hold both. Join them, in the folder "
        f'{folder}: `python -c "import geopandas as g; a = {reads[0]}; b = {reads[1]}{to}; '
        f"g.overlay(a, b, how='union').to_file('labels_joined.gpkg')\"`, or in QGIS: Vector, Geoprocessing Tools, Union. Then "
        f"remove this config and run `landshift init` again, or write `labels: polygons:` with `path`, `before_column` and "
        f"`after_column`."
    )


def _crs_of_scenes(content: FolderContent) -> str | None:
    """Return the CRS of the first image that names one; None without any."""
    for file in (*(f.file for f in content.products), *(f.file for f in content.files)):
        with suppress(InputError):
            return crs_name(inspect(file.place).grid.crs)
    return None


def _propose_crs(draft: Draft, polygons: Content, offer: LayerOffer, crs: str | None) -> None:
    """Write a CRS for a layer without one: degrees by its numbers, or that of the scenes."""
    why = "the numbers look like degrees" if offer.in_degrees else "that of the scenes"
    proposed = "EPSG:4326" if offer.in_degrees else crs
    if proposed is None or not proposed.startswith("EPSG:"):
        draft.questions.append(f"labels: {offer.path.name} has no CRS; write it into the file (`ogr2ogr -a_srs EPSG:CODE`)")
        return
    polygons["crs"] = proposed
    draft.decide("labels.polygons.crs", f"{offer.path.name} has no CRS; here {why}, `EPSG:CODE` if it was drawn in another")


def _propose_layer(draft: Draft, folder: Path, offer: LayerOffer, crs: str | None) -> None:
    polygons: Content = {"path": offer.path.relative_to(folder).as_posix()}
    draft.content["labels"] = {"polygons": polygons}
    if offer.layers > 1:
        polygons["layer"] = offer.layer
    if offer.encodings:
        polygons["encoding"] = offer.encodings[0].name
        draft.decide("labels.polygons.encoding", f"names in it are no UTF-8; {offer.encodings[0].name} fits")
    if offer.crs is None:
        _propose_crs(draft, polygons, offer, crs)
    if offer.splits:
        draft.content["split"] = {"by": "column", "column": offer.splits[0].name}
        draft.comments["split"] = "as the labels come divided; without this section, blocks divide them"
    if offer.dates:
        pair = offer.dates[0]
        polygons["before_column"], polygons["after_column"] = pair.before, pair.after
        columns = [c for c in offer.columns if c.name in (pair.before, pair.after)]
        if (pair.before, pair.after) != ("before", "after") and len(offer.dates) > 1:
            draft.decide("labels.polygons.before_column", f"{len(offer.dates)} pairs of columns could be the two dates")
        _propose_legend(draft, polygons, columns)
    elif offer.changes:
        polygons["change_column"] = offer.changes[0].name
    else:
        names = [c.name for c in offer.columns if c not in offer.splits] or [offer.columns[0].name]
        if len(names) > 1:
            polygons["before_column"], polygons["after_column"] = names[:2]
            draft.decide("labels.polygons.before_column", f"which columns hold the classes of both dates: {', '.join(names)}")
        else:
            is_before = names[0] == "before" or _time_of(offer, offer.columns[0]) == 0
            key = "before_column" if is_before else "after_column"
            polygons[key] = names[0]
            draft.decide(
                f"labels.polygons.{key}",
                "the layer has one column of classes: of which date (`before_column`, `after_column`)? Change needs both",
            )
        _propose_legend(draft, polygons, [c for c in offer.columns if c.name in names[:2]])


def _propose_legend(draft: Draft, polygons: Content, columns: Iterable[ClassColumn]) -> None:
    """Write the classes in the columns, and which value is which class where the values are no codes of a legend."""
    columns = list(columns)
    values = list(dict.fromkeys(v.value for c in columns for v in c.counts))
    pairs = [pair for c in columns for pair in c.alike]
    if pairs:
        draft.questions.append(
            f"labels: {pairs[0][0]!r} and {pairs[0][1]!r} differ in capitals or spaces alone; are they one class?"
        )
    numbers = [v for v in values if isinstance(v, int)]
    if len(values) > MAX_CLASSES:
        draft.questions.append(
            f"legend: the columns hold {len(values)} values ({', '.join(map(str, values[:8]))}); a legend has at most "
            f"{MAX_CLASSES} classes: write them, and the class of each value in `labels: polygons: values: {{211: 1, 212: 1}}`"
        )
        return
    if numbers and not all(isinstance(v, int) and 1 <= v <= MAX_CLASSES for v in values):
        order = sorted(values, key=lambda v: (isinstance(v, str), v if isinstance(v, int) else 0, str(v)))
        draft.content["legend"] = [
            {"code": code, "name": f"class {v}" if isinstance(v, int) else v} for code, v in enumerate(order, start=1)
        ]
        polygons["values"] = {v: code for code, v in enumerate(order, start=1)}
        draft.comments["labels.polygons.values"] = "value in the file: code in the legend, or `not labelled`"
        draft.decide("legend", "the labels hold numbers; write what each class is called")
        return
    if numbers:
        draft.content["legend"] = [{"code": v, "name": f"class {v}"} for v in sorted(numbers)]
        draft.decide("legend", "the labels hold numbers; write what each class is called")
        return
    used: set[str] = set()
    draft.content["legend"] = []
    for code, name in enumerate((str(v) for v in values), start=1):
        natural = next((c for c, words in _COLOURS.items() if any(w in name.casefold() for w in words) and c not in used), None)
        used |= {natural} if natural else set()
        draft.content["legend"].append({"code": code, "name": name, **({"colour": natural} if natural else {})})


def _propose_raster(draft: Draft, folder: Path, offers: Sequence[RasterOffer]) -> None:
    usable = [o for o in offers if o.counts]
    classes = [o for o in usable if not {c.value for c in o.counts} <= _OF_CHANGE]
    rasters: Content = {}
    draft.content["labels"] = {"rasters": rasters}
    if not usable:
        rasters["change"] = offers[0].path.relative_to(folder).as_posix()
        rasters["values"] = {0: "not labelled", 1: "unchanged", 2: "changed"}
        draft.decide("labels.rasters.values", f"{offers[0].path.name} holds {offers[0].facts}, whose values are no classes")
        return
    if len(classes) < len(usable):
        chosen = [next(o for o in usable if o not in classes)]
        rasters["change"] = chosen[0].path.relative_to(folder).as_posix()
    else:
        # By year or by words of time in their names, which sort the right way more often than not; it is asked about.
        chosen = sorted(classes, key=lambda o: (_order(o.path.stem), o.path.name))[:2]
        for date, offer in zip(("before", "after") if len(chosen) > 1 else ("after",), chosen, strict=True):
            rasters[date] = offer.path.relative_to(folder).as_posix()
    values = sorted({c.value for o in chosen for c in o.counts}, key=lambda value: str(value).zfill(8))
    numbers = {value: sum(c.count for o in chosen for c in o.counts if c.value == value) for value in values}
    counts = ", ".join(f"{value}: {numbers[value]:,}" for value in values[:8])
    if "change" in rasters:
        rasters["values"] = {value: _meaning(value, values) for value in values}
        draft.decide("labels.rasters.values", f"what each value means; pixels: {counts}")
    elif len(values) > MAX_CLASSES:
        rasters["values"] = dict.fromkeys(values, "not labelled")
        draft.decide(
            "labels.rasters.values", f"{len(values)} values; name at most {MAX_CLASSES} classes, here and in `legend:`"
        )
    else:
        used = [value for value in values if value not in (0, 255)]
        draft.content["legend"] = [
            {"code": code, "name": f"class {value}", **({"colour": value} if isinstance(value, str) else {})}
            for code, value in enumerate(used, start=1)
        ]
        rasters["values"] = {value: f"class {value}" if value in used else "not labelled" for value in values}
        draft.decide("legend", f"what each class is called; pixels: {counts}")
    if len(offers) > len(chosen):
        others = [o.path.name for o in offers if o not in chosen]
        draft.questions.append(f"labels: {_some([o.path.name for o in chosen])} was taken; {_some(others)} could be labels too")
    if len(chosen) == 1 and "change" not in rasters:
        draft.decide(
            "labels.rasters.after", "which date the classes are of, `labels: rasters: before:` or `after:`; change needs both"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _order(stem: str) -> int:
    """Return what sorts names by the year or the word of time in them."""
    year = re.search(r"(?:19|20)\d{2}", stem)
    if year:
        return int(year.group())
    words = ((0, r"before|(?<![a-z])(?:pre|old|t1|a)(?![a-z])"), (2, r"after|(?<![a-z])(?:post|new|t2|b)(?![a-z])"))
    return next((rank for rank, pattern in words if re.search(pattern, stem, re.IGNORECASE)), 1)


def _meaning(value: str | int, values: Sequence[str | int]) -> str:
    """Return a first guess, which is always asked about."""
    numbers = [v for v in values if isinstance(v, int)]
    if numbers != list(values):
        return "not labelled"
    if max(numbers) == 2:
        return {0: "not labelled", 1: "unchanged", 2: "changed"}[int(value)]
    if value == max(numbers) == 255 and {0, 1} <= set(numbers):
        return "not labelled"
    return "changed" if value == max(v for v in numbers if v != 255 or len(numbers) == 2) else "unchanged"
