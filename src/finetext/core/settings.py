"""Settings of reading, splitting and serving, and types of hyperparameters with their ranges."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar, get_type_hints

from annotated_types import Ge, Gt, Interval

from finetext.core.budget import most_bytes
from finetext.core.errors import DataError, RecipeError, nearest

if TYPE_CHECKING:
    from pydantic import ValidationError

    from finetext.core.types import LabelScheme

LARGEST_SEED: Final = 2**32 - 1
Count = Annotated[int, Gt(0)]
NotNegativeCount = Annotated[int, Ge(0)]
Positive = Annotated[float, Interval(gt=0, lt=inf)]
NotNegative = Annotated[float, Interval(ge=0, lt=inf)]
Share = Annotated[float, Interval(ge=0, le=1)]
ShareBelowOne = Annotated[float, Interval(ge=0, lt=1)]
ProperShare = Annotated[float, Interval(gt=0, lt=1)]
Tokens = Annotated[int, Ge(4)]
"""Length of a text: at least two special tokens and two of the text."""


@dataclass(frozen=True)
class ReadSettings:
    """How to read a source of labeled text; None means that the value is detected.

    Attributes:
        text: column of the texts, by name or by number from "1"; several names, as a tuple or
            joined by commas, are columns whose texts are joined in this order.
        label: column of the labels; several names are columns of flags, one per label, of
            multi-label data.
        group: column of groups that splits keep whole, or None for no groups.
        id: column of unique row ids; None takes a column with such a name, else row numbers.
        delimiter: the separator of the fields of a text table.
        header: whether the first row of a text table or sheet holds the column names, or how many
            rows are the header.
        sheet: the sheet of an Excel workbook; None takes the only one that has texts.
        encoding: encoding of text files; None is UTF-8, with Windows-1252 for the lines that are
            not, which is reported.
        label_names: names of label ids, in order or as id -> name, or a file of them: one name per
            line, a JSON list or object, or a CSV of id and name.
        multilabel: whether a text can have several labels.
        label_delimiter: the separator of several labels in one value.
        drop_unlabelled: whether rows without a label are left out instead of being an error.
        missing: labels that are codes for no answer, such as -99; rows with one are left out.
        out_of_scope: label of texts that belong to no class, such as "oos". Nothing is learned from
            them; they show how well such texts are recognized.
        labelled: whether labels are required. If not, they are read where they are found, and
            lines that only might begin or end with a label are texts.
        whole_lines: whether plain lines are texts, as in a corpus: a label is split off only if
            each begins with `__label__`, or with one of few values and a tab.
        classes: the labels that a trained model knows. Then one label only, or nearly as many as
            rows, do not suggest a wrong column.
        positive: the class of two that precision, recall, F1 and curves are about; None for the
            second.
        preferred_text: the column of the texts that a trained model knows, which is taken if
            `text` is None and the source has it.
        most_bytes: most memory that reading may take, what is in archives and compressed files
            included: bytes, or a size such as "8GB". None is FINETEXT_MOST_BYTES, or else three
            quarters of the memory of the machine.
        download_seconds: longest time of a download.
        private_addresses: whether a URL may lead to a loopback, private or reserved address.
    """

    text: str | tuple[str, ...] | None = None
    label: str | tuple[str, ...] | None = None
    group: str | None = None
    id: str | None = None
    delimiter: str | None = None
    header: bool | int | None = None
    encoding: str | None = None
    label_names: str | Path | Mapping[str, str] | Sequence[str] | None = None
    multilabel: bool | None = None
    label_delimiter: str | None = None
    drop_unlabelled: bool = False
    labelled: bool = True
    whole_lines: bool = False
    classes: tuple[str, ...] | None = None
    positive: str | bool | int | None = None
    sheet: str | None = None
    preferred_text: str | None = None
    missing: tuple[str | int, ...] | str | int = ()
    out_of_scope: str | None = None
    most_bytes: str | int | None = None
    download_seconds: Positive = 3600.0
    private_addresses: bool = False

    def __post_init__(self) -> None:
        if self.most_bytes is not None:
            most_bytes(self.most_bytes)

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The given label columns."""
        return (self.label,) if isinstance(self.label, str) else self.label or ()

    @property
    def columns(self) -> frozenset[str]:
        """All given column names."""
        given = (self.text, self.label, self.group, self.id)
        several = [(one,) if isinstance(one, str) else one for one in given if one]
        split = self.text.split(",") if isinstance(self.text, str) else ()
        return frozenset(map(str.strip, chain(*several, split))) - {""}

    def with_texts_of(self, scheme: LabelScheme) -> ReadSettings:
        """Return the settings with the text columns of a model.

        Given ones stay, which name as many columns of another table. One column is preferred only.

        Raises:
            DataError: they name more columns, or fewer.
        """
        columns = scheme.text_columns
        if not columns:
            return replace(self, preferred_text=scheme.text_column)
        if self.text is None:
            return replace(self, text=columns)
        given = self.text.split(",") if isinstance(self.text, str) else self.text
        if len(given) != len(columns):
            names = ",".join(columns)
            raise DataError(
                f"the model joins the texts of {len(columns)} columns ({names}), and "
                f"{len(given)} are given ({','.join(given)}); name as many, in the same order, as "
                f"--text {names}, or leave it out"
            )
        return self


