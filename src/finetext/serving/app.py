"""The web app over one model: its routes and its middleware."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from fastapi.security import HTTPBearer
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from finetext.batch.tables import Shown, layout_of
from finetext.core import __version__
from finetext.core.arrays import Floats, finite
from finetext.core.errors import DataError, UnknownNameError
from finetext.core.settings import ReadSettings, ServeSettings
from finetext.core.text_columns import given_text, texts_in
from finetext.data.predictions import PREFIX
from finetext.data.rows import Texts
from finetext.models.engines import engine_of
from finetext.serving import middleware, schemas
from finetext.serving.batching import Ask, Batcher, silent
from finetext.serving.metrics import Metrics
from finetext.serving.model import KnownRows, ServedModel, decisions, scored, wants_logits
from finetext.serving.model_thread import Failed, contained
from finetext.serving.requests import (
    Refusal,
    StrictRoute,
    http_refusal,
    stopping,
    validation_refusal,
)
from finetext.serving.schemas import POSTED, document_of, documents_page, refusals
from finetext.serving.tables import SETTINGS, TableReader, bytes_of
from finetext.serving.tracing import Tracer

PAGE: Final = Path(__file__).parent / "page"
_PRIVATE: Final = ("hosts", "workers", "log_format")
"""Settings that are no business of clients."""
MANY_NUMBERS: Final = 10_000
"""Numbers in an answer from which writing it takes hundredths of a second."""


def make_app(
    model: ServedModel,
    settings: ServeSettings | None = None,
    token: str | None = None,
    about: Mapping[str, Any] | None = None,
    is_local: bool = False,
    tracer: Tracer | None = None,
) -> FastAPI:
    """Return the app that serves a model."""
    settings, tracer = settings or ServeSettings(), tracer or Tracer()
    service = Service(model, settings, about or {})
    service.batcher.tracer = tracer
    has_names = bool(settings.hosts) or (is_local and not token)

    app = FastAPI(
        title="finetext", version=__version__, docs_url=None, redoc_url=None,
        description="Texts in, labels and probabilities out.", redirect_slashes=False,
        dependencies=[Security(HTTPBearer(auto_error=False))] if token else [],
        lifespan=lambda app: service.batcher.running(),
    )  # fmt: skip
    app.state.service, app.state.batcher = service, service.batcher
    app.router.route_class = StrictRoute
    add_addresses(app, service, [401] * bool(token), [403] * has_names)
    app.exception_handler(RequestValidationError)(validation_refusal)
    app.exception_handler(HTTPException)(http_refusal)
    paths = {path for route in app.routes if (path := getattr(route, "path", None))}
    checks = [partial(middleware.check_host, settings.hosts)] if has_names else []
    checks += [partial(middleware.check_token, token)] if token else []
    app.add_middleware(middleware.BodyLimit, settings=settings)
    app.add_middleware(
        middleware.Monitor, metrics=service.metrics, paths=paths, checks=checks,
        is_stopping=lambda: service.is_stopping(), tracer=tracer,
    )  # fmt: skip
    columns = model.classifier.scheme.text_columns
    app.openapi = partial(document_of, app, settings, columns)  # type: ignore[method-assign]
    return app


def add_addresses(app: FastAPI, service: Service, of_token: list[int], of_names: list[int]) -> None:
    """Add every route, with the statuses for a missing token or an unknown host."""
    always = [*of_token, *of_names]
    reading, asking = refusals([*always, 500]), refusals([*always, *POSTED])
    of_files = {**asking, 422: {**asking[422], "model": schemas.TableRefusal}}
    scores: Any = list[list[schemas.LabelScore]]
    same = "The same as /predict, for clients of Hugging Face"
    explained, health = "Say which words of a text mattered", schemas.Health
    rows = "Decide on rows of a file, also on empty texts"
    living = refusals([*of_names, 503])
    for path, summary, shape, responses, handler in (
        ("/predict", "Score texts", scores, asking, service.predict),
        ("/", same, scores, asking, service.predict),
        ("/decide", "Decide on texts", list[schemas.Decided], asking, service.decide),
        ("/explain", explained, schemas.Explained, asking, service.explain),
        ("/table", "Read a file", schemas.Table, of_files, service.table),
        ("/table/decide", rows, list[schemas.Decided], asking, service.decide_rows),
        ("/info", "What the model is", schemas.Info, reading, service.info),
        ("/ready", "Whether texts are accepted now", health, living, service.ready),
        ("/health", "Whether it need not be restarted", health, living, service.health),
    ):
        add = app.post if 422 in responses else app.get
        add(path, summary=summary, response_model=shape, responses=responses)(handler)
    app.get(
        "/metrics", summary="Counts and times for Prometheus", response_class=Response,
        responses={**reading, 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )(service.measured)  # fmt: skip
    app.get("/health/live", include_in_schema=False)(service.health)  # as it was called
    app.get("/docs", include_in_schema=False)(documents_page)
    app.get("/", include_in_schema=False, response_class=FileResponse)(page)
    app.mount("/page", StaticFiles(directory=PAGE))


async def page() -> Path:
    """Return the page for people."""
    return PAGE / "index.html"


@final
class Service:
    """The handlers of the routes."""

    def __init__(
        self, model: ServedModel, settings: ServeSettings, about: Mapping[str, Any]
    ) -> None:
        """Create the queue in front of the model, and the metrics."""
        self._model, self._settings, self._about = model, settings, about
        self._classifier = model.classifier
        self.metrics = Metrics()
        self._known = KnownRows(settings.known_bytes, len(self._classifier.scheme))
        self.is_stopping: Callable[[], bool] = lambda: False
        """Whether the server only finishes what it has."""
        self._tables = TableReader(settings.request_seconds, settings.queue_tables)
        watch, check = self.metrics.predicted, model.check
        scores = partial(model.scores, sent_on=self.metrics.sent_on)
        self.batcher = Batcher(scores, model.tokens, settings, watch, check)
        self.batcher.changed = self.metrics.queue.set
        self._prepared: asyncio.Task[Failed | None] | None = None

    async def predict(self, asked: schemas.Classification) -> Response:
        """Return labels and scores of each text, best first."""
        given, scheme = asked.parameters or schemas.Parameters(), self._classifier.scheme
        function = given.function_to_apply
        logits = wants_logits(function, scheme.multilabel)
        rows = await self._rows([Ask(text, logits) for text in self._texts(asked.inputs)])
        return await _written(rows, partial(scored, scheme, rows, function, given.top_k))

    async def decide(self, asked: schemas.Decision) -> Response:
        """Return the label of each text, or none where the model abstains."""
        return await self._decided(self._texts(asked.inputs))

    async def decide_rows(self, asked: schemas.RowsOfTable) -> Response:
        """Return what `decide` does, also for empty texts, which the page has told of."""
        return await self._decided(self._texts(asked.inputs, may_be_empty=True))

    async def explain(self, asked: schemas.Question) -> Response:
        """Return which words of a text mattered for a label, after waiting predictions."""
        [text], most = self._texts(asked.inputs), self._settings.explained_characters
        if (length := _length(text)) > most:
            raise Refusal(422, f"inputs has {length:,} characters; to be explained, {most:,}")
        if why := self._model.unexplained:
            raise Refusal(422, why)
        await self._prepare_explaining()
        try:
            found = await self.batcher.do(partial(self._model.explain, text, asked.label))
        except UnknownNameError as error:
            raise Refusal(422, str(error)) from None
        return _json({name: of for name, of in found.to_json().items() if name != "text"})

    async def table(self, asked: schemas.TableFile) -> Response:
        """Return the rows of a file, read as `finetext predict` reads it, for the page."""
        if (data := bytes_of(asked.file)) is None:
            raise Refusal(422, "file is not Base64")
        given = {name: of for name in SETTINGS if (of := getattr(asked, name)) is not None}
        text = tuple(asked.text or ()) or None
        try:
            texts = ReadSettings(text=text).with_texts_of(self._classifier.scheme)
        except DataError as error:
            raise Refusal(422, str(error)) from None
        own = {"text": texts.text, "preferred_text": texts.preferred_text}
        given |= {name: of for name, of in own.items() if of is not None}
        found, rows = await self._tables.read(asked.name, data, given)
        if "error" in found:
            refusal = Refusal(422, found["error"])
            refusal.choice = found.get("choice")
            raise refusal
        names = Texts(iter(()), columns=dict.fromkeys(found["names"]), id_column=found.pop("id"))
        layout = layout_of(self._classifier, names, Shown())
        added: dict[str, Any] = {"id": None, **layout.names}
        added |= {"prefix": layout.prefix + PREFIX, "every": layout.every}
        head = json.dumps({**found, "added": added}).encode()
        return Response(head[:-1] + b"," + rows, media_type="application/json")

    async def info(self) -> Response:
        """Return what the model is, its origin, its scores, and the limits of the server."""
        scheme, decision = self._classifier.scheme, self._classifier.decision
        return _json({
            "name": "", "provenance": {}, "run": None, "card": None, **self._about,
            "finetext_version": __version__, "kind": self._classifier.kind,
            "labels": list(scheme.names), "multilabel": scheme.multilabel,
            "positive": scheme.positive_class,
            "text_columns": list(scheme.text_columns), "text_column": scheme.text_column,
            "decision": decision.to_json(), "abstains": decision.least is not None,
            "coverage": None if decision.set_from is None else decision.coverage,
            "precision": self._classifier.number_format, "engine": engine_of(self._classifier),
            "way": self._model.way,
            "limits": {
                name: of for name, of in asdict(self._settings).items() if name not in _PRIVATE
            },
        })  # fmt: skip

    async def ready(self) -> Response:
        """Return 200 if texts are accepted now: not if it stops, is full or the model is stuck."""
        if self.is_stopping():
            raise stopping()
        if not self.batcher.is_working:
            raise silent()
        if self.batcher.waiting >= self._settings.queue_texts:
            raise Refusal(503, "as many texts wait as may", {"retry-after": "1"})
        return _json({"status": "ready"})

    async def health(self) -> Response:
        """Return 200 while batches go through or may still, 503 if only a restart helps."""
        if not self.batcher.is_alive:
            raise silent()
        return _json({"status": "live"})

    async def measured(self) -> Response:
        """Return the metrics."""
        headers = {"content-type": CONTENT_TYPE_LATEST}
        return Response(self.metrics.exposed(), headers=headers)

    async def _prepare_explaining(self) -> None:
        """Load what explains texts, once, in a thread beside that of the model."""
        if self._prepared is None:
            work = asyncio.to_thread(contained, self._model.prepare_explaining)
            self._prepared = asyncio.create_task(work)
        found = await asyncio.shield(self._prepared)
        if found is not None:
            self._prepared = None  # the next request tries again
            raise found.error

    async def _decided(self, texts: Sequence[str]) -> Response:
        rows = await self._rows([Ask(text) for text in texts])
        scheme, decision = self._classifier.scheme, self._classifier.decision
        return await _written(rows, partial(decisions, scheme, decision, rows))

    async def _rows(self, asks: Sequence[Ask]) -> Floats:
        """Return (n, k) numbers of the texts; the model gets those that it was not asked lately."""
        rows = {ask: row for ask in asks if (row := self._known.get(ask)) is not None}
        new = list(dict.fromkeys(ask for ask in asks if ask not in rows))
        if new:
            predicted = await self.batcher.predict(new)
            rows |= zip(new, predicted, strict=True)
        for ask in new:
            self._known.add(ask, rows[ask])
        self.metrics.repeated.inc(len(asks) - len(new))
        return np.array([rows[ask] for ask in asks])

    def _texts(
        self, inputs: str | Mapping[str, str] | list[Any], may_be_empty: bool = False
    ) -> list[str]:
        """Return the texts of a request; raises a Refusal if they are too many, long or empty."""
        rows = inputs if isinstance(inputs, list) else [inputs]
        most, longest = self._settings.request_texts, self._settings.text_characters
        if len(rows) > most:
            raise Refusal(422, f"inputs has {len(rows):,} texts; at most {most:,} go at once")
        columns = self._classifier.scheme.text_columns
        texts = []
        for number, row in enumerate(rows):
            place = f"inputs[{number}]" if isinstance(inputs, list) else "inputs"
            try:
                texts.append(text := given_text(row, columns, place))
            except DataError as error:
                raise Refusal(422, str(error)) from None
            if (length := _length(text)) > longest:
                raise Refusal(422, f"{place} has {length:,} characters; at most {longest:,}")
            if not (may_be_empty or text.strip()):
                advice = "leave it out" if len(rows) > 1 else "send a text"
                raise Refusal(422, f"{place} is empty; {advice}")
        return texts


def _length(text: str) -> int:
    """Return the characters of a text, of several joined ones of the longest."""
    return max(map(len, texts_in(text)))


def _json(value: Any) -> Response:
    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), media_type="application/json")


async def _written(rows: Floats, write: Callable[[], str]) -> Response:
    """Return an answer, written in another thread if it has very many numbers."""
    text = await asyncio.to_thread(write) if rows.size > MANY_NUMBERS else write()
    return Response(text.encode(), media_type="application/json")
