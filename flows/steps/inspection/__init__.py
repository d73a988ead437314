"""Answers before any long work: init, check, scenes."""
