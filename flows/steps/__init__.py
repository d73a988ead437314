"""What the tasks of the flows do."""
