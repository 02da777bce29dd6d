"""Is a cross-validated run faster with several jobs, and does it find the same?

    FINETEXT_DATA=../shared/data taskset 3 python benchmarks/jobs.py

Runs of `finetext train` on a few emotion tweets, in turns: one process with all threads, and as
many processes as there are cores, with one thread each. Timed is the whole command, with imports
and the report; the seconds of the processor are those of all its processes.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import common
from common import paired, rows_of, say, spread


class Timed(NamedTuple):
    """Seconds, seconds of the processor, and method to its metrics."""

    seconds: float
    processor: float
    leaderboard: dict[str, Any]


def main() -> None:
    """Measure in turns and print a table."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[150, 600], help="(150 600)")
    parser.add_argument("--pairs", type=int, default=3, help="runs with each (3)")
    parser.add_argument("--methods", help="joined by commas; those of a run by default")
    parser.add_argument("--seconds", type=float, help="begin no pair after so many")
    options = parser.parse_args()
    began, lines, cores = time.monotonic(), [], options.threads
    with tempfile.TemporaryDirectory() as scratch:
        for rows in options.rows:
            source = written(rows, Path(scratch))
            pairs = list[tuple[Timed, Timed]]()
            while len(pairs) < options.pairs and not is_late(began, options.seconds):
                order = (1, cores) if len(pairs) % 2 == 0 else (cores, 1)
                found = {jobs: run(source, jobs, options.methods) for jobs in order}
                pairs.append((found[1], found[cores]))
                say(f"{rows} rows, pair {len(pairs)}: {' '.join(map(in_words, pairs[-1]))}")
            if pairs:
                lines.append([f"{rows:,}", f"{len(pairs)}", *figures(pairs)])
    titles = [
        "rows", "pairs", "1 job, s", f"{cores} jobs, s", "difference, s", "1 job, processor s",
        f"{cores} jobs, processor s", "largest difference of a score",
    ]  # fmt: skip
    what = (
        f"`finetext train` on emotion tweets, cross-validated, "
        f"{options.methods or 'the default methods'}; {cores} threads, or {cores} jobs with one "
        "thread each, in turns. Median [least, greatest]; the difference with its 95% interval."
    )
    common.finish(options, "Fits at once", what, [common.table(titles, lines)])


def is_late(began: float, seconds: float | None) -> bool:
    """Return whether no further pair is to begin."""
    return seconds is not None and time.monotonic() - began > seconds


def written(rows: int, folder: Path) -> Path:
    """Write rows as CSV; return the file."""
    train = rows_of("emotion", rows, 100, 100)[0]
    path = folder / f"{rows}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("text", "label"), *zip(train.texts, train.labels, strict=True)]
        )
    return path


def run(source: Path, jobs: int, methods: str | None) -> Timed:
    """Train once in a process of its own."""
    out = source.parent / f"{source.stem}-{jobs}-{time.monotonic_ns()}"
    given = [sys.executable, "-m", "finetext", "train", str(source), "--out", str(out), "--quiet"]
    given += ["--jobs", str(jobs), "--cross-validate", *(["--methods", methods] if methods else [])]
    environment = {name: of for name, of in os.environ.items() if name != "OMP_NUM_THREADS"}
    before, start = os.times(), time.perf_counter()
    subprocess.run(given, env=environment, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, os.times()
    processor = sum(after[2:4]) - sum(before[2:4])
    board = json.loads((out / "leaderboard.json").read_text(encoding="utf-8"))
    entries = board["entries"] if isinstance(board, dict) else board
    return Timed(seconds, processor, {of["method"]: of["metrics"] for of in entries})


def figures(pairs: list[tuple[Timed, Timed]]) -> list[str]:
    """Return the cells of a table."""
    one, several = zip(*pairs, strict=True)
    scores = [abs(a - b) for pair in pairs for a, b in zip(*map(values, pair), strict=True)]
    largest = max(scores)
    return [
        spread([of.seconds for of in one]),
        spread([of.seconds for of in several]),
        paired([of.seconds for of in several], [of.seconds for of in one], 1),
        spread([of.processor for of in one]),
        spread([of.processor for of in several]),
        "none" if largest == 0 else f"{largest:.1e}",
    ]


def values(of: Timed) -> list[float]:
    """Return all scores and ends of intervals of a leaderboard, in order."""
    return [
        score[name]
        for _, splits in sorted(of.leaderboard.items())
        for _, metrics in sorted(splits.items())
        for _, score in sorted(metrics.items())
        for name in ("value", "low", "high")
        if score[name] is not None
    ]


def in_words(of: Timed) -> str:
    """Return the seconds of a run."""
    return f"{of.seconds:.1f} s ({of.processor:.1f} s of the processor)"


if __name__ == "__main__":
    main()
