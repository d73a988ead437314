"""Errors that a user can mend or wait for, and any error in words."""

import re

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
