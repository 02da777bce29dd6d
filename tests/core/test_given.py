"""Texts in any form that Python users have them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from finetext.core.contracts import Classifier
from finetext.core.decision import AS_LIKELY
from finetext.core.errors import DataError
from finetext.core.text_columns import texts_of
from finetext.core.types import LabelScheme
from finetext.methods.majority import MajorityClassifier


class Noting(Classifier):
    """Says of a letter its number; notes what it is given."""

    kind = "noting"
    scheme = LabelScheme(("no", "yes"))
    decision = AS_LIKELY
    save_weights = load_weights = with_temperature = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def predict_proba(self, texts: Any) -> Any:
        self.seen.append(texts)
        own = np.array([ord(text) / 100 if text else 0.5 for text in texts])
        return np.stack([1 - own, own], axis=1)


TEXTS = ["a fine film", "", "ein schöner Film"]


def forms() -> dict[str, Any]:
    import datasets
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    return {
        "list": TEXTS,
        "tuple": tuple(TEXTS),
        "generator": (text for text in TEXTS),
        "array": np.array(TEXTS),
        "objects": np.array(TEXTS, dtype=object),
        "strings of numpy": [np.str_(text) for text in TEXTS],
        "pandas": pd.Series(TEXTS, index=[7, 3, 3]),
        "pandas object": pd.Series(TEXTS, dtype=object),
        "polars": pl.Series(TEXTS),
        "arrow": pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
        "datasets": datasets.Dataset.from_dict({"text": TEXTS})["text"],
        "keys": dict.fromkeys(TEXTS).keys(),
    }


@pytest.mark.parametrize("form", forms())
def test_any_column_or_iterable_of_strings_is_taken(form: str) -> None:
    found = texts_of(forms()[form])
    assert found == TEXTS
    assert set(map(type, found)) == {str}


def wrong() -> dict[str, tuple[Callable[[], Any], str]]:
    import pandas as pd

    nan = float("nan")
    return {
        "one text": (lambda: "a fine film", "must be a list, not the single text"),
        "bytes": (lambda: b"a", "must be a list"),
        "number": (lambda: ["a", 5], "text 1, counted from 0, is 5, not a string"),
        "missing": (lambda: ["a", "b", None], "text 2, counted from 0, is None"),
        "nan": (lambda: pd.Series(["a", nan]), "text 1, counted from 0, is nan"),
        "frame": (lambda: pd.DataFrame({"text": ["a"]}), "not a DataFrame. Pass one column"),
        "mapping": (lambda: {"text": ["a"]}, "not a dict"),
        "set": (lambda: {"a", "b"}, "not a set"),
        "two dimensions": (lambda: np.array([["a", "b"]]), r"not the shape \(1, 2\)"),
        "a scalar array": (lambda: np.array("a"), r"not the shape \(\)"),
        "nested": (lambda: [["a"]], "Pass one column"),
        "nothing": (lambda: None, "not None"),
    }


@pytest.mark.parametrize("case", wrong())
def test_what_is_no_list_of_strings_is_refused_by_position(case: str) -> None:
    make, said = wrong()[case]
    with pytest.raises(DataError, match=said):
        texts_of(make())


@pytest.fixture
def classifier() -> MajorityClassifier:
    return MajorityClassifier(LabelScheme(("b", "a")), AS_LIKELY, np.array([0.25, 0.75]))


@pytest.mark.parametrize("name", ["predict", "predict_proba", "logits"])
def test_every_classifier_takes_every_form(classifier: MajorityClassifier, name: str) -> None:
    method = getattr(classifier, name)
    expected = method(TEXTS)
    for form, given in forms().items():
        np.testing.assert_array_equal(method(given), expected, err_msg=form)
    with pytest.raises(DataError, match="Put it in brackets"):
        method("a fine film")
    assert len(method([])) == 0


def test_one_text_is_called_for_its_probabilities(classifier: MajorityClassifier) -> None:
    assert classifier("any text") == {"a": 0.75, "b": 0.25}
    with pytest.raises(DataError, match="one text, not list; predict_proba takes several"):
        classifier(TEXTS)  # type: ignore[arg-type]


def test_a_text_that_repeats_is_predicted_once() -> None:
    texts = ["b", "a", "b", "", "a", "c"]
    model = Noting()
    assert model.predict_proba(texts)[:, 1].tolist() == [0.98, 0.97, 0.98, 0.5, 0.97, 0.99]
    assert model.seen == [["b", "a", "", "c"]]
    assert model.logits(tuple(texts)).shape == (6, 2)
    assert model.predict_proba([]).shape == (0, 2)
    model.seen.clear()
    model.predict_proba(["b", "a"])
    assert model.seen == [["b", "a"]]
