"""What serving costs: clients at once and one at a time, against the same model in one process.

    FINETEXT_DATA=../shared/data python benchmarks/serve.py

  one in process     the model that `finetext serve` loads, without a server, one text at a time
  batches in process the same in batches of 64 as they come; ms are those of a text
  tokenizer          its tokenizer alone in such batches; ms are those of a text
  one                one client over one connection, one text a request, the next when it has its
                     answer
  64                 so many clients at once, each as above, its own texts
  64, alone          the same against a server with batches of one text (--max-batch 1)
  half of 64         requests at random times (Poisson) at half of the rate that 64 reached in this
                     turn, over as many connections as they need; timed from when each was due
  HTTP, one          one client of a server that knows the answers (`serve.known_bytes`): HTTP, JSON
  HTTP, 64           and clients without the model and its queue; and 64 of them

All by turns, clients and the model alone each in a process of their own, over real sockets of this
machine, against `finetext serve` in another. So the clients take their part of the same cores. The
model is MiniLM, trained on 64 rows, or the one of --model; the texts are held-out rows, none twice
in a round. Timed: from the first byte sent to the last received. Not timed: starting, loading, and
a first round of one text a client.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median, quantiles
from typing import Any, Final

import common
import serve_clients
from common import Answer, Job

from finetext.runs.load import load
from finetext.serving.batching import Ask
from finetext.serving.model import ServedModel
from finetext.training.tokens import tokenize

ONE: Final = "one"
ALONE, BATCHES, TOKENIZER = "one in process", "batches in process", "tokenizer"
BATCH: Final = 64
KNOWN: Final = ("--set", f"serve.known_bytes={2**28}")


def main() -> None:
    """Measure by turns and print the table."""
    if common.served(work):
        return
    options = arguments()
    with serve_clients.model_of(options, __file__) as model:
        compare(options, model, texts_of(options))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--model", help="a model or run folder; MiniLM on 64 rows by default")
    parser.add_argument("--data", default="emotion", choices=list(common.SOURCES))
    parser.add_argument("--clients", type=int, default=64, help="at the same time (64)")
    parser.add_argument("--requests", type=int, default=2_000, help="of a round of them (2000)")
    parser.add_argument("--one-requests", type=int, default=300, help="of a round of one (300)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (3)")
    parser.add_argument(
        "--serve", nargs="*", default=[], metavar="WORD", help="more words for finetext serve"
    )
    return parser.parse_args()


def texts_of(options: argparse.Namespace) -> list[str]:
    """Held-out texts, as many as the largest round has."""
    count = max(options.requests, options.one_requests)
    return list(common.rows_of(options.data, serve_clients.ROWS_TO_LEARN, 0, count).held_out.texts)


def compare(options: argparse.Namespace, model: str, texts: list[str]) -> None:
    """All turns, and the table."""
    many = str(options.clients)
    words = ("--port", 0, "--device", options.device, *options.serve)
    few, all_texts = texts[: options.one_requests], texts[: options.requests]
    turns: list[dict[str, Answer]] = []
    with ExitStack() as stack:
        usual, alone, knowing = (
            stack.enter_context(serve_clients.server(model, options.threads, *words, *more))
            for more in ((), ("--max-batch", 1), KNOWN)
        )
        contenders = {
            ONE: (usual, 1, few),
            many: (usual, options.clients, all_texts),
            f"{many}, alone": (alone, options.clients, few),
            f"HTTP, {ONE}": (knowing, 1, few),
            f"HTTP, {many}": (knowing, options.clients, all_texts),
        }
        for at, clients, _ in contenders.values():
            run(options, at, texts[:clients], clients=clients)
        run(options, knowing, texts, clients=options.clients)  # from now on it knows them
        for number in range(options.rounds):
            turn: dict[str, Answer] = common.alone(
                __file__, in_process(options, model, few, all_texts), options.threads
            )
            for name, (at, clients, own) in contenders.items():
                turn[name] = run(options, at, own, clients=clients)
            half = {"rate": turn[many]["rate"] / 2, "seed": number}
            turn[f"half of {many}"] = run(options, usual, all_texts, **half)
            turns.append(turn)
            share = turn[many]["rate"] / turn[BATCHES]["rate"]
            common.say(f"turn {number + 1}: {share:.2f} of batches in one process")
    what = (
        f"{options.data}, {'MiniLM' if options.model is None else options.model}: "
        f"{options.requests:,} requests of one text by {many} clients, {options.one_requests:,} by "
        f"one and against a server without batches; {options.rounds} turns; rates, ratios and what "
        f"{ONE} waits beyond the model within a turn as median [least, greatest], other times over "
        f"all requests. The clients run on the same cores as the server. "
        f"{common.threads_in_words(options.threads)}"
    )
    common.finish(options, f"Serving {many} clients", what, [common.table(*results(turns, many))])


def in_process(
    options: argparse.Namespace, model: str, few: list[str], all_texts: list[str]
) -> Job:
    """The job of a turn without a server."""
    own = {"model": model, "device": options.device}
    return {"task": "in process", **own, "one by one": few, "in batches": all_texts}


def run(
    options: argparse.Namespace, at: serve_clients.Server, texts: list[str], **how: Any
) -> Answer:
    """One turn of one contender with a number of clients, or with a rate and a seed."""
    job = {"task": "clients", "host": at.host, "port": at.port, "texts": texts, **how}
    return common.alone(__file__, job, options.threads)


def results(turns: list[dict[str, Answer]], many: str) -> tuple[list[str], list[list[str]]]:
    """Titles and rows."""
    titles = ["what", "texts/s", "of batches in process", "median ms", "99th percentile ms"]
    rows = []
    order = [name for name in (ALONE, BATCHES, TOKENIZER) if name in turns[0]]
    for name in [*order, *(name for name in turns[0] if name not in order)]:
        seconds = [value for turn in turns for value in turn[name]["seconds"]]
        rows.append(
            [
                name,
                common.spread([turn[name]["rate"] for turn in turns]),
                common.spread([turn[name]["rate"] / turn[BATCHES]["rate"] for turn in turns], 2),
                f"{1000 * median(seconds):.2f}",
                f"{1000 * quantiles(seconds, n=100)[98]:.1f}",
            ]
        )
    beyond = [
        1000 * (median(turn[ONE]["seconds"]) - median(turn[ALONE]["seconds"])) for turn in turns
    ]
    rows.append([f"{ONE}, beyond {ALONE}", "", "", common.spread(beyond, 2), ""])
    return titles, rows


def work(job: Job) -> Answer:
    """Make the model, predict without a server, or be the clients of one turn."""
    if job["task"] == "prepare":
        serve_clients.prepare(job["folder"], job["data"])
        return {}
    if job["task"] == "in process":
        return without_server(job)
    kind = serve_clients.timed_arrivals if "rate" in job else serve_clients.timed
    answer: dict[str, Any] = asyncio.run(kind(job))
    return answer


def without_server(job: Job) -> Answer:
    """Rate and seconds a text of the model one by one and in batches, and of its tokenizer."""
    served = ServedModel(load(job["model"], job["device"], engine="latency"))
    tokenizer: Any = getattr(served.classifier, "tokenizer", None)
    longest: Any = getattr(served.classifier, "max_length", None)

    def predict(texts: Sequence[str]) -> object:
        return served.scores([Ask(text) for text in texts])

    def read(texts: Sequence[str]) -> object:
        if hasattr(tokenizer, "encode_batch"):
            return tokenizer.encode_batch(texts)
        return tokenize(tokenizer, texts, longest)

    ways: dict[str, tuple[Callable[[Sequence[str]], object], list[str], int]] = {
        BATCHES: (predict, job["in batches"], BATCH),
        ALONE: (predict, job["one by one"], 1),
    }
    if tokenizer is not None:
        ways[TOKENIZER] = (read, job["in batches"], BATCH)
    return {name: timed_in_parts(*way) for name, way in ways.items()}


def timed_in_parts(
    function: Callable[[Sequence[str]], object], texts: list[str], size: int
) -> Answer:
    """Texts/s of a function on parts of so many texts, and seconds a text of each part."""
    parts = [texts[start : start + size] for start in range(0, len(texts), size)]
    function(parts[0])
    seconds = []
    for part in parts:
        started = time.perf_counter()
        function(part)
        seconds.append(time.perf_counter() - started)
    shares = [taken / len(part) for taken, part in zip(seconds, parts, strict=True)]
    return {"rate": len(texts) / sum(seconds), "seconds": shares}


if __name__ == "__main__":
    main()
