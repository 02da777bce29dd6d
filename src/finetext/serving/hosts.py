"""Which names a server answers to.

A page of a stranger can have its own name point at this machine (DNS rebinding), and then ask, from
the browser of whoever opened it, what listens here for this machine alone. Its requests come under
that name: an address in numbers, or `localhost`, cannot be made to point elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, final

from finetext.serving.refusals import Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_LOCAL: Final = "localhost"
_LONGEST: Final = 60


@final
class Named:
    """Refuses requests that come under a name that is not the server's."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        """Stand before `app`, whose names are `hosts` beside those of this machine."""
        self._app, self._hosts = app, frozenset(name.lower().rstrip(".") for name in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on if the name is known, or none is given."""
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"host" and not self._knows(host := _host(value)):
                    raise Refusal(
                        403,
                        f"this server does not go by the name {host[:_LONGEST]!r}; whoever runs it "
                        "can add that to its serve.hosts, or set a token",
                    )
        await self._app(scope, receive, send)

    def _knows(self, host: str) -> bool:
        if not host or host in self._hosts or host == _LOCAL or host.endswith(f".{_LOCAL}"):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def _host(value: bytes) -> str:
    """The name in a header such as `localhost:8000` or `[::1]:8000`."""
    text = value.decode("latin-1").strip().lower()
    name = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
    return name.rstrip(".")
