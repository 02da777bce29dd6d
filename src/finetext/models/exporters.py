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
from finetext.core.wording import counted
from finetext.evaluation.compare import Comparison, compare
from finetext.evaluation.deciding import Deciding
from finetext.evaluation.estimates import of_units
from finetext.evaluation.intervals import evaluate
from finetext.methods.members import MADE_FROM
from finetext.storage.codec import to_json
from finetext.storage.received import names_received, size_received

MOST_ROWS: Final = 2_000
"""Rows to compare on at most."""
_PARTS: Final = 8
_SINGLE_TEXTS: Final = 21
_FEWEST_TIMED: Final = 100
_MOST_SPREAD: Final = 2.0
_EXPORTS: Final = frozenset({"onnx", "static", "blend", "cascade"})
WITH_ENCODER: Final = ("transformer", "probe")
"""The classifiers that an export replaces."""
_SMALL: Final = {
    "majority": "a few numbers", "tfidf": "words and weights", "static": "token vectors and weights"
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class HeadRows:
    """Rows to fit a new head on, to calibrate it on, and to compare on if others than usual."""

    train: Dataset
    validation: Dataset
    compared: Dataset | None = None
    remark: str = ""


@dataclass(frozen=True, eq=False)
class RowsApart:
    """Texts to learn from, such as ranges of values, texts to choose by, and rows to compare on."""

    learn: Sequence[str]
    choose: Sequence[str]
    compare: Dataset


@dataclass(frozen=True, eq=False)
class Original:
    """A classifier to export, its name in the model card, and what exporters may need beside it.

    `apart` divides the rows at hand, and returns None without any.
    """

    classifier: Classifier
    name: str = ""
    seed: int = 0
    metric: str = "macro_f1"
    decide: Deciding = field(default_factory=Deciding)
    head_rows: Callable[[], HeadRows] | None = None
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[ProgressEvent], None] = silent
    apart: Callable[[], RowsApart | None] = lambda: None


@dataclass(frozen=True, eq=False)
class Made:
    """An export; rows to compare it on if others than usual, a remark on it, and which they are."""

    classifier: Classifier
    rows: Dataset | None = None
    remark: str = ""
    which: str = ""


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


def is_export(kind: str, provenance: Mapping[str, Any]) -> bool:
    """Return whether a classifier of a kind and provenance is an export, not a fitted method."""
    return kind in _EXPORTS and (kind == "onnx" or MADE_FROM in provenance)


def refuse_export(classifier: Classifier) -> None:
    """Raise a `ModelError` if a classifier is an export."""
    if classifier.kind in _EXPORTS and is_export(classifier.kind, classifier.provenance()):
        raise ModelError(
            f"this model is itself an export ({classifier.kind}); export the model that it was "
            "made from"
        )


def check_exportable(classifier: Any, form: str) -> None:
    """Raise a `ModelError` that says what to do if a classifier cannot become, say, "ONNX"."""
    refuse_export(classifier)
    if (what := _SMALL.get(classifier.kind)) is not None:
        raise ModelError(
            f"a {classifier.kind} model is {what} and needs no export to {form}: copy its model "
            "folder, which predicts without torch as it is"
        )
    if classifier.kind == "blend":
        able = [part.name for part in classifier.parts if part.classifier.kind in WITH_ENCODER]
        raise ModelError(
            f"a blend cannot be exported to {form}, as its members "
            f"({', '.join(part.name for part in classifier.parts)}) are models of their own; "
            + (f"export {' or '.join(able)} from its run" if able else "copy its model folder")
        )
    if classifier.kind == "cascade":
        raise ModelError(
            f"a cascade cannot be exported to {form}, as its members are models of their own; "
            f"export {classifier.expensive.name} from its run, or copy the folder of the cascade"
        )
    if classifier.kind not in WITH_ENCODER:
        raise ModelError(
            f"a {classifier.kind} classifier cannot be exported to {form}; its model folder works "
            "where finetext is installed, and a fine-tuned model (--methods finetune) can be"
        )
    tokenizer = tokenizer_of(classifier)
    has_rules = form == "ONNX" and getattr(tokenizer, "has_word_rules", False)
    if not (tokenizer.is_fast or has_rules):
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
    median latency of one text, and `differences` are export minus original, by metric. `times`
    and `times_alone` are how many times as fast the export is, in batches and for one text, with
    95% intervals over parts and texts that both predicted in turns; None in older files.
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
    times: Score | None = None
    times_alone: Score | None = None

    @property
    def is_timed_in_batches(self) -> bool:
        """Whether there were rows enough to tell how fast batches are."""
        return self.times is not None and self.times.n >= _FEWEST_TIMED

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
    alone = _latency((timed, exported), rows.texts)
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
        rows_per_second=Both(*(len(rows) / max(float(of.sum()), 1e-9) for of in seconds)),
        milliseconds=Both(*(float(np.median(of)) * 1000 for of in alone)),
        scores=scores,
        differences=differences,
        times=_times_as_fast(seconds, len(rows)),
        times_alone=_times_as_fast(alone, len(set(_single(len(rows))))),
    )


