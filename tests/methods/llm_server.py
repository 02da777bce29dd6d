"""A server on loopback that speaks the OpenAI API, as well or as badly as its script says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """An answer of the server.

    `content` is what the model says, or a body as it is sent; `tokens` have log-probabilities;
    `drip` are seconds between two bytes. A status of 0 closes the connection.
    """

    content: str | bytes = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    tokens: Sequence[tuple[str, float, Mapping[str, float]]] | None = None
    usage: tuple[Any, Any] | None = (100, 5)
    drip: float = 0.0


Script = Callable[[dict[str, Any]], Reply]


def text_of(request: Mapping[str, Any]) -> str:
    """The text that a request asks about."""
    text: str = json.loads(request["messages"][-1]["content"])["text"]
    return text


def labels_of(request: Mapping[str, Any]) -> list[str]:
    """The labels that an answer may have."""
    schema = request["response_format"]["json_schema"]["schema"]["properties"]
    label = schema.get("label") or schema["labels"]["items"]
    found: list[str] = label["enum"]
    return found


def is_multilabel(request: Mapping[str, Any]) -> bool:
    return "labels" in request["response_format"]["json_schema"]["schema"]["properties"]


def by_length(request: dict[str, Any]) -> Reply:
    """A model that goes by the length of a text: wrong, but always the same."""
    labels, text = labels_of(request), text_of(request)
    chosen = labels[len(text) % len(labels)]
    if is_multilabel(request):
        several = [of for n, of in enumerate(labels) if len(text) >> n & 1]
        return Reply(json.dumps({"labels": several}))
    return Reply(json.dumps({"label": chosen}))


class LlmServer:
    """What was asked so far, and the script of the next answers."""

    def __init__(self, script: Script = by_length) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.url = ""
        self._lock = threading.Lock()

    @property
    def texts(self) -> list[str]:
        return [text_of(request) for request in self.requests]

    def answer(self, request: dict[str, Any], headers: Mapping[str, str]) -> Reply:
        with self._lock:
            self.requests.append(request)
            self.headers.append(dict(headers))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            reply = self.script(request)
            time.sleep(reply.seconds)
            return reply
        finally:
            with self._lock:
                self.at_once -= 1


def _body(reply: Reply, model: str) -> bytes:
    if isinstance(reply.content, bytes):
        return reply.content
    if reply.status != 200:
        return json.dumps({"error": {"message": reply.content}}).encode()
    logprobs = None
    if reply.tokens is not None:
        logprobs = {
            "content": [
                {
                    "token": token,
                    "logprob": logprob,
                    "top_logprobs": [{"token": of, "logprob": p} for of, p in others.items()],
                }
                for token, logprob, others in reply.tokens
            ]
        }
    choice = {
        "index": 0, "finish_reason": "stop", "logprobs": logprobs,
        "message": {"role": "assistant", "content": reply.content},
    }  # fmt: skip
    found = {"id": "1", "object": "chat.completion", "created": 0, "model": model}
    found |= {"choices": [choice]}
    if reply.usage is not None:
        sent, received = reply.usage
        found["usage"] = {
            "prompt_tokens": sent, "completion_tokens": received, "total_tokens": 0,
        }  # fmt: skip
    return json.dumps(found).encode()


@contextmanager
def serving(script: Script = by_length) -> Iterator[LlmServer]:
    """Run a server while the body runs."""
    server = LlmServer(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # in one packet
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            reply = server.answer(asked, self.headers)
            body = _body(reply, asked["model"])
            if not reply.status:
                self.close_connection = True
                return
            try:
                self.send_response(reply.status)
                for name, value in {"content-type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if not reply.drip:
                    self.wfile.write(body)
                    return
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(reply.drip)
            except OSError:  # the client did not wait
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        http.block_on_close = False
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
