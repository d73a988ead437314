"""Hectares from judged pixels: design, points, form, estimators, table."""
