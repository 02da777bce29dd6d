"""`predict_file` gives what `finetext predict` gives, to the byte."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import finetext
from finetext import Listener, ReadSettings, predict_file
from finetext.batch import output, tables
from finetext.batch.predict_file import PredictedFile
from finetext.core.errors import DataError, RecipeError
from finetext.data import stream

Command = Callable[..., Any]
ROWS = 60


@pytest.fixture
def source(workplace: Path) -> Path:
    rows = [f'{n},"a fine, {"dull" if n % 3 else "moving"} film of {n} parts"' for n in range(ROWS)]
    Path("in.csv").write_text("\n".join(["nr,text", *rows]) + "\n")
    return Path("in.csv")


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "EVERY", 0.0)
    monkeypatch.setattr(tables, "ROWS", 4)
    monkeypatch.setattr(stream, "BYTES", 300)
    monkeypatch.setattr(stream, "ROWS", 10)


def quiet(*given: Any, **options: Any) -> PredictedFile:
    return predict_file(*given, listener=Listener(), **options)


def stop_at(batch: int) -> Callable[..., None]:
    """Return a consumer of batches that raises Ctrl-C at one of them."""
    seen: list[Any] = []

    def each(*given: Any) -> None:
        seen.append(given)
        if len(seen) == batch:
            raise KeyboardInterrupt

    return each


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.jsonl", "out.csv.gz", "out.parquet"])
def test_file_equals_that_of_the_command(
    command: Command, finished: Path, source: Path, name: str
) -> None:
    assert command("predict", finished, source, "--out", f"c-{name}", "--top", 1).status == 0
    result = quiet(finished, source, name, top=1)
    assert result == PredictedFile(ROWS, 0, Path(name))
    assert Path(name).read_bytes() == Path(f"c-{name}").read_bytes()
    assert quiet(finetext.load(finished), source, name, top=1, force=True) == result
    assert Path(name).read_bytes() == Path(f"c-{name}").read_bytes()


def test_half_a_surrogate_pair_in_the_name_of_a_column_is_replaced(
    finished: Path, workplace: Path
) -> None:
    rows = ({"text": f"a film of {n} parts", "\ud800c": "\udfff"} for n in range(3))
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert quiet(finished, "in.jsonl", "out.parquet").rows == 3
    table = pyarrow.parquet.read_table("out.parquet")
    assert table["\ufffdc"].to_pylist() == ["\ufffd"] * 3


def test_rejected_rows_equal_those_of_the_command(
    command: Command, finished: Path, source: Path
) -> None:
    source.write_text(source.read_text() + "short\n")
    words = ("--out", "a.csv", "--set-aside", "bad-a.csv", "--id", "nr")
    assert command("predict", finished, source, *words).status == 0
    said: list[str] = []
    result = predict_file(
        finished, source, "b.csv", rejected="bad-b.csv", read={"id": "nr"},
        listener=Listener(said.append),
    )  # fmt: skip
    assert (result.rows, result.rejected) == (ROWS, 1)
    assert said[-2:] == ["60 predictions: b.csv", "1 row of 61 rejected: bad-b.csv"]
    for name in ("a.csv", "bad-a.csv"):
        assert Path(name).read_bytes() == Path(name.replace("a.csv", "b.csv")).read_bytes()
    with pytest.raises(DataError, match="line 62: 2 comma-separated fields"):
        quiet(finished, source, "c.csv")


def test_table_is_returned_without_a_file(finished: Path, source: Path) -> None:
    result = quiet(finished, source, columns=False, every=False)
    assert result.table is not None
    assert list(result.table) == ["id", "text", "prediction", "probability"]
    assert len(result.table["prediction"]) == result.rows == ROWS
    one = quiet(finished, "a fine film")
    assert one.table is not None
    assert one.table["text"] == ["a fine film"]
    tables_seen: list[Any] = []
    result = quiet(finished, source, batch_size=7, each=lambda _, of: tables_seen.append(of))
    assert result.table is None
    assert [len(of["prediction"]) for of in tables_seen] == [7] * 8 + [4]


def test_labels_are_never_required(finished: Path, reviews: Path) -> None:
    by_name = quiet(finished, reviews, read={"text": "text"})
    assert by_name.table == quiet(finished, reviews, read=ReadSettings(text="text")).table


@pytest.mark.usefixtures("small_steps")
def test_stopped_prediction_is_resumed_with_the_same_settings_only(
    command: Command, finished: Path, source: Path
) -> None:
    quiet(finished, source, "whole.csv", batch_size=5)
    with pytest.raises(KeyboardInterrupt, match="rows are kept; to continue, run the same"):
        quiet(finished, source, "out.csv", batch_size=5, each=stop_at(8))
    for change, said in (
        ({"batch_size": 6}, "batch_size was 5 and is 6"),
        ({"columns": False}, "columns was not set and is left out"),
        ({"read": {"header": True}}, "--set data.header was not set and is True"),
    ):
        with pytest.raises(DataError, match=said):
            quiet(finished, source, "out.csv", resume=True, **{"batch_size": 5, **change})
    with pytest.raises(DataError, match="resume it with --resume"):
        quiet(finished, source, "out.csv", batch_size=5)
    assert quiet(finished, source, "out.csv", batch_size=5, resume=True).rows == ROWS
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert not list(Path().glob(".out*"))


@pytest.mark.usefixtures("small_steps")
def test_prediction_of_the_command_is_resumed_in_python(
    command: Command, finished: Path, source: Path
) -> None:
    """The assignments of `--set` are compared as they are read, in the form of older versions."""
    read = {"text": "text", "encoding": "utf-8", "header": True}
    quiet(finished, source, "whole.csv", read=read)
    with pytest.raises(KeyboardInterrupt):
        quiet(finished, source, "out.csv", read=read, each=stop_at(5))
    state = json.loads(Path(".out.csv.part.json").read_text())
    assert list(state) == ["format", "identity", "rows", "bad", "size", "aside", "aside_size"]
    state["identity"]["options"] = {
        "--text": "text", "--set": ["data.encoding=utf-8", "data.header = true"]
    }  # fmt: skip
    Path(".out.csv.part.json").write_text(json.dumps(state))
    words = ("--text", "text", "--set", "data.encoding=utf-8", "--set", "data.header=true")
    seen = command("predict", finished, source, "--out", "out.csv", "--resume", *words)
    assert seen.status == 0, seen.err
    assert "resuming after" in seen.err
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("state", ["{", "[]", "{}", '{"format": 2}', '{"format": 1, "rows": 1}'])
def test_unreadable_state_or_that_of_another_version_starts_over(
    finished: Path, source: Path, state: str
) -> None:
    quiet(finished, source, "whole.csv")
    with pytest.raises(KeyboardInterrupt):
        quiet(finished, source, "out.csv", each=stop_at(5))
    Path(".out.csv.part.json").write_text(state)
    said: list[str] = []
    predict_file(finished, source, "out.csv", resume=True, listener=Listener(said.append))
    assert "there is nothing to resume" in said
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.usefixtures("small_steps")
def test_kill_between_any_two_writes_is_resumed(
    finished: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = source.read_text().splitlines()
    lines[20] = "short"
    source.write_text("\n".join(lines))
    how = {"rejected": "bad.csv", "batch_size": 20}
    quiet(finished, source, "out.csv", **how)
    expected = [Path(name).read_bytes() for name in ("out.csv", "bad.csv")]
    real = os.fsync
    for killed in range(1, 100):
        for path in Path().glob("*out.csv*"):
            path.unlink()
        Path("bad.csv").unlink(missing_ok=True)
        writes = 0

        def fsync(handle: int, killed: int = killed) -> None:
            nonlocal writes
            writes += 1
            if writes == killed:
                raise SystemExit(9)
            real(handle)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fsync)
            patched.setattr(output.Output, "close", lambda self: release_locks(self))
            with suppress(SystemExit):
                quiet(finished, source, "out.csv", **how)
        done = writes < killed
        if not done:
            quiet(finished, source, "out.csv", resume=True, **how)
            assert not Path(".out.csv.part.json").exists()
        assert [Path(name).read_bytes() for name in ("out.csv", "bad.csv")] == expected
        if done:
            break
    assert killed > 10


def release_locks(self: Any) -> None:
    """Leave everything else as a kill does."""
    for part in filter(None, (self._out, self._rejected)):
        part.file.close()
        part.lock.release()


def test_what_cannot_be_predicted_is_refused_before_any_work(finished: Path, source: Path) -> None:
    classifier = finetext.load(finished)
    for given, options, said in (
        ((classifier, source, "out.csv"), {"resume": True}, "give its model folder"),
        ((finished, source, "out.csv"), {"batch_size": 0}, "batch_size = 0"),
        ((finished, source, "out.csv"), {"top": 0}, "--top 0"),
        ((finished, "a text", "out.csv"), {"rejected": "bad.csv"}, "this is one text"),
        ((finished, source, "in.csv"), {}, "in.csv is an input of this command"),
    ):
        with pytest.raises((RecipeError, DataError), match=said):
            quiet(*given, **options)
    assert [path.name for path in Path().iterdir()] == ["in.csv"]
