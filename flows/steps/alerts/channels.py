"""Channels of alerts: a signed POST, the services of apprise, events on a Prefect server."""

import hashlib
import hmac
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from landshift.flows.config.alerts import AppriseChannel, PrefectChannel, WebhookChannel, is_loopback
from landshift.pipeline.alerts.alert import Alert
from landshift.pipeline.alerts.text import NOTE, headline, message
from landshift.pipeline.records import content_of

_PAUSE_S = 1.0
"""Before a message is tried again; each time twice as long."""
_LONGEST_PAUSE_S = 30.0
"""Whatever the receiver asks for: the message is tried again at the next call anyway."""
_TALKATIVE = ("apprise", "httpx", "httpcore", "urllib3", "requests", "smtplib")
"""Loggers that write addresses with their secrets."""


class DeliveryError(Exception):
    """A message that did not arrive, as far as is known. The text holds no secret, and of the address only the host's name."""

    def __init__(self, text: str, *, others_too: bool = True) -> None:
        """Keep the reason, and whether other messages would fail as well."""
        super().__init__(text)
        self.others_too = others_too


@dataclass(frozen=True)
class Message:
    """Alerts of one rule that travel together."""

    key: str
    """The same whenever it is tried again."""
    project: str
    """Name of the project."""
    alerts: Sequence[Alert]
    """One or more, of one rule."""

    def body(self) -> bytes:
        """Return it as JSON; the same alerts give the same bytes."""
        content = {
            "id": self.key, "project": self.project, "rule": self.alerts[0].rule, "note": NOTE,
            "alerts": [content_of(alert) for alert in self.alerts],
        }  # fmt: skip
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return `sha256=` and the HMAC of the time, a full stop and the body, in hexadecimal digits."""
    return "sha256=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def deliver(channel: WebhookChannel | AppriseChannel | PrefectChannel, sent: Message, pause_s: float = _PAUSE_S) -> None:
    """Deliver a message by a channel.

    Args:
        channel: By which way.
        sent: The message.
        pause_s: Seconds before it is tried again; each time twice as long.

    Raises:
        DeliveryError: It did not arrive, as far as is known.
    """
    try:
        if isinstance(channel, PrefectChannel):
            _emit(sent)
            return
        with _silence_loggers():
            if isinstance(channel, WebhookChannel):
                _post(channel, sent, pause_s)
            else:
                _notify(channel, sent)
    except DeliveryError:
        raise
    except Exception as error:
        # Plugins of others may raise anything, with the address of the receiver in the text.
        raise DeliveryError(f"failed ({type(error).__name__})") from None


def _post(channel: WebhookChannel, sent: Message, pause_s: float) -> None:
    import httpx

    secret, body = _secret(channel.secret_env), sent.body()
    parts = urlsplit(channel.url)
    host = parts.hostname or ""
    problem = ""
    # Redirects are not followed: a signed message goes to the address in the config only.
    with httpx.Client(timeout=channel.timeout_s, follow_redirects=False, trust_env=not is_loopback(host)) as client:
        for attempt in range(channel.attempts):
            timestamp = str(int(time.time()))
            headers = {
                "Content-Type": "application/json", "User-Agent": "landshift", "Idempotency-Key": sent.key,
                "X-Landshift-Timestamp": timestamp, "X-Landshift-Signature": signature(secret, timestamp, body),
            }  # fmt: skip
            asked = 0.0
            try:
                # Of the answer only the status is read: nothing else is of use, and it may be endless.
                with client.stream("POST", channel.url, content=body, headers=headers) as answer:
                    status, asked = answer.status_code, _retry_after(answer.headers.get("Retry-After", ""))
            except httpx.TransportError as error:
                problem = f"{host} did not answer ({type(error).__name__})"
            else:
                if 200 <= status < 300:
                    return
                problem = f"{host} answered {status}"
                if 300 <= status < 400:
                    raise DeliveryError(f"{problem}: redirects are not followed; set `url` to the final address")
                if status != 429 and status < 500:
                    raise DeliveryError(problem, others_too=False)
            if attempt + 1 < channel.attempts:
                time.sleep(min(max(pause_s * 2**attempt, asked), _LONGEST_PAUSE_S))
    raise DeliveryError(f"{problem}, {channel.attempts} times")


def _retry_after(value: str) -> float:
    return float(value) if value.isascii() and value.isdigit() and len(value) < 9 else 0.0


def _notify(channel: AppriseChannel, sent: Message) -> None:
    import apprise

    url = _secret(channel.url_env)
    sender = apprise.Apprise()
    if not sender.add(url) or not len(sender):
        raise DeliveryError(f"the environment variable {channel.url_env} holds no apprise URL")
    title, text = message(sent.alerts[0].rule, sent.alerts)
    if not sender.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT):
        raise DeliveryError("apprise could not deliver it", others_too=False)


def _emit(sent: Message) -> None:
    from prefect.client.orchestration import get_client
    from prefect.events import emit_event
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise DeliveryError("no Prefect server is set (PREFECT_API_URL), so the event would be lost")
    # Events go out later without a confirmation; that the server is there can be checked at least.
    with get_client(sync_client=True) as client:
        if client.api_healthcheck() is not None:
            raise DeliveryError("the Prefect server does not answer")
    for alert in sent.alerts:
        resource = {
            "prefect.resource.id": f"landshift.change.{alert.change_id}",
            "prefect.resource.name": headline(alert),
        }
        payload = {"project": sent.project, **content_of(alert)}
        if emit_event(f"landshift.alert.{alert.state}", resource, payload=payload, id=alert.id) is None:
            raise DeliveryError("Prefect emits no events here")


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise DeliveryError(f"the environment variable {variable} is not set; it has to hold the secret")
    return value


@contextmanager
def _silence_loggers() -> Iterator[None]:
    """Silence the loggers of libraries in the block, whatever the thread."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
