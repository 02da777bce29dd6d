"""Tables of predictions, in batches of rows, so that memory does not grow with the input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final, final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier, ProgressEvent, decided, silent
from finetext.core.errors import RecipeError
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.predictions import OUT_OF_SCOPE, OWN, PREFIX
from finetext.data.rows import TEXT, Rows, Texts
from finetext.data.write import Table

FEW: Final = 20  # most labels for which every probability is shown by default
ROWS: Final = 2_000  # predicted and written at a time: enough to sort by length, and soon done
REJECTED: Final = "rejected"
"""Column of a table in parts that says why a row has no prediction."""
_PLACES_SHOWN: Final = 5
Through = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Shown:
    """Which labels have their probabilities in a table: the `top` likeliest, or `every` one."""

    top: int | None = None
    every: bool | None = None

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise RecipeError(f"--top {self.top}: the number of labels must be 1 or more")
        if self.top is not None and self.every:
            raise RecipeError("--top shows the likeliest labels and --all every one; give one")


@dataclass(frozen=True)
class Layout:
    """The columns of the tables of one prediction.

    Attributes:
        kept: columns of the input, under their own names.
        has_id: whether a column with the ids of the rows is added.
        names: column of predictions to the name that it has because an input column has its own.
        prefix: what is in front of `probability:LABEL` for the same reason.
    """

    kept: tuple[str, ...] = ()
    has_id: bool = True
    top: int = 0
    every: bool = True
    kinds: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A note if columns of predictions have another name than usual."""
        renamed = [f"{old!r} is {new!r}" for old, new in self.names.items() if old != new]
        if self.prefix:
            renamed.append(f"'{PREFIX}LABEL' is '{self.prefix}{PREFIX}LABEL'")
        if not renamed:
            return ()
        what = "the input has columns with names of predictions, so of the predictions"
        return (Finding("warning", "renamed-columns", f"{what} {', '.join(renamed)}"),)


