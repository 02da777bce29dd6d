"""finetext as an estimator of scikit-learn, for its pipelines, searches and cross-validation.

from finetext.sklearn import TextClassifier
from sklearn.model_selection import GridSearchCV

search = GridSearchCV(TextClassifier("finetune", epochs=2), {"learning_rate": [5e-5, 1e-4]})
search.fit(texts, labels)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from finetext.core import registry
from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import Classifier, Method, texts_of
from finetext.core.errors import DataError, ModelError, nearest
from finetext.core.types import Dataset, LabelScheme
from finetext.data.labels import COLLECTIONS

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


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A method of finetext with the conventions of scikit-learn.

    X is a list, array or series of strings. y has one label a row (strings, whole numbers or truth
    values), or for several labels a row a matrix of 0 and 1 or a list of lists of names. For a
    list of lists pass a splitter such as `KFold()` to cross-validation, since scikit-learn cannot
    stratify by them.

    Args:
        method: the name of a method, "finetune" by default, or one with its hyperparameters, such
            as `finetext.Finetune(epochs=3)`.
        validation_size: rows held out of those that `fit` gets, as a share or a count, 0.1 by
            default: they choose the best checkpoint, calibrate the probabilities, and set the
            thresholds where a row can have several labels. None or 0 holds out none, and leaves
            that out.
        random_state: seed of every random choice, 0 by default; None draws one.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        verbose: whether to show progress on a terminal or in a notebook; not by default.
        **hyperparameters: those of the method, such as `learning_rate` or `encoder`. They are
            parameters like any other, so that `set_params` and searches can change them; those that
            are not given have the defaults of the method.

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
        verbose: bool = False,
        **hyperparameters: Any,
    ) -> None:
        """See the class; everything is checked when it is fitted."""
        self.method = method
        self.validation_size = validation_size
        self.random_state = random_state
        self.device = device
        self.verbose = verbose
        for name, value in hyperparameters.items():
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name, with the hyperparameters that are given."""
        return {**super().get_params(deep=deep), **self._given()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters, hyperparameters of the method among them.

        Raises:
            ValueError: the method has no such hyperparameter.
        """
        own = set(super().get_params(deep=False))
        known = _hyperparameters(params.get("method", self.method))
        rest = {name: value for name, value in params.items() if name not in own}
        for name in rest:
            if known is not None and name not in known:
                names = [*own, *known]
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}{nearest(name, names)}"
                )
        super().set_params(**{name: params[name] for name in params if name in own})
        for name, value in rest.items():
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from n texts and their labels.

        Args:
            X: n strings.
            y: n labels, n lists of labels, or an (n, k) matrix of 0 and 1.

        Raises:
            ValueError: they do not fit together, or a parameter is not fit.
        """
        from finetext.runs.fit import fit_rows

        texts = _texts(X)
        targets = Targets.of(y, len(texts))
        method = self._method()
        seed = self._seed()
        try:
            self.classifier_ = fit_rows(
                targets.dataset(texts), method, seed=seed, device=self.device,
                held_out_size=self.validation_size or 0, is_shown=self.verbose,
            )  # fmt: skip
        except DataError as error:
            raise ValueError(str(error)) from error
        self._targets = targets
        self.classes_ = targets.classes
        return self

    def predict(self, X: Any) -> Any:
        """The label of each text, in the form of the labels that were learnt from.

        Returns:
            (n,) labels, None where a loaded model abstains; (n, k) of 0 and 1, or (n,) lists of
            names, where a row can have several.
        """
        check_is_fitted(self)
        found = self.classifier_.predict(_texts(X))
        return self._targets.labels(found)

    def predict_proba(self, X: Any) -> Floats:
        """(n, k) probabilities in the order of `classes_`."""
        check_is_fitted(self)
        return self.classifier_.predict_proba(_texts(X))

    def decision_function(self, X: Any) -> Floats:
        """How far each text is on the side of a class: the larger, the likelier.

        Returns:
            (n,) log odds of the second class if there are two; else (n, k) logits, of each class
            for itself where a row can have several.
        """
        check_is_fitted(self)
        logits = np.nan_to_num(self.classifier_.logits(_texts(X)), posinf=1e6, neginf=-1e6)
        if len(self.classes_) == 2 and not self.classifier_.scheme.multilabel:
            return np.asarray(logits[:, 1] - logits[:, 0])
        return logits

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy; where a row can have several labels, the share of rows with all of them right.

        A row where a loaded model abstains is not right.

        Args:
            X: n strings.
            y: their labels, in a form that `fit` takes.
            sample_weight: (n,) weights, or None.
        """
        from sklearn.metrics import accuracy_score

        check_is_fitted(self)
        truth, found = y, self.predict(X)
        if self._targets.form == "lists":
            truth, found = (self._targets.matrix(from_lists(rows)) for rows in (y, found))
        elif None in found:  # which scikit-learn takes for no label
            truth = column_or_1d(y)
            check_consistent_length(truth, found)
            truth, found = np.ones(len(truth)), np.array(truth == found, dtype=float)
        return float(accuracy_score(truth, found, sample_weight=sample_weight))

    def save(self, folder: str | Path) -> Path:
        """Write the model folder, which the command line takes as well; see `Classifier.save`."""
        from finetext.core.contracts import hyperparameters
        from finetext.models.folder import save_model
        from finetext.runs.recipe import Recipe

        check_is_fitted(self)
        method = self._method()
        checked = Recipe(methods={method.name: method}).methods[method.name]
        said = {
            "method": method.name,
            "hyperparameters": hyperparameters(checked),
            "sklearn": self._targets.to_json(),
        }
        return save_model(self.classifier_, Path(folder), said)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Self:
        """A fitted estimator from a model folder, that of `save` or any other.

        It has the method and the hyperparameters that the folder tells, for `clone` and searches.

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
            said = provenance(best_model(place))
        except ModelError:  # it is none of finetext
            said = {}
        method = _method_of(said, classifier)
        estimator = cls(method, device=device, **_changed(said, method))
        estimator.classifier_ = classifier
        estimator._targets = Targets.from_json(said.get("sklearn"), classifier.scheme)
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
        """The hyperparameters that are given: what is neither a parameter nor learnt."""
        own = super().get_params(deep=False)
        return {
            name: value
            for name, value in vars(self).items()
            if name not in own and not name.startswith("_") and not name.endswith("_")
        }

    def _method(self) -> Method:
        """The method with its hyperparameters; their values are checked when it is fitted."""
        given = self._given()
        known = _hyperparameters(self.method)
        if known is None:
            raise ValueError(f"method={self.method!r} is neither a method nor the name of one")
        if wrong := [name for name in given if name not in known]:
            raise ValueError(
                f"the method {self.method!r} has no hyperparameter {wrong[0]!r}"
                f"{nearest(wrong[0], list(known))}"
            )
        if isinstance(self.method, str):
            made: Method = registry.load("methods", self.method)(**given)
            return made
        whole: Method = dataclasses.replace(self.method, **given)
        return whole

    def _seed(self) -> int:
        state = self.random_state
        if isinstance(state, int | np.integer):
            return int(state)
        return int(check_random_state(state).randint(2**31 - 1))


def _hyperparameters(method: Any) -> tuple[str, ...] | None:
    """The names of the hyperparameters of a method, or None if it is none."""
    if isinstance(method, str):
        if method not in registry.names("methods"):
            return None
        method = registry.load("methods", method)
    elif not isinstance(method, Method):
        return None
    return tuple(field.name for field in dataclasses.fields(method))


def _method_of(said: Mapping[str, Any], classifier: Classifier) -> str:
    """The name of the method that made a classifier, as the folder says or by its kind."""
    kind = {"transformer": "finetune"}.get(classifier.kind, classifier.kind)
    known = registry.names("methods")
    return next((name for name in (said.get("method"), kind) if name in known), "finetune")


def _changed(said: Mapping[str, Any], method: str) -> dict[str, Any]:
    """The hyperparameters that a folder tells and that are not at the defaults of the method."""
    told = said.get("hyperparameters")
    if not isinstance(told, Mapping):
        return {}
    fields = dataclasses.fields(registry.load("methods", method))
    values = {
        field.name: tuple(value) if isinstance(value := told[field.name], list) else value
        for field in fields
        if field.name in told
    }
    return {f.name: values[f.name] for f in fields if values.get(f.name, f.default) != f.default}


def _texts(given: Any) -> list[str]:
    try:
        return texts_of(given)
    except DataError as error:
        raise ValueError(str(error)) from None
