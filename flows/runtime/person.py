"""The person at the keyboard."""

from getpass import getuser


def login_name() -> str | None:
    """Return the login name; None for an account without one, as in some containers."""
    try:
        return getuser()
    except (KeyError, OSError, ImportError):
        return None
