"""The messages on the page Troubleshooting are those that finetext prints."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import ROOT

PAGE = ROOT / "docs" / "how-to" / "troubleshooting.md"
HOME = "/home/jane"
"""What the page writes for the folder in which its commands run."""
COMMANDS = {
    "The file is not there": "train reviws.csv",
    "No column of labels": "train nolabel.csv",
    "Several columns could be the text": "train two_texts.csv",
    "A column is not there": "train reviews.csv --label labl",
    "A line has too many fields": "train ragged.csv",
    "Labels are missing": "train gaps.csv",
    "One class only": "train one.csv",
    "A class is too rare": "train once_mixed.csv --methods tfidf --cross-validate",
    "The encoding is unknown": "train cyrillic.csv",
    "An id occurs twice": "train with_ids.csv --id nr",
    "The file is too large for the memory": "explore reviews.csv --set data.most_bytes=1KB",
    "An unknown option": "train reviews.csv --epoch 3",
    "An unknown hyperparameter": "train reviews.csv --set finetune.epoch=3",
    "An unknown method": "train reviews.csv --methods finetun",
    "An unknown metric": "train reviews.csv --metric f1",
    "An option without an effect": "train reviews.csv --methods tfidf --precision fp16",
    "Zero-shot needs names that say something": "classify 'a film' --labels 0,1",
    "An unknown encoder": "train reviews.csv --encoder distilbert-base-uncasd",
    "Texts are longer than the encoder reads":
        "train reviews.csv --methods finetune --set finetune.max_length=2000",
    "No weights in safetensors": "train reviews.csv --methods finetune --encoder pickled",
    "No GPU": "train reviews.csv --device cuda",
    "The folder is taken": "train reviews.csv --methods tfidf --out runs/reviews",
    "A run folder is not data": "train runs/reviews",
    "Nothing to resume": "train --resume --out runs/none",
    "The output exists": "predict runs/reviews reviews.csv --out p.csv",
    "A text or a file?": "predict runs/reviews nope.csv",
    "No such model": "predict runs/nothing 'a film'",
    "Another suffix is needed": "predict runs/reviews reviews.csv --out p.doc",
    "The data have a label that the model does not know": "evaluate runs/reviews labels2.csv",
    "Predictions need an id and the truth": "compare runs/reviews labels2.csv",
    "Nothing to export": "export runs/reviews/tfidf --out exported",
    "No token of the Hub": "push runs/reviews jane/reviews",
    "One word decides a class": "train reviews.csv --methods majority --cross-validate",
    "A code for no answer is a class": "explore codes.csv",
}  # fmt: skip
"""The command that prints the message below a heading."""
IN_THE_SOURCE = {
    "The encoder is not on this machine",  # needs a network that fails
    "A package for the format is missing",  # they are all installed here
    "The data have changed",  # needs a run that was stopped
    "Another process is writing",  # needs another process
    "Training diverged twice",  # needs a long training
    "The port is taken",  # needs a server
    "The encoder does not know the language",  # needs texts in another language
}
"""Headings of messages that are not provoked here, but in the tests of what prints them."""
VALUES = re.compile(
    r"reading Excel files|openpyxl|pip install \"finetext\[excel\]\"|minilm|English|runs/changed"
    r"|(?= that the run)|(?<=with)(?=\.)"
    r"|google-bert/bert-base-uncased|, and (?=the Hug)|; (?=check the network)|(?<=network)(?=, or)"
)
"""What is put into these messages, and where one ends in another."""


def messages() -> dict[str, str]:
    """The message below each heading."""
    found = re.findall(r"^### ([^\n]+)\n\n```text\n(.*?)\n```$", PAGE.read_text(), re.M | re.S)
    return dict(found)


@cache
def sentences() -> str:
    """All texts in the source, with a mark where a value is put in."""
    found: list[str] = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (of.value if isinstance(of, ast.Constant) else "§" for of in node.values)
                found.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


@pytest.fixture
def files(
    workplace: Path, finished: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The files that the commands speak of, and a run on reviews."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    kinds = ("a fine and moving film", "good"), ("a dull and empty film", "bad")
    rows = [(f"{kinds[n % 3 == 1][0]} number {n}", kinds[n % 3 == 1][1]) for n in range(60)]

    def table(name: str, head: str, cells: Callable[[int, str, str], str], more: str = "") -> None:
        lines = [cells(n, *row) for n, row in enumerate(rows)]
        Path(f"{name}.csv").write_text("\n".join([head, *lines]) + "\n" + more)

    table("reviews", "text,label", lambda n, text, label: f"{text},{label}")
    table("nolabel", "id,text,stars_given", lambda n, text, label: f"{n},{text},{n * 7}")
    table("two_texts", "title,body,label",
          lambda n, text, label: f"{text} as it was,{text} and more words,{label}")  # fmt: skip
    table("ragged", "text,label",
          lambda n, text, label: "fine, but dull,bad" if n == 1 else f"{text},{label}")  # fmt: skip
    table("gaps", "text,label", lambda n, text, label: f"{text},{'' if n < 3 else label}")
    table("one", "text,label", lambda n, text, label: f"{text},good")
    table(
        "once_mixed", "text,label", lambda n, text, label: f"{text},{label}", "an odd film,mixed\n"
    )
    table("with_ids", "nr,text,label", lambda n, text, label: f"{n // 2},{text},{label}")
    table("labels2", "text,label", lambda n, text, label: f"{text},{'great' if n % 2 else 'poor'}")
    table("codes", "text,label", lambda n, text, label: f"{text},{-99 if n < 9 else n % 3}")
    lines = [f"Привет фильм номер {n};{'да' if n % 2 else 'нет'}" for n in range(40)]
    Path("cyrillic.csv").write_text("\n".join(["text;label", *lines]), encoding="cp1251")
    Path("p.csv").write_text("")
    shutil.copytree(finished, Path("runs") / "reviews")
    pickled = shutil.copytree(tiny_encoder, "pickled")
    Path(pickled, "model.safetensors").rename(Path(pickled, "pytorch_model.bin"))
    return workplace


def squeezed(text: str) -> str:
    """Return a text with runs of blanks and line ends as one blank."""
    return " ".join(text.split())


def test_each_message_is_provoked_or_in_the_source() -> None:
    assert messages().keys() == COMMANDS.keys() | IN_THE_SOURCE
    assert not COMMANDS.keys() & IN_THE_SOURCE


@pytest.mark.parametrize("heading", COMMANDS)
def test_the_message_is_the_one_shown(
    heading: str, command: Callable[..., Any], files: Path
) -> None:
    if heading == "The file is not there":  # nor are others that it could mean
        for path in Path().glob("*.csv"):
            if path.name != "reviews.csv":
                path.unlink()
    seen = command(*shlex.split(COMMANDS[heading]))
    is_warning = messages()[heading].startswith("warning") or heading.startswith("A code")
    assert seen.status == (0 if is_warning else 2)
    said = squeezed(f"{seen.out} {seen.err}").replace(str(files), HOME)
    assert squeezed(messages()[heading]) in said


@pytest.mark.parametrize("heading", sorted(IN_THE_SOURCE))
def test_the_message_is_in_the_source(heading: str) -> None:
    message = messages()[heading].removeprefix("finetext: ")
    parts = [part for part in re.split(VALUES, message) if len(part) > 3]
    assert parts
    for part in parts:
        assert part in sentences(), part
