"""The corpus: unlabeled text for a language model, without test rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from finetext.core.addresses import recorded
from finetext.core.budget import toml_values
from finetext.core.environment import absolute
from finetext.core.errors import DataError, UnlabeledError
from finetext.core.paths import expanded
from finetext.core.settings import Count, ReadSettings, ShareBelowOne, SplitSettings, made
from finetext.core.types import Dataset, Finding
from finetext.core.wording import counted
from finetext.data.formats import LABEL_TAKEN_OFF, TEXT_A_LINE, WHOLE_LINES
from finetext.data.read import read
from finetext.data.split import split
from finetext.pretraining.folder import text_hashes
from finetext.storage.locks import is_started
from finetext.storage.received import open_received, read_received_text


@dataclass(frozen=True)
class CorpusSettings:
    """How a corpus is read, and which texts it leaves out.

    Held out are the texts of `validation`, or else the share `held_out` of the corpus, at most
    `most_held_out` texts. Left out are the texts of `exclude` and of the known test rows `test`,
    and those of all test rows unless `with_test` is true.
    """

    read: ReadSettings = field(default_factory=ReadSettings)
    validation: Any = None
    held_out: ShareBelowOne = 0.05
    most_held_out: Count = 2_000
    exclude: tuple[Any, ...] = ()
    with_test: bool = False
    test: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Corpus:
    """Texts to train on and held-out texts; `excluded` counts those left out by reason.

    `test_rows` says which test rows their texts were compared with.
    """

    texts: list[str]
    held_out: list[str]
    source: str | list[str] = "texts"
    excluded: Mapping[str, int] = field(default_factory=dict)
    with_test: bool = False
    description: str = ""
    in_order: bool = False
    findings: tuple[Finding, ...] = ()
    test_rows: str = "of this run"

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the texts, in order."""
        digest = hashlib.sha256()
        for mark, texts in (("\x1d", self.texts), ("\x1c", self.held_out)):
            for text in texts:
                digest.update(f"{mark}{text}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def described(self) -> dict[str, Any]:
        """Return what `origin.json` states of it, but for the number of tokens."""
        return {
            "source": self.source,
            "content_hash": self.content_hash,
            "documents": len(self.texts),
            "held_out": len(self.held_out),
            "excluded": dict(self.excluded),
            "with_test": self.with_test,
            "in_order": self.in_order,
        }

    def summary(self) -> str:
        """Return one line on its size and what was left out."""
        words = {"test": f"that occur in test rows ({self.test_rows})"}
        left_out = [f"{number:,} {words.get(why, why)}" for why, number in self.excluded.items()]
        return (
            f"corpus: {counted(len(self.texts), 'text')}, {len(self.held_out):,} more held out; "
            f"left out: {', '.join(left_out) or 'none'}"
            + ("; test rows are in it, as you asked" if self.with_test else "")
        )


class _Rows(NamedTuple):
    """The texts of a source, and those of its test rows; `bare` is without supposed labels.

    `which` says which rows are test rows.
    """

    texts: Sequence[str]
    test: Sequence[str]
    description: str
    in_order: bool = False
    bare: Sequence[str] = ()
    findings: tuple[Finding, ...] = ()
    which: str = ""


def read_corpus(source: Any, settings: CorpusSettings | None = None, seed: int = 0) -> Corpus:
    """Read texts for a language model; labels are ignored, test rows and repeats left out."""
    settings = settings or CorpusSettings()
    is_several = isinstance(source, tuple) and all(isinstance(one, str | Path) for one in source)
    sources = source if is_several and source else (source,)
    parts = [_rows(one, settings.read, seed) for one in sources]
    texts = [text for part in parts for text in part.texts]
    sieve = _Sieve(parts)
    sieve.leave_out("blank", [""])
    sieve.leave_out("test", settings.test)
    if not settings.with_test:
        sieve.leave_out("test", [text for part in parts for text in part.test])
    for other in settings.exclude:
        rows = _rows(other, ReadSettings(), seed)
        sieve.leave_out(f"that occur in {_name(other)}", [*rows.texts, *rows.bare])
    held_out: list[str] = []
    if settings.validation is not None:
        rows = _rows(settings.validation, settings.read, seed)
        held_out = [text for text in rows.texts if text.strip()]
        held_out = held_out if rows.in_order else list(dict.fromkeys(held_out))
        held_out = list(compress(held_out, ~sieve.repeats(held_out)))
        sieve.leave_out("held out", held_out)
    sieve.leave_out_repeated()
    kept = np.flatnonzero(sieve.kept)
    if settings.validation is None:
        wanted = min(max(1, round(settings.held_out * len(kept))), settings.most_held_out)
        fit = sieve.occur_once(kept)
        order = np.random.default_rng(seed).permutation(len(fit))
        is_held = np.isin(kept, fit[order[: max(0, min(wanted, len(kept) - 1))]])
        held_out = [texts[row] for row in kept[is_held]]
        kept = kept[~is_held]
    if not len(kept) or not held_out:
        raise DataError(_too_few(sieve, settings))
    names = [_name(one) for one in sources]
    test_rows = dict.fromkeys(part.which for part in parts if part.test)
    return Corpus(
        [texts[row] for row in kept],
        held_out,
        names if len(names) > 1 else names[0],
        sieve.excluded,
        settings.with_test,
        "; ".join(part.description for part in parts),
        all(part.in_order for part in parts),
        tuple(finding for part in parts for finding in part.findings),
        Corpus.test_rows if settings.test else ", ".join(test_rows),
    )


class _Sieve:
    """Which of n texts are kept, and why the others are not."""

    def __init__(self, parts: Sequence[_Rows]) -> None:
        self.excluded: dict[str, int] = {}
        self._parts = parts
        self._hashes = np.concatenate([text_hashes(part.texts) for part in parts])
        self._bare = np.concatenate([text_hashes(part.bare or part.texts) for part in parts])
        sizes = [len(part.texts) for part in parts]
        self._running = np.repeat([part.in_order for part in parts], sizes)
        self._ends = np.cumsum(sizes)
        self.kept = np.ones(len(self._hashes), dtype=bool)

    def leave_out(self, reason: str, texts: Sequence[str]) -> None:
        """Leave out these texts."""
        hashes = text_hashes(texts)
        self._drop(reason, np.isin(self._hashes, hashes) | np.isin(self._bare, hashes))

    def leave_out_repeated(self) -> None:
        """Leave out every repeated document; a running text is one document."""
        first = np.unique(np.where(self.kept, self._hashes, 0), return_index=True)[1]
        repeated = ~np.isin(np.arange(len(self._hashes)), first) & ~self._running
        seen = set()
        for part, end in zip(self._parts, self._ends, strict=True):
            place = slice(end - len(part.texts), end)
            content = self._hashes[place].tobytes()
            repeated[place] |= part.in_order and content in seen
            seen.add(content)
        self._drop("repeated", repeated)

    def repeats(self, texts: Sequence[str]) -> Any:
        """Return which texts occur more than once in the running text that is kept."""
        values, counts = np.unique(self._hashes[self.kept & self._running], return_counts=True)
        return np.isin(text_hashes(texts), values[counts > 1])

    def occur_once(self, rows: Any) -> Any:
        """Return the rows whose text occurs once among those kept."""
        values, counts = np.unique(self._hashes[self.kept], return_counts=True)
        return rows[np.isin(self._hashes[rows], values[counts == 1])]

    def _drop(self, reason: str, found: Any) -> None:
        if number := int((self.kept & found).sum()):
            self.excluded[reason] = self.excluded.get(reason, 0) + number
        self.kept &= ~found


def _too_few(sieve: _Sieve, settings: CorpusSettings) -> str:
    left, needed = int(sieve.kept.sum()), 2 if settings.validation is None else 1
    if left >= needed:
        return (
            "no text can be held out: blank texts and texts that the corpus repeats do not count; "
            "give others with --validation"
        )
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in sieve.excluded.items())
    return (
        f"the corpus has {counted(left, 'text')} that can be used, and needs at least "
        f"{'two texts' if needed == 2 else 'one text to learn from'}"
        f"{f'; left out: {reasons}' if reasons else ''}"
    )


