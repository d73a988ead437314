"""Errors that a user can mend or wait for, and any error in words."""


class InputError(ValueError):
    """What the user gave cannot be used.

    The message names what was found, what was expected and what to do, with the file and the band. The command line
    prints it without a traceback and exits with 2.
    """


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
