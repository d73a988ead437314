"""How things look: symbols, styles, plots, pictures, chips, QGIS files."""
