"""A look at the data before training: classes, lengths, findings, tokens, a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.contracts import ProgressEvent, silent
from finetext.core.errors import DataError
from finetext.core.types import Dataset, Finding, Splits
from finetext.diagnosis.data_checks import Material, check_material, counting_pieces
from finetext.training.batches import training_batches
from finetext.training.tokens import tokenize

ALL: Final = "all rows"
_SHARES: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Spread:
    """How long the texts of a class are: all that a box plot shows.

    Attributes:
        rows: number of texts.
        mean: mean length.
        least: smallest length.
        low: 5th percentile, the lower whisker.
        quarter: 25th percentile.
        median: 50th percentile.
        three_quarters: 75th percentile.
        high: 95th percentile, the upper whisker.
        most: greatest length.
        cut: share of the texts that are longer than the context, or None without one.
    """

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
    """Lengths of texts by class.

    Attributes:
        unit: "words" or "word pieces".
        spreads: of "all rows" first, then of each class that has rows.
        context: the most the model is given of a text, or None.
        encoder: the encoder whose word pieces were counted, or None for words.
    """

    unit: str
    spreads: Mapping[str, Spread]
    context: int | None = None
    encoder: str | None = None


def lengths_from_json(values: Mapping[str, Any]) -> Lengths:
    """The inverse of `dataclasses.asdict` after a way through JSON.

    Raises:
        KeyError, TypeError: a value is missing, or there is one too many.
    """
    spreads = {name: Spread(**of) for name, of in values["spreads"].items()}
    return Lengths(**{**values, "spreads": spreads})


@dataclass(frozen=True)
class Exploration:
    """What `explore` saw.

    Attributes:
        description: one line on where the data came from.
        rows: number of rows of each part; of "all" if the data are not split.
        multilabel: whether a row can have several labels, so that counts add up to more.
        classes: class -> part -> rows, in the order of the scheme; empty for unlabelled text.
        words: words per text, divided at spaces.
        pieces: word pieces per text, special ones included, or None without an encoder.
        encoder: the encoder whose word pieces were counted, or None.
        findings: what the checks found, worst first.
    """

    description: str
    rows: Mapping[str, int]
    multilabel: bool
    classes: Mapping[str, Mapping[str, int]]
    words: Lengths
    pieces: Lengths | None
    encoder: str | None
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists, strings and numbers."""
        return asdict(self)


def explore(
    data: Dataset | Splits,
    encoder: str | None = None,
    progress: Callable[[ProgressEvent], None] = silent,
) -> Exploration:
    """Count classes and lengths, and run all checks.

    Args:
        data: rows, with ready-made parts or without, or parts that were split already.
        encoder: alias, Hub name or folder of the encoder whose word pieces and context count;
            by default word pieces are left out.
        progress: told how far the slow steps are.

    Returns:
        tables that `finetext.report.exploration` and `explore_page` show.

    Raises:
        ModelError: the encoder's tokenizer cannot be loaded.
    """
    inputs = [] if encoder is None else [(encoder, None)]
    with counting_pieces(Material.of(data), inputs, progress) as material:
        findings = check_material(material)
        words, *pieces = length_tables(material)
    scheme = material.scheme
    return Exploration(
        description=material.parts[0][1].description if material.parts else "",
        rows={name: len(part) for name, part in material.parts},
        multilabel=scheme is not None and scheme.multilabel,
        classes=_class_table(material),
        words=words,
        pieces=pieces[0] if pieces else None,
        encoder=encoder,
        findings=tuple(findings),
    )


def length_tables(material: Material) -> tuple[Lengths, ...]:
    """Words of the texts by class, then word pieces for each of the material's inputs."""
    words = np.array([len(text.split()) for text in material.texts], dtype=np.int64)
    return (
        Lengths("words", _spreads(words, material)),
        *(
            Lengths(
                "word pieces",
                _spreads(each.pieces, material, each.limit),
                each.limit,
                each.encoder,
            )
            for each in material.inputs
        ),
    )


def _class_table(material: Material) -> dict[str, dict[str, int]]:
    if material.scheme is None:
        return {}
    parts = [name for name, _ in material.parts]
    return {
        name: dict(zip(parts, map(int, material.counts[:, column]), strict=True))
        for column, name in enumerate(material.scheme.names)
    }


def _spreads(
    lengths: Integers, material: Material, context: int | None = None
) -> dict[str, Spread]:
    spreads = {ALL: _spread(lengths, context)} if len(lengths) else {}
    for column, name in enumerate(material.scheme.names if material.scheme else ()):
        own = lengths[material.indicators[:, column] == 1]
        if len(own):
            spreads[name] = _spread(own, context)
    return spreads


