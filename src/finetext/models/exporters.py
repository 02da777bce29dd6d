"""What every export format has in common: the exporter, and the comparison with the original."""

from __future__ import annotations

import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier, ProgressEvent, silent
from finetext.core.errors import DataError, ModelError
from finetext.core.types import Dataset, Predictions, Score
from finetext.evaluation.compare import Comparison, compare
from finetext.evaluation.deciding import Deciding
from finetext.evaluation.intervals import evaluate
from finetext.storage.codec import to_json

EXPORTS: Final = frozenset({"onnx", "static"})
"""Kinds of classifier that are exports."""
MOST_ROWS: Final = 2_000
"""Rows to compare on at most."""
_PARTS: Final = 8
_SINGLE_TEXTS: Final = 21
_SAME_SPEED: Final = 0.05
_SMALL: Final = {"majority": "a few numbers", "tfidf": "words and weights"}


@dataclass(frozen=True, eq=False)
class HeadRows:
    """Rows to fit a new head on, to calibrate it on, and to compare on if others than usual."""

    train: Dataset
    validation: Dataset
    compared: Dataset | None = None
    remark: str = ""


@dataclass(frozen=True, eq=False)
class Original:
    """A classifier to export, its name in the model card, and what exporters may need beside it."""

    classifier: Classifier
    name: str = ""
    seed: int = 0
    metric: str = "macro_f1"
    decide: Deciding = field(default_factory=Deciding)
    head_rows: Callable[[], HeadRows] | None = None
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[ProgressEvent], None] = silent


@dataclass(frozen=True, eq=False)
class Made:
    """An export, and rows to compare it on if others than usual, with a remark on them."""

    classifier: Classifier
    rows: Dataset | None = None
    remark: str = ""


class Exporter(ABC):
    """An export format. Subclasses are frozen dataclasses of settings."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def least_agreement(self) -> float:
        """The default share of rows on which export and original must predict the same labels."""

    @property
    def folder_name(self) -> str:
        """The name of the folder beside the model's, where no other is given."""
        return self.name

    @abstractmethod
    def check(self, original: Original) -> None:
        """Raise a `FinetextError` if the export is impossible; called before any work."""

    @abstractmethod
    def make(self, original: Original, work: Path) -> Made:
        """Return the export; `work` is an empty folder for files, which is removed afterwards."""


def check_exportable(classifier: Any, form: str) -> None:
    """Raise a `ModelError` that says what to do if a classifier cannot become, say, "ONNX"."""
    if (what := _SMALL.get(classifier.kind)) is not None:
        raise ModelError(
            f"a {classifier.kind} model is {what} and needs no export to {form}: copy its model "
            "folder, which predicts without torch as it is"
        )
    if classifier.kind in EXPORTS:
        raise ModelError(
            f"this model is itself an export ({classifier.kind}); export the model that it was "
            "made from"
        )
    if classifier.kind not in ("transformer", "probe"):
        raise ModelError(f"a {classifier.kind} classifier cannot be exported to {form}")
    tokenizer = tokenizer_of(classifier)
    if not tokenizer.is_fast:
        raise ModelError(
            f"this model cannot be exported to {form}: its tokenizer ({type(tokenizer).__name__}) "
            "splits texts by rules written in Python, which the export cannot run; export a model "
            "of another encoder"
        )


def tokenizer_of(classifier: Any) -> Any:
    """Return the tokenizer of a classifier that has an encoder."""
    return classifier.encoder.tokenizer if classifier.kind == "probe" else classifier.tokenizer


@dataclass(frozen=True)
class Both:
    """A figure of the original and of the export."""

    original: float
    exported: float


@dataclass(frozen=True)
class BothScores:
    """A score of the original and of the export."""

    original: Score
    exported: Score


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How an export compares with its original on rows that both predicted.

    `agreement` is the share on which both predict the same labels or abstain, `milliseconds` the
    median latency of one text, and `differences` are export minus original, by metric.
    """

    rows: int
    where: str
    agreement: float
    largest_difference: float
    mean_difference: float
    number_format: str
    machine: Mapping[str, Any]
    remark: str = ""
    bytes: Both
    rows_per_second: Both
    milliseconds: Both
    scores: Mapping[str, BothScores]
    differences: Mapping[str, Comparison]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return dict(to_json(self))


def compare_export(
    original: Original,
    exported: Classifier,
    rows: Dataset,
    sizes: tuple[int, int],
    where: str,
    remark: str = "",
) -> Compared:
    """Predict the same rows with both classifiers, in alternating parts and one text at a time."""
    if not len(rows):
        raise DataError(f"there are no rows to compare on ({where})")
    if len(rows) > MOST_ROWS:
        drawn = np.random.default_rng(original.seed).choice(len(rows), MOST_ROWS, replace=False)
        rows = rows.select(np.sort(drawn))
    exact = original.classifier.with_precision("fp32")
    timed = original.classifier if _predicts_in_bf16(original.classifier) else exact
    found, seconds = _predict_in_turns((timed, exported), rows.texts, original.progress)
    first = found[0] if timed is exact else exact.predict_proba(rows.texts)
    for which, probabilities in (("original", first), ("export", found[1])):
        if wrong := int((~np.isfinite(probabilities)).any(axis=1).sum()):
            raise ModelError(
                f"the {which} predicts something that is not a number on {wrong:,} of "
                f"{len(probabilities):,} {where}; nothing was written"
            )
    difference = np.abs(first - found[1])
    both = (exact, first), (exported, found[1])
    scores, differences = _score(both, rows, original)
    return Compared(
        rows=len(rows),
        where=where,
        agreement=_agreement(*both),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        number_format="fp32" if timed is exact else "bf16",
        machine=_machine(),
        remark=remark,
        bytes=Both(*sizes),
        rows_per_second=Both(*(len(rows) / max(of, 1e-9) for of in seconds)),
        milliseconds=Both(*_latency((timed, exported), rows.texts)),
        scores=scores,
        differences=differences,
    )


def bytes_of(folder: Path) -> int:
    """Return the size of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _predicts_in_bf16(classifier: Classifier) -> bool:
    import torch

    from finetext.training.precision import choose_precision

    chosen = classifier.number_format
    return chosen is not None and choose_precision(chosen, torch.device("cpu")) == "bf16"


