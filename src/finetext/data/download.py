"""Files from the network: http and https, within limits of size and time, from public addresses.

Each address is checked before it is connected to, after every redirect as well. The connection is
made to the address that was checked, so that a name server cannot answer differently in between.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
import ssl
import string
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import PurePosixPath
from threading import Timer
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from finetext.core.addresses import public_address, was_shortened, without_secrets
from finetext.core.budget import read_all
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.rows import File

_STALLED: Final = 60.0
"""Seconds without a byte after which a server counts as gone."""
_MOST_REDIRECTS: Final = 5
_MOST_ADDRESSES: Final = 5
"""Addresses of a host that are tried, each of which may take the time of a stalled one."""
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def download(url: str, settings: ReadSettings) -> File:
    """Return the file at an http or https address.

    Raises:
        DataError: it cannot be fetched, takes too long, or a host is not on the public internet.
        TooLargeError: it is larger than the budget of reading.
    """
    shown = public_address(url)
    if was_shortened(url):
        raise DataError(
            f"{shown} was recorded without its user, password or query, which are secrets; name "
            "the whole address as the data, or as source in the recipe, or download the file"
        )
    end = time.monotonic() + settings.download_seconds
    place = url
    try:
        for _ in range(_MOST_REDIRECTS + 1):
            found = _fetched(place, settings, end, is_first=place == url)
            if isinstance(found, bytes):
                name = PurePosixPath(unquote(urlsplit(url).path)).name or "download"
                return File(shown, PurePosixPath(name), lambda data=found: data)  # type: ignore[misc]
            place = found
    except (OSError, ValueError, HTTPException) as error:
        if time.monotonic() >= end:
            raise DataError(_too_slow(shown, settings)) from None
        said = without_secrets(str(error)) or type(error).__name__
        if isinstance(error, ValueError):  # it may quote a password
            said = "it is, leads to, or sends what is not valid"
        raise DataError(f"cannot fetch {shown}: {said}") from None
    raise DataError(
        f"cannot fetch {shown}: more than {_MOST_REDIRECTS} redirects; give the last one"
    )


def _too_slow(url: str, settings: ReadSettings) -> str:
    return (
        f"cannot fetch {url}: it is not complete after {settings.download_seconds:g} s; allow more "
        "with --set data.download_seconds=SECONDS, or download it with another program"
    )


def _fetched(url: str, settings: ReadSettings, end: float, is_first: bool) -> bytes | str:
    """Return the content at an address, or the address that it redirects to."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OSError(f"it leads to {public_address(url)}, which is no http or https address")
    wait = max(0.1, min(_STALLED, end - time.monotonic()))
    connection, target, headers = _connection(parts, settings, wait)
    if is_first and parts.username:
        headers["Authorization"] = _basic(parts)
    timer = None
    try:
        connection.connect()
        timer = Timer(max(0.0, end - time.monotonic()), _shut, [connection.sock])
        timer.daemon = True
        timer.start()
        connection.request("GET", target, headers=headers)
        response: HTTPResponse = connection.getresponse()
        with response:
            if response.status in _REDIRECTS and (to := response.headers["Location"]):
                return str(urljoin(url, to.encode("latin-1").decode("utf-8", "replace")))
            if response.status != 200:
                raise OSError(f"HTTP Error {response.status}: {response.reason}")
            data = read_all(response, public_address(url))
            if response.length:
                raise OSError(f"it ends {response.length:,} bytes too early")
    finally:
        if timer is not None:
            timer.cancel()
        connection.close()
    if time.monotonic() >= end:  # what was cut off may look complete
        raise OSError("too slow")
    return data


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _basic(parts: SplitResult) -> str:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _connection(
    parts: SplitResult, settings: ReadSettings, wait: float
) -> tuple[HTTPConnection, str, dict[str, str]]:
    """Return an unopened connection, what to ask of it, and the headers to send."""
    host, is_tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    target = quote(parts.path or "/", safe=string.punctuation)
    target += f"?{quote(parts.query, safe=string.punctuation)}" if parts.query else ""
    headers = {"User-Agent": "finetext", "Accept": "*/*", "Connection": "close"}
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(f"{host}:{port}"):
        return _opened(host, port, is_tls, wait, settings.private_addresses), target, headers
    if not settings.private_addresses:
        _check_name(host, port)
    through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if through.scheme != "http" or not through.hostname:
        raise OSError("the proxy of the environment is no http proxy")
    connection = _opened(through.hostname, through.port or 80, is_tls, wait, True)
    said = {"Proxy-Authorization": _basic(through)} if through.username else {}
    if is_tls:
        connection.set_tunnel(host, port, headers=said)
        return connection, target, headers
    netloc = parts.netloc.rpartition("@")[2]
    return connection, f"http://{netloc}{target}", {"Host": netloc, **headers, **said}


def _opened(
    host: str, port: int, is_tls: bool, wait: float, may_be_private: bool
) -> HTTPConnection:
    connection = _Checked(host, port, timeout=wait)
    if is_tls:
        connection = _CheckedTls(host, port, timeout=wait, context=ssl.create_default_context())
    connection.may_be_private = may_be_private
    return connection


class _Checked(HTTPConnection):
    """A connection to an address that was checked, unless any is allowed."""

    may_be_private = False

    def connect(self) -> None:
        """Connect to the first address of the host that answers."""
        problem: OSError | None = None
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found[:_MOST_ADDRESSES]:
            if not self.may_be_private:
                _check_address(self.host, str(address[0]))
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self.timeout)
                sock.connect(address)
            except OSError as error:
                sock.close()
                problem = error
                continue
            self.sock = sock
            if getattr(self, "_tunnel_host", None):
                self._tunnel()  # type: ignore[attr-defined]
            return
        raise problem or OSError(f"{self.host} has no address")


class _CheckedTls(HTTPSConnection, _Checked):
    """The same with TLS."""


def _check_name(host: str, port: int) -> None:
    """Refuse a host behind a proxy that is at a private address as far as this machine knows."""
    with suppress(OSError):
        for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            _check_address(host, str(address[0]))


def _check_address(host: str, address: str) -> None:
    """Raise a DataError if an address is not on the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = ip
    if isinstance(ip, ipaddress.IPv6Address):
        in_nat = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        teredo = ip.teredo[1] if ip.teredo else None
        inner = in_nat or ip.ipv4_mapped or ip.sixtofour or teredo or ip
    is_odd = inner.is_multicast or inner.is_reserved or getattr(inner, "is_site_local", False)
    if is_odd or not inner.is_global:
        raise DataError(
            f"{host} is at {ip}, a loopback, private or reserved address, which is not fetched "
            "unless you allow it: --set data.private_addresses=true"
        )
