"""Errors that a user can mend or wait for, and any error in words, also those that a validation finds."""

import re
from collections.abc import Mapping

_LONGEST = 20_000
"""Characters of a message: what files hold is quoted in it, and may be of any length."""
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Control characters, line breaks, what turns the direction of text or is not seen, and what is left of bytes that are not
UTF-8."""


def has_unprintable(text: str) -> bool:
    """Return whether a text holds characters that a terminal acts on, or that are not seen."""
    return _UNPRINTABLE.search(text) is not None


def printable(text: str) -> str:
    """Return a text as terminals and logs may show it: what they would act on is written as in Python, line breaks stay."""
    if len(text) > _LONGEST:
        # What was found comes first, what to do last.
        text = f"{text[: _LONGEST // 2]} [... {len(text) - _LONGEST:,} characters ...] {text[-_LONGEST // 2 :]}"
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in "\n\t" else ascii(found[0])[1:-1], text)


class InputError(ValueError):
    """What the user gave cannot be used.

    The message names what was found, what was expected and what to do, with the file and the band. The command line
    prints it without a traceback and exits with 2. What it quotes of files is made printable, and cut where it is long.
    """

    def __init__(self, message: str) -> None:
        """Remember the message."""
        super().__init__(printable(message))


class UnreadableError(InputError):
    """A file cannot be read: it is not there, damaged, cut off or of another format, or its server does not deliver it."""


class BusyError(InputError):
    """Another run holds what this one needs: nothing was done, and the other one does it."""


class UnavailableError(RuntimeError):
    """Something that is needed, such as a server, is away or busy for now: the same again may go well.

    The message names it, and states that nothing was changed. The command line prints it without a traceback and exits with 1.
    """


def in_words(error: BaseException) -> str:
    """Return an error in words: what is meant for people, where that is behind it; a step within a step wraps it."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, InputError | UnavailableError):
            return str(found)
        found = found.__cause__ or found.__context__
    return f"{type(error).__name__}: {error}"


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether an interrupt is behind an exception: libraries that start something may wrap it in one of their own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


_WHOLE, _NUMBER, _SWITCH, _LIST = "expected a whole number", "expected a number", "expected true or false", "expected a list"
_KEYS, _DAY, _TIME = (
    "expected keys with values",
    "expected a day such as 2020-06-15",
    "expected a time such as 2020-06-15T10:00Z",
)
FAULTS: Mapping[str, str] = {
    "missing": "is missing",
    "string_type": "expected a text", "path_type": "expected a path",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
    "int_type": _WHOLE, "int_parsing": _WHOLE, "int_from_float": _WHOLE, "int_parsing_size": _WHOLE,
    "float_type": _NUMBER, "float_parsing": _NUMBER, "finite_number": "expected a finite number",
    "bool_type": _SWITCH, "bool_parsing": _SWITCH,
    "greater_than": "expected more than {gt}", "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}", "less_than_equal": "expected at most {le}",
    "multiple_of": "expected a multiple of {multiple_of}",
    "literal_error": "expected {expected}", "enum": "expected {expected}",
    "too_short": "expected at least {min_length} of them", "too_long": "expected at most {max_length} of them",
    "list_type": _LIST, "tuple_type": _LIST, "set_type": _LIST, "frozen_set_type": _LIST, "iterable_type": _LIST,
    "dict_type": _KEYS, "mapping_type": _KEYS, "model_type": _KEYS, "model_attributes_type": _KEYS, "dataclass_type": _KEYS,
    "date_type": _DAY, "date_parsing": _DAY, "date_from_datetime_parsing": _DAY, "date_from_datetime_inexact": _DAY,
    "datetime_type": _TIME, "datetime_parsing": _TIME, "datetime_from_date_parsing": _TIME, "timezone_aware": _TIME,
    "none_required": "expected nothing",
    "union_tag_not_found": "{discriminator} is missing",
    "union_tag_invalid": "expected one of {expected_tags} for {discriminator}",
}  # fmt: skip
"""Kind of a fault, as pydantic calls it, to what is wrong, with the values of its context."""
PATTERNS: Mapping[str, str] = {
    "^#[0-9a-fA-F]{6}$": 'expected a colour such as "#1b7837", in quotes',
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$": "expected at most 63 letters, digits, dots, dashes and underscores, without spaces",
    "^[A-Z]{3}$": "expected three capital letters such as DEU",
    "^[A-Z][A-Z0-9_]{0,99}$": "expected the name of an environment variable such as LANDSHIFT_TOKEN",
}
"""Regular expression to what fits it."""


def describe_fault(kind: str, context: Mapping[str, object], message: str) -> str:
    """Return in our words what a validation found.

    Args:
        kind: Of the fault, as pydantic calls it.
        context: Values of the limits.
        message: In pydantic's words; that of a check of our own is kept.
    """
    if kind == "string_pattern_mismatch" and str(context.get("pattern")) in PATTERNS:
        return PATTERNS[str(context["pattern"])]
    if kind in FAULTS:
        return FAULTS[kind].format_map({name: _plain(value) for name, value in context.items()})
    return message.removeprefix("Value error, ")


def _plain(value: object) -> object:
    """Return a limit without the fraction that a whole number does not have."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
