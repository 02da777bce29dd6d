"""`TextClassifier`: finetext as an estimator for scikit-learn's pipelines and searches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)  # fmt: skip

from finetext.core import registry
from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import Classifier, Method, hyperparameters
from finetext.core.errors import DataError, ModelError, nearest
from finetext.core.text_columns import texts_of
from finetext.core.types import Dataset, LabelScheme
from finetext.data.label_cells import COLLECTIONS


@dataclass(frozen=True, eq=False)
class Targets:
    """Labels of n rows.

    Attributes:
        classes: (k,) the labels, sorted; column numbers for a matrix.
        columns: (n,) columns, or (n, k) of 0 and 1; empty for a loaded model.
    """

    form: Literal["single", "matrix", "lists"]
    classes: Any
    names: tuple[str, ...]
    columns: Integers

    @classmethod
    def of(cls, y: Any, rows: int) -> Targets:
        """Return the labels of a number of rows; raises a ValueError if they are no such labels."""
        if y is None:
            raise ValueError(
                "requires y to be passed, but the target y is None: give one label for each text"
            )
        values = y
        for method in ("toarray", "to_numpy"):  # a sparse matrix, a data frame or series
            values = getattr(values, method)() if hasattr(values, method) else values
        is_array = isinstance(values, list | tuple) or hasattr(values, "__array__")
        if hasattr(values, "__iter__") and not is_array:
            values = list(values)
        count = len(values) if hasattr(values, "__len__") else "no"
        if count != rows:
            raise ValueError(f"there are {rows} texts and {count} labels; each text needs one")
        if not rows:
            raise ValueError("there are no texts to learn from: 0 rows, at least 2 are needed")
        if _are_lists(values):
            found = name_lists(values)
            names = tuple(sorted({name for row in found for name in row}))
            columns = LabelScheme(names, True).encode(found)
            return cls("lists", np.array(names, dtype=object), names, columns)
        array = np.asarray(values)
        if array.ndim == 2 and array.shape[1] > 1:
            if not np.isin(array, (0, 1)).all():
                raise ValueError(
                    "y has several columns that are not all 0 and 1: a matrix has a column for "
                    "each label, with 1 where a row has it"
                )
            classes = np.arange(array.shape[1])
            return cls("matrix", classes, tuple(map(str, classes)), array.astype(np.int64))
        return cls._single(column_or_1d(array, warn=True))

    @classmethod
    def _single(cls, values: Any) -> Targets:
        missing = (n for n, of in enumerate(values.tolist()) if of is None or of != of)
        if values.dtype == object and (row := next(missing, None)) is not None:
            raise ValueError(f"Input y contains NaN or None: the label of row {row} is missing")
        assert_all_finite(values, input_name="y")
        check_classification_targets(values)
        classes, columns = np.unique(values, return_inverse=True)
        known = classes.tolist()
        names = tuple(map(str, known))
        if len(set(names)) < len(names):
            raise ValueError(f"labels that look alike: {', '.join(map(repr, known[:10]))}")
        if len(known) < 2:
            raise ValueError(f"y has one class only, {known[0]!r}: a classifier needs two or more")
        return cls("single", classes, names, columns.astype(np.int64))

    def dataset(self, texts: Sequence[str], positive: Any = None, joined: Any = None) -> Dataset:
        """Return the rows, numbered from 1, with positive class and joined text columns if any."""
        import datasets

        several, joined = self.form != "single", tuple(joined or ())
        scheme = LabelScheme(self.names, several, text_columns=joined).with_positive(positive)
        ids = [str(row) for row in range(1, len(texts) + 1)]
        columns = {"id": ids, "text": list(texts), "label": scheme.decode(self.columns)}
        return Dataset(datasets.Dataset.from_dict(columns), scheme)

    def labels(self, found: Sequence[Any]) -> Any:
        """Return predicted names in the form of y."""
        if self.form == "matrix":
            return self.matrix(found)
        if self.form == "lists":
            rows = np.empty(len(found), dtype=object)
            rows[:] = found
            return rows
        values = [None if name is None else self.classes[self._index[name]] for name in found]
        return np.array(values, dtype=object if None in found else self.classes.dtype)

    def matrix(self, rows: Iterable[Sequence[str]]) -> Integers:
        """Return (n, k) of 0 and 1 for lists of names; unknown names are left out."""
        found = list(rows)
        columns = np.zeros((len(found), len(self.names)), dtype=np.int64)
        for place, names in enumerate(found):
            columns[place, [self._index[name] for name in names if name in self._index]] = 1
        return columns

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    @classmethod
    def loaded(cls, known: Any, scheme: LabelScheme) -> Targets:
        """Return the labels of a saved model; names if their form and type were not saved."""
        default = {"form": "lists" if scheme.multilabel else "single", "kind": "O"}
        known = {**default, **known} if isinstance(known, Mapping) else default
        classes = np.array(scheme.names, dtype=object)
        makers: Any = {"b": "True".__eq__, "i": int, "u": int, "f": float}
        try:
            if known["kind"] in makers:
                classes = np.array([makers[known["kind"]](name) for name in scheme.names])
        except (TypeError, ValueError) as error:
            raise ModelError(f"the labels of the model are not of their type: {error}") from None
        return cls(known["form"], classes, tuple(scheme.names), np.zeros(0, dtype=np.int64))


def name_lists(rows: Iterable[Any]) -> list[list[str]]:
    """Return lists, tuples or sets of names as lists of strings."""
    return [[str(name) for name in (sorted(row) if isinstance(row, set) else row)] for row in rows]


def _are_lists(values: Any) -> bool:
    """Return whether rows are lists of names, rather than of 0 and 1 throughout."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return False
    if not len(values) or not any(isinstance(row, COLLECTIONS) for row in values):
        return False
    if any(isinstance(row, str) or not isinstance(row, COLLECTIONS) for row in values):
        raise ValueError("some rows of y are lists of labels and others are not")
    return any(isinstance(name, str) for row in values for name in row) or not all(values)


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A method of finetext with the conventions of scikit-learn.

    X is a list, array or series of strings; with `text_columns` a frame that has them, or rows of
    as many texts. y has one label a row (strings, whole numbers or booleans), or several as a
    matrix of 0 and 1 or a list of lists of names. For a list of lists pass a splitter such as
    `KFold()` to cross-validation: scikit-learn cannot stratify by them.

    Args:
        method: the name of a method, "finetune" by default, or one with its hyperparameters, such
            as `finetext.Finetune(epochs=3)`.
        validation_size: rows to hold out of those that `fit` gets, as a share or a count, 0.1 by
            default. They choose the best checkpoint, calibrate the probabilities, and set the
            thresholds where a row can have several labels. None or 0 holds out none and skips
            these steps.
        random_state: seed of every random choice, 0 by default; None draws one.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        positive: the positive class of two, which the saved model remembers for its scores; None
            (the default) for the second. `classes_` keeps its order.
        text_columns: names of the columns whose texts are joined in this order, such as
            `("title", "body")`; None (the default) for one column.
        verbose: whether to show progress on a terminal or in a notebook; False by default.
        **hyperparameters: those of the method, such as `learning_rate` or `encoder`, with its
            defaults. `set_params` and searches can change them.

    Attributes:
        classes_: the k labels, sorted: those of y, or the numbers of its columns if it is a matrix.
        classifier_: the fitted `finetext.Classifier`.
    """

    def __init__(
        self,
        method: Any = "finetune",
        *,
        validation_size: Any = 0.1,
        random_state: Any = 0,
        device: Any = "auto",
        positive: Any = None,
        text_columns: Any = None,
        verbose: bool = False,
        **hyperparameters: Any,
    ) -> None:
        """See the class; parameters are checked in `fit`."""
        self.method, self.validation_size = method, validation_size
        self.random_state, self.device, self.verbose = random_state, device, verbose
        self.positive, self.text_columns = positive, text_columns
        for name, value in hyperparameters.items():
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, with the hyperparameters that are given."""
        return {**super().get_params(deep=deep), **self._given()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters, including hyperparameters of the method.

        Raises:
            ValueError: the method has no such hyperparameter.
        """
        own = set(super().get_params(deep=False))
        known = _hyperparameters(params.get("method", self.method))
        rest = {name: value for name, value in params.items() if name not in own}
        for name in rest:
            if known is not None and name not in known:
                near = nearest(name, [*own, *known])
                raise ValueError(f"Invalid parameter {name!r} for estimator {self}{near}")
        super().set_params(**{name: params[name] for name in params if name in own})
        for name, value in rest.items():
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from n strings and n labels, n lists of labels, or an (n, k) matrix of 0 and 1.

        Raises:
            ValueError: X and y do not fit together, or a parameter is invalid.
        """
        from finetext.runs.default_methods import with_members
        from finetext.runs.fit import fit_rows, watched
        from finetext.runs.recipe import Recipe

        texts = _texts(X, self.text_columns)
        targets, method, seed = Targets.of(y, len(texts)), self._method(), self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        try:
            recipe = Recipe(methods=with_members(method), seed=int(seed), device=self.device)
            rows = targets.dataset(texts, self.positive, self.text_columns)
            with watched(None, quiet=not self.verbose) as hears:
                self.classifier_ = fit_rows(rows, method, recipe, hears, self.validation_size or 0)
        except DataError as error:
            raise ValueError(str(error)) from error
        self._targets, self.classes_ = targets, targets.classes
        return self

    def predict(self, X: Any) -> Any:
        """Return (n,) labels, (n,) lists of names or an (n, k) matrix of 0 and 1, in the form of y.

        Where a loaded model abstains, the label is None.
        """
        check_is_fitted(self)
        return self._targets.labels(self.classifier_.predict(_texts(X, self.text_columns)))

    def predict_proba(self, X: Any) -> Floats:
        """Return (n, k) probabilities in the order of `classes_`."""
        check_is_fitted(self)
        return self.classifier_.predict_proba(_texts(X, self.text_columns))

    def decision_function(self, X: Any) -> Floats:
        """Return (n,) log odds of the second class if there are two, else (n, k) logits."""
        check_is_fitted(self)
        logits = np.nan_to_num(
            self.classifier_.logits(_texts(X, self.text_columns)), posinf=1e6, neginf=-1e6
        )
        if len(self.classes_) == 2 and not self.classifier_.scheme.multilabel:
            return np.asarray(logits[:, 1] - logits[:, 0])
        return logits

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy, of whole rows where they can have several labels.

        A row where a loaded model abstains is wrong.
        """
        from sklearn.metrics import accuracy_score

        check_is_fitted(self)
        truth, found = y, self.predict(X)
        if self._targets.form == "lists":
            truth, found = (self._targets.matrix(name_lists(rows)) for rows in (y, found))
        elif None in found:  # which scikit-learn takes for no label
            truth = column_or_1d(y)
            check_consistent_length(truth, found)
            truth, found = np.ones(len(truth)), np.array(truth == found, dtype=float)
        return float(accuracy_score(truth, found, sample_weight=sample_weight))

    def save(self, folder: str | Path) -> Path:
        """Write a model folder, which the command line takes as well; see `Classifier.save`."""
        from finetext.models.folder import save_model
        from finetext.runs.recipe import Recipe

        check_is_fitted(self)
        method = self._method()
        checked = Recipe(methods={method.name: method}).methods[method.name]
        made_by = {
            "method": method.name,
            "hyperparameters": hyperparameters(checked),
            "sklearn": {"form": self._targets.form, "kind": self._targets.classes.dtype.kind},
        }
        return save_model(self.classifier_, Path(folder), made_by)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Self:
        """Return a fitted estimator from a model folder, that of `save` or any other.

        It has the method and the hyperparameters of the folder, for `clone` and searches.

        Args:
            folder: the model folder, a run folder for its best model, or "hub:owner/name".
            device: where it predicts.

        Raises:
            ModelError: it is no model, or damaged.
        """
        from finetext.models.folder import best_model, provenance
        from finetext.models.hub import model_folder

        place = model_folder(folder)
        classifier = Classifier.load(place, device)
        try:
            made_by = provenance(best_model(place))
        except ModelError:  # a model that finetext did not write
            made_by = {}
        kind = {"transformer": "finetune"}.get(classifier.kind, classifier.kind)
        known = [made_by.get("method"), kind]
        method = next((name for name in known if name in registry.names("methods")), "finetune")
        given, recorded = dict[str, Any](), made_by.get("hyperparameters")
        if isinstance(recorded, Mapping):
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in recorded.items()}
            for field in dataclasses.fields(registry.load("methods", method)):
                if values.get(field.name, field.default) != field.default:
                    given[field.name] = values[field.name]
        positive = classifier.scheme.positive
        given["text_columns"] = classifier.scheme.text_columns or None
        estimator = cls(method, device=device, positive=positive, **given)
        estimator.classifier_ = classifier
        estimator._targets = Targets.loaded(made_by.get("sklearn"), classifier.scheme)
        estimator.classes_ = estimator._targets.classes
        return estimator

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classifier_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.classifier_tags.multi_label = True
        return tags

    def _given(self) -> dict[str, Any]:
        """Return the hyperparameters that are given."""
        own = super().get_params(deep=False)
        return {
            name: value
            for name, value in vars(self).items()
            if name not in own and not name.startswith("_") and not name.endswith("_")
        }

    def _method(self) -> Method:
        """Return the method with its hyperparameters; `fit` checks their values."""
        given, known = self._given(), _hyperparameters(self.method)
        if known is None:
            near = nearest(str(self.method), list(registry.names("methods")))
            what = f"method={self.method!r} is neither a method nor the name of one"
            raise ValueError(f"{what}{near}")
        if wrong := [name for name in given if name not in known]:
            near = nearest(wrong[0], list(known))
            raise ValueError(f"the method {self.method!r} has no hyperparameter {wrong[0]!r}{near}")
        named = isinstance(self.method, str)
        method: Method = registry.load("methods", self.method)() if named else self.method
        return dataclasses.replace(method, **given)  # type: ignore[type-var]


def _hyperparameters(method: Any) -> tuple[str, ...] | None:
    """Return the names of the hyperparameters of a method, or None if it is none."""
    if isinstance(method, str) and method in registry.names("methods"):
        method = registry.load("methods", method)
    elif not isinstance(method, Method):
        return None
    return tuple(field.name for field in dataclasses.fields(method))


def _texts(given: Any, columns: Any) -> list[str]:
    try:
        return texts_of(given, tuple(columns or ()))
    except DataError as error:
        raise ValueError(str(error)) from None


TextClassifier.__module__ = "finetext.sklearn"  # which pickles and messages name
