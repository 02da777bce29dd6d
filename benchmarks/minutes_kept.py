"""Whether `finetext train --minutes` ends in time, how good the model is, and how far it is off.

    FINETEXT_DATA=../shared/data python benchmarks/minutes_kept.py --minutes 1 5 20
    FINETEXT_DATA=../shared/data python benchmarks/minutes_kept.py --sets imdb --minutes 1

Each cell is a process of its own, the command as a user types it, and its wall-clock time is that
of the whole process. The run folder gives what was chosen, what it was to take and what it took.
The ledger (`--ledgers`) keeps finished cells, to resume; delete it to measure anew.
The scores are those of test rows as every run reports them; nothing here is chosen by them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import Answer, Job, Ledger, data_folder, finish, parser, table

import finetext

IMDB_ROWS = 3_000
SETS = ("emotion", "imdb", "banking77", "bbc")
MOST = 1.1
"""Share of the minutes after which a run is late."""


def main() -> None:
    """Measure all cells and print a table."""
    arguments = parser(__doc__)
    arguments.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    arguments.add_argument("--minutes", nargs="+", type=float, default=[1.0, 5.0, 20.0])
    options = arguments.parse_args()
    ledger, rows = Ledger("minutes_kept", options.ledgers), []
    for minutes in options.minutes:
        for name in options.sets:
            job = {"set": name, "minutes": minutes, "threads": options.threads}
            rows.append(_row(job, ledger.get(job, lambda job=job: measure(job))))
    titles = ("set", "minutes", "took", "in time", "best", "accuracy", "what was fitted")
    kept = sum(row[3] == "yes" for row in rows)
    what = f"{kept} of {len(rows)} runs ended in {MOST:.0%} of their minutes."
    finish(options, "Minutes that were kept", what, [table(titles, rows)])


def measure(job: Job) -> Answer:
    """Run the command in a process of its own; return its seconds and what its folder says."""
    with tempfile.TemporaryDirectory() as folder:
        place, out = Path(folder), Path(folder) / "run"
        words = [
            sys.executable, "-m", "finetext", "train", *source(job["set"], place),
            "--minutes", f"{job['minutes']:g}", "--out", str(out), "--quiet",
        ]  # fmt: skip
        count = str(job["threads"])
        used = {"OMP_NUM_THREADS": count, "FINETEXT_CACHE": f"{folder}/cache"}
        start = time.perf_counter()
        subprocess.run(words, env=os.environ | used, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        run, ledger = finetext.Run.open(out), json.loads((out / "minutes.json").read_text())
        return {
            "seconds": seconds, "best": run.best, "turns": ledger["turns"],
            "outlook": ledger["outlook"],
            "accuracy": {
                of.method: list(_score(of.metrics["test"]["accuracy"])) for of in run.leaderboard
            },
        }  # fmt: skip


def _score(of: Any) -> tuple[float, float, float]:
    return of.value, of.low, of.high


def source(name: str, folder: Path) -> list[str]:
    """Return the words of the command that name a set."""
    data = data_folder()
    if name == "emotion":
        return [str(data / "emotion")]
    if name == "banking77":
        place = data / "banking77"
        return [str(place / "train.csv"), "--test", str(place / "test.csv")]
    if name == "bbc":
        return [str(data / "bbc_news" / "bbc_news.tar.gz")]
    import pandas

    reviews = pandas.read_csv(data / "imdb" / "train.csv.gz").sample(IMDB_ROWS, random_state=0)
    reviews[["text", "label"]].to_csv(folder / "imdb.csv", index=False)
    return [str(folder / "imdb.csv")]


def _row(job: Job, answer: Answer) -> tuple[str, ...]:
    limit = 60 * job["minutes"]
    value, low, high = answer["accuracy"][answer["best"]]
    return (
        job["set"], f"{job['minutes']:g}", f"{answer['seconds']:.0f} s",
        "yes" if answer["seconds"] <= MOST * limit else "no", answer["best"],
        f"{value:.3f} [{low:.3f}, {high:.3f}]", "; ".join(map(_turn, answer["turns"])),
    )  # fmt: skip


def _turn(turn: dict[str, Any]) -> str:
    """One method: what was cut, and the seconds as planned and as they were."""
    if turn["skipped"]:
        return f"no {turn['method']}"
    seconds = [f"{of:.0f}" for of in (turn["seconds"], turn["taken"]) if of is not None]
    return f"{turn['method']} ({', '.join([*turn['cuts'], ' / '.join(seconds) + ' s'])})"


if __name__ == "__main__":
    main()
