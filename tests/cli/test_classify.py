"""`finetext classify`: labels by their names, without labeled rows."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gliclass_models import save_gliclass
from llm_server import LlmServer, Reply, serving, text_of

from finetext.batch.inputs import sample_of
from finetext.core.contracts import Classifier

Command = Callable[..., Any]
NEWS = "text,truth\nThe striker scored,sports\nParliament voted,politics\n,\nA team won,sports\n"


@pytest.fixture
def news(tmp_path: Path) -> Path:
    path = tmp_path / "news.csv"
    path.write_text(NEWS, encoding="utf-8")
    return path


def test_a_text_gets_the_likeliest_label(command: Command) -> None:
    seen = command("classify", "The striker scored twice", "--labels", "politics, sports")
    assert seen.out.startswith("prediction: sports\n")


def test_a_label_in_quotes_may_have_commas(command: Command, tiny_encoder: Path) -> None:
    seen = command("classify", "fresh bread", "--labels", '"bread, fresh", "a ""match""",news',
                   "--encoder", tiny_encoder, "--json")  # fmt: skip
    [row] = json.loads(seen.out)
    names = {name.removeprefix("probability:") for name in row if name.startswith("probability:")}
    assert names == {"bread, fresh", 'a "match"', "news"}


def test_a_file_is_classified_with_all_its_columns(
    command: Command, news: Path, tiny_encoder: Path
) -> None:
    out = news.with_name("out.csv")
    words = ("--labels", "sports,politics", "--encoder", tiny_encoder)
    command("classify", news, *words, "--text", "text", "--out", out)
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert [row["truth"] for row in rows] == ["sports", "politics", "sports"]
    assert {row["prediction"] for row in rows} <= {"sports", "politics"}
    assert "exists" in command("classify", news, *words, "--out", out, status=2).err


def test_the_model_can_be_kept_and_evaluated(
    command: Command, news: Path, tiny_encoder: Path
) -> None:
    model = news.with_name("model")
    words = ("--labels", "sports,politics", "--encoder", tiny_encoder, "--text", "text")
    told = json.loads(command("classify", news, *words, "--save", model, "--json").out)
    again = json.loads(command("predict", model, news, "--json").out)
    assert [row["prediction"] for row in told] == [row["prediction"] for row in again]
    seen = command("evaluate", model, news, "--label", "truth", "--drop-unlabelled", "--json")
    assert json.loads(seen.out)
    assert "learned from texts without labels" in (model / "README.md").read_text(encoding="utf-8")


def test_descriptions_come_from_a_file(command: Command, tmp_path: Path) -> None:
    labels = tmp_path / "labels.toml"
    said = '1 = "football, a match"\n2 = ["parliament", "an election"]\n'
    labels.write_text(said, encoding="utf-8-sig")  # as Windows saves it
    seen = command("classify", "The striker scored twice", "--describe", labels)
    assert seen.out.startswith("prediction: 1\n")
    seen = command("classify", "The minister lost the vote", "--describe", labels,
                   "--labels", "1,2,science")  # fmt: skip
    assert seen.out.startswith("prediction: 2\n")


def test_several_labels_of_standard_input(
    command: Command, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a match\nfresh bread\n")))
    seen = command("classify", "-", "--labels", "bread,match", "--multilabel", "--encoder",
                   tiny_encoder)  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(seen.out)))
    assert [row["text"] for row in rows] == ["a match", "fresh bread"]
    assert {row["prediction"] for row in rows} <= {"bread", "match", ""}


def test_a_model_of_several_text_columns_knows_them(
    command: Command, tiny_encoder: Path, tmp_path: Path
) -> None:
    path, model = tmp_path / "mails.csv", tmp_path / "model"
    path.write_text("title,body\nA match,The team won\nBread,Fresh and warm\n")
    words = ("--labels", "sports,food", "--encoder", tiny_encoder, "--save", model)
    command("classify", path, *words, "--text", "title,body")
    assert len(json.loads(command("predict", model, path, "--json").out)) == 2
    assert Classifier.load(model).scheme.text_columns == ("title", "body")


def test_a_gliclass_model_takes_labels_by_name(
    command: Command, tiny_encoder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("gliclass")
    model, news = save_gliclass(tmp_path / "gli", tiny_encoder), tmp_path / "news.csv"
    news.write_text("text\nA match\nThe team won<<LABEL>>food\n")
    words = ("--encoder", model, "--save", tmp_path / "model")
    several = [f"{one}{two}" for one in "abcde" for two in "vwxyz"]
    err = command("classify", news, "--labels", ",".join(several), *words, status=2).err
    assert "25 labels take 76 of the 64 tokens" in err
    assert not (tmp_path / "model").exists()
    command("classify", news, "--labels", "match,bread", *words, "--out", tmp_path / "out.csv")
    found = json.loads(command("predict", tmp_path / "model", news, "--json").out)
    assert [row["prediction"] for row in found] == [
        row["prediction"] for row in csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text()))
    ]
    err = command("predict", model, "A match", status=2).err
    assert "a GLiClass model: name the labels with finetext classify --labels --encoder" in err
    err = command("export", tmp_path / "model", "--format", "onnx", status=2).err
    assert "a gliclass classifier cannot be exported to ONNX" in err


