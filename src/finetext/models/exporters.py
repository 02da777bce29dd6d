"""What every export format has in common: the exporter, and the comparison with the original."""

from __future__ import annotations

import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from finetext.core.arrays import Booleans, Floats
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
    """The rows that a new head is fitted, calibrated and compared on.

    Attributes:
        train: rows to fit the head on.
        validation: rows to choose temperature and decision rule on.
        compared: rows to compare on, or None for those of the original.
        remark: what to know about the comparison; "" for nothing.
    """

    train: Dataset
    validation: Dataset
    compared: Dataset | None = None
    remark: str = ""


@dataclass(frozen=True, eq=False)
class Original:
    """A classifier to export, and what exporters may need beside it.

    Attributes:
        classifier: on the CPU.
        name: what the model card calls it, such as "reviews/finetune".
        seed: seed of every random choice.
        metric: the metric to choose hyperparameters by.
        decide: how the decision rule is chosen.
        head_rows: return the rows for a new head; None if there are none.
        say: called with a line worth reading once.
        progress: called with a `ProgressEvent` now and then.
    """

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
    """What an exporter returns.

    Attributes:
        classifier: the export, loaded from its files where it has some.
        rows: rows to compare it with the original on, or None for those of the original.
        remark: what to know about these rows; "" for nothing.
    """

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
        """Return the exported classifier.

        Args:
            original: what to export.
            work: an empty folder for files, which is removed afterwards.
        """


def check_has_encoder(classifier: Classifier, form: str) -> None:
    """Raise a `ModelError` that says what to do if a classifier has no encoder.

    Args:
        classifier: any.
        form: what it was to become, such as "ONNX".
    """
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


