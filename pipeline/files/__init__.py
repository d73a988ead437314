"""Files while they are made."""
