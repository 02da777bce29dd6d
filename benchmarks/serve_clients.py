"""What the benchmarks of the server share: a server in a process of its own, and bare clients."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import common

import finetext
from finetext.core.contracts import FitContext

ROWS_TO_LEARN = 64


class Server(NamedTuple):
    """A server that answers."""

    process: subprocess.Popen[str]
    host: str
    port: int

    def memory(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 2**10

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its status."""
        self.process.send_signal(how)
        return self.process.wait(120)


@contextmanager
def server(model: str, threads: int, *words: object) -> Iterator[Server]:
    """`finetext serve` with further words, until the body ends."""
    started = start(model, threads, *words)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.stop()


def start(model: str, threads: int, *words: object, errors: Any = None) -> Server:
    """Start `finetext serve` and wait until it says its address; `errors` is a file to log to."""
    own = ["--json", "--set", "serve.known_bytes=0"]  # texts repeat, and the model is measured
    command = [sys.executable, "-m", "finetext", "serve", model, *own, *map(str, words)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    lines = ""
    while not lines.rstrip().endswith("}"):
        if not (line := process.stdout.readline()):
            raise SystemExit(f"the server ended with status {process.wait()}")
        lines += line
    place = urlsplit(json.loads(lines)["address"])
    return Server(process, str(place.hostname), int(place.port or 0))


@contextmanager
def model_of(options: argparse.Namespace, script: str) -> Iterator[str]:
    """The model that was named, or else one that a process of `script` makes for the body."""
    if options.model is not None:
        yield options.model
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = f"{scratch}/model"
        job = {"task": "prepare", "folder": folder, "data": options.data}
        common.alone(script, job, options.threads)
        yield folder


def prepare(folder: str, data: str) -> None:
    """Train MiniLM on a few rows, so that its probabilities are not all alike, and save it."""
    rows = common.rows_of(data, ROWS_TO_LEARN, 16, 16)
    method = finetext.Finetune(epochs=1, batch_size=8, precision="fp32")
    method.fit(rows.train, rows.validation, FitContext(device="cpu")).save(Path(folder))


def request(body: bytes, path: str = "/predict", headers: str = "") -> bytes:
    """A request as it goes over the wire."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer.

    Raises:
        EOFError: the connection was closed before there was a whole one.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    body = await reader.readexactly(int(fields[b"content-length"]))
    return int(head.split(maxsplit=2)[1]), body


async def timed_client(host: str, port: int, texts: Sequence[str]) -> list[float]:
    """One text after the other over one connection; seconds of each request."""
    reader, writer = await asyncio.open_connection(host, port)
    seconds = []
    for text in texts:
        data = request(json.dumps({"inputs": text}).encode())
        started = time.perf_counter()
        writer.write(data)
        status, body = await read_answer(reader)
        seconds.append(time.perf_counter() - started)
        if status != 200:
            raise SystemExit(f"{status}: {body!r}")
    writer.close()
    return seconds


async def timed(job: dict[str, Any]) -> dict[str, Any]:
    """Clients at the same time, each with its share of the texts.

    Args:
        job: "host", "port", "texts", "clients".

    Returns:
        "rate" in requests/s and "seconds" of every request.
    """
    shares = [job["texts"][place :: job["clients"]] for place in range(job["clients"])]
    started = time.perf_counter()
    found = await asyncio.gather(*(timed_client(job["host"], job["port"], of) for of in shares))
    total = time.perf_counter() - started
    return {"rate": len(job["texts"]) / total, "seconds": [s for each in found for s in each]}


async def timed_arrivals(job: dict[str, Any]) -> dict[str, Any]:
    """Requests that arrive at random times (Poisson), over as many connections as they need.

    Args:
        job: "host", "port", "texts", "rate" in requests/s, and "seed".

    Returns:
        "rate" in requests/s and "seconds" from when a request was due to the end of its answer.
    """
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(text: str, due: float) -> float:
        while idle and idle[-1][0].at_eof():  # the server closes what is idle for long
            idle.pop()[1].close()
        place = idle.pop() if idle else await asyncio.open_connection(job["host"], job["port"])
        place[1].write(request(json.dumps({"inputs": text}).encode()))
        status, body = await read_answer(place[0])
        if status != 200:
            raise SystemExit(f"{status}: {body!r}")
        idle.append(place)
        return time.perf_counter() - due

    chance = random.Random(job["seed"])
    started = due = time.perf_counter()
    asking = []
    for text in job["texts"]:
        due += chance.expovariate(job["rate"])
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        asking.append(asyncio.create_task(ask(text, due)))
    seconds = await asyncio.gather(*asking)
    return {"rate": len(seconds) / (time.perf_counter() - started), "seconds": seconds}
