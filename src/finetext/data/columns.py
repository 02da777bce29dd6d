"""Which columns hold text, label, group and id: as given, by name, or by content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from finetext.core.errors import DataError, UnclearError, UnlabeledError, nearest
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding, SplitName
from finetext.core.wording import counted, listed, short
from finetext.data.column_search import Look, find_text
from finetext.data.column_traits import Traits, at_least, distinct, is_number, traits_of
from finetext.data.column_words import (
    LABEL_NAMES,
    TEXT_NAMES,
    by_name,
    plain_name,
    says,
    split_of,
    words_in,
)
from finetext.data.label_cells import missing
from finetext.data.label_search import find_labels
from finetext.data.rows import Batch, row_texts

__all__ = [
    "KNOWN_NAMES", "LABEL_NAMES", "TEXT_NAMES", "Chosen", "by_name", "choose_columns",
    "has_column", "is_number", "named", "plain_name", "refuse_odd_text", "splits_in",
    "text_columns", "values_of",
]  # fmt: skip

_ID_NAMES: Final = (
    *("id", "ids", "row_id", "text_id", "doc_id", "document_id", "example_id", "sentence_id"),
    *("comment_id", "tweet_id", "review_id", "message_id", "item_id", "guid", "uid", "uuid"),
    *("idx", "index"),
)
_OTHER_ID_NAMES: Final = tuple(
    [name] for name in ("kennung", "identifiant", "identificador", "identificativo", "编号")
)
_SPLIT_NAMES: Final = ("split", "partition", "subset")
_MOST_SPLITS: Final = 6
KNOWN_NAMES: Final = frozenset(TEXT_NAMES + LABEL_NAMES + _ID_NAMES + _SPLIT_NAMES)
_SAMPLE: Final = 2000


@dataclass(frozen=True)
class Chosen:
    """The chosen columns; several label columns hold 0 and 1.

    Attributes:
        text: the column of the texts, or the first of several.
        further_texts: the others, whose texts are joined to it in this order.
        annotator: column that says who gave the label; it never is the label.
        traits: what the columns hold that were looked at.
        is_named: whether the settings name the column of the texts.
        is_preferred: whether it is the one that the model was trained on.
        findings: that the column of the model is not there.
    """

    text: str
    labels: tuple[str, ...]
    group: str | None
    id: str | None
    split: str | None
    annotator: str | None = None
    further_texts: tuple[str, ...] = ()
    traits: Mapping[str, Traits] = field(default_factory=dict, repr=False, compare=False)
    is_named: bool = False
    is_preferred: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All columns of the text."""
        return self.text, *self.further_texts

    @property
    def texts_shown(self) -> str:
        """All columns of the text in words."""
        shown = " + ".join(map(repr, self.texts))
        return f"{shown} (the column of training)" if self.is_preferred else shown

    @property
    def stored(self) -> dict[str, Any]:
        """What a `LabelScheme` stores of them: several, or one that was named.

        A number counts the columns of a table without names, and another table may have others.
        """
        if self.further_texts:
            return {"text_columns": self.texts, "text_column": None}
        keeps = self.is_named and not self.text.isdecimal()
        return {"text_columns": (), "text_column": self.text if keeps else None}

    def texts_in(self, batch: Batch) -> list[Any]:
        """The text of each row of a batch, joined if several columns hold it."""
        return row_texts(batch, [named(batch, name) for name in self.texts])