def bytes_of(folder: Path) -> int:
    """Return the size of all files of a folder."""
    return sum(size_received(folder, name) for name in names_received(folder)[0])


def _predicts_in_bf16(classifier: Classifier) -> bool:
    import torch

    from finetext.training.precision import choose_precision

    chosen = classifier.number_format
    return chosen is not None and choose_precision(chosen, torch.device("cpu")) == "bf16"


def _predict_in_turns(
    pair: Sequence[Classifier], texts: Sequence[str], progress: Callable[[ProgressEvent], None]
) -> tuple[list[Floats], Floats]:
    """Return probabilities and the seconds of every part, (2, parts), in turns after a warm-up."""
    for classifier in pair:
        classifier.predict_proba(texts[:8])
    found: list[list[Floats]] = [[], []]
    parts, done = np.array_split(np.arange(len(texts)), min(_PARTS, len(texts))), 0
    seconds = np.zeros((2, len(parts)))
    for number, part in enumerate(parts):
        chosen = [texts[row] for row in part]
        for turn in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            found[turn].append(pair[turn].predict_proba(chosen))
            seconds[turn, number] = time.perf_counter() - started
        done += len(part)
        progress(ProgressEvent("comparing both", done, len(texts)))
    return [np.concatenate(of) for of in found], seconds


def _single(rows: int) -> list[int]:
    return [int(row) for row in np.linspace(0, rows - 1, _SINGLE_TEXTS)]


def _latency(pair: Sequence[Classifier], texts: Sequence[str]) -> Floats:
    """Return the seconds of one text at a time, (2, texts), in turns."""
    seconds = np.zeros((2, _SINGLE_TEXTS))
    for number, row in enumerate(_single(len(texts))):
        for turn in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            pair[turn].predict_proba([texts[row]])
            seconds[turn, number] = time.perf_counter() - started
    return seconds


def _times_as_fast(seconds: Floats, texts: int) -> Score:
    """Return seconds of the original over those of the export, (2, parts), with 95% interval."""
    seconds = np.maximum(seconds, 1e-9)
    sums = seconds.sum(axis=1, keepdims=True)
    left = np.log(sums - seconds) if seconds.shape[1] > 1 else np.full((2, 1), np.nan)
    found = of_units(float(np.log(sums[0, 0] / sums[1, 0])), left[0] - left[1])
    value, low, high = np.exp([found.value, *found.interval()]).tolist()
    return Score(value, low, high, texts)


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
    """Return a sentence on how fast the export is on this machine, as far as that was measured."""
    batched, alone = compared.times, compared.times_alone
    if batched is None or alone is None:
        return "how fast the export is was not measured in turns with the original"
    timed, known, unknown = [(alone, f"for one text ({counted(alone.n, 'text')})")], [], []
    if compared.is_timed_in_batches:
        timed.insert(0, (batched, f"in batches ({batched.n:,} rows)"))
    for times, what in timed:
        if words := _factor_in_words(times, what):
            known.append(words)
        else:
            unknown.append(f"its speed {what} could not be measured on this busy machine")
    if not compared.is_timed_in_batches:
        few = counted(batched.n, "row")
        unknown.append(f"its speed in batches was not measured: {few} are too few")
    told = [f"on this machine the export is {' and '.join(known)}"] if known else []
    return "; ".join([*told, *unknown])


def _factor_in_words(times: Score, what: str) -> str | None:
    """Return how many times as fast the export is; None if the interval is too wide to say so."""
    if not times.high / times.low <= _MOST_SPREAD:
        return None
    if times.low <= 1 <= times.high:
        return f"about as fast as the original {what}"
    digits = ".2f" if times.value < 1 else ".1f"
    slower = ", which is slower," if times.value < 1 else ""
    interval = f"[{times.low:{digits}}, {times.high:{digits}}]"
    return f"{times.value:{digits}} {interval} times as fast{slower} {what}"
