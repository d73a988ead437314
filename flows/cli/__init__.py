"""The command line, one group of verbs a file."""
