"""A studio without a model and a database: its pages, and answers of the API from memory."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

import finetext.serving
import finetext.studio
from finetext.serving.middleware import HEADERS

OWN = Path(finetext.studio.__file__).parent / "page"
SHARED = Path(finetext.serving.__file__).parent / "page"

LABELS = [
    {"name": "sport", "description": "Games, players and results", "color": "#0072b2", "key": "1"},
    {"name": "money", "description": "Banks, shares and prices", "color": "#d55e00", "key": "2"},
    {
        "name": "food",
        "description": "Cooking, recipes and restaurants",
        "color": "#009e73",
        "key": "",
    },
]
GUIDELINES = "Choose what the text is mainly about.\nIf two fit, take the one that the title names."


@dataclass
class Fake:
    """What the studio knows; tests read and change it."""

    texts: list[str]
    labels: list[dict[str, Any]] = field(default_factory=lambda: [dict(one) for one in LABELS])
    multilabel: bool = False
    suggestion: dict[str, Any] | None = None
    judgements: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    """Tokens as they came: one that was sent twice is here twice."""
    who: set[str] = field(default_factory=set)
    tabs: set[str] = field(default_factory=set)
    token: str | None = None
    failing: int = 0
    """How many judgements are still answered with 503, after they were stored."""
    gate: threading.Event = field(default_factory=threading.Event)
    """Judgements wait for it before they are answered."""

    def __post_init__(self) -> None:
        """Let judgements through."""
        self.gate.set()

    def current(self) -> list[dict[str, Any]]:
        """Return the judgements that count."""
        return [one for one in self.judgements if not one["undone"] and not one["replaced"]]

    def project(self) -> dict[str, Any]:
        """Return the answer about the project."""
        judged = self.current()
        labels = [
            {"color": "", "key": "", "description": "", "retired": False, **one}
            | {"judged": sum(one["name"] in judgement["labels"] for judgement in judged)}
            for one in self.labels
        ]
        return {
            "name": "news", "labels": labels,
            "settings": {
                "multilabel": self.multilabel, "random_share": 0.2, "double_share": 0.1,
                "suggestions": "model", "suggest_everywhere": False,
            },
            "guidelines": {"version": 2, "text": GUIDELINES, "time": 1.7e9},
            "counts": {
                "texts": len(self.texts), "judged": len(judged), "random_judged": 1,
                "chosen_judged": 2, "skipped": 0, "flagged": 1, "to_review": 2,
            },
            "me": {"judged": len(judged)}, "encoding": {"done": 30, "total": 40},
            "command": "finetext studio news.csv", "python": "import finetext",
        }  # fmt: skip

    def next(self, wanted: int | None = None) -> dict[str, Any]:
        """Return a text as the API does: the wanted one, else the first without a judgement."""
        judged = {one["text"] for one in self.current()}
        left = [place for place in range(len(self.texts)) if place not in judged]
        if wanted is None and not left:
            return {"text": None, "why": "all"}
        place = left[0] if wanted is None else wanted
        columns = {"title": f"Title {place}", "page": place}
        text = {"id": place, "name": f"t{place}", "text": self.texts[place], "columns": columns}
        return {
            "text": text | {"language_direction": "auto"}, "stream": "chosen", "why": "uncertain",
            "suggestion": self.suggestion, "guideline": 2,
            "progress": {"judged": len(judged), "texts": len(self.texts), "mine": len(judged)},
        }  # fmt: skip


def studio_app(fake: Fake) -> FastAPI:
    """Return an app with the pages of the studio and the part of the API for annotating."""
    app = FastAPI()
    app.mount("/page", StaticFiles(directory=SHARED))
    app.mount("/studio", StaticFiles(directory=OWN))

    @app.middleware("http")
    async def guarded(request: Request, ask_next: Any) -> Response:
        wanted = fake.token and request.url.path.startswith("/api/")
        if wanted and request.headers.get("authorization") != f"Bearer {fake.token}":
            answer: Response = JSONResponse({"error": "this needs a token"}, 401)
        else:
            answer = await ask_next(request)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name.decode(), value.decode())
        return answer

    @app.exception_handler(HTTPException)
    async def told(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": error.detail}, error.status_code)

    @app.get("/")
    def start() -> Response:
        return FileResponse(OWN / "index.html")

    @app.get("/api/studio")
    def studio() -> dict[str, Any]:
        judged = len(fake.current())
        summary = {
            "name": "news", "texts": len(fake.texts), "judged": judged, "labels": ["sport"],
            "annotators": ["Ada", "Ben"], "runs": 2, "created": 1.7e9, "last": 1.75e9,
            "open_reviews": 2,
        }  # fmt: skip
        return {
            "version": "1.0", "annotator": "Ada" if fake.token else None, "is_owner": True,
            "needs_token": fake.token is not None, "projects": [summary],
        }  # fmt: skip

    @app.get("/api/projects/news")
    def project() -> dict[str, Any]:
        return fake.project()

    _add_annotating(app, fake)
    return app


def _add_annotating(app: FastAPI, fake: Fake) -> None:
    @app.get("/api/projects/news/next")
    def next_text(tab: str) -> dict[str, Any]:
        fake.tabs.add(tab)
        return fake.next()

    @app.post("/api/projects/news/judgements")
    def judge(body: dict[str, Any], request: Request, tab: str) -> dict[str, Any]:
        fake.tokens.append(body["token"])
        fake.who.add(request.headers.get("x-annotator", ""))
        fake.gate.wait(20)
        stored = next((one for one in fake.judgements if one["token"] == body["token"]), None)
        if stored is None:
            for one in fake.current():
                if one["text"] == body["text"]:
                    one["replaced"] = time.time()
            extra = {"id": len(fake.judgements) + 1, "undone": None, "replaced": None}
            stored = body | extra | {"annotator": "Ada", "time": time.time()}
            fake.judgements.append(stored)
        if fake.failing:
            fake.failing -= 1
            raise HTTPException(503, "the studio is busy")
        return {"saved": {"id": stored["id"]}, "next": fake.next()}

    @app.post("/api/projects/news/undo")
    def undo(tab: str) -> dict[str, Any]:
        current = fake.current()
        if not current:
            return {"undone": None, "next": fake.next()}
        current[-1]["undone"] = time.time()
        return {"undone": current[-1], "next": fake.next(current[-1]["text"])}

    @app.get("/api/projects/news/history")
    def history(limit: int = 20) -> list[dict[str, Any]]:
        judged = [one | {"text": fake.next(one["text"])["text"]} for one in fake.judgements]
        return judged[::-1][:limit]

    @app.get("/api/projects/news/texts/{number}")
    def text(number: int) -> dict[str, Any]:
        judged = [one for one in fake.judgements if one["text"] == number]
        return fake.next(number)["text"] | {"judgements": judged}


def decoded(body: dict[str, Any]) -> str:
    """Return the content of a file in a request."""
    return base64.b64decode(body["content"]).decode()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an app in a thread and yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)
