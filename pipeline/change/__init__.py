"""Probabilities to codes, patches, polygons, areas, areas of interest."""
