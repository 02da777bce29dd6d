"""Routes for everyone who annotates: the next text, judgements, history, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, final

from fastapi import FastAPI, Query
from fastapi.responses import Response
from pydantic import Field

from finetext.studio.routing import Asking, Body, Named, Owner, told
from finetext.studio.workspace import OpenProject, Workspace

_MOST_LABELS: Final = 1_000
_LONGEST_NOTE: Final = 5_000
Token = Annotated[str, Field(min_length=1, max_length=64)]
Tab = Annotated[str, Query(max_length=64)]
Labels = Annotated[list[str], Field(max_length=_MOST_LABELS)]
Note = Annotated[str, Field(max_length=_LONGEST_NOTE)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class GivenSuggestion(Body):
    """A suggestion as the person saw it."""

    labels: Labels
    source: str
    probability: float | None = None


class GivenJudgement(Body):
    """What a person says of a text; `token` is another one for each."""

    token: Token
    text: int
    labels: Labels = []
    kind: Literal["label", "skip"] = "label"
    flagged: bool = False
    note: Note = ""
    seconds: Seconds | None = None
    guideline: int | None = None
    suggestion: GivenSuggestion | None = None


class GivenDecision(Body):
    """The label that a text shall have, whatever annotators said."""

    token: Token
    text: int
    labels: Labels
    note: Note = ""
    seconds: Seconds | None = None


def add_annotating(app: FastAPI, workspace: Workspace) -> None:
    """Add the routes."""
    routes, of = AnnotateRoutes(workspace), "/api/projects/{name}"
    app.get(f"{of}/next")(routes.next)
    app.post(f"{of}/judgements")(routes.judge)
    app.post(f"{of}/undo")(routes.undo)
    app.get(f"{of}/history")(routes.history)
    app.get(f"{of}/texts/{{number}}")(routes.text)
    app.get(f"{of}/progress")(routes.progress)
    app.get(f"{of}/agreement")(routes.agreement)
    app.get(f"{of}/review")(routes.review)
    app.post(f"{of}/decisions")(routes.decide)