def _name(source: Any) -> str:
    return str(recorded(absolute(str(source)))) if isinstance(source, str | Path) else "texts"


def _rows(source: Any, settings: ReadSettings, seed: int) -> _Rows:
    """Return all texts of a source, and those of its test rows."""
    if isinstance(source, str | Path) and is_started(folder := expanded(source)):
        return _rows_of_run(folder)
    texts, with_label = _read(source, replace(settings, whole_lines=True))
    in_order = f": {TEXT_A_LINE};" in texts.description
    found = tuple(of for of in texts.findings if of.code in (LABEL_TAKEN_OFF, WHOLE_LINES))
    bare: Sequence[str] = ()
    if any(finding.code == WHOLE_LINES for finding in found):
        with suppress(DataError):  # as training would read them, to recognize test rows
            others = read(source, settings=replace(settings, labelled=True, label=None))
            bare = [*texts.texts[: len(texts) - len(others)], *others.texts]
    labeled = with_label or texts
    test = _test_texts(labeled, seed)
    ready_made = "split" in labeled.table.column_names and "test" in labeled.column("split")
    which = "the ready-made test split" if ready_made else f"those of finetext train, seed {seed}"
    return _Rows(texts.texts, test, texts.description, in_order, bare, found, which)


def _read(source: Any, settings: ReadSettings) -> tuple[Dataset, Dataset | None]:
    """Return all rows of a source, and those with a label as training would read them."""
    with_label = None
    if settings.labelled:
        try:
            dataset = read(source, settings=settings)
            return dataset, dataset
        except UnlabeledError:
            pass
        except DataError:
            with suppress(DataError):
                with_label = read(source, settings=replace(settings, drop_unlabelled=True))
    without = replace(settings, labelled=False, label=None, drop_unlabelled=False)
    return read(source, settings=without), with_label


