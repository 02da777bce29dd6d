"""Is a request lost while the workers of a server are replaced, one by one, under load?

FINETEXT_DATA=../shared/data python benchmarks/serve_restart.py

Clients ask without a pause, half of them over a new connection for each request, half over one
that is kept until the server says `Connection: close`. No client asks again: a connection that is
refused or reset, an answer other than 200, and an answer that is neither the old model's nor the
new one's count as failures. Meanwhile SIGHUP goes to the parent again and again; before each the
link to the model is switched to the other one of two, whose probabilities differ. After the last
restart only the model that is linked then may answer. In the end SIGTERM comes while clients ask.
Nobody else answers then, so a new connection may be refused, and one that was made in the very
moment of closing may be reset; these are counted apart. No answer may be cut off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import common
import serve_clients
from common import Answer, Job
from serve_clients import Server, request

import finetext

TOLERANCE: Final = 1e-4
MODELS: Final = ("a", "b")
Scores = dict[str, float]


@dataclass
class Tally:
    """What the clients saw.

    Attributes:
        answers: right answers by model.
        failures: what was not as it should be, in words.
        resets: connections that were reset after SIGTERM before there was any answer.
        refused: clients that could not connect after SIGTERM, so that nothing was sent.
        seconds: of each request.
    """

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    resets: int = 0
    refused: int = 0
    seconds: list[float] = field(default_factory=list)
    is_stopping: bool = False


def main() -> None:
    """Restart under load and print the table; status 1 if anything failed."""
    if common.served(work):
        return
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        job = {"task": "prepare", "folder": scratch, "data": options.data, "model": options.model}
        common.alone(__file__, job, options.threads)
        failures = restarts(options, Path(scratch))
    if failures:
        raise SystemExit("\n".join(failures[:20]))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--model", help="a model or run folder; MiniLM on 64 rows by default")
    parser.add_argument("--data", default="emotion", choices=list(common.SOURCES))
    parser.add_argument("--clients", type=int, default=64, help="at the same time (64)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server (2)")
    parser.add_argument("--restarts", type=int, default=5, help="of all workers (5)")
    parser.add_argument("--texts", type=int, default=200, help="different ones (200)")
    return parser.parse_args()


def restarts(options: argparse.Namespace, scratch: Path) -> list[str]:
    """The whole trial and its table; what failed, in words."""
    rows = common.rows_of(options.data, serve_clients.ROWS_TO_LEARN, 0, options.texts)
    expected = {name: scores(scratch / name, rows.held_out.texts) for name in MODELS}
    link = scratch / "model"
    link.symlink_to(scratch / MODELS[0])
    log = scratch / "log"
    words = ("--device", options.device, "--port", 0, "--workers", options.workers)
    with log.open("w") as errors:
        server = serve_clients.start(str(link), options.threads, *words, errors=errors)
        try:
            tally, took = asyncio.run(under_load(options, server, link, log, expected))
        finally:
            if server.process.poll() is None:
                server.stop(signal.SIGKILL)
    finish(options, tally, took)
    return tally.failures


def scores(model: Path, texts: list[str]) -> dict[str, Scores]:
    """The scores of each text by a model in this process."""
    classifier = finetext.load(model, "cpu")
    found = classifier.predict_proba(texts)
    names = classifier.scheme.names
    return {
        text: dict(zip(names, row, strict=True)) for text, row in zip(texts, found, strict=True)
    }


async def under_load(
    options: argparse.Namespace,
    server: Server,
    link: Path,
    log: Path,
    expected: dict[str, dict[str, Scores]],
) -> tuple[Tally, list[float]]:
    """Restart and stop while clients ask; what they saw, and the seconds of each restart."""
    tally, took, is_over = Tally(), [], asyncio.Event()
    allowed = set(MODELS)
    async with asyncio.TaskGroup() as clients:  # if one raises, all ends
        for number in range(options.clients):
            clients.create_task(client(number, server, expected, allowed, tally, is_over))
        await asyncio.sleep(2)
        for number in range(1, options.restarts + 1):
            switch(link, link.parent / MODELS[number % 2])
            started = time.perf_counter()
            server.process.send_signal(signal.SIGHUP)
            while log.read_text().count("replaced:") < number:
                await asyncio.sleep(0.05)
                if server.process.poll() is not None:
                    raise SystemExit(log.read_text())
            took.append(time.perf_counter() - started)
            before = tally.answers.total()
            common.say(f"restart {number}: {took[-1]:.1f} s, {before:,} right so far")
            while tally.answers.total() < before + 2 * options.clients:
                await asyncio.sleep(0.05)
        allowed.remove(MODELS[(options.restarts + 1) % 2])  # requests to it ended long ago
        await asyncio.sleep(2)
        tally.is_stopping = True
        status = await asyncio.to_thread(server.stop)
        if status:
            tally.failures.append(f"the server ended with status {status}")
        is_over.set()
    return tally, took


def switch(link: Path, target: Path) -> None:
    """Let a link point elsewhere, at once for all who look."""
    (link.parent / "next").symlink_to(target)
    os.replace(link.parent / "next", link)


async def client(
    number: int,
    server: Server,
    expected: dict[str, dict[str, Scores]],
    allowed: set[str],
    tally: Tally,
    is_over: asyncio.Event,
) -> None:
    """Ask until it is over, or until nobody can connect any more."""
    generator, keeps, connection = random.Random(number), number % 2 == 0, None
    texts = list(expected[MODELS[0]])
    while not is_over.is_set():
        text, started = generator.choice(texts), time.perf_counter()
        if connection is None:
            try:
                connection = await asyncio.open_connection(server.host, server.port)
            except OSError as error:
                if tally.is_stopping:
                    tally.refused += 1
                    return
                tally.failures.append(f"cannot connect: {error!r}")
                continue
        reader, writer = connection
        try:
            writer.write(request(json.dumps({"inputs": text}).encode()))
            status, body, closes = await answer_of(reader)
        except (OSError, EOFError) as error:
            if tally.is_stopping and not getattr(error, "partial", b""):
                tally.resets += 1
            else:
                tally.failures.append(f"no answer: {error!r}")
            status, body, closes = 0, b"", True
        if status == 200:
            judge(json.loads(body), text, expected, allowed, tally)
            tally.seconds.append(time.perf_counter() - started)
        elif status:
            tally.failures.append(f"{status} {body[:200]!r}")
        if closes or not keeps:
            writer.close()
            connection = None
    if connection is not None:
        connection[1].close()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status and body of the next answer, and whether it is the last of its connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    body = await reader.readexactly(int(fields[b"content-length"]))
    return int(head.split(maxsplit=2)[1]), body, fields.get(b"connection") == b"close"


def judge(
    told: list[list[dict[str, float | str]]],
    text: str,
    expected: dict[str, dict[str, Scores]],
    allowed: set[str],
    tally: Tally,
) -> None:
    """Count an answer for the model that gave it."""
    found = {str(one["label"]): float(one["score"]) for one in told[0]}
    for name in sorted(allowed):
        own = expected[name][text]
        if found.keys() == own.keys() and all(
            abs(found[label] - own[label]) <= TOLERANCE for label in own
        ):
            tally.answers[name] += 1
            return
    tally.failures.append(f"not the answer of {' or '.join(sorted(allowed))}: {found}")


def finish(options: argparse.Namespace, tally: Tally, took: list[float]) -> None:
    """Print the table."""
    rates = sorted(tally.seconds)
    cells = [
        str(options.clients), str(options.workers), str(options.restarts),
        f"{tally.answers.total():,}", str(len(tally.failures)), str(tally.resets),
        str(tally.refused),
        common.spread(took), f"{1000 * rates[len(rates) // 2]:.0f}",
        f"{1000 * rates[round(0.99 * (len(rates) - 1))]:.0f}", f"{1000 * rates[-1]:.0f}",
    ]  # fmt: skip
    titles = [
        "clients", "workers", "restarts", "right answers", "failed requests",
        "reset after SIGTERM", "refused after SIGTERM", "s per restart", "p50, ms", "p99, ms",
        "longest, ms",
    ]  # fmt: skip
    what = f"{options.data}, {'MiniLM' if options.model is None else options.model}."
    table = common.table(titles, [cells])
    common.finish(options, "Restarts of the server under load", what, [table])


def work(job: Job) -> Answer:
    """Make two models whose probabilities differ."""
    folder = Path(job["folder"])
    first = job["model"]
    if first is None:
        first = str(folder / "first")
        serve_clients.prepare(first, job["data"])
    classifier = finetext.load(first, "cpu")
    for name, temperature in zip(MODELS, (1.0, 3.0), strict=True):
        classifier.with_temperature(temperature).save(folder / name)
    return {}


if __name__ == "__main__":
    sys.exit(main())
