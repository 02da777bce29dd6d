"""Servers around a toy, with and without a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving_toys import Client, Toy

from finetext.core.contracts import Classifier
from finetext.core.settings import ServeSettings

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def make_client(toy: Toy) -> Callable[..., Client]:
    """A function that makes a client of an app around the toy or another classifier."""
    from finetext.serving.app import make_app
    from finetext.serving.model import ServedModel

    def make(classifier: Classifier = toy, token: str | None = None, **limits: Any) -> Client:
        return Client(make_app(ServedModel(classifier), ServeSettings(**limits), token))

    return make


@pytest.fixture
def serving(toy: Toy) -> Iterator[Callable[..., str]]:
    """A function that serves the toy, or another classifier, at a real address."""
    from finetext.serving.app import make_app
    from finetext.serving.model import ServedModel
    from finetext.serving.server import address, bound, make_server

    running: list[tuple[Any, threading.Thread, Any]] = []

    def start(classifier: Classifier = toy, token: str | None = None, **limits: Any) -> str:
        settings = ServeSettings(**{"idle_seconds": 1} | limits)
        server = make_server(make_app(ServedModel(classifier), settings, token), settings)
        listening = bound("127.0.0.1", 0)
        listening.listen(64)
        place = address(listening)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread, listening))
        return place

    start.running = running  # type: ignore[attr-defined]
    yield start
    for server, thread, _ in running:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
