"""How fast does TF-IDF predict, and how much memory does a file of millions of rows take?

    FINETEXT_DATA=../shared/data python benchmarks/tfidf_and_files.py

  speed   predict_proba of a TF-IDF model of the emotion tweets (words, then words and pairs), by
          turns with the same head on the features of scikit-learn's TfidfVectorizer.transform, one
          thread; the training tweets, texts in memory
  file    `finetext predict MODEL FILE.csv --out FILE.csv` on the same tweets over and over with
          an id column, in a process of its own; majority, and TF-IDF of words and pairs

Timed: what is named. Not timed: fitting, reading the tweets, writing the large file. Memory is the
peak resident memory of the command.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import common

import finetext
from finetext.core.contracts import FitContext

MEASURED: Final = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Runs a command and prints its peak memory. A process of its own, and a small one: what is started
counts the memory of who started it."""


def main() -> None:
    """Measure both and print their tables."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="of the file (5000000)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of the speeds (5)")
    options = parser.parse_args()
    options.threads = 1
    train = finetext.read(Path(os.environ["FINETEXT_DATA"]) / "emotion" / "train.txt")
    models = {
        "tfidf, words": finetext.Tfidf(longest_ngram=1, inverse_regularisation=10.0),
        "tfidf, words and pairs": finetext.Tfidf(longest_ngram=2, inverse_regularisation=10.0),
        "majority": finetext.Majority(),
    }
    fitted = {name: method.fit(train, train, FitContext()) for name, method in models.items()}
    measure_speed(options, fitted, train.texts)
    measure_file(options, fitted, train.texts)


def measure_speed(options: argparse.Namespace, fitted: dict[str, Any], texts: list[str]) -> None:
    """The table of speeds in memory."""
    rows = []
    for name, classifier in fitted.items():
        if name == "majority":
            continue
        classifier.predict_proba(texts[:10])  # makes its tables
        ours, theirs = [], []
        for _ in range(options.rounds):
            started = time.perf_counter()
            probabilities = classifier.predict_proba(texts)
            middle = time.perf_counter()
            features = classifier.vectorizer.transform(texts)
            expected = classifier.head.probabilities(features, classifier.scheme)
            theirs.append(len(texts) / (time.perf_counter() - middle))
            ours.append(len(texts) / (middle - started))
        times = [one / other for one, other in zip(ours, theirs, strict=True)]
        difference = f"{abs(probabilities - expected).max():.0e}"
        rows.append(
            [
                name,
                common.spread(ours, 0),
                common.spread(theirs, 0),
                common.spread(times),
                difference,
            ]
        )
    titles = ["model", "rows/s", "through scikit-learn, rows/s", "times", "largest difference"]
    what = (
        f"{len(texts):,} tweets, {options.rounds} rounds; median [least, greatest], ratios within "
        "a round."
    )
    common.finish(options, "TF-IDF against scikit-learn", what, [common.table(titles, rows)])


def measure_file(options: argparse.Namespace, fitted: dict[str, Any], texts: list[str]) -> None:
    """The table of memory and time on a large file."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "texts.csv"
        write_csv(source, texts, options.rows)
        for name in ("majority", "tfidf, words and pairs"):
            model, out = Path(scratch) / "model", Path(scratch) / "predicted.csv"
            fitted[name].save(model)
            started = time.perf_counter()
            peak = run(["predict", str(model), str(source), "--out", str(out)])
            seconds = time.perf_counter() - started
            with out.open(encoding="utf-8", newline="") as file:
                written = sum(1 for _ in csv.reader(file)) - 1
            cells = [f"{written:,}", f"{peak:.0f}", f"{seconds:.0f}", f"{written / seconds:,.0f}"]
            rows.append([name, *cells])
            common.say(f"{name}: {peak:.0f} MiB, {seconds:.0f} s")
        size = source.stat().st_size / 1e6
    titles = ["model", "rows written", "peak MiB", "seconds", "rows/s"]
    what = f"A CSV of {options.rows:,} tweets with an id column, {size:,.0f} MB; one run each."
    common.finish(options, "A large file", what, [common.table(titles, rows)])


def write_csv(path: Path, texts: list[str], rows: int) -> None:
    """The texts over and over, each row with a name of its own."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows([f"row-{row}", texts[row % len(texts)]] for row in range(rows))


def run(words: list[str]) -> float:
    """Run a command of finetext; its peak memory in MiB."""
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "finetext", *words, "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout) / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
