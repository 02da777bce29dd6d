"""The web app over one model, top to bottom: its addresses, and the layers that guard them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from finetext.core import __version__
from finetext.core.arrays import Floats, finite
from finetext.core.errors import UnknownNameError
from finetext.core.settings import ServeSettings
from finetext.serving import schemas
from finetext.serving.batching import Ask, Batcher
from finetext.serving.documents import POSTED, document_of, documents_page, refusals
from finetext.serving.limits import Authorised, Bounded, Named, Watched
from finetext.serving.metrics import CONTENT_TYPE, Metrics
from finetext.serving.model import ServedModel, decisions, scored, wants_logits
from finetext.serving.requests import Refusal, StrictRoute, http_refusal, validation_refusal

PAGE: Final = Path(__file__).parent / "page"
MANY_NUMBERS: Final = 10_000
"""From here on it takes hundredths of a second to write the numbers of an answer."""
NO_PAGE: Final = (
    "<!doctype html><title>finetext</title>\n"
    '<p>This server classifies texts: see <a href="docs">how to ask</a>.</p>\n'
)


def make_app(
    model: ServedModel,
    settings: ServeSettings | None = None,
    token: str | None = None,
    about: Mapping[str, Any] | None = None,
    is_local: bool = False,
) -> FastAPI:
    """The app that serves a model.

    Args:
        model: what it serves.
        settings: its limits; the usual ones by default.
        token: what clients must have; None for nothing.
        about: what `finetext.serving.model.about` gives, for `/info`.
        is_local: whether only this machine can connect; see `ServeSettings.hosts`.
    """
    settings = settings or ServeSettings()
    service = Service(model, settings, about or {})
    has_names = bool(settings.hosts) or (is_local and not token)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.batcher.running():
            yield

    app = FastAPI(
        title="finetext", version=__version__, docs_url=None, redoc_url=None,
        description="Texts in, labels and probabilities out.", lifespan=lifespan,
        dependencies=[Security(HTTPBearer(auto_error=False))] if token else [],
        redirect_slashes=False,
    )  # fmt: skip
    app.router.route_class = StrictRoute
    add_addresses(app, service, [401] * bool(token), [403] * has_names)
    app.exception_handler(RequestValidationError)(validation_refusal)
    app.exception_handler(HTTPException)(http_refusal)
    paths = {path for route in app.routes if (path := getattr(route, "path", None))}
    app.add_middleware(Bounded, settings=settings)
    if token:
        app.add_middleware(Authorised, token=token)
    if has_names:
        app.add_middleware(Named, hosts=settings.hosts)
    app.add_middleware(Watched, metrics=service.metrics, paths=paths)
    app.openapi = partial(document_of, app, settings)  # type: ignore[method-assign]
    return app


def add_addresses(app: FastAPI, service: Service, of_token: list[int], of_names: list[int]) -> None:
    """Every address of the app; with the statuses of who has no token, or comes by another name."""
    always = [*of_token, *of_names]
    reading, asking = refusals([*always, 500]), refusals([*always, *POSTED])
    scores: dict[str, Any] = {"response_model": list[list[schemas.LabelScore]], "responses": asking}
    app.post("/predict", summary="Score texts", **scores)(service.predict)
    app.post("/", summary="The same as /predict, for clients of Hugging Face", **scores)(
        service.predict
    )
    app.post(
        "/decide", summary="Decide on texts",
        response_model=list[schemas.Decided], responses=asking,
    )(service.decide)  # fmt: skip
    app.post(
        "/explain", summary="Say which words of a text mattered",
        response_model=schemas.Explained, responses=asking,
    )(service.explain)  # fmt: skip
    app.get(
        "/info", summary="What the model is",
        response_model=schemas.Info, responses=reading,
    )(service.info)  # fmt: skip
    app.get(
        "/health", summary="Whether texts are taken",
        response_model=schemas.Health, responses=refusals([*of_names, 503]),
    )(service.health)  # fmt: skip
    app.get(
        "/health/live", summary="Whether the server is there",
        response_model=schemas.Health, responses=refusals(of_names),
    )(service.live)  # fmt: skip
    app.get(
        "/metrics", summary="Counts and times for Prometheus", response_class=Response,
        responses={**reading, 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )(service.measured)  # fmt: skip
    app.get("/docs", include_in_schema=False)(documents_page)
    app.get("/", include_in_schema=False)(page)
    if PAGE.is_dir():
        app.mount("/page", StaticFiles(directory=PAGE))


async def page() -> Response:
    """The page for people."""
    index = PAGE / "index.html"
    return FileResponse(index) if index.is_file() else HTMLResponse(NO_PAGE)


@final
class Service:
    """What the addresses do."""

    def __init__(
        self, model: ServedModel, settings: ServeSettings, about: Mapping[str, Any]
    ) -> None:
        """Make the queue before the model and the metrics."""
        self._model, self._settings, self._about = model, settings, about
        self._classifier = model.classifier
        self.metrics = Metrics(lambda: self.batcher.waiting)
        self.batcher = Batcher(model.scores, model.tokens, settings, self.metrics.predicted)

    async def predict(self, asked: schemas.Classification) -> Response:
        """Labels and scores of each text, best first."""
        given, scheme = asked.parameters or schemas.Parameters(), self._classifier.scheme
        function = given.function_to_apply
        logits = wants_logits(function, scheme.multilabel)
        rows = await self.batcher.predict([Ask(text, logits) for text in self._texts(asked.inputs)])
        return await _written(rows, partial(scored, scheme, rows, function, given.top_k))

    async def decide(self, asked: schemas.Decision) -> Response:
        """The label of each text as the model decides, or none where it abstains."""
        rows = await self.batcher.predict([Ask(text) for text in self._texts(asked.inputs)])
        scheme, decision = self._classifier.scheme, self._classifier.decision
        return await _written(rows, partial(decisions, scheme, decision, rows))

    async def explain(self, asked: schemas.Question) -> Response:
        """Which words of a text mattered for a label. It waits while texts are predicted."""
        [text], most = self._texts(asked.inputs), self._settings.explained_characters
        if len(text) > most:
            raise Refusal(422, f"inputs has {len(text):,} characters; to be explained, {most:,}")
        try:
            found = await self.batcher.do(partial(self._model.explain, text, asked.label))
        except UnknownNameError as error:
            raise Refusal(422, str(error)) from None
        told = found.to_json()
        return _json({name: value for name, value in told.items() if name != "text"})

    async def info(self) -> Response:
        """What the model is, where it comes from, how good it is, what the server takes on."""
        scheme, decision = self._classifier.scheme, self._classifier.decision
        told = {
            "name": "", "provenance": {}, "run": None, "card": None, **self._about,
            "finetext_version": __version__, "kind": self._classifier.kind,
            "labels": list(scheme.names), "multilabel": scheme.multilabel,
            "decision": decision.to_json(), "abstains": decision.least is not None,
            "coverage": None if decision.set_from is None else decision.coverage,
            "precision": self._classifier.number_format, "way": self._model.explainer.way,
            "limits": {name: of for name, of in asdict(self._settings).items() if name != "hosts"},
        }  # fmt: skip
        return _json(told)

    async def health(self) -> Response:
        """Whether texts are taken: 200, or 503 while the model is stuck."""
        if not self.batcher.is_working:
            raise Refusal(503, "the model does not answer")
        return _json({"status": "ready"})

    async def live(self) -> Response:
        """That the server is there."""
        return _json({"status": "live"})

    async def measured(self) -> Response:
        """The metrics."""
        return Response(self.metrics.text(), headers={"content-type": CONTENT_TYPE})

    def _texts(self, inputs: str | list[str]) -> list[str]:
        """The texts of a request.

        Raises:
            Refusal: they are too many, or one is too long.
        """
        texts = [inputs] if isinstance(inputs, str) else inputs
        most, longest = self._settings.request_texts, self._settings.text_characters
        if len(texts) > most:
            raise Refusal(422, f"inputs has {len(texts):,} texts; at most {most:,} go at once")
        for number, text in enumerate(texts):
            if len(text) > longest:
                place = "inputs" if isinstance(inputs, str) else f"inputs[{number}]"
                raise Refusal(422, f"{place} has {len(text):,} characters; at most {longest:,}")
        return texts


def _json(value: Any) -> Response:
    return _answer(
        json.dumps(finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    )


async def _written(rows: Floats, write: Callable[[], str]) -> Response:
    """An answer of many numbers; if they are very many, others have their turn meanwhile."""
    return _answer(await asyncio.to_thread(write) if rows.size > MANY_NUMBERS else write())


def _answer(text: str) -> Response:
    return Response(text.encode(), media_type="application/json")
