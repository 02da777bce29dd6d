"""Names of columns in nine languages, with accents, cases, numbers and words around them."""

from __future__ import annotations

import pytest

from finetext.data.column_words import (
    LITERAL,
    NOUN,
    RATING,
    asks_about_person,
    is_vague,
    says,
    split_of,
)


@pytest.mark.parametrize("name", ["text", "Texts", "TEXTO", "testo", "Tekst", "文本", "text (2)"])
def test_names_that_are_text_itself(name: str) -> None:
    assert says(name).text == LITERAL


@pytest.mark.parametrize(
    "name",
    ["Satz", "Sätze", "Kommentartext", "reviewText", "Énoncé", "Reseña", "Wypowiedź", "Treść",
     "Zin", "Commento", "Conteúdo", "sentence1", "评论内容", "source_text", "Ihr Kommentar:"],
)  # fmt: skip
def test_names_of_texts(name: str) -> None:
    assert says(name).text == NOUN


@pytest.mark.parametrize(
    "name",
    ["Kategorie (1-5)", "Welche Kategorie?", "CATÉGORIE", "Categoría", "Themenkategorie", "Klasa",
     "Onderwerp", "classificação", "codice", "类别", "label_annotator1", "movie_genre", "topic_id"],
)  # fmt: skip
def test_names_of_labels(name: str) -> None:
    assert says(name).label == NOUN


@pytest.mark.parametrize("name", ["label", "Étiquette", "label_id", "gold label", "标签名称"])
def test_names_that_are_label_itself(name: str) -> None:
    assert says(name).label == LITERAL


@pytest.mark.parametrize("name", ["Bewertung", "Sterne", "Puntuación", "ocena", "评分", "Note"])
def test_names_of_ratings(name: str) -> None:
    assert says(name).label == RATING


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Kodierer", "annotator"), ("Codierer 2", "annotator"), ("worker_id", "annotator"),
        ("Annotée par", None), ("Annoté par", "annotator"), ("coded_by", "annotator"),
        ("Kodiert von", "annotator"), ("标注者", "annotator"), ("Beoordelaar", "annotator"),
        ("Satz-ID", "id"), ("text_id", "id"), ("Identificador", "id"), ("编号", "id"),
        ("comment_count", "metadata"), ("Kommentar des Kodierers", "metadata"),
        ("annotator_confidence", "metadata"), ("Revisado por", "annotator"),
        ("label_confidence", "metadata"), ("predicted_label", "metadata"), ("Datum", "metadata"),
        ("Zeitstempel", "metadata"), ("IP Address", "metadata"), ("Durée", "metadata"),
        ("country_code", "about"), ("Document group", "about"), ("Geschlecht", "about"),
    ],
)  # fmt: skip
def test_names_of_other_columns(name: str, role: str | None) -> None:
    assert says(name).other == role
    if role is not None:
        assert (says(name).text, says(name).label) == (0, 0)


def test_single_words_of_a_question_say_little() -> None:
    asked = "Which parts of the service does your answer concern?"
    assert (says(asked).text, says(asked).label, says(asked).other) == (0, 0, None)


@pytest.mark.parametrize(
    ("name", "asks"),
    [("Which gender do you identify with most?", True), ("How old are you?", True),
     ("Wie alt sind Sie?", True), ("What is the age group you belong to?", True),
     ("How did we manage?", False), ("How long ago was your old stay?", False)],
)  # fmt: skip
def test_questions_about_who_answers(name: str, asks: bool) -> None:
    assert asks_about_person(name) == asks


def test_code_and_class_are_words_of_many_senses() -> None:
    assert all(map(is_vague, ["Code", "Klasse", "VP-Code", "Código", "class"]))
    assert not any(map(is_vague, ["Kategorie", "topic code", "Satz", "class label"]))


@pytest.mark.parametrize(
    ("value", "split"),
    [
        ("Train", "train"), ("trainset", "train"), ("Trainingsdaten", "train"), ("训练集", "train"),
        (" Entraînement ", "train"), ("DEV", "validation"), ("Validierung", "validation"),
        ("Validierungsdatensatz", "validation"), ("desarrollo", "validation"),
        ("验证", "validation"), ("test_data", "test"), ("Prueba", "test"), ("测试集", "test"),
        ("holdout", None), ("", None),
        ("1", None), ("exclude", None), ("dataset", None), ("None", None),
    ],
)  # fmt: skip
def test_words_for_splits(value: str, split: str | None) -> None:
    assert split_of(value) == split
