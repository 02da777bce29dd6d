"""Tables of predictions, in batches of rows, so that memory does not grow with the input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

import numpy as np

from finetext.core.contracts import Classifier, ProgressEvent, decided, silent
from finetext.core.errors import RecipeError
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.predictions import PREFIX
from finetext.data.rows import TEXT, Rows, Texts
from finetext.data.write import Table

FEW: Final = 20  # most labels for which every probability is shown by default
ROWS: Final = 2_000  # predicted and written at a time: enough to sort by length, and soon done
TAKEN: Final = "input:"  # prefix of a column of the input whose own name a prediction takes
_PLACES_SHOWN: Final = 5
_OWN: Final = ("id", "prediction", "set", "probability")


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
    """The columns of the tables of one prediction; `kept` is input column to output column."""

    kept: Mapping[str, str] = field(default_factory=dict)
    has_id: bool = True
    top: int = 0
    every: bool = True
    kinds: Mapping[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning if columns of the input have another name in the output."""
        renamed = [(old, new) for old, new in self.kept.items() if old != new]
        if not renamed:
            return ()
        shown = [f"{old!r} is {new!r}" for old, new in renamed[:5]]
        more = [f"and {len(renamed) - 5} more"] if len(renamed) > 5 else []
        what = "columns of the input have the names of columns of a prediction; in the output"
        return (Finding("warning", "renamed-columns", f"{what} {', '.join([*shown, *more])}"),)


def layout_of(classifier: Classifier, texts: Texts, shown: Shown, is_one: bool = False) -> Layout:
    """Return the columns of predictions; of one text alone, the likeliest of many labels."""
    count = len(classifier.scheme)
    every = shown.every if shown.every is not None else count <= FEW and shown.top is None
    top = min(shown.top or (FEW // 2 if is_one and not every else 0), count)
    kept = _output_names(list(texts.columns), texts.id_column, top)
    kinds = {kept[name]: kind for name, kind in texts.columns.items()}
    kinds |= {"prediction": [TEXT] if classifier.scheme.multilabel else TEXT, "set": [TEXT]}
    has_id = "id" not in kept.values()
    added = [f"label_{place}" for place in range(1, top + 1)]
    added += ["id"] * has_id + ["text"] * (not kept)
    return Layout(kept, has_id, top, every, kinds | dict.fromkeys(added, TEXT))


def _output_names(columns: list[str], id_column: str | None, top: int) -> dict[str, str]:
    own = {*_OWN, *(f"{what}_{n}" for n in range(1, top + 1) for what in ("label", "probability"))}
    taken = {*columns, *own}
    names = {}
    for column in columns:
        name = column
        is_ours = (name in own or name.startswith(PREFIX)) and not column == "id" == id_column
        while is_ours and (name == column or name in taken):
            name = TAKEN + name
        names[column] = name
        taken.add(name)
    return names


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
            "what is predicted there rests on no words: fill in the text, or ignore these rows"
        )
        return (Finding("warning", "empty-texts", message),)


def predictions(
    classifier: Classifier,
    batches: Iterator[Rows],
    layout: Layout,
    skipped: int = 0,
    progress: Callable[[ProgressEvent], None] = silent,
) -> Iterator[tuple[Rows, Table]]:
    """Yield each batch with the table of its predictions, but for the first `skipped` rows."""
    done = 0
    for rows in batches:
        done += len(rows)
        if done <= skipped:
            continue
        yield rows, predict_table(classifier, rows, layout)
        total = round(done / rows.share) if rows.share else 0
        progress(ProgressEvent(f"predicting: {done:,} rows", done, total))


def predict_table(classifier: Classifier, rows: Rows, layout: Layout | None = None) -> Table:
    """Return the table of the predictions of m rows."""
    layout = layout or Layout()
    scheme, decision = classifier.scheme, classifier.decision
    texts = list(rows.texts)
    found = classifier.predict_proba(texts) if texts else np.zeros((0, len(scheme)))
    table: Table = {"id": list(rows.ids)} if layout.has_id else {}
    table |= {layout.kept[name]: list(rows.columns.get(name, ())) for name in layout.kept}
    if not layout.kept:
        table["text"] = texts
    table["prediction"] = decided(scheme, decision, found)
    likely = np.argsort(-found, axis=1, kind="stable")
    if (sets := decision.sets(found)) is not None:
        pairs = zip(likely, sets, strict=True)
        table["set"] = [[scheme.names[i] for i in order if among[i]] for order, among in pairs]
    if scheme.multilabel:
        table["probability"] = found.max(axis=1).tolist()
    else:
        given = decision.labels(found, multilabel=False)
        table["probability"] = found[np.arange(len(given)), given].tolist()
    for place in range(layout.top):
        best = likely[:, place]
        table[f"label_{place + 1}"] = [scheme.names[i] for i in best]
        table[f"probability_{place + 1}"] = found[np.arange(len(found)), best].tolist()
    if layout.every:
        table |= {f"{PREFIX}{of}": found[:, i].tolist() for i, of in enumerate(scheme.names)}
    return table
