"""Trained models in use: bundles, inference, cloud masks, energy."""
