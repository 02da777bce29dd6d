"""torch against ONNX Runtime on the files of the same model: one text, batches, and the start.

    FINETEXT_DATA=../shared/data python benchmarks/engines.py

  one text   predict_proba of one short text (7 words), median of many calls
  batches    rows/s of predict_proba on held-out texts that no call has seen
  loading    seconds of `load`, imports included
  start      wall and CPU seconds of the command `finetext predict MODEL "one text"`

Engines take turns, each in a process of its own: torch in fp32, torch in bf16, and ONNX Runtime.
Ratios are those of the same turn. Probabilities are compared with those of torch in fp32. The
models are MiniLM, fine-tuned with its defaults on `--learn` rows, and a probe on the same rows.
The command takes torch in fp32 only where ONNX Runtime is missing, so it is hidden from it then.
"""

from __future__ import annotations

import argparse
import resource
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
ENGINES: Final = {
    "torch in fp32": "fp32", "torch in bf16": "bf16", "ONNX Runtime in fp32": None,
}  # fmt: skip
"""What `finetext predict` says of each, and the precision that is asked for."""
FIRST: Final = "torch in fp32"
HIDDEN: Final = "import sys; sys.modules['onnxruntime'] = None; "
COMMAND: Final = "from finetext.__main__ import main; main()"
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
        f"{options.calls} calls; speedup over {FIRST} in the same turn. "
        f"{common.threads_in_words(options.threads)}"
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
    titles = [method, "one text, ms", "speedup", "rows/s", "speedup", "loading, s", "start, s",
              "speedup", "start, CPU s", "same labels", "largest difference"]  # fmt: skip
    rows = []
    for engine in ENGINES:
        mine = [turn[engine] for turn in turns]
        against = [turn[FIRST] for turn in turns]
        same = [np.array(a["likely"]) for a in (mine[0], against[0])]
        rows.append([
            engine,
            common.spread([of["one_ms"] for of in mine], 2), speedup(mine, against, "one_ms"),
            common.spread([1 / of["row"] for of in mine]), speedup(mine, against, "row"),
            common.spread([of["loading"] for of in mine], 2),
            common.spread([of["start"] for of in mine], 2), speedup(mine, against, "start"),
            common.spread([of["start_cpu"] for of in mine], 2),
            f"{(same[0].argmax(1) == same[1].argmax(1)).mean():.2%}",
            f"{np.abs(same[0] - same[1]).max():.1e}",
        ])  # fmt: skip
    return common.table(titles, rows)


def speedup(mine: list[Answer], against: list[Answer], name: str) -> str:
    """How many times as long others take, turn by turn."""
    return common.spread([b[name] / a[name] for a, b in zip(mine, against, strict=True)], 2)


def work(job: Job) -> Answer:
    """Train the models, or measure one of them with one engine."""
    rows = common.rows_of(job["data"], job["learn"], CHOOSING, job["rows"])
    if job["engine"] == "none":
        for name, method in (("finetune", finetext.Finetune()), ("probe", finetext.Probe())):
            context = FitContext(device="cpu")
            method.fit(rows.train, rows.validation, context).save(f"{job['folder']}/{name}")
        return {}
    folder, texts = f"{job['folder']}/{job['method']}", list(rows.held_out.texts)
    started = time.perf_counter()
    classifier = loaded(job["engine"], folder)
    loading = time.perf_counter() - started
    classifier.predict_proba(texts[:32])
    started = time.perf_counter()
    likely = classifier.predict_proba(texts)
    row = (time.perf_counter() - started) / len(texts)
    times = [seconds(lambda: classifier.predict_proba([SHORT])) for _ in range(job["calls"])]
    start, start_cpu = starting(job["engine"], folder)
    return {
        "one_ms": 1000 * median(times), "row": row, "loading": loading, "likely": likely.tolist(),
        "start": start, "start_cpu": start_cpu,
    }  # fmt: skip


def loaded(engine: str, folder: str) -> Any:
    """The model with an engine."""
    if (precision := ENGINES[engine]) is None:
        return finetext.load(folder, "cpu", engine="latency")
    return finetext.load(folder, "cpu", precision=precision)


def starting(engine: str, folder: str) -> tuple[float, float]:
    """Wall and CPU seconds of the command with an engine."""
    precision = ENGINES[engine]
    options = [] if precision is None else ["--precision", precision]
    code = f"{HIDDEN if precision == 'fp32' else ''}{COMMAND}"
    command = [sys.executable, "-c", code, "predict", folder, SHORT, "--device", "cpu", *options]
    before, done = cpu_seconds(), list[subprocess.CompletedProcess[str]]()
    taken = seconds(lambda: done.append(subprocess.run(command, capture_output=True, text=True)))
    if f"engine: {engine}" not in done[0].stderr:
        raise SystemExit(f"the command predicts with another engine: {done[0].stderr}")
    return taken, cpu_seconds() - before


def cpu_seconds() -> float:
    """CPU seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
