"""How results show themselves in one line."""

from __future__ import annotations

import pytest

from finetext.core.decision import Decision
from finetext.core.display import decision_in_words, html_table, labels_in_words


def test_many_labels_are_counted() -> None:
    assert labels_in_words(["a"]) == "1 label: a"
    names = [f"l{n}" for n in range(2000)]
    assert labels_in_words(names) == "2,000 labels: l0, l1, l2, l3, l4, l5 and 1,994 more"


def test_cells_are_escaped() -> None:
    assert "&lt;b&gt;" in html_table("<b>", ["<b>"], [["<b>"]])
    assert "<b>" not in html_table("<b>", ["<b>"], [["<b>"]])


@pytest.mark.parametrize(
    ("decision", "multilabel", "words"),
    [
        (Decision(), False, "the likeliest label"),
        (Decision(), True, "each label from a probability of 0.5"),
        (
            Decision(thresholds=(0.2, 0.6), aim="f1"),
            True,
            "a threshold for each label, 0.2 to 0.6 (f1)",
        ),
        (Decision(costs=((0, 1), (5, 0))), False, "the least expected cost"),
        (
            Decision(least=(0.7, 0.8), coverage=0.9, set_from=0.1),
            False,
            "the likeliest label; abstains below 0.8; prediction sets of 90% coverage",
        ),
    ],
)
def test_a_decision_rule_in_words(decision: Decision, multilabel: bool, words: str) -> None:
    assert decision_in_words(decision, multilabel) == words
