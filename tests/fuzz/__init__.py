"""Damaged input, made by numbers: every target in child processes, with limits on time and memory."""
