"""What the model gets to see: the tokens of one row, and one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.errors import DataError
from finetext.training.batches import training_batches
from finetext.training.tokens import tokenise
from finetext.types import Dataset

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
    table = tokenise(tokenizer, sample.texts, context)
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
