"""The data before training: class counts, text lengths, findings, tokens, and a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from finetext.core import registry
from finetext.core.arrays import Integers
from finetext.core.budget import within_memory
from finetext.core.column_role import ColumnRole
from finetext.core.contracts import ProgressEvent, check_read, silent
from finetext.core.display import ShownInNotebook
from finetext.core.errors import DataError
from finetext.core.types import Dataset, Finding, Splits
from finetext.diagnosis.data_checks import Material, Reader, check_material, counting_tokens
from finetext.encoders.tokenized_text import TokenizedText, tokens
from finetext.evaluation.agreement import Agreement, agreement_in
from finetext.storage.codec import Jsonable
from finetext.training.batches import training_batches
from finetext.training.tokens import tokenize

ALL: Final = "all rows"
MOST_ROWS_SAMPLED: Final = 2_000
_QUANTILES: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Spread:
    """The distribution of the lengths of some texts, as a box plot shows it."""

    rows: int
    mean: float
    least: float
    low: float
    quarter: float
    median: float
    three_quarters: float
    high: float
    most: float
    cut: float | None = None


@dataclass(frozen=True)
class Lengths:
    """Lengths of texts in "words", or in "tokens" of an encoder."""

    unit: str
    spreads: Mapping[str, Spread]
    context: int | None = None
    encoder: str | None = None


@dataclass(frozen=True)
class Exploration(Jsonable, ShownInNotebook):
    """What `explore` found.

    Attributes:
        rows: number of rows of each part; of "all" if the data are not split.
        classes: class to part to rows, in the order of the scheme; empty for unlabeled text.
        words: words per text, divided at spaces.
        pieces: tokens per text, special ones included, or None without an encoder.
        columns: what the columns of the source were taken for and why.
        agreement: how far annotators agree, if two or more labeled the same texts.
    """

    description: str
    rows: Mapping[str, int]
    multilabel: bool
    classes: Mapping[str, Mapping[str, int]]
    words: Lengths
    pieces: Lengths | None
    encoder: str | None
    findings: tuple[Finding, ...]
    columns: tuple[ColumnRole, ...] = ()
    agreement: Agreement | None = None

    def __repr__(self) -> str:
        text: str = registry.load("views", "exploration")(self)
        return text


@within_memory
def explore(
    data: Dataset | Splits,
    encoder: str | None = None,
    progress: Callable[[ProgressEvent], None] = silent,
) -> Exploration:
    """Count classes and lengths, and run all checks.

    The encoder (alias, Hub name or folder) is the one whose tokens and context count; by default
    tokens are left out. Raises a ModelError if its tokenizer cannot be loaded, and a DataError if
    the data were not read.
    """
    check_read("explore", data)
    inputs = [] if encoder is None else [Reader(encoder)]
    with counting_tokens(Material.of(data), inputs, progress) as material:
        findings = check_material(material)
        words, *tokens = length_tables(material)
    scheme, parts = material.scheme, [name for name, _ in material.parts]
    classes = {
        name: dict(zip(parts, map(int, material.counts[:, column]), strict=True))
        for column, name in enumerate(scheme.names if scheme else ())
    }
    return Exploration(
        description=material.parts[0][1].description if material.parts else "",
        rows={name: len(part) for name, part in material.parts},
        multilabel=scheme is not None and scheme.multilabel,
        classes=classes,
        words=words,
        pieces=tokens[0] if tokens else None,
        encoder=encoder,
        findings=tuple(findings),
        columns=material.parts[0][1].roles if material.parts else (),
        agreement=agreement_in(material.parts[0][1]) if material.parts else None,
    )


def length_tables(material: Material) -> tuple[Lengths, ...]:
    """Return words per text by class, then tokens per text for each model input."""
    words = np.array([len(text.split()) for text in material.texts], dtype=np.int64)
    found = [Lengths("words", _spreads(words, material))]
    for of in material.inputs:
        spreads = _spreads(of.tokens, material, of.limit)
        found.append(Lengths("tokens", spreads, of.limit, of.encoder))
    return tuple(found)


def _spreads(
    lengths: Integers, material: Material, context: int | None = None
) -> dict[str, Spread]:
    found = {ALL: lengths}
    for column, name in enumerate(material.scheme.names if material.scheme else ()):
        found[name] = lengths[material.indicators[:, column] == 1]
    spreads = {}
    for name, own in ((name, own) for name, own in found.items() if len(own)):
        cut = None if context is None else float((own > context).mean())
        least, low, quarter, median, third, high, most = np.quantile(own, _QUANTILES).tolist()
        mean, rows = float(own.mean()), len(own)
        spreads[name] = Spread(rows, mean, least, low, quarter, median, third, high, most, cut)
    return spreads


@dataclass(frozen=True)
class ExampleBatch:
    """A batch of b rows padded to length m, as a model reads it."""

    row_ids: tuple[str, ...]
    labels: tuple[str, ...] | None
    targets: tuple[int | list[int], ...] | None
    input_ids: tuple[list[int], ...]
    pieces: tuple[list[str], ...]
    attention_mask: tuple[list[int], ...]
    padding_share: float


def tokenized_row(dataset: Dataset, row: int, encoder: str) -> TokenizedText:
    """Return the text of one row, counted from 1, as the tokenizer of an encoder divides it."""
    if not 1 <= row <= len(dataset):
        raise DataError(f"there is no row {row}; the data have the rows 1 to {len(dataset):,}")
    labels = _labels(dataset)
    label = None if labels is None else labels[row - 1]
    return replace(tokens(dataset.texts[row - 1], encoder), id=dataset.ids[row - 1], label=label)


def example_batch(
    dataset: Dataset, tokenizer: Any, context: int, size: int = 8, seed: int = 0
) -> ExampleBatch:
    """Make a batch as training does: rows of similar length, in random order."""
    if not len(dataset) or size < 1:
        raise DataError(f"cannot make a batch of {size} rows out of {len(dataset):,}")
    order = np.random.default_rng(seed).permutation(len(dataset))[:MOST_ROWS_SAMPLED]
    sample = dataset.select(order)
    table = tokenize(tokenizer, sample.texts, context)
    rows = training_batches(table.lengths, size, seed, epoch=0)[0]
    batch = {name: values.tolist() for name, values in table.batch(rows).items()}
    labels = _labels(sample)
    return ExampleBatch(
        row_ids=tuple(sample.ids[row] for row in rows),
        labels=None if labels is None else tuple(labels[row] for row in rows),
        targets=None if labels is None else tuple(sample.targets[rows].tolist()),
        input_ids=tuple(batch["input_ids"]),
        pieces=tuple(tokenizer.convert_ids_to_tokens(ids) for ids in batch["input_ids"]),
        attention_mask=tuple(batch["attention_mask"]),
        padding_share=1 - float(np.mean(batch["attention_mask"])),
    )


def _labels(dataset: Dataset) -> Sequence[str] | None:
    if dataset.scheme is None or not dataset.scheme.multilabel:
        return None if dataset.scheme is None else dataset.labels
    return [" + ".join(several) or "none" for several in dataset.labels]
