"""What the labels of a project are worth so far, as the page shows it."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

import numpy as np

from finetext.core.types import Score
from finetext.evaluation.proportions import proportion
from finetext.studio.database import CURRENT
from finetext.studio.judgements import acceptance
from finetext.studio.learner import Learner
from finetext.studio.outlook import Outlook
from finetext.studio.project import Project, text_count

_RECENT: Final = 200
"""Judgements whose times count for the speed."""
_LABELS: Final = f"kind = 'label' AND {CURRENT}"
_OF: Final = "labels given in the random stream"


def progress_of(project: Project, learner: Learner) -> dict[str, Any]:
    """Return accuracy, forecast, coverage, use of suggestions and speed."""
    return {
        **outlook_json(learner.outlook()),
        "suggestions": _suggestions(project),
        "speed": {"median_seconds": _median_seconds(project)},
        "encoding": encoding_of(learner),
    }


def encoding_of(learner: Learner) -> dict[str, Any]:
    """Return how many texts the encoder has read, and why it reads none if it cannot."""
    done, total = learner.encoding
    return {"done": done, "total": total, "problem": learner.problem}


def labeled_by(project: Project, annotator: str | None) -> dict[str, int]:
    """Return how many texts there are and are labeled, and how many a person has labeled."""
    with project.database.read() as db:
        texts = text_count(db)
        judged = db.execute("SELECT count(*) FROM texts WHERE needed < coders").fetchone()[0]
        mine = db.execute(
            f"SELECT count(*) FROM judgements WHERE annotator = ? AND {_LABELS}", (annotator,)
        ).fetchone()[0]
    return {"texts": texts, "judged": judged, "mine": mine}


def outlook_json(outlook: Outlook) -> dict[str, Any]:
    """Return what the outlook says."""
    accuracy, forecast = outlook.accuracy, outlook.forecast
    return {
        "accuracy": None
        if accuracy is None
        else {**_interval(accuracy), "n": accuracy.n, "of": _OF},
        "why_not": outlook.why_not,
        "forecast": None
        if forecast is None
        else [
            {"labels": of.labels, "gain": of.gain.value, "low": of.gain.low, "high": of.gain.high}
            for of in forecast
        ],
        "forecast_why_not": outlook.forecast_why_not,
        "sentence": outlook.sentence,
        "advice": outlook.advice,
        "undecided": outlook.undecided,
        "coverage": [
            {
                "label": of.label,
                "judged": of.judged,
                "random": of.random,
                "enough": of.enough,
                "share": _interval(of.share),
            }
            for of in outlook.coverage
        ],
        "curve": [{"labels": of.labels, **_interval(of.accuracy)} for of in outlook.curve],
    }


def _interval(score: Score) -> dict[str, Any]:
    return {"value": score.value, "low": score.low, "high": score.high}


def _suggestions(project: Project) -> dict[str, Any] | None:
    """Return how many suggestions were shown and taken as they were; None if there were none."""
    shown, accepted = acceptance(project)
    if not shown:
        return None
    rate = proportion(np.arange(shown) < accepted)
    return {"shown": shown, "accepted": accepted, "rate": _interval(rate)}


def _median_seconds(project: Project) -> float | None:
    with project.database.read() as db:
        rows = db.execute(
            f"SELECT seconds FROM judgements WHERE {_LABELS} AND seconds IS NOT NULL "
            "ORDER BY id DESC LIMIT ?",
            (_RECENT,),
        ).fetchall()
    return float(median(row["seconds"] for row in rows)) if rows else None
