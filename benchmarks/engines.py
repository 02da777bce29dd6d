"""torch against ONNX Runtime on the files of the same model: one text, batches, and the start.

    FINETEXT_DATA=../shared/data python benchmarks/engines.py

  one text   predict_proba of one short text (7 words), median of many calls
  batches    rows/s of predict_proba on held-out texts that no call has seen
  loading    seconds of `load`, imports included
  start      seconds of the command `finetext predict MODEL "one text"`, from start to end

Engines take turns, each in a process of its own: torch in fp32 and in the format that "auto" is on
this CPU, and ONNX Runtime. Probabilities are compared with those of torch in fp32. The model is
MiniLM, fine-tuned with its defaults on `--learn` rows, and a probe on the same rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import common
import numpy as np
from common import Answer, Job

import finetext
from finetext.core.contracts import FitContext

SHORT: Final = "i feel strangely happy about this film"
ENGINES: Final = ("torch, fp32", "torch, auto", "ONNX Runtime")
METHODS: Final = ("finetune", "probe")
CHOOSING: Final = 300


def main() -> None:
    """Train the models, let the engines take turns, and print the tables."""
    if common.served(work):
        return
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        job = {
            "data": options.data, "learn": options.learn, "rows": options.rows,
            "calls": options.calls, "folder": scratch,
        }  # fmt: skip
        common.alone(__file__, job | {"engine": "none"}, options.threads)
        turns: dict[str, list[dict[str, Answer]]] = {name: [] for name in METHODS}
        for number in range(options.rounds):
            for method, of in turns.items():
                of.append({})
                for engine in ENGINES:
                    given = job | {"engine": engine, "method": method}
                    of[-1][engine] = common.alone(__file__, given, options.threads)
                    common.say(f"turn {number + 1}, {method}, {engine}")
    what = (
        f"{options.data}, MiniLM on {options.learn:,} rows, {options.rows:,} held-out texts, "
        f"{options.rounds} turns; figures as median [least, greatest]; one text: median of "
        f"{options.calls} calls. {common.threads_in_words(options.threads)}"
    )
    tables = [results(method, of) for method, of in turns.items()]
    common.finish(options, "torch against ONNX Runtime", what, tables)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", default="films", choices=list(common.SOURCES))
    parser.add_argument("--learn", type=int, default=1_000, help="rows to train on (1000)")
    parser.add_argument("--rows", type=int, default=1_000, help="texts to predict (1000)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each engine (3)")
    parser.add_argument("--calls", type=int, default=200, help="with one short text (200)")
    return parser.parse_args()


def results(method: str, turns: list[dict[str, Answer]]) -> list[str]:
    """The table of a method."""
    first = ENGINES[0]
    titles = [method, "one text, ms", f"{first} = 1", "rows/s", f"{first} = 1 ", "loading, s",
              "start, s", "labels as it", "largest difference"]  # fmt: skip
    rows = []
    for engine in ENGINES:
        mine, against = ([turn[of] for turn in turns] for of in (engine, first))
        pairs = list(zip(mine, against, strict=True))
        same = [np.array(a["likely"]) for a in (mine[0], against[0])]
        rows.append([
            engine,
            common.spread([of["one_ms"] for of in mine], 2),
            common.spread([b["one_ms"] / a["one_ms"] for a, b in pairs], 2),
            common.spread([of["rate"] for of in mine]),
            common.spread([a["rate"] / b["rate"] for a, b in pairs], 2),
            common.spread([of["loading"] for of in mine], 2),
            common.spread([of["start"] for of in mine], 2),
            f"{(same[0].argmax(1) == same[1].argmax(1)).mean():.2%}",
            f"{np.abs(same[0] - same[1]).max():.1e}",
        ])  # fmt: skip
    return common.table(titles, rows)


def work(job: Job) -> Answer:
    """Train the models, or measure one of them with one engine."""
    rows = common.rows_of(job["data"], job["learn"], CHOOSING, job["rows"])
    if job["engine"] == "none":
        for name, method in (("finetune", finetext.Finetune()), ("probe", finetext.Probe())):
            context = FitContext(device="cpu")
            method.fit(rows.train, rows.validation, context).save(f"{job['folder']}/{name}")
        return {}
    folder, texts = f"{job['folder']}/{job['method']}", list(rows.held_out.texts)
    load, precision = loader(job["engine"], folder)
    started = time.perf_counter()
    classifier = load()
    loading = time.perf_counter() - started
    classifier.predict_proba(texts[:32])
    started = time.perf_counter()
    likely = classifier.predict_proba(texts)
    rate = len(texts) / (time.perf_counter() - started)
    times = [seconds(lambda: classifier.predict_proba([SHORT])) for _ in range(job["calls"])]
    command = [sys.executable, "-m", "finetext", "predict", folder, SHORT, *precision]
    return {
        "one_ms": 1000 * median(times), "rate": rate, "loading": loading, "likely": likely.tolist(),
        "start": seconds(lambda: subprocess.run(command, check=True, capture_output=True)),
    }  # fmt: skip


def loader(engine: str, folder: str) -> tuple[Callable[[], Any], list[str]]:
    """What loads the model for an engine, and the options of the command line for the same."""
    if engine == ENGINES[2]:
        return lambda: finetext.load(folder, "cpu", engine="latency"), []
    precision = engine.rpartition(" ")[2]
    return lambda: finetext.load(folder, "cpu", precision=precision), ["--precision", precision]


def seconds(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
