"""Batches of named columns, as parsers yield them, and rows with ids and texts made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, final

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.text_columns import join
from finetext.core.types import Finding, SplitName
from finetext.core.wording import counted, short
from finetext.data.label_cells import as_strings, missing

if TYPE_CHECKING:
    import datasets

SPLIT_WORDS: Final[dict[str, SplitName]] = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
LABEL_STATUS: Final = "label_status"
"""The column that says whether a label is of a person or weak; see `weak_labels`."""
ROWS_SHOWN: Final = 100
"""The most ids of rows that a finding names."""
Place = tuple[int, int]
"""Where a row is: the number of its batch in the source, and its number in the batch, from 0."""


@dataclass(frozen=True)
class File:
    """A file on disk, in an archive or from the network; `depth` counts the archives around it."""

    name: str
    path: PurePosixPath
    load: Callable[[], bytes] = field(repr=False)
    depth: int = 0


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be predicted; `line` is its number in formats without lines."""

    line: int
    reason: str
    content: str


Reject = Callable[[BadRow], None]
"""Receives the rows that cannot be read."""


@dataclass(frozen=True)
class Batch:
    """Named columns of equal length: a whole table, or some rows of it.

    Attributes:
        lines: (n,) line on which each row begins; None where rows are counted from 1.
        text, label: the columns that hold these in the export of an annotation tool.
        left_out: rows without a label that counts, such as rejected ones.
        blank: blank lines left out.
        repeats: the lines of rows that repeat the header, left out.
        footers: line to content of rows of totals and notes below the table, left out.
        is_named: whether its split was named, rather than found by the name of a file.
    """

    name: str
    columns: dict[str, list[Any]]
    form: str
    lines: Sequence[int] | None = None
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    rest: str = ""
    proceed: Callable[[str, int, bool], Batch] | None = field(default=None, repr=False)
    split: SplitName | None = None
    text: str | None = None
    label: str | None = None
    left_out: tuple[int, ...] = ()
    blank: int = 0
    repeats: Sequence[int] = ()
    footers: Mapping[int, str] = field(default_factory=dict)
    is_named: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), [])) if self.lines is None else len(self.lines)

    def column(self, name: str) -> list[Any]:
        """The values of a column; None in every row if this batch lacks it."""
        return self.columns.get(name) or [None] * len(self)

    def where(self, rows: Sequence[int]) -> str:
        """Words for the places of some rows, at most ten: "lines 2, 5"."""
        places = ", ".join(str(self.lines[row] if self.lines else row + 1) for row in rows[:10])
        more = f" and {len(rows) - 10:,} more" if len(rows) > 10 else ""
        return f"{'line' if self.lines else 'row'}{'s' * (len(rows) > 1)} {places}{more}"

    def place(self, row: int) -> str:
        """The source and the place of a row in words: "x.csv, line 3"."""
        return f"{self.name}, {self.where([row])}"


@dataclass(frozen=True)
class Source:
    """An opened source: one batch, or one or more per split, and files that may name labels."""

    title: str
    batches: tuple[Batch, ...]
    beside: tuple[File, ...] = ()
    findings: tuple[Finding, ...] = ()
    folder: Path | None = None


_NOT_TEXT: Final = (
    *("Parquet", "Excel", "datasets", "pandas", "polars", "columns", "mappings", "pairs"),
    *("texts", "texts and labels"),
)
"""How the forms begin whose bytes are not decoded as text."""


def unused_settings(batches: Sequence[Batch], settings: ReadSettings) -> list[Finding]:
    """Return a warning for each given setting of text tables that a source has no use for."""
    applies: dict[str, Callable[[str], bool]] = {
        "delimiter": lambda form: "separated" in form,
        "header": lambda form: "header" in form,
        "encoding": lambda form: not form.startswith(_NOT_TEXT),
    }
    found = []
    for name, fits in applies.items():
        value = getattr(settings, name)
        if value is None or any(fits(batch.form) for batch in batches):
            continue
        message = (
            f"{batches[0].name}: data.{name} = {value!r} has no effect, since it is read as "
            f"{batches[0].form}; leave it out"
        )
        found.append(Finding("warning", "unused-setting", message))
    return found


def column_names(header: Iterable[object]) -> list[str]:
    """Return unique column names: a blank one is its number, a repeated one has it added."""
    names: list[str] = []
    known: set[str] = set()
    for number, cell in enumerate(header, start=1):
        name = (str(cell).strip() if cell is not None else "") or str(number)
        names.append(f"{name} ({number})" if name in known else name)
        known.add(names[-1])
    return names


TEXT: Final = "string"
MIXED: Final = "mixed"
"""Values that are neither all text, nor all numbers, nor all truth values."""
_KINDS: Final = {str: TEXT, bool: "bool", int: "int64", float: "double"}


def kinds_of(batches: Iterable[Batch]) -> dict[str, str]:
    """Return column to the kind of its values: `TEXT`, `MIXED` or the alias of an Arrow type."""
    seen: dict[str, set[str]] = {}
    for batch in batches:
        for name, values in batch.columns.items():
            types = set(map(type, values)) - {type(None)}
            kinds = seen.setdefault(name, set())
            kinds |= {_KINDS.get(kind, MIXED) for kind in types}
            if int in types:
                largest = max(abs(value) for value in values if type(value) is int)
                kinds |= {"large"} if largest > 2**53 else set()
                kinds |= {MIXED} if largest >= 2**63 else set()
    ways = ((TEXT, {TEXT}), ("bool", {"bool"}), ("int64", {"int64", "large"}),
            ("double", {"int64", "double"}))  # fmt: skip
    return {
        name: next((kind for kind, allowed in ways if kinds <= allowed), MIXED)
        for name, kinds in seen.items()
    }


