"""The command line, the configuration and the Prefect flows."""
