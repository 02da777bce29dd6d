"""Are two processes that train together as good as one, and what do they take?

    FINETEXT_DATA=../shared/data python benchmarks/processes.py --rows 640

`finetext train` fine-tunes MiniLM on emotion tweets for an epoch at the same batch size: in one
process with all threads, in one with a single thread, and in as many processes as there are
threads with one each, started by torchrun. Key biases are compared by themselves: they cancel out
in attention, so their gradients are rounding, which AdamW makes as large as any other.

Timed: the seconds of fine-tuning as the leaderboard has them (with loading, tokenization and
evaluations), and processor seconds and peak memory of each whole process, sampled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import common
import psutil
from common import Answer

from finetext.core.wording import counted

TITLES: Final = (
    "processes", "threads of each", "training s", "processor s of the first", "of the others",
    "peak MiB of the first", "of the others", "largest difference", "of key biases",
    "other predictions",
)  # fmt: skip
VALIDATION: Final = 200
SAMPLED_EVERY: Final = 0.1


def main() -> None:
    """Measure by turns and print a table."""
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        data = written(options.rows, Path(scratch))
        ways = [(1, options.threads), (1, 1), (options.threads, 1)]
        found: list[list[Answer]] = [[] for _ in ways]
        for turn in range(options.rounds):
            for number, way in enumerate(ways):
                out = Path(scratch) / f"{number}-{turn}"
                found[number].append(measured(options, way, data, out))
                common.say(f"{way}: {found[number][-1]['seconds']:.1f} s")
        first = Path(scratch) / "0-0"
        rows = [
            [str(of) for of in way] + cells(answers, first, Path(scratch) / f"{number}-0")
            for number, (way, answers) in enumerate(zip(ways, found, strict=True))
        ]
    what = (
        f"An epoch of MiniLM on {options.rows:,} emotion tweets in {options.precision}, at batch "
        f"size 32; {counted(options.rounds, 'turn')}. Differences are from the first line."
    )
    title = "One process against several in training"
    common.finish(options, title, what, [common.table(TITLES, rows)])


def arguments() -> argparse.Namespace:
    """The options."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=640, help="training rows (640)")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each way (1)")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    return parser.parse_args()


def written(rows: int, scratch: Path) -> Path:
    """Write emotion tweets with a split column as a CSV file; return its path."""
    import csv

    parts = common.rows_of("emotion", rows, VALIDATION, VALIDATION)
    path = scratch / "emotion.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for split, part in zip(("train", "validation", "test"), parts, strict=True):
            names = part.scheme.names
            labels = [names[target] for target in part.targets]
            writer.writerows(zip(part.texts, labels, [split] * len(part), strict=True))
    return path


def measured(options: argparse.Namespace, way: tuple[int, int], data: Path, out: Path) -> Answer:
    """Run a training in so many processes with so many threads each."""
    processes, threads = way
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [
        sys.executable, *(launcher if processes > 1 else []), "-m", "finetext", "train", str(data),
        "--methods", "finetune", "--epochs", "1", "--precision", options.precision,
        "--set", "finetune.batch_size=32", "--set", "refit=false",
        "--out", str(out),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with (out.parent / f"{out.name}.log").open("wb") as log:
        started = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        peaks, seconds = sampled(started, processes)
    if started.returncode:
        raise SystemExit((out.parent / f"{out.name}.log").read_text())
    entry = json.loads((out / "finetune/entry.json").read_text())["entry"]
    first, *others = sorted(peaks)
    return {
        "seconds": entry["seconds_to_train"],
        "processor": [seconds[first], *(seconds[of] for of in others)],
        "peaks": [peaks[first], *(peaks[of] for of in others)],
    }


def sampled(started: subprocess.Popen[bytes], processes: int) -> tuple[Any, Any]:
    """Return the peak memory and the processor seconds of each process, by its number."""
    peaks: dict[int, float] = {}
    seconds: dict[int, float] = {}
    whole = psutil.Process(started.pid)
    while started.poll() is None:
        with suppress(psutil.Error):
            there = [whole] if processes == 1 else whole.children()
            for process in there:
                rank = int(process.environ().get("RANK", 0))
                times = process.cpu_times()
                seconds[rank] = times.user + times.system
                peaks[rank] = max(peaks.get(rank, 0), process.memory_info().rss / 2**20)
        time.sleep(SAMPLED_EVERY)
    return peaks, seconds


def cells(answers: list[Answer], first: Path, out: Path) -> list[str]:
    """A line of the table but for the numbers of processes and threads."""
    ranks = len(answers[0]["peaks"])

    def of(name: str, ranks: range) -> str:
        sums = [sum(answer[name][rank] for rank in ranks) / len(ranks) for answer in answers]
        return common.spread(sums, 0)

    shown = [common.spread([answer["seconds"] for answer in answers])]
    for name in ("processor", "peaks"):
        shown += [of(name, range(1)), of(name, range(1, ranks)) if ranks > 1 else ""]
    return shown + ([""] * 3 if out == first else differences(first, out))


def differences(one: Path, two: Path) -> list[str]:
    """Compare the weights of two runs, and what they predict for validation and test rows."""
    from pyarrow.parquet import read_table
    from safetensors.torch import load_file

    weights = [load_file(of / "finetune/model/model.safetensors") for of in (one, two)]
    largest = {True: 0.0, False: 0.0}
    for name, values in weights[0].items():
        is_key = name.endswith("key.bias")
        apart = float((values - weights[1][name]).abs().max())
        largest[is_key] = max(largest[is_key], apart)
    answers = [
        read_table(of / "finetune/predictions.parquet")["prediction"].to_pylist()
        for of in (one, two)
    ]
    other = sum(a != b for a, b in zip(*answers, strict=True))
    return [f"{largest[False]:.1e}", f"{largest[True]:.1e}", f"{other} of {len(answers[0])}"]


if __name__ == "__main__":
    main()
