"""A prediction that was stopped or killed resumes, and ends as one that never was."""

from __future__ import annotations

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

from finetext.batch import output, tables
from finetext.batch.files import part_at
from finetext.data import stream

Command = Callable[..., Any]
ROWS = 100


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is done, and kept, a few rows at a time."""
    monkeypatch.setattr(output, "EVERY", 0.0)
    monkeypatch.setattr(tables, "ROWS", 4)
    monkeypatch.setattr(stream, "BYTES", 300)
    monkeypatch.setattr(stream, "ROWS", 10)


@pytest.fixture
def source(workplace: Path) -> Path:
    rows = [f'{n},"a fine, {"dull" if n % 3 else "moving"} film of {n} parts"' for n in range(ROWS)]
    Path("in.csv").write_text("\n".join(["nr,text", *rows]) + "\n")
    return Path("in.csv")


@pytest.fixture
def stopped_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, BaseException], None]:
    """A function that has a prediction end with an error after so many pieces."""

    def stop(pieces: int, error: BaseException) -> None:
        done = 0

        def predicts(*arguments: Any) -> Any:
            nonlocal done
            done += 1
            if done > pieces:
                monkeypatch.setattr(tables, "predict_table", real)
                raise error
            return real(*arguments)

        real = tables.predict_table
        monkeypatch.setattr(tables, "predict_table", predicts)

    return stop


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("out.csv", KeyboardInterrupt()),
        ("out.tsv", RuntimeError("memory")),
        ("out.jsonl", OSError("disk")),
        ("out.csv.gz", KeyboardInterrupt()),
        ("out.jsonl.gz", RuntimeError("memory")),
    ],
)
def test_stopped_prediction_resumes_to_the_same_bytes(
    command: Command, finished: Path, source: Path, name: str, error: BaseException,
    stopped_after: Callable[[int, BaseException], None],
) -> None:  # fmt: skip
    assert command("predict", finished, source, "--out", f"whole.{name}").status == 0
    expected = Path(f"whole.{name}").read_bytes()
    Path(f"whole.{name}").unlink()
    words = ("predict", finished, source, "--out", name)
    stopped_after(7, error)
    seen = command(*words)
    assert seen.status in (1, 2, 130)
    assert names() == [f".{name}.part", f".{name}.part.json", "in.csv"]
    if isinstance(error, KeyboardInterrupt):
        assert "to continue, run the same command with --resume" in seen.err
    again = command(*words)
    assert again.status == 2
    assert "was stopped after" in again.err
    assert "--resume, or delete" in again.err
    stopped_after(3, KeyboardInterrupt())
    assert command(*words, "--resume").status == 130
    seen = command(*words, "--resume")
    assert seen.status == 0
    assert "resuming after" in seen.err
    assert f"{ROWS} predictions: {name}" in seen.err
    assert Path(name).read_bytes() == expected
    assert names() == ["in.csv", name]


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        (lambda: Path("in.csv").write_text("nr,text\n1,new\n"), (), "the input changed"),
        (lambda: os.utime("in.csv", (1, 1)), (), "the input changed"),
        (lambda: None, ("--top", "1"), "--top was not set and is 1"),
        (lambda: None, ("--text", "text"), "--text was not set and is text"),
        (lambda: None, ("--model",), "the model changed"),
    ],
)  # fmt: skip
def test_changes_are_named(
    command: Command, finished: Path, source: Path, tmp_path: Path, change: Callable[[], Any],
    words: tuple[str, ...], said: str, stopped_after: Callable[[int, BaseException], None],
) -> None:  # fmt: skip
    import finetext

    stopped_after(5, KeyboardInterrupt())
    command("predict", finished, source, "--out", "out.csv")
    before = {name: Path(name).read_bytes() for name in (".out.csv.part", ".out.csv.part.json")}
    change()
    model: Path = finished
    if "--model" in words:
        model, words = tmp_path / "other", ()
        finetext.fit(["a film", "a book"] * 6, ["film", "book"] * 6, "tfidf").save(model)
    seen = command("predict", model, source, "--out", "out.csv", "--resume", *words)
    assert seen.status == 2
    assert said in seen.err
    assert {name: Path(name).read_bytes() for name in before} == before
    seen = command("predict", model, source, "--out", "out.csv", *words)
    assert seen.status == 0
    assert names() == ["in.csv", "out.csv"]


@pytest.mark.usefixtures("small_steps")
def test_bad_row_after_long_work_can_be_rejected_on_resumption(
    command: Command, finished: Path, source: Path
) -> None:
    lines = source.read_text().splitlines()
    lines[71] += ",one too many"
    lines[90] += ",one too many"
    source.write_text("\n".join(lines))
    whole = ("--out", "whole.csv", "--set-aside", "whole-bad.csv")
    assert command("predict", finished, source, *whole).status == 0
    seen = command("predict", finished, source, "--out", "out.csv")
    assert seen.status == 2
    assert "line 72: 2 comma-separated fields expected" in seen.err
    assert "rows are kept; to continue" in seen.err
    assert "--set-aside FILE" in seen.err
    words = ("--out", "out.csv", "--set-aside", "bad.csv", "--resume")
    assert command("predict", finished, source, *words).status == 0
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert Path("bad.csv").read_bytes() == Path("whole-bad.csv").read_bytes()
    assert Path("bad.csv").read_text().count("\n") == 3


@pytest.mark.usefixtures("small_steps")
def test_rejected_rows_are_resumed_too(
    command: Command, finished: Path, source: Path,
    stopped_after: Callable[[int, BaseException], None],
) -> None:  # fmt: skip
    lines = source.read_text().splitlines()
    for number in (5, 33, 34, 60, 100):
        lines[number] = "short"
    source.write_text("\n".join(lines))
    whole = ("--out", "whole.csv", "--set-aside", "whole-bad.jsonl")
    assert command("predict", finished, source, *whole).status == 0
    words = ("predict", finished, source, "--out", "out.csv", "--set-aside", "bad.jsonl")
    stopped_after(14, KeyboardInterrupt())
    command(*words)
    seen = command(*words[:-1], "other.jsonl", "--resume")
    assert seen.status == 2
    assert "rejected rows were written to" in seen.err
    seen = command(*words, "--resume")
    assert "95 predictions: out.csv" in seen.err
    assert "5 rows of 100 rejected: bad.jsonl" in seen.err
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert Path("bad.jsonl").read_bytes() == Path("whole-bad.jsonl").read_bytes()
    assert names() == ["bad.jsonl", "in.csv", "out.csv", "whole-bad.jsonl", "whole.csv"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["in.csv"], "--resume needs an output file; name it with --out"),
        (["in.csv", "--out", "out.parquet"], "Parquet and Excel files cannot be appended to"),
        (["-", "--out", "out.csv"], "needs a file as input"),
        (["in.csv", "--out", "out.csv", "--json"], "leave one out"),
    ],
)
def test_what_cannot_be_resumed_is_refused(
    command: Command, finished: Path, source: Path, words: list[str], said: str
) -> None:
    seen = command("predict", finished, *words, "--resume")
    assert (seen.status, seen.out) == (2, "")
    assert said in seen.err
    assert names() == ["in.csv"]


def test_resumption_without_a_state_starts_over(
    command: Command, finished: Path, source: Path
) -> None:
    seen = command("predict", finished, source, "--out", "out.csv", "--resume")
    assert seen.status == 0
    assert "there is nothing to resume" in seen.err
    Path("out.csv").unlink()
    Path(".out.csv.part").write_text("damaged")
    Path(".out.csv.part.json").write_text("{")
    assert command("predict", finished, source, "--out", "out.csv", "--resume").status == 0
    assert names() == ["in.csv", "out.csv"]


@pytest.mark.usefixtures("small_steps")
def test_file_that_lost_its_end_starts_over(
    command: Command, finished: Path, source: Path,
    stopped_after: Callable[[int, BaseException], None],
) -> None:  # fmt: skip
    stopped_after(5, KeyboardInterrupt())
    command("predict", finished, source, "--out", "out.csv")
    size = json.loads(Path(".out.csv.part.json").read_text())["size"]
    os.truncate(".out.csv.part", size - 1)
    seen = command("predict", finished, source, "--out", "out.csv", "--resume")
    assert seen.status == 0
    assert "there is nothing to resume" in seen.err
    assert len(Path("out.csv").read_text().splitlines()) == ROWS + 1


SLOW = """
import sys, time
from finetext.data import stream
from finetext.batch import output, tables
output.EVERY, tables.ROWS, stream.BYTES, stream.ROWS = 0.0, 4, 300, 10
real = tables.predict_table
def slow(*arguments):
    time.sleep(0.05)
    return real(*arguments)
