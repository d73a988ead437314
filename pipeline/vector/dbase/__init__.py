"""Files of the dBase family: Shapefiles, and tables of rasters for ArcGIS."""
