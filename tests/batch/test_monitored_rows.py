"""Which columns of new rows are taken for true labels, and the order of the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.batch.monitored_rows import MonitoredRows, read_rows
from finetext.core.errors import DataError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.core.types import LabelScheme

TWO = LabelScheme(("bad", "good"))
SEVERAL = LabelScheme(("acting", "plot", "sound"), multilabel=True)
TEXTS = [
    f"the film number {word} was long" for word in ("one", "two", "three", "four", "five", "six")
]


def table(**columns: Any) -> str:
    Path("new.jsonl").write_text(
        "\n".join(
            json.dumps(dict(zip(("text", *columns), row, strict=True)))
            for row in zip(TEXTS, *columns.values(), strict=True)
        )
    )
    return "new.jsonl"


def rows_of(
    source: Any, learned: tuple[str, ...] = (), scheme: LabelScheme = TWO, **asked: Any
) -> MonitoredRows:
    return read_rows(source, ReadSettings(**asked), scheme, learned, None)


@pytest.fixture(autouse=True)
def _place(workplace: Path) -> None:
    """Each test has a folder of its own."""


GIVEN = ["good", "bad", None, "good", "bad", "good"]
LABELS = {0: "good", 1: "bad", 3: "good", 4: "bad", 5: "good"}


@pytest.mark.parametrize(
    ("name", "learned"),
    [("label", ()), ("Gold label", ()), ("Stance", ("stance",)), ("labels", ("stance",))],
)
def test_labels_are_found_by_name(name: str, learned: tuple[str, ...]) -> None:
    found = rows_of(table(team=["a", "b"] * 3, **{name: GIVEN}), learned)
    assert (found.labels, found.label_columns, found.no_labels) == (LABELS, (name,), "")
    assert found.dataset.texts == TEXTS
    assert f"5 labels in the column {name!r}; 6 rows" in found.description


@pytest.mark.parametrize("name", ["stance", "category", "sentiment", "rating", "y", "escalated"])
def test_columns_of_other_names_are_none_though_they_have_classes(name: str) -> None:
    found = rows_of(table(**{name: GIVEN}), ("position",))
    assert (found.labels, found.label_columns) == ({}, ())
    said = "there is neither the column 'position', from which the model learned, nor one called"
    assert found.no_labels == f"{said} label"
    assert f"no labels, since {said} label; 6 rows" in found.description
    named = rows_of(table(**{name: GIVEN}), label=name)
    assert (named.labels, named.label_columns) == (LABELS, (name,))


def test_a_column_called_label_without_a_class_of_the_model_is_none() -> None:
    found = rows_of(table(label=["open", "closed"] * 3))
    assert (found.labels, found.label_columns) == ({}, ())
    assert found.no_labels == "the column 'label' has no class of the model, but 'open', 'closed'"
    with pytest.raises(DataError, match="column 'label': 6 labels of 6 are no class of the model"):
        rows_of("new.jsonl", label="label")


def test_one_unknown_label_is_refused_with_what_to_do() -> None:
    table(label=["good", "fine", "bad", "fine", None, "bad"])
    with pytest.raises(DataError) as caught:
        rows_of("new.jsonl")
    said = str(caught.value)
    assert "new.jsonl, the column 'label': 2 labels of 5 are no class of the model" in said
    assert "first that of the row 2: the label 'fine' is not one of: bad, good" in said
    assert "--set 'data.missing=[\"fine\"]'" in said
    found = rows_of("new.jsonl", missing=("fine",))
    assert found.labels == {0: "good", 2: "bad", 5: "bad"}
    assert len(found.dataset) == 6


def test_blank_labels_are_none_and_an_error_if_they_were_asked_for() -> None:
    found = rows_of(table(label=[None] * 6))
    assert (found.labels, found.no_labels) == ({}, "the column 'label' has no label")
    with pytest.raises(UnlabeledError):
        rows_of("new.jsonl", label="label")
    with pytest.raises(DataError, match="no column 'verdict'"):
        rows_of("new.jsonl", label="verdict")


def test_two_columns_that_differ_are_asked_for() -> None:
    other = ["bad", "bad", None, "good", "bad", "good"]
    with pytest.raises(DataError, match="labels in the columns 'stance', 'label' differ; name"):
        rows_of(table(label=GIVEN, stance=other), ("stance",))
    assert rows_of("new.jsonl", ("stance",), label="label").labels == LABELS
    same = rows_of(table(label=GIVEN, stance=GIVEN), ("stance",))
    assert (same.labels, same.label_columns) == (LABELS, ("stance",))


def test_labels_that_a_model_gave_are_no_true_ones() -> None:
    status = ["human", "weak", "human", "weak", "human", "human"]
    found = rows_of(table(label=GIVEN, label_status=status))
    assert found.labels == {0: "good", 4: "bad", 5: "good"}
    assert [of.message for of in found.findings if of.code == "weak-labels-left-out"] == [
        "2 labels are weak (label_status): a model gave them, so they are not taken for true ones"
    ]
    none = rows_of(table(label=GIVEN, label_status=["weak"] * 6))
    assert (none.labels, none.no_labels) == ({}, "the column 'label' has no label")
    asked = rows_of("new.jsonl", label="label")
    assert (asked.labels, asked.label_columns) == ({}, ())
    assert asked.no_labels == "the column 'label' has none that a person gave"


def test_a_blank_cell_of_several_labels_is_not_filled_in_unless_it_says_none() -> None:
    cells = ["plot,sound", "", "acting", "plot", "", "sound"]
    found = rows_of(table(label=cells), scheme=SEVERAL)
    known = {0: ["plot", "sound"], 2: ["acting"], 3: ["plot"], 5: ["sound"]}
    assert found.labels == known
    assert len(found.dataset) == 6
    filled = rows_of("new.jsonl", scheme=SEVERAL, multilabel=True)
    assert filled.labels == known | {1: [], 4: []}
    lists = [of.split(",") if of else [] for of in cells]
    assert rows_of(table(label=lists), scheme=SEVERAL).labels == known | {1: [], 4: []}


def test_a_column_for_each_class_has_labels() -> None:
    flags = {name: [0, 1, 0, 1, 0, None] for name in SEVERAL.names}
    found = rows_of(table(urgent=[1, 0] * 3, **flags), scheme=SEVERAL)
    assert found.label_columns == SEVERAL.names
    assert found.labels == {row: list(SEVERAL.names) if row % 2 else [] for row in range(5)}
    assert rows_of(table(urgent=[1, 0] * 3, plot=[1, 0] * 3), scheme=SEVERAL).labels == {}


def test_a_data_set_and_lists_have_the_labels_that_they_are_given_with() -> None:
    labels = ["good", "bad"] * 3
    pair = rows_of((TEXTS, labels))
    assert pair.labels == dict(enumerate(labels))
    assert rows_of(TEXTS).labels == {}
    read = finetext.read(table(stance=labels), label="stance")
    found = rows_of(read)
    assert (found.labels, found.label_columns) == (dict(enumerate(labels)), ("stance",))
    assert rows_of(read, labelled=False).labels == {}
    with pytest.raises(DataError, match="the Dataset: 6 labels of 6 are no class of the model"):
        rows_of(read, scheme=LabelScheme(("no", "yes")))
    with pytest.raises(DataError, match="a Dataset has no column 'day' to order by"):
        read_rows(read, ReadSettings(), TWO, (), "day")


@pytest.mark.parametrize("tool", ["studio", "doccano", "prodigy"])
def test_exports_of_annotation_tools_have_the_labels_of_their_questions(tool: str) -> None:
    rows: list[Any] = []
    for text, label in zip(TEXTS, GIVEN, strict=True):
        if tool == "studio":
            result = [{"type": "choices", "from_name": "stance", "value": {"choices": [label]}}]
            done = [{"result": result}] if label else []
            rows.append({"data": {"text": text, "team": "a"}, "annotations": done})
        elif tool == "doccano":
            rows.append({"id": len(rows), "text": text, "cats": [label] if label else []})
        else:
            said = {"accept": [label], "answer": "accept"} if label else {"answer": "ignore"}
            options = [{"id": "good", "text": "good"}, {"id": "bad", "text": "bad"}]
            rows.append({"text": text, "options": options, **said})
    suffix = ".json" if tool == "studio" else ".jsonl"
    lines = json.dumps(rows) if tool == "studio" else "\n".join(map(json.dumps, rows))
    Path(f"export{suffix}").write_text(lines)
    found = rows_of(f"export{suffix}")
    assert found.labels == LABELS
    assert found.dataset.texts == TEXTS
    if tool == "studio":
        Path("export.json").write_text(json.dumps([row | {"annotations": []} for row in rows]))
        bare = rows_of("export.json")
        assert (bare.labels, bare.dataset.texts) == ({}, TEXTS)


def test_lines_are_texts_unless_each_has_a_mark_of_a_label() -> None:
    labels = ["good" if n % 2 else "bad" for n in range(40)]
    lines = [f"{label}: the film number {n}" for n, label in enumerate(labels)]
    Path("edge.txt").write_text("\n".join(lines))
    found = rows_of("edge.txt")
    assert (found.labels, found.dataset.texts) == ({}, lines)
    marked = [f"__label__{label} the film number {n}" for n, label in enumerate(labels)]
    Path("marked.txt").write_text("\n".join(marked))
    assert list(rows_of("marked.txt").labels.values()) == labels


def test_two_answers_to_a_text_count_as_their_majority() -> None:
    people = ["x", "y", "z"] * 2
    table(label=["good", "good", "bad", "bad", "bad", "bad"], annotator=people)
    lines = Path("new.jsonl").read_text().splitlines()
    rows = [json.loads(line) | {"text": TEXTS[n // 3]} for n, line in enumerate(lines)]
    Path("new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = rows_of("new.jsonl")
    assert found.labels == {0: "good", 3: "bad"}


def test_rows_are_in_the_order_of_time_with_their_labels() -> None:
    table(label=GIVEN, day=[f"2026-11-{day:02}" for day in (9, 8, 7, 3, 2, 1)])
    found = read_rows("new.jsonl", ReadSettings(), TWO, (), "day")
    assert found.dataset.texts == TEXTS[::-1]
    assert found.labels == {5 - row: label for row, label in LABELS.items()}


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("soon", "column 'day': row 2 has 'soon', which is no number and no date"),
        ("nan", "row 2 has 'nan', which is no number"),
        ("inf", "row 2 has 'inf', which is no number"),
        ("5", "row 2 has '5', which is a number, and row 1 has a date without a time zone"),
        ("2026-11-01T10:00:00+02:00", "row 2 .* a date with a time zone, and row 1 has a date wit"),
    ],
)
def test_times_are_of_one_kind(second: str, said: str) -> None:
    table(label=GIVEN, day=["2026-11-01", second, *["2026-11-01"] * 4])
    with pytest.raises(DataError, match=said):
        read_rows("new.jsonl", ReadSettings(), TWO, (), "day")
