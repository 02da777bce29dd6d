"""finetext as an estimator of scikit-learn, for its pipelines, searches and cross-validation.

from finetext.sklearn import TextClassifier
from sklearn.model_selection import GridSearchCV

search = GridSearchCV(TextClassifier("finetune", epochs=2), {"learning_rate": [5e-5, 1e-4]})
search.fit(texts, labels)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from finetext import registry
from finetext.errors import DataError, ModelError, nearest
from finetext.given import texts_of
from finetext.methods.base import Classifier, Method
from finetext.targets import Targets, from_lists
from finetext.types import Floats


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
        from finetext.fitting import fit_rows

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
        from finetext.artefact.folder import save_model
        from finetext.recipe import Recipe, hyperparameters

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
        from finetext.artefact.folder import provenance
        from finetext.artefact.hub import model_folder
        from finetext.artefact.staging import best_model

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
