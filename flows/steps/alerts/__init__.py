"""Alerts sent to subscribers."""
