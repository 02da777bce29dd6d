"""How much of its texts a classifier reads, and where that stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from finetext.core.contracts import Classifier, FitContext
from finetext.core.types import Dataset
from finetext.diagnosis.reading import ReadText, read_text, texts_read
from finetext.evaluation.leaderboard import TextsRead
from finetext.methods.probe import Probe
from finetext.methods.tfidf import Tfidf

Engines = dict[str, tuple[Classifier, Classifier]]


def test_parts_are_joined_by_a_space_and_found_again() -> None:
    text = "one two-three four five"
    read = ReadText.of(text, [(0, 5), (19, 23)])
    assert (read.text, read.unread) == ("one t five", 4)
    assert [text[slice(*read.place(span))] for span in ((0, 3), (4, 5), (6, 10))] == [
        "one", "t", "five",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="outside"):
        read.place((8, 12))


def test_shares_are_of_the_tokens_of_a_text(tiny_encoder: Path, topics: Dataset) -> None:
    context = FitContext(device="cpu")
    probe = Probe(encoder=str(tiny_encoder), max_length=10, inverse_regularisation=1.0)
    fitted = probe.fit(topics, topics, context)
    texts = ["bread " * 3, "bread " * 8, "bread " * 18, ""]  # 5, 10, 20 and 2 tokens
    assert texts_read(fitted, texts) == TextsRead(4, 1, (1 + 1 + 0.5 + 1) / 4)
    assert texts_read(fitted, []) is None
    whole = replace(fitted, encoder=replace(fitted.encoder, in_windows=True))
    assert texts_read(whole, texts) == TextsRead(4, 0, 1.0)
    assert texts_read(Tfidf(inverse_regularisation=1.0).fit(topics, topics, context), texts) is None


@pytest.mark.parametrize("kind", ["transformer", "probe", "blend", "cascade"])
def test_every_engine_reads_the_same(kind: str, engines: Engines) -> None:
    texts = ["bread " * 3, "bread " * 30, ""]
    torch, onnx = engines[kind]
    assert texts_read(onnx, texts) == texts_read(torch, texts)
    assert read_text(onnx, texts[1]) == read_text(torch, texts[1])
    is_cut = read_text(onnx, texts[1]).unread > 0
    assert is_cut == (kind == "transformer")


def test_less_than_all_is_never_called_all() -> None:
    assert TextsRead(9, 0, 1.0).words("test text") == "reads every test text whole"
    assert TextsRead(9_000, 1, 0.99999).words() == (
        "reads 99.9% of a text on average; 1 of 9,000 are longer than it takes"
    )
