"""What is wrong with a config, in our words: where, what was expected, what was found, and the nearest right key or word."""

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from landshift.pipeline.errors import describe_fault
from landshift.pipeline.limits import CONFIG_FAULTS

Schema = Mapping[str, Any]
"""A JSON schema, or a part of one."""
_ITEMS = {
    "legend": "class", "rules": "rule", "channels": "channel", "bands": "band", "seeds": "seed", "fractions": "share",
    "bounds": "edge", "priors": "prior", "controls": "control", "collections": "collection",
}  # fmt: skip
"""Key of a list to what one of its items is called."""
_EXPECTED = "expected "
_NAME_SHOWN = 40
"""Letters of an item's name."""
_LIKE = 0.5
"""How alike two keys or words have to be, 0..1, for one to be proposed for the other."""
_UNQUOTED = (int, float, bool)
"""What YAML makes of a text without quotes."""


def list_faults(error: ValidationError, content: object, schema: Schema) -> list[str]:
    """Write every fault once, the first of very many.

    Args:
        error: What the validation raised.
        content: What was validated.
        schema: The JSON schema of the config.
    """
    grouped: dict[tuple[int | str, ...], list[Any]] = {}
    for fault in error.errors(include_url=False)[:CONFIG_FAULTS]:
        # The branches of a union fail one by one, at the same place.
        grouped.setdefault(_keys_of(fault, content), []).append(fault)
    listed = [f"  {_describe(keys, faults, content, schema=schema)}" for keys, faults in grouped.items()]
    more = error.error_count() - CONFIG_FAULTS
    return [*listed, f"  and {more:,} more"] if more > 0 else listed


def head_of(error: ValidationError, listed: Sequence[str]) -> str:
    """Return how many faults there are."""
    count = error.error_count() if error.error_count() > CONFIG_FAULTS else len(listed)
    return f"{count:,} fault{'' if count == 1 else 's'}"


def _keys_of(fault: Any, content: object) -> tuple[int | str, ...]:  # noqa: ANN401 (pydantic's ErrorDetails)
    """Return the location of a fault as the config has it, without the names of branches of a union."""
    keys: list[int | str] = []
    node: Any = content
    last = len(fault["loc"]) - 1
    for index, part in enumerate(fault["loc"]):
        if _holds(node, part):
            node = node[part]
        elif not (index == last and fault["type"] == "missing"):
            continue
        keys.append(part)
    return tuple(keys)


def _holds(node: object, part: int | str) -> bool:
    """Return whether a list or a section has such an item."""
    if isinstance(node, list | tuple):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node


def _describe(keys: tuple[int | str, ...], faults: Sequence[Any], content: object, *, schema: Schema) -> str:
    where, first = _place(keys, content), faults[0]
    if first["type"] == "extra_forbidden":
        known = list(_properties_at(first["loc"][:-1], schema))
        near = difflib.get_close_matches(str(keys[-1]), known, n=1, cutoff=_LIKE)
        hint = f"Did you mean `{near[0]}`?" if near else f"Expected one of {', '.join(sorted(known))}."
        return f"{where}: this key is not known. {hint}"
    sentences = list(dict.fromkeys(describe_fault(f["type"], f.get("ctx", {}), str(f["msg"])) for f in faults))
    expected = [s.removeprefix(_EXPECTED) for s in sentences if s.startswith(_EXPECTED)]
    text = "; ".join(
        [*([_EXPECTED + " or ".join(expected)] if expected else []), *(s for s in sentences if _EXPECTED not in s[:9])]
    )
    if first["type"] == "missing":
        meaning = str(_properties_at(first["loc"][:-1], schema).get(str(keys[-1]), {}).get("description", ""))
        return f"{where}: {text}{_shorten(meaning)}"
    return f"{where}: {text}{_show_found(keys, first)}{_hint(faults, first['input'])}"


def _place(keys: tuple[int | str, ...], content: object) -> str:
    """Return a location for people: items of a list are counted from 1, and named where they have a name."""
    parts: list[str] = []
    node, key = content, ""
    for part in keys:
        if isinstance(node, list | tuple) and isinstance(part, int):
            # An item that is missing has no place of its own yet.
            node = node[part] if part < len(node) else None
            name = node.get("name") if isinstance(node, dict) else None
            called = " ".join(name.split()) if isinstance(name, str) else ""
            parts.append(f"{_ITEMS.get(key, 'item')} {part + 1}{f' ({called[:_NAME_SHOWN]})' if called else ''}")
        else:
            node = node.get(part) if isinstance(node, dict) else None
            key = str(part)
            parts.append(key)
    return ": ".join(parts) or "config"


def _show_found(keys: tuple[int | str, ...], fault: Any) -> str:  # noqa: ANN401 (as above)
    # The message about a whole section names its fault; an address may hold a token.
    value = fault["input"]
    whole = fault["type"] in ("missing", "address") or isinstance(value, dict)
    # Where a secret is most likely to be put by mistake, what was found is not shown.
    secret = "://" in str(value) or (bool(keys) and str(keys[-1]).endswith(("_env", "url")))
    return "" if whole or secret else f" (found {'nothing' if value is None else reprlib.repr(value)})"


def _hint(faults: Sequence[Any], value: object) -> str:
    """Return what may have been meant, in a sentence of its own."""
    kinds = {fault["type"] for fault in faults}
    if "string_type" in kinds and isinstance(value, _UNQUOTED):
        return "; put it in quotes"
    words = [word for f in faults if f["type"] == "literal_error" for word in str(f["ctx"]["expected"]).split("'")[1::2]]
    near = difflib.get_close_matches(str(value), words, n=1, cutoff=_LIKE)
    return f". Did you mean `{near[0]}`?" if near else ""


def _shorten(meaning: str) -> str:
    """Return the first sentence of what a key means, behind the fault."""
    first = meaning.replace("\n", " ").partition(". ")[0].rstrip(".")
    return f" ({first[:1].lower()}{first[1:]})" if first else ""


def _properties_at(location: tuple[int | str, ...], schema: Schema) -> Schema:
    """Follow a location through the schema and return the keys that are allowed there, with what they are."""
    node: Schema = schema
    for part in location:
        chosen = node.get("discriminator", {}).get("mapping", {}).get(part)
        inner = {"$ref": chosen} if chosen else node.get("properties", {}).get(part, {})
        node = node.get("items", node) if isinstance(part, int) else inner
        options = [*node.get("anyOf", []), *node.get("allOf", []), node]
        for option in options:
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rpartition("/")[2]]
            elif "items" in option and "$ref" in option["items"]:
                node = {"items": schema["$defs"][option["items"]["$ref"].rpartition("/")[2]]}
    found: Schema = node.get("properties", {})
    return found
