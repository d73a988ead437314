"""Models in use: compared, promoted, rolled back."""
