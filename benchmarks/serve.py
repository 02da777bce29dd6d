"""What is gained by gathering requests: 64 clients at once against one client at a time.

    FINETEXT_DATA=../shared/data python benchmarks/serve.py

  one       one client over one connection, one text a request, the next when it has its answer
  64        so many clients at once, each as above, its own texts
  64, alone the same against a server that gives the model one text at a time (--max-batch 1)

All over real sockets of this machine, clients in a process of their own, against `finetext serve`
in another; by turns. The model is MiniLM, trained on 64 rows, or the one of --model; the texts are
held-out rows, none twice in a round. Timed: from the first byte sent to the last received. Not
timed: starting, loading, and a first round of one text a client.
"""

from __future__ import annotations

import argparse
import asyncio
from statistics import median, quantiles
from typing import Any, Final

import common
import serve_clients
from common import Answer, Job

ONE: Final = "one"


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
    threads = options.threads
    turns: list[dict[str, Answer]] = []
    with (
        serve_clients.server(model, threads, *words) as usual,
        serve_clients.server(model, threads, *words, "--max-batch", 1) as alone,
    ):
        contenders = {
            ONE: (usual, 1, texts[: options.one_requests]),
            many: (usual, options.clients, texts[: options.requests]),
            f"{many}, alone": (alone, options.clients, texts[: options.one_requests]),
        }
        for name, (at, clients, _) in contenders.items():
            run(options, name, at, clients, texts[:clients])
        for number in range(options.rounds):
            turn = {name: run(options, name, *how) for name, how in contenders.items()}
            turns.append(turn)
            gain = turn[many]["rate"] / turn[ONE]["rate"]
            common.say(f"turn {number + 1}: {gain:.1f} times")
    what = (
        f"{options.data}, {'MiniLM' if options.model is None else options.model}: "
        f"{options.requests:,} requests of one text by {many} clients, {options.one_requests:,} by "
        f"one and against a server without batches; {options.rounds} turns; rates and ratios "
        f"within a turn as median [least, greatest], latencies over all requests. "
        f"{common.threads_in_words(threads)}"
    )
    table = common.table(*results(turns, many))
    common.finish(options, f"Serving {many} clients", what, [table])


def run(
    options: argparse.Namespace, name: str, at: serve_clients.Server, clients: int, texts: list[str]
) -> Answer:
    """One turn of one contender."""
    job = {"task": name, "host": at.host, "port": at.port, "texts": texts, "clients": clients}
    return common.alone(__file__, job, options.threads)


def results(turns: list[dict[str, Answer]], many: str) -> tuple[list[str], list[list[str]]]:
    """Titles and rows."""
    titles = ["clients", "requests/s", f"times {ONE}", "median ms", "99th percentile ms"]
    rows = []
    for name in turns[0]:
        seconds = [value for turn in turns for value in turn[name]["seconds"]]
        rows.append(
            [
                name,
                common.spread([turn[name]["rate"] for turn in turns]),
                common.spread([turn[name]["rate"] / turn[ONE]["rate"] for turn in turns], 2),
                f"{1000 * median(seconds):.1f}",
                f"{1000 * quantiles(seconds, n=100)[98]:.1f}",
            ]
        )
    return titles, rows


def work(job: Job) -> Answer:
    """Make the model, or be the clients of one turn."""
    if job["task"] == "prepare":
        serve_clients.prepare(job["folder"], job["data"])
        return {}
    answer: dict[str, Any] = asyncio.run(serve_clients.timed(job))
    return answer


if __name__ == "__main__":
    main()
