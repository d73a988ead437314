"""Scenes to one image a date: compositing, cloud masks, alignment, radiometry, classical change."""