def choose_columns(batch: Batch, settings: ReadSettings) -> Chosen:
    """Choose columns as given, else those of an annotation tool, else by name and content.

    Raises:
        DataError: no column qualifies as text, or several as text or as label; the message lists
            them with values, and says how to name one.
        UnlabeledError: labels are required, and no column qualifies.
    """
    own, label = settings.text, settings.label or batch.label
    settings = replace(settings, text=own or batch.text, label=label)
    texts = text_columns(batch, own) if own else ()
    labels = tuple(named(batch, name) for name in settings.label_columns)
    group = named(batch, settings.group) if settings.group else None
    id_column = named(batch, settings.id) if settings.id else None
    look = Look(batch, settings)

    def free(*taken: str | None) -> list[str]:
        return [name for name in batch.columns if name not in taken]

    others = free(*labels, group, id_column)
    preferred, lacks = ((), "") if own else _preferred(others, settings.preferred_text)
    if not (texts or preferred) and batch.text:
        texts, lacks = text_columns(batch, batch.text), ""
    try:
        text, *more = texts or preferred or (find_text(look, others),)
    except UnclearError as error:
        raise error.noting(lacks) if lacks else error from None
    if id_column is None and (found := _row_id(free(*labels, group, text, *more))):
        # A column called id is taken, one with a similar name if its values are complete and differ
        values = batch.columns[found] if plain_name(found) != "id" else []
        unique = None not in values and len(set(map(str, values))) == len(values)
        id_column = found if unique else None
    split = _find_split(look, free(*labels, group, id_column, text, *more))
    rest = free(*labels, group, id_column, text, *more, split)
    annotator = next((name for name in rest if says(name).other == "annotator"), None)
    if not labels:
        labels = find_labels(look, rest, text)
    if both := [name for name in (text, *more) if name in labels]:
        raise DataError(f"{batch.name}: the column {both[0]!r} is requested as both text and label")
    if annotator is None or annotator in labels:
        annotator = next((name for name in look.people if name not in labels), None)
    other = f"{batch.name}: {lacks}, so {text!r} is read; name another column with --text"
    return Chosen(
        text, labels, group, id_column, split, annotator, tuple(more), look.traits,
        own is not None, bool(preferred),
        (Finding("warning", "other-text-column", other),) if lacks else (),
    )  # fmt: skip


def _preferred(free: Sequence[str], name: str | None) -> tuple[tuple[str, ...], str]:
    """Return the column that the model was trained on, or in words that it is not there.

    The words are empty where there is nothing to choose from.
    """
    if name is None:
        return (), ""
    if found := [column for column in free if column == name] or [
        column for column in free if plain_name(column) == plain_name(name)
    ]:
        return (found[0],), ""
    lacks = f"there is no column {name!r}, on which the model was trained"
    return (), lacks if len(free) > 1 else ""


def _row_id(free: Sequence[str]) -> str | None:
    """The column whose name says that it identifies a text, as `satz_id` or `Identifiant`."""
    if found := by_name(_ID_NAMES, free):
        return found
    for name in free:
        words = words_in(name)
        if words in _OTHER_ID_NAMES or ("id" in words and says(name).other == "id" and any(
            says(word).text for word in words
        )):  # fmt: skip
            return name
    return None


def _find_split(look: Look, free: Sequence[str]) -> str | None:
    """The column of ready-made splits, known by its values and, if some are odd, by its name.

    Its values must name train and another split. One called split, partition or subset may name
    train and anything else, which `splits_in` refuses. Under a name that says nothing of splits,
    every value must name one.
    """
    by_plain = by_name(_SPLIT_NAMES, free)
    for name in dict.fromkeys(filter(None, (by_plain, *free))):
        says_split, says_other = says(name).split, says(name).label or says(name).text
        if not says_split and (says_other or look.of(name).distinct > _MOST_SPLITS):
            continue
        words = distinct(look.batch.columns[name])
        found = {split_of(word) for word in words}
        odd = None in found or (name == by_plain and any(map(missing, look.batch.columns[name])))
        several = found - {"train", None} or (odd and name == by_plain)
        if "train" in found and several and (says_split or not odd):
            return name
    return None


def splits_in(
    batches: Sequence[Batch], column: str, settings: ReadSettings
) -> tuple[list[SplitName] | None, list[Finding]]:
    """Return the split of each row, in the words of the column of ready-made splits.

    A value that names no split is an error in training. Elsewhere no split is needed: then the
    column is left out, with a warning.

    Raises:
        DataError: a value names no split; the message gives it with its lines.
    """
    found: list[SplitName] = []
    for batch in batches:
        values = [str(value) for value in batch.columns[named(batch, column)]]
        splits = list(map(split_of, values))
        if None not in splits:
            found += [split for split in splits if split]
            continue
        value = batch.columns[named(batch, column)][splits.index(None)]
        rows = [row for row, own in enumerate(values) if own == str(value)]
        shown = "is blank" if missing(value) else f"says {value!r}"
        message = (
            f"{batch.name}: the split column {column!r} {shown} in {batch.where(rows)}, which "
            "names no split; write train, validation or test there, remove these rows, or rename "
            "the column if it does not hold splits"
        )
        if settings.labelled and settings.classes is None:
            raise DataError(message)
        return None, [Finding("warning", "odd-split", f"{message}; the column is not used")]
    return found, []


