"""Who is notified of which changes."""
