"""What the labels of a project are worth so far, as the page shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import numpy as np

from finetext.core.types import Score
from finetext.evaluation.proportions import proportion
from finetext.studio.learner import Learner
from finetext.studio.outlook import Outlook
from finetext.studio.project import Project

_RECENT: Final = 200
"""Judgements whose times count for the speed."""
_CURRENT: Final = "kind = 'label' AND replaced IS NULL AND undone IS NULL"
_OF: Final = "labels given in the random stream"


def progress_of(project: Project, learner: Learner) -> dict[str, Any]:
    """Return accuracy, forecast, coverage, use of suggestions and speed."""
    done, total = learner.encoding
    return {
        **outlook_json(learner.outlook()),
        "suggestions": _suggestions(project),
        "speed": {"median_seconds": _median_seconds(project)},
        "encoding": {"done": done, "total": total},
        "problem": learner.problem,
    }


def outlook_json(outlook: Outlook) -> dict[str, Any]:
    """Return what the outlook says."""
    accuracy, forecast = outlook.accuracy, outlook.forecast
    return {
        "accuracy": None if accuracy is None else _interval(accuracy) | {"n": accuracy.n, "of": _OF},
        "why_not": outlook.why_not,
        "forecast": None if forecast is None else [
            {"labels": of.labels, "gain": of.gain.value, "low": of.gain.low, "high": of.gain.high}
            for of in forecast
        ],
        "forecast_why_not": outlook.forecast_why_not,
        "sentence": outlook.sentence,
        "advice": outlook.advice,
        "undecided": outlook.undecided,
        "coverage": [
            {"label": of.label, "judged": of.judged, "random": of.random, "enough": of.enough,
             "share": _interval(of.share)}
            for of in outlook.coverage
        ],
        "curve": [{"labels": of.labels, **_interval(of.accuracy)} for of in outlook.curve],
    }  # fmt: skip


def _interval(score: Score) -> dict[str, Any]:
    return {"value": score.value, "low": score.low, "high": score.high}


def _suggestions(project: Project) -> dict[str, Any] | None:
    """Return how many suggestions were shown and taken as they were; None if there were none."""
    asked = f"SELECT labels, suggestion FROM judgements WHERE {_CURRENT} AND suggestion IS NOT NULL"
    with project.database.read() as connection:
        rows: Sequence[tuple[str, str]] = connection.execute(asked).fetchall()
    if not rows:
        return None
    same = [set(json.loads(own)) == set(json.loads(of)["labels"]) for own, of in rows]
    rate = proportion(np.array(same))
    return {"shown": len(same), "accepted": sum(same), "rate": _interval(rate)}


def _median_seconds(project: Project) -> float | None:
    asked = (
        f"SELECT seconds FROM judgements WHERE {_CURRENT} AND seconds IS NOT NULL "
        f"ORDER BY id DESC LIMIT {_RECENT}"
    )
    with project.database.read() as connection:
        seconds = [of for (of,) in connection.execute(asked)]
    return float(median(seconds)) if seconds else None
