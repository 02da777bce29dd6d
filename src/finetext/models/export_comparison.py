"""What an export costs and gains: the same rows through both models, in turns."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from finetext.core.arrays import Booleans, Floats, finite
from finetext.core.contracts import Classifier, ProgressEvent, silent
from finetext.core.errors import DataError, ModelError
from finetext.core.types import Dataset, Predictions, Score
from finetext.evaluation.compare import Comparison
from finetext.evaluation.compare import compare as paired
from finetext.evaluation.intervals import evaluate
from finetext.storage.codec import to_json

MOST_ROWS: Final = 2_000
PARTS: Final = 8
SINGLE_TEXTS: Final = 21
_SAME_SPEED: Final = 0.05


class Both(NamedTuple):
    """A figure of the original and of the export."""

    original: float
    exported: float


@dataclass(frozen=True)
class Compared:
    """How an export compares with its original.

    Attributes:
        rows: number of rows that both predicted.
        where: what they are, in words.
        agreement: share of the rows on which both give the same label or labels, or none.
        largest_difference: of any probability on any row.
        mean_difference: of the probabilities of all rows, without their signs.
        scores: metric to the scores of both; none without labels.
        differences: metric to the paired comparison, the export less the original.
        bytes: of the files of each.
        rows_per_second: of each, in batches.
        milliseconds: median for one text.
        number_format: that of the original as its speed was measured.
        machine: processor, threads and versions.
        remark: what else is to be known of the rows.
    """

    rows: int
    where: str
    agreement: float
    largest_difference: float
    mean_difference: float
    scores: Mapping[str, tuple[Score, Score]]
    differences: Mapping[str, Comparison]
    bytes: Both
    rows_per_second: Both
    milliseconds: Both
    number_format: str
    machine: Mapping[str, Any]
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        both = {name: getattr(self, name)._asdict() for name in _FIGURES}
        scores = {
            name: {"original": to_json(of[0]), "exported": to_json(of[1])}
            for name, of in self.scores.items()
        }
        differences = {name: to_json(of) for name, of in self.differences.items()}
        plain = {name: of for name, of in vars(self).items() if name not in (*_FIGURES, *_SCORES)}
        return dict(finite({**plain, **both, "scores": scores, "differences": differences}))


_FIGURES: Final = ("bytes", "rows_per_second", "milliseconds")
_SCORES: Final = ("scores", "differences")


@dataclass(frozen=True, eq=False)
class Judging:
    """How two models are compared.

    Attributes:
        where: what the rows are, in words.
        metric: one to measure beside accuracy.
        seed: seed of the choice of rows and of the intervals.
        remark: what else is to be known of the rows.
        progress: told how many rows were predicted.
    """

    where: str
    metric: str
    seed: int = 0
    remark: str = ""
    progress: Callable[[ProgressEvent], None] = silent


def compared(
    original: Classifier,
    exported: Classifier,
    sizes: tuple[int, int],
    rows: Dataset,
    how: Judging,
) -> Compared:
    """Predict the same rows with both, part by part in turns, and one text at a time.

    Args:
        original: what was exported.
        exported: what came out.
        sizes: bytes of the files of each.
        rows: labelled or not; of more than 2,000 as many are drawn.
        how: see there.

    Raises:
        DataError: there are no rows, or one has a label that the model does not know.
        ModelError: one of the two gives something that is not a number.
    """
    if not len(rows):
        raise DataError(f"there are no rows to compare on ({how.where})")
    if len(rows) > MOST_ROWS:
        drawn = np.random.default_rng(how.seed).choice(len(rows), MOST_ROWS, replace=False)
        rows = rows.select(np.sort(drawn))
    exact = original.with_precision("fp32")
    raced = original if _reads_otherwise(original) else exact
    found, seconds = _in_turns((raced, exported), rows.texts, how.progress)
    first = found[0] if raced is exact else exact.predict_proba(rows.texts)
    _check_numbers("original", first, how)
    _check_numbers("export", found[1], how)
    difference = np.abs(first - found[1])
    scores, differences = _measured((exact, first), (exported, found[1]), rows, how)
    return Compared(
        rows=len(rows),
        where=how.where,
        agreement=float(_same(original, first, exported, found[1]).mean()),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        scores=scores,
        differences=differences,
        bytes=Both(*sizes),
        rows_per_second=Both(*(len(rows) / max(of, 1e-9) for of in seconds)),
        milliseconds=Both(*_one_by_one((raced, exported), rows.texts)),
        number_format="fp32" if raced is exact else "bf16",
        machine=_machine(),
        remark=how.remark,
    )


def _check_numbers(which: str, probabilities: Floats, how: Judging) -> None:
    """Refuse what no rule of decision was made for: of several labels nan is none, and so agrees.

    Raises:
        ModelError: a probability is not a number.
    """
    wrong = int((~np.isfinite(probabilities)).any(axis=1).sum())
    if wrong:
        raise ModelError(
            f"the {which} gives something that is not a number on {wrong:,} of "
            f"{len(probabilities):,} {how.where}; nothing was written"
        )


def bytes_of(folder: Path) -> int:
    """The size of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _reads_otherwise(classifier: Classifier) -> bool:
    """Whether it predicts in bf16 on this processor."""
    if classifier.number_format is None:
        return False
    import torch

    from finetext.training.precision import choose_precision

    return choose_precision(classifier.number_format, torch.device("cpu")) == "bf16"