Strategy = Literal["stratified", "random"]
Size = float | int
DEFAULT_SHARE: Final = 0.15


@dataclass(frozen=True)
class SplitSettings:
    """The sizes of the splits, and what they respect.

    A size is a share (0.15: a float above 0 and below 1) or a count of rows (1000: an integer). The
    size of a ready-made split is a share or count of that split, and the default takes it whole. A
    missing split is taken from train.

    Attributes:
        train: by default all rows that the others leave.
        validation: 0.15 by default.
        test: 0.15 by default.
        strategy: "stratified" keeps the class proportions in every split, "random" does not.
        grouped: whether groups stay whole; by default if there are groups.
        keep_duplicates: whether copies of a text may be in several splits. By default texts that
            are equal or nearly equal are in one.
        cross_validate: whether a run scores its methods by repeated cross-validation on all rows,
            without a test split. None (the default) does so where a test split would have few
            rows: see `finetext.runs.cross_validation`. Elsewhere None is False.
    """

    train: Size | None = None
    validation: Size | None = None
    test: Size | None = None
    strategy: Strategy = "stratified"
    grouped: bool | None = None
    keep_duplicates: bool = False
    cross_validate: bool | None = None

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            size = getattr(self, name)
            if isinstance(size, float) and not 0 < size < 1:
                raise RecipeError(
                    f"the size of {name} is {size:g}; a share lies between 0 and 1 (0.15), "
                    "a count of rows is a whole number (1000)"
                )
            if isinstance(size, int) and size < 1:
                raise RecipeError(f"the size of {name} is {size}; it needs one row or more")
        if self.strategy not in ("stratified", "random"):
            raise RecipeError(
                f'the split strategy {self.strategy!r} is neither "stratified" nor "random"'
            )
        sizes = {"train": self.train, "test": self.test}
        if self.cross_validate and (given := [n for n, size in sizes.items() if size is not None]):
            raise RecipeError(
                f"cross-validation uses all rows, so {given[0]} cannot have a size "
                f"({sizes[given[0]]:g}): leave out the size, or ask for --no-cross-validate"
            )


Precision = Literal["auto", "fp32", "bf16", "fp16"]
NumberFormat = Literal["fp32", "bf16", "fp16"]
Made = TypeVar("Made")


def made(where: str, kind: type[Made], values: Mapping[str, Any]) -> Made:
    """Return an instance of a dataclass; refuse unknown settings and wrong types by name.

    A text in the annotation of a type says what to give in place of a wrong value.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    refuse_unknown(where, values, [f.name for f in dataclasses.fields(kind)])  # type: ignore[arg-type]
    hints = get_type_hints(kind, include_extras=True)
    config = ConfigDict(arbitrary_types_allowed=True)
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(value) or name == "methods":
            checked[name] = value
            continue
        try:
            checked[name] = TypeAdapter(hints[name], config=config).validate_python(value)
        except ValidationError as error:
            told = [of for of in getattr(hints[name], "__metadata__", ()) if isinstance(of, str)]
            reason = told[0] if told else _reason(error)
            raise RecipeError(f"{where}: {name} = {value!r}: {reason}") from None
    return kind(**checked)


def _reason(error: ValidationError) -> str:
    """Say what is wrong with a value, and in which part of it."""
    first = error.errors()[0]
    reason, place = first["msg"], first["loc"][-1:]
    if first["type"] == "missing" and place and isinstance(place[0], int):
        return f"value {place[0] + 1} is missing"
    numbers = [at for at, part in enumerate(first["loc"]) if isinstance(part, int)]
    if not numbers or len(first["loc"]) == numbers[0] + 1:
        return reason
    number, part = first["loc"][numbers[0]], first["loc"][numbers[0] + 1]
    if first["type"] == "unexpected_keyword_argument":
        reason = "there is no such setting"
    return f"value {int(number) + 1}, {part}: {reason}"


def refuse_unknown(where: str, values: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise a `RecipeError` for the first unknown name."""
    allowed = sorted(known)
    for name in values:
        if name not in allowed:
            raise RecipeError(f"{where} has no setting {name!r}{nearest(name, allowed)}")


