"""Do the intervals of cross-validated runs hold, and are their rules judged fairly?

Two sections of `judging.py`. Training sets are drawn from labeled data in the folder FINETEXT_DATA,
and a method is fitted anew for each fold of each.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from common import data_folder, finish, say, share, table

import finetext
from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.decision import CrossFitted
from finetext.core.types import LabelScheme, Predictions
from finetext.data.split import fold_rows
from finetext.evaluation.calibration import (
    cross_calibrated,
    fit_temperature,
    joined,
    with_temperature,
)
from finetext.evaluation.deciding import Deciding, choose_decision, covered
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
SEVERAL: Final = ("admiration", "gratitude", "love", "joy")
NEW_ROWS: Final = 4_000
SETTINGS: Final = finetext.SplitSettings()


class Pool(NamedTuple):
    """All labeled texts: counts of words (n, words), labels (n,) or (n, k), and their names."""

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


def pool_of_several() -> Pool:
    """Return comments with any number of four emotions as counts of their words."""
    from sklearn.feature_extraction.text import CountVectorizer

    folder = data_folder() / "goemotions"
    names = (folder / "labels.txt").read_text("utf-8").split()
    keep = [names.index(name) for name in SEVERAL]
    texts, rows = [], []
    for line in (folder / "train.tsv").read_text("utf-8").splitlines():
        text, numbers, _ = line.split("\t")
        has = [name in map(int, numbers.split(",")) for name in keep]
        if any(has):
            texts.append(text)
            rows.append(has)
    counts = CountVectorizer(token_pattern=r"\b\w+\b").fit_transform(texts).astype(np.float64)
    return Pool(counts, np.array(rows, dtype=np.int64), LabelScheme(SEVERAL, True))


def predict(of: Pool, train: Integers, asked: Integers) -> Floats:
    """Fit TF-IDF of single words and logistic regression on some rows, and predict others."""
    seen = of.counts[train]
    rows_with = np.asarray((seen > 0).sum(axis=0)).ravel()
    idf = np.where(rows_with > 0, np.log((1 + len(train)) / (1 + rows_with)) + 1, 0.0)
    known, new = (_weighted(of.counts[rows], idf) for rows in (train, asked))
    inner, outer = (known @ known.T).toarray(), (new @ known.T).toarray()
    classes = range(len(of.scheme))
    targets = of.targets[train]
    if of.scheme.multilabel:
        return np.stack([_logistic(inner, has == 1, outer) for has in targets.T], axis=1)
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

    names = of.scheme.decode(of.targets[rows])
    columns = {"id": list(map(str, rows)), "text": [""] * len(rows), "label": names}
    return finetext.Dataset(datasets.Dataset.from_dict(columns), of.scheme)


def draw(of: Pool, count: int, random: np.random.Generator) -> Integers:
    """Return rows drawn at random, with five of each class or more."""
    while True:
        rows = np.sort(random.permutation(len(of.targets))[:count])
        found = of.targets[rows]
        if not of.scheme.multilabel:
            found = np.eye(len(of.scheme), dtype=np.int64)[found]
        if found.sum(axis=0).min() >= FOLDS:
            return rows


def draw_by_class(of: Pool, count: int, random: np.random.Generator) -> Integers:
    """Return rows with the class shares of the pool; with several labels, as `draw`.

    In stratified folds a draw whose classes are unlike the pool's looks too good with any rule.
    """
    if of.scheme.multilabel:
        return draw(of, count, random)
    shares = np.bincount(of.targets) / len(of.targets)
    sizes = np.floor(shares * count + 0.5).astype(int)
    by_class = (np.flatnonzero(of.targets == column) for column in range(len(of.scheme)))
    parts = [random.permutation(rows)[:size] for rows, size in zip(by_class, sizes, strict=True)]
    return np.sort(np.concatenate(parts))


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


class Rule(NamedTuple):
    """A decision rule, and what is measured of it: hits and rows of each set of predictions."""

    name: str
    data: str
    wanted: Deciding
    measure: Callable[[Predictions], tuple[float, float]]


def _decided_right(of: Predictions) -> tuple[float, float]:
    kept = ~of.abstained
    return float((of.decisions == of.targets)[kept].sum()), float(kept.sum())


def _decided(of: Predictions) -> tuple[float, float]:
    return float((~of.abstained).sum()), float(len(of))


def _in_sets(of: Predictions) -> tuple[float, float]:
    return float(covered(of).sum()), float(len(of))


def _right(of: Predictions) -> tuple[float, float]:
    return float((of.decisions == of.targets).sum()), float(len(of))


def _macro_f1(of: Predictions) -> tuple[float, float]:
    return float(metric_for("macro_f1", of.scheme)(of)), 1.0


RULED: Final = (
    Rule("macro F1 with aim = f1", "emotion", Deciding(aim="f1"), _macro_f1),
    Rule("macro F1 of several labels", "goemotions", Deciding(), _macro_f1),
    Rule("accuracy without a rule", "sst2", Deciding(), _right),
    Rule("accuracy where abstain = accuracy=0.8", "sst2", Deciding(abstain="accuracy=0.8"),
         _decided_right),
    Rule("share decided by that", "sst2", Deciding(abstain="accuracy=0.8"), _decided),
    Rule("accuracy where abstain = coverage=0.5", "sst2", Deciding(abstain="coverage=0.5"),
         _decided_right),
    Rule("share decided by that", "sst2", Deciding(abstain="coverage=0.5"), _decided),
    Rule("coverage = 0.8", "sst2", Deciding(coverage=0.8), _in_sets),
    Rule("coverage = class=0.8", "emotion", Deciding(coverage="class=0.8"), _in_sets),
)  # fmt: skip


def judged(of: Pool, count: int, number: int, rules: Sequence[Rule]) -> list[list[Any]]:
    """Return what each rule measures: on the rows it was chosen on, cross-fitted, on new rows."""
    random = np.random.default_rng([count, number])
    rows = draw_by_class(of, count, random)
    count = len(rows)
    some = random.permutation(np.setdiff1d(np.arange(len(of.targets)), rows))[:NEW_ROWS]
    held = fold_rows(labeled(of, rows), FOLDS, number, SETTINGS, None)
    raw, new = [], []
    for part in held:
        seen = rows[np.setdiff1d(np.arange(count), part)]
        likely = predict(of, seen, np.concatenate([rows[part], some]))
        raw.append(predictions(of, rows[part], likely[: len(part)]))
        new.append(predictions(of, some, likely[len(part) :]))
    found = []
    for rule in rules:
        folds = cross_calibrated(raw, rule.wanted)
        fold = np.repeat(np.arange(FOLDS), [len(part) for part in held])
        whole = joined(raw)
        temperature = fit_temperature(whole)
        scaled = with_temperature(whole, temperature)
        chosen = choose_decision(scaled, rule.wanted)
        crossed = CrossFitted.of(chosen, [of_fold.decision for of_fold in folds], fold)
        truths = [
            rule.measure(replace(with_temperature(each, temperature), decision=chosen))
            for each in new
        ]
        found.append([
            rule.measure(replace(scaled, decision=chosen)),
            rule.measure(replace(joined(folds), decision=crossed)),
            tuple(np.mean(truths, axis=0)),
        ])  # fmt: skip
    return found


def decisions_by_folds(options: argparse.Namespace) -> None:
    """Print and record how optimistic shares are that a chosen rule is judged by."""
    warnings.simplefilter("ignore")
    body = []
    for data in dict.fromkeys(rule.data for rule in RULED):
        of = pool_of_several() if data == "goemotions" else pool(data)
        rules = [rule for rule in RULED if rule.data == data]
        for count in options.rows:
            draws = max(2, math.ceil(DRAWS[count] * options.simulations / 400))
            found = np.array([judged(of, count, number, rules) for number in range(draws)])
            for at, rule in enumerate(rules):
                shares = _ratios(found[:, at])
                errors = [_error(found[:, at], way) for way in range(2)]
                same, crossed = (
                    f"{shares[way] - shares[2]:+.3f} ± {1.96 * errors[way]:.3f}" for way in range(2)
                )
                body.append([
                    rule.name, data, f"{count}", f"{draws}", f"{shares[2]:.3f}", same, crossed,
                ])  # fmt: skip
                say(" ".join(body[-1]))
    titles = ["what is judged", "data", "rows", "draws", "on new rows", "on the same rows",
              "cross-fitted"]  # fmt: skip
    what = (
        "Rows drawn from a pool, with its class shares, TF-IDF of words and logistic regression "
        f"(C = {C:g}), {FOLDS} folds. The rule that ships is chosen on all out-of-fold "
        "predictions. How much better it looks than on 4,000 new rows, predicted by the models of "
        "the folds: on the rows that it was chosen on, and with rules of the other folds for each "
        "fold. After ±: half the 95% interval of the simulation, over draws."
    )
    finish(options, "Are decision rules of cross-validated runs judged fairly?", what,
           [table(titles, body)])  # fmt: skip


def _ratios(found: Floats) -> Floats:
    """Return hits over rows of (draws, ways, 2), for each way."""
    sums = found.sum(axis=0)
    return np.asarray(sums[:, 0] / np.maximum(sums[:, 1], 1e-12))


def _error(found: Floats, way: int) -> float:
    """Return the standard error of one way minus the truth: the jackknife over draws."""
    left = [_ratios(np.delete(found, draw, axis=0)) for draw in range(len(found))]
    differences = np.array([of[way] - of[2] for of in left])
    away = differences - differences.mean()
    return math.sqrt(float((away**2).sum()) * (len(found) - 1) / len(found))
