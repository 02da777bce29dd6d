"""What a server takes on: the limits that keep it answering, whoever asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_type_hints

from annotated_types import Ge, Gt, Interval

from finetext.core.errors import RecipeError, nearest

LARGEST_SEED: Final = 2**32 - 1
Count = Annotated[int, Gt(0)]
"""1, 2, 3, ..."""
NotNegativeCount = Annotated[int, Ge(0)]
"""0, 1, 2, ..."""
Positive = Annotated[float, Interval(gt=0, lt=inf)]
"""Any finite number above 0."""
NotNegative = Annotated[float, Interval(ge=0, lt=inf)]
"""Any finite number from 0."""
Share = Annotated[float, Interval(ge=0, le=1)]
"""From 0 to 1, both included."""
ShareBelowOne = Annotated[float, Interval(ge=0, lt=1)]
"""From 0 to 1, without 1."""
ProperShare = Annotated[float, Interval(gt=0, lt=1)]
"""Between 0 and 1, neither included."""
Tokens = Annotated[int, Ge(4)]
"""Length of a text: two special tokens and two of the text are the least that makes sense."""


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


Strategy = Literal["stratified", "random"]
Size = float | int
DEFAULT_SHARE: Final = 0.15


@dataclass(frozen=True)
class SplitSettings:
    """How large the parts are, and what they heed.

    A size is a share (0.15: a float above 0 and below 1) or a count of rows (1000: an integer).
    If the data come with a ready-made part, its size is a share or count of that part, and the
    default takes it whole. A part that is missing is carved out of train.

    Attributes:
        train: size of train; by default what the others leave over.
        validation: size of validation; 0.15 by default.
        test: size of test; 0.15 by default.
        strategy: "stratified" keeps the share of every class in every part, "random" does not.
        grouped: whether rows of one group stay on one side; by default if there are groups.
    """

    train: Size | None = None
    validation: Size | None = None
    test: Size | None = None
    strategy: Strategy = "stratified"
    grouped: bool | None = None

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            _check_size(name, getattr(self, name))
        if self.strategy not in ("stratified", "random"):
            raise RecipeError(
                f'the split strategy {self.strategy!r} is neither "stratified" nor "random"'
            )


def _check_size(name: str, size: Size | None) -> None:
    if size is None:
        return
    if isinstance(size, float) and not 0 < size < 1:
        raise RecipeError(
            f"the size of {name} is {size:g}; a share lies between 0 and 1 (0.15), "
            "a count of rows is a whole number (1000)"
        )
    if size < 1 and isinstance(size, int):
        raise RecipeError(f"the size of {name} is {size}; it needs one row or more")


Precision = Literal["auto", "fp32", "bf16"]
Made = TypeVar("Made")


def made(where: str, kind: type[Made], values: Mapping[str, Any]) -> Made:
    """An instance of a dataclass, with unknown settings and wrong types refused by name."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    _refuse_unknown(where, values, [f.name for f in dataclasses.fields(kind)])  # type: ignore[arg-type]
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
            first = error.errors()[0]
            reason, place = first["msg"], first["loc"][-1:]
            if first["type"] == "missing" and isinstance(place[0], int):
                reason = f"value {place[0] + 1} is missing"
            raise RecipeError(f"{where}: {name} = {value!r}: {reason}") from None
    return kind(**checked)


def _refuse_unknown(where: str, values: Mapping[str, Any], known: Iterable[str]) -> None:
    allowed = sorted(known)
    for name in values:
        if name not in allowed:
            raise RecipeError(f"{where} has no setting {name!r}{nearest(name, allowed)}")


MEBIBYTE = 2**20


@dataclass(frozen=True)
class ServeSettings:
    """Limits of `finetext serve`; the defaults suit one machine and short texts.

    Attributes:
        batch_texts: most texts that the model gets at once, 64 by default.
        batch_tokens: most tokens that it gets at once, estimated as one for every three bytes of
            a text, up to as many as the model reads; 8,192 by default. A text with more goes alone.
        batch_milliseconds: longest time that a text waits for others, 5 by default. A client that
            is alone never waits.
        queue_texts: texts that may wait for the model, 1,024 by default; who comes then is asked
            to come back later (429).
        queue_explanations: explanations that may wait, 8 by default (429).
        request_texts: most texts of a request, 256 by default (422).
        request_bytes: most bytes of a request, 2 MiB by default (413).
        text_characters: most characters of a text, 50,000 by default (422). Longer ones are
            refused rather than cut, as a model that reads all of a text would then say something
            else here than elsewhere.
        explained_characters: most characters of a text that is explained, 2,000 by default (422).
        request_seconds: longest time from a whole request to its answer, 30 by default (504).
        arrival_seconds: longest time in which the head of a request, and then its body, must
            arrive, and in which a client must go on reading its answer; 20 by default (408).
        idle_seconds: time after which a connection without a request is closed, 5 by default.
        stop_seconds: time that accepted requests have to be finished after Ctrl-C or SIGTERM,
            20 by default (503).
        connections: most open connections, 512 by default (503).
        held_bytes: most bytes of requests in memory at once, 64 MiB by default (503).
        hosts: names under which clients reach the server, such as that of a proxy before it; none
            by default. Other names are refused (403) where there are some here, and where only
            this machine can connect and there is no token; numbers and `localhost` never are.
    """

    batch_texts: Count = 64
    batch_tokens: Count = 8_192
    batch_milliseconds: NotNegative = 5.0
    queue_texts: Count = 1_024
    queue_explanations: Count = 8
    request_texts: Count = 256
    request_bytes: Count = 2 * MEBIBYTE
    text_characters: Count = 50_000
    explained_characters: Count = 2_000
    request_seconds: Positive = 30.0
    arrival_seconds: Positive = 20.0
    idle_seconds: Count = 5
    stop_seconds: Count = 20
    connections: Count = 512
    held_bytes: Count = 64 * MEBIBYTE
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pairs = (("request_texts", "queue_texts"), ("request_bytes", "held_bytes"))
        for less, more in pairs:
            if getattr(self, less) > getattr(self, more):
                raise RecipeError(
                    f"serve: {less} ({getattr(self, less):,}) is above {more} "
                    f"({getattr(self, more):,}), so that such a request could never be taken"
                )
