"""Large tables of predictions: parts, shards, and whatever may go wrong between them."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import finetext
from finetext import Listener, predict_file, predict_parts
from finetext.batch.parts import PartsPlan, PartWriter, Progress, plan_parts
from finetext.core.errors import DataError, RecipeError
from finetext.data import pieces

OWN = ["prediction", "probability", "probability:bad", "probability:good", "rejected"]


def table_of(rows: int, seed: int = 0) -> pa.Table:
    draw = random.Random(seed)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    words = ["fine", "dull", "moving", "empty", "film", "number"]
    texts = [" ".join(draw.choices(words, k=1 + n % 9)) for n in range(rows)]
    return pa.table({
        "key": pa.array(range(rows), pa.int32()),
        "text": pa.array([None if n % 23 == 7 else text for n, text in enumerate(texts)]),
        "when": pa.array([start + timedelta(hours=n) for n in range(rows)]),
        "price": pa.array([Decimal(n) / 100 for n in range(rows)], pa.decimal128(9, 2)),
        "tags": pa.array([["a", "b"][: n % 3] for n in range(rows)], pa.list_(pa.string())),
        "kind": pa.array(["xy"[n % 2] for n in range(rows)], pa.string()).dictionary_encode(),
    })  # fmt: skip


@pytest.fixture
def data(workplace: Path) -> Iterator[Path]:
    """Four files of 250 rows, in row groups of other sizes, one of them empty."""
    folder = workplace / "data"
    folder.mkdir()
    table = table_of(250)
    for number, (start, end) in enumerate([(0, 90), (90, 91), (91, 91), (91, 250)]):
        path = folder / f"f{number}.parquet"
        pq.write_table(table.slice(start, end - start), path, row_group_size=1 + 40 * number)
    yield Path("data")
    left = [path.name for path in workplace.rglob(".finetext-*")]
    assert not left, "an unfinished part is left"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "ROWS_A_PIECE", 20)


def quiet(*given: Any, **options: Any) -> Any:
    return predict_parts(*given, listener=Listener(), **options)


def predicted(out: object) -> pa.Table:
    """Return the rows that a reader of folders of Parquet finds."""
    return ds.dataset(str(out)).to_table()


def test_shards_in_any_order_give_the_rows_of_one_process(
    finished: Path, data: Path, small: None
) -> None:
    order = list(range(1, 6))
    random.Random(1).shuffle(order)
    for count, shard in enumerate(order, start=1):
        done = quiet(finished, data, "out", shard=f"{shard}/5")
        assert done.is_complete == (count == 5) == Path("out/_SUCCESS").exists()
    one = quiet(finished, data, "one")
    assert (one.rows, one.written, one.parts, one.done) == (250, 14, 14, 14)
    assert one.rejected == sum(n % 23 == 7 for n in range(250))
    names = {path.name for path in Path("one").iterdir()}
    assert names == {path.name for path in Path("out").iterdir()}
    assert predicted("out").equals(predicted("one"))
    found, given = predicted("out"), table_of(250)
    assert found.column_names == [*given.column_names, *OWN]
    assert found.select(given.column_names).equals(given)


def test_probabilities_are_those_of_a_file_to_the_bit(finished: Path, data: Path) -> None:
    quiet(finished, data, "out")
    predict_file(finished, "data/f3.parquet", "file.parquet", listener=Listener())
    (part,) = Path("out").glob("part-0000003-000000000000-*.parquet")
    found, file = pq.read_table(part), pq.read_table("file.parquet")
    has_text = found["rejected"].is_null()
    for name in OWN[:-1]:
        assert found[name].filter(has_text).equals(file[name].filter(has_text))
        assert found[name].null_count == found["text"].null_count > 0
    reasons = set(found["rejected"].drop_null().to_pylist())
    assert reasons == {"the text is missing"}


def test_what_is_there_is_not_done_again(
    finished: Path, data: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(finished, data, "out")
    for part in sorted(Path("out").glob("part-*"))[::3]:
        part.unlink()
    half = quiet(finished, data, "out", shard="1/2")
    assert (half.written, Path("out/_SUCCESS").exists()) == (3, False)
    times = {path: path.stat().st_mtime_ns for path in Path("out").glob("part-*")}
    again = quiet(finished, data, "out")
    assert (again.written, again.done, again.is_complete) == (2, 14, True)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    monkeypatch.setattr("finetext.batch.predict_parts.load_for", None)  # no model is needed now
    assert quiet(finished, data, "out", shard="2/3").written == 0


def test_shares_with_missing_parts_are_found_in_one_pass(
    finished: Path, data: Path, small: None
) -> None:
    """The last line of each of 10,000 processes names a few shards, and does not build all."""
    plan = plan_parts(finished, str(data), "out")
    built = plan.pieces
    assert plan.pieces is built
    progress = plan.progress()
    for count in (1, 3, 14, 40):
        every = [n for n in range(1, count + 1) if plan.share(n, count)]
        assert plan.shares_missing(progress, count, 100) == every
        assert plan.shares_missing(progress, count, 2) == every[:2]
    last = Progress(13, 14, tuple(plan.pieces[-1:]))
    assert plan.shares_missing(last, 10_000, 11) == [10_000]


def test_two_processes_on_one_shard_do_no_harm(finished: Path, data: Path, small: None) -> None:
    program = [sys.executable, "-c", kill_while_writing(0)]  # a number that no part has
    command = [*program, str(finished), str(data), "out", "1/1"]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert Path("out/_SUCCESS").exists()
    quiet(finished, data, "one")
    assert predicted("out").equals(predicted("one"))


@pytest.mark.parametrize("what", ["model", "options", "rows", "order"])
def test_a_folder_of_another_prediction_is_refused(
    finished: Path, data: Path, small: None, what: str
) -> None:
    quiet(finished, data, "out", shard="1/4")
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    sources, options, said = [str(data)], {}, "the input changed"
    if what == "model":
        card = next(finished.rglob("model/*.json"))
        card.write_text(card.read_text() + " ")
        said = "the model changed"
    elif what == "options":
        options, said = {"top": 1}, "--top was not set and is 1"
    elif what == "rows":
        pq.write_table(table_of(3), "data/f2.parquet")
    else:
        sources = [f"data/f{number}.parquet" for number in (3, 2, 1, 0)]
    with pytest.raises(DataError, match=f"out has parts of another prediction: {said}. Repeat"):
        quiet(finished, sources, "out", shard="2/4", **options)
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


def test_a_folder_that_is_taken_over_gets_no_further_part(
    finished: Path, data: Path, small: None
) -> None:
    plan = plan_parts(finished, str(data), "out")
    writer = PartWriter(plan, finetext.load(finished))
    plan.claim()
    plan_parts(finished, str(data), "out", precision="fp32").claim()  # there is no part yet
    with pytest.raises(DataError, match="another prediction: --precision was fp32 and is not set"):
        writer.write(plan.pieces[0])
    assert {path.name for path in Path("out").iterdir()} == {"_finetext.json"}


def test_a_claim_that_came_too_late_completes_no_folder(
    finished: Path, data: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder changes hands while the first prediction uploads its first part."""
    first = plan_parts(finished, str(data), "out")
    other = plan_parts(finished, str(data), "out", precision="fp32")
    writers = [PartWriter(plan, finetext.load(finished)) for plan in (first, other)]
    first.claim()
    checked = type(first).check_identity

    def check_then_claim(plan: PartsPlan) -> None:
        checked(plan)
        if plan is first:
            other.claim()

    monkeypatch.setattr(PartsPlan, "check_identity", check_then_claim)
    writers[0].write(first.pieces[0])
    assert other.progress().done == 0
    for piece in other.pieces:
        writers[1].write(piece)
    with pytest.raises(DataError, match=r"out has parts of another prediction, .*: part-0000000-"):
        other.finish()
    with pytest.raises(DataError, match=r"out has parts of another prediction, .*: part-0000000-"):
        other.claim()
    assert not Path("out/_SUCCESS").exists()


