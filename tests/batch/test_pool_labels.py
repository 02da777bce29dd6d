"""The labels of a pool: kept in the cache as they come, and never asked for twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetext.batch.pool_labels import FOLDER, labels_of, read_pool
from finetext.core.arrays import Floats
from finetext.core.contracts import FitContext, Listener
from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.tfidf import Tfidf, TfidfClassifier

SCHEME = LabelScheme(("food", "money", "sport"))


@pytest.fixture
def teacher(topics: Dataset, workplace: Path) -> str:
    """A saved model that abstains where it knows no word."""
    fitted = Tfidf(inverse_regularisation=10.0).fit(topics, topics.select([]), FitContext())
    rule = Decision(least=(0.4,) * 3)
    return str(fitted.with_decision(rule).save(workplace / "teacher"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts the teacher was given at a time."""
    numbers: list[int] = []
    real = TfidfClassifier.predict_proba

    def counting(self: TfidfClassifier, texts: Sequence[str]) -> Floats:
        numbers.append(len(texts))
        return real(self, texts)

    monkeypatch.setattr(TfidfClassifier, "predict_proba", counting)
    return numbers


def pool(texts: Any, **settings: Any) -> Dataset:
    return read_pool(texts, ReadSettings(**settings), SCHEME, Listener())


def test_texts_get_the_labels_of_the_teacher_once(teacher: str, asked: list[int]) -> None:
    texts = pool(["fresh bread", "the final match", "", "qqq", "line\nbreak of a bank \ud83d"])
    said: list[str] = []
    hears = Listener(say=said.append)
    found = labels_of(teacher, texts, SCHEME, "cpu", hears)
    assert found.labels == ["food", "sport", None, "money"]
    assert found.ids == ["1", "2", "4", "5"]
    assert found.confidence.shape == (4,)
    assert (found.confidence > 1 / 3).all()
    assert asked == [4]
    again = labels_of(teacher, texts, SCHEME, "cpu", hears)
    assert asked == [4]
    assert (again.labels, again.sha256) == (found.labels, found.sha256)
    assert said == [
        "the teacher labels 4 texts", "the labels of 4 texts by this teacher are in the cache",
    ]  # fmt: skip
    labels_of(teacher, texts.select([0]), SCHEME, "cpu", hears)
    assert asked == [4, 1]


def test_a_stopped_teacher_continues(
    teacher: str, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.batch.tables.ROWS", 10)
    monkeypatch.setattr("finetext.batch.output.EVERY", 0.0)
    texts = pool([f"fresh bread {number}" for number in range(35)])
    real = TfidfClassifier.predict_proba

    def stopping(self: TfidfClassifier, given: Sequence[str]) -> Floats:
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(self, given)

    with monkeypatch.context() as patch:
        patch.setattr(TfidfClassifier, "predict_proba", stopping)
        with pytest.raises(KeyboardInterrupt, match="the same command continues with the others"):
            labels_of(teacher, texts, SCHEME, "cpu", Listener())
    assert asked == [10, 10]
    found = labels_of(teacher, texts, SCHEME, "cpu", Listener())
    assert asked == [10, 10, 10, 5]
    assert found.labels == ["food"] * 35


def test_damage_in_the_cache_is_said(teacher: str, workplace: Path) -> None:
    texts = pool(["fresh bread", "the final match"])
    labels_of(teacher, texts, SCHEME, "cpu", Listener())
    (path,) = (workplace.parent / "cache" / FOLDER).glob("*/labels.jsonl")
    path.write_text(path.read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    with pytest.raises(DataError, match=r"labels\.jsonl is damaged: delete it"):
        labels_of(teacher, texts, SCHEME, "cpu", Listener())


def test_labels_of_the_pool_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "pool.csv"
    path.write_text("text,label\nfresh bread,sport\nthe final match,food\n \t,food\n")
    said: list[str] = []
    settings = ReadSettings(label="nothere", missing="food", positive="x")
    found = read_pool(str(path), settings, SCHEME, Listener(say=said.append))
    assert found.texts == ["fresh bread", "the final match"]
    assert said[-1].startswith("note: the pool has labels, which are ignored")


def test_the_pool_is_read_as_the_settings_say() -> None:
    """The port is closed: an address that is allowed is tried."""
    messages = []
    for allowed in (False, True):
        settings = ReadSettings(private_addresses=allowed, label="kind", out_of_scope="oos")
        with pytest.raises(DataError) as error:
            read_pool("http://127.0.0.1:9/pool.csv", settings, SCHEME, Listener())
        messages.append("private" in str(error.value))
    assert messages == [True, False]


def test_a_teacher_of_several_columns_reads_them(topics: Dataset, workplace: Path) -> None:
    scheme = LabelScheme(SCHEME.names, text_columns=("title", "body"))
    fitted = Tfidf(inverse_regularisation=1.0).fit(topics, topics.select([]), FitContext())
    teacher = replace(fitted, scheme=scheme).save(workplace / "teacher")
    path = workplace / "pool.csv"
    path.write_text("title,body\nBread,with salt\nThe match,a late goal\n,a loan\n")
    texts = read_pool(str(path), ReadSettings(), scheme, Listener())
    found = labels_of(str(teacher), texts, scheme, "cpu", Listener())
    assert found.labels == ["food", "sport", "money"]


@pytest.mark.parametrize("texts", [["", " \n"], []])
def test_an_empty_pool_is_refused(texts: list[str]) -> None:
    with pytest.raises(DataError, match=r"blank|empty"):
        pool(texts)
