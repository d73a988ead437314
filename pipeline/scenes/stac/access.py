"""Addresses of an item's files: which of several is read, and what opens it."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from landshift.pipeline.errors import InputError
from landshift.pipeline.raster.servers.access import Access
from landshift.pipeline.scenes.stac.search import Item, Json

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_AZURE = ".blob.core.windows.net"
"""Where the files of Planetary Computer lie."""


def choose_address(item: Item, key: str, alternate: str | None) -> Json:
    """Return the asset itself, or the one of its alternates that the config names (STAC extension `alternate-assets`).

    Args:
        item: The item.
        key: Of the asset.
        alternate: Key or `alternate:name` of the alternate, whatever its case; None: the asset itself.

    Returns:
        What holds the `href`, with the fields of its storage.

    Raises:
        InputError: The asset has no such alternate.
    """
    asset = item.assets[key]
    if alternate is None:
        return asset
    others = _alternates(asset)
    for name, other in others.items():
        if alternate.casefold() in (name.casefold(), str(other.get("alternate:name", "")).casefold()):
            return other
    if alternate.casefold() in (str(asset.get("alternate:name", "")).casefold(), urlsplit(str(asset["href"])).scheme):
        return asset
    raise InputError(
        f"it has no address {alternate}, which `scenes: stac: alternate:` names; besides its own it has "
        f"{', '.join(others) or 'none'}. Correct or remove `alternate:`."
    )


def _alternates(asset: Json) -> dict[str, Json]:
    found = asset.get("alternate")
    pairs = found.items() if isinstance(found, Mapping) else ()
    return {str(k): o for k, o in pairs if isinstance(o, Mapping) and isinstance(o.get("href"), str) and o["href"]}


def advise(item: Item, key: str, chosen: Json, address: str, *, signed: bool, access: Access) -> str:
    """Return what opens an address where it cannot be read, by what the catalog states of its storage.

    Args:
        item: The item.
        key: Of the asset.
        chosen: From `choose_address`.
        address: Its href, resolved.
        signed: Whether addresses are signed.
        access: Which credentials may be used.

    Returns:
        Sentences for a message, empty where nothing is known. What the environment has already is left out.
    """
    parts = urlsplit(address)
    if parts.scheme == "s3":
        return _advise_bucket(item, key, chosen, access)
    if parts.netloc.endswith(_AZURE) and not signed:
        return "Files of Planetary Computer need `scenes: stac: sign: planetary-computer`."
    others = [name for name, other in _alternates(item.assets[key]).items() if other is not chosen]
    return f"The item has another address of it: `scenes: stac: alternate: {others[0]}`." if others else ""


def _advise_bucket(item: Item, key: str, chosen: Json, access: Access) -> str:
    scheme = _storage(item, chosen)
    pays = scheme.get("requester_pays", chosen.get("storage:requester_pays", item.assets[key].get("storage:requester_pays")))
    wanted = {}
    anonymous = "aws" not in access.credentials
    if not anonymous and not any(os.environ.get(name) for name in (_KEYS[0], "AWS_PROFILE")):
        wanted = {_KEYS[0]: "your key", _KEYS[1]: "its secret"}
    if pays is True:
        wanted["AWS_REQUEST_PAYER"] = "requester"
    if scheme.get("type") == "custom-s3" and (host := urlsplit(str(scheme.get("platform", ""))).netloc):
        wanted |= {"AWS_S3_ENDPOINT": host, "AWS_VIRTUAL_HOSTING": "FALSE"}
    missing = [f"{name} ({value})" for name, value in wanted.items() if not os.environ.get(name)]
    sentences = [
        "Buckets that are not public need `scenes: stac: credentials: [aws]`, and keys in the environment."
        if anonymous
        else "",
        f"Set in the environment: {', '.join(missing)}." if missing else "",
        "Its readers pay for the transfer." if pays is True and (missing or anonymous) else "",
    ]
    return " ".join(filter(None, sentences))


def _storage(item: Item, chosen: Json) -> Json:
    """Return the storage scheme that a file lies in (storage extension 2), one that is free before others; empty without."""
    schemes, refs = item.properties.get("storage:schemes"), chosen.get("storage:refs")
    known = schemes if isinstance(schemes, Mapping) else {}
    found = [
        known[r] for r in (refs if isinstance(refs, list) else ()) if isinstance(r, str) and isinstance(known.get(r), Mapping)
    ]
    return min(found, key=lambda scheme: scheme.get("requester_pays") is True, default={})