def test_a_folder_with_something_else_is_refused(finished: Path, data: Path) -> None:
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    with pytest.raises(DataError, match="out is not empty, and what it holds is no table in parts"):
        quiet(finished, data, "out")
    for out in ("data", "data/out"):
        with pytest.raises(DataError, match=f"{out} would be among the data in data"):
            quiet(finished, data, out)
    assert not Path("data/out").exists()


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "1/0", "a/b", "-1/3", "1/3/5"])
def test_a_shard_that_is_none_is_refused(finished: Path, data: Path, shard: str) -> None:
    with pytest.raises(RecipeError, match=f"--shard {shard}: write which of how many"):
        quiet(finished, data, "out", shard=shard)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
@pytest.mark.parametrize("rows", [30, 50])
def test_an_input_that_is_replaced_meanwhile_is_an_error(
    finished: Path, workplace: Path, name: str, rows: int
) -> None:
    def write(rows: int) -> None:
        if name == "a.csv":
            Path(name).write_text("text\n" + "a fine film\n" * rows)
        else:
            pq.write_table(pa.table({"text": ["a fine film"] * rows}), name)

    write(40)
    plan = plan_parts(finished, name, "out")
    plan.claim()
    writer = PartWriter(plan, finetext.load(finished))
    write(rows)
    with pytest.raises(DataError, match=f"{name} changed while it was read"):
        writer.write(plan.pieces[0])
    assert plan.progress().done == 0


