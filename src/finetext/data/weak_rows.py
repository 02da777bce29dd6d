"""The rows of a distillation: texts of a pool with the labels of a model, and rows of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.errors import DataError
from finetext.core.types import SPLIT_NAMES, Dataset, Finding, LabelScheme
from finetext.core.wording import counted
from finetext.data.near_duplicates import copies, near_duplicates
from finetext.data.rows import LABEL_STATUS
from finetext.data.weak_labels import HUMAN, WEAK, WeakLabels


@dataclass(frozen=True, eq=False)
class PoolLabels:
    """The labels that a model gave the n texts of a pool.

    Attributes:
        ids: of the rows of the pool.
        labels: None where the model abstains.
        confidence: (n,) how probable the model says that the label is.
        sha256: hash of the model.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    labels: Sequence[str | None]
    confidence: Floats
    sha256: str

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Which rows of a pool are learned from, (n,), and in words why others are not.

    Attributes:
        known: number of texts that are left out as rows that people labeled, or near-copies.
    """

    rows: Booleans
    words: str
    known: int = 0


def confident(
    labels: Sequence[str | None], confidence: Floats, keep: float = 1.0, least: float = 0.0
) -> Integers:
    """Return the positions of the rows to learn from, in their order.

    Args:
        labels: the label of each of n rows, None where the model abstained.
        confidence: (n,) how probable the model says that the label is.
        keep: share of the rows of each label, the most confident ones, at least one.
        least: least confidence.
    """
    by_label: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        if label is not None:
            by_label.setdefault(label, []).append(row)
    chosen: list[int] = []
    for rows in by_label.values():
        ranked = np.array(rows)[np.argsort(-confidence[rows], kind="stable")]
        best = ranked[: int(np.ceil(keep * len(rows) - 1e-9))]
        chosen += best[confidence[best] >= least].tolist()
    return np.array(sorted(chosen), dtype=np.int64)


def choose_rows(
    pool: PoolLabels, human: Mapping[str, Dataset], keep: float, least: float
) -> ChosenRows:
    """Return the rows of a pool to learn from: see `confident` for `keep` and `least`.

    Copies and near-copies of rows that people labeled are left out, so that no text to score on
    was learned from; of texts that are equal there is one.
    """
    rows_of_people = [*human.values(), *_out_of_scope(human).values()]
    others = [text for of in rows_of_people for text in of.texts]
    clusters = near_duplicates([*others, *pool.texts])[len(others) :]
    is_human = clusters < len(others)
    is_copy = (copies(pool.texts) != np.arange(len(pool))) & ~is_human
    usable = np.flatnonzero(~is_human & ~is_copy)
    labels = [pool.labels[row] for row in usable.tolist()]
    rows = np.zeros(len(pool), dtype=np.bool_)
    rows[usable[confident(labels, pool.confidence[usable], keep, least)]] = True
    abstained = sum(label is None for label in labels)
    words = (
        f"weak labels: {counted(int(rows.sum()), 'training row')} of {counted(len(pool), 'text')} "
        f"of the pool; left out: copies or near-copies of human-labeled rows {is_human.sum():,}, "
        f"copies within the pool {is_copy.sum():,}, without a label {abstained:,}, less confident "
        f"{len(usable) - abstained - rows.sum():,}"
    )
    return ChosenRows(rows, words, int(is_human.sum()))


def kept_of(pool: PoolLabels, rows: Booleans, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the fields `given`, `kept` and `confidence` of `WeakLabels`."""
    labels = np.array(pool.labels, dtype=object)
    of_label = {name: labels == name for name in names}
    return {
        "given": {name: int(has.sum()) for name, has in of_label.items()},
        "kept": {name: int((has & rows).sum()) for name, has in of_label.items()},
        "confidence": {
            name: round(float(pool.confidence[has & rows].min()), 4)
            for name, has in of_label.items()
            if (has & rows).any()
        },
    }


def assembled(
    pool: PoolLabels,
    of_pool: ChosenRows,
    human: Mapping[str, Dataset],
    scheme: LabelScheme,
    weak: WeakLabels,
) -> Dataset:
    """Return weak and human-labeled rows as one data set with ready-made splits.

    Raises a DataError if fewer than two labels have rows to learn from.
    """
    import datasets

    chosen = np.flatnonzero(of_pool.rows).tolist()
    table: dict[str, list[Any]] = {
        "id": [f"{WEAK}/{pool.ids[row]}" for row in chosen],
        "text": [pool.texts[row] for row in chosen],
        "label": [pool.labels[row] for row in chosen],
        "split": ["train"] * len(chosen),
        LABEL_STATUS: [WEAK] * len(chosen),
    }
    if any(of.groups is not None for of in human.values()):
        table["group"] = [f"(row {one})" for one in table["id"]]
    parts = [(name, human[name]) for name in SPLIT_NAMES if name in human]
    outside: dict[str, list[Any]] = {name: [] for name in table if name != "label"}
    for name, part in _out_of_scope(human).items():
        _add(outside, name, part)
    for name, part in parts:
        _add(table, name, part)
        table["label"] += part.labels
    learned = {of for of, at in zip(table["label"], table["split"], strict=True) if at == "train"}
    findings = [finding for _, part in parts for finding in part.findings]
    findings += _without_confidence(learned, weak, of_pool.known)
    said = [f"{len(part):,} human-labeled {name} rows" for name, part in parts]
    others = Dataset(datasets.Dataset.from_dict(outside)) if outside["id"] else None
    said += [f"{counted(len(others), 'text')} out of scope"] if others else []
    return Dataset(
        datasets.Dataset.from_dict(table), scheme, "; ".join([weak.words(), *said]),
        tuple(findings), out_of_scope=others,
    )  # fmt: skip


def _out_of_scope(human: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Return the rows of each part that belong to no class, where there are any."""
    return {name: of.out_of_scope for name, of in human.items() if of.out_of_scope is not None}


def _add(table: dict[str, list[Any]], name: str, part: Dataset) -> None:
    """Add the rows of a part to the columns of a table, all but their labels."""
    ids = [f"{name}/{one}" for one in part.ids]
    table["id"] += ids
    table["text"] += part.texts
    table["split"] += [name] * len(part)
    is_marked = LABEL_STATUS in part.table.column_names
    table[LABEL_STATUS] += part.column(LABEL_STATUS) if is_marked else [HUMAN] * len(part)
    if "group" in table:
        table["group"] += part.groups or [f"(row {one})" for one in ids]


def _without_confidence(learned: set[str], weak: WeakLabels, known: int) -> list[Finding]:
    """Warn of labels without rows to learn from that the teacher gave; refuse fewer than two."""
    if len(learned) < 2:
        labels = ", ".join(f"{name} {count:,}" for name, count in weak.given.items() if count)
        advice = "Keep more (--keep 1 --least 0), give more texts, or labeled rows with --train"
        if known:
            advice = (
                f"{known:,} of {counted(weak.texts, 'text')} were left out, as they are rows that "
                "people labeled, or near-copies: give other texts, or labeled rows with --train"
            )
        raise DataError(
            "fewer than two labels have rows to learn from. The teacher gave these texts: "
            f"{labels or 'none'}. {advice}"
        )
    lost = [name for name, count in weak.given.items() if name not in learned and count]
    if not lost:
        return []
    message = (
        f"The teacher was not confident enough of any text with {', '.join(map(repr, lost))}, so "
        "nothing is learned of that. Lower --least, or give labeled rows with --train."
    )
    return [Finding("warning", "no-confident-text", message)]
