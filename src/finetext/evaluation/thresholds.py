"""Thresholds: the probability from which a label is given; and the costs of mistakes."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from pathlib import Path
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.errors import DataError, RecipeError
from finetext.core.types import LabelScheme

PRIOR_POSITIVES: Final = 10
MOST_GIVEN: Final = 3.0
"""How often a label is given at most on the rows that thresholds are chosen by, over how often it
is true. Of a model that knows nothing, the highest F1 is that of giving every label to every text
(Lipton et al., Thresholding classifiers to maximize F1 score, ECML 2014)."""
ROUNDS: Final = 3
_NEVER: Final = float(np.nextafter(1, 2))


def read_costs(path: Path, scheme: LabelScheme) -> tuple[tuple[float, ...], ...]:
    """Read a CSV file of costs: truth in the first column, the label given in the first row."""
    try:
        lines = path.read_text("utf-8-sig").splitlines(keepends=True)
        delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if any(map(str.strip, row))]
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: cannot be read as UTF-8; save the costs as CSV") from None
    except (OSError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise RecipeError(f"{path}: the costs cannot be read: {why}") from None
    if not rows:
        raise RecipeError(f"{path} is empty; it needs a row and a column for each label")
    given = [cell.strip() for cell in rows[0][1:]]
    truths = [row[0].strip() for row in rows[1:]]
    for where, found in (("first row", given), ("first column", truths)):
        if sorted(found) != sorted(scheme.names):
            wrong = sorted(set(found) ^ set(scheme.names)) or sorted(found)
            raise RecipeError(
                f"{path}: the {where} must have each label once: {', '.join(scheme.names)}; check "
                f"{', '.join(map(repr, wrong[:5]))}"
            )
    costs = {
        (truth, name): _number(path, line, name, row[column] if column < len(row) else "")
        for line, (truth, row) in enumerate(zip(truths, rows[1:], strict=True), 2)
        for column, name in enumerate(given, 1)
    }
    return tuple(tuple(costs[truth, name] for name in scheme.names) for truth in scheme.names)


def hash_of_costs(path: Path, scheme: LabelScheme) -> str:
    """Return the SHA-256 of the costs in a file; raises as `read_costs` does."""
    table = json.dumps([scheme.names, read_costs(path, scheme)])
    return hashlib.sha256(table.encode()).hexdigest()


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RecipeError(f"{path}, row {line}, column {column}: {cell!r} is not a number")
    return value


def choose_thresholds(
    probabilities: Floats, targets: Integers, prior_positives: float = PRIOR_POSITIVES
) -> tuple[float, ...]:
    """Return thresholds for a high F1 on (n, k) rows; those of rare labels tend to a shared one."""
    if probabilities.shape != targets.shape or targets.size == 0:
        raise DataError(
            "thresholds need multi-label validation rows: got probabilities of shape "
            f"{probabilities.shape} and targets of shape {targets.shape}"
        )
    shared = best_threshold(probabilities.ravel(), targets.ravel())
    if not np.isfinite(shared):
        return (0.5,) * int(targets.shape[1])
    shared = max(shared, _least(probabilities.ravel(), targets.ravel()))
    own = np.array([best_threshold(p, t) for p, t in zip(probabilities.T, targets.T, strict=True)])
    positives = targets.sum(axis=0)
    trust = positives / (positives + prior_positives)
    own = np.where(positives > 0, own, shared)
    log_odds = trust * _log_odds(own) + (1 - trust) * _log_odds(shared)
    least = [_least(p, t) for p, t in zip(probabilities.T, targets.T, strict=True)]
    chosen = np.maximum(1 / (1 + np.exp(-log_odds)), least)
    return tuple(map(float, chosen))


def _least(scores: Floats, truth: Integers) -> float:
    """Return the threshold by which a label is given as often as it may be; 0 if it is never true.

    Rows that share the highest score get it, however many they are.
    """
    positives = int(truth.sum())
    if not positives:
        return 0.0
    ranked = np.sort(scores)[::-1]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    allowed = ends[ends < MOST_GIVEN * positives]
    last = int(allowed[-1]) if len(allowed) else int(ends[0])
    return _between(ranked, last)


def best_threshold(scores: Floats, truth: Integers) -> float:
    """Return the threshold with the highest F1 of one label; nan when it has no positives."""
    positives = int(truth.sum())
    if positives == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    f1 = 2 * np.cumsum(truth[order]) / (np.arange(1, len(ranked) + 1) + positives)
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    cut = int(np.argmax(np.where(last_of_tie, f1, -1.0)))
    return _between(ranked, cut)


def _between(ranked: Floats, cut: int) -> float:
    """Return a threshold between the score of a rank and the next one; the score if it is last."""
    below = ranked[cut + 1] if cut + 1 < len(ranked) else ranked[cut]
    middle = float(ranked[cut] + below) / 2
    return middle if middle > below else float(ranked[cut])


def lowest_for_precision(scores: Floats, truth: Integers | Booleans, share: float) -> float:
    """Return the lowest score from which that share of rows is true; above 1 if there is none."""
    order = np.argsort(-scores, kind="stable")
    precision = np.cumsum(truth[order], dtype=np.float64) / np.arange(1, len(order) + 1)
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)[: len(order)]
    good = np.flatnonzero(last_of_tie & (precision >= share))
    return float(scores[order[good[-1]]]) if len(good) else _NEVER


def weights_for_macro_f1(
    probabilities: Floats, targets: Integers, prior_rows: float = PRIOR_POSITIVES
) -> tuple[float, ...]:
    """Return a weight for each of the mutually exclusive labels that gives a high macro F1."""
    k = probabilities.shape[1]
    limits = np.ones(k)
    for label in [*range(k)] * ROUNDS:
        limits[label] = _best_limit(probabilities, targets, limits, label)
    rows = np.bincount(targets, minlength=k)
    pulled = np.exp(np.log(limits) * rows / (rows + prior_rows))
    pulled /= np.exp(np.log(pulled).mean())
    gained = _macro_f1(probabilities / pulled, targets) > _macro_f1(probabilities, targets)
    return tuple(map(float, pulled)) if gained else (1.0,) * k


def _best_limit(probabilities: Floats, targets: Integers, limits: Floats, label: int) -> float:
    """The weight of one label with the highest macro F1, the others fixed."""
    n, k = probabilities.shape
    merit = probabilities / limits
    merit[:, label] = -1
    other, rows = merit.argmax(axis=1), np.arange(n)
    ratios = probabilities[:, label] / np.maximum(merit[rows, other], 1e-300)
    order = np.argsort(-ratios, kind="stable")
    change_given, change_hits = np.zeros((n + 1, k)), np.zeros((n + 1, k))
    change_given[0] = np.bincount(other, minlength=k)
    change_hits[0] = np.bincount(other[other == targets], minlength=k)
    places = rows + 1
    change_given[places, other[order]] -= 1
    change_given[places, label] += 1
    change_hits[places, other[order]] -= (other == targets)[order]
    change_hits[places, label] += (targets == label)[order]
    given, hits = change_given.cumsum(axis=0), change_hits.cumsum(axis=0)
    sizes = given + np.bincount(targets, minlength=k)
    f1 = np.divide(2 * hits, sizes, out=np.full(sizes.shape, np.nan), where=sizes > 0)
    last_of_tie = np.append(np.diff(ratios[order]) != 0, True)
    cut = int(np.where(np.append(True, last_of_tie), np.nanmean(f1, axis=1), -1.0).argmax())
    if cut == 0:
        return float(max(ratios[order[0]] * 2, 1e-6))
    below = ratios[order[cut]] if cut < n else ratios[order[-1]] / 2
    return float(max(np.sqrt(ratios[order[cut - 1]]) * np.sqrt(max(below, 1e-300)), 1e-6))


def _macro_f1(merit: Floats, targets: Integers) -> float:
    given, k = merit.argmax(axis=1), merit.shape[1]
    hits = np.bincount(given[given == targets], minlength=k)
    sizes = np.bincount(given, minlength=k) + np.bincount(targets, minlength=k)
    return float((2 * hits[sizes > 0] / sizes[sizes > 0]).mean())


def _log_odds(share: Floats | float) -> Floats:
    kept = np.clip(np.asarray(share, dtype=np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(kept) - np.log1p(-kept))
