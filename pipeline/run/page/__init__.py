"""The page of a run: what stands on it, its tables, and what its map draws."""
