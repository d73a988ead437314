"""Colours that any reader can tell apart, and patterns where colours do not suffice."""
