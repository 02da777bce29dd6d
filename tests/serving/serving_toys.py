"""A classifier that says which text it was asked about, and a client without a network."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self
from urllib.parse import urlsplit

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.types import LabelScheme


def toy_probability(text: str) -> float:
    """A number between 0 and 1 that is another one for every text."""
    return (int.from_bytes(text.encode()[-6:], "big") % 999_983 + 1) / 999_985


@dataclass(frozen=True, eq=False)
class Toy(Classifier):
    """Says of each text its own number; notes what it is given; waits where it is told to."""

    kind: ClassVar[str] = "toy"
    scheme: LabelScheme = field(default_factory=lambda: LabelScheme(("no", "yes")))
    decision: Decision = AS_LIKELY
    seconds: float = 0.0
    batches: list[list[str]] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)
    threads: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.free.set()

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        self.threads.add(threading.get_ident())
        self.batches.append(list(texts))
        if "a text that breaks it" in texts:
            raise RuntimeError("/secret/place is broken")
        time.sleep(self.seconds)
        assert self.free.wait(20)
        own = np.array([toy_probability(text) for text in texts])
        rows = np.stack([1 - own, own], axis=1)
        rows[[text == "a text without a number" for text in texts]] = np.nan
        return rows

    @property
    def seen(self) -> list[str]:
        return [text for batch in self.batches for text in batch]

    def save_weights(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        raise NotImplementedError

    def with_temperature(self, temperature: float) -> Self:
        return self


class Answer(NamedTuple):
    """Status, headers by lower-case name, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: Any,
    method: str,
    path: str,
    body: bytes | Sequence[bytes] = b"",
    headers: dict[str, str] | None = None,
    receive: Callable[[], Any] | None = None,
) -> Answer:
    """One request to an app whose lifespan runs; the body in one piece or in several."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    given = {"content-type": "application/json", **(headers or {})}
    sent: list[dict[str, Any]] = []
    never = asyncio.Event()

    async def usual() -> dict[str, Any]:
        if not pieces:
            await never.wait()
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "path": path, "raw_path": path.encode(), "root_path": "", "scheme": "http",
        "query_string": b"", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    await app(scope, receive or usual, send)
    if not sent:
        return Answer(0, {}, b"")
    names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], names, b"".join(part.get("body", b"") for part in sent[1:]))


@dataclass
class Client:
    """Requests to an app, each within its lifespan."""

    app: Any

    def __call__(self, method: str, path: str, value: Any = None, **more: Any) -> Answer:
        """One request; `value` goes as JSON, `body` as it is."""
        return self.all([(method, path, value, more)])[0]

    def all(self, asked: Sequence[tuple[str, str, Any, dict[str, Any]]]) -> list[Answer]:
        """Requests at the same time."""

        async def together() -> list[Answer]:
            async with self.app.router.lifespan_context(self.app):
                calls = []
                for method, path, value, more in asked:
                    body = more.pop("body", b"" if value is None else json.dumps(value).encode())
                    calls.append(call(self.app, method, path, body, **more))
                return await asyncio.gather(*calls)

        return asyncio.run(together())


def error_of(answer: Answer, status: int) -> str:
    """The message of an error, which is in the one form that all have."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["error"]
    message: str = answer.json["error"]
    return message


def connected(address: str) -> socket.socket:
    """A connection to a server."""
    place = urlsplit(address)
    made = socket.create_connection((place.hostname, place.port), timeout=20)
    made.settimeout(20)
    return made


def request(value: Any, path: str = "/predict", headers: str = "") -> bytes:
    """A POST as it goes over the wire."""
    body = json.dumps(value).encode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def read_answer(made: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer; status 0 if the connection was closed instead."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = received(made)
        if not part:
            return 0, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    length = int(dict(lines)[b"content-length"])
    while len(body) < length:
        body += made.recv(65_536)
    assert len(body) == length
    return int(head.split()[1]), body


def received(made: socket.socket) -> bytes:
    """What comes next; nothing if the connection was closed."""
    try:
        return made.recv(65_536)
    except ConnectionResetError:
        return b""


def ask(address: str, value: Any, **more: Any) -> tuple[int, bytes]:
    """Status and body of the answer to a request over a new connection."""
    with closing(connected(address)) as made:
        made.sendall(request(value, **more))
        return read_answer(made)


def still_answers(address: str) -> bool:
    """Whether a usual request gets its answer."""
    return ask(address, {"inputs": "hello"})[0] == 200
