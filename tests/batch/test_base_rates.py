"""Base rates of a file to predict are checked in one pass, and corrected in two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext import Finding, Listener, predict_file
from finetext.batch import output, tables
from finetext.batch.base_rates import BaseRateWatch
from finetext.core.errors import DataError, RecipeError
from finetext.evaluation.base_rates import BaseRateCheck, BaseRates, correct_base_rates
from finetext.models.folder import best_model, record_of, write_record

Command = Callable[..., Any]
EQUAL = BaseRates(200, (0.5, 0.5), (0.5, 0.5), (0.2, 0.2), (0.0142, 0.0142))


@pytest.fixture
def model(finished: Path) -> Path:
    """A run whose best model was right about the shares of 200 validation rows."""
    write_record(best_model(finished), {"base_rates": EQUAL.to_json()})
    return finished


def texts(good: int, bad: int) -> Path:
    words = ["a fine and moving film"] * good + ["a dull and empty film"] * bad
    Path("in.csv").write_text("\n".join(["text", *words]) + "\n")
    return Path("in.csv")


def heard(found: list[Finding]) -> Listener:
    return Listener(finding=found.append)


def test_a_run_records_the_base_rates_of_validation_rows(finished: Path) -> None:
    recorded = BaseRates.from_json(record_of(best_model(finished))["base_rates"])
    assert recorded.rows == 9
    assert sum(recorded.means) == pytest.approx(1)


def test_other_shares_are_a_warning_and_are_corrected_on_request(
    workplace: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS", 7)
    source, found = texts(55, 5), list[Finding]()
    plain = predict_file(model, source, listener=heard(found))
    assert [of.code for of in found] == ["base-rates"]
    assert "have the label 'good', of the held-out rows 50%" in found[0].message
    assert "--correct-base-rates" in found[0].message
    assert not plain.corrected
    assert plain.base_rates is not None
    after = predict_file(model, source, correct_base_rates=True, listener=heard(found))
    assert after.corrected
    assert "were corrected" in found[1].message
    assert plain.table is not None
    assert after.table is not None
    assert plain.base_rates.weights is not None
    classifier = finetext.load(model)
    likely = classifier.predict_proba(["a dull and empty film"])
    wanted = correct_base_rates(likely, plain.base_rates.weights)[0]
    names = [f"probability:{name}" for name in classifier.scheme.names]
    assert [after.table[name][-1] for name in names] == pytest.approx(list(wanted))
    assert after.table["probability:good"][-1] > plain.table["probability:good"][-1]


def test_too_low_probabilities_are_refused_before_anything_is_written(
    command: Command, workplace: Path, model: Path
) -> None:
    low = replace(EQUAL, underconfidence=0.44)
    write_record(best_model(model), {"base_rates": low.to_json()})
    source = texts(55, 5)
    said = command("predict", model, source, status=0).err
    assert "too low by about 44 points on 200 held-out rows" in said
    assert "--correct-base-rates" not in said
    seen = command("predict", model, source, "--out", "out.csv", "--correct-base-rates", status=2)
    assert "too low by about 44 points on 200 held-out rows" in seen.err
    assert "leave out --correct-base-rates" in seen.err
    assert not Path("out.csv").exists()


def test_a_label_that_is_the_likeliest_of_no_text_after_correction_is_named(model: Path) -> None:
    watch = BaseRateWatch(EQUAL, finetext.load(model).scheme)
    watch.through(np.array([[0.45, 0.55]] * 100))
    watch.check = BaseRateCheck(100, 1, weights=(0.4, 1.6))
    assert watch.missed() == [watch.scheme.names[0]]
    watch.check = BaseRateCheck(100, 1, weights=(0.02, 1.98))
    assert watch.missed() == []  # one row is expected to have it


def test_equal_shares_are_no_warning_and_change_nothing(workplace: Path, model: Path) -> None:
    source, found = texts(20, 20), list[Finding]()
    plain = predict_file(model, source, listener=heard(found))
    assert not found
    after = predict_file(model, source, correct_base_rates=True, listener=heard(found))
    assert [of.severity for of in found] == ["note"]
    assert "probabilities are unchanged" in found[0].message
    assert after.table == plain.table
    assert not after.corrected


def test_a_resumed_correction_ends_with_the_same_bytes(
    workplace: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "EVERY", 0.0)
    monkeypatch.setattr(tables, "ROWS", 7)
    source, seen = texts(55, 5), list[Any]()
    quiet = Listener()
    predict_file(model, source, "whole.csv", correct_base_rates=True, listener=quiet)

    def stop(*given: Any) -> None:
        seen.append(given)
        if len(seen) == 3:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"correct_base_rates": True, "listener": quiet}
    with pytest.raises(KeyboardInterrupt):
        predict_file(model, source, "out.csv", each=stop, **options)
    assert predict_file(model, source, "out.csv", resume=True, **options).corrected
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()


def test_models_without_base_rates_are_not_checked_and_cannot_be_corrected(
    workplace: Path, finished: Path
) -> None:
    write_record(best_model(finished), {})
    found = list[Finding]()
    assert predict_file(finished, texts(50, 5), listener=heard(found)).base_rates is None
    assert not found
    with pytest.raises(RecipeError, match="does not say on which base rates"):
        predict_file(finished, "in.csv", correct_base_rates=True)
    with pytest.raises(RecipeError, match="classifier in memory"):
        predict_file(finetext.load(finished), "in.csv", correct_base_rates=True)


@pytest.mark.parametrize(
    ("source", "words"), [("-", "standard input does not allow"), ("a film", "needs many texts")]
)
def test_what_cannot_be_read_twice_is_refused(model: Path, source: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        predict_file(model, source, correct_base_rates=True)


def test_the_command_warns_and_corrects(command: Command, workplace: Path, model: Path) -> None:
    source = texts(55, 5)
    assert "--correct-base-rates" in command("predict", model, source, status=0).err
    seen = command("predict", model, source, "--correct-base-rates", status=0)
    assert "were corrected" in seen.err
    assert "were corrected" not in seen.out


def test_labels_of_several_are_checked_but_not_corrected(workplace: Path) -> None:
    words = ["a fine film", "a dull film", "a fine and dull film", "a film"] * 10
    labels = [["good"], ["bad"], ["good", "bad"], []] * 10
    folder = finetext.fit(words, labels, finetext.Tfidf(inverse_regularisation=1.0)).save("model")
    write_record(folder, {"base_rates": EQUAL.to_json()})
    found = list[Finding]()
    Path("in.csv").write_text("\n".join(["text", *["a fine film"] * 50]) + "\n")
    predict_file(folder, "in.csv", listener=heard(found))
    assert "with several labels per text they cannot be corrected" in found[0].message
    with pytest.raises(RecipeError, match="can have several labels"):
        predict_file(folder, "in.csv", correct_base_rates=True)
