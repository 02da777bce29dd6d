"""What a user can say about data that are to be read; everything left out is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReadSettings:
    """How to read a source of labelled text.

    Attributes:
        text: column of the texts, by name or by number from "1"; None finds it.
        label: column of the labels; several names are columns of 0 and 1, one per label, of
            multi-label data; None finds it.
        group: column of the groups that must not be torn apart by splitting, or None.
        id: column of unique row names; None takes one that is called so, else the row numbers.
        delimiter: what separates the fields of a text table; None finds it.
        header: whether the first row of a text table holds the column names; None finds out.
        encoding: encoding of text files; None is UTF-8, with Windows-1252 for the lines that are
            not, which is reported.
        label_names: names of label ids, in order or as id -> name, or a file of them: one name a
            line, a JSON list or object, or a CSV of id and name.
        multilabel: whether a text can have several labels; None finds out.
        label_delimiter: what joins several labels in one value; None finds it.
        drop_unlabelled: whether rows without a label are left out instead of being an error.
        labelled: whether labels are required; if not, they are read where they are found, and lines
            that only might begin or end with a label are texts as they are.
        whole_lines: whether plain lines are texts as they are, as in a corpus: a label is taken off
            only if each begins with `__label__`, or a tab parts few different values from it.
        classes: the labels that there can be, if that is known, as it is to a trained model: then
            one label only, or nearly as many as rows, are no sign of a wrong column.
    """

    text: str | None = None
    label: str | tuple[str, ...] | None = None
    group: str | None = None
    id: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    encoding: str | None = None
    label_names: str | Path | Mapping[str, str] | Sequence[str] | None = None
    multilabel: bool | None = None
    label_delimiter: str | None = None
    drop_unlabelled: bool = False
    labelled: bool = True
    whole_lines: bool = False
    classes: tuple[str, ...] | None = None

    @property
    def columns(self) -> frozenset[str]:
        """All column names that are given."""
        labels = (self.label,) if isinstance(self.label, str) else self.label or ()
        return frozenset(name for name in (self.text, *labels, self.group, self.id) if name)
