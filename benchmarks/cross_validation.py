"""Do the intervals of cross-validated runs hold the truth? A section of `judging.py`.

Training sets are drawn from labeled data in the folder FINETEXT_DATA, and a method is fitted anew
for each fold of each.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from common import data_folder, finish, say, share, table

import finetext
from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.types import LabelScheme, Predictions
from finetext.data.split import fold_rows
from finetext.evaluation.estimates import Estimate, of_folds
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import evaluate
from finetext.evaluation.metrics import applicable, metric_for
from finetext.runs.cross_validation import FOLDS, REPEATS

SETS: Final = {
    "sst2": ("sst2/sentences/stsa.binary.train", {}),
    "spam": ("sms_spam/SMSSpamCollection", {}),
    "emotion": ("emotion/train.txt", {"keep": ("joy", "sadness", "anger")}),
}
DRAWS: Final = {24: 400, 60: 400, 150: 200, 500: 100}
METRICS: Final = ("accuracy", "macro_f1", "log_loss", "binary_f1", "binary_recall")
C: Final = 10.0
HOLDOUT: Final = 0.15
SETTINGS: Final = finetext.SplitSettings()


class Pool(NamedTuple):
    """All labeled texts: counts of words (n, words), labels (n,), and their names."""

    counts: Any
    targets: Integers
    scheme: LabelScheme


def pool(name: str) -> Pool:
    """Return a data set as counts of its words."""
    from sklearn.feature_extraction.text import CountVectorizer

    path, how = SETS[name]
    data = finetext.read(data_folder() / path)
    labels = np.array(data.labels)
    keep = np.isin(labels, how.get("keep", np.unique(labels)))
    kept, targets = np.unique(labels[keep], return_inverse=True)
    texts = [text for text, is_kept in zip(data.texts, keep, strict=True) if is_kept]
    counts = CountVectorizer(token_pattern=r"\b\w+\b").fit_transform(texts).astype(np.float64)
    return Pool(counts, targets, LabelScheme(tuple(map(str, kept))))


def predict(of: Pool, train: Integers, asked: Integers) -> Floats:
    """Fit TF-IDF of single words and logistic regression on some rows, and predict others."""
    seen = of.counts[train]
    rows_with = np.asarray((seen > 0).sum(axis=0)).ravel()
    idf = np.where(rows_with > 0, np.log((1 + len(train)) / (1 + rows_with)) + 1, 0.0)
    known, new = (_weighted(of.counts[rows], idf) for rows in (train, asked))
    inner, outer = (known @ known.T).toarray(), (new @ known.T).toarray()
    classes = range(len(of.scheme))
    targets = of.targets[train]
    if len(of.scheme) == 2:
        second = _logistic(inner, targets == 1, outer)
        return np.stack([1 - second, second], axis=1)
    each = np.stack([_logistic(inner, targets == column, outer) for column in classes], axis=1)
    return np.asarray(each / each.sum(axis=1, keepdims=True))


def _weighted(counts: Any, idf: Floats) -> Any:
    """Return counts of words as TF-IDF with sublinear frequencies, rows of length 1."""
    weighted = counts.copy()
    weighted.data = (1 + np.log(weighted.data)) * idf[weighted.indices]
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    weighted.data /= np.repeat(np.maximum(lengths, 1e-12), np.diff(weighted.indptr))
    return weighted


def _logistic(inner: Floats, is_class: Booleans, outer: Floats) -> Floats:
    """Return probabilities by ridge logistic regression on inner products, by Newton's method."""
    from scipy.linalg import lapack

    n = len(inner)
    fit, ones = np.zeros(n), np.ones(n)
    for _ in range(8):
        likely = 1 / (1 + np.exp(-fit))
        weight = np.maximum(likely * (1 - likely), 1e-6)
        wanted = fit + (is_class - likely) / weight
        system = inner + np.diag(1 / (C * weight))
        _, both, _ = lapack.dposv(system, np.stack([wanted, ones], axis=1), overwrite_a=True)
        intercept = both[:, 0].sum() / both[:, 1].sum()
        found = both[:, 0] - intercept * both[:, 1]
        fit = inner @ found + intercept
    return np.asarray(1 / (1 + np.exp(-(outer @ found + intercept))))


def predictions(of: Pool, rows: Integers, likely: Floats) -> Predictions:
    """Return probabilities of some rows with their labels."""
    return Predictions(tuple(map(str, rows)), of.targets[rows], likely, of.scheme)


def cross_validated(of: Pool, rows: Integers, data: finetext.Dataset, seed: int) -> FoldPredictions:
    """Return the folds of a run on these rows."""
    repeats = []
    for repeat in range(REPEATS):
        held = fold_rows(data, FOLDS, seed + repeat, SETTINGS, None)
        folds = []
        for part in held:
            seen = rows[np.setdiff1d(np.arange(len(rows)), part)]
            folds.append(predictions(of, rows[part], predict(of, seen, rows[part])))
        repeats.append(tuple(folds))
    return FoldPredictions(tuple(repeats))


def labeled(of: Pool, rows: Integers) -> finetext.Dataset:
    """Return rows as data without their texts."""
    import datasets

    names = [of.scheme.names[column] for column in of.targets[rows]]
    columns = {"id": list(map(str, rows)), "text": [""] * len(rows), "label": names}
    return finetext.Dataset(datasets.Dataset.from_dict(columns), of.scheme)


