"""Step of alerts: subscribers are notified, once for each change of state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from landshift.flows.config.alerts import AppriseChannel, FeedChannel, PrefectChannel, WebhookChannel
from landshift.flows.runtime.reply import Reply
from landshift.flows.steps.alerts.channels import DeliveryError, Message, deliver
from landshift.flows.steps.project.workspace import Workspace
from landshift.pipeline.alerts.alert import Alert, digest, origin_of
from landshift.pipeline.alerts.outbox import DROPPED, SENDING, SENT, Outbox, OutboxContent, message_key
from landshift.pipeline.alerts.text import atom_feed, details, headline
from landshift.pipeline.change.areas_reading import read_named_areas
from landshift.pipeline.errors import InputError
from landshift.pipeline.manifest import write_text
from landshift.pipeline.records import content_of
from landshift.pipeline.register.address import RegisterLocation
from landshift.pipeline.register.database.tables import HISTORY
from landshift.pipeline.register.history import line_of
from landshift.pipeline.register.store import open_register

_TOGETHER = 100
"""Alerts of one rule in a message, at most."""
_LISTED = 50


@dataclass(frozen=True)
class Delivery:
    """Outcome of one channel."""

    channel: str
    """Its name."""
    sent: int
    """Alerts that arrived now."""
    waiting: int
    """Alerts that did not arrive; they are tried again at the next call."""
    error: str
    """Why; empty where nothing failed."""


@dataclass(frozen=True)
class AlertsSent:
    """Alerts, and what the channels did with them."""

    alerts: tuple[Alert, ...]
    """All that the rules ask for, sent before or not."""
    pending: int
    """Number of them that some channel had not sent before this call."""
    deliveries: tuple[Delivery, ...]
    """By channel, in the order of the config; none in a dry run."""

    @property
    def failed(self) -> bool:
        """Whether something did not arrive."""
        return any(d.error for d in self.deliveries)


def send_alerts(register: RegisterLocation, ws: Workspace, *, dry_run: bool = False) -> AlertsSent:
    """Send by every channel of the config the alerts that it has not sent yet.

    A channel that fails does not stop the others, and is tried again at the next call.

    Args:
        register: The GeoPackage, beside which the record of what was sent is kept, or the address of one on a server; then the
            record is in the project's folder of outputs.
        ws: The project, with the rules and channels in its `alerts`.
        dry_run: Whether nothing is sent, written or recorded.

    Raises:
        InputError: There is no such register, a rule asks for what there is not, the record or a feed cannot be written, or
            alerts of this register are being sent already.
    """
    outbox = Outbox(outbox_of(register if isinstance(register, Path) else ws.register_file))
    if dry_run:
        alerts, content, _ = _read(register, ws, outbox)
        return AlertsSent(tuple(alerts), _count_pending(ws, alerts, content), ())
    open_register(register).facts()  # before a lock is put beside what is no register
    if not isinstance(register, Path):
        ws.require_writable()
    lock = FileLock(outbox.path.with_name(f".{outbox.path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"Alerts of {register} are being sent by another program. Wait for it.") from error
    except OSError as error:
        raise InputError(
            f"{outbox.path.parent} cannot be written to ({error.strerror}); the record of alerts lies there."
        ) from error
    try:
        alerts, content, empty = _read(register, ws, outbox)
        feeds = {c.name: _feed_path(outbox.path.parent, c, ws.allow_outside) for c in _feeds(ws)}
        deliveries = []
        for channel in ws.project.alerts.channels:
            ours = _of_channel(channel, alerts)
            if isinstance(channel, FeedChannel):
                deliveries.append(_write_feed(channel, feeds[channel.name], ours, outbox, content=content, empty=empty))
            else:
                deliveries.append(_send(channel, ours, outbox, content, project=ws.project.name))
        return AlertsSent(tuple(alerts), _count_pending(ws, alerts, content), tuple(deliveries))
    finally:
        lock.release()


def outbox_of(register: Path) -> Path:
    """Return where the record of the alerts of a register lies: `register.alerts.jsonl` beside `register.gpkg`."""
    return register.with_name(f"{register.stem}.alerts.jsonl")


def alerts_answer(register: RegisterLocation, ws: Workspace, dry_run: bool) -> tuple[Reply, bool]:
    """Send alerts, or in a dry run show them.

    Returns:
        The reply, and whether something failed.
    """
    result = send_alerts(register, ws, dry_run=dry_run)
    content = {
        "register": register, "dry_run": dry_run, "pending": result.pending,
        "channels": [content_of(d) for d in result.deliveries],
        "alerts": [content_of(alert) for alert in result.alerts],
    }  # fmt: skip
    lines = [
        f"{len(result.alerts):,} alerts by {len(ws.project.alerts.rules)} rules, {result.pending:,} of them not sent before."
    ]
    if dry_run:
        lines += [f"{a.rule}: {headline(a)}\n  {details(a)}" for a in result.alerts[:_LISTED]]
        if len(result.alerts) > _LISTED:
            lines.append(f"... and {len(result.alerts) - _LISTED:,} more; --json lists them all.")
        lines.append("A dry run: nothing was sent.")
    for d in result.deliveries:
        failure = f"; {d.waiting:,} failed and are tried again next time: {d.error}" if d.error else ""
        lines.append(f"{d.channel}: {d.sent:,} sent{failure}.")
    if not ws.project.alerts.channels:
        lines.append("The config has no channels, so nothing is sent.")
    return (content, lines), result.failed


def _read(register: RegisterLocation, ws: Workspace, outbox: Outbox) -> tuple[list[Alert], OutboxContent, tuple[str, datetime]]:
    """Return the alerts, the content of the outbox, and origin and time of the register for an empty feed."""
    store, wanted = open_register(register), ws.project.alerts
    # The history first: what others merge in between is left for the next time, and no line lacks its change.
    facts, history = store.facts(), store.table(HISTORY)
    changes = store.changes()
    start = 0 if wanted.since is None else line_of(history, {}, wanted.since.isoformat())
    areas, where = None, ws.project.areas_of_interest
    if where is not None:
        path = ws.input(where.path, "areas_of_interest: path")
        areas = read_named_areas(path, facts.crs, where.layer, where.name_column)
    alerts = digest([r.rule for r in wanted.rules], changes, history, facts.legend, areas=areas, since=start)
    return alerts, outbox.read(), (origin_of(history), history["time"].iloc[0])


def _of_channel(channel: Any, alerts: Sequence[Alert]) -> list[Alert]:  # noqa: ANN401 (any channel)
    return [a for a in alerts if not channel.rules or a.rule in channel.rules]


def _feeds(ws: Workspace) -> list[FeedChannel]:
    return [c for c in ws.project.alerts.channels if isinstance(c, FeedChannel)]


def _count_pending(ws: Workspace, alerts: Sequence[Alert], content: OutboxContent) -> int:
    sent = {c.name: content.keys_sent(c.name) for c in ws.project.alerts.channels}
    return len({a.id for c in ws.project.alerts.channels for a in _of_channel(c, alerts) if str(a.id) not in sent[c.name]})


def _send(
    channel: WebhookChannel | AppriseChannel | PrefectChannel, alerts: Sequence[Alert], outbox: Outbox, content: OutboxContent,
    project: str,
) -> Delivery:  # fmt: skip
    """Deliver what was begun and not finished, and then what is new; each message is recorded before and after."""
    by_key = {str(a.id): a for a in alerts}
    sent_before = content.keys_sent(channel.name)
    begun = [s for s in content.begun if s.channel == channel.name]
    known = sent_before.union(*(s.alerts for s in begun))
    messages = [(s.message, [by_key[k] for k in s.alerts if k in by_key and k not in sent_before]) for s in begun]
    fresh = [a for k, a in by_key.items() if k not in known]
    for rule in dict.fromkeys(a.rule for a in fresh):
        of_rule = [a for a in fresh if a.rule == rule]
        for start in range(0, len(of_rule), _TOGETHER):
            together = of_rule[start : start + _TOGETHER]
            messages.append((message_key(channel.name, [str(a.id) for a in together]), together))
    started = {s.message for s in begun}
    sent, waiting, problem, hopeless = 0, 0, "", False
    for key, together in messages:
        if not together:
            # All of its changes are in another state by now.
            outbox.add(DROPPED, channel.name, key)
            continue
        if hopeless:
            # A receiver that did not take one message would delay each of the others.
            waiting += len(together)
            continue
        keys = [str(a.id) for a in together]
        if key not in started:
            outbox.add(SENDING, channel.name, key, keys)
        try:
            deliver(channel, Message(key, project, together))
        except DeliveryError as error:
            waiting, problem, hopeless = waiting + len(together), str(error), error.others_too
        else:
            outbox.add(SENT, channel.name, key, keys)
            sent += len(together)
    return Delivery(channel.name, sent, waiting, problem)


def _feed_path(folder: Path, channel: FeedChannel, allow_outside: bool) -> Path:
    root = folder.resolve()
    path = (root / channel.path).resolve()
    if not allow_outside and not path.is_relative_to(root):
        raise InputError(
            f"alerts: channels: {channel.name}: {channel.path} points outside the folder of the register, {folder}. "
            f"Name a file in it, or allow it with --allow-outside."
        )
    return path


def _write_feed(
    channel: FeedChannel,
    path: Path,
    alerts: Sequence[Alert],
    outbox: Outbox,
    content: OutboxContent,
    empty: tuple[str, datetime],
) -> Delivery:
    """Write the feed if it differs; it always shows the present alerts."""
    sent = content.keys_sent(channel.name)
    fresh = [str(a.id) for a in alerts if str(a.id) not in sent]
    text = atom_feed(channel.title, channel.name, alerts, channel.entries, empty=empty)
    try:
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)
    except OSError as error:
        return Delivery(channel.name, 0, len(fresh), f"{path.name} cannot be written ({error.strerror})")
    if fresh:
        outbox.add(SENT, channel.name, message_key(channel.name, fresh), fresh)
    return Delivery(channel.name, len(fresh), 0, "")
