"""Columns of flags, one per label: 0 and 1, yes and no in nine languages, or a mark and blanks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from finetext.core.errors import DataError
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.column_words import unaccented
from finetext.data.label_cells import missing


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


ON: Final = _listed(
    "1 1.0 true wahr vrai verdadero vero verdadeiro waar prawda yes y ja j oui si sim tak 是 "
    "x ✓ ✔ ☑ ☒ checked selected on"
)
OFF: Final = _listed(
    "0 0.0 false falsch faux falso onwaar falsz no n nein non nao nee nie 否 none - ☐ unchecked off"
) | {"not selected", "not checked"}
_WORDS: Final = ON | OFF | {""}
_NUMBERS: Final = frozenset(("0", "1", "0.0", "1.0", "true", "false"))


_NO: Final = ("not", "no", "non", "nicht", "kein", "keine", "pas", "niet", "geen", "nie")
"""Words that turn the label after them into its opposite: "not toxic", "non-toxic"."""


def affirmative(names: Sequence[str]) -> str | None:
    """Return which of two labels says yes, such as "ja" beside "nein", or "hate" beside "no hate".

    None where the words do not tell.
    """
    if len(names) != 2:
        return None
    for name, other in (names, names[::-1]):
        plain, negated = _plain(name), _plain(other).replace("-", " ").replace("_", " ")
        if plain in ON and _plain(other) in OFF:
            return name
        if any(negated == f"{no} {plain.replace('-', ' ').replace('_', ' ')}" for no in _NO):
            return name
    return None


def _word(value: Any) -> str:
    """A value in lower case without accents, empty if it is missing."""
    return "" if missing(value) else _plain(str(value))


@lru_cache(1024)
def _plain(value: str) -> str:
    return unaccented(value.strip())


def is_flag(values: Sequence[Any]) -> bool:
    """Return whether a column says yes or no of each row.

    Its values are one word for yes, one for no, or both, in two spellings at most where they are 0
    and 1; blank cells count only as no, beside a word for yes alone. A column of blanks can be one.
    """
    words = set(map(_word, set(values) if {str}.issuperset(map(type, values)) else values))
    if words <= _NUMBERS:
        return True
    on, off = words & ON, words & OFF
    if words - on - off - {""}:
        return False
    return len(on) < 2 and len(off) < 2 and not ("" in words and off)


def spoken_flags(values: Sequence[Any]) -> str:
    """Return the values of a column of flags in words: "0 and 1", "'x' and blank cells"."""
    seen = dict.fromkeys("" if missing(value) else str(value).strip() for value in values)
    if {_word(one) for one in seen} <= _NUMBERS:
        return "0 and 1"
    return " and ".join([*(repr(one) for one in seen if one), *["blank cells"] * ("" in seen)])


def flagged_labels(
    columns: Mapping[str, Sequence[Any]],
) -> tuple[list[list[str] | None], str, list[Finding]]:
    """Return the labels of n rows from several columns, how they were read, and findings.

    A blank cell means no in a column without a word for no, if any column has a mark. Elsewhere a
    row with a blank cell has no known labels. Rows without any mark have no label, as a note says.

    Raises:
        DataError: a cell says neither yes nor no.
    """
    words = {name: [_word(value) for value in values] for name, values in columns.items()}
    seen = set().union(*words.values())
    rows: list[list[str] | None] = [[] for _ in next(iter(words.values()))]
    blank_is_no = False
    for name, own in words.items():
        odd = next((row for row, one in enumerate(own) if one not in _WORDS), None)
        if odd is not None:
            raise DataError(
                f"the label column {name!r} has {columns[name][odd]!r} in row {odd + 1}; several "
                "label columns must hold 0 and 1, yes and no, or a mark such as x and blank cells"
            )
        marks_only = OFF.isdisjoint(own) and bool(seen & ON)
        for row, word in enumerate(own):
            known = rows[row]
            if word == "" and not marks_only:
                rows[row] = None
            elif word in ON and known is not None:
                known.append(name)
        blank_is_no |= marks_only and "" in own
    first = next((of for of in columns.values() if any(_word(value) in ON for value in of)), ())
    form = "columns of 0 and 1" if seen <= _NUMBERS | {""} else f"columns of {spoken_flags(first)}"
    unmarked = sum(own == [] for own in rows)
    if not (blank_is_no and unmarked):
        return rows, form, []
    message = (
        f"{counted(unmarked, 'row')} without a mark in the label columns "
        f"{'has' if unmarked == 1 else 'have'} no label, since blank cells mean no beside marks; "
        "remove rows that nobody has labeled"
    )
    return rows, form, [Finding("warning", "blank-flags", message)]
