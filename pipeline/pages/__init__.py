"""Pages and cards for people: a run, an assessment, a model."""