def encoder_of(classifier: Any) -> Any:
    """Return the bare encoder of a classifier that has one."""
    return classifier.encoder.model if classifier.kind == "probe" else classifier.model.base_model


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
    """How an export compares with its original. Figures are those of this machine.

    Attributes:
        rows: number of rows that both predicted.
        where: what these rows are, in words.
        agreement: share of the rows on which both predict the same label or labels, or abstain.
        largest_difference: of any probability on any row.
        mean_difference: mean absolute difference of the probabilities.
        number_format: that of the original when its speed was measured.
        machine: processor, threads and versions.
        remark: what else to know about the rows.
        bytes: size of the files.
        rows_per_second: throughput in batches.
        milliseconds: median latency of one text.
        scores: metric to the scores of both; none without labels.
        differences: metric to the paired comparison, export minus original.
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
        values: dict[str, Any] = to_json(self)
        return values


@dataclass(frozen=True, eq=False)
class ComparisonSettings:
    """How an export is compared with its original.

    Attributes:
        where: what the rows are, in words.
        metric: a metric to measure beside accuracy.
        seed: seed of the sample of rows and of the intervals.
        remark: what else to know about the rows.
        progress: told how many rows were predicted.
    """

    where: str
    metric: str
    seed: int = 0
    remark: str = ""
    progress: Callable[[ProgressEvent], None] = silent


def compare_export(
    original: Classifier,
    exported: Classifier,
    sizes: tuple[int, int],
    rows: Dataset,
    how: ComparisonSettings,
) -> Compared:
    """Predict the same rows with both classifiers, in alternating parts and one text at a time.

    Args:
        original: what was exported.
        exported: the export.
        sizes: bytes of the files of each.
        rows: labeled or not; 2,000 are sampled from more.
        how: the settings.

    Raises:
        DataError: there are no rows, or one has a label that the model does not know.
        ModelError: one of the two predicts something that is not a number.
    """
    if not len(rows):
        raise DataError(f"there are no rows to compare on ({how.where})")
    if len(rows) > MOST_ROWS:
        drawn = np.random.default_rng(how.seed).choice(len(rows), MOST_ROWS, replace=False)
        rows = rows.select(np.sort(drawn))
    exact = original.with_precision("fp32")
    timed = original if _predicts_in_bf16(original) else exact
    found, seconds = _predict_in_turns((timed, exported), rows.texts, how.progress)
    first = found[0] if timed is exact else exact.predict_proba(rows.texts)
    for which, probabilities in (("original", first), ("export", found[1])):
        if wrong := int((~np.isfinite(probabilities)).any(axis=1).sum()):
            raise ModelError(
                f"the {which} predicts something that is not a number on {wrong:,} of "
                f"{len(probabilities):,} {how.where}; nothing was written"
            )
    difference = np.abs(first - found[1])
    scores, differences = _score((exact, first), (exported, found[1]), rows, how)
    return Compared(
        rows=len(rows),
        where=how.where,
        agreement=float(_agree(exact, first, exported, found[1]).mean()),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        number_format="fp32" if timed is exact else "bf16",
        machine=_machine(),
        remark=how.remark,
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
    if classifier.number_format is None:
        return False
    import torch

    from finetext.training.precision import choose_precision

    return choose_precision(classifier.number_format, torch.device("cpu")) == "bf16"


def _predict_in_turns(
    pair: Sequence[Classifier], texts: Sequence[str], progress: Callable[[ProgressEvent], None]
) -> tuple[list[Floats], list[float]]:
    """Return probabilities and seconds of each; which goes first alternates, after a warm-up."""
    for classifier in pair:
        classifier.predict_proba(texts[:8])
    found: list[list[Floats]] = [[], []]
    seconds = [0.0, 0.0]
    done = 0
    for number, part in enumerate(np.array_split(np.arange(len(texts)), min(_PARTS, len(texts)))):
        chosen = [texts[row] for row in part]
        for turn in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            probabilities = pair[turn].predict_proba(chosen)
            seconds[turn] += time.perf_counter() - started
            found[turn].append(probabilities)
        done += len(part)
        progress(ProgressEvent("comparing both", done, len(texts)))
    return [np.concatenate(of) for of in found], seconds


def _latency(pair: Sequence[Classifier], texts: Sequence[str]) -> list[float]:
    """Return the median milliseconds of each for one text, in turns."""
    seconds: list[list[float]] = [[], []]
    for row in np.linspace(0, len(texts) - 1, _SINGLE_TEXTS).astype(int):
        for turn, classifier in enumerate(pair):
            started = time.perf_counter()
            classifier.predict_proba([texts[row]])
            seconds[turn].append(time.perf_counter() - started)
    return [float(np.median(of)) * 1000 for of in seconds]


def _agree(original: Classifier, first: Floats, exported: Classifier, second: Floats) -> Booleans:
    """(n,) where both predict the same labels, or both abstain."""
    several = original.scheme.multilabel
    one, other = original.decision.labels(first, several), exported.decision.labels(second, several)
    if several:
        return np.asarray((one == other).all(axis=1))
    abstains = original.decision.abstains(first)
    return np.asarray(
        ((one == other) | abstains) & (abstains == exported.decision.abstains(second))
    )


def _score(
    first: tuple[Classifier, Floats],
    second: tuple[Classifier, Floats],
    rows: Dataset,
    how: ComparisonSettings,
) -> tuple[dict[str, BothScores], dict[str, Comparison]]:
    """Return scores and paired differences by metric; nothing without labels."""
    if rows.scheme is None:
        return {}, {}
    ids, groups = tuple(rows.ids), None if rows.groups is None else tuple(rows.groups)
    one, other = (
        Predictions(ids, rows.targets, probabilities, of.scheme, of.decision, groups)
        for of, probabilities in (first, second)
    )
    usual = "subset_accuracy" if rows.scheme.multilabel else "accuracy"
    metrics = list(dict.fromkeys((usual, how.metric)))
    scores = [evaluate(of, how.seed, metrics=metrics) for of in (one, other)]
    return (
        {name: BothScores(scores[0][name], scores[1][name]) for name in metrics},
        {name: compare(other, one, name, how.seed) for name in metrics},
    )


def _machine() -> dict[str, Any]:
    """Return what speed depends on."""
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
    """Return a sentence on how fast the export is on this machine."""
    speed, latency = compared.rows_per_second, compared.milliseconds
    parts = []
    for what, factor in (
        ("in batches", speed.exported / speed.original),
        ("for one text", latency.original / max(latency.exported, 1e-9)),
    ):
        if abs(factor - 1) <= _SAME_SPEED:
            parts.append(f"as fast {what}")
        elif factor > 1:
            parts.append(f"{factor:.1f} times as fast {what}")
        else:
            parts.append(f"only {factor:.2f} times as fast {what}, which is slower,")
    return f"on this machine the export is {' and '.join(parts)} as the original"
