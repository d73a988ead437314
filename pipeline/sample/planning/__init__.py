"""How many pixels of which strata are judged, and how far the estimates will then be certain."""
