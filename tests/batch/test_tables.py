"""Tables of predictions keep all columns of the input."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.batch import tables
from finetext.batch.tables import EmptyTexts, Layout, Shown, batches, layout_of, predict_table
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.errors import RecipeError
from finetext.core.types import LabelScheme
from finetext.data import stream
from finetext.data.predictions import read_predicted_table
from finetext.data.rows import Rows, Texts
from finetext.methods.majority import MajorityClassifier

Command = Callable[..., Any]
OWN_NAME = "finetext:"
NEW = [f"{OWN_NAME}prediction", f"{OWN_NAME}probability", "probability:bad", "probability:good"]
OWN = ["prediction", "probability", "probability:bad", "probability:good"]


def table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path(name).read_text(encoding="utf-8"))))


def classifier(count: int, decision: Decision = AS_LIKELY, several: bool = False) -> Any:
    chances = np.arange(1, count + 1) / sum(range(1, count + 1))
    names = tuple(f"label {number}" for number in range(count))
    return MajorityClassifier(LabelScheme(names, several), decision, chances)


PLAIN = Shown()


def columns(
    of: Any, shown: Shown = PLAIN, names: Sequence[str] = (), id_column: str | None = None,
    is_one: bool = False,
) -> list[str]:  # fmt: skip
    chunk = Rows(["1"], ["a film"], 1.0, {name: ["x"] for name in names})
    kinds = dict.fromkeys(names, "string")
    layout = layout_of(of, Texts(iter([]), columns=kinds, id_column=id_column), shown, is_one)
    found = predict_table(of, chunk, layout)
    assert set(map(len, found.values())) == {1}
    return list(found)


def test_a_column_says_which_texts_belong_to_no_class() -> None:
    rows = Rows(["1"], ["a film"], 1.0, {})
    for limit, prediction in ((1.4, "label 2"), (1.3, None)):
        of = classifier(3, Decision(in_scope_up_to=limit))  # 1/6, 1/3, 1/2: 1.344
        layout = layout_of(of, Texts(iter([])), PLAIN)
        found = predict_table(of, rows, layout)
        assert list(found)[:4] == ["id", "text", "prediction", "out_of_scope"]
        assert (found["prediction"], found["out_of_scope"]) == ([prediction], [prediction is None])
        assert layout.kinds["out_of_scope"] == "bool"
    assert "finetext:out_of_scope" in columns(of, names=["Out_of_scope"])


def test_every_probability_of_few_labels_and_none_of_many() -> None:
    assert columns(classifier(2)) == [
        "id", "text", "prediction", "probability", "probability:label 0", "probability:label 1",
    ]  # fmt: skip
    assert len(columns(classifier(20))) == 24
    assert columns(classifier(21)) == ["id", "text", "prediction", "probability"]
    assert len(columns(classifier(21), Shown(every=True))) == 25
    top = [f"{what}_{place}" for place in range(1, 4) for what in ("label", "probability")]
    assert columns(classifier(2), Shown(top=3))[4:] == top[:4]
    assert columns(classifier(77), Shown(top=3))[4:] == top
    assert len(columns(classifier(77), is_one=True)) == 24


def test_the_likeliest_come_first() -> None:
    layout = Layout(top=2, every=False)
    found = predict_table(classifier(3), Rows(["1"], ["a"]), layout)
    assert [found[name][0] for name in ("label_1", "probability_1", "label_2")] == [
        "label 2", 0.5, "label 1",
    ]  # fmt: skip


@pytest.mark.parametrize(("top", "every"), [(0, None), (-1, None), (2, True)])
def test_impossible_columns_are_refused(top: int, every: bool | None) -> None:
    with pytest.raises(RecipeError, match="--top"):
        Shown(top, every)


@pytest.mark.parametrize(
    ("names", "id_column", "kept"),
    [
        (["review", "stars"], None, ["id", "review", "stars"]),
        (["review", "nr"], "nr", ["id", "review", "nr"]),
        (["text", "id"], "id", ["text", "id"]),
        (["text", "id"], None, ["finetext:id", "text", "id"]),
        (["text", "ID"], "ID", ["text", "ID"]),
        (["text", "ID"], None, ["finetext:id", "text", "ID"]),
        (["text", "Prediction", "set"], None, ["id", "text", "Prediction", "set"]),
        (["label", "predicted", "Label"], None, ["id", "label", "predicted", "Label"]),
    ],
)
def test_columns_of_the_input_keep_their_names(
    names: list[str], id_column: str | None, kept: list[str]
) -> None:
    assert columns(classifier(2), Shown(), names, id_column)[:-4] == kept


@pytest.mark.parametrize(
    ("names", "own"),
    [
        (["Prediction"], ["finetext:prediction", "probability", "probability:label 0"]),
        (["finetext:prediction"], [f"{OWN_NAME * 2}prediction", "probability"]),
        (
            ["probability:x"],
            ["prediction", "probability", "finetext:probability:label 0"],
        ),
        (
            ["probability:label 0", "finetext:probability:label 0"],
            ["prediction", "probability", f"{OWN_NAME * 2}probability:label 0"],
        ),
    ],
)
def test_columns_of_predictions_get_a_prefix_where_the_input_has_their_name(
    names: list[str], own: list[str]
) -> None:
    found = columns(classifier(2), Shown(), names)[1 + len(names) :]
    assert found[: len(own)] == own
    assert len({name.casefold() for name in [*found, *names]}) == len(found) + len(names)


def test_names_of_the_likeliest_are_only_taken_where_they_are_shown() -> None:
    assert "label_1" in columns(classifier(2), Shown(), ["label_1"])
    assert columns(classifier(2), Shown(top=1), ["label_1"])[1] == "label_1"
    assert "finetext:label_1" in columns(classifier(2), Shown(top=1), ["label_1"])


@pytest.mark.parametrize("size", [3, None])
def test_batches_lie_at_the_same_places_and_hold_every_row(
    monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    monkeypatch.setattr(tables, "ROWS", 3)
    ids = [str(number) for number in range(10)]
    parts = ((range(7), 0.7), (range(7, 10), 1.0))
    chunks = [Rows([ids[n] for n in of], ids[:3], share, {"n": of}) for of, share in parts]
    found = list(batches(Texts(iter(chunks)), size))
    assert [len(batch) for batch in found] == [3, 3, 1, 3]
    assert [i for batch in found for i in batch.ids] == ids
    assert [n for batch in found for n in batch.columns["n"]] == list(range(10))
    assert [round(batch.share, 2) for batch in found] == [0.3, 0.6, 0.7, 1.0]


@pytest.mark.parametrize("pieces_of", [100, 1 << 20])
@pytest.mark.parametrize("out", ["out.csv", "out.tsv", "out.jsonl", "out.csv.gz", "out.parquet"])
def test_table_with_older_predictions_keeps_them(
    command: Command, finished: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch,
    pieces_of: int, out: str,
) -> None:  # fmt: skip
    import pandas as pd

    monkeypatch.setattr(stream, "BYTES", pieces_of)
    rows = [f'{n},"a film, {n}",old {n},0.{n}' for n in range(1, 10)]
    Path("in.csv").write_text("\n".join(["stars,text,prediction,probability", *rows]))
    seen = command("predict", finished, "in.csv", "--out", out)
    assert seen.status == 0
    assert (
        "warning: the input has columns with names of predictions, so of the predictions "
        "'prediction' is 'finetext:prediction', 'probability' is 'finetext:probability'\n"
    ) in seen.err
    read = {
        ".jsonl": lambda: pd.DataFrame(map(json.loads, Path(out).read_text().splitlines())),
        ".parquet": lambda: pd.read_parquet(out),
    }.get(
        Path(out).suffix,
        lambda: pd.read_csv(out, sep="\t" if ".tsv" in out else ",", dtype=str),
    )
    found = read()
    assert list(found) == ["id", "stars", "text", "prediction", "probability", *NEW]
    assert found["text"].tolist() == [f"a film, {n}" for n in range(1, 10)]
    assert found["prediction"].tolist() == [f"old {n}" for n in range(1, 10)]
    assert set(found["finetext:prediction"]) <= {"good", "bad"}


def test_types_of_parquet_are_kept(command: Command, finished: Path, workplace: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    when = datetime.datetime(2024, 5, 1, 12, 30)
    given = pa.table({
        "text": ["a fine film", "a dull film"],
        "when": pa.array([when, None], pa.timestamp("us")),
        "tags": [["a", "b"], []],
        "about": [{"x": 1}, {"x": 2}],
        "kind": pa.array(["one", "two"]).dictionary_encode(),
        "stars": pa.array([5, None], pa.int8()),
    })  # fmt: skip
    pq.write_table(given, "in.parquet")
    assert command("predict", finished, "in.parquet", "--out", "out.parquet").status == 0
    found = pq.read_table("out.parquet")
    assert found.column_names == ["id", *given.column_names, *OWN]
    for name in given.column_names:
        assert found.schema.field(name).type == given.schema.field(name).type
        assert found[name].to_pylist() == given[name].to_pylist()
    assert command("predict", finished, "in.parquet", "--out", "out.jsonl").status == 0
    first = json.loads(Path("out.jsonl").read_text().splitlines()[0])
    assert (first["when"], first["tags"], first["about"], first["stars"]) == (
        "2024-05-01T12:30:00", ["a", "b"], {"x": 1}, 5,
    )  # fmt: skip


@pytest.mark.parametrize("pieces_of", [60, 1 << 20])
def test_keys_that_only_later_lines_have_are_columns(
    command: Command, finished: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch,
    pieces_of: int,
) -> None:  # fmt: skip
    import pyarrow.parquet as pq

    monkeypatch.setattr(stream, "BYTES", pieces_of)
    lines: list[dict[str, Any]] = [{"text": f"a film {n}", "n": n} for n in range(8)]
    lines += [{"text": "a film", "n": 0.5, "late": [1, "é"], "yes": True}]
    lines += [{"text": "half \ud83d", "late": "word", "big": 2**70}]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        assert command("predict", finished, "in.jsonl", "--out", name).status == 0
    rows = table("out.csv")
    assert list(rows[0]) == ["id", "text", "n", "late", "yes", "big", *OWN]
    assert [rows[8][name] for name in ("n", "late", "yes")] == ["0.5", '[1, "é"]', "true"]
    told = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [told[8]["late"], told[9]["late"], told[9]["big"]] == [[1, "é"], "word", 2**70]
    assert told[9]["text"] == "half \ufffd"
    found = pq.read_table("out.parquet").to_pylist()
    assert [found[8]["late"], found[9]["late"]] == ['[1, "é"]', "word"]
    assert [row["n"] for row in found] == [*range(8), 0.5, None]


def test_folder_of_documents_keeps_names_and_classes(
    command: Command, finished: Path, workplace: Path
) -> None:
    for name, text in (("good/1.txt", "a fine film"), ("bad/2.txt", "a dull film")):
        Path("films", name).parent.mkdir(parents=True)
        Path("films", name).write_text(text)
    assert command("predict", finished, "films", "--out", "out.csv").status == 0
    assert list(table("out.csv")[0]) == ["id", "text", "label", *OWN]
    compared = read_predicted_table(Path("out.csv"))
    assert compared.predictions.ids == ("bad/2.txt", "good/1.txt")
    assert compared.predictions.scheme.decode(compared.predictions.targets) == ["bad", "good"]


def test_table_with_labels_can_be_compared(command: Command, finished: Path, reviews: Path) -> None:
    assert command("predict", finished, reviews, "--out", "out.csv").status == 0
    assert list(table("out.csv")[0]) == ["id", "text", "label", "movie", *OWN]
    found = read_predicted_table(Path("out.csv"))
    assert len(found.predictions) == 60
    assert found.texts is not None
    assert command("errors", "out.csv").status == 0


def test_compressed_and_plain_are_the_same(command: Command, finished: Path, reviews: Path) -> None:
    for name in ("out.csv", "out.csv.gz"):
        assert command("predict", finished, reviews, "--out", name).status == 0
    assert gzip.decompress(Path("out.csv.gz").read_bytes()) == Path("out.csv").read_bytes()


def test_many_labels_at_the_command_line(command: Command, workplace: Path) -> None:
    classifier(77).save("many")
    out = command("predict", "many", "a film").out.splitlines()
    assert len(out) == 12
    assert out[-1] == "and 67 less likely labels (--all shows them)"
    assert len(command("predict", "many", "a film", "--all").out.splitlines()) == 78
    assert len(command("predict", "many", "a film", "--top", "3").out.splitlines()) == 5
    told = json.loads(command("predict", "many", "a film", "--json", "--top", "1").out)
    assert list(told[0])[2:] == ["prediction", "probability", "label_1", "probability_1"]
    seen = command("predict", "many", "a film", "--top", "1", "--all")
    assert (seen.status, seen.out) == (2, "")
    assert "give one" in seen.err


def test_empty_texts_are_found_in_all_batches_and_pass_through() -> None:
    given = [Rows(["1", "2"], ["a", ""]), Rows([], []), Rows(["3", "4"], [" \n\u3000", "b"])]
    empty = EmptyTexts(None)
    assert list(empty.watched(iter(given))) == given
    [finding] = empty.findings
    assert finding.message.startswith("the text is empty in 2 rows (row 2, row 3); ")
    many = EmptyTexts("key")
    assert len(list(many.watched(Rows([str(n)], [""]) for n in range(7)))) == 7
    assert "7 rows (id 0, id 1, id 2, id 3, id 4, ...)" in many.findings[0].message
    full = EmptyTexts(None)
    assert list(full.watched(iter(given[:0]))) == []
    assert full.findings == ()
