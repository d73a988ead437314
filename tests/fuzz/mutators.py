"""Ways to damage the bytes of a file; each is a function of a random number generator and the bytes alone."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import yaml

Mutator = Callable[[Random, bytes], bytes]
"""Returns damaged bytes; the same for the same state of the generator."""

_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63, 2**64, -(2**31))
_FLOATS = ("1e308", "-1e308", "1e-308", "NaN", "Infinity", "-Infinity", "1e400", "0.1", "-0.0", "1e12", "1e-9")
_TEXTS = (
    "", " ", "x" * 5000, "\x00", "\n", "\u202e", "\x07", "../../../etc/passwd", "/dev/zero", "file:///etc/passwd", "é",
    "\ud800", "1", "null", "EPSG:999999", "EPSG:4326", "2020-13-45", "9999-12-31T23:59:60Z", "0001-01-01", "<b>&",
    "'; drop table x; --",
)  # fmt: skip
_WORDS = (
    b"\0",
    b"\xff",
    b"\n",
    b"\r",
    b"\xc3\x28",
    b"\xef\xbb\xbf",
    b": ",
    b"- ",
    b"{",
    b"[",
    b"]",
    b"}",
    b'"',
    b"&a ",
    b"*a",
    b"!!",
    b"1e999",
)


def flip_bits(rng: Random, content: bytes) -> bytes:
    """Turn over one to eight bits."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 8) if out else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def set_number(rng: Random, content: bytes) -> bytes:
    """Write a number that is at a limit of its type over one to four places, of any width and byte order."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        width = rng.choice((1, 2, 4, 8))
        if len(out) < width:
            break
        number = rng.choice(_NUMBERS) % 2 ** (8 * width)
        place = rng.randrange(len(out) - width + 1)
        out[place : place + width] = number.to_bytes(width, rng.choice(("little", "big")))
    return bytes(out)


def set_header(rng: Random, content: bytes) -> bytes:
    """As `set_number`, within the first 512 bytes: where most formats say what they are."""
    return set_number(rng, content[:512]) + content[512:]


def cut(rng: Random, content: bytes) -> bytes:
    """Leave the end away."""
    return content[: rng.randrange(len(content) + 1)]


def drop(rng: Random, content: bytes) -> bytes:
    """Take a piece out."""
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.randint(1, 64) :]


def double(rng: Random, content: bytes) -> bytes:
    """Write a piece twice, or many times."""
    start = rng.randrange(len(content) + 1)
    piece = content[start : start + rng.randint(1, 64)]
    return content[:start] + piece * rng.choice((2, 2, 3, 100)) + content[start:]


def move(rng: Random, content: bytes) -> bytes:
    """Write a piece over another place."""
    out = bytearray(content)
    size = rng.randint(1, 64)
    if len(out) > size:
        start, place = rng.randrange(len(out) - size), rng.randrange(len(out) - size)
        out[place : place + size] = content[start : start + size]
    return bytes(out)


def insert(rng: Random, content: bytes) -> bytes:
    """Put bytes in that mean something to some format, or nothing to any."""
    place = rng.randrange(len(content) + 1)
    piece = rng.choice(_WORDS) if rng.random() < 0.7 else rng.randbytes(rng.randint(1, 16))
    return content[:place] + piece + content[place:]


BYTES: tuple[Mutator, ...] = (flip_bits, set_number, set_header, cut, drop, double, move, insert)
"""For any format."""


def mutate_json(rng: Random, content: bytes) -> bytes:
    """Damage JSON where its meaning is: values of other types, numbers at limits, keys lost, doubled or nested without end."""
    try:
        tree = json.loads(content)
        for _ in range(rng.choice((1, 1, 2, 3))):
            tree = _mutate_tree(rng, tree)
        text = json.dumps(tree)
    except (ValueError, RecursionError):
        # It was damaged before.
        return flip_bits(rng, content)
    for mark in _FLOATS:
        text = text.replace(f'"number {mark}"', mark)
    return text.encode("utf-8", "surrogatepass")


def _mutate_tree(rng: Random, tree: Any) -> Any:
    places = list(_places(tree, ()))
    place = rng.choice(places)
    if not place:
        return _value(rng)
    holder = tree
    for key in place[:-1]:
        holder = holder[key]
    key, way = place[-1], rng.random()
    if way < 0.15:
        del holder[key]
    elif way < 0.25 and isinstance(holder, list):
        holder.extend([holder[key]] * rng.choice((1, 1, 1000)))
    elif way < 0.3 and isinstance(holder, dict):
        holder[rng.choice(_TEXTS)] = holder.pop(key)
    elif way < 0.4:
        here = tree
        for step in rng.choice(places):
            here = here[step]
        holder[key] = json.loads(json.dumps(here))
    else:
        holder[key] = _value(rng)
    return tree


def _places(tree: Any, path: tuple[Any, ...]) -> Any:
    yield path
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _places(value, (*path, key))


def _value(rng: Random) -> Any:
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice((None, True, False, [], {}, [[]], [None], {"": None}))
    if kind in (1, 2):
        return rng.choice(_NUMBERS)
    if kind == 3:
        return f"number {rng.choice(_FLOATS)}"
    if kind == 4:
        return rng.uniform(-10, 10)
    if kind == 5:
        nested: Any = rng.choice((None, 1, "x"))
        for _ in range(rng.choice((3, 100, 400))):
            nested = [nested] if rng.random() < 0.5 else {"a": nested}
        return nested
    if kind == 6:
        return [rng.choice(_NUMBERS) for _ in range(rng.choice((1, 5, 1000)))]
    return rng.choice(_TEXTS)


def set_lines(rng: Random, content: bytes) -> bytes:
    """Damage text that is made of lines: drop, double, indent or exchange some, or give one another value."""
    lines = content.decode("utf-8", "replace").splitlines()
    for _ in range(rng.randint(1, 3)):
        if not lines:
            break
        at, way = rng.randrange(len(lines)), rng.randrange(6)
        if way == 0:
            del lines[at]
        elif way == 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif way == 2:
            lines[at] = " " * rng.choice((1, 2, 4)) + lines[at]
        elif way == 3:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            head, mark, _ = lines[at].partition(rng.choice((":", "=")))
            value = rng.choice(
                (
                    *map(str, _NUMBERS),
                    *_FLOATS,
                    *_TEXTS,
                    ".nan",
                    ".inf",
                    "[1, 2]",
                    "{a: 1}",
                    "!!python/object:os.x",
                    "2020-06-15",
                )
            )
            lines[at] = f"{head}{mark or ':'} {value}"
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def mutate_yaml(rng: Random, content: bytes) -> bytes:
    """Damage YAML where its meaning is, as `mutate_json` does."""
    try:
        tree = json.loads(json.dumps(yaml.safe_load(content), default=str))
        for _ in range(rng.choice((1, 1, 2, 3))):
            tree = _mutate_tree(rng, tree)
        text = str(yaml.safe_dump(tree, sort_keys=False))
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError):
        return flip_bits(rng, content)
    for mark in _FLOATS:
        text = text.replace(f"number {mark}", mark)
    return text.encode("utf-8", "surrogatepass")


TEXT: tuple[Mutator, ...] = (*BYTES, *([set_lines] * 8))
"""For texts of lines, such as YAML: half of them by lines."""
YAML: tuple[Mutator, ...] = (*TEXT, *([mutate_yaml] * 32))
"""For YAML: two thirds of them by its values."""
JSON: tuple[Mutator, ...] = (*BYTES, *([mutate_json] * 16))
"""For JSON: two thirds of them by its values."""