MEBIBYTE: Final = 2**20


@dataclass(frozen=True)
class ServeSettings:
    """Settings of `finetext serve`; the defaults suit one machine and short texts.

    Every limit is that of one worker.

    Attributes:
        workers: processes that answer on one socket, each with the model and its share of the
            threads, under a parent that replaces them. 0 is this process alone, without a parent.
        log_format: "text" for warnings and errors, "json" for every request as well.
        batch_texts: most texts that the model gets at once.
        batch_tokens: most tokens that it gets at once, estimated as one per three bytes of a text,
            at most as many as the model reads. A text with more goes alone.
        batch_milliseconds: longest time that a text waits for others. A single client never waits.
        queue_texts: texts that may wait for the model; further ones are told to retry (429).
        queue_explanations: explanations that may wait (429).
        queue_tables: files that may wait to be read (429); one is read at a time.
        request_texts: most texts of a request (422).
        request_bytes: most bytes of a request (413).
        table_bytes: most bytes of a request with a file (413), of which the file is three quarters.
        text_characters: most characters of a text (422). Longer ones are refused rather than
            truncated, so that a text gets the same label everywhere.
        explained_characters: most characters of a text to explain (422).
        request_seconds: longest time from a whole request to its answer (504).
        batch_seconds: longest time of the model for one batch or explanation, at least
            `request_seconds`. Then the server ends with a message, as nothing else stops a model
            that hangs; requests that wait are told to retry (503).
        arrival_seconds: longest time in which the head of a request, and then its body, must
            arrive, and in which a client must continue to read its answer (408).
        idle_seconds: time after which a connection without a request is closed.
        stop_seconds: time to finish accepted requests after Ctrl-C or SIGTERM (503).
        connections: most open connections (503).
        client_connections: most open connections of one address, for IPv6 of one /64 network (429).
            Behind a proxy all clients have the address of the proxy.
        held_bytes: most bytes of requests in memory at once (503).
        known_bytes: most bytes of numbers that are kept for texts that come again; 0 keeps none.
        hosts: names under which clients reach the server, such as that of a proxy. Other names are
            refused (403) if there are some here, or if only this machine can connect and there is
            no token; numeric addresses and `localhost` never are.
    """

    workers: NotNegativeCount = 0
    log_format: Literal["text", "json"] = "text"
    batch_texts: Count = 64
    batch_tokens: Count = 8_192
    batch_milliseconds: NotNegative = 5.0
    queue_texts: Count = 1_024
    queue_explanations: Count = 8
    queue_tables: Count = 8
    request_texts: Count = 256
    request_bytes: Count = 2 * MEBIBYTE
    table_bytes: Count = 16 * MEBIBYTE
    text_characters: Count = 50_000
    explained_characters: Count = 2_000
    request_seconds: Positive = 30.0
    batch_seconds: Positive = 300.0
    arrival_seconds: Positive = 20.0
    idle_seconds: Count = 5
    stop_seconds: Count = 20
    connections: Count = 512
    client_connections: Count = 256
    held_bytes: Count = 64 * MEBIBYTE
    known_bytes: NotNegativeCount = 32 * MEBIBYTE
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for less, more in (("request_texts", "queue_texts"), ("request_bytes", "held_bytes")):
            if getattr(self, less) > getattr(self, more):
                raise RecipeError(
                    f"serve: {less} ({getattr(self, less):,}) is above {more} "
                    f"({getattr(self, more):,}), so such a request could never be accepted"
                )
