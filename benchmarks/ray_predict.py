"""Do actors of Ray, one of which is killed, predict what one process predicts, and how fast?

    FINETEXT_DATA=../shared/data python benchmarks/ray_predict.py

Emotion tweets, repeated with ids of their own, are predicted into a folder of Parquet parts: by one
process, and with `--engine ray` by two and by four actors, of which the first that is found to
write a part gets SIGKILL once a third of the parts are there. All columns of all rows are compared.
TF-IDF predicts `--rows` of them, which takes MiniLM hours on two cores; a probe on MiniLM predicts
`--encoder-rows`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import common
import numpy as np
import psutil
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
from record import RESULTS, commit, machine

import finetext
from finetext.core.contracts import FitContext

FILES: Final = 10
TITLES: Final = (
    "method", "rows", "engine", "killed", "seconds", "rows/s", "rows/s while predicting", "equal",
)  # fmt: skip


def main() -> None:
    """Measure, print the table, and append it to RESULTS.md if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--encoder-rows", type=int, default=20_000)
    parser.add_argument("--actors", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--note", default="", help="what else ran on the machine")
    parser.add_argument("--write", action="store_true", help="append to RESULTS.md")
    options = parser.parse_args()
    data = finetext.read(common.data_folder() / "emotion" / "train.txt")
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name:
        for method, count in (
            (finetext.Tfidf(), options.rows),
            (finetext.Probe(), options.encoder_rows),
        ):
            rows += measured(method, data, count, options.actors, Path(name, method.name))
    lines = common.table(TITLES, rows)
    print("\n".join(lines))
    if options.write:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write("\n".join(["", *head(options.note), *lines]) + "\n")


def head(note: str) -> list[str]:
    """The lines above the table."""
    told = f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {machine()}. {note}".strip()
    return [
        "## Ray, with an actor killed",
        "",
        f"    python benchmarks/{' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])}",
        "",
        f"{told} Seconds are those of the whole command, with the start of Ray, which takes about "
        "ten of them, and loading the model in each actor, also in the one that replaces the "
        "killed one.",
        "",
    ]


def measured(
    method: Any, data: finetext.Dataset, count: int, actors: Sequence[int], folder: Path
) -> list[list[str]]:
    """The rows of the table for one method."""
    train = data.select(range(2_000))
    model = method.fit(train, data.select(range(2_000, 2_500)), FitContext()).save(folder / "model")
    write_rows(data.texts, count, folder / "rows")
    found, first = [], None
    for engine in (0, *actors):
        out = folder / f"out-{engine}"
        seconds, speed, killed = predicted(model, folder / "rows", out, engine)
        table = pyarrow.dataset.dataset(out).to_table()
        first = first or table
        same = len(table) == count and set(table["id"].to_pylist()) == set(range(count))
        words = compared(table, first) if same else "NO: rows are missing or repeated"
        shown = f"ray, {engine} actors" if engine else "one process"
        cells = f"{seconds:.0f}", f"{count / seconds:,.0f}", speed, words
        found.append([method.name, f"{count:,}", shown, str(killed), *cells])
        common.say(" | ".join(found[-1]))
    return found


def compared(table: pyarrow.Table, first: pyarrow.Table) -> str:
    """Say whether tables are equal to the bit, and if not, by how much probabilities differ."""
    if table.equals(first):
        return "yes"
    numbers = [name for name in first.column_names if name.startswith("probability")]
    if not table.drop_columns(numbers).equals(first.drop_columns(numbers)):
        return "NO: labels differ"
    pairs = [(np.array(table[name]), np.array(first[name])) for name in numbers]
    return f"labels yes, probabilities within {max(abs(a - b).max() for a, b in pairs):.1e}"


def write_rows(texts: Sequence[str], count: int, folder: Path) -> None:
    """Write so many rows, the texts again and again, into files of as many rows each."""
    folder.mkdir()
    for number in range(FILES):
        ids = list(range(count * number // FILES, count * (number + 1) // FILES))
        table = pyarrow.table({"id": ids, "text": [texts[of % len(texts)] for of in ids]})
        pyarrow.parquet.write_table(table, folder / f"{number}.parquet")


def predicted(model: Path, rows: Path, out: Path, actors: int) -> tuple[float, str, int]:
    """Run the command; return its seconds, the rows/s that it says, and how many actors died."""
    command = [sys.executable, "-m", "finetext", "predict", model, rows, "--out", f"{out}/"]
    command += ["--engine", "ray", "--actors", str(actors)] if actors else []
    started, killed = time.monotonic(), 0
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        while actors and not killed and running.poll() is None:
            if len(list(out.glob("*.parquet"))) >= FILES // 3:
                killed = kill_one(running.pid)
            time.sleep(0.01)
        said = running.stderr.read()
    if running.returncode or killed != bool(actors) or ("an actor died" in said) != bool(actors):
        raise SystemExit(f"{command} ended with {running.returncode}, {killed} killed: {said}")
    [speed] = [line.partition("(")[2] for line in said.splitlines() if line.endswith("rows/s)")]
    return time.monotonic() - started, speed.removesuffix(" rows/s)"), killed


def kill_one(driver: int) -> int:
    """Kill the first actor found to be writing a part; return how many were killed, 0 or 1."""
    for process in psutil.Process(driver).children(recursive=True):
        if "PartActor.write" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
            return 1
    return 0


if __name__ == "__main__":
    main()
