"""Images and a model to raw maps."""
