"""Scenes of STAC catalogs."""
