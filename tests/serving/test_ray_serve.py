"""A replica of Ray Serve, without Ray: its health, its settings and its token."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from serving_toys import Client

import finetext
from finetext.core.contracts import FitContext
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Dataset
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
    with pytest.raises(ModelError, match="nowhere"):
        Replica(str(Path("nowhere")))
