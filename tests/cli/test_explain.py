"""`finetext explain`: of a text, of a file, of a run, and what it refuses."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
TEXT = "a fine and moving film number 3"


@pytest.fixture
def model(finished: Path) -> Path:
    return finished / "tfidf" / "model"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_text_is_shown_with_its_words_marked(command: Command, model: Path) -> None:
    seen = command("explain", model, TEXT, status=0)
    assert "prediction: good" in seen.out
    assert "explained: good, probability 0." in seen.out
    assert "[+fine]" in seen.out
    assert re.search(r"^ +\+\d\.\d{3}  █+ +fine$", seen.out, re.MULTILINE)
    assert "check: without the 1 word with the strongest evidence for it, good loses" in seen.out
    against = command("explain", model, TEXT, "--label", "bad")
    assert "[-fine]" in against.out
    assert "explained: bad" in against.out


def test_a_text_without_known_words(command: Command, model: Path) -> None:
    assert "there is no word" in command("explain", model, "").out
    assert "no word is evidence for good" in command("explain", model, "qwxz").out


def test_a_text_of_no_class_gets_no_label(command: Command, finished: Path) -> None:
    command("decide", finished / "tfidf", "--false-alarms", "0.9", "--out", "strict", status=0)
    command("explain", "strict", "the film", "--page", "page.html", status=0)
    assert "prediction: no label (out of scope)" in command("explain", "strict", "the film").out
    assert "no label (out of scope)</h2>" in Path("page.html").read_text()
    [told] = json.loads(command("explain", "strict", "the film", "--json").out)
    assert (told["predicted"], told["out_of_scope"]) == ([], True)


def test_json_has_everything(command: Command, model: Path) -> None:
    [told] = json.loads(command("explain", model, TEXT, "--json").out)
    assert told["text"] == TEXT
    assert [word["text"] for word in told["words"]] == TEXT.split()
    assert told["base"] + sum(word["attribution"] for word in told["words"]) == pytest.approx(
        told["score"]
    )
    assert {"lost_top", "lost_random", "removed", "way", "predicted", "id"} <= set(told)


def test_a_file_becomes_a_row_a_word(
    command: Command, model: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = command("explain", model, reviews)
    assert printed.status == 0
    rows = rows_of(printed.out)
    assert len({row["id"] for row in rows}) == 60
    assert {row["label"] for row in rows} == {"good", "bad"}
    for name in ("words.csv", "words.jsonl", "words.parquet"):
        assert command("explain", model, reviews, "--out", name).status == 0
    assert rows_of(Path("words.csv").read_text()) == rows
    first = json.loads(Path("words.jsonl").read_text().splitlines()[0])
    assert {name: str(value) for name, value in first.items()} == rows[0]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a fine film\n\n")))
    assert [row["word"] for row in rows_of(command("explain", model, "-").out)] == [
        "a", "fine", "film"
    ]  # fmt: skip


def test_a_page_has_the_words_highlighted(command: Command, model: Path, reviews: Path) -> None:
    seen = command("explain", model, '<b>fine</b> & "dull"', "--page", "one.html")
    assert "prediction" in seen.out
    page = Path("one.html").read_text()
    assert "<b>fine" not in page
    assert "&lt;" in page
    assert re.search(r'class="w for" style="--s: \d+%" title="\+\d', page)
    assert not re.search(r"""(?:src|href)=["']""", page)
    assert command("explain", model, reviews, "--page", "many.html").out == ""
    assert Path("many.html").read_text().count("<article>") == 60


def test_a_run_is_explained_by_its_validation_rows(command: Command, run: Path) -> None:
    told = json.loads(command("explain", run, "--classes", "--json").out)
    assert list(told["words"]) == ["bad", "good"]
    assert json.loads((run / "diagnosis" / "words.json").read_text()) == told
    assert {row["id"] for row in rows_of(command("explain", run).out)}


def test_the_words_of_each_label(command: Command, model: Path, reviews: Path) -> None:
    seen = command("explain", model, reviews, "--classes")
    assert re.search(r"^bad$.*^ +\+\d\.\d{3}  dull  \(20\)$", seen.out, re.MULTILINE | re.DOTALL)
    words = ("explain", model, reviews, "--classes", "--out", "words.csv", "--page", "words.html")
    assert command(*words).out == ""
    rows = rows_of(Path("words.csv").read_text())
    assert {"label", "word", "attribution", "texts"} == set(rows[0])
    assert ("bad", "dull") in {(row["label"], row["word"]) for row in rows}
    assert '<th scope="row">dull</th>' in Path("words.html").read_text()
    told = json.loads(command("explain", model, "bread and salt", "--classes", "--json").out)
    assert told["words"] == {"bad": [], "good": []}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((TEXT, "--label", "god"), "did you mean 'good'?"),
        ((TEXT, "--way", "gradients"), "it is not a transformer"),
        ((TEXT, "--way", "magic"), "use auto, gradients, exact, occlusion"),
        ((TEXT, "--classes", "--label", "good"), "leave --label out"),
        ((TEXT, "--out", "words.xls"), "the suffix must be one of"),
        ((TEXT, "--page", "none/words.html"), "there is no folder none"),
        ((TEXT, "--text", "body"), "this is one text"),
        (("gone.csv",), "there is no file gone.csv"),
        ((), "name a text or a file"),
    ],
)
def test_what_cannot_be_done_is_refused(
    command: Command, model: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in command("explain", model, *words, status=2).err
    assert not list(Path().iterdir())


def test_a_way_can_be_chosen(command: Command, model: Path) -> None:
    assert "by occlusion" in command("explain", model, TEXT, "--way", "occlusion").out


@pytest.mark.parametrize("name", ["words.csv.gz", "words.tsv.gz", "words.jsonl.gz", "WORDS.CSV"])
def test_a_table_has_the_format_of_its_name(
    command: Command, model: Path, reviews: Path, name: str
) -> None:
    plain = name.lower().removesuffix(".gz")
    for more in ([], ["--classes"]):
        for path in (name, f"plain-{plain}"):
            command("explain", model, reviews, "--out", path, "--force", *more, status=0)
        written = Path(name).read_bytes()
        content = gzip.decompress(written) if name.endswith(".gz") else written
        assert content == Path(f"plain-{plain}").read_bytes()
