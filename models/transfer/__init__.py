"""Features, transferability, overlap, adaptation and domain shift."""
