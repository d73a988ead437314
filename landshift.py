"""Landshift in Python: `landshift.open_run("runs/demo/run")` reads what a run found."""

from pipeline.results import Run, open_run

__all__ = ["Run", "open_run"]