def _in_turns(
    pair: Sequence[Classifier], texts: Sequence[str], progress: Callable[[ProgressEvent], None]
) -> tuple[list[Floats], list[float]]:
    """Probabilities of each, and the seconds each took; the first to go changes every time."""
    for classifier in pair:
        classifier.predict_proba(texts[:8])
    found: list[list[Floats]] = [[], []]
    seconds = [0.0, 0.0]
    done = 0
    for number, part in enumerate(np.array_split(np.arange(len(texts)), min(PARTS, len(texts)))):
        chosen = [texts[row] for row in part]
        for turn in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            probabilities = pair[turn].predict_proba(chosen)
            seconds[turn] += time.perf_counter() - started
            found[turn].append(probabilities)
        done += len(part)
        progress(ProgressEvent("comparing both", done, len(texts)))
    return [np.concatenate(of) for of in found], seconds


def _one_by_one(pair: Sequence[Classifier], texts: Sequence[str]) -> list[float]:
    """Median milliseconds of each for a single text, in turns."""
    seconds: list[list[float]] = [[], []]
    for row in np.linspace(0, len(texts) - 1, SINGLE_TEXTS).astype(int):
        for turn, classifier in enumerate(pair):
            started = time.perf_counter()
            classifier.predict_proba([texts[row]])
            seconds[turn].append(time.perf_counter() - started)
    return [float(np.median(of)) * 1000 for of in seconds]


def _same(original: Classifier, first: Floats, exported: Classifier, second: Floats) -> Booleans:
    """(n,) where both give the same labels, or both none."""
    several = original.scheme.multilabel
    given = [
        of.decision.labels(probabilities, several)
        for of, probabilities in ((original, first), (exported, second))
    ]
    if several:
        return np.asarray((given[0] == given[1]).all(axis=1))
    silent_first = original.decision.abstains(first)
    silent_second = exported.decision.abstains(second)
    alike = (given[0] == given[1]) | silent_first
    return np.asarray(alike & (silent_first == silent_second))


def _measured(
    first: tuple[Classifier, Floats],
    second: tuple[Classifier, Floats],
    rows: Dataset,
    how: Judging,
) -> tuple[dict[str, tuple[Score, Score]], dict[str, Comparison]]:
    """Scores of both with intervals, and their paired differences; nothing without labels."""
    if rows.scheme is None:
        return {}, {}
    groups = rows.groups
    both = [
        Predictions(
            tuple(rows.ids),
            rows.targets,
            probabilities,
            classifier.scheme,
            classifier.decision,
            None if groups is None else tuple(groups),
        )
        for classifier, probabilities in (first, second)
    ]
    usual = "subset_accuracy" if rows.scheme.multilabel else "accuracy"
    metrics = list(dict.fromkeys((usual, how.metric)))
    scores = [evaluate(of, how.seed, metrics=metrics) for of in both]
    return (
        {name: (scores[0][name], scores[1][name]) for name in metrics},
        {name: paired(both[1], both[0], name, how.seed) for name in metrics},
    )


def _machine() -> dict[str, Any]:
    """What speeds depend on."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    packages = {}
    for name in ("torch", "onnxruntime", "tokenizers", "numpy"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": platform.processor() or platform.machine(),
        "threads_of_torch": torch.get_num_threads(),
        "packages": packages,
    }


def speed_in_words(compared: Compared) -> str:
    """Which of the two is the faster on this machine."""
    ratio = compared.rows_per_second.exported / compared.rows_per_second.original
    of_one = compared.milliseconds.original / max(compared.milliseconds.exported, 1e-9)
    parts = []
    for what, factor in (("in batches", ratio), ("for one text", of_one)):
        if abs(factor - 1) <= _SAME_SPEED:
            parts.append(f"as fast {what}")
        elif factor > 1:
            parts.append(f"{factor:.1f} times as fast {what}")
        else:
            parts.append(f"only {factor:.2f} times as fast {what}, which is slower,")
    return f"on this machine it is {' and '.join(parts)} as the original"
