"""Runs on a Prefect server: how they are made of functions, how they end, and which of them give up."""
