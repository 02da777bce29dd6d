"""A studio without a model and a database: its pages, and answers of the API from memory."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import fake_answers as answers
import uvicorn
from fastapi import Body, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
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

    asked: list[tuple[str, Any]] = field(default_factory=list)
    """Path and body of the requests that change something, without judgements."""
    read: dict[str, Any] = field(default_factory=lambda: dict(answers.READ))
    is_unclear: bool = False
    """Whether a file needs a choice of its text column."""
    is_owner: bool = True
    runs: list[dict[str, Any]] = field(default_factory=lambda: [dict(answers.RUN)])
    progress: dict[str, Any] = field(default_factory=lambda: dict(answers.PROGRESS))
    agreement: dict[str, Any] = field(default_factory=lambda: dict(answers.AGREEMENT))
    review: list[dict[str, Any]] = field(default_factory=lambda: list(answers.REVIEW))

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
    """Return an app with the pages of the studio and its API."""
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
            policy = "; frame-src 'self'" if name == b"content-security-policy" else ""
            answer.headers.setdefault(name.decode(), value.decode() + policy)
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
            "version": "1.0", "annotator": "Ada" if fake.token else None, "is_owner": fake.is_owner,
            "needs_token": fake.token is not None, "projects": [summary], "source": None,
        }  # fmt: skip

    @app.get("/api/projects/news")
    def project() -> dict[str, Any]:
        return fake.project()

    _add_annotating(app, fake)
    _add_projects(app, fake)
    _add_judging(app, fake)
    _add_runs(app, fake)
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


def _add_projects(app: FastAPI, fake: Fake) -> None:
    @app.post("/api/read")
    def read(body: dict[str, Any]) -> Any:
        fake.asked.append(("read", body["settings"]))
        if fake.is_unclear and "text" not in body["settings"]:
            return JSONResponse(answers.UNCLEAR, 422)
        return fake.read | body["settings"]

    @app.post("/api/projects")
    def create(body: dict[str, Any]) -> dict[str, Any]:
        fake.asked.append(("create", body))
        return fake.project()

    @app.patch("/api/projects/news")
    def change(body: dict[str, Any]) -> dict[str, Any]:
        fake.asked.append(("settings", body))
        return fake.project()

    @app.put("/api/projects/news/labels")
    def labels(body: list[dict[str, Any]]) -> dict[str, Any]:
        fake.asked.append(("labels", body))
        fake.labels = body
        return fake.project()

    @app.post("/api/projects/news/labels/rename")
    def rename(body: dict[str, Any]) -> dict[str, Any]:
        fake.asked.append(("rename", body))
        return fake.project()

    @app.put("/api/projects/news/guidelines")
    def guidelines(body: dict[str, Any]) -> dict[str, Any]:
        fake.asked.append(("guidelines", body))
        return fake.project() | {"guidelines": {"version": 3, "text": body["text"], "time": 1.8e9}}

    @app.post("/api/projects/news/texts")
    def texts(body: dict[str, Any]) -> dict[str, Any]:
        fake.asked.append(("texts", body))
        return {"added": 118, "skipped": 2, "notes": ["2 texts were there already."]}

    @app.get("/api/projects/news/export")
    def export(what: str, format: str) -> Response:
        return attached(f"{what} as {format}", f"Nachrichten-ä-{what}.{format}")


def attached(content: str, name: str) -> Response:
    """Return a file as the studio sends it."""
    told = f"attachment; filename=\"plain\"; filename*=UTF-8''{quote(name)}"
    return Response(content, headers={"content-disposition": told})


def _add_judging(app: FastAPI, fake: Fake) -> None:
    @app.get("/api/projects/news/progress")
    def progress() -> dict[str, Any]:
        return fake.progress

    @app.get("/api/projects/news/agreement")
    def agreement() -> dict[str, Any]:
        return fake.agreement

    @app.get("/api/projects/news/review")
    def review() -> list[dict[str, Any]]:
        return fake.review

    @app.post("/api/projects/news/decisions")
    def decide(body: dict[str, Any]) -> dict[str, Any]:
        fake.asked.append(("decide", body))
        fake.review = [one for one in fake.review if one["text"]["id"] != body["text"]]
        return {"saved": {"id": 1}, "left": len(fake.review)}


def _add_runs(app: FastAPI, fake: Fake) -> None:
    base = "/api/projects/news/runs"

    @app.get("/api/compare")
    def compare() -> list[dict[str, Any]]:
        return [
            {"project": "news", "run": one["name"], "rows": 240, "best": answers.RUN["best"],
             "seconds": 84, "verdict": answers.RUN["verdict"]}
            for one in fake.runs
        ]  # fmt: skip

    @app.post(f"{base}/estimate")
    def estimate(body: dict[str, Any]) -> dict[str, Any]:
        fake.asked.append(("estimate", body))
        return answers.ESTIMATE

    @app.post(base)
    def start(body: dict[str, Any]) -> dict[str, Any]:
        fake.asked.append(("start", body))
        running = {"state": "running", "stage": "fitting tfidf", "share": 0.4, "seconds": 3}
        fake.runs.insert(
            0, answers.RUN | running | {"name": "run-2", "best": None, "verdict": None}
        )
        return {"run": "run-2"}

    @app.get(base)
    def runs() -> list[dict[str, Any]]:
        return fake.runs

    @app.get(base + "/{run}")
    def run(run: str) -> dict[str, Any]:
        return next(one for one in fake.runs if one["name"] == run) | answers.DETAILS

    @app.post(base + "/{run}/{what}")
    def act(run: str, what: str, body: Annotated[Any, Body()] = None) -> Any:
        fake.asked.append((what, run))
        if what == "predict":
            shares = {"sport": 0.72, "money": 0.2, "food": 0.08}
            return [{"label": "sport", "probabilities": shares} for _ in body["texts"]]
        if what == "predict-file":
            return attached(base64.b64decode(body["content"]).decode(), "news-predictions.xlsx")
        if what == "label-errors":
            return {"queued": 1}
        state = {"cancel": "cancelled", "resume": "running"}[what]
        fake.runs[0] |= {"state": state}
        return fake.runs[0]

    @app.get(base + "/{run}/{what}")
    def look(run: str, what: str) -> Any:
        if what == "report":
            policy = (
                "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
                "style-src 'unsafe-inline'; frame-ancestors 'self'"
            )
            return HTMLResponse(answers.REPORT, headers={"content-security-policy": policy})
        found = {"errors": answers.ERRORS, "label-errors": answers.LABEL_ERRORS}
        return found.get(what, answers.USES)


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
