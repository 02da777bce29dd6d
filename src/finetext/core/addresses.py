"""Addresses as they may be shown and recorded: without user, password, query and fragment.

In object storage and on disks there is no query: there `?` is a wildcard, and `#` a character.

Signed addresses and access tokens are secrets of the user, and runs and reports are passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

REMOVED: Final = "?..."
"""The end of a recorded address of which something was left out."""
_NO_USER: Final = ("abfs", "abfss", "az", "wasb", "wasbs", "git", "github")
"""Schemes in which a container or a repository, and no user, stands before the @."""
_NO_QUERY: Final = (
    *("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "hf", "hdfs", "memory"),
    *("sftp", "ssh", "ftp", "smb"),
)
"""Schemes of file systems, in whose paths `?` and `#` are characters like others."""
_QUERY: Final = re.compile(r"[?#]")
_VALUES: Final = re.compile(r"[?#][^/?#=]+=")
"""The beginning of a query or a fragment with named values, such as a signature, anywhere."""
_ANONYMOUS: Final = "anonymous@"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ADDRESS: Final = re.compile(rf"(?:\b(?:{'|'.join((*_NO_USER, *_NO_QUERY))}))?://[^\s'\"<>`]+")
"""An address from the end of its scheme on, and with the scheme where that decides."""


def public_address(url: str) -> str:
    """Return an address without user, password, query and fragment.

    Of a file system, such as s3://, it keeps `?` and `#`, unless a named value follows.
    """
    scheme, mark, _ = url.partition("://")
    if not mark:
        return url
    user, rest = _user_and_rest(url)
    ends = _VALUES if scheme.lower() in _NO_QUERY else _QUERY
    rest = ends.split(rest, maxsplit=1)[0]
    is_no_user = scheme.lower() in _NO_USER and user is not None
    return f"{scheme}://{f'{user}@' if is_no_user else ''}{rest}"


def has_password(url: str) -> bool:
    """Return whether an address names a user with a password, or a token in place of one."""
    user, _ = _user_and_rest(url)
    return user is not None and ":" in user and url.partition("://")[0].lower() not in _NO_USER


def _user_and_rest(url: str) -> tuple[str | None, str]:
    """Return what precedes the host of an address, None without it, and the host with the rest."""
    rest = url.partition("://")[2]
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" not in authority and "@" in rest and re.search(r":(?![0-9]*\Z)", authority):
        authority = rest  # a password with characters that should be escaped
    user, mark, _ = authority.rpartition("@")
    return (user, rest[len(user) + 1 :]) if mark else (None, rest)


def without_secrets(text: str) -> str:
    """Return a text in which all addresses are public ones."""
    return _ADDRESS.sub(lambda found: public_address(found[0]), text) if "://" in text else text


def recorded(source: Any) -> Any:
    """Return a source as files may hold it: its addresses public, and marked where that differs."""
    if isinstance(source, Mapping):
        return {name: recorded(of) for name, of in source.items()}
    if isinstance(source, list | tuple):
        return type(source)(map(recorded, source))
    if not isinstance(source, str) or not (scheme := _SCHEME.match(source)):
        return source
    public, start = public_address(source), f"{scheme[0]}{_ANONYMOUS}"
    if source.startswith(start):  # how a public bucket is read, and no secret
        public = public.replace(scheme[0], start, 1)
    return public if public == source else public + REMOVED


def was_shortened(url: str) -> bool:
    """Return whether something of a recorded address was left out."""
    return url.endswith(REMOVED)
