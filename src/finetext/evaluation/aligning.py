"""Several sets of predictions in one order: the same rows, labels and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from finetext.data.words import counted
from finetext.decisions import Decision
from finetext.errors import DataError
from finetext.types import Predictions

_SHOWN: Final = 3


def align(predictions: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """The same predictions, with rows and labels in the order of the first set.

    Groups that only some of the sets know hold for all of them.

    Args:
        predictions: name to predictions.

    Raises:
        DataError: the sets differ in ids, labels, true labels or groups; the message says in
            which.
    """
    (first, wanted), *others = predictions.items()
    aligned = {first: wanted}
    for name, given in others:
        names = (first, name)
        aligned[name] = _in_row_order(wanted, _in_label_order(wanted, given, names), names)
    groups = next((p.groups for p in aligned.values() if p.groups is not None), None)
    for name, given in aligned.items():
        if given.groups is None:
            aligned[name] = replace(given, groups=groups)
        elif given.groups != groups:
            raise DataError(f"{name} has other groups than the sets of predictions before it")
    return aligned


def _in_label_order(wanted: Predictions, given: Predictions, names: tuple[str, str]) -> Predictions:
    """The predictions with the columns of another set."""
    if wanted.scheme.multilabel != given.scheme.multilabel:
        several, one = names if wanted.scheme.multilabel else names[::-1]
        raise DataError(f"in {several} a row can have several labels, in {one} it has one")
    if wanted.scheme == given.scheme:
        return given
    ours, theirs = wanted.scheme.names, given.scheme.names
    if set(ours) != set(theirs):
        raise DataError(
            f"{names[0]} and {names[1]} do not have the same labels: "
            + _only_in(names, ours, theirs, "label")
        )
    order = [given.scheme.index[name] for name in ours]
    columns = given.targets[:, order] if given.scheme.multilabel else None
    return replace(
        given,
        scheme=wanted.scheme,
        targets=np.argsort(order)[given.targets] if columns is None else columns,
        probabilities=given.probabilities[:, order],
        decision=_reordered(given.decision, order),
    )


def _reordered(decision: Decision, order: Sequence[int]) -> Decision:
    """The same decision for labels in another order."""
    thresholds, costs, least = decision.thresholds, decision.costs, decision.least
    return replace(
        decision,
        thresholds=None if thresholds is None else tuple(thresholds[i] for i in order),
        costs=None if costs is None else tuple(tuple(costs[i][j] for j in order) for i in order),
        least=None if least is None else tuple(least[i] for i in order),
    )


def _in_row_order(wanted: Predictions, given: Predictions, names: tuple[str, str]) -> Predictions:
    """The predictions with the rows of another set."""
    if wanted.ids != given.ids:
        place = {row_id: row for row, row_id in enumerate(given.ids)}
        if len(wanted) != len(given) or not place.keys() >= set(wanted.ids):
            raise DataError(
                f"{names[0]} and {names[1]} are not about the same rows: "
                + _only_in(names, wanted.ids, given.ids, "id")
            )
        rows = [place[row_id] for row_id in wanted.ids]
        groups = None if given.groups is None else tuple(given.groups[row] for row in rows)
        given = replace(
            given,
            ids=wanted.ids,
            targets=given.targets[rows],
            probabilities=given.probabilities[rows],
            groups=groups,
        )
    _refuse_other_truths(wanted, given, names)
    return given


def _only_in(names: tuple[str, str], ours: Sequence[str], theirs: Sequence[str], what: str) -> str:
    """Counts and examples of what only one of two sets has."""
    parts = []
    for name, own, other in ((names[0], ours, set(theirs)), (names[1], theirs, set(ours))):
        alone = [each for each in own if each not in other]
        if alone:
            some = ", ".join(map(repr, alone[:_SHOWN]))
            parts.append(f"only in {name} {counted(len(alone), what)} ({some})")
    return f"{'; '.join(parts)}; in both {counted(len(set(ours) & set(theirs)), what)}"


def _refuse_other_truths(wanted: Predictions, given: Predictions, names: tuple[str, str]) -> None:
    differ = wanted.targets != given.targets
    rows = np.flatnonzero(differ.any(axis=1) if differ.ndim == 2 else differ)
    if not len(rows):
        return
    row = int(rows[0])
    ours, theirs = (p.scheme.decode(p.targets[row : row + 1])[0] for p in (wanted, given))
    some = ", ".join(repr(wanted.ids[row]) for row in rows[:_SHOWN])
    raise DataError(
        f"{names[0]} and {names[1]} disagree on the true labels of {counted(len(rows), 'row')} "
        f"({some}): "
        f"{wanted.ids[row]!r} is {ours!r} in the first and {theirs!r} in the second"
    )
