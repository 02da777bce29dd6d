"""Rows of numbers as the answers that clients read."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from finetext.decisions import Decision
from finetext.logits import probabilities_of
from finetext.methods.base import decided
from finetext.types import Floats, LabelScheme

_LARGEST_LOGIT: Final = 745.0
"""Logit that stands for an infinite one, which JSON has not: that of the least double."""
_OWN: Final = {False: "softmax", True: "sigmoid"}


class UnusableAnswer(Exception):
    """The model gave something that is not a number."""


def wants_logits(function: str | None, multilabel: bool) -> bool:
    """Whether a function to apply needs the logits, or is what the model does of its own."""
    return function not in (None, _OWN[multilabel])


def scored(
    scheme: LabelScheme, rows: Floats, function: str | None, top: int | None
) -> list[list[dict[str, Any]]]:
    """Label and score, best first, as the inference API of Hugging Face has them.

    Args:
        scheme: names of the k columns.
        rows: (n, k) logits where `wants_logits`, else probabilities.
        function: "softmax", "sigmoid", "none" for the logits, or None for what the model does.
        top: labels of each text; None for all.

    Raises:
        UnusableAnswer: a number is none.
    """
    if wants_logits(function, scheme.multilabel):
        rows = np.clip(rows, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        rows = rows if function == "none" else probabilities_of(rows, function == "sigmoid")
    _check(rows)
    order = np.argsort(-rows, axis=1, kind="stable")[:, :top]
    return [
        [{"label": scheme.names[column], "score": float(row[column])} for column in columns]
        for row, columns in zip(rows, order, strict=True)
    ]


def decisions(scheme: LabelScheme, decision: Decision, rows: Floats) -> list[dict[str, Any]]:
    """What the model decides on each text, with its prediction set and all probabilities.

    Raises:
        UnusableAnswer: a probability is no number.
    """
    _check(rows)
    labels = decided(scheme, decision, rows)
    given = decision.labels(rows, scheme.multilabel)
    highest = rows.max(axis=1) if scheme.multilabel else rows[np.arange(len(rows)), given]
    order = np.argsort(-rows, axis=1, kind="stable")
    among = decision.sets(rows)
    answers: list[dict[str, Any]] = []
    for number, (row, columns) in enumerate(zip(rows, order, strict=True)):
        chosen = None
        if among is not None:
            chosen = [scheme.names[column] for column in columns if among[number, column]]
        answers.append(
            {
                "prediction": labels[number],
                "probability": float(highest[number]),
                "set": chosen,
                "probabilities": {scheme.names[column]: float(row[column]) for column in columns},
            }
        )
    return answers


def _check(rows: Floats) -> None:
    if not np.isfinite(rows).all():
        raise UnusableAnswer("the model gave something that is not a number")
