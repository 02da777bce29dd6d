"""A model of two text columns asks for both at every door, and learns what only the second says."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import finetext
from finetext.core.contracts import FitContext
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.core.text_columns import join
from finetext.models.card import model_card
from finetext.models.folder import read_description
from finetext.sklearn import TextClassifier
from finetext.training.tokens import tokenize

Command = Callable[..., Any]
QUIET = finetext.Listener()
NAMES = ("claim", "finding")
VERBS = {"refuted": ("denies", "doubts"), "supported": ("shows", "proves")}


def rows(count: int) -> list[tuple[str, str, str]]:
    found = []
    for n in range(count):
        label = list(VERBS)[n % 2]
        first, second = (
            f"Claim number {n // 2} on bread",
            f"Paper {n} {VERBS[label][n // 2 % 2]} it",
        )
        found.append((first, second, label))
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    pandas.DataFrame(rows(60), columns=[*NAMES, "verdict"]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def run(table: Path) -> Path:
    finetext.train(
        table, ["tfidf"], read=ReadSettings(text=NAMES), out=table.parent / "run", listener=QUIET
    )
    return table.parent / "run"


@pytest.fixture(scope="module")
def model(run: Path) -> finetext.Classifier:
    return finetext.load(run / "tfidf")


def test_what_only_the_second_text_says_is_learned(model: finetext.Classifier) -> None:
    pairs = [("A claim on bread", "Paper 7 denies it"), ("A claim on bread", "Paper 7 proves it")]
    assert model.predict(pairs) == ["refuted", "supported"]
    assert model.predict([dict(zip(NAMES, pair, strict=True)) for pair in pairs]) == list(VERBS)
    assert model.predict(pandas.DataFrame(pairs, columns=list(NAMES))) == list(VERBS)
    assert model({"text": pairs[0][0], "text_pair": pairs[0][1]}) == model(pairs[0])
    with pytest.raises(DataError, match=r"reads 2 texts \(claim, finding\)"):
        model("Paper 7 denies it")


def test_words_of_both_columns_are_features(model: Any) -> None:
    assert {"claim", "denies", "proves"} <= set(model.vectorizer.vocabulary_)
    assert not any("\x1f" in term for term in model.vectorizer.vocabulary_)


def test_the_model_folder_names_the_columns(run: Path) -> None:
    described = read_description(run / "tfidf" / "model")
    assert described["text_columns"] == list(NAMES)
    card = model_card(described)
    assert "the texts of 2 columns, in this order: claim, finding" in card
    assert 'classifier({"claim": "A text to be labeled", "finding": "Another text"})' in card


def test_every_door_reads_both_columns(command: Command, run: Path, table: Path) -> None:
    text = json.dumps(dict(zip(NAMES, ("A claim", "Paper 1 denies it"), strict=True)))
    assert "prediction: refuted" in command("predict", run / "tfidf", text).out
    assert "refuted" in command("plot", run / "tfidf", text).out
    explained = json.loads(command("explain", run / "tfidf", text, "--json").out)[0]
    assert max(explained["words"], key=lambda word: word["attribution"])["text"] == "denies"
    scores = json.loads(command("evaluate", run / "tfidf", table, "--json").out)
    assert scores["metrics"]["accuracy"]["value"] == 1.0
    out = table.parent / "out.csv"
    assert command("predict", run / "tfidf", table, "--out", out).status == 0
    predicted = pandas.read_csv(out)
    assert list(predicted["prediction"]) == list(predicted["verdict"])
    assert list(predicted.columns[1:4]) == [*NAMES, "verdict"]


def test_every_door_reads_the_one_column_that_was_named(command: Command, table: Path) -> None:
    folder = table.parent / "one"
    words = ("--methods", "tfidf", "--set", "tfidf.inverse_regularisation=1.0")
    command("train", table, "--text", "finding", *words, "--out", folder, status=0)
    told = "text 'finding' (the column of training)"
    scores = command("evaluate", folder, table, "--json", status=0)
    assert json.loads(scores.out)["metrics"]["accuracy"]["value"] == 1.0
    for line in (("predict", folder, table), ("evaluate", folder, table)):
        assert told in command(*line, status=0).err
    assert told in command("explain", folder, table, "--out", "words.csv", status=0).err
    assert told in command("map", folder / "tfidf", table, status=0).err
    found = finetext.predict_file(folder, table, listener=QUIET).table
    assert found is not None
    assert found["prediction"] == found["verdict"]
    named = finetext.predict_file(folder, table, read={"text": "claim"}, listener=QUIET).table
    assert named is not None
    assert named["prediction"] != named["verdict"]
    assert "finding" in command("info", folder / "tfidf" / "model", status=0).out
    assert finetext.load(folder).scheme.text_column == "finding"


def test_data_passed_in_python_keep_the_name_of_their_column(table: Path, tmp_path: Path) -> None:
    rows = finetext.read(table, text="finding")
    first = finetext.train(rows, ["tfidf"], out=tmp_path / "first", listener=QUIET)
    recipe = finetext.Recipe.from_file(first.folder / "recipe.toml")
    second = finetext.train(recipe, out=tmp_path / "second", listener=QUIET)
    for run in (first, second):
        assert run.classifier("tfidf").scheme.text_column == "finding"
    assert second.rows(split="test").texts == first.rows(split="test").texts


def test_the_server_starts_and_says_how_to_ask_for_both(
    command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped:
        force_exit = False

        def run(self, sockets: Any) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("finetext.serving.server.make_server", lambda app, settings: Stopped())
    done = command("serve", run / "tfidf", "--port", "0", status=0)
    assert """-d '{"inputs": {"claim": "...", "finding": "..."}}'""" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Paper 7 denies it"], 'write {"claim": "...", "finding": "..."}, or name a file'),
        (["TABLE", "--text", "finding"], "joins the texts of 2 columns (claim,finding)"),
        (["OTHER"], "has no column 'finding'"),
    ],
)
def test_too_few_texts_are_refused(
    command: Command, run: Path, table: Path, arguments: list[str], words: str
) -> None:
    other = table.parent / "other.csv"
    other.write_text("claim,verdict\nA claim on bread,refuted\n")
    places = {"TABLE": str(table), "OTHER": str(other)}
    done = command("predict", run / "tfidf", *[places.get(one, one) for one in arguments])
    assert done.status == 2
    assert words in done.err


def test_other_columns_of_as_many_texts_are_read(command: Command, run: Path, table: Path) -> None:
    other = table.parent / "renamed.csv"
    other.write_text("b,a\nPaper 1 denies it,A claim on bread\n")
    done = command("predict", run / "tfidf", other, "--text", "a,b", "--json")
    assert json.loads(done.out)[0]["prediction"] == "refuted"


def test_lines_of_standard_input_are_json(
    command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps(["A claim", "Paper 1 denies it"]), "", "one text", json.dumps({"claim": 1})]

    def give() -> None:
        stream = io.TextIOWrapper(io.BytesIO("\n".join(lines).encode()))
        monkeypatch.setattr(sys, "stdin", stream)

    give()
    refused = command("predict", run / "tfidf", "-")
    assert (refused.status, "standard input, line 3: the text is" in refused.err) == (2, True)
    give()
    rejected = tmp_path / "rejected.jsonl"
    done = command("predict", run / "tfidf", "-", "--json", "--set-aside", rejected)
    assert [row["prediction"] for row in json.loads(done.out)] == ["refuted"]
    assert [json.loads(line)["line"] for line in rejected.read_text().splitlines()] == [3, 4]


def test_data_passed_in_python_are_kept_with_both_columns(tmp_path: Path) -> None:
    frame = pandas.DataFrame(rows(40), columns=[*NAMES, "label"])
    settings = ReadSettings(text=NAMES)
    first = finetext.train(frame, ["tfidf"], read=settings, out=tmp_path / "one", listener=QUIET)
    recipe = finetext.Recipe.from_file(first.folder / "recipe.toml")
    assert recipe.read.text == NAMES
    kept = finetext.read(first.folder / "data.parquet", settings=recipe.read)
    assert kept.texts == finetext.read(frame, settings=settings).texts
    second = finetext.train(recipe, out=tmp_path / "two", listener=QUIET)
    assert "data-changed" not in {finding.code for finding in second.findings}
    assert second.classifier("tfidf").scheme.text_columns == NAMES
    probabilities = [run.predictions("tfidf").probabilities for run in (first, second)]
    np.testing.assert_array_equal(*probabilities)


def test_the_estimator_joins_columns_of_a_frame(tmp_path: Path) -> None:
    frame = pandas.DataFrame(rows(40), columns=[*NAMES, "label"])
    estimator = TextClassifier("tfidf", text_columns=NAMES).fit(frame[[*NAMES]], frame["label"])
    assert estimator.score(frame, frame["label"]) == 1.0
    pairs = [row[:2] for row in rows(40)]
    np.testing.assert_array_equal(estimator.predict(pairs), estimator.predict(frame))
    loaded = TextClassifier.load(estimator.save(tmp_path / "model"))
    assert loaded.get_params()["text_columns"] == NAMES
    np.testing.assert_array_equal(loaded.predict(frame), estimator.predict(frame))
    with pytest.raises(ValueError, match="the model reads 2 texts"):
        estimator.predict(["one text"])


def test_an_encoder_reads_pairs_in_their_order_and_so_do_its_exports(
    tiny_encoder: Path, table: Path, tmp_path: Path
) -> None:
    method = finetext.Finetune(
        encoder=str(tiny_encoder), epochs=6, batch_size=8, learning_rate=3e-3, max_length=24
    )
    data = finetext.read(table, settings=ReadSettings(text=NAMES))
    fitted: Any = method.fit(data, data, FitContext(device="cpu"))
    assert np.mean(np.array(fitted.predict(data.texts)) == np.array(data.labels)) > 0.9
    pair = ("A claim on bread", "Paper 1 denies it")
    turned, one_text = fitted.predict_proba([pair[::-1]]), fitted.predict_proba([pair])
    assert np.abs(turned - one_text).max() > 1e-6
    kinds = tokenize(fitted.tokenizer, [join(pair)], 24).batch([0])["token_type_ids"]
    assert set(kinds[0].tolist()) == {0, 1}
    folder = fitted.save(tmp_path / "model")
    onnx = finetext.export(folder, "onnx", tmp_path / "onnx", data=table)
    exported = finetext.load(onnx.folder)
    assert exported.scheme.text_columns == NAMES
    np.testing.assert_allclose(
        exported.predict_proba(data.texts), fitted.predict_proba(data.texts), atol=1e-4
    )
    explained = finetext.explain(fitted, join(pair))
    assert [word.text for word in explained.words] == " ".join(pair).split()
