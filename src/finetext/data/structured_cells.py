"""Values with structure, as programs write them, to the labels that they mean, or a refusal.

A structured value is an object, a list, either of these written as JSON or Python in a cell, or a
value of numpy, pandas or an Enum. None of them becomes a class by its Python text.
"""

from __future__ import annotations

import ast
import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Final

from finetext.core.errors import DataError
from finetext.data.label_cells import COLLECTIONS, missing

_PLAIN: Final = {str, int, bool, type(None)}
_NAME_KEYS: Final = (
    *("label", "name", "value", "choices", "choice", "labels", "text", "class", "classname"),
    *("displayName", "display_name", "category", "tag", "title", "rating", "annotation"),
)
_SCORE_KEYS: Final = frozenset({"score", "prob", "probability", "confidence", "logit"})
_SPAN_KEYS: Final = frozenset(
    {"start", "end", "start_offset", "end_offset", "offset", "offsets", "startIndex", "token_start"}
)
_LONGEST: Final = 1 << 16
"""Characters of a cell that is read as Python, where a few take much memory; of JSON 16 times."""
_UNSPLIT: Final = re.compile(r"""^\[\s*(['"]).*\1\s*\]$""", re.DOTALL)
_NO_COMMA: Final = re.compile(r"""['"]\s+['"]""")
_CALL: Final = re.compile(r"(array|Series|Index|tensor|OrderedDict|dict_\w+)\(.*\)", re.S)


class _Unclear(Exception):
    """A form that does not say which labels are meant."""


def plain_values(values: Sequence[Any], where: Callable[[int], str]) -> tuple[list[Any], str]:
    """Return values that are missing (None), scalars or lists of scalars, and their form in words.

    Args:
        values: (n,) values of a label column.
        where: the place of a row in words, "x.csv, line 3".

    Raises:
        DataError: a value does not say which labels it means; the message names its form.
    """
    types = {*map(type, values)}
    distinct = {*values} if types <= _PLAIN else [v for v in values if isinstance(v, str)]
    listed = _reading(distinct)
    if listed is None and types <= _PLAIN:
        return list(values), ""
    found: list[Any] = []
    forms: dict[str, None] = {}
    for row, value in enumerate(values):
        try:
            read = listed(value) if listed is not None and isinstance(value, str) else value
            found.append(_plain(read, forms))
        except _Unclear as error:
            raise DataError(
                f"{where(row)}: the label is {error}, not a label or a list of labels: write the "
                "names of the labels, or name another column with --label"
            ) from None
    return found, ", ".join(forms)


def multi_hot(values: Sequence[Any]) -> int:
    """Return how many labels lists of 0 and 1 stand for, by place; 0 if they are no such lists.

    They are if all have the same length, two or more, and hold nothing but 0 and 1, or truth
    values. Lists of label ids cannot: an id is not repeated within a row.
    """
    lists = [value for value in values if isinstance(value, list)]
    lengths = {len(value) for value in lists}
    if len(lengths) != 1 or (width := lengths.pop()) < 2:
        return 0
    signs = {one for value in lists for one in value}
    numbers = all(isinstance(one, bool | int | float) for one in signs)
    return width if numbers and signs <= {0, 1} else 0


def _reading(values: Iterable[Any]) -> Callable[[str], Any] | None:
    """How to read cells that are JSON or Python text; None if they are names as they are.

    Cells with brackets are lists if all cells are, or if some cell holds an object, or a list of
    names in quotes or of objects; else the brackets are part of names, such as [unclear].
    """
    cells = dict.fromkeys(v for v in values if isinstance(v, str) and v.strip())
    bracketed = [cell for cell in cells if cell.lstrip()[0] in "[{" or _CALL.fullmatch(cell)]
    if not bracketed:
        return None
    parsed = {cell: parsed_cell(cell) for cell in bracketed}
    sure = any(
        isinstance(value, Mapping) or any(isinstance(one, str | Mapping) for one in value)
        for value in parsed.values() if value is not None
    ) or any(map(_printed, bracketed))  # fmt: skip
    if not sure and (len(bracketed) < len(cells) or None in parsed.values()):
        return None

    def read(cell: str) -> Any:
        if _printed(cell):
            raise _Unclear(f"the text of a Python object ({cell[:60]!r})")
        value = parsed.get(cell)
        return cell if value is None else value

    return read


def parsed_cell(cell: str) -> Any:
    """Return the list, set or object that a cell holds as JSON or Python; None if none."""
    cell = cell.strip()
    if cell[:1] not in ("[", "{") or len(cell) > 16 * _LONGEST:
        return None
    value: Any = None
    with suppress(ValueError, RecursionError):
        value = json.loads(cell)
    if value is None and len(cell) <= _LONGEST:
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            value = ast.literal_eval(cell)
    return value if isinstance(value, Mapping | list | set) else None


