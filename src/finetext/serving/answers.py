"""Rows of numbers as the answers that clients read: JSON.

It is put together here, as hundreds of texts with a thousand labels each take seconds, in which
nobody else is answered, by way of dictionaries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
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


def scored(scheme: LabelScheme, rows: Floats, function: str | None, top: int | None) -> str:
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
    heads = [f'{{"label":{_json(name)},"score":' for name in scheme.names]
    answers = (
        f"[{_listed(heads, row, columns, '}')}]"
        for row, columns in zip(rows.tolist(), order.tolist(), strict=True)
    )
    return f"[{','.join(answers)}]"


def decisions(scheme: LabelScheme, decision: Decision, rows: Floats) -> str:
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
    heads = [f"{_json(name)}:" for name in scheme.names]
    answers: list[str] = []
    for number, (row, columns) in enumerate(zip(rows.tolist(), order.tolist(), strict=True)):
        chosen = None
        if among is not None:
            chosen = [scheme.names[column] for column in columns if among[number, column]]
        told = {"prediction": labels[number], "probability": float(highest[number]), "set": chosen}
        probabilities = f'"probabilities":{{{_listed(heads, row, columns)}}}'
        answers.append(f"{_json(told)[:-1]},{probabilities}}}")
    return f"[{','.join(answers)}]"


def _listed(
    heads: Sequence[str], row: Sequence[float], columns: Sequence[int], end: str = ""
) -> str:
    """The numbers of a row in the order of the columns, each after what stands before it."""
    return ",".join([f"{heads[column]}{row[column]!r}{end}" for column in columns])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _check(rows: Floats) -> None:
    if not np.isfinite(rows).all():
        raise UnusableAnswer("the model gave something that is not a number")