def _spread(lengths: Integers, context: int | None) -> Spread:
    least, low, quarter, median, three_quarters, high, most = np.quantile(lengths, _SHARES).tolist()
    cut = None if context is None else float((lengths > context).mean())
    return Spread(
        rows=len(lengths),
        mean=float(lengths.mean()),
        least=least,
        low=low,
        quarter=quarter,
        median=median,
        three_quarters=three_quarters,
        high=high,
        most=most,
        cut=cut,
    )


MOST_ROWS_SAMPLED: Final = 2_000


@dataclass(frozen=True)
class TokenLook:
    """One text as a tokenizer cuts it.

    Attributes:
        id: id of the row.
        text: the text, whole.
        label: its label or labels joined by " + ", or None.
        characters: number of characters.
        words: the words, divided at spaces.
        pieces: the word pieces, special ones included, without cutting.
        ids: the number of each piece.
        special: whether each piece was added by the tokenizer.
        context: the most pieces the model can see.
    """

    id: str
    text: str
    label: str | None
    characters: int
    words: tuple[str, ...]
    pieces: tuple[str, ...]
    ids: tuple[int, ...]
    special: tuple[bool, ...]
    context: int


@dataclass(frozen=True)
class BatchLook:
    """A batch as the model would see it; b rows padded to length m.

    Attributes:
        row_ids: id of each row.
        labels: the label of each row, several joined by " + ", or None without labels.
        targets: what is learnt from: a class number, or 0 and 1 for each class; None likewise.
        input_ids: b lists of m piece numbers.
        pieces: b lists of m pieces.
        attention_mask: b lists of m numbers: 1 for a piece, 0 for padding.
        padding_share: share of the b x m positions that are padding.
    """

    row_ids: tuple[str, ...]
    labels: tuple[str, ...] | None
    targets: tuple[int | list[int], ...] | None
    input_ids: tuple[list[int], ...]
    pieces: tuple[list[str], ...]
    attention_mask: tuple[list[int], ...]
    padding_share: float


def look_at_tokens(dataset: Dataset, row: int, tokenizer: Any, context: int) -> TokenLook:
    """Cut the text of one row.

    Args:
        dataset: the rows.
        row: number of the row, from 1.
        tokenizer: a transformers tokenizer.
        context: the most pieces the model can see.

    Raises:
        DataError: there is no such row.
    """
    if not 1 <= row <= len(dataset):
        raise DataError(f"there is no row {row}; the data have the rows 1 to {len(dataset):,}")
    text = dataset.texts[row - 1]
    encoded = tokenizer(text, truncation=False, return_special_tokens_mask=True, verbose=False)
    labels = _labels(dataset)
    return TokenLook(
        id=dataset.ids[row - 1],
        text=text,
        label=None if labels is None else labels[row - 1],
        characters=len(text),
        words=tuple(text.split()),
        pieces=tuple(tokenizer.convert_ids_to_tokens(encoded["input_ids"])),
        ids=tuple(encoded["input_ids"]),
        special=tuple(map(bool, encoded["special_tokens_mask"])),
        context=context,
    )


def look_at_batch(
    dataset: Dataset, tokenizer: Any, context: int, size: int = 8, seed: int = 0
) -> BatchLook:
    """Make a batch as training makes them: rows of like length, in random order.

    It is drawn from all the rows that are given, before any split, and its size is its own: it
    shows what a batch looks like and is none that a run will see. Of large data the first 2,000
    rows of a random order stand for all.

    Args:
        dataset: the rows to draw from.
        tokenizer: a transformers tokenizer with a padding token.
        context: pieces to which texts are cut.
        size: rows in the batch, b; 8 by default.
        seed: seed of the order of the rows.

    Raises:
        DataError: there are no rows, or the size is below 1.
    """
    if not len(dataset) or size < 1:
        raise DataError(f"cannot make a batch of {size} rows out of {len(dataset):,}")
    order = np.random.default_rng(seed).permutation(len(dataset))[:MOST_ROWS_SAMPLED]
    sample = dataset.select(order)
    table = tokenize(tokenizer, sample.texts, context)
    rows = training_batches(table.lengths, size, seed, epoch=0)[0]
    batch = {name: values.tolist() for name, values in table.batch(rows).items()}
    mask = batch["attention_mask"]
    labels = _labels(sample)
    targets = None if labels is None else tuple(sample.targets[rows].tolist())
    return BatchLook(
        row_ids=tuple(sample.ids[row] for row in rows),
        labels=None if labels is None else tuple(labels[row] for row in rows),
        targets=targets,
        input_ids=tuple(batch["input_ids"]),
        pieces=tuple(tokenizer.convert_ids_to_tokens(ids) for ids in batch["input_ids"]),
        attention_mask=tuple(mask),
        padding_share=1 - float(np.mean(mask)),
    )


def _labels(dataset: Dataset) -> list[str] | None:
    """The label of each row for people, or None without labels."""
    if dataset.scheme is None:
        return None
    if not dataset.scheme.multilabel:
        return dataset.labels
    return [" + ".join(several) or "none" for several in dataset.labels]
