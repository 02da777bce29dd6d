"""The language of a text: named where it is told for sure, else not."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.diagnosis.slicing import NO_LETTERS, NOT_SURE, languages_of, teller

SENTENCES = {
    "en": "I did not feel well yesterday, so I stayed at home.",
    "de": "Gestern ging es mir nicht gut, darum blieb ich zu Hause.",
    "fr": "Hier je ne me sentais pas bien, alors je suis resté à la maison.",
    "es": "Ayer no me sentía bien, así que me quedé en casa.",
    "ru": "Вчера мне было плохо, поэтому я остался дома.",
    "uk": "Вчора мені було погано, тому я залишився вдома.",
    "zh": "我昨天身体不舒服所以留在家里休息。",
    "ja": "昨日は体調が悪かったので、家にいました。",
}


@pytest.fixture
def identifier() -> None:
    pytest.importorskip("py3langid", reason="py3langid is not installed: scripts are told apart")


@pytest.mark.usefixtures("identifier")
def test_languages_are_named_by_their_codes() -> None:
    assert teller() == "py3langid"
    assert dict(zip(SENTENCES, languages_of(list(SENTENCES.values())), strict=True)) == {
        code: code for code in SENTENCES
    }
    assert languages_of([SENTENCES["de"].upper()]) == ["de"]


@pytest.mark.usefixtures("identifier")
def test_what_is_short_or_like_no_language_is_not_named() -> None:
    texts = ["thanks", "I am fine", "haha omg", "xqzt" * 20, "好", "😀 12 !!", "", "\ud800 12"]
    assert languages_of(texts) == [NOT_SURE] * 5 + [NO_LETTERS] * 3


@pytest.mark.usefixtures("identifier")
def test_only_the_beginning_of_a_text_is_looked_at() -> None:
    assert languages_of([SENTENCES["en"] * 20 + SENTENCES["ru"] * 100]) == ["en"]


@pytest.mark.usefixtures("identifier")
def test_threads_can_share_the_model() -> None:
    texts = list(SENTENCES.values()) * 5
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: languages_of(texts), range(8)))
    assert found == [list(SENTENCES) * 5] * 8


@pytest.mark.usefixtures("identifier")
def test_english_tweets_are_told_to_be_english(shared_data: Path) -> None:
    lines = (shared_data / "emotion" / "val.txt").read_text().splitlines()[:500]
    found = languages_of([line.rpartition(";")[0] for line in lines])
    assert found.count("en") > 450
    assert found.count("en") + found.count(NOT_SURE) >= 495


@given(st.lists(st.text(st.characters(), max_size=40), max_size=5))
def test_any_text_has_a_language_of_some_kind(texts: list[str]) -> None:
    found = languages_of(texts)
    assert len(found) == len(texts)
    for text, language in zip(texts, found, strict=True):
        assert (language == NO_LETTERS) == (not any(map(str.isalpha, text)))


def test_scripts_are_told_where_py3langid_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    assert teller() == "script"
    assert languages_of([SENTENCES[code] for code in ("en", "fr", "uk", "zh")] + ["1"]) == [
        "Latin script", "Latin script", "Cyrillic script", "Han script", NO_LETTERS,
    ]  # fmt: skip
