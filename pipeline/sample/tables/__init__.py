"""Estimates as tables and texts: for spreadsheets, for reports, in official forms."""
