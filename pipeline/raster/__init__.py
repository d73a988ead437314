"""The one door for rasters: open, read, write, join, statistics."""
