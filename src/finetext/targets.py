"""Labels in the forms of scikit-learn, and as finetext has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from finetext.data.labels import COLLECTIONS
from finetext.errors import ModelError
from finetext.types import Dataset, Integers, LabelScheme

Form = Literal["single", "matrix", "lists"]


@dataclass(frozen=True, eq=False)
class Targets:
    """Labels of n rows.

    Attributes:
        form: "single" for one label a row; several as a "matrix" of 0 and 1, or as "lists".
        classes: (k,) the labels, sorted; column numbers for a matrix.
        names: the k names that finetext gives them.
        columns: (n,) columns, or (n, k) of 0 and 1; without rows where a model was loaded.
    """

    form: Form
    classes: Any
    names: tuple[str, ...]
    columns: Integers

    @classmethod
    def of(cls, y: Any, rows: int) -> Targets:
        """The labels of so many rows.

        Raises:
            ValueError: there are not as many labels as rows, or they are no labels.
        """
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import assert_all_finite, column_or_1d

        if y is None:
            raise ValueError(
                "requires y to be passed, but the target y is None: give one label for each text"
            )
        values = _values(y)
        if not hasattr(values, "__len__") or len(values) != rows:
            count = len(values) if hasattr(values, "__len__") else "no"
            raise ValueError(f"there are {rows} texts and {count} labels; each text needs one")
        if not rows:
            raise ValueError("there are no texts to learn from: 0 rows, at least 2 are needed")
        if _are_lists(values):
            found = from_lists(values)
            names = tuple(sorted({name for row in found for name in row}))
            classes = np.array(names, dtype=object)
            return cls("lists", classes, names, LabelScheme(names, True).encode(found))
        array = np.asarray(values)
        if array.ndim == 2 and array.shape[1] > 1:
            return cls._of_matrix(array)
        flat = column_or_1d(array, warn=True)
        _refuse_missing(flat)
        assert_all_finite(flat, input_name="y")
        check_classification_targets(flat)
        classes, columns = np.unique(flat, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has one class only, {classes.tolist()[0]!r}: a classifier needs two or more"
            )
        return cls("single", classes, _names(classes), columns.astype(np.int64))

    @classmethod
    def _of_matrix(cls, array: Any) -> Targets:
        if not np.isin(array, (0, 1)).all():
            raise ValueError(
                "y has several columns that are not all 0 and 1: a matrix has a column for each "
                "label, with 1 where a row has it"
            )
        classes = np.arange(array.shape[1])
        return cls("matrix", classes, tuple(map(str, classes)), array.astype(np.int64))

    @property
    def scheme(self) -> LabelScheme:
        """The labels as finetext has them."""
        return LabelScheme(self.names, self.form != "single")

    def dataset(self, texts: Sequence[str]) -> Dataset:
        """The rows, numbered, as finetext learns from them."""
        import datasets

        labels = self.scheme.decode(self.columns)
        ids = [str(row) for row in range(1, len(texts) + 1)]
        table = datasets.Dataset.from_dict({"id": ids, "text": list(texts), "label": labels})
        return Dataset(table, self.scheme)

    def labels(self, found: Sequence[Any]) -> Any:
        """What a classifier gave, in the form of the labels that it learnt from."""
        if self.form == "matrix":
            return self.matrix(found)
        if self.form == "lists":
            rows = np.empty(len(found), dtype=object)
            rows[:] = found
            return rows
        if any(name is None for name in found):
            values = [None if name is None else self.classes[self._index[name]] for name in found]
            return np.array(values, dtype=object)
        return self.classes[np.array([self._index[name] for name in found], dtype=np.int64)]

    def matrix(self, rows: Iterable[Sequence[str]]) -> Integers:
        """(n, k) of 0 and 1; labels that are not known are left out."""
        index = self._index
        found = list(rows)
        columns = np.zeros((len(found), len(self.names)), dtype=np.int64)
        for place, names in enumerate(found):
            columns[place, [index[name] for name in names if name in index]] = 1
        return columns

    @property
    def _index(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    def to_json(self) -> dict[str, Any]:
        """The form and type of the labels, for `from_json`."""
        return {"form": self.form, "kind": self.classes.dtype.kind}

    @classmethod
    def from_json(cls, said: Any, scheme: LabelScheme) -> Targets:
        """Labels of a model that was saved; names where it does not say of what type they were.

        Raises:
            ModelError: what it says makes no sense.
        """
        default = {"form": "lists" if scheme.multilabel else "single", "kind": "O"}
        said = {**default, **said} if isinstance(said, Mapping) else default
        names, kind = scheme.names, said["kind"]
        columns = np.zeros((0,), dtype=np.int64)
        try:
            if kind == "b":
                classes = np.array([name == "True" for name in names])
            elif kind in "iuf":
                classes = np.array([{"f": float}.get(kind, int)(name) for name in names])
            else:
                classes = np.array(names, dtype=object)
        except (TypeError, ValueError) as error:
            raise ModelError(f"the model's labels are not what it says they are: {error}") from None
        return cls(said["form"], classes, tuple(names), columns)


def from_lists(rows: Iterable[Any]) -> list[list[str]]:
    """Lists, tuples or sets of names, as lists of strings."""
    return [[str(name) for name in (sorted(row) if isinstance(row, set) else row)] for row in rows]


def _values(y: Any) -> Any:
    """Labels as a list or an array."""
    if hasattr(y, "toarray"):  # a sparse matrix, as MultiLabelBinarizer can make it
        return y.toarray()
    if hasattr(y, "to_numpy"):
        return y.to_numpy()
    if isinstance(y, list | tuple) or hasattr(y, "__array__"):
        return y
    return list(y) if hasattr(y, "__iter__") else y


def _are_lists(values: Any) -> bool:
    """Whether rows are lists of names, not of 0 and 1 throughout."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return False
    if not len(values) or not any(isinstance(row, COLLECTIONS) for row in values):
        return False
    if any(isinstance(row, str) or not isinstance(row, COLLECTIONS) for row in values):
        raise ValueError("some rows of y are lists of labels and others are not")
    return any(isinstance(name, str) for row in values for name in row) or not all(values)


def _refuse_missing(values: Any) -> None:
    """Raise a `ValueError` if a label is missing."""
    if values.dtype == object:
        for row, value in enumerate(values):
            if value is None or value != value:
                raise ValueError(f"Input y contains NaN or None: the label of row {row} is missing")


def _names(classes: Any) -> tuple[str, ...]:
    """Names of labels of any type, which differ as the labels do."""
    names = tuple(str(value) for value in classes.tolist())
    if len(set(names)) < len(names):
        raise ValueError(f"labels that look alike: {', '.join(map(repr, classes.tolist()[:10]))}")
    return names
