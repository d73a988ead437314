"""A known landscape, seen by a made satellite."""
