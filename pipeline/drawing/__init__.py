"""Drawing: symbols, styles, plots, pictures, chips, QGIS files."""