def _predict_in_turns(
    pair: Sequence[Classifier], texts: Sequence[str], progress: Callable[[ProgressEvent], None]
) -> tuple[list[Floats], list[float]]:
    """Return probabilities and seconds of each; which goes first alternates, after a warm-up."""
    for classifier in pair:
        classifier.predict_proba(texts[:8])
    found: list[list[Floats]] = [[], []]
    seconds, done = [0.0, 0.0], 0
    for number, part in enumerate(np.array_split(np.arange(len(texts)), min(_PARTS, len(texts)))):
        chosen = [texts[row] for row in part]
        for turn in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            found[turn].append(pair[turn].predict_proba(chosen))
            seconds[turn] += time.perf_counter() - started
        done += len(part)
        progress(ProgressEvent("comparing both", done, len(texts)))
    return [np.concatenate(of) for of in found], seconds


def _latency(pair: Sequence[Classifier], texts: Sequence[str]) -> list[float]:
    seconds: list[list[float]] = [[], []]
    for row in np.linspace(0, len(texts) - 1, _SINGLE_TEXTS).astype(int):
        for turn, classifier in enumerate(pair):
            started = time.perf_counter()
            classifier.predict_proba([texts[row]])
            seconds[turn].append(time.perf_counter() - started)
    return [float(np.median(of)) * 1000 for of in seconds]


def _agreement(first: tuple[Classifier, Floats], second: tuple[Classifier, Floats]) -> float:
    """Return the share of rows on which both predict the same labels, or both abstain."""
    both, several = (first, second), first[0].scheme.multilabel
    one, other = (of.decision.labels(probabilities, several) for of, probabilities in both)
    if several:
        return float((one == other).all(axis=1).mean())
    mute, also_mute = (of.decision.abstains(probabilities) for of, probabilities in both)
    return float((((one == other) | mute) & (mute == also_mute)).mean())


def _score(
    both: Sequence[tuple[Classifier, Floats]], rows: Dataset, original: Original
) -> tuple[dict[str, BothScores], dict[str, Comparison]]:
    """Return scores and paired differences by metric; nothing without labels."""
    if rows.scheme is None:
        return {}, {}
    ids, groups = tuple(rows.ids), None if rows.groups is None else tuple(rows.groups)
    one, other = (
        Predictions(ids, rows.targets, probabilities, of.scheme, of.decision, groups)
        for of, probabilities in both
    )
    usual = "subset_accuracy" if rows.scheme.multilabel else "accuracy"
    metrics = list(dict.fromkeys((usual, original.metric)))
    scores = [evaluate(of, original.seed, metrics=metrics) for of in (one, other)]
    return (
        {name: BothScores(scores[0][name], scores[1][name]) for name in metrics},
        {name: compare(other, one, name, original.seed) for name in metrics},
    )


def _machine() -> dict[str, Any]:
    import torch

    packages = {}
    for name in ("torch", "onnxruntime", "tokenizers", "numpy"):
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "processor": platform.processor() or platform.machine(),
        "threads_of_torch": torch.get_num_threads(),
        "packages": packages,
    }


def speed_in_words(compared: Compared) -> str:
    """Return a sentence on how fast the export is on this machine."""
    speed, latency = compared.rows_per_second, compared.milliseconds
    batched, alone = speed.exported / speed.original, latency.original / max(latency.exported, 1e-9)
    parts = []
    for what, factor in (("in batches", batched), ("for one text", alone)):
        if abs(factor - 1) <= _SAME_SPEED:
            parts.append(f"as fast {what}")
        elif factor > 1:
            parts.append(f"{factor:.1f} times as fast {what}")
        else:
            parts.append(f"only {factor:.2f} times as fast {what}, which is slower,")
    return f"on this machine the export is {' and '.join(parts)} as the original"
