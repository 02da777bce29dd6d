"""Addresses as they may be shown and recorded: without user, password, query and fragment.

Signed addresses and access tokens are secrets of the user, and runs and reports are passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

REMOVED: Final = "?..."
"""The end of a recorded address of which something was left out."""
_ADDRESS: Final = re.compile(r"://[^\s'\"<>`]+")
"""An address from the end of its scheme on."""


def public_address(url: str) -> str:
    """Return an address without user, password, query and fragment."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" not in authority and "@" in rest and re.search(r":(?![0-9]*\Z)", authority):
        authority = rest.rpartition("@")[0]  # a password with characters that should be escaped
        rest = rest[len(authority) + 1 :]
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def without_secrets(text: str) -> str:
    """Return a text in which all addresses are public ones."""
    return _ADDRESS.sub(lambda found: public_address(found[0]), text) if "://" in text else text


def recorded(source: Any) -> Any:
    """Return a source as files may hold it: its addresses public, and marked where that differs."""
    if isinstance(source, Mapping):
        return {name: recorded(of) for name, of in source.items()}
    if isinstance(source, list | tuple):
        return type(source)(map(recorded, source))
    if not isinstance(source, str) or not source.lower().startswith(("http://", "https://")):
        return source
    public = public_address(source)
    return public if public == source else public + REMOVED


def was_shortened(url: str) -> bool:
    """Return whether something of a recorded address was left out."""
    return url.endswith(REMOVED)
