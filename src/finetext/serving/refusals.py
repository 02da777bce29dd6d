"""The one form in which a request is refused: a status and `{"error": "..."}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from starlette.types import Send

LONGEST_MESSAGE: Final = 500


class Refusal(Exception):
    """A request that is not answered as asked, with what its sender is told."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep what is told.

        Args:
            status: HTTP status.
            message: what is wrong and what to do, without anything of this machine.
            headers: further headers, their names in lower case.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class ClientGone(Exception):
    """The client hung up before it had its answer."""


def error_body(message: str) -> bytes:
    """The body of a refusal; what has no form in UTF-8 is a question mark."""
    cut = message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + " ..."
    return json.dumps({"error": cut}, ensure_ascii=False).encode("utf-8", "replace")


async def refuse(send: Send, refusal: Refusal) -> None:
    """Send a refusal as the answer."""
    body = error_body(refusal.message)
    own = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *own,
    ]
    start: dict[str, Any] = {"type": "http.response.start", "status": refusal.status}
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": body})
