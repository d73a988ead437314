"""Records to JSON and back: frozen dataclasses, written as they are and checked when they are read."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import write_json

Record = TypeVar("Record")

Json = dict[str, Any]
"""A JSON object, at a border."""


def _numbers(values: object) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "iuf":
        raise ValueError("expected numbers")
    return found.astype(np.float64)


Numbers = Annotated[np.ndarray, PlainValidator(_numbers), PlainSerializer(np.ndarray.tolist)]
"""Type of a field that is a float64 array in the record and nested lists in JSON."""

Array = Any
"""A NumPy array, or a PyTorch tensor wherever it lies: what is computed of it is computed there."""

# Of a dataclass, or of a type made of some; in a name of its own, because mypy takes no class for hashable.
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def _is_none(value: object) -> bool:
    return value is None


IfAny = Annotated[Record | None, Field(exclude_if=_is_none)]
"""Type of a field whose key is absent from the JSON where the field is None; give it None as its default."""


def content_of(record: object) -> Any:  # noqa: ANN401 (JSON)
    """Return a record as JSON has it: dicts in the order of the fields, lists, numbers, texts and None.

    Args:
        record: A dataclass whose fields are records, collections of them, paths, dates or plain values.
    """
    return _adapter(type(record)).dump_python(record, mode="json", by_alias=True)


def record_of(kind: type[Record], content: object, origin: str, *, exact: bool = False) -> Record:
    """Return the record that JSON describes.

    Args:
        kind: The dataclass that is expected.
        content: As `content_of` returns it, after a round trip through JSON.
        origin: Where the content comes from, for the error.
        exact: Refuse keys that the record does not have, and numbers written as text, instead of ignoring and converting them.

    Raises:
        InputError: A field is missing or has another type; the message names the first.
    """
    adapter = _adapter(kind)
    try:
        found: Record
        if exact:
            found = adapter.validate_json(json.dumps(content), strict=True, extra="forbid")
        else:
            found = adapter.validate_python(content)
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
