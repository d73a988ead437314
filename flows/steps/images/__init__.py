"""Images of both epochs: prepared, masked, aligned, checked."""
