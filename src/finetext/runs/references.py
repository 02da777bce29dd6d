"""The held-out rows that model folders keep as numbers, for `finetext monitor` to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from finetext.core.contracts import Classifier, Method
from finetext.core.deadline import Clock
from finetext.core.wording import part_in_words
from finetext.diagnosis.text_map import states_of, with_states
from finetext.models.folder import load_model
from finetext.models.reference import (
    Reference,
    States,
    drawn,
    lasting_names,
    letters_kept,
    numbered,
)
from finetext.runs.fit_methods import FittedMethod, Started
from finetext.runs.run import Run

_FEW: Final = 16
"""Texts by which the time of all is estimated."""


def keep_references(started: Started, fitted: Mapping[str, FittedMethod], run: Run) -> None:
    """Write into each model folder what it keeps of the test rows, or of all if cross-validated.

    States are kept of the best and of the recommended model, as computing them takes time.
    """
    tested = started.run.tested
    text_of = dict(zip(tested.ids, tested.texts, strict=True))
    part = str(part_in_words("test", run.folds))
    known: tuple[tuple[str, ...], Reference] | None = None
    for name, one in fitted.items():
        of = one.predictions["test"]
        if not len(of):
            continue
        texts = [text_of[row] for row in of.ids]
        if known is None or known[0] != of.ids:
            columns = lasting_names(started.run.dataset.columns_of("label"))
            known = of.ids, replace(Reference.of(of, texts, part), label_columns=columns)
        kept = replace(known[1], predictions=numbered(of, texts))
        folder = run.folder / one.entry.model
        if name in (run.best, run.recommended):
            read = [texts[row] for row in drawn(of, texts)]
            kept = replace(
                kept, states=_states(started, started.recipe.methods[name], folder, read)
            )
        kept.save(folder)


def _states(started: Started, method: Method, folder: Path, texts: list[str]) -> States | None:
    """Return the states of the first texts; None if new texts cannot be compared with them.

    A model that learned from the rows in steps has other states of them than of new ones. With
    minutes they are left out if there is no time.
    """
    if started.run.folds is not None and (method.trains_in_steps or method.combines):
        return None
    loaded = load_model(folder, started.recipe.device)
    if (model := with_states(loaded)) is None:
        return None
    some, deadline = texts[: letters_kept(texts)], started.context.deadline
    if deadline is not None and _seconds(model, some, deadline.clock) > deadline.left:
        return None
    return States.of(np.asarray(states_of(model, some).vectors)) if some else None


def _seconds(model: Classifier, texts: list[str], now: Clock) -> float:
    """Return about how long the states of texts take, by those of a few."""
    few = texts[:: max(1, len(texts) // _FEW)][:_FEW]
    start = now()
    states_of(model, few)
    return (now() - start) * len(texts) / max(1, len(few))
