"""The one door for vector layers: read, write, formats."""