@pytest.mark.parametrize("source", ["nws.csv", "bad.csv"])
def test_no_model_is_kept_of_what_fails(
    command: Command, tiny_encoder: Path, tmp_path: Path, source: str
) -> None:
    (tmp_path / "bad.csv").write_text("text,note\nA match,1\nBread,2,3,4\n")
    words = ("--labels", "sports,food", "--encoder", tiny_encoder, "--save", tmp_path / "model")
    command("classify", tmp_path / source, *words, "--text", "text", status=2)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "name the labels"),
     (["--labels", "sports"], "needs two or more"),
     (["--labels", "a,a"], "names 'a' twice"),
     (["--labels", "a,,b"], "between commas is empty"),
     (["--labels", '"a"b,c'], "write it as a line of CSV"),
     (["--describe", "empty.toml"], "empty.toml describes no label"),
     (["--labels", "0,1"], "says what the texts are about"),
     (["--describe", "nowhere.toml"], "there is no file nowhere.toml"),
     (["--describe", "bad.toml"], "bad.toml cannot be read"),
     (["--describe", "number.toml"], "needs a text or a list of texts"),
     (["--describe", "good.toml", "--labels", "x,y"], "describes 'sports', which --labels lacks"),
     (["--labels", "x1,y1", "--encoder", "minilmm"], "minilm")],
)  # fmt: skip
def test_what_cannot_be_classified_is_said(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("sports =")
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "number.toml").write_text("sports = 1\npolitics = 2\n")
    (tmp_path / "good.toml").write_text('sports = "a match"\n')
    assert message in command("classify", "The striker scored", *words, status=2).err


def test_a_missing_file_is_said_before_a_model_is_loaded(
    command: Command, tiny_encoder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, broken)
    (broken / "model.safetensors").write_bytes(b"")
    words = ("--labels", "sports,food", "--encoder", broken)
    assert "there is no file gone.csv" in command("classify", "gone.csv", *words, status=2).err
    assert "there is no file gone.csv" in command("predict", "gone", "gone.csv", status=2).err


def test_a_sample_is_drawn_from_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    path.write_text("text\n" + "".join(f"line {number}\n" for number in range(5_000)))
    drawn = [int(text.split()[1]) for text in sample_of(str(path), None, 500, 0)]
    assert len(set(drawn)) == 500
    assert drawn == sorted(drawn)
    assert 2_200 < sum(drawn) / 500 < 2_800
    assert drawn != [int(text.split()[1]) for text in sample_of(str(path), None, 500, 1)]
    assert len(sample_of(str(path), None, 9_000, 0)) == 5_000
    assert sample_of("a text", None, 5, 0) == []


def test_a_language_model_is_asked_instead_if_it_is_named(command: Command, news: Path) -> None:
    with serving() as server:
        words = ("classify", news, "--labels", "sports,politics", "--llm", server.url)
        words += ("--text", "text")
        model = news.with_name("model")
        seen = command(*words, "--llm-model", "toy", "--save", model, "--json", status=0)
        assert len(json.loads(seen.out)) == 3
        assert sorted(server.texts) == ["A team won", "Parliament voted", "The striker scored"]
        again = command("predict", model, news, "--json", status=0)
        assert json.loads(again.out) == json.loads(seen.out)
        assert len(server.requests) == 3
        assert "budget" in command(*words, "--llm-model", "new", "--llm-budget", 5, status=2).err
        assert "exclude" in command(*words, "--encoder", "minilm", status=2).err
        assert "name the endpoint" in command(*words, status=2).err
        assert len(server.requests) == 3


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with serving() as found:
        yield found


def test_answers_that_are_no_label_are_reported(
    command: Command, news: Path, server: LlmServer
) -> None:
    server.script = lambda request: Reply(
        "no idea" if "Parliament" in text_of(request) else "sports"
    )
    words = ("--labels", "sports,politics", "--llm", server.url, "--llm-model", "toy")
    out, model = news.with_name("out.csv"), news.with_name("model")
    how = ("--text", "text", "--out", out, "--save", model)
    err = command("classify", news, *words, *how, status=0).err
    warned = "1 of 3 answers of toy was no label, and counted as"
    assert warned in " ".join(err.split())
    seen = command("predict", model, news, status=0)
    assert warned in " ".join(seen.err.split())
    seen = command("evaluate", model, news, "--label", "truth", "--drop-unlabelled", status=0)
    assert warned in " ".join(seen.err.split())
    assert server.texts.count("Parliament voted") == 3
    assert server.texts.count("The striker scored") == 1


def test_nothing_is_written_where_no_answer_is_a_label(
    command: Command, news: Path, server: LlmServer
) -> None:
    server.script = lambda request: Reply("no idea")
    words = ("--labels", "sports,politics", "--llm", server.url, "--llm-model", "toy")
    out, model = news.with_name("out.csv"), news.with_name("model")
    how = ("--text", "text", "--out", out, "--save", model)
    err = " ".join(command("classify", news, *words, *how, status=2).err.split())
    assert "3 of 3 answers of toy were no label, so nothing is classified" in err
    assert "begins: no idea" in err
    assert not out.exists()
    assert not model.exists()


def test_an_address_without_a_machine_is_refused_before_anything_is_said(
    command: Command, news: Path
) -> None:
    words = ("--labels", "sports,politics", "--llm", "http://", "--llm-model", "toy")
    err = command("classify", news, *words, "--llm-budget", 1, status=2).err
    assert "is no address of an endpoint" in err
    assert "are sent" not in err