tables.predict_table = slow
from finetext.cli.app import main
main(sys.argv[1:])
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A function that starts a slow prediction; what it started is ended."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SLOW, "predict", *map(str, words)]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def wait_for(rows: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until so many rows are kept."""
    state = Path(".out.csv.part.json")
    while not state.exists() or json.loads(state.read_text())["rows"] < rows:
        assert process.poll() is None
        time.sleep(0.01)


def test_what_a_kill_in_the_last_write_of_the_state_left_is_removed(workplace: Path) -> None:
    left = workplace / f".finetext-{'0' * 32}"
    left.mkdir()
    (left / ".out.csv.part.json").write_text("{")
    part = part_at(Path("out.csv"), lasting=True, is_needed=True)
    assert not left.exists()
    part.release(remove=True)
    assert names() == []


@pytest.mark.skipif(os.name == "nt", reason="links are made otherwise here")
@pytest.mark.parametrize("name", [".out.csv.part", ".out.csv.part.lock"])
def test_what_others_put_at_a_name_they_can_guess_is_not_written_to(
    command: Command, finished: Path, source: Path, name: str
) -> None:
    Path("mine").write_text("mine")
    Path(name).symlink_to("mine")
    seen = command("predict", finished, source, "--out", "out.csv", status=2)
    assert "out.csv cannot be written" in seen.err
    assert Path("mine").read_text() == "mine"
    assert not Path("out.csv").exists()


@pytest.mark.skipif(os.name == "nt", reason="no such signal here")
def test_killed_prediction_resumes_to_the_same_bytes(
    finished: Path, source: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    whole = start(finished, source, "--out", "whole.csv")
    assert whole.wait(120) == 0
    words = (finished, source, "--out", "out.csv")
    for rows in (20, 60):
        process = start(*words, *(["--resume"] if rows > 20 else []))
        wait_for(rows, process)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert not Path("out.csv").exists()
    process = start(*words, "--resume")
    assert process.wait(120) == 0
    assert b"resuming after" in process.stderr.read()  # type: ignore[union-attr]
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert names() == ["in.csv", "out.csv", "whole.csv"]


@pytest.mark.skipif(os.name == "nt", reason="files are locked otherwise here")
def test_file_of_another_process_is_left_alone(
    command: Command, finished: Path, source: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = start(finished, source, "--out", "out.csv")
    wait_for(4, process)
    seen = command("predict", finished, source, "--out", "out.csv", "--resume")
    assert seen.status == 2
    assert "another process is writing out.csv; wait until it ends" in seen.err
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert b"rows are kept; to continue, run the same command with --resume" in said
    assert process.returncode == 130
    assert command("predict", finished, source, "--out", "out.csv", "--resume").status == 0
    assert names() == ["in.csv", "out.csv"]