def layout_of(
    classifier: Classifier,
    texts: Texts,
    shown: Shown,
    is_one: bool = False,
    in_parts: bool = False,
) -> Layout:
    """Return the columns of predictions; of one text alone, the likeliest of many labels.

    A table in parts has no ids, but the reason why a row is rejected.

    Columns of the input keep their names. A column of predictions whose name one of them has, be it
    in other case, gets the prefix `OWN`.
    """
    count = len(classifier.scheme)
    every = shown.every if shown.every is not None else count <= FEW and shown.top is None
    top = min(shown.top or (FEW // 2 if is_one and not every else 0), count)
    kept, id_column = tuple(texts.columns), texts.id_column
    has_own = id_column is None or id_column not in kept or id_column.casefold() != "id"
    has_id = has_own and not in_parts
    likely = [(f"label_{place}", f"probability_{place}") for place in range(1, top + 1)]
    own = ["id"] * has_id + ["prediction", "set", "probability", *chain.from_iterable(likely)]
    own += [REJECTED] * in_parts
    own += [OUT_OF_SCOPE] * (classifier.decision.in_scope_up_to is not None)
    taken = {name.casefold() for name in kept}
    names = {name: _free(name, taken) for name in own}
    prefix = ""
    while every and any(
        name.startswith((prefix + PREFIX, OWN + prefix + PREFIX)) for name in taken
    ):
        prefix += OWN
    lists = {"set": [TEXT]} | ({"prediction": [TEXT]} if classifier.scheme.multilabel else {})
    kinds = {new: lists.get(old, TEXT) for old, new in names.items() if "probability" not in old}
    kinds |= {names[OUT_OF_SCOPE]: "bool"} if OUT_OF_SCOPE in names else {}
    kinds |= {} if kept or in_parts else {"text": TEXT}
    return Layout(kept, has_id, top, every, dict(texts.columns) | kinds, names, prefix)


def _free(name: str, taken: set[str]) -> str:
    """The name, with a prefix for as long as a column has it or it would seem older than one."""
    while name in taken or OWN + name in taken:
        name = OWN + name
    return name


def batches(texts: Texts, size: int | None = None) -> Iterator[Rows]:
    """Yield at most `size` rows at a time (`ROWS` by default), always at the same places."""
    size, before = size or ROWS, 0.0
    for rows in texts.batches:
        count = len(rows.ids)
        starts = range(0, max(count, 1), size)
        for start in starts:
            share = before + (rows.share - before) * min(1.0, (start + size) / max(count, 1))
            bad = rows.bad if start == starts[-1] else ()
            yield replace(rows.part(start, start + size), share=share, bad=bad)
        before = rows.share


@final
@dataclass
class EmptyTexts:
    """The empty texts among the rows that pass through `watched`."""

    id_column: str | None
    count: int = 0
    places: list[str] = field(default_factory=list)

    def watched(self, batches: Iterable[Rows]) -> Iterator[Rows]:
        """Yield the batches as they are."""
        kind = "row" if self.id_column is None else "id"
        for rows in batches:
            empty = [id for id, text in zip(rows.ids, rows.texts, strict=True) if not text.strip()]
            self.count += len(empty)
            self.places += [f"{kind} {id}" for id in empty[: _PLACES_SHOWN - len(self.places)]]
            yield rows

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning if any text was empty."""
        if not self.count:
            return ()
        more = ", ..." if self.count > len(self.places) else ""
        message = (
            f"the text is empty in {counted(self.count, 'row')} ({', '.join(self.places)}{more}); "
            "these predictions are based on no words: fill in the text, or ignore these rows"
        )
        return (Finding("warning", "empty-texts", message),)


def predictions(
    classifier: Classifier,
    batches: Iterator[Rows],
    layout: Layout,
    skipped: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
    through: Through = lambda probabilities: probabilities,
) -> Iterator[tuple[Rows, Table]]:
    """Yield each batch with the table of its predictions, but for the first `skipped` rows.

    `through` sees the (m, k) probabilities of each batch, and returns those to use.
    """
    done = 0
    for rows in batches:
        done += len(rows)
        if done <= skipped:
            continue
        yield rows, predict_table(classifier, rows, layout, through)
        total = round(done / rows.share) if rows.share else 0
        progress(ProgressEvent(f"predicting: {done:,} rows", done, total))


def predict_table(
    classifier: Classifier,
    rows: Rows,
    layout: Layout | None = None,
    through: Through = lambda probabilities: probabilities,
) -> Table:
    """Return the table of the predictions of m rows; see `predictions` for `through`."""
    layout = layout or Layout()
    scheme, decision = classifier.scheme, classifier.decision
    texts = list(rows.texts)
    found = through(classifier.predict_proba(texts)) if texts else np.zeros((0, len(scheme)))
    table: Table = {}

    def add(name: str, values: list[Any]) -> None:
        table[layout.names.get(name, name)] = values

    if layout.has_id:
        add("id", list(rows.ids))
    table |= {name: list(rows.columns.get(name, ())) for name in layout.kept}
    if not layout.kept:
        table["text"] = texts
    add("prediction", decided(scheme, decision, found))
    if decision.in_scope_up_to is not None:
        add(OUT_OF_SCOPE, decision.out_of_scope(found).tolist())
    likely = np.argsort(-found, axis=1, kind="stable")
    if (sets := decision.sets(found)) is not None:
        pairs = zip(likely, sets, strict=True)
        add("set", [[scheme.names[i] for i in order if among[i]] for order, among in pairs])
    if scheme.multilabel:
        add("probability", found.max(axis=1).tolist())
    else:
        given = decision.labels(found, multilabel=False)
        add("probability", found[np.arange(len(given)), given].tolist())
    for place in range(layout.top):
        best = likely[:, place]
        add(f"label_{place + 1}", [scheme.names[i] for i in best])
        add(f"probability_{place + 1}", found[np.arange(len(found)), best].tolist())
    if layout.every:
        prefix = layout.prefix + PREFIX
        table |= {f"{prefix}{of}": found[:, i].tolist() for i, of in enumerate(scheme.names)}
    return table
