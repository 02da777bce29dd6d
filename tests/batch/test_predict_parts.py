"""One process's share of a table in parts: columns, types and empty files of every format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from finetext import Listener, load, predict_parts
from finetext.core.errors import DataError, ModelError, RecipeError
from finetext.core.settings import ReadSettings
from finetext.data import pieces


def quiet(*given: Any, **options: Any) -> Any:
    return predict_parts(*given, listener=Listener(), **options)


def predicted(out: object) -> pa.Table:
    """Return the rows that a reader of folders of Parquet finds."""
    return ds.dataset(str(out)).to_table()


def test_text_files_and_a_later_one_with_other_columns(finished: Path, workplace: Path) -> None:
    for number in range(3):
        rows = "".join(f"a fine film,{n}\n" for n in range(number + 1))
        Path(f"{number}.csv").write_text(f"text,n\n{rows}")
    done = quiet(finished, ["0.csv", "1.csv", "2.csv"], "out")
    assert (done.rows, done.parts) == (6, 3)
    assert predicted("out")["n"].to_pylist() == list("001012")
    Path("2.csv").write_text("text,m\na fine film,1\n")
    with pytest.raises(DataError, match=r"2.csv has other columns than .*0.csv: it lacks .* 'n'"):
        quiet(finished, ["0.csv", "1.csv", "2.csv"], "other")
    assert not Path("other").exists()


def test_a_text_file_of_a_header_alone_is_an_empty_part(finished: Path, workplace: Path) -> None:
    for number, rows in enumerate(["", "a fine film,1\n", ""]):
        Path(f"{number}.csv").write_text(f"text,n\n{rows}")
    done = quiet(finished, ["0.csv", "1.csv", "2.csv"], "out")
    assert (done.rows, done.parts, done.is_complete) == (1, 3, True)
    assert predicted("out")["n"].to_pylist() == ["1"]
    with pytest.raises(DataError, match=r"0.csv: there are no rows"):
        quiet(finished, ["0.csv", "2.csv"], "none")
    assert not Path("none").exists()


def test_the_column_of_the_texts_can_be_named(finished: Path, workplace: Path) -> None:
    columns = {"prediction": ["mine"] * 2, "satz": ["a fine film", ""], "rejected": [1, 2]}
    pq.write_table(pa.table(columns), "in.parquet")
    with pytest.raises(DataError, match=r"in.parquet has no column 'text'"):
        quiet(finished, "in.parquet", "out", read=ReadSettings(text="text"))
    assert not Path("out").exists()
    quiet(finished, "in.parquet", "out", read=ReadSettings(text="satz"))
    found = predicted("out")
    assert found.select(list(columns)).to_pydict() == columns
    assert found["finetext:rejected"].null_count == 2  # the empty text is one
    assert set(found["finetext:prediction"].to_pylist()) <= {"good", "bad"}


@pytest.mark.parametrize("name", ["{}.csv", "{}.jsonl", "{}.csv.gz"])
def test_an_empty_text_file_is_an_empty_part(finished: Path, workplace: Path, name: str) -> None:
    """Of no byte, as Spark and Beam write an empty partition."""
    rows = '{"text": "a fine film", "n": "1"}\n' if "json" in name else "text,n\na fine film,1\n"
    for number, text in enumerate(["", rows, "", rows]):
        opened = gzip.open if name.endswith(".gz") and text else open
        with opened(name.format(number), "wt", encoding="utf-8") as file:
            file.write(text)
    done = [quiet(finished, ".", "../out", shard=f"{number}/2") for number in (2, 1)]
    assert [(of.rows, of.written, of.is_complete) for of in done] == [(1, 2, False), (1, 2, True)]
    assert predicted("../out")["n"].to_pylist() == ["1", "1"]
    with pytest.raises(DataError, match="there are no rows"):
        quiet(finished, [name.format(0), name.format(2)], "../none")


def test_files_that_differ_in_nullability_are_one_table(finished: Path, workplace: Path) -> None:
    for name, stars in (("a", [1, 2]), ("b", [3, None])):
        kind = pa.field("stars", pa.int64(), nullable=None in stars)
        schema = pa.schema([("text", pa.string()), kind])
        pq.write_table(
            pa.table({"text": ["a film"] * 2, "stars": stars}, schema), f"{name}.parquet"
        )
    for shard in ("2/2", "1/2"):
        done = quiet(finished, ["a.parquet", "b.parquet"], "out", shard=shard)
    assert done.is_complete
    assert predicted("out")["stars"].to_pylist() == [1, 2, 3, None]
    assert len({pq.read_schema(part) for part in Path("out").glob("part-*")}) == 1


def test_json_lines_whose_files_show_other_types(finished: Path, workplace: Path) -> None:
    """All of them decide on the types, whichever share a process has."""
    files = [
        [{"text": "a fine film", "stars": None, "price": 1}],
        [{"price": 2.5, "stars": 4, "text": "a dull film"}],
        [{"text": "a film"}],
    ]
    for number, rows in enumerate(files):
        Path(f"{number}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for number in (3, 1, 2):
        quiet(finished, ".", "../out", shard=f"{number}/3")
    found = predicted("../out")
    assert found["stars"].to_pylist() == [None, 4, None]
    assert found["price"].to_pylist() == [1.0, 2.5, None]
    assert len({pq.read_schema(part) for part in Path("../out").glob("part-*")}) == 1
    Path("2.jsonl").write_text('{"text": "a film", "stars": "many"}\n')
    with pytest.raises(DataError, match=r"2.jsonl has other columns .*: column 'stars' is string"):
        quiet(finished, ".", "../other", shard="1/3")
    assert not Path("../other").exists()


def test_a_file_of_a_large_table_that_changed_between_shards_is_noticed(
    finished: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_HASHED", 0)
    for number in range(4):
        Path(f"{number}.csv").write_text(f"text,n\na fine film,{number}\n")
    quiet(finished, ".", "../out", shard="1/2")
    text = Path("0.csv").read_text()
    Path("0.csv").write_text(text.replace("fine", "dull"))  # of another shard, and as long
    said = r"out has parts of another prediction: the input changed\. .*: copies must keep it"
    with pytest.raises(DataError, match=said):
        quiet(finished, ".", "../out", shard="2/2")
    assert len(list(Path("../out").glob("part-*"))) == 2


def test_columns_of_partitions_are_said_to_be_missing(finished: Path, workplace: Path) -> None:
    for day in (1, 2):
        Path(f"in/day={day}").mkdir(parents=True)
        pq.write_table(pa.table({"text": ["a fine film"]}), f"in/day={day}/a.parquet")
    heard = list[str]()
    predict_parts(
        finished, "in", "out", listener=Listener(finding=lambda of: heard.append(of.code))
    )
    assert heard == ["partition-columns"]
    assert "day" not in predicted("out").column_names


def test_what_is_no_file_model_or_shard_is_refused(finished: Path, workplace: Path) -> None:
    pq.write_table(pa.table({"text": ["a fine film"]}), "in.parquet")
    with pytest.raises(ModelError, match=r"folder or name of the model, not a .*Classifier"):
        quiet(load(finished), "in.parquet", "out")
    with pytest.raises(DataError, match=r"made of files: .* not a Table"):
        quiet(finished, pa.table({"text": ["a"]}), "out")
    for shard in (1, (2, 3), "0/3"):
        with pytest.raises(RecipeError, match=r"write which of how many"):
            quiet(finished, "in.parquet", "out", shard=shard)
