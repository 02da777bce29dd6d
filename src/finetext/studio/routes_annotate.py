"""Routes for annotating: the next text, judgements, history, progress, agreement, review."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, final

from fastapi import FastAPI, Query
from fastapi.responses import Response
from pydantic import Field

from finetext.studio.agreeing import agreement_in
from finetext.studio.annotators import Person
from finetext.studio.judgements import Judgement, history, judge, undo
from finetext.studio.label_set import guidelines_of
from finetext.studio.next_text import GivenText, NoText, claim, next_text
from finetext.studio.progress import labeled_by, progress_of
from finetext.studio.review import count_to_review, texts_to_review
from finetext.studio.routing import Asking, Body, Named, Owner, not_found, told
from finetext.studio.workspace import Workspace

_MOST_HISTORY: Final = 1_000
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
    labels: Labels = Field(default_factory=list)
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
    """Add the routes to the app."""
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


@final
class AnnotateRoutes:
    """The handlers; `name` is that of the project, `tab` says which tab of a browser asks."""

    def __init__(self, workspace: Workspace) -> None:
        """Take the projects."""
        self._workspace = workspace

    def next(self, name: str, person: Named, tab: Tab = "") -> Response:
        """Return the text that a person gets next."""
        return told(self._next(name, _name(person), tab))

    def judge(self, name: str, given: GivenJudgement, person: Named, tab: Tab = "") -> Response:
        """Store a judgement, and return the next text."""
        project, annotator = self._workspace.project(name), _name(person)
        judgement = Judgement(**given.model_dump() | {"labels": tuple(given.labels)})
        number = judge(project, annotator, judgement)
        self._workspace.learner(name).notify()
        saved = {"id": number, "text": given.text, "kind": given.kind, "labels": given.labels}
        return told({"saved": saved, "next": self._next(name, annotator, tab)})

    def undo(self, name: str, person: Named, tab: Tab = "") -> Response:
        """Undo the last judgement of a person, and return its text again."""
        project, annotator = self._workspace.project(name), _name(person)
        text = undo(project, annotator)
        if text is None:
            return told({"undone": None, "next": self._next(name, annotator, tab)})
        self._workspace.learner(name).notify()
        undone = history(project, annotator, limit=1, text=text)[0]
        again = self._shown(name, annotator, claim(project, annotator, tab, text))
        return told({"undone": undone, "next": again})

    def history(
        self,
        name: str,
        person: Named,
        limit: Annotated[int, Query(ge=1, le=_MOST_HISTORY)] = 50,
        before: int | None = None,
        everyone: bool = False,
    ) -> Response:
        """Return judgements of a person, or for the owner of everyone."""
        annotator = None if everyone and person.is_owner else person.name
        return told(history(self._workspace.project(name), annotator, limit, before))

    def text(self, name: str, number: int, person: Named) -> Response:
        """Return a text with its judgements: all for the owner, else those of the person."""
        project = self._workspace.project(name)
        with project.database.read() as db:
            row = db.execute(
                "SELECT id, name, text, columns FROM texts WHERE id = ?", (number,)
            ).fetchone()
        if row is None:
            not_found(f"the project {name} has no text {number}")
        annotator = None if person.is_owner else person.name
        judgements = history(project, annotator, _MOST_HISTORY, text=number)
        columns = json.loads(row["columns"])
        return told({**dict(row), "columns": columns, "judgements": judgements})

    def progress(self, name: str, person: Asking) -> Response:
        """Return what the labels so far are worth."""
        return told(progress_of(self._workspace.project(name), self._workspace.learner(name)))

    def agreement(self, name: str, person: Asking) -> Response:
        """Return how far annotators agree, or why that is not known."""
        found = agreement_in(self._workspace.project(name)).to_json()
        agreement = found.pop("agreement")
        if agreement is None:
            return told({"why_not": found["why_not"]})
        return told({**agreement, **found})

    def review(self, name: str, person: Owner) -> Response:
        """Return the texts that somebody has to decide."""
        return told([of.to_json() for of in texts_to_review(self._workspace.project(name))])

    def decide(self, name: str, given: GivenDecision, person: Named, owner: Owner) -> Response:
        """Store the decision about a text."""
        project = self._workspace.project(name)
        decision = Judgement(
            given.token, given.text, tuple(given.labels), "decision", note=given.note,
            seconds=given.seconds,
        )  # fmt: skip
        number = judge(project, _name(person), decision)
        self._workspace.learner(name).notify()
        return told({"saved": {"id": number}, "left": count_to_review(project)})

    def _next(self, name: str, annotator: str, tab: str) -> dict[str, Any]:
        ranked = self._workspace.learner(name).ranking.texts
        found = next_text(self._workspace.project(name), annotator, tab, ranked)
        return self._shown(name, annotator, found)

    def _shown(self, name: str, annotator: str, found: GivenText | NoText) -> dict[str, Any]:
        """Return a text as the page shows it, with a suggestion where one may be shown."""
        project, learner = self._workspace.project(name), self._workspace.learner(name)
        more: dict[str, Any] = {
            "progress": labeled_by(project, annotator),
            "guideline": guidelines_of(project).version,
        }
        if isinstance(found, NoText):
            return {"text": None, "why": found.why, **more}
        why = "random" if found.stream == "random" else "in order"
        if found.is_ranked:
            why = learner.ranking.why
        suggestion = learner.suggestion(found.id) if found.can_suggest else None
        return {
            "text": {
                "id": found.id,
                "name": found.name,
                "text": found.text,
                "columns": found.columns,
                "language_direction": "auto",
            },
            "stream": found.stream,
            "suggestion": None if suggestion is None else asdict(suggestion),
            "why": why,
            **more,
        }


def _name(person: Person) -> str:
    assert person.name is not None  # `Named` has checked it
    return person.name
