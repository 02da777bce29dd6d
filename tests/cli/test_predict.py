"""`finetext predict` and `finetext plot`."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetext.batch.output import Files, opened
from finetext.core.errors import DataError

Command = Callable[..., Any]
TEXT = "a fine and moving film"
COLUMNS = ["id", "text", "prediction", "probability", "probability:bad", "probability:good"]
LINES = [f"{word} film number {number}" for number in range(20) for word in ("a", "the", "this")]
PREDICT = [sys.executable, "-m", "finetext", "predict"]


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_predict_a_text(command: Command, finished: Path) -> None:
    seen = command("predict", finished, TEXT)
    assert seen.err == ""
    first, *rest = seen.out.splitlines()
    assert first == "prediction: good"
    chances = [float(line.split()[0]) for line in rest]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1.0, abs=1e-3)
    told = json.loads(command("predict", finished, TEXT, "--json").out)
    assert list(told[0]) == COLUMNS
    assert told[0]["text"] == TEXT


def test_predict_the_empty_text(command: Command, finished: Path) -> None:
    assert command("predict", finished, "").out.startswith("prediction: ")


def test_predict_standard_input_line_by_line(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, b'a fine film\r\n\ndull, "empty" caf\xe9\n')
    seen = command("predict", finished, "-")
    rows = list(csv.DictReader(io.StringIO(seen.out)))
    assert [row["text"] for row in rows] == ["a fine film", 'dull, "empty" café']
    assert [row["id"] for row in rows] == ["1", "3"]
    assert "note: standard input: 1 blank line skipped" in seen.err
    assert "not UTF-8" in seen.err
    feed(monkeypatch, b"")
    assert "standard input is empty" in command("predict", finished, "-", status=2).err


def test_a_file_or_standard_input_of_one_row_is_still_a_table(
    command: Command, workplace: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("one.csv").write_text(f"text,label\n{TEXT},good\n")
    from_file = command("predict", finished, "one.csv").out
    feed(monkeypatch, TEXT.encode())
    (row,) = csv.DictReader(io.StringIO(from_file))
    assert row.pop("label") == "good"
    assert list(row) == COLUMNS
    assert row["prediction"] == "good"
    assert [row] == list(csv.DictReader(io.StringIO(command("predict", finished, "-").out)))


def test_predict_a_file_into_every_format(
    command: Command, workplace: Path, finished: Path
) -> None:
    import pyarrow.parquet

    texts = ["b film, fine", 'a "dull"\nfilm', "tab\there"]
    columns = {"nr": ["x", "y", "z"], "text": texts}
    pyarrow.parquet.write_table(pyarrow.table(columns), "in.parquet")
    told = "in.parquet: Parquet; text 'text', id 'nr'"
    for name in ("out.csv", "out.tsv", "out.jsonl", "out.parquet"):
        seen = command("predict", finished, "in.parquet", "--id", "nr", "--out", name)
        assert (seen.status, seen.out, seen.err) == (0, "", f"{told}\n3 predictions: {name}\n")
    tables = [
        list(csv.DictReader(io.StringIO(Path("out.csv").read_text()))),
        list(csv.DictReader(io.StringIO(Path("out.tsv").read_text()), delimiter="\t")),
        [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()],
        pyarrow.parquet.read_table("out.parquet").to_pylist(),
    ]
    for table in tables:
        assert [(row["id"], row["text"]) for row in table] == list(zip("xyz", texts, strict=True))
        assert list(table[0]) == [COLUMNS[0], "nr", *COLUMNS[1:]]
        chance = [float(row["probability"]) for row in table]
        assert chance == [float(row["probability"]) for row in tables[0]]
    assert {path.name for path in workplace.iterdir()} == {
        "in.parquet", "out.csv", "out.tsv", "out.jsonl", "out.parquet",
    }  # fmt: skip


@pytest.fixture
def lines(workplace: Path) -> Path:
    path = workplace / "lines.txt"
    path.write_text("\n".join(LINES))
    return path


def test_lines_are_texts_and_how_they_were_read_is_said(
    command: Command, finished: Path, lines: Path
) -> None:
    seen = command("predict", finished, lines, "--out", "out.jsonl")
    assert "lines.txt: one text a line; text 'text'; 60 rows\n" in seen.err
    rows = map(json.loads, Path("out.jsonl").read_text().splitlines())
    assert [row["text"] for row in rows] == LINES
    assert command("predict", finished, lines, "--quiet").err == ""


def test_a_folder_that_cannot_be_written_is_told_before_any_work(
    command: Command, finished: Path, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(30, "Read-only file system")

    def work(*arguments: object) -> None:
        raise AssertionError

    with monkeypatch.context() as patched:
        patched.setattr("finetext.batch.files.open_own", refuse)
        patched.setattr(Path, "unlink", refuse)
        patched.setattr("finetext.runs.load.load_for", work)
        seen = command("predict", finished, lines, "--out", "out.csv", status=2)
    assert seen.err == "finetext: out.csv cannot be written: [Errno 30] Read-only file system\n"


def test_a_part_that_cannot_be_removed_does_not_hide_the_error(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(DataError, match="the first"), opened(Files(Path("out.csv"))):
        raise DataError("the first")


@pytest.mark.parametrize("out", ["in.csv", "./in.csv", "link.csv"])
def test_the_input_is_not_written_over(
    command: Command, finished: Path, workplace: Path, out: str
) -> None:
    Path("in.csv").write_text("text\na fine film\n")
    Path("link.csv").symlink_to("in.csv")
    seen = command("predict", finished, "in.csv", "--out", out, status=2)
    assert "is an input of this command; write to another file" in seen.err
    assert Path("in.csv").read_text() == "text\na fine film\n"


def test_a_link_is_written_through(command: Command, finished: Path, workplace: Path) -> None:
    Path("there").mkdir()
    Path("link.csv").symlink_to("there/real.csv")
    Path("in.csv").write_text("text\na fine film\n")
    assert command("predict", finished, "in.csv", "--out", "link.csv").status == 0
    assert Path("link.csv").is_symlink()
    assert "a fine film" in Path("there/real.csv").read_text()
    assert sorted(file.name for file in Path("there").iterdir()) == ["real.csv"]


def test_two_can_write_one_file_with_usual_permissions(workplace: Path) -> None:
    usual, path = Path("usual"), Path("out.jsonl")
    usual.touch()
    with opened(Files(path)) as one, opened(Files(path)) as two:
        for output, row in ((one, "1"), (two, "2"), (one, "3")):
            if row != "3":
                output.begin(None, {})
            output.write({"id": [row], "prediction": ["a"]})
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["1", "3"]
    assert path.stat().st_mode == usual.stat().st_mode
    assert sorted(file.name for file in workplace.iterdir()) == ["out.jsonl", "usual"]


def test_missing_texts_are_told(command: Command, finished: Path, workplace: Path) -> None:
    Path("in.jsonl").write_text('{"text": "a fine film"}\n{"text": null}\n{"other": 1}\n')
    seen = command("predict", finished, "in.jsonl")
    assert "warning: in.jsonl: the text is missing in 2 rows (line 2, line 3)" in seen.err
    assert len(seen.out.splitlines()) == 4


def test_empty_texts_are_told_with_their_rows(command: Command, finished: Path) -> None:
    Path("in.csv").write_text('text\na fine film\n"  "\na dull film\n""\n')
    seen = command("predict", finished, "in.csv", "--out", "out.csv", status=0)
    assert "warning: the text is empty in 2 rows (row 2, row 4); these predictions" in seen.err
    assert len(Path("out.csv").read_text().splitlines()) == 5
    assert "the text is empty in 1 row (row 1)" in command("predict", finished, "", status=0).err
    assert "empty" not in command("predict", finished, "a fine film", status=0).err


def test_a_closed_standard_input(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    seen = command("predict", finished, "-", status=2)
    assert seen.err == "finetext: standard input is closed; give one text per line\n"


@pytest.fixture
def running(finished: Path, workplace: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A function that starts `predict`; what it started is ended."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: object) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        command = [*PREDICT, str(finished), *map(str, words)]
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_output_that_nobody_reads_ends_in_silence(
    running: Callable[..., subprocess.Popen[bytes]], lines: Path, form: tuple[str, ...]
) -> None:
    process = running(lines, "--quiet", *form)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 141


@pytest.mark.skipif(os.name == "nt", reason="no such signal here")
@pytest.mark.parametrize("words", [("in.csv",), ("in.csv", "--json")])
def test_a_standard_output_that_lacks_a_character_is_told(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    Path("in.csv").write_text("text\na café\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert command("predict", finished, *words, status=2).err.endswith(
        "finetext: the encoding of standard output, ascii, has no '\\xe9'; set "
        "PYTHONIOENCODING=utf-8, or write a file with --out\n"
    )


def test_sigterm_is_told_and_leaves_nothing(
    running: Callable[..., subprocess.Popen[bytes]], workplace: Path
) -> None:
    process = running("-", "--out", "out.csv")
    while not list(workplace.glob(".finetext-*/out.csv")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert said == b"finetext: stopped\n"
    # Stopped in an import, Python ends itself with the signal of Ctrl-C: 130 too, to a shell.
    assert process.returncode in (130, -signal.SIGINT)
    assert not list(workplace.glob("*out.csv")) + list(workplace.glob(".*"))


def test_bars_figures_and_picture(command: Command, finished: Path) -> None:
    seen = command("plot", finished, "a fine film", "--out", "bars.png", status=0)
    first, *bars = seen.out.splitlines()
    assert first == "prediction: good"
    assert [line.split()[0] for line in bars] == ["good", "bad"]
    assert all("█" in line for line in bars)
    assert "\x1b" not in seen.out
    assert seen.err == "picture: bars.png\n"
    assert Path("bars.png").stat().st_size > 5000
    told = json.loads(command("plot", finished, "a fine film", "--json").out)
    assert told["prediction"] == "good"
    assert list(told["probabilities"]) == ["good", "bad"]
    assert sum(told["probabilities"].values()) == pytest.approx(1)
    assert f"{told['probabilities']['good']:.4f}" in bars[0]
    assert told["picture"] is None


def test_fewer_bars_are_said(command: Command, finished: Path) -> None:
    seen = command("plot", finished, "a fine film", "--top", "1")
    assert len(seen.out.splitlines()) == 3
    assert "and 1 less likely label, together 0." in seen.out


def test_standard_input_is_one_text(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a fine\nfilm\n")))
    assert json.loads(command("plot", finished, "-", "--json").out)["text"] == "a fine\nfilm"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["in.txt"], "in.txt is a file, and this shows one text"),
        (["nothere.txt"], "there is no file nothere.txt"),
        (["."], ". is a folder, and this shows one text\n"),
        (["https://example.org/x"], "https://example.org/x is an address, and"),
        (["a film", "--out", "x.jpg"], "must end in .png or .svg"),
        (["a film", "--out", "no/x.png"], "there is no folder no"),
    ],
)
def test_mistakes_are_told(command: Command, finished: Path, words: list[str], said: str) -> None:
    Path("in.txt").write_text("a fine film")
    assert said in command("plot", finished, *words, status=2).err
