"""Outbox: the file beside a register that records which alerts were sent."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid5

from landshift.pipeline.alerts.alert import utc_text
from landshift.pipeline.errors import InputError
from landshift.pipeline.records import json_of

SENDING, SENT, DROPPED = "sending", "sent", "dropped"


@dataclass(frozen=True)
class Sending:
    """A message that was begun, and perhaps arrived."""

    channel: str
    """Name of the channel."""
    message: str
    """Its key; the same whenever it is tried again."""
    alerts: tuple[str, ...]
    """Keys of the alerts in it."""


@dataclass(frozen=True)
class OutboxContent:
    """What an outbox records of all messages."""

    sent: frozenset[tuple[str, str]]
    """Name of a channel and key of an alert that arrived there."""
    begun: tuple[Sending, ...]
    """Messages that were begun and did not arrive yet, the oldest first."""

    def keys_sent(self, channel: str) -> set[str]:
        """Return the keys of the alerts that arrived by a channel."""
        return {key for name, key in self.sent if name == channel}


@dataclass(frozen=True)
class Outbox:
    """A file of JSON lines, only added to: `sending` before a message goes out, `sent` once it arrived, `dropped` if void."""

    path: Path
    """Of the file; it is made with the first line."""

    def read(self) -> OutboxContent:
        """Return what the file records.

        The end of the file may be half a line, where the machine went down while it was written: it counts for nothing.

        Raises:
            InputError: The file cannot be read, or a line has another form.
        """
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be read ({error.strerror}); it records which alerts were sent. Check its permissions."
            ) from error
        begun: dict[tuple[str, str], Sending] = {}
        sent: set[tuple[str, str]] = set()
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                entry = json_of(line, f"{self.path}, line {number}")
                event, key = entry["event"], (str(entry["channel"]), str(entry["message"]))
                if event == SENDING:
                    begun[key] = Sending(*key, tuple(str(a) for a in entry["alerts"]))
                elif event in (SENT, DROPPED):
                    begun.pop(key, None)
                    sent |= {(key[0], str(alert)) for alert in entry.get("alerts", ())}
                else:
                    raise ValueError(f"event {event!r}")
            except (InputError, ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self.path}, line {number}, is unreadable ({type(error).__name__}). The file records sent alerts: "
                    f"restore it from a copy, or remove it, and all alerts are sent again."
                ) from error
        return OutboxContent(frozenset(sent), tuple(begun.values()))

    def add(self, event: str, channel: str, message: str, alerts: Sequence[str] = (), now: datetime | None = None) -> None:
        """Add a line, and wait until it is on the disk.

        Args:
            event: `sending`, `sent` or `dropped`.
            channel: Name of the channel.
            message: Key of the message.
            alerts: Keys of the alerts in it; none where it is dropped.
            now: When; the present moment where None.

        Raises:
            InputError: The file cannot be written to.
        """
        entry = {"time": utc_text((now or datetime.now(UTC)).astimezone(UTC)), "event": event, "channel": channel,
                 "message": message, **({"alerts": list(alerts)} if alerts else {})}  # fmt: skip
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        try:
            with self.path.open("ab+") as stream:
                _remove_half_line(stream.fileno())
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written to ({error.strerror}), so nothing is sent: there would be no record of it. "
                f"Make room, or check its permissions."
            ) from error


def message_key(channel: str, alerts: Sequence[str]) -> str:
    """Return the key of a message with these alerts by this channel."""
    return str(uuid5(UUID(alerts[0]), "\n".join((channel, *alerts))))


def _remove_half_line(file: int) -> None:
    """Remove what follows the last whole line."""
    size = os.fstat(file).st_size
    if not size or os.pread(file, 1, size - 1) == b"\n":
        return
    start, found = size, -1
    while start > 0 and found < 0:
        begin = max(0, start - 65536)
        found = os.pread(file, start - begin, begin).rfind(b"\n")
        start, found = begin, begin + found if found >= 0 else -1
    os.ftruncate(file, found + 1)
