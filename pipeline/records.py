"""Records to JSON and back: frozen dataclasses, written as they are and checked when they are read."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import write_json

Record = TypeVar("Record")

# Of a dataclass, or of a type made of some; in a name of its own, because mypy takes no class for hashable.
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def content_of(record: object) -> Any:  # noqa: ANN401 (JSON)
    """Return a record as JSON has it: dicts in the order of the fields, lists, numbers, texts and None.

    Args:
        record: A dataclass whose fields are records, collections of them, paths, dates or plain values.
    """
    return _adapter(type(record)).dump_python(record, mode="json")


def record_of(kind: type[Record], content: object, origin: str) -> Record:
    """Return the record that JSON describes.

    Args:
        kind: The dataclass that is expected; keys that it does not have are ignored.
        content: As `content_of` returns it, after a round trip through JSON.
        origin: Where the content comes from, for the error.

    Raises:
        InputError: A field is missing or has another type; the message names the first.
    """
    try:
        found: Record = _adapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the content"
        raise InputError(f"{origin}: {place}: {first['msg']}. It is damaged or of another version: make it again.") from error
    return found


def write_record(path: Path, record: object) -> Path:
    """Write a record as a JSON file, in one atomic step."""
    return write_json(path, content_of(record))


def read_record(path: Path, kind: type[Record]) -> Record:
    """Return the record in a JSON file.

    Raises:
        InputError: The file is missing, is not JSON, or does not describe such a record.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Make it again.") from error
    return record_of(kind, content, str(path))
