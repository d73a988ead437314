"""Plots: thousands of parcels or concessions, and whether each changed."""
