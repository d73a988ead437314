"""The register of changes and its reviews."""
