"""A replica of Ray Serve, without Ray: its health, its settings and its token."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from serving_toys import Client

import finetext
from finetext.core.contracts import FitContext
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Dataset
from finetext.serving import ray_serve, tracing
from finetext.serving.ray_serve import Replica

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def model(topics: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    fitted = finetext.Tfidf().fit(topics, topics.select([]), FitContext())
    return str(fitted.save(tmp_path_factory.mktemp("models") / "topics"))


def test_it_is_healthy_while_its_queue_works(model: str) -> None:
    replica = Replica(model)
    app = replica.__serve_build_asgi_app__()

    async def live() -> None:
        async with app.router.lifespan_context(app):
            replica.check_health()
            app.state.batcher.fault = "the model has not answered"
            with pytest.raises(ModelError, match="the model has not answered"):
                replica.check_health()

    asyncio.run(live())


def test_settings_and_token_are_those_of_the_server(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all = Client(Replica(model, {"request_texts": 1}).__serve_build_asgi_app__())
    assert open_to_all("POST", "/predict", {"inputs": ["a", "b"]}).status == 422
    assert open_to_all("GET", "/info", headers={"host": "evil.example"}).status == 403
    monkeypatch.setenv("FINETEXT_TOKEN", TOKEN)
    guarded = Client(Replica(model).__serve_build_asgi_app__())
    assert guarded("GET", "/info").status == 401
    sent = {"authorization": f"Bearer {TOKEN}", "host": "texts.example"}
    assert guarded("GET", "/info", headers=sent).status == 200


def test_what_it_cannot_serve(model: str) -> None:
    with pytest.raises(RecipeError, match="request_text"):
        Replica(model, {"request_text": 1})
    for name, value in (("workers", 4), ("log_format", "json")):
        with pytest.raises(RecipeError, match=f"settings: {name} is for finetext serve. Ray"):
            Replica(model, {name: value})
    with pytest.raises(ModelError, match="nowhere"):
        Replica(str(Path("nowhere")))


def test_a_model_that_is_not_there_is_named_with_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_serve, "on_this_node", lambda: " (on the node seven)")
    with pytest.raises(ModelError, match=r"nowhere.*\(on the node seven\)"):
        Replica("nowhere")


def test_traces_are_as_the_environment_says(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Provider:
        """Notes that spans are asked for, and makes none."""

        def __init__(self) -> None:
            self.asked: list[str] = []

        def get_tracer(self, name: str, version: str) -> Provider:
            return self

        def start_as_current_span(self, name: str, *how: Any, **more: Any) -> Any:
            self.asked.append(name)
            return nullcontext()

    provider = Provider()
    monkeypatch.setattr(tracing, "tracer_from_environment", lambda: tracing.Tracer(provider))
    pytest.importorskip("opentelemetry", reason="the extra otel is not installed")
    assert Client(Replica(model).__serve_build_asgi_app__())("GET", "/info").status == 200
    assert provider.asked == ["GET /info"]
