"""How steps are run: tasks, compute, limits, servers, workers, progress."""
