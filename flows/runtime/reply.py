"""What a verb replies: JSON for machines, and the same as lines for people."""

from typing import Any

Reply = tuple[dict[str, Any], list[str]]
