"""The language of texts is identified, and an encoder of other languages is warned of."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetext.data.read import read
from finetext.diagnosis.data_checks import Material, check
from finetext.diagnosis.languages import (
    NO_LETTERS,
    NOT_SURE,
    language_findings,
    language_mismatch,
    languages_in,
    languages_of,
)
from finetext.encoders.catalogue import ENTRIES, is_alias, language_name

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


def test_languages_have_their_codes() -> None:
    texts = list(SENTENCES.values())
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: languages_of(texts), range(8))) == [list(SENTENCES)] * 8
    assert languages_of([SENTENCES["de"].upper()]) == ["de"]
    assert languages_of([SENTENCES["en"] * 20 + SENTENCES["ru"] * 100]) == ["en"]


def test_short_texts_have_no_language() -> None:
    texts = ["thanks", "I am fine", "haha omg", "xqzt" * 20, "好", "😀 12 !!", "", "\ud800 12"]
    assert languages_of(texts) == [NOT_SURE] * 5 + [NO_LETTERS] * 3


def test_english_tweets_are_english(shared_data: Path) -> None:
    lines = (shared_data / "emotion" / "val.txt").read_text().splitlines()[:500]
    found = languages_of([line.rpartition(";")[0] for line in lines])
    assert found.count("en") > 450
    assert found.count("en") + found.count(NOT_SURE) >= 495


@given(st.lists(st.text(st.characters(), max_size=40), max_size=5))
def test_any_text_can_be_identified(texts: list[str]) -> None:
    found = languages_of(texts)
    assert len(found) == len(texts)
    for text, language in zip(texts, found, strict=True):
        assert (language == NO_LETTERS) == (not any(map(str.isalpha, text)))


GERMAN = [
    "Der Film war wirklich sehr schön und rührend.",
    "Die Bedienung war unfreundlich und das Essen kalt.",
    "Wir haben lange auf unser Zimmer gewartet.",
    "Am Ende hat mir das Buch doch noch gefallen.",
]
FRENCH = [
    "Le film était vraiment très beau et émouvant.",
    "Le service était désagréable et la nourriture froide.",
    "Nous avons attendu longtemps notre chambre.",
    "À la fin, le livre m'a quand même plu.",
]
ENGLISH = [
    "The film was really beautiful and moving.",
    "The service was rude and the food was cold.",
    "We waited a long time for our room.",
    "In the end I did like the book after all.",
]


def messages(texts: list[str], *encoders: str) -> list[str]:
    return [one.message for one in language_findings(languages_in(texts), encoders or ["minilm"])]


def test_texts_of_another_language_are_warned_of_with_encoders_for_it() -> None:
    [german] = messages(GERMAN * 20)
    assert german.startswith(
        "The texts are German (80 of 80 sampled); the encoder minilm was trained on English. Take "
        "one for many languages: --encoder multilingual-e5-small (470.8 MB), or one for German: "
        "--encoder gbert (439.6 MB)."
    )
    [french] = messages(FRENCH * 20, "sentence-transformers/all-MiniLM-L6-v2")
    assert "--encoder camembert" in french
    assert "gbert" not in french
    for word in german.replace(",", "").split("--encoder ")[1:]:
        assert is_alias(word.split()[0])


def test_for_zero_shot_only_encoders_that_compare_texts_are_recommended() -> None:
    counts = Counter({"de": 100})
    [said] = [of.message for of in language_findings(counts, ["minilm"], "zero-shot")]
    assert "; the encoder minilm was trained on English. Take one for many languages: " in said
    [named] = said.split("--encoder ")[1:]
    [entry] = [one for one in ENTRIES if one.alias == named.split()[0]]
    assert "zero-shot" in entry.tasks
    assert "de" in entry.language_codes


def test_encoders_that_know_the_language_are_not_warned_of() -> None:
    assert messages(ENGLISH * 20) == []
    assert messages(GERMAN * 20, "gbert", "xlm-roberta", "mbert", "mmbert") == []
    [english] = messages(ENGLISH * 20, "gbert")
    assert "--encoder minilm" in english


def test_mixed_texts_are_judged_by_their_majority() -> None:
    [mixed] = messages((GERMAN + FRENCH + ENGLISH) * 10)
    assert "French (40) and German (40) of 120 sampled" in mixed
    assert "gbert" not in mixed
    assert messages((GERMAN + ENGLISH * 3) * 10) == []


def test_short_or_few_texts_are_not_judged() -> None:
    assert languages_in(["gut", "schlecht", "12 :)", ""] * 50) == Counter()
    assert messages(["gut", "schlecht"] * 50) == []
    assert messages(GERMAN * 4) == []
    assert len(messages(GERMAN * 5)) == 1
    assert languages_in([]) == Counter()


def test_scattered_errors_of_identification_are_no_language() -> None:
    scattered = Counter({"en": 60, **dict.fromkeys(("da", "nl", "fr", "it", "es", "no"), 15)})
    assert language_findings(scattered, ["minilm"]) == []


def test_unknown_encoders_are_not_judged(tiny_encoder: Path) -> None:
    names = (str(tiny_encoder), "random:tiny", "random:minilm", "someone/something", "nothing")
    assert messages(GERMAN * 20, *names) == []


def test_a_language_that_no_encoder_knows_is_looked_for_elsewhere() -> None:
    [said] = [of.message for of in language_findings(Counter({"qu": 100}), ["minilm"])]
    assert said.startswith("The texts are qu (100 of 100 sampled)")
    assert "look on the Hugging Face Hub" in said
    assert language_name("de") == "German"


def test_norwegian_is_one_language() -> None:
    texts = ["Jeg følte meg ikke bra i går, så jeg ble hjemme hele dagen."] * 30
    assert list(languages_in(texts)) == ["no"]
    assert messages(texts, "xlm-roberta") == []


def test_the_check_reads_the_encoders_that_were_asked_for() -> None:
    data = read({"text": [f"{text} {n}" for n in range(10) for text in GERMAN],
                 "label": ["a", "b"] * 20})  # fmt: skip
    material = Material.of(data)
    assert language_mismatch(material) == []
    asked = Material(material.parts, encoders=("minilm", "random:minilm"))
    [found] = language_mismatch(asked)
    assert found.code == "language-mismatch"
    assert "tfidf are not affected" in found.message
    assert "language-mismatch" not in {of.code for of in check(data)}


def test_encoders_of_one_language_say_so() -> None:
    own = {entry.alias: entry for entry in ENTRIES if len(entry.language_codes) == 1}
    assert own["gbert"].language_codes == ("de",)
    for entry in own.values():
        assert entry.languages == language_name(entry.language_codes[0])


@pytest.mark.parametrize(
    "name", ["banking77", "bbc_news", "emotion", "goemotions", "imdb", "rotten_tomatoes_movies",
             "sms_spam"],
)  # fmt: skip
def test_english_data_sets_are_english(shared_data: Path, name: str) -> None:
    texts = read(str(shared_data / name)).texts
    assert messages(texts[:5000]) == []


def test_commands_warn(command: Callable[..., Any], workplace: Path) -> None:
    with Path("german.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(f"{text} {n}", "ab"[n % 2]) for n in range(10) for text in GERMAN]
        csv.writer(file).writerows([("text", "label"), *rows])
    assert "language-mismatch" in command("explore", "german.csv", status=0).out
    seen = command("features", "german.csv", "--out", "features.npz", "--max-length", 16, status=0)
    assert "The texts are German" in seen.err
    assert "tfidf" not in seen.err
    seen = command("classify", "german.csv", "--labels", "weather,food", status=0)
    assert "The texts are German (40 of 40 sampled)" in " ".join(seen.err.split())
