"""Is reading as fast as it was? The code of another commit against the present code.

    FINETEXT_DATA=../shared/data python benchmarks/reading.py --against 7b9da52

Both versions read the same files by turns, each turn in a fresh process that reads several times.
Timed: `finetext.read`, in CPU seconds of the process, so that other programs disturb little. Not
timed: the start of Python and imports. A figure is the minimum over all readings of a version.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import common

SETS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    **common.SOURCES,
    "sms": ("sms_spam/SMSSpamCollection", {}),
    "banking77": ("banking77/train.csv", {}),
    "goemotions": ("goemotions", {}),
    "sst2": ("sst2/glue/train.tsv", {}),
    "bbc": ("bbc_news/bbc_news.tar.gz", {}),
}
READ: Final = """
import json, sys, time
import finetext
path, settings, times = json.loads(sys.argv[1])
seconds = []
for _ in range(times):
    started = time.process_time()
    data = finetext.read(path, **settings)
    seconds.append(time.process_time() - started)
print(json.dumps([len(data), min(seconds)]))
"""
"""Run by both versions: it uses nothing but what they have in common."""


def main() -> None:
    """Read the sets by turns and print the table."""
    parser = common.parser(__doc__)
    parser.add_argument("--against", required=True, metavar="COMMIT", help="the code to compare to")
    parser.add_argument("--data", nargs="+", default=list(SETS), choices=SETS, metavar="SET")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each version (10)")
    parser.add_argument("--readings", type=int, default=5, help="of a set in each turn (5)")
    options = parser.parse_args()
    options.threads = 1
    with tempfile.TemporaryDirectory() as folder:
        unpack(options.against, Path(folder))
        sources = {"then": Path(folder) / "src", "now": Path(__file__).parents[1] / "src"}
        lines = [line_of(name, sources, options) for name in options.data]
    titles = ["set", "rows", f"{options.against}, CPU s", "now, CPU s", "now / then"]
    what = (
        f"Minimum of {options.rounds} turns of {options.readings} readings of each version, "
        "one thread."
    )
    common.finish(options, "Reading, now and then", what, [common.table(titles, lines)])


def unpack(commit: str, folder: Path) -> None:
    """Write the sources of a commit into a folder."""
    root = Path(__file__).parents[1]
    command = ["git", "-C", str(root), "archive", commit, "src"]
    archive = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)


def line_of(name: str, sources: dict[str, Path], options: argparse.Namespace) -> list[str]:
    """The line of a set: its rows and the CPU seconds of both versions."""
    path, settings = SETS[name]
    path = str(Path(os.environ["FINETEXT_DATA"]) / path)
    rows: set[int] = set()
    seconds: dict[str, list[float]] = {version: [] for version in sources}
    for _ in range(options.rounds):
        for version, source in sources.items():
            job = json.dumps([path, settings, options.readings])
            environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-c", READ, job]
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            count, fastest = json.loads(done.stdout)
            rows.add(count)
            seconds[version].append(fastest)
    if len(rows) > 1:
        raise SystemExit(f"{name}: the versions read {' and '.join(map(str, rows))} rows")
    then, now = min(seconds["then"]), min(seconds["now"])
    common.say(f"{name}: {then:.4f} then, {now:.4f} now, ratio {now / then:.3f}")
    return [name, f"{rows.pop():,}", f"{then:.4f}", f"{now:.4f}", f"{now / then:.2f}"]


if __name__ == "__main__":
    main()
