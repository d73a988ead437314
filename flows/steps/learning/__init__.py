"""Labels to trained candidates."""