def _printed(cell: str) -> bool:
    """Whether a cell is text that Python or numpy prints, and that cannot be read back."""
    bare = cell.strip()
    if _UNSPLIT.match(bare) and _NO_COMMA.search(bare) and "," not in bare:
        return True  # numpy: ['a' 'b']
    if bare[:1] in "[{":
        return bare[:2] in ("{'", '{"') and bare[-1:] == "}" and parsed_cell(bare) is None
    return _CALL.fullmatch(bare) is not None


def _plain(value: Any, forms: dict[str, None]) -> Any:
    """A value without structure; the form that it had is added to `forms`."""
    value = _scalar(value)
    if isinstance(value, Mapping):
        return _of_object(value, forms)
    if isinstance(value, COLLECTIONS):
        return _of_list(value, forms)
    return value


def _scalar(value: Any) -> Any:
    """Values of numpy, pandas, Enum and bytes as those of Python."""
    kind = type(value)
    if kind in _PLAIN or kind is float:
        return None if missing(value) else value
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise _Unclear("bytes that are not UTF-8") from None
    if kind.__module__.partition(".")[0] == "numpy" or hasattr(value, "tolist"):
        return _scalar(value.tolist()) if hasattr(value, "tolist") else value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value


def _of_list(value: Iterable[Any], forms: dict[str, None]) -> list[Any]:
    """The labels in a list: of names, of objects with a name each, or of pairs."""
    several = list(value)
    if isinstance(value, set | frozenset):
        several.sort(key=str)
    several = [_scalar(one) for one in several]
    if several and all(isinstance(one, tuple) and len(one) == 2 for one in several):
        return _as_list(_of_object(dict(several), forms))  # an Arrow map
    if any(isinstance(one, COLLECTIONS) for one in several):
        numbers = all(
            isinstance(n, int)
            for one in several
            if isinstance(one, COLLECTIONS)
            for n in list(one)[:2]
        )
        raise _Unclear(
            "a list of spans, as for sequence labeling" if numbers else "a list of lists"
        )
    if len({isinstance(one, str) for one in several if one is not None}) > 1 and not any(
        isinstance(one, Mapping) for one in several
    ):
        raise _Unclear(f"a list that mixes names and numbers ({str(several)[:60]})")
    if any(isinstance(one, float) and one not in (0, 1) and not one.is_integer()
           for one in several if one is not None):  # fmt: skip
        raise _Unclear(f"a list of probabilities or scores ({str(several)[:60]})")
    found: list[Any] = []
    for one in several:
        found += _as_list(_plain(one, forms))
    if not any(isinstance(one, Mapping) for one in several):
        forms["lists"] = None
    return [one for one in found if one is not None]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _of_object(value: Mapping[Any, Any], forms: dict[str, None]) -> Any:
    """The labels that an object names, or turns on with 1 or true."""
    own = {str(key): _scalar(one) for key, one in value.items()}
    own = {key: one for key, one in own.items() if one is not None}
    shown = ", ".join(list(own)[:6])
    if not own:
        return None
    if _SPAN_KEYS & set(own):
        raise _Unclear(f"a span of text (an object with {shown})")
    values = list(own.values())
    switches = all(isinstance(one, bool) or one in (0, 1) for one in values
                   if not isinstance(one, str | Mapping | list))  # fmt: skip
    numbers = all(isinstance(one, bool | int | float) for one in values)
    if numbers and switches and not set(own) <= set(_NAME_KEYS):
        forms["objects of 0 and 1"] = None
        return [key for key, one in own.items() if one]
    if numbers and len(own) > 1:
        raise _Unclear(f"probabilities or scores (an object of numbers for {shown})")
    names = [key for key in _NAME_KEYS if key in own]
    if "label" in own and isinstance(own.get("value"), bool | int | float):
        if own["value"] not in (0, 1):
            raise _Unclear(f"a label with a score ({own['label']!r}: {own['value']!r})")
        return own["label"] if own["value"] else []
    if _SCORE_KEYS & set(own):
        raise _Unclear(f"a prediction with its score (an object with {shown})")
    if "taxonomy" in own:
        raise _Unclear("a path in a taxonomy")
    if not names or (len(names) > 1 and not _agree([own[key] for key in names])):
        raise _Unclear(f"an object with the keys {shown}")
    forms["choices" if names[0] == "choices" else f"objects with {names[0]!r}"] = None
    return _plain(own[names[0]], {})


def _agree(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)
