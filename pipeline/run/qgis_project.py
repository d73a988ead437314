"""The QGIS project of a run: every layer in its place, with its colours and its legend, and a page to print."""

from collections.abc import Mapping
from pathlib import Path

from landshift.pipeline.drawing.qgis_file import Extent, Layer, LayerGroup, QgisProject, Theme, write_qgz
from landshift.pipeline.drawing.qml import image_qml, outline_qml, samples_qml, vector_qml
from landshift.pipeline.drawing.symbols import occurring
from landshift.pipeline.legend import NOT_OBSERVED, Legend
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.run.qgis_layout import BIASED, estimates_of, layout
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.run_files import CHANGE_MAP, CHANGES, PROJECT, layer_file
from landshift.pipeline.vector.catalog import vector_layers
from landshift.pipeline.vector.columns import UNCALIBRATED, KnownHere, change_columns
from landshift.pipeline.vector.write import changes_qml


def write_project(folder: Path, run: RunRecord) -> Path:
    """Write `map.qgz`, which shows what a run's folder holds; every path in it is relative, so the folder can be moved.

    Args:
        folder: Of the run, with its maps and layers.
        run: What describes it.

    Returns:
        The project file.

    Raises:
        InputError: A file of the run is damaged.
        OSError: The project could not be written.
    """
    info = inspect(folder / CHANGE_MAP)
    box = info.grid.boundingbox
    extent: Extent = (box.left, box.bottom, box.right, box.top)
    vectors, rasters = _vectors(folder, run), _rasters(folder, run)
    maps = tuple(rasters[key] for key in _MAPS if key in rasters)
    images = (rasters[key] for key in ("image_after", "image_before") if key in rasters)
    entries: list[Layer | LayerGroup] = [*vectors.values()]
    if maps:
        entries.append(LayerGroup("Maps", maps))
    entries += images
    dates = f"{run.before_date} to {run.after_date}"
    project = QgisProject(
        key=run.key, title=f"{run.name}: change of land use, {dates}",
        abstract=f"{run.notice} Changes of land use between {run.before_date} and {run.after_date}, mapped by Landshift, "
        f"run {run.key}. {BIASED}".strip(),
        created=run.created, crs=str(info.crs), extent=extent, entries=tuple(entries),
        themes=_themes(vectors | rasters),
        layout=layout(run, vectors | rasters, extent, estimates_of(folder, run), crs=str(info.crs)),
    )  # fmt: skip
    return write_qgz(folder / PROJECT, project)


_MAPS = (
    "change", "change_probability", "disagreement", "domain_shift", "last_observed", "landuse_after", "landuse_before"
)  # fmt: skip


_ABSTRACTS = {
    "samples": "Pixels drawn at random and judged, with the interpreter where recorded; the estimates rest on them.",
    "areas_of_interest": "Areas of the user, with hectares within the map by pixel count (biased), and with intervals after an "
    "estimate.",
    "changes": "A polygon for each patch of change: from, to, hectares by pixel count (biased), probability of change, dates.",
    "labels": "Where labels of the model lay in these very images: those that it learnt from, and those that it was tested on.",
    "not_observed": "Not observed on one of the dates or on both; what happened there is unknown.",
}  # fmt: skip
"""What the layers of `changes.gpkg` are, in their metadata."""
_ASKED_FOR = ("samples", "labels")
"""Layers that are drawn only once they are asked for."""
_BY_CHANGE, _BY_AFTER, _OUTLINES = "By change", "By land use after", "Outlines"
"""Styles of the changes."""
_TRUST = {
    "disagreement": "Trust: agreement with IR-MAD", "domain_shift": "Trust: unlike the training",
    "change_probability": "Trust: probability of change",
}  # fmt: skip


