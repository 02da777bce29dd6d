"""What names and descriptions of labels say of their texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetext.methods.label_sentences import (
    BARE_TEMPLATES,
    in_words,
    is_unclear,
    sentences_of,
    templates_for,
)


@pytest.mark.parametrize(
    ("label", "unclear"),
    [("1", True), ("LABEL_3", True), ("yes", True), ("a", True), ("-", True), ("class 2", True),
     ("ham", False), ("Refund_not_showing_up", False), ("5 stars", False), ("体育", False)],
)  # fmt: skip
def test_names_that_say_nothing_are_known(label: str, unclear: bool) -> None:
    assert is_unclear(label) is unclear


def test_names_are_read_as_words() -> None:
    assert in_words("card_not_working") == "card not working"
    assert in_words("_") == "_"


def test_only_an_encoder_known_for_english_gets_english_templates(tiny_encoder: Path) -> None:
    assert templates_for("paraphrase-multilingual-MiniLM-L12-v2") == BARE_TEMPLATES
    assert templates_for("jane/a-model") == templates_for(str(tiny_encoder)) == BARE_TEMPLATES
    assert len(templates_for("minilm")) == 3


def test_sentences_are_the_name_in_the_templates_and_the_descriptions() -> None:
    described = {"refund": "money back", "1": ("late", "too late")}
    templates = ("{}", "about {}")
    assert sentences_of("refund", described, templates) == (
        ("refund", "about refund"), ("money back",)
    )  # fmt: skip
    assert sentences_of("1", described, templates) == ((), ("late", "too late"))
    assert sentences_of("2", described, templates) == (("2", "about 2"), ())
