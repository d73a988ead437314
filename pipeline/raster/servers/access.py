"""What servers may be asked, and which credentials of this machine they may be shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from landshift.pipeline.errors import InputError

Credential = Literal["hrefs", "aws", "netrc", "gdal"]
"""`hrefs`: user and password in addresses of a catalog. `aws`: keys, profiles and roles of this machine, for s3://. `netrc`:
the file of that name. `gdal`: what GDAL's environment adds to every request (users, bearer tokens, headers, cookies)."""

_KEPT_BACK: Mapping[Credential, Mapping[str, str]] = MappingProxyType({
    # Without this GDAL looks for keys in the environment, in ~/.aws, and asks the servers of Amazon's machines for a role.
    "aws": {"AWS_NO_SIGN_REQUEST": "YES"},
    # GDAL reads ~/.netrc by default.
    "netrc": {"GDAL_HTTP_NETRC": "NO"},
})  # fmt: skip
"""GDAL's options that keep each kind back: https://gdal.org/en/stable/user/configoptions.html#networking-options"""
_BLANKED = MappingProxyType({
    "GDAL_HTTP_USERPWD": "", "GDAL_HTTP_BEARER": "", "GDAL_HTTP_HEADERS": "", "GDAL_HTTP_HEADER_FILE": "",
    "GDAL_HTTP_COOKIE": "", "GDAL_HTTP_COOKIEFILE": "", "GDAL_HTTP_COOKIEJAR": "",
})  # fmt: skip
_ONLY_WHEN_ASKED = MappingProxyType({"GDAL_HTTP_AUTH": "ANY"})
"""An empty user is shown to a server that asks for one alone, else to all, and buckets refuse it."""


@dataclass(frozen=True)
class Access:
    """Whom a catalog may have asked, and what may be shown to them. An address is chosen by the catalog, not by the user."""

    hosts: tuple[str, ...] = ()
    """Hosts that may be asked, of `s3://` buckets; `*.example.org` stands for all below one. Empty: any."""
    credentials: tuple[Credential, ...] = ()
    """What may be used besides the address itself; none: all is asked for as anyone may."""

    def gdal_options(self, is_set: Callable[[str], bool]) -> dict[str, str]:
        """Return options of GDAL that keep back what may not be used.

        Args:
            is_set: Whether GDAL has an option from the environment or its own file.
        """
        options = {k: v for kind, kept in _KEPT_BACK.items() if kind not in self.credentials for k, v in kept.items()}
        blanked = {} if "gdal" in self.credentials else {k: v for k, v in _BLANKED.items() if is_set(k)}
        if "GDAL_HTTP_USERPWD" in blanked:
            options |= _ONLY_WHEN_ASKED
        return options | blanked

    def require_host(self, address: str) -> None:
        """Refuse an address of a host that is not among those that may be asked.

        Raises:
            InputError: It is not; the message has the host.
        """
        host = (urlsplit(address).hostname or "").casefold()
        if self.hosts and not any(_fits(host, allowed.casefold()) for allowed in self.hosts):
            raise InputError(
                f"the host {host!a:.200} is not among those of `scenes: stac: hosts:` ({', '.join(self.hosts)}). Add it there "
                f"if it is meant."
            )

    def without_user(self, address: str) -> str:
        """Return an address without user and password, unless those of addresses may be used."""
        parts = urlsplit(address)
        if "hrefs" in self.credentials or "@" not in parts.netloc:
            return address
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _fits(host: str, allowed: str) -> bool:
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed
