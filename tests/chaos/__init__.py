"""Chaos: verbs that are killed, starved and deceived at random moments, and then run once more. See `make chaos`."""
