"""Pairs, images and state of a monitor."""
