"""Records to JSON and back: frozen dataclasses, written as they are and checked when they are read."""

import json
import math
import re
from collections.abc import Callable
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from landshift.pipeline.errors import InputError, describe_fault
from landshift.pipeline.files.opening import read_bytes
from landshift.pipeline.limits import JSON_BYTES, JSON_LEVELS, NUMBER_DIGITS
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


_HALF_A_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


def json_of(text: str | bytes, origin: str, *, nan: bool = False) -> Any:  # noqa: ANN401 (JSON)
    """Return what JSON holds, once nothing in it can surprise what works with it.

    Args:
        text: JSON, as text or as UTF-8.
        origin: Where it comes from, for the error.
        nan: Whether NaN and Infinity may be in it, which JSON does not have and some catalogs write.

    Raises:
        InputError: It is not JSON, has NaN, infinite or endless numbers or halves of characters, or is nested too deep.
    """
    try:
        whole = text if isinstance(text, str) else text.decode("utf-8-sig")
        content = json.loads(whole, parse_int=_whole, parse_float=_finite, parse_constant=float if nan else _finite)
        if _HALF_A_CHARACTER.search(whole):
            # A pair of halves is a character; only a half that is left over cannot be written or printed.
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{origin} is no JSON, or JSON that cannot be used ({error!s:.200}). Copy it again, or make it again."
        ) from error
    _require_shallow(content, origin)
    return content


def _whole(digits: str) -> int:
    if len(digits) > NUMBER_DIGITS:
        raise ValueError(f"the number {digits[:12]}... has {len(digits)} digits, at most {NUMBER_DIGITS} are expected")
    return int(digits)


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text:.40} is no finite number")
    return found


def read_json(path: Path) -> Any:  # noqa: ANN401 (JSON)
    """Return what a JSON file holds; the checks are those of `json_of`.

    Raises:
        InputError: The file is missing, larger than any record, or not such JSON.
    """
    return json_of(read_bytes(path, JSON_BYTES), str(path))


def _require_shallow(content: object, origin: str) -> None:
    level = [content]
    for _ in range(JSON_LEVELS + 1):
        inner = [tuple(c.values()) if isinstance(c, dict) else c for c in level if isinstance(c, dict | list)]
        if not inner:
            return
        level = list(chain.from_iterable(inner))
    raise InputError(f"{origin} is nested more than {JSON_LEVELS} levels deep. It is damaged or made to do harm.")


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
        fault = describe_fault(first["type"], first.get("ctx", {}), first["msg"])
        raise InputError(f"{origin}: {place}: {fault}. It is damaged or of another version: make it again.") from error
    return found


def write_record(path: Path, record: object) -> Path:
    """Write a record as a JSON file, in one atomic step."""
    return write_json(path, content_of(record))


def read_record(path: Path, kind: type[Record]) -> Record:
    """Return the record in a JSON file.

    Raises:
        InputError: The file is missing, is not JSON, or does not describe such a record.
    """
    return record_of(kind, read_json(path), str(path))
