"""Tables, texts and links on Prefect's pages, where a server keeps them."""

from collections.abc import Sequence
from typing import Any

from landshift.flows.runtime.server import is_watched


def show_table(rows: Sequence[Any], key: str, description: str) -> None:
    """Show rows, each a dict of column to value, as a table."""
    if is_watched():
        from prefect.artifacts import create_table_artifact

        create_table_artifact(list(rows), key=key, description=description)


def show_text(markdown: str, key: str, description: str) -> None:
    """Show a text."""
    if is_watched():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(markdown, key=key, description=description)


def show_link(address: str, key: str, text: str) -> None:
    """Show a link."""
    if is_watched():
        from prefect.artifacts import create_link_artifact

        create_link_artifact(address, key=key, link_text=text)
