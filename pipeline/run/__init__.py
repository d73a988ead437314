"""The published folder of a run: rasters, record, STAC, QGIS project."""
