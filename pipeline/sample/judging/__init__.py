"""Pixels given out to be judged, and their judgements."""
