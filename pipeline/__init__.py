"""Scenes, grids, tiles, labels, change maps and their files: everything that needs neither PyTorch nor Prefect."""
