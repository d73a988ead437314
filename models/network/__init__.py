"""The siamese network and its training."""
