"""The section `alerts` of a configuration: rules, and the channels that alerts are sent by."""

import difflib
import ipaddress
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from landshift.flows.config.sections import Section
from landshift.pipeline.alerts.rules import AlertRule

_Name = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
_Variable = Annotated[str, Field(pattern="^[A-Z][A-Z0-9_]{0,99}$")]


class AlertRuleConfig(Section):
    """Which changes of the register are sent. All that is asked for has to be met."""

    name: _Name
    """Unique; what was sent is remembered under it, so another name sends again."""
    states: tuple[Literal["new", "confirmed", "closed", "rejected", "withdrawn"], ...] = Field(
        ("new", "confirmed"), min_length=1
    )
    """States that a change has to have entered."""
    changes: tuple[str, ...] = ()
    """Kinds of change, such as `Forest to Cropland`; empty for all."""
    min_area_ha: float = Field(default=0.0, ge=0)
    """Hectares (pixel count) that it has at least."""
    min_change_probability: float = Field(default=0.0, ge=0, le=1)
    """Mean probability of change that it has at least."""
    areas: tuple[str, ...] = ()
    """Names of areas of interest, one of which it has to reach into; empty for anywhere."""

    @property
    def rule(self) -> AlertRule:
        """The rule, as the pipeline takes it."""
        return AlertRule(**{field.name: getattr(self, field.name) for field in fields(AlertRule)})


class ChannelConfig(Section):
    """What all channels have."""

    name: _Name
    """Unique; what was sent is remembered under it, so another name sends again."""
    rules: tuple[str, ...] = ()
    """Names of the rules whose alerts are sent here; empty for all."""


class FeedChannel(ChannelConfig):
    """An Atom feed, a file that a web server can hand out."""

    kind: Literal["feed"]
    """Which channel this is."""
    path: Path
    """File to write, `.xml` or `.atom`, relative to the folder of the register."""
    title: str = Field(default="Land-use change", min_length=1, max_length=200)
    """What readers call it."""
    entries: int = Field(default=200, ge=1, le=10_000)
    """Alerts that it holds at most, the newest."""

    @field_validator("path")
    @classmethod
    def _is_a_feed(cls, path: Path) -> Path:
        if path.suffix.lower() not in (".xml", ".atom") or "\0" in str(path):
            raise ValueError("expected a name that ends in .xml or .atom")
        return path


class WebhookChannel(ChannelConfig):
    """A POST of JSON with a signature."""

    kind: Literal["webhook"]
    """Which channel this is."""
    url: str = Field(max_length=2000)
    """Where to; https, or http on this machine. An address that is a secret itself belongs to the kind `apprise`."""
    secret_env: _Variable
    """Environment variable with the secret that messages are signed with; upper case."""
    allow_http: bool = False
    """Whether messages may travel unencrypted to another machine."""
    timeout_s: float = Field(default=10.0, gt=0, le=120)
    """Seconds to wait for the receiver: to connect, and for each part of its answer."""
    attempts: int = Field(default=4, ge=1, le=10)
    """How often a message is tried in one call, where the receiver is not there, busy (429) or failing (5xx)."""

    @model_validator(mode="after")
    def _is_safe(self) -> "WebhookChannel":
        try:
            parts = urlsplit(self.url)
            host, user = parts.hostname, parts.username
            _ = parts.port
        except ValueError:
            host, user, parts = None, None, urlsplit("")
        if parts.scheme not in ("https", "http") or not host:
            raise ValueError("url: expected an address such as https://example.org/landshift")
        if user is not None or parts.password is not None:
            raise ValueError("url: a user or password does not belong into a config; messages are signed with `secret_env`")
        if parts.scheme == "http" and not (self.allow_http or is_loopback(host)):
            raise ValueError("url: expected https; `allow_http: true` lets messages travel unencrypted")
        return self


class AppriseChannel(ChannelConfig):
    """E-mail, chats and others, by apprise."""

    kind: Literal["apprise"]
    """Which channel this is."""
    url_env: _Variable
    """Environment variable with the apprise URL of the receiver (https://github.com/caronc/apprise); upper case. URLs hold
    secrets, so they do not belong into a config."""


class PrefectChannel(ChannelConfig):
    """An event on a Prefect server, for its automations."""

    kind: Literal["prefect"]
    """Which channel this is."""


class AlertsConfig(Section):
    """Which changes of the register are sent, and where."""

    since: date | None = None
    """Send what entered the register from this day on (UTC); None: all that it holds."""
    rules: tuple[AlertRuleConfig, ...] = ()
    """Which changes."""
    channels: tuple[
        Annotated[FeedChannel | WebhookChannel | AppriseChannel | PrefectChannel, Field(discriminator="kind")], ...
    ] = ()
    """Where to."""

    @model_validator(mode="after")
    def _names_fit(self) -> "AlertsConfig":
        rules = [rule.name for rule in self.rules]
        for what, names in (("rules", rules), ("channels", [c.name for c in self.channels])):
            if len(set(names)) != len(names):
                raise ValueError(f"{what}: give each its own name; what was sent is remembered under it")
        paths = [c.path for c in self.channels if isinstance(c, FeedChannel)]
        if len(set(paths)) != len(paths):
            raise ValueError("channels: two feeds have one path")
        for channel in self.channels:
            unknown = [name for name in channel.rules if name not in rules]
            if unknown:
                near = difflib.get_close_matches(unknown[0], rules, n=1)
                hint = (
                    f"did you mean {near[0]!r}?"
                    if near
                    else f"expected one of {', '.join(rules) or 'none, there are no rules'}"
                )
                raise ValueError(f"channels: {channel.name}: no rule is called {unknown[0]!r}; {hint}")
        return self


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