def draw(of: Pool, count: int, random: np.random.Generator) -> Integers:
    """Return rows drawn at random, with five of each class or more."""
    while True:
        rows = np.sort(random.permutation(len(of.targets))[:count])
        if np.bincount(of.targets[rows], minlength=len(of.scheme)).min() >= FOLDS:
            return rows


Interval = tuple[float, float]
RULES: Final[dict[str, Callable[[FoldPredictions, str], Interval]]] = {
    "finetext": lambda found, name: _ends(found.scores()[name]),
    "means of folds": lambda found, name: _of_means(found, name),
    "naive": lambda found, name: _naive(found, name),
}


def _ends(score: finetext.Score) -> Interval:
    return score.low, score.high


def _of_means(found: FoldPredictions, name: str) -> Interval:
    metric = metric_for(name, found.scheme)
    values = np.array([[metric(fold) for fold in folds] for folds in found.repeats])
    return of_folds(float(values.mean()), values, found.rows).interval()


def _naive(found: FoldPredictions, name: str) -> Interval:
    """The interval of a mean of independent values, as folds are often taken to be."""
    metric = metric_for(name, found.scheme)
    values = np.array([metric(fold) for folds in found.repeats for fold in folds])
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(float(values.mean()), error, len(values) - 1, found.rows).interval()


def simulate(of: Pool, name: str, count: int, draws: int, seed: int) -> list[dict[str, Any]]:
    """Return for each metric and rule how often the interval held the truth, and its width.

    The truth is the metric of the pipeline on all other rows: its mean over all draws, and for
    "this model" the one of the model that learned from all rows of the draw.
    """
    applies = applicable(of.scheme)
    metrics = {each: metric_for(each, of.scheme) for each in METRICS if each in applies}
    of_share, of_final = defaultdict(list), defaultdict(list)
    found, holdouts = defaultdict(list), defaultdict(list)
    for number in range(draws):
        random = np.random.default_rng([seed, count, number])
        rows = draw(of, count, random)
        rest = np.setdiff1d(np.arange(len(of.targets)), rows)
        some = random.permutation(rest)[:4_000]
        data = labeled(of, rows)
        folds = cross_validated(of, rows, data, seed)
        part = np.concatenate(fold_rows(data, FOLDS, seed, SETTINGS, None)[1:])
        shares = predictions(of, some, predict(of, rows[part], some))
        finals = predictions(of, some, predict(of, rows, some))
        held = random.permutation(rows)[: max(2, round(HOLDOUT * count))]
        holdout = predictions(of, held, predict(of, np.setdiff1d(rows, held), held))
        try:
            scores = evaluate(holdout, seed=number, metrics=list(metrics))
        except ValueError:
            scores = {}
        for each, metric in metrics.items():
            of_share[each].append(metric(shares))
            of_final[each].append(metric(finals))
            if each in scores:
                holdouts[each].append(_ends(scores[each]))
            for rule, interval in RULES.items():
                found[each, rule].append(interval(folds, each))
    lines = []
    for (each, rule), intervals in found.items():
        low, high = np.array(intervals).T
        truth, final = np.mean(of_share[each]), np.array(of_final[each])
        width = np.array(holdouts[each])
        lines.append({
            "data": name, "rows": count, "metric": each, "rule": rule, "draws": draws,
            "covers": share((low <= truth) & (truth <= high)),
            "covers this model": share((low <= final) & (final <= high)),
            "width": float(np.mean(high - low)),
            "width of 15%": float(np.nanmean(width[:, 1] - width[:, 0])),
            "truth": float(truth), "all rows": float(final.mean()),
        })  # fmt: skip
    return lines


def _lines(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the intervals of cross-validated runs."""
    lines = []
    for name in SETS:
        of = pool(name)
        for count in options.rows:
            if count * np.bincount(of.targets).min() < FOLDS * len(of.targets):
                continue  # hardly a draw has five rows of the rarest class
            draws = max(2, math.ceil(DRAWS[count] * options.simulations / 400))
            found = simulate(of, name, count, draws, options.seed)
            lines += found
            for line in found:
                say(
                    " ".join(
                        f"{of:.3f}" if isinstance(of, float) else str(of) for of in line.values()
                    )
                )
    return lines


def cross_validation(options: argparse.Namespace) -> None:
    """Print and record the intervals of cross-validated runs."""
    warnings.simplefilter("ignore")
    lines = _lines(options)
    titles = ["data", "rows", "metric", "interval", "draws", "holds the truth",
              "that of this model", "width", "width of 15% held out", "truth",
              "with all rows"]  # fmt: skip
    body = [
        [
            line["data"], f"{line['rows']:,}", line["metric"], line["rule"], f"{line['draws']}",
            line["covers"], line["covers this model"],
            *(f"{line[of]:.3f}" for of in ("width", "width of 15%", "truth", "all rows")),
        ]
        for line in lines
    ]  # fmt: skip
    what = (
        f"Rows drawn from a pool, TF-IDF of words and logistic regression (C = {C:g}), {FOLDS} "
        f"folds {REPEATS} times. The truth is the mean over draws of the metric on 4,000 other "
        "rows, of models of four fifths of the rows; the model of all rows is the one that a run "
        "hands out. In brackets: 95% interval of the simulation."
    )
    finish(options, "Intervals of cross-validated runs", what, [table(titles, body)])