@dataclass(frozen=True)
class Rows:
    """Some rows to predict.

    Attributes:
        columns: column of the source to its values, (m,) as ids and texts; empty unless requested.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    share: float = 0.0
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    bad: Sequence[BadRow] = ()

    def __len__(self) -> int:
        return len(self.ids) + len(self.bad)

    def part(self, start: int, stop: int) -> Rows:
        """Return the rows from `start` to `stop`, without the bad ones."""
        columns = {name: values[start:stop] for name, values in self.columns.items()}
        return Rows(self.ids[start:stop], self.texts[start:stop], self.share, columns)


@dataclass(frozen=True)
class Texts:
    """A stream of rows to predict; the findings are complete once all batches have been read.

    The ids and texts are those of the columns named last, where all columns are returned.
    """

    batches: Iterator[Rows]
    findings: list[Finding] = field(default_factory=list)
    description: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)
    id_column: str | None = None
    text_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Whether to return all columns of the source, and bad rows, the first of which else raises."""

    columns: bool = False
    bad: bool = False


ONLY_TEXTS: Final = Wanted()


def row_texts(batch: Batch, names: Sequence[str]) -> list[Any]:
    """Return the text of each row, joined if several columns hold it; None if all are missing."""
    if len(names) == 1:
        return batch.column(names[0])
    return [_joined(values) for values in zip(*map(batch.column, names), strict=True)]


def _joined(values: Sequence[Any]) -> Any:
    """The text of one row; a nested value alone, since it is no text."""
    if any(map(nested, values)):
        return next(value for value in values if nested(value))
    if all(map(missing_text, values)):
        return None
    texts = ["" if missing_text(value) else str(value) for value in values]
    return join(texts) if any(texts) else ""


def missing_text(text: Any) -> bool:
    """Whether a text is missing; it is then read as the empty text."""
    return not isinstance(text, str) and missing(text)


def as_texts(values: Sequence[Any]) -> tuple[list[str], int]:
    """Return values as texts, and the number of texts that had broken characters."""
    texts = list(values)
    if not {str}.issuperset(map(type, texts)):
        texts = ["" if missing_text(value) else str(value) for value in values]
    with suppress(UnicodeEncodeError):
        "".join(text for text in texts if not text.isascii()).encode()
        return texts, 0
    whole = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    return whole, sum(a != b for a, b in zip(texts, whole, strict=True))


def as_array(values: Sequence[Any], kind: Any) -> Any:
    """Return labels, ids or groups as an Arrow array; raises a DataError if one is no text."""
    import pyarrow

    try:
        return pyarrow.array(values, kind)
    except UnicodeEncodeError as error:
        broken = short(error.object, 60)
        raise DataError(f"'{broken}' has half a surrogate pair, which is no text") from None


def broken_characters(count: int) -> list[Finding]:
    """Return the warning on texts that had broken characters, if there were any."""
    message = f"broken characters (half surrogate pairs) replaced in {counted(count, 'text')}"
    return [Finding("warning", "broken-characters", message)] if count else []


def table_of(
    columns: Mapping[str, list[Any]],
    labels: Sequence[list[str] | None] | None,
    multilabel: bool,
    findings: list[Finding],
) -> datasets.Dataset:
    """Return the table of a `Dataset`: id, text, and of label, group and split what there is."""
    import datasets
    import pyarrow as pa

    texts, changed = as_texts(columns["text"])
    findings += broken_characters(changed)
    values: dict[str, list[Any]] = {"id": columns["id"], "text": texts}
    lists = {"label": pa.list_(pa.string())} if multilabel else {}
    if labels is not None:
        values["label"] = list(labels) if lists else [own[0] if own else None for own in labels]
    if "group" in columns:
        groups = as_strings(columns["group"])
        pairs = list(zip(columns["id"], groups, strict=True))
        if alone := tuple(one for one, group in pairs if group is None):
            have = "has" if len(alone) == 1 else "have"
            message = f"{counted(len(alone), 'row')} {have} no group: each is a group by itself"
            findings.append(Finding("warning", "no-group", message, alone[:ROWS_SHOWN]))
        values["group"] = [f"(row {one})" if group is None else group for one, group in pairs]
    values |= {name: columns[name] for name in ("split", LABEL_STATUS) if name in columns}
    arrays = {name: as_array(of, lists.get(name, pa.string())) for name, of in values.items()}
    return datasets.Dataset(pa.table(arrays))


@final
@dataclass
class TextWatch:
    """Counts the missing texts of a file, batch by batch."""

    rows: int = 0
    missing: int = 0
    places: list[str] = field(default_factory=list)
    name: str = ""

    def look(self, batch: Batch, values: Sequence[Any]) -> None:
        """Count the missing texts among the (n,) texts of the next batch."""
        for row, value in () if set(map(type, values)) <= {str} else enumerate(values):
            place = f"line {batch.lines[row]}" if batch.lines else f"row {self.rows + row + 1}"
            if what := nested(value):
                raise DataError(f"{batch.name}, {place}: the text is {what}, not a string")
            if missing_text(value):
                self.missing += 1
                self.places += [place] if self.missing <= 5 else []
        self.rows += len(values)
        self.name = batch.name

    @property
    def findings(self) -> list[Finding]:
        """A warning if any text was missing."""
        more = ", ..." if self.missing > 5 else ""
        message = (
            f"{self.name}: the text is missing in {counted(self.missing, 'row')} "
            f"({', '.join(self.places)}{more}), read as the empty text"
        )
        return [Finding("warning", "missing-texts", message)] if self.missing else []


def nested(value: Any) -> str:
    """What a nested value is, in words; empty for other values."""
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list | tuple | set) else ""
