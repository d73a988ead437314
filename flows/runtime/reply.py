"""What a verb replies: JSON for machines, and the same as lines for people."""

from landshift.pipeline.records import Json

Reply = tuple[Json, list[str]]
