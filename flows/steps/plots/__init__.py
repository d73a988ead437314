"""Plots: parcels and concessions judged by the run of a project."""
