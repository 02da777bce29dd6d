"""Labels: one or several, ids and names, order, ids of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.label_cells import find_joiner
from finetext.data.read import read

TOXIC = [
    {"text": "a fine text", "toxic": 0, "insult": 0},
    {"text": "a bad text", "toxic": 1, "insult": 1},
    {"text": "a rude text", "toxic": 1, "insult": 0},
]


def rows(*labels: Any) -> list[dict[str, Any]]:
    return [{"text": f"text number {n}", "label": label} for n, label in enumerate(labels)]


def test_several_indicator_columns() -> None:
    data = read(TOXIC, label=("toxic", "insult"))
    assert data.labels == [[], ["toxic", "insult"], ["toxic"]]
    assert data.scheme is not None
    assert data.scheme.names == ("toxic", "insult")
    assert data.targets.tolist() == [[0, 0], [1, 1], [1, 0]]


def test_indicator_columns_must_hold_0_and_1() -> None:
    with pytest.raises(DataError, match=r"'insult' has 3 in row 1"):
        read([{"text": "a b", "toxic": 0, "insult": 3}, *TOXIC], label=("toxic", "insult"))


def test_numbers_of_thousands_of_digits_are_names() -> None:
    longest = "9" * 5_000
    data = read(rows("1", longest, "-2", "1"))
    assert data.scheme is not None
    assert data.scheme.names == ("-2", "1", longest)
    with pytest.raises(DataError, match="no column"):
        read(rows("1", "2"), text=longest)


@pytest.mark.parametrize(
    "labels",
    [[["a", "b"], ["b"], []], ["['a', 'b']", "['b']", "[]"], ['["a", "b"]', '["b"]', "[]"]],
)
def test_list_columns(labels: list[Any]) -> None:
    assert read(rows(*labels)).labels == [["a", "b"], ["b"], []]


@pytest.mark.parametrize("joiner", [",", "|", ";", ", "])
def test_joined_labels_are_detected(joiner: str) -> None:
    data = read(rows(joiner.join(["joy", "love"]), "joy", "love", "fear"))
    assert data.labels == [["joy", "love"], ["joy"], ["love"], ["fear"]]


def test_classes_that_share_parts_are_taken_apart_with_a_warning() -> None:
    labels = rows(*["positive, strong", "positive, weak", "negative, strong"] * 3)
    data = read(labels)
    assert data.labels[0] == ["positive", "strong"]
    assert [finding.code for finding in data.findings] == ["labels-taken-apart"]
    assert "--set data.multilabel=false" in data.findings[0].message
    assert not read(labels, settings=ReadSettings(multilabel=True)).findings
    assert not read(rows("joy,love", "joy", "love", "fear")).findings


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_cell_among_joined_labels_can_mean_no_label(blank: str | None) -> None:
    for labels in (rows("joy,love", "joy", "love", blank), rows(["joy", "love"], ["joy"], blank)):
        with pytest.raises(DataError, match=r"--drop-unlabelled.*--set data.multilabel=true"):
            read(labels)
        assert read(labels, settings=ReadSettings(multilabel=True)).labels[-1] == []


@pytest.mark.parametrize("kind", [set, frozenset])
def test_sets_of_labels(kind: Any) -> None:
    labels = [kind(own) for own in (["b", "a"], ["c", "a", "b"], [])]
    data = read((["a text", "other text", "third text"], labels))
    assert data.labels == [["a", "b"], ["a", "b", "c"], []]


def test_columns_of_0_and_1_are_not_chosen_from() -> None:
    table = {"text": [f"text number {n}" for n in range(8)], "joy": [0, 1] * 4, "anger": [1, 0] * 4}
    with pytest.raises(DataError, match=r"2 columns of 0 and 1.*--label joy,anger"):
        read(table)
    assert read({"text": table["text"], "joy": table["joy"]}).labels[1] == "1"
    known = ReadSettings(classes=("anger", "joy"), multilabel=True)
    assert read(table, settings=known).labels[:2] == [["anger"], ["joy"]]


def test_a_column_of_splits_is_named_with_its_counts() -> None:
    table = {"text": [f"text {n}" for n in range(6)], "label": ["x", "y"] * 3}
    data = read(table | {"subset": ["train"] * 4 + ["dev", "test"]})
    assert "splits of column 'subset'" in data.description
    assert "6 rows (train 4, validation 1, test 1), 2 labels" in data.description


def test_a_comma_within_a_label_is_no_joiner() -> None:
    data = read(rows("Arts, Culture", "Sports", "Arts, Culture", "Sports"))
    assert data.scheme is not None
    assert not data.scheme.multilabel
    assert find_joiner(["Albany, NY", "Boston, MA", "New York, NY"]) is None


def test_multilabel_can_be_stated() -> None:
    labels = rows("joy,love", "joy", "love")
    whole = read(labels, settings=ReadSettings(multilabel=False))
    assert whole.labels == ["joy,love", "joy", "love"]
    one = read(rows("joy", "love", ""), settings=ReadSettings(multilabel=True))
    assert one.labels == [["joy"], ["love"], []]
    spaced = read(rows("joy love", "joy"), settings=ReadSettings(label_delimiter=" "))
    assert spaced.labels == [["joy", "love"], ["joy"]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("names.txt", "sad\nglad\n"),
        ("names.json", json.dumps(["sad", "glad"])),
        ("names.json", json.dumps({"0": "sad", "1": "glad"})),
        ("names.json", json.dumps({"sad": 0, "glad": 1})),
        ("names.csv", "id,name\n0,sad\n1,glad\n"),
        ("names.csv", "0,sad\n1,glad\n"),
    ],
)
def test_names_of_ids_from_files(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / "data.csv").write_text("text,label\na b,1\nc d,0\n")
    for given in (tmp_path / name, name):
        data = read(tmp_path / "data.csv", settings=ReadSettings(label_names=given))
        assert data.labels == ["glad", "sad"]
        assert data.scheme is not None
        assert data.scheme.names == ("sad", "glad")
    assert f"names from {name}" in data.description


def test_quoted_names_with_commas(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text('"so, so"\n"fine, really"\n')
    settings = ReadSettings(label_names=tmp_path / "names.csv")
    assert read(rows(1, 0), settings=settings).labels == ["fine, really", "so, so"]


def test_names_in_memory() -> None:
    for given in (["sad", "glad"], {"0": "sad", "1": "glad"}, ("sad", "glad")):
        data = read(rows(1, 0), settings=ReadSettings(label_names=given))
        assert data.labels == ["glad", "sad"]


def test_names_fix_the_order_of_labels_that_are_names() -> None:
    settings = ReadSettings(label_names=["low", "middle", "high", "never"])
    data = read(rows("high", "low", "middle"), settings=settings)
    assert data.scheme is not None
    assert data.scheme.names == ("low", "middle", "high")
    assert "never" in data.findings[0].message


def test_a_label_without_a_name() -> None:
    with pytest.raises(DataError, match=r"'7' has no name"):
        read(rows(7, 0), settings=ReadSettings(label_names=["sad", "glad"]))
    with pytest.raises(DataError, match=r"no file of label names 'absent.txt'"):
        read(rows(1, 0), settings=ReadSettings(label_names="absent.txt"))


def test_outer_spaces_of_labels_are_removed_and_their_case_is_kept() -> None:
    data = read(rows("Spam", "spam ", "ham"))
    assert data.labels == ["Spam", "spam", "ham"]
    assert [finding.code for finding in data.findings] == ["labels-spelled"]


def test_missing_labels_are_an_error_or_dropped() -> None:
    with pytest.raises(DataError, match=r"2 of 4 rows \(rows 2, 4\).*--drop-unlabelled"):
        read(rows("a", None, "b", " "))
    data = read(rows("a", None, "b", " "), settings=ReadSettings(drop_unlabelled=True))
    assert data.ids == ["1", "3"]
    assert data.findings[0].rows == ("2", "4")
    assert data.findings[0].code == "unlabelled-dropped"


def test_ids_are_found_given_and_unique() -> None:
    table = [row | {"id": f"r{n}", "key": n} for n, row in enumerate(rows(0, 1, 0, 1))]
    assert read(table).ids == ["r0", "r1", "r2", "r3"]
    assert read(table, id="key").ids == ["0", "1", "2", "3"]
    with pytest.raises(DataError, match=r"id 'r1' in column 'id' occurs 2 times"):
        read([*table, table[1]], id="id")
    with pytest.raises(DataError, match=r"'id' is empty in row 1"):
        read([{**table[0], "id": None}, *table[1:]], id="id")


@pytest.mark.parametrize(("first", "said"), [("r1", "occurs 2 times"), (None, "is empty in row 1")])
def test_rows_are_numbered_if_the_id_column_found_is_none(first: str | None, said: str) -> None:
    table = {"id": [first, "r1", "r2"], "text": ["a b", "c d", "e f"], "label": ["x", "y", "x"]}
    data = read(table)
    assert data.ids == ["1", "2", "3"]
    assert [(one.severity, one.code) for one in data.findings] == [("warning", "odd-ids")]
    assert said in data.findings[0].message
    assert "id 'id'" not in data.description


SPELLED = [
    (["good ", " bad"], ["good", "bad"]),
    (["good\u200b", "bad"], ["good", "bad"]),
    (["very\u00a0good", "very good", "bad"], ["very good", "very good", "bad"]),
    (["cafe\u0301", "caf\u00e9", "bad"], ["caf\u00e9", "caf\u00e9", "bad"]),
    (["1.0", "2.0"], ["1", "2"]),
    (["True", "true", "FALSE"], ["true", "true", "false"]),
    ([True, "true", False], ["true", "true", "false"]),
]


@pytest.mark.parametrize(("labels", "read_as"), SPELLED)
def test_spellings_that_mean_the_same_are_one_label(labels: list[Any], read_as: list[str]) -> None:
    data = read(rows(*labels * 3))
    assert data.labels == read_as * 3
    assert [finding.code for finding in data.findings] == ["labels-spelled"]
    several = read(rows(*[[label] for label in labels * 3]))
    assert several.labels == [[label] for label in read_as * 3]


def test_the_note_on_spellings_shows_what_cannot_be_seen() -> None:
    (note,) = read(rows("good\u200b", "good", "bad")).findings
    assert r"'good\u200b' as 'good'" in note.message


def test_labels_that_differ_in_case_stay_apart() -> None:
    assert read(rows("Good", "good", "bad")).labels == ["Good", "good", "bad"]


@pytest.mark.parametrize(
    ("known", "labels"),
    [
        (("False", "True"), ["true", "false"]),
        (("false", "true"), [True, False]),
        (("1.0", "2.0"), ["1", "2"]),
        (("1", "2"), ["1.0", "2.0"]),
        (("good ", "bad"), ["good", "bad"]),
        (("good ", "bad"), ["good ", "bad"]),
        (("caf\u00e9", "bad"), ["cafe\u0301", "bad"]),
    ],
)
def test_labels_are_spelled_as_the_model_knows_them(
    known: tuple[str, ...], labels: list[Any]
) -> None:
    data = read(rows(*labels), settings=ReadSettings(classes=known))
    assert set(data.labels) == set(known)


def test_lists_of_one_label_obey_multilabel() -> None:
    table = rows(["a"], ["b"], ["a"])
    assert read(table, settings=ReadSettings(multilabel=False)).labels == ["a", "b", "a"]
    data = read(table)
    assert data.labels == [["a"], ["b"], ["a"]]
    assert [finding.code for finding in data.findings] == ["lists-of-one"]
    assert not read(table, settings=ReadSettings(multilabel=True)).findings
    text = rows("['a']", "['b']", "['a']")
    assert read(text, settings=ReadSettings(multilabel=False)).labels == ["a", "b", "a"]


@pytest.mark.parametrize("labels", [(["a"], ["a", "b"]), ("['a']", "['a', 'b']")])
def test_lists_of_several_labels_contradict_multilabel_false(labels: Any) -> None:
    with pytest.raises(DataError, match=r"row 2: the row has 2 labels \('a', 'b'\)"):
        read(rows(*labels), settings=ReadSettings(multilabel=False))


def test_indicator_columns_obey_multilabel_false() -> None:
    one = ReadSettings(label=("toxic", "insult"), multilabel=False)
    with pytest.raises(DataError, match=r"row 2: the row has 2 labels"):
        read(TOXIC, settings=one)
    table = {"text": ["a b", "c d", "e f"], "toxic": [1, 0, 1], "insult": [0, 1, 0]}
    assert read(table, settings=one).labels == ["toxic", "insult", "toxic"]


def test_single_labels_obey_multilabel_true() -> None:
    data = read(rows("a", "b", "a"), settings=ReadSettings(multilabel=True))
    assert data.labels == [["a"], ["b"], ["a"]]


@pytest.mark.parametrize(
    "table",
    [rows("a", "b", "a"), rows(["a"], ["b"], ["a", "b"]), rows({"a": 1}, {"b": 1}, {"a": 1})],
)
def test_a_delimiter_of_labels_that_is_not_used_is_named(table: Any) -> None:
    data = read(table, settings=ReadSettings(label_delimiter=";"))
    assert "unused-label-delimiter" in [finding.code for finding in data.findings]
    assert "';' has no effect" in data.findings[0].message


def test_settings_of_labels_that_contradict_each_other() -> None:
    with pytest.raises(DataError, match="contradict each other"):
        read(rows("a;b", "b"), settings=ReadSettings(label_delimiter=";", multilabel=False))


def test_names_of_other_ids_are_an_error_even_without_labels_required() -> None:
    names = ReadSettings(label_names=("x", "y"))
    with pytest.raises(DataError, match="the label '7' has no name in the given names"):
        read(rows("7", "8", "7"), settings=names)


def test_given_names_of_labels_keep_their_spelling() -> None:
    names = {"good ": "good ", "bad": "bad"}
    data = read(rows("good ", "bad", "good "), settings=ReadSettings(label_names=names))
    assert data.labels == ["good ", "bad", "good "]
    ids = read(rows("1.0", "0.0", "1.0"), settings=ReadSettings(label_names=("x", "y")))
    assert ids.labels == ["y", "x", "y"]


def table(folder: Path, labels: list[str], delimiter: str) -> Path:
    cells = [f'"{label}"' if delimiter in label else label for label in labels]
    lines = [f"a text with number {n}{delimiter}{cell}" for n, cell in enumerate(cells)]
    path = folder / "rated.csv"
    path.write_text("\n".join([f"text{delimiter}label", *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("labels", "read_as"),
    [
        (["1,0", "2,5", "2,0"], ["1.0", "2.5", "2.0"]),
        (["1,0", "2,00", "3"], ["1", "2", "3"]),
        (["1", "1,5", "2", "2,5"], ["1", "1.5", "2", "2.5"]),
        (["-1,5", "0,0", "1,5"], ["-1.5", "0.0", "1.5"]),
    ],
)
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_numbers_with_a_decimal_comma_are_one_label_each(
    tmp_path: Path, delimiter: str, labels: list[str], read_as: list[str]
) -> None:
    data = read(table(tmp_path, labels * 3, delimiter))
    assert data.labels == read_as * 3
    (note,) = data.findings
    assert note.code == "decimal-commas"
    assert "--set data.label_delimiter=','" in note.message
    several = read(
        table(tmp_path, labels * 3, delimiter), settings=ReadSettings(label_delimiter=",")
    )
    assert several.labels[0] == list(dict.fromkeys(labels[0].split(",")))


def test_decimals_and_ids_that_stand_alone_too_are_asked_for(tmp_path: Path) -> None:
    ids = ["3", "14", "3,14"]
    for labels, delimiter in (
        (ids * 3, ","),
        (["1,0", "1,5", "2,5", "2,0"] * 3, ","),
        (ids * 3, "\t"),
    ):
        path = table(tmp_path, labels, delimiter)
        shown = "rated.csv: labels such as .* in the column 'label' may be numbers with a decimal"
        with pytest.raises(DataError, match=shown) as caught:
            read(path)
        assert "data.multilabel=false reads numbers" in str(caught.value)
        assert "data.label_delimiter=',' several labels" in str(caught.value)
        one = read(path, settings=ReadSettings(multilabel=False))
        assert one.labels == [label.replace(",", ".") for label in labels]
        for more in ({"label_delimiter": ","}, {"multilabel": True}):
            assert read(path, settings=ReadSettings(**more)).labels[-1] == labels[-1].split(",")
    assert read(rows(*ids)).labels == [["3"], ["14"], ["3", "14"]]


@pytest.mark.parametrize("label", ["3,14,7", "2,333", "joy,love"])
def test_other_values_with_commas_join_labels_as_before(tmp_path: Path, label: str) -> None:
    parts = label.split(",")
    data = read(table(tmp_path, [label, *parts] * 3, ";"))
    assert data.labels == [parts, *([part] for part in parts)] * 3


@pytest.mark.parametrize(
    ("known", "read_as"),
    [
        (("1", "2", "2.5"), ["1", "2", "2.5"]), (("1.0", "2.0", "2.5"), ["1.0", "2.0", "2.5"]),
        (("0", "1", "2", "5"), [["1", "0"], ["2", "0"], ["2", "5"]]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_the_labels_of_a_model_say_whether_a_comma_is_decimal(
    tmp_path: Path, delimiter: str, known: tuple[str, ...], read_as: list[Any]
) -> None:
    path = table(tmp_path, ["1,0", "2,0", "2,5"] * 4, delimiter)
    assert read(path, settings=ReadSettings(classes=known)).labels == read_as * 4


def test_labels_of_many_digits_are_names() -> None:
    names = ["1" * 5_000, "2"]
    scheme = read(rows(*names * 10)).scheme
    assert scheme is not None
    assert set(scheme.names) == set(names)


@pytest.mark.parametrize("labels", [["good", "\ud800"], [["good"], ["good", "\ud800"]]])
def test_half_a_surrogate_pair_in_a_label_is_an_error(labels: list[Any]) -> None:
    with pytest.raises(DataError, match=r"ud800' has half a surrogate pair"):
        read(rows(*labels * 10))
