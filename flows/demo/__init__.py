"""The demo: a landscape with known truth, from nothing to a finished map."""