def test_a_plan_works_in_another_folder(
    finished: Path, data: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = os.path.relpath(finished)
    plan = plan_parts(model, "data", "out")
    plan.claim()
    Path("other").mkdir()
    monkeypatch.chdir("other")
    writer = PartWriter(plan, finetext.load(plan.model))
    assert writer.write(plan.pieces[0]) == 20
    monkeypatch.chdir("..")
    assert plan.progress().done == 1
    assert (plan.place.shown, list(Path("other").iterdir())) == ("out", [])


def test_success_is_withdrawn_from_a_table_that_lacks_a_part(
    finished: Path, data: Path, small: None
) -> None:
    quiet(finished, data, "out")
    plan = plan_parts(finished, str(data), "out")
    plan.part_of(plan.pieces[-1]).remove()
    assert not quiet(finished, data, "out", shard="1/4").is_complete  # which has all its parts
    assert not Path("out/_SUCCESS").exists()


@pytest.mark.parametrize("number", [1, 3])
def test_a_folder_of_another_format_is_named_as_such(
    finished: Path, data: Path, number: int
) -> None:
    quiet(finished, data, "out")
    Path("out/_finetext.json").write_text(f'{{"format": {number}, "else": 1}}')
    with pytest.raises(DataError, match="out was begun by another version of finetext, which"):
        quiet(finished, data, "out")


def kill_while_writing(number: int) -> str:
    """Return a program that predicts a shard and is killed in its part of that number."""
    return f"""
import os, signal, sys
from finetext import Listener, predict_parts
from finetext.batch import parts
from finetext.data import pieces
from itertools import count
pieces.ROWS_A_PIECE = 20
real, numbers = parts._grouped, count(1)
def grouped(tables):
    yield from real(tables)
    if next(numbers) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
parts._grouped = grouped
predict_parts(*sys.argv[1:4], shard=sys.argv[4], listener=Listener())
"""


def test_a_killed_process_loses_the_part_at_hand_alone(
    finished: Path, data: Path, small: None
) -> None:
    given = [str(finished), str(data), "out", "1/2"]
    killed = subprocess.run([sys.executable, "-c", kill_while_writing(3), *given], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(Path("out").glob("part-*"))) == 2
    assert [path for path in Path("out").iterdir() if path.name.startswith(".finetext-")]
    quiet(finished, data, "out", shard="2/2")
    assert quiet(finished, data, "out", shard="1/2").written == 5
    quiet(finished, data, "one")
    assert predicted("out").equals(predicted("one"))


@pytest.mark.slow
def test_16_shards_in_random_order_with_two_killed(
    tiny_encoder: Path, topics: Any, workplace: Path
) -> None:
    """Processes of a fine-tuned encoder, three at a time, two of them killed at a random time."""
    method = finetext.Finetune(encoder=str(tiny_encoder), epochs=1)
    labels = [row["label"] for row in topics]
    finetext.fit(topics.texts, labels, method, device="cpu").save("model")
    draw = random.Random(2026)
    Path("data").mkdir()
    words = sorted({word for text in topics.texts for word in text.split()})
    for number in range(24):
        rows = draw.randint(300, 900)
        texts = [" ".join(draw.choices(words, k=draw.randint(1, 30))) for _ in range(rows)]
        texts = [None if draw.random() < 0.01 else text for text in texts]
        table = table_of(rows).set_column(1, "text", pa.array(texts, pa.string()))
        pq.write_table(table, f"data/{number:02}.parquet", row_group_size=draw.randint(50, 500))

    def start(shard: str, out: str) -> subprocess.Popen[bytes]:
        words = ["predict", "model", "data/*.parquet", "--out", f"{out}/", "--shard", shard]
        command = [sys.executable, "-m", "finetext", *words, "--quiet", "--device", "cpu"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    waiting = [f"{number}/16" for number in range(1, 17)]
    draw.shuffle(waiting)
    doomed = {shard: draw.uniform(1.0, 6.0) for shard in draw.sample(waiting[:5], 2)}
    running: list[tuple[str, subprocess.Popen[bytes], float]] = []
    killed = 0
    while waiting or running:
        while waiting and len(running) < 3:
            running.append((shard := waiting.pop(0), start(shard, "out"), time.monotonic()))
        for one in list(running):
            shard, process, began = one
            if shard in doomed and time.monotonic() - began > doomed[shard]:
                process.kill()
            if (status := process.poll()) is None:
                continue
            running.remove(one)
            assert status in (0, -signal.SIGKILL)
            after = doomed.pop(shard, 0.0)
            if status:
                killed += 1
                waiting.insert(draw.randint(0, len(waiting)), shard)
            elif after and waiting:  # it was done before it could be killed: kill another sooner
                doomed[draw.choice(waiting)] = after / 2
        time.sleep(0.02)
    assert killed == 2
    assert start("1/1", "one").wait() == 0
    found, one = predicted("out"), predicted("one")
    given = pa.concat_tables(pq.read_table(path) for path in sorted(Path("data").iterdir()))
    assert Path("out/_SUCCESS").is_file()
    assert found.select(given.column_names).equals(given)  # each row once, in order, every type
    assert found.equals(one)  # and each probability to the bit
    for left in itertools.chain(Path("out").glob(".*"), Path("one").glob(".*")):
        raise AssertionError(f"{left} is left")
