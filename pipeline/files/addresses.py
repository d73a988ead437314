"""Addresses in the place of paths."""

import re

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/", re.ASCII)
NO_ADDRESS = (
    "expected a path on this machine, and this is an address; finished runs are copied to object storage by `publish: to:`"
)
"""Of an address in the place of a path, for messages."""


def is_address(text: str) -> bool:
    """Return whether a text is an address, `SCHEME://...`; a path loses one of its slashes as it is read."""
    return bool(_ADDRESS.match(text))
