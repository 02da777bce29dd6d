"""Columns of flags are several labels a text, whatever says yes and no, and never a class x."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetext.core.errors import DataError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.data.flags import affirmative, flagged_labels, is_flag
from finetext.data.read import read

WORDS = {"Food": ("soup", "bread", "fish"), "Room": ("bed", "shower", "door")}
LABELS = [[name for at, name in enumerate(WORDS) if n % 4 >> at & 1] for n in range(40)]
TEXTS = [
    " ".join(["The", *(WORDS[name][n % 3] for name in own), f"was fine on day {n}"])
    for n, own in enumerate(LABELS)
]
WAYS = [
    ("x", ""), ("X", " "), ("✓", ""), ("1", ""), ("ja", "nein"), ("yes", "no"), ("Yes", ""),
    ("oui", "non"), ("sí", "no"), ("tak", "nie"), ("TRUE", "FALSE"), ("checked", "unchecked"),
    ("Checked", "Not selected"),
]  # fmt: skip


def written(folder: Path, yes: str, no: str) -> Path:
    rows = [
        ",".join([text, *(yes if name in own else no for name in WORDS)])
        for text, own in zip(TEXTS, LABELS, strict=True)
    ]
    path = folder / "flags.csv"
    path.write_text("\n".join([",".join(["Comment", *WORDS]), *rows, ""]), encoding="utf-8")
    return path


@pytest.mark.parametrize(("yes", "no"), WAYS)
def test_flags_are_asked_for_and_read(tmp_path: Path, yes: str, no: str) -> None:
    path = written(tmp_path, yes, no)
    with pytest.raises(DataError, match=r"2 columns of .* --label Food,Room") as error:
        read(path)
    assert not isinstance(error.value, UnlabeledError)
    data = read(path, label=tuple(WORDS))
    assert data.scheme is not None
    assert (data.scheme.names, data.scheme.multilabel) == (("Food", "Room"), True)
    assert data.labels == LABELS
    without = [one.message for one in data.findings if one.code == "blank-flags"]
    assert [message.split(" without")[0] for message in without] == ["10 rows"] * (not no.strip())
    known = ReadSettings(classes=tuple(WORDS), multilabel=True)
    assert read(path, settings=known).labels == LABELS


def test_marks_beside_another_column_of_few_values_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, "x", "")
    lines = path.read_text(encoding="utf-8").splitlines()
    moods = ["Mood", *(["good", "bad"][n // 2 % 2] for n in range(len(TEXTS)))]
    lines = [f"{line},{mood}" for line, mood in zip(lines, moods, strict=True)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=r"3 columns could hold the labels:\n(.*\n)+.*--label Mood"):
        read(path)


def test_a_single_column_of_marks_is_no_class_x(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    rows = [f"{text},{'x' * (n % 2)}" for n, text in enumerate(TEXTS)]
    path.write_text("\n".join(["Comment,Offensive", *rows]), encoding="utf-8")
    with pytest.raises(DataError, match=r"the label is missing in 20 of 40.*write no"):
        read(path, label="Offensive")
    with pytest.raises(UnlabeledError, match="one class only, 'x'"):
        read(path, settings=ReadSettings(label="Offensive", drop_unlabelled=True))


def test_what_is_no_flag() -> None:
    assert is_flag([0, 1, True, "0.0"])
    assert is_flag([None, ""])
    for values in (["yes", "no", ""], ["x", "y"], ["yes", "maybe"], ["0", "2"]):
        assert not is_flag(values), values


def test_a_blank_beside_a_word_for_no_is_not_known() -> None:
    rows, form, _ = flagged_labels({"a": ["yes", "no", ""], "b": ["x", "", "x"]})
    assert (rows, form) == ([["a", "b"], [], None], "columns of 'yes' and 'no' and blank cells")
    assert flagged_labels({"a": ["", ""], "b": [None, " "]})[0] == [None, None]
    with pytest.raises(DataError, match="'b' has 'maybe' in row 2"):
        flagged_labels({"a": ["x", ""], "b": ["x", "maybe"]})


@pytest.mark.parametrize(
    ("names", "yes"),
    [
        (("ja", "nein"), "ja"),
        (("non", "oui"), "oui"),
        (("Nej", "Ja"), None),
        (("0", "1"), "1"),
        (("FALSE", "TRUE"), "TRUE"),
        (("hate", "no hate"), "hate"),
        (("abusive", "non-abusive"), "abusive"),
        (("relevant", "nicht relevant"), "relevant"),
        (("ham", "spam"), None),
        (("ja", "nein", "vielleicht"), None),
    ],
)
def test_the_label_that_says_yes(names: tuple[str, ...], yes: str | None) -> None:
    assert affirmative(names) == yes
