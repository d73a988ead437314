"""The folder of a run made whole: record, project, page, catalog entry and manifest, all from what lies in it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import write_text
from landshift.pipeline.records import write_record
from landshift.pipeline.run.page.write import page_of
from landshift.pipeline.run.qgis_project import write_project
from landshift.pipeline.run.record import CLASSICAL_SCORE, RunRecord, list_altered_files
from landshift.pipeline.run.stac import write_stac
from landshift.pipeline.run_files import (
    CHANGES,
    COLLECTION,
    ITEM,
    LAYERS_FOLDER,
    PAGE,
    PROBABILITY,
    PROJECT,
    README,
    RECORD_FOLDER,
    RUN,
    RUN_MANIFEST,
    layer_file,
    list_files,
    manifest_of_run,
)

_ON_TOP = {
    "report.html": "This page.",
    README: "What lies here, in ten lines.",
    "map.qgz": "QGIS project: images, changes and maps with their colours, and a layout to print.",
    "changes.gpkg": "Change polygons with from, to, hectares, probability of change and dates, and their style; areas not "
    "observed; your "
    "areas of interest and the judged sample, where there are some.",
}
_LAYERS = {
    "changes.fgb": "The change polygons again, as FlatGeobuf.",
    "changes.parquet": "The change polygons again, as GeoParquet.",
    "changes_shapefile.shp": "The change polygons again, as a Shapefile with short names of columns.",
    "changes.lyrx": "Layer file for ArcGIS Pro: the polygons in their colours; each raster has one of its own. Checked against "
    "Esri's specification, and not tried in ArcGIS itself.",
    "change.tif": "Change map: one code for each change, 0 = not observed, 1 = unchanged; opens styled in QGIS.",
    "change_probability.tif": "Probability that the pixel changed, 0 to 1, mapped as changed or not. It says nothing about "
    "which change (scale 0.005; 255 = not observed).",
    "landuse_before.tif": "Land use before, one code a class; 0 = not observed on one of the dates or on both.",
    "landuse_after.tif": "Land use after, one code a class; 0 = not observed on one of the dates or on both.",
    "last_observed.tif": "Day on which each pixel was last seen, as year, month and day in one number (20230620); 0 = never.",
    "disagreement.tif": "Second opinion: where this map and an IR-MAD map of the same images, made without labels, agree and "
    "where they differ: 1 = both unchanged, 2 = both changed, 3 = only the model, 4 = only IR-MAD, 0 = not observed.",
    "domain_shift.tif": "How far each block lies from the training regions in what the network sees of both dates and of their "
    "difference: above 1 "
    "it looks unlike 95 % of the labelled blocks, and the map deserves less trust.",
    "image_before.tif": "Image before, stretched for the eye (reflectance alike on both dates); not for measuring.",
    "image_after.tif": "Image after, likewise.",
}
_RECORD = {
    "estimates.json": "Areas and accuracies estimated from the judged sample, with 95 % intervals.",
    "estimates.csv": "The same as one table for spreadsheets and scripts: a row an estimate.",
    "estimates_about.csv": "What describes that table: run, sample, methods with citations, how to read the columns, notes.",
    "estimates.md": "A paragraph and tables of the estimates for a report, with the methods' citations.",
    "official.csv": "Land-use matrices of the estimates in classes of the IPCC and the UNCCD: a row an estimate, hectares.",
    "matrix_ipcc.csv": "The same in the form of the IPCC's land-use matrix, with 95 % intervals (kha).",
    "matrix_unccd.csv": "The same in the form of the UNCCD's land-cover transition matrix, with 95 % intervals (km2).",
    "run.json": "Inputs, configuration, versions, checks and areas for machines.",
    "item.json": "STAC item: what lies here, with checksums, for catalogs.",
    "collection.json": "STAC collection that holds the item.",
}
FILES = {
    **_ON_TOP,
    **{layer_file(name): text for name, text in _LAYERS.items()},
    **{f"{RECORD_FOLDER}/{name}": text for name, text in _RECORD.items()},
}
"""What a run can hold, in words, and in the order in which a reader needs it."""

_WITH_PROBABILITIES = (
    CHANGES, *(layer_file(f"changes{end}") for end in (".fgb", ".parquet", "_shapefile.shp")), PROBABILITY,
)  # fmt: skip
_UNCALIBRATED = "The probabilities of change are uncalibrated here: they rank, and are not shares of pixels that changed."


def complete(folder: Path, run: RunRecord, known: Mapping[str, str] | None = None) -> None:
    """Write everything of a run that follows from its maps and layers, and the record of all files.

    It may be called again after something was added, such as estimates; the earlier files are replaced.

    Args:
        folder: With the maps and layers.
        run: What describes it; its `files` are set here.
        known: Hashes of files that were there before, by name, as `file_hash` returned them; others are read for theirs.
    """
    always = {RUN, PAGE, PROJECT, README, ITEM, COLLECTION}
    files = {name: text for name, text in FILES.items() if name in always or (folder / name).is_file()}
    if not run.calibration.is_known:
        files = {name: f"{text} {_UNCALIBRATED}" if name in _WITH_PROBABILITIES else text for name, text in files.items()}
    if run.classical is not None:
        files |= {PROBABILITY: f"{CLASSICAL_SCORE} (Scale 0.005; 255 = not observed.)"}
    content = replace(run, files=files)
    write_record(folder / RUN, content)
    write_project(folder, content)
    write_text(folder / PAGE, page_of(folder))
    write_text(folder / README, _readme(content))
    write_stac(folder, content, known)
    made = [path for path in list_files(folder) if path != folder / RUN_MANIFEST]
    manifest_of_run(folder).record("run", run.key, made, known=known)


def _readme(run: RunRecord) -> str:
    """Return what the folder holds, in ten lines that any editor shows."""
    return (
        f"{run.name}: change of land use from {run.before_date} to {run.after_date}\n"
        f"{' '.join(run.notice.split())}\n"
        f"{PAGE:<13} Start here: opens in any browser, without network.\n"
        f"{PROJECT:<13} The same in QGIS, with all layers in their colours and a page to print.\n"
        f"{CHANGES:<13} The polygons of change, for any GIS.\n"
        f"{f'{LAYERS_FOLDER}/':<13} The maps as GeoTIFF, with their styles: drag them into a GIS.\n"
        f"{f'{RECORD_FOLDER}/':<13} For machines: how it was made (run.json), catalog (STAC), estimates, hashes.\n"
        f"\n"
        f"Keep the folder together; it can be moved anywhere. Hectares counted from the map are biased:\n"
        f"the page shows how good the map is, and estimates with intervals where a sample was judged.\n"
    )


def require_unharmed(folder: Path) -> None:
    """Refuse a run whose description or rasters are no longer those that were recorded.

    Layers and project may differ: QGIS writes into them as soon as it opens them.

    Raises:
        InputError: A file is missing or was changed, or nothing was recorded.
    """
    faults = list_altered_files(folder, everything=False)
    if faults:
        raise InputError(
            f"{folder} is not as it was made ({'; '.join(faults)}), so that a sample of it means nothing: copy the run's "
            f"folder again, or make the run again with `landshift detect` and draw a new sample."
        )
