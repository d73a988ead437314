"""Trees and lines on the features of single pixels: what few labels are enough for."""
