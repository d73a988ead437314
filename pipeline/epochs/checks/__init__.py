"""Faults that the pixels of two dates show before any model sees them: levels, clouds, stripes and season."""