def _themes(layers: Mapping[str, Layer]) -> tuple[Theme, ...]:
    """Choose what can be looked at with one click: the changes, both dates, and how far to trust the map."""
    styles = {name for name, _ in layers["changes"].further_styles} if "changes" in layers else set()
    wanted: list[tuple[str, str, tuple[str, ...]]] = [("Changes", _BY_CHANGE, ("not_observed", "image_after"))]
    if _BY_AFTER in styles:
        wanted.append((_BY_AFTER, _BY_AFTER, ("not_observed", "image_after")))
    wanted += [(f"Image {epoch}", _OUTLINES, (f"image_{epoch}",)) for epoch in ("before", "after")]
    wanted += [(title, _OUTLINES, (key,)) for key, title in _TRUST.items() if key in layers]
    if "labels" in layers:
        wanted.append(("Trust: labels of the model", _OUTLINES, ("labels", "image_after")))
    return tuple(
        Theme(name, tuple(
            (layers[key], style if key == "changes" else layers[key].style_name)
            for key in ("areas_of_interest", "changes", *below) if key in layers
        ))
        for name, style, below in wanted
    )  # fmt: skip


def _further_styles(run: RunRecord) -> tuple[tuple[str, str], ...]:
    """Return the styles of the changes besides the first: by land use after, where there are classes, and as outlines."""
    legend = Legend(run.legend)
    columns = change_columns(KnownHere(run.calibration.is_known, run.model is None or run.model.tested_here))
    listed = occurring(legend.changes, (row.code for row in run.areas.changes))[1:]
    outlines = (_OUTLINES, changes_qml(listed, columns, filled=False))
    if legend.binary:
        return (outlines,)
    became = {row.to_code for row in run.areas.changes}
    after = [entry for entry in legend.classes if entry.code in became]
    return ((_BY_AFTER, changes_qml(after, columns, "to_code")), outlines)


def _vectors(folder: Path, run: RunRecord) -> dict[str, Layer]:
    """Layers of `changes.gpkg`, from top to bottom; those without features are left out, the changes apart."""
    path = folder / CHANGES
    if not path.is_file():
        return {}
    legend = Legend(run.legend)
    listed = occurring(legend.changes, (row.code for row in run.areas.changes))[1:]
    known = {
        "samples": ("Judged samples", samples_qml()),
        "areas_of_interest": ("Areas of interest", outline_qml()),
        "changes": (f"Changes {run.before_date} to {run.after_date}", vector_qml(listed)),
        "labels": ("Labels of the model", outline_qml()),
        "not_observed": ("Not observed", vector_qml([legend.changes[NOT_OBSERVED]])),
    }
    found = vector_layers(path)
    return {
        key: Layer(
            key, title, f"./{CHANGES}|layername={key}", found[key].qml or qml, geometry=found[key].geometry,
            abstract=_ABSTRACTS[key], style_name=_BY_CHANGE if key == "changes" else "default",
            further_styles=_further_styles(run) if key == "changes" else (),
            # A thousand points would hide the changes that they judge.
            visible=key not in _ASKED_FOR, expanded=key not in _ASKED_FOR,
        )
        for key, (title, qml) in known.items()
        if key in found and (key == "changes" or not found[key].empty)
    }  # fmt: skip


def _rasters(folder: Path, run: RunRecord) -> dict[str, Layer]:
    """Rasters of the folder by their names; the images are drawn, the maps wait for a click."""
    before, after = run.before_date, run.after_date
    probability = "Probability of change" + ("" if run.calibration.is_known else f" ({UNCALIBRATED})")
    if run.classical is not None:
        probability = "Score in place of a probability of change"
    titles = {
        "change": "Change map", "change_probability": probability, "disagreement": "Agreement with IR-MAD",
        "domain_shift": "Distance from the training regions",
        "last_observed": "Last observed on", "landuse_after": f"Land use {after}", "landuse_before": f"Land use {before}",
        "image_after": f"Image after, {after}", "image_before": f"Image before, {before}",
    }  # fmt: skip
    layers = {}
    for key, title in titles.items():
        file = layer_file(f"{key}.tif")
        style, image = folder / layer_file(f"{key}.qml"), key not in _MAPS
        if (folder / file).is_file() and (image or style.is_file()):
            qml = image_qml() if image else style.read_text(encoding="utf-8")
            layers[key] = Layer(key, title, f"./{file}", qml, visible=image, abstract=run.files.get(file, title))
    return layers
