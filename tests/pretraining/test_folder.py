"""What an encoder folder tells of its origin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from finetext.core.errors import ModelError
from finetext.pretraining.folder import (
    CORPUS,
    LAST,
    Origin,
    is_finished,
    read_origin,
    text_hashes,
    texts_in_corpus,
    workplace,
    write_corpus_hashes,
    write_origin,
)
from finetext.pretraining.folder import (
    ORIGIN as ORIGIN_FILE,
)

ORIGIN = Origin(
    kind="adapted",
    base="minilm",
    corpus={"documents": 3, "excluded": {"test": 2}},
    seconds=1.5,
    before={"loss": 3.0},
    after={"loss": 2.0},
    settings={"epochs": 1, "patience": None},
    seed=3,
    versions={"torch": "2"},
    head_is_fresh=True,
)


def test_an_origin_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_origin(tmp_path) is None
    assert read_origin(tmp_path / "nothing") is None
    write_origin(tmp_path, ORIGIN)
    assert read_origin(str(tmp_path)) == ORIGIN


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format_version": 1, "kind": "adapted"}'])
def test_damaged_records_are_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "origin.json").write_text(text)
    with pytest.raises(ModelError, match=r"origin\.json is damaged"):
        read_origin(tmp_path)
    (tmp_path / "corpus.npy").write_text(text)
    with pytest.raises(ModelError, match=r"corpus\.npy is damaged"):
        texts_in_corpus(tmp_path, ["one"])


def test_origin_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    write_origin(tmp_path, ORIGIN)
    values = json.loads((tmp_path / "origin.json").read_text())
    (tmp_path / "origin.json").write_text(json.dumps(values | {"format_version": 9, "more": 1}))
    with pytest.raises(ModelError, match="format version 9"):
        read_origin(tmp_path)


def test_texts_of_the_corpus_are_counted_spaces_aside(tmp_path: Path) -> None:
    assert texts_in_corpus(tmp_path, ["one"]) == 0
    write_corpus_hashes(tmp_path, ["one two", "three", "three", "\ud800"])
    assert texts_in_corpus(tmp_path, [" one\n two", "One two", "three", "three", "four"]) == 3
    kept = np.load(tmp_path / "corpus.npy", allow_pickle=False)
    assert kept.dtype == np.uint64
    assert kept.tolist() == sorted(set(text_hashes(["one two", "three", "\ud800"]).tolist()))


@pytest.mark.slow
def test_an_encoder_is_finished_or_resumed_after_a_kill_at_every_system_call(
    tmp_path: Path, killed_at: Callable[[int, Callable[[], None]], bool]
) -> None:
    names = {CORPUS, LAST, ORIGIN_FILE, "model.safetensors"}

    def make(out: Path) -> None:
        with workplace(out, True, {}) as place, place.result() as result:
            for name in sorted(names):
                (result / name).write_text(name)

    number, is_done, seen = 0, False, set[bool]()
    while not is_done:
        number += 1
        out = tmp_path / str(number)
        is_done = killed_at(number, lambda out=out: make(out))
        seen.add(was_finished := is_finished(out))
        if not was_finished:
            make(out)
        content = {path.name: path.read_text() for path in out.iterdir() if path.is_file()}
        content.pop(".lock", None)
        assert content == {name: name for name in names}, number
    assert seen == {False, True}