def _test_texts(dataset: Dataset, seed: int) -> list[str]:
    """Return the texts of the test rows that `finetext train` would have."""
    if dataset.scheme is not None:
        with suppress(DataError):  # without a split, only ready-made test rows
            return split(dataset, SplitSettings(), seed).test.texts
    if "split" not in dataset.table.column_names:
        return []
    return list(compress(dataset.texts, (part == "test" for part in dataset.column("split"))))


def _rows_of_run(folder: Path) -> _Rows:
    """Return the texts of a run."""
    import pyarrow
    import pyarrow.parquet

    try:
        data = toml_values(read_received_text(folder, "recipe.toml"))["data"]
        known = json.loads(read_received_text(folder, "data.json"))["content_hash"]
        with open_received(folder, "splits.parquet") as file:
            table = pyarrow.parquet.read_table(file).to_pydict()
        parts = dict(zip(table["id"], table["split"], strict=True))
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise DataError(f"the run in {folder} is damaged: {error!r}") from None
    source = data.pop("source", None)
    data.pop("content_hash", None)
    beside = isinstance(source, str) and (folder / source).exists()
    how = made("[data]", ReadSettings, data)
    dataset = read(str(folder / source) if beside else source, settings=how)
    if known != dataset.content_hash:
        raise DataError(
            f"the data of the run in {folder} are not the ones it started with, so its test rows "
            "are unknown; give the data themselves, and the test rows with --exclude"
        )
    test = list(compress(dataset.texts, (parts.get(name) == "test" for name in dataset.ids)))
    described = f"run {folder}: {dataset.description}"
    return _Rows(dataset.texts, test, described, which=f"those of the run {folder}")
