"""The types that every layer shares: frozen, and without input or output."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from finetext.core import label_names, registry
from finetext.core.arrays import Booleans, Floats, Integers, Number
from finetext.core.column_role import ColumnRole
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.display import html_table, labels_in_words
from finetext.core.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    import datasets

    from finetext.core.annotations import Annotations

SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class LabelScheme:
    """The classes, in the column order of every probability matrix.

    Attributes:
        names: the k label names, each once, in column order.
        multilabel: whether a text can have any number of labels, including none.
        positive: the class of two that precision, recall, F1 and curves are about, as it was named.
            Schemes with the same columns are equal, whatever this and the next ones are.
        affirmative: that class where none was named, if it says yes; without it, the second.
        text_columns: the columns that a text is joined from; `text_column`, the only one, if named.
    """

    names: tuple[str, ...]
    multilabel: bool = False
    positive: str | None = field(default=None, compare=False)
    affirmative: str | None = field(default=None, compare=False, kw_only=True)
    text_columns: tuple[str, ...] = field(default=(), compare=False)
    text_column: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise DataError("the label names are not unique")
        if self.positive is not None:
            label_names.check_positive(self.positive, self.names, self.multilabel)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_binary(self) -> bool:
        """Whether each text has one of two labels, so that one of them is the positive class."""
        return not self.multilabel and len(self.names) == 2

    @property
    def positive_column(self) -> int:
        """The column of the positive class of two: named, or the one that says yes, or second."""
        positive = self.positive or self.affirmative
        return self.names.index(positive) if positive in self.names else 1

    @property
    def positive_class(self) -> str | None:
        """The positive class of two, named or not; None if there are not two classes."""
        return self.names[self.positive_column] if self.is_binary else None

    def with_positive(self, label: object) -> LabelScheme:
        """Return the scheme with that positive class; None leaves it as it is.

        1 stands for "1" or "1.0", True for "true". Raises a DataError unless it is one of two.
        """
        positive = label_names.find(str(label), self.names) or str(label)
        return self if label is None else replace(self, positive=positive)

    @cached_property
    def index(self) -> dict[str, int]:
        """Label name to column."""
        return {name: column for column, name in enumerate(self.names)}

    def to_json(self) -> dict[str, Any]:
        """Return the values that describe the scheme in files, optional ones only if given."""
        labels = {"labels": list(self.names), "multilabel": self.multilabel}
        optional = ("positive", "affirmative", "text_columns", "text_column")
        return labels | {name: value for name in optional if (value := getattr(self, name))}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LabelScheme:
        """Return the inverse of `to_json`; raises a DataError or KeyError if a value is wrong."""
        given = {name: values.get(name) for name in ("positive", "affirmative", "text_column")}
        columns = tuple(values.get("text_columns", ()))
        return cls(tuple(values["labels"]), values["multilabel"], text_columns=columns, **given)

    def encode(self, labels: Sequence[str] | Sequence[Sequence[str]]) -> Integers:
        """Return (n,) columns for n names, or (n, k) of 0 and 1 for n lists if multi-label.

        A name spelled otherwise (1 for 1.0) counts as the one it means; others raise a DataError.
        """
        names = chain.from_iterable(labels) if self.multilabel else labels
        column = {str(name): self._column(str(name)) for name in dict.fromkeys(names)}
        if not self.multilabel:
            return np.array([column[str(name)] for name in labels], dtype=np.int64)
        matrix = np.zeros((len(labels), len(self)), dtype=np.int64)
        for row, several in enumerate(labels):
            matrix[row, [column[str(name)] for name in several]] = 1
        return matrix

    def _column(self, name: str) -> int:
        if (same := label_names.find(name, self.index)) is None:
            raise DataError(label_names.unknown(name, self.names))
        return self.index[same]

    def decode(self, targets: Integers) -> list[Any]:
        """Return n names, or n lists of names in a multi-label scheme, for encoded labels."""
        if not self.multilabel:
            return [self.names[column] for column in targets]
        return [[self.names[column] for column in np.flatnonzero(row)] for row in targets]


@dataclass(frozen=True)
class Finding:
    """A result of reading, checking or diagnosis.

    Attributes:
        severity: "error" ends a run; "warning" and "note" go into the report.
        code: a stable name, such as "near-duplicates".
        rows: ids of the affected rows, the first hundred at most.
    """

    severity: Literal["error", "warning", "note"]
    code: str
    message: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """A number with its 95% confidence interval, measured on n rows."""

    value: Number
    low: Number
    high: Number
    n: int

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):  # one nan is equal to itself, so that scores are
            if np.isnan(getattr(self, name)):
                object.__setattr__(self, name, np.nan)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Dataset:
    """Texts with ids and, where known, labels, groups and ready-made splits.

    Attributes:
        table: a `datasets.Dataset` of strings: the columns `id` (unique), `text` and, where known,
            `label` (lists when multi-label), `group` and `split` ("train", "validation", "test").
        scheme: the classes, or None for unlabeled text.
        description: one line on where it came from and which columns were taken.
        findings: what reading noticed, such as bytes that were not UTF-8.
        roles: what the columns of the source were taken for and why, those in use first.
        annotations: what each annotator said; None where no text has two answers.
        out_of_scope: the texts of the source that belong to no class, if their label was named.
    """

    table: datasets.Dataset = field(repr=False)
    scheme: LabelScheme | None = None
    description: str = ""
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    roles: tuple[ColumnRole, ...] = field(default=(), repr=False)
    annotations: Annotations | None = field(default=None, repr=False)
    out_of_scope: Dataset | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.table)

    def __getitem__(self, key: int | slice | str) -> Any:
        """Return a row as a mapping, a slice as a mapping of lists, or a column by its name."""
        return self.column(key) if isinstance(key, str) else self.table[key]

    def column(self, name: str) -> list[Any]:
        """The values of a column in row order; raises a DataError if there is none."""
        if name not in (known := self.table.column_names):
            raise DataError(f"the data have no column {name!r}; there are: {', '.join(known)}")
        is_whole = self.table._indices is None  # no selection on top of the stored rows
        return list(self.table.data.column(name).to_pylist() if is_whole else self.table[name][:])

    def columns_of(self, role: str) -> tuple[str, ...]:
        """Return the columns of the source that were taken for a role, such as "label"."""
        return tuple(of.column for of in self.roles if of.role == role)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each row."""
        return self.column("id")

    @cached_property
    def texts(self) -> list[str]:
        """The text of each row."""
        return self.column("text")

    @cached_property
    def labels(self) -> list[Any]:
        """The label of each row: a name, or a list of names when multi-label."""
        return self.column("label")

    @property
    def groups(self) -> list[str] | None:
        """The group of each row, or None when the data have none."""
        return self.column("group") if "group" in self.table.column_names else None

    @cached_property
    def targets(self) -> Integers:
        """The encoded labels, (n,) or (n, k) when multi-label; a DataError without labels."""
        if (scheme := self.scheme) is None:
            raise DataError("the data have no labels; name their column with --label")
        return scheme.encode(self.labels)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of ids, texts, labels, groups and splits, independent of the storage."""
        digest = hashlib.sha256()
        for name in ("id", "text", "label", "group", "split"):
            if name in self.table.column_names:
                digest.update(f"\x1d{name}".encode())
                for value in self.column(name):
                    digest.update(f"\x1e{value!r}".encode("utf-8", "surrogatepass"))
        if self.out_of_scope is not None:
            digest.update(self.out_of_scope.content_hash.encode())
        return digest.hexdigest()

    def select(self, rows: Sequence[int] | Integers) -> Dataset:
        """The rows at the given positions, in the order given."""
        return replace(self, table=self.table.select(list(map(int, rows))))

    def show_batch(
        self,
        n: int = 8,
        encoder: str | None = None,
        *,
        objective: Literal["masked", "causal"] | None = None,
        max_length: int | None = None,
        seed: int = 0,
    ) -> Any:
        """Return random rows for display, with `to_json()`: see `finetext.report.batches`.

        Args:
            n: number of rows, 8 by default.
            encoder: alias, Hub name or folder: the rows are a training batch as the model reads
                it, with tokens, padding and label numbers. Without one, texts and labels.
            objective: "masked" or "causal" shows the tokens of a language model, and its targets.
            max_length: tokens to truncate texts to; by default the context of the encoder.
            seed: seed of the choice of rows and of the masked words, 0 by default.

        Raises:
            DataError: there are no rows, or n is below 1.
            RecipeError: an objective without an encoder, or `max_length` exceeds the context.
            ModelError: the tokenizer cannot be loaded, or has no mask token.
        """
        show = registry.load("views", "batch")
        return show(self, n, encoder, objective=objective, max_length=max_length, seed=seed)

    def _repr_html_(self) -> str:
        head = self.table.select(range(min(len(self), 5)))
        rows = [[str(value)[:200] for value in row.values()] for row in head]
        caption = f"{len(self):,} rows{self.description and f' of {self.description}'}"
        return html_table(caption, head.column_names, rows)


@dataclass(frozen=True)
class Splits:
    """The three splits that every method of a run uses. All share one label scheme."""

    train: Dataset
    validation: Dataset
    test: Dataset
    clusters: Integers | None = field(default=None, repr=False, compare=False)
    """(n,) numbers of the near-duplicates among the rows of all three; None if not searched."""

    @property
    def scheme(self) -> LabelScheme:
        """The label scheme of all three."""
        if self.train.scheme is None:
            raise DataError("the data have no labels; name their column with --label")
        return self.train.scheme

    def items(self) -> Iterator[tuple[SplitName, Dataset]]:
        """Yield name and split, in the order train, validation, test."""
        yield from ((name, getattr(self, name)) for name in SPLIT_NAMES)

    def __getitem__(self, name: str) -> Dataset:
        """Return a split; raises an UnknownNameError unless it is train, validation or test."""
        if name not in SPLIT_NAMES:
            raise UnknownNameError("split", str(name), SPLIT_NAMES)
        return dict[str, Dataset](self.items())[name]

    def shares(self) -> Any:
        """Return the rows of each label and their share in each split, as a table for display.

        `shares["train"]["joy"]` is the share of the training rows that have the label,
        `shares.counts` has the numbers of rows, and `numpy.asarray(shares)` is a matrix (labels,
        splits). Rows with several labels count for each. Raises a DataError without labels.
        """
        return registry.load("views", "shares")(self)

    def show_batch(self, n: int = 8, encoder: str | None = None, **options: Any) -> Any:
        """Return random training rows for display; see `Dataset.show_batch`."""
        return self.train.show_batch(n, encoder, **options)


@dataclass(frozen=True, repr=False)
class Predictions:
    """What a classifier predicted for labeled rows: all that evaluation reads.

    Attributes:
        ids: n row ids.
        targets: the true labels, (n,) columns or (n, k) of 0 and 1 when multi-label.
        probabilities: (n, k); rows sum to 1 unless multi-label.
        scheme: names of the k columns.
        decision: how probabilities become labels.
        groups: n group names for clustered intervals, or None.
    """

    ids: tuple[str, ...]
    targets: Integers
    probabilities: Floats
    scheme: LabelScheme
    decision: Decision = AS_LIKELY
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def decisions(self) -> Integers:
        """The predicted labels, shaped like `targets`, as if it never abstained."""
        return self.decision.labels(self.probabilities, self.scheme.multilabel)

    @cached_property
    def abstained(self) -> Booleans:
        """(n,) whether the classifier abstains."""
        return self.decision.abstains(self.probabilities)

    def select(self, rows: Sequence[int] | Integers | Booleans) -> Predictions:
        """Return the predictions of some rows: at such positions, or where (n,) is true."""
        ids = tuple(np.array(self.ids, dtype=object)[rows].tolist())
        groups = self.groups and tuple(np.array(self.groups, dtype=object)[rows].tolist())
        targets, likely = self.targets[rows], self.probabilities[rows]
        return Predictions(ids, targets, likely, self.scheme, self.decision.select(rows), groups)

    def with_positive(self, label: object) -> Predictions:
        """Return the predictions with that positive class; see `LabelScheme.with_positive`."""
        return replace(self, scheme=self.scheme.with_positive(label))

    def _repr_html_(self) -> str:
        truths, given = (self.scheme.decode(part[:10]) for part in (self.targets, self.decisions))
        highest = [f"{row.max():.3f}" for row in self.probabilities[:10]]
        rows = zip(self.ids[:10], truths, given, highest, strict=True)
        columns = ("id", "truth", "prediction", "highest probability")
        return html_table(f"{len(self):,} predictions", columns, rows)

    def __repr__(self) -> str:
        return f"<{len(self):,} predictions, {labels_in_words(self.scheme.names)}>"


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions for labeled rows, with what else is known of them.

    Attributes:
        name: "reviews/finetune", or the name of the file.
        texts: n texts; None if a table has none.
        metric: that of the run; macro F1 for a table.
        run: the run folder; None for a table, as is the method.
        findings: of reading a table.
        part: the split of the rows, or "cross-validated"; None for a table that does not say.
    """

    name: str
    predictions: Predictions
    texts: tuple[str, ...] | None
    metric: str
    run: Path | None = None
    method: str | None = None
    findings: tuple[Finding, ...] = ()
    part: str | None = None
