"""Where a register is kept: a GeoPackage, or a schema of PostGIS."""
