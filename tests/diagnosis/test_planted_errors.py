"""Tests of the search for wrong labels: its reliability, the end of its list, and blind checks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from finetext.core.contracts import Listener
from finetext.core.types import Dataset, LabelScheme, Predictions
from finetext.diagnosis.corrections import apply_labels, before_and_after, write_suspects
from finetext.diagnosis.label_errors import Reliability, Suspects, suspects_in
from finetext.diagnosis.planted_errors import _longest, plant
from finetext.methods.majority import Majority
from finetext.methods.tfidf import Tfidf
from finetext.runs.fit import find_label_errors
from finetext.storage.codec import from_json

QUICK = Tfidf(longest_ngram=1, inverse_regularisation=10.0)
SILENT = Listener()
WORDS = {"sport": ("team", "goal", "coach"), "money": ("bank", "loan", "profit")}


def texts_of(n: int, clear: bool) -> tuple[list[str], list[str]]:
    """Texts with the words of their label, or with those of any; every tenth label is wrong."""
    random = np.random.default_rng(0)
    names = list(WORDS)
    labels = [names[row % 2] for row in range(n)]
    of = labels if clear else random.permutation(labels).tolist()
    texts = [f"{' '.join(random.choice(WORDS[label], 2))} {row}" for row, label in enumerate(of)]
    return texts, [names[row // 10 % 2] if row % 10 == 0 else one for row, one in enumerate(labels)]


def test_a_reliable_search_says_what_it_finds_of_planted_errors() -> None:
    found = find_label_errors(texts_of(120, clear=True), QUICK, listener=SILENT)
    known = found.reliability
    assert known is not None
    assert known.changed == 18, "5% of 120, three times"
    assert known.found > 12
    assert known.better_than_base_rate
    said = " ".join(found.words())
    assert "Of 18 labels changed on purpose it finds" in said
    assert found.suspects
    assert from_json(Suspects, json.loads(json.dumps(found.to_json())), "it") == found


@pytest.mark.parametrize("method", [QUICK, Majority()])
def test_a_search_no_better_than_the_base_rate_lists_nothing(method: Tfidf | Majority) -> None:
    found = find_label_errors(texts_of(120, clear=False), method, listener=SILENT)
    assert found.suspects == ()
    assert "cannot tell wrong labels from right ones" in " ".join(found.words())


def test_the_list_ends_where_less_than_half_of_the_flagged_was_planted() -> None:
    good, bad = np.array([True, True, False, False, False]), np.array([True, False])
    assert _longest([good]) == 4
    assert _longest([good, bad]) == 4, "3 of 6, but 3 of 7"
    assert _longest([good, bad, np.array([False])]) == 3, "3 of 6, but 3 of 7"
    assert _longest([np.array([False, False])]) == 0
    assert _longest([np.zeros(0, bool)]) == 0


def test_planted_errors_change_so_many_labels_and_no_other(topics: Dataset) -> None:
    noisy, rows = plant(topics, 5, seed=0)
    changed = [row for row in range(len(topics)) if noisy.labels[row] != topics.labels[row]]
    assert changed == rows
    assert len(rows) == 5
    assert noisy.texts == topics.texts


def test_planted_errors_change_one_of_several_labels(mixed_topics: Dataset) -> None:
    noisy, rows = plant(mixed_topics, 4, seed=1)
    assert (noisy.targets != mixed_topics.targets).sum(axis=1).tolist() == [
        int(row in rows) for row in range(len(mixed_topics))
    ]


def test_reliability_without_planted_errors_says_so() -> None:
    assert "not shown to be better" in Reliability(0.5, 0.33, 24).words("tfidf")[1]
    assert "was not measured" in Reliability(0.9, 0.5, 200).words("finetune")[-1]
    nothing = Reliability(0.9, 0.5, 200, changed=10)
    assert nothing.words("tfidf")[-1].endswith("finds 0 (0% [0%, 31%]).")


def test_test_rows_are_listed_without_suggestions_among_others(tmp_path: Path) -> None:
    texts, labels = texts_of(120, clear=True)
    test = [str(row + 1) for row in range(0, 120, 2)]
    found = find_label_errors((texts, labels), QUICK, test_ids=test, listener=SILENT)
    assert found.test
    assert len(found.others) == len(found.test)
    assert {one.id for one in found.others} <= set(test)
    assert not {one.id for one in found.others} & {one.id for one in found.suspects}
    write_suspects(found, tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    blind = {one.id for one in found.others} | set(found.test)
    for row in rows:
        hidden = ("suggested", "quality", "probability_of_label", "probability_of_suggested")
        assert (row["id"] in blind) == all(row[name] == "" for name in hidden)
    assert len(rows) == len(found.suspects) + len(found.others)
    assert not any("->" in what for what, _ in found.mistakes) or len(blind) < len(rows)


def test_scores_before_and_after_are_on_the_same_rows(topics: Dataset, tmp_path: Path) -> None:
    assert topics.scheme is not None
    likely = np.eye(len(topics.scheme))[topics.targets]
    of = Predictions(tuple(topics.ids), topics.targets, likely, topics.scheme)
    path = tmp_path / "list.csv"
    other = next(name for name in topics.scheme.names if name != topics.labels[0])
    words = dict(zip(topics.ids, (other, "drop", "new", "ok"), strict=False))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text", "label", "correct"))
        for row, (one, word) in enumerate(words.items()):
            writer.writerow((one, topics.texts[row], topics.labels[row], word))
    done = apply_labels(topics, path, new_labels=("new",))
    both = before_and_after(of, done)
    assert both is not None
    before, after = both
    assert before.ids == after.ids == (topics.ids[0], *topics.ids[3:])
    assert (before.targets != after.targets).sum() == 1
    assert after.targets[0] == LabelScheme(topics.scheme.names).index[other]


def test_no_scores_are_compared_where_no_label_changes(topics: Dataset, tmp_path: Path) -> None:
    assert topics.scheme is not None
    of = Predictions(
        tuple(topics.ids), topics.targets, np.eye(len(topics.scheme))[topics.targets], topics.scheme
    )
    write_suspects(Suspects("tfidf", 5, 3, suspects_in(of, topics.texts), 1.0), tmp_path / "l.csv")
    assert before_and_after(of, apply_labels(topics, tmp_path / "l.csv")) is None
