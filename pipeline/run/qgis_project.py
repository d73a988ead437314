"""The QGIS project of a run: every layer in its place, with its colours and its legend, and a page to print."""

from pathlib import Path

from landshift.pipeline.drawing.qgis_file import Extent, Layer, LayerGroup, QgisProject, write_qgz
from landshift.pipeline.drawing.qml import image_qml, outline_qml, samples_qml, vector_qml
from landshift.pipeline.drawing.symbols import occurring
from landshift.pipeline.legend import NOT_OBSERVED, Legend
from landshift.pipeline.raster.read import inspect
from landshift.pipeline.run.qgis_layout import BIASED, estimates_of, layout
from landshift.pipeline.run.record import RunRecord
from landshift.pipeline.run_files import CHANGE_MAP, CHANGES, PROJECT, layer_file
from landshift.pipeline.vector.catalog import vector_layers
from landshift.pipeline.vector.columns import UNCALIBRATED


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
        abstract=f"Changes of land use between {run.before_date} and {run.after_date}, mapped by Landshift, "
        f"run {run.key}. {BIASED}",
        created=run.created, crs=str(info.crs), extent=extent, entries=tuple(entries),
        layout=layout(run, vectors | rasters, extent, estimates_of(folder, run)),
    )  # fmt: skip
    return write_qgz(folder / PROJECT, project)


_MAPS = (
    "change", "change_probability", "disagreement", "domain_shift", "last_observed", "landuse_after", "landuse_before"
)  # fmt: skip


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
        "not_observed": ("Not observed", vector_qml([legend.changes[NOT_OBSERVED]])),
    }
    found = vector_layers(path)
    return {
        key: Layer(
            key, title, f"./{CHANGES}|layername={key}", found[key].qml or qml, geometry=found[key].geometry,
            # A thousand points would hide the changes that they judge.
            visible=key != "samples", expanded=key != "samples",
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
        style, image = folder / layer_file(f"{key}.qml"), key not in _MAPS
        if (folder / layer_file(f"{key}.tif")).is_file() and (image or style.is_file()):
            qml = image_qml() if image else style.read_text(encoding="utf-8")
            layers[key] = Layer(key, title, f"./{layer_file(f'{key}.tif')}", qml, visible=image)
    return layers
