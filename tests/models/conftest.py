"""Fixtures on model folders, exports and the Hub."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_hub import TOKEN, Hub, serving

from finetext.core.contracts import FitContext
from finetext.core.types import Dataset
from finetext.methods.tfidf import Tfidf, TfidfClassifier

TOPICS = {
    "sport": ("the team won the match", "a late goal in the final game", "the coach and her team"),
    "money": ("the bank raised its rates", "shares fell on the market", "a loan from the bank"),
    "food": ("soup with bread and salt", "the cook baked a cake", "a recipe for fresh bread"),
}
ABSENT = """\
from importlib.machinery import PathFinder
_find = PathFinder.find_spec
def _unless_absent(name, path=None, target=None):
    return None if name.partition(".")[0] in {names} else _find(name, path, target)
PathFinder.find_spec = staticmethod(_unless_absent)
"""
WORDS = ("today", "once again", "in the morning", "at last", "as ever", "for all to see", "")


@pytest.fixture(scope="session")
def tfidf(topics: Dataset) -> TfidfClassifier:
    """A small classifier. Not to be changed."""
    return Tfidf(inverse_regularisation=1.0).fit(topics, topics, FitContext())


@pytest.fixture
def folder(tmp_path: Path, tfidf: TfidfClassifier) -> Path:
    """A model folder of its own for each test."""
    return tfidf.save(tmp_path / "m")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on loopback, which the real client talks to, with an empty cache and Jane's token."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    with serving() as found:
        template = f"{found.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        close_session()
        yield found
        close_session()


@pytest.fixture(scope="session")
def topic_rows() -> tuple[list[str], list[str]]:
    """63 short texts and their topics."""
    rows = [
        (f"{text} {word}".strip(), topic)
        for word in WORDS
        for topic, texts in TOPICS.items()
        for text in texts
    ]
    return [text for text, _ in rows], [topic for _, topic in rows]


@pytest.fixture(scope="session")
def encoder_run(
    tiny_encoder: Path,
    topic_rows: tuple[list[str], list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A finished run of majority, tfidf, probe and finetune on a file. Not to be changed.

    They learned from training rows alone, so exports are scored on validation rows.
    """
    import finetext
    from finetext import Finetune, Probe, Recipe

    folder = tmp_path_factory.mktemp("encoder-run")
    rows = [f"{text},{label}" for text, label in zip(*topic_rows, strict=True)]
    (folder / "topics.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    name = str(tiny_encoder)
    methods = {
        "probe": Probe(encoder=name, inverse_regularisation=1.0),
        "finetune": Finetune(encoder=name, epochs=8, batch_size=8, learning_rate=3e-3),
    }
    recipe = Recipe(source=str(folder / "topics.csv"), methods=methods, refit=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINETEXT_CACHE", str(folder / "cache"))
        finetext.train(recipe, out=folder / "run")
    return folder / "run"


@pytest.fixture(scope="session")
def onnx_model(encoder_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an ONNX export of `finetune`. Not to be changed."""
    pytest.importorskip("onnxscript")
    import finetext

    place = tmp_path_factory.mktemp("exports") / "onnx"
    return finetext.export(encoder_run / "finetune", "onnx", place).folder


@pytest.fixture(scope="session")
def static_model(encoder_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a static export of `finetune`. Not to be changed."""
    import finetext

    place = tmp_path_factory.mktemp("exports") / "static"
    return finetext.export(encoder_run / "finetune", "static", place).folder


@pytest.fixture(scope="session")
def snippet_of() -> Callable[[Path], str]:
    """A function that takes the program for NumPy out of the model card of a folder."""
    import re

    def take(folder: Path) -> str:
        text = (folder / "README.md").read_text(encoding="utf-8")
        blocks: list[Any] = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        return str(next(block for block in blocks if "import numpy" in block))

    return take


@pytest.fixture(scope="session")
def without() -> Callable[[tuple[str, ...], str, Path], str]:
    """A function that runs a program in a folder as if some packages were not installed.

    It gives what the program prints.
    """

    def run(names: tuple[str, ...], program: str, folder: Path) -> str:
        code = ABSENT.format(names=repr(names)) + program
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