def text_columns(batch: Batch, given: str | Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the text by names or numbers, also joined by commas, in their order.

    Raises:
        DataError: one of them is missing, or given twice; the message lists the columns.
    """
    if isinstance(given, str):
        parts = [part.strip() for part in given.split(",")]
        given = parts if all(parts) and not has_column(batch, given) else (given,)
    try:
        found = tuple(named(batch, name) for name in given)
    except DataError as error:
        if len(given) == 1:
            raise
        raise UnclearError(
            f"{error}; the model, or --text, joins the columns {', '.join(given)}",
            ": name those of this table in the same order with --text",
            *("text", _examples(batch)),
        ) from None
    if len(set(found)) < len(found):
        raise DataError(
            f"{batch.name}: {', '.join(given)} names a text column twice; name each once, in the "
            "order in which the texts are joined: --text title,body"
        )
    return found


def named(batch: Batch, name: str) -> str:
    """Return the column with that name, ignoring case if need be, or with that number from 1."""
    known = list(batch.columns)
    if name in known:
        return name
    alike = [column for column in known if plain_name(column) == plain_name(name)]
    if len(alike) == 1:
        return alike[0]
    if name.isdecimal() and len(name) < 10 and 1 <= int(name) <= len(known):
        return known[int(name) - 1]
    offer = nearest(name, known)
    there = "" if "there are" in offer else f"; the columns are: {listed(known)}"
    if all(map(str.isdecimal, known)):
        there += ". Columns without a header are numbered: name one by its number"
    raise DataError(f"{batch.name} has no column {name!r}{offer}{there}")


def has_column(batch: Batch, name: str) -> bool:
    """Whether a batch has a column of that name or number."""
    with suppress(DataError):
        return bool(named(batch, name))
    return False


def values_of(batches: Sequence[Batch], name: str) -> tuple[str, list[list[Any]]]:
    """Return a column by name or number, and its values in each batch; None where it is absent."""
    column = named(next((of for of in batches if has_column(of, name)), batches[0]), name)
    return column, [batch.column(column) for batch in batches]


def refuse_odd_text(batch: Batch, column: str, texts: Sequence[Any]) -> None:
    """Check that a column holds texts, not numbers or identifiers."""
    values = [text for text in texts[: 10 * _SAMPLE] if text not in ("", None)]
    shown = f"{batch.name}: the text column {column!r} holds"
    others = f"; the columns are: {listed(batch.columns)}; name another one with --text"
    if not values:
        raise UnclearError(f"{shown} nothing", others, "text", _examples(batch))
    strings = [str(value) for value in values]
    others_than_str = [value for value in values if not isinstance(value, str)]
    kind, example = "", strings[0]
    if len(others_than_str) > len(values) / 2:
        odd = example = others_than_str[0]
        kind = "numbers" if isinstance(odd, int | float) else f"values of type {type(odd).__name__}"
    elif at_least(int(0.9 * len(strings)) + 1, is_number, strings):
        kind = "numbers"
    elif len(strings) >= 20 and _identifiers(strings):
        kind = "identifiers"
    if kind:
        problem = f"{shown} {kind}, not texts (for example {short(repr(example), 80)})"
        raise UnclearError(problem, others, "text", _examples(batch))


def _examples(batch: Batch) -> dict[str, tuple[str, ...]]:
    """Return every column with some of its values."""
    size = len(batch.columns)
    return {name: traits_of(of, size).examples for name, of in batch.columns.items()}


def _identifiers(values: Sequence[str]) -> bool:
    """Whether no value has a space, and they look made: with digits, or the same few repeated."""
    if any(" " in value.strip() or not value.isascii() for value in values):
        return False
    made = sum(not value.strip(".,!?'\"").replace("-", "").isalpha() for value in values)
    return len(set(values)) <= len(values) / 10 or made >= len(values) / 2


def with_labels(
    batches: Sequence[Batch], chosen: Chosen, settings: ReadSettings
) -> tuple[list[int], list[Finding]]:
    """Return the places of the batches to use, without splits that lack labels; and findings.

    Benchmarks have such splits. One that somebody named is refused, with an `UnlabeledError`: other
    rows would be scored in its stead.
    """
    usable, findings = [], []
    for at, batch in enumerate(batches):
        lacks = [name for name in chosen.labels if not has_column(batch, name)]
        if lacks and settings.labelled and batch.split not in (None, "train"):
            if batch.is_named:
                raise UnlabeledError(
                    f"{batch.name} has no label column {lacks[0]!r}, and {batch.split} rows need "
                    "labels: name its column so, or leave the file out"
                )
            message = (
                f"{batch.name} has no label column {lacks[0]!r}: left out with its "
                f"{counted(len(batch), 'row')}, so there is no ready-made {batch.split} split"
            )
            findings.append(Finding("warning", "split-without-labels", message))
        else:
            usable.append(at)
    return usable, findings
