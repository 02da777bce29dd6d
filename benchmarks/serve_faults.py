"""What a server bears: wrong, huge and broken requests, slow clients, kills, and a stop under load.

FINETEXT_DATA=../shared/data python benchmarks/serve_faults.py

load      thousands of requests by many clients: one in three is malformed, huge, binary or of
the wrong shape, or its sender hangs up; the others have real, long, emoji and
right-to-left texts. Meanwhile other clients send a byte a second. Each answer must
have the status that it should, and each text its own probabilities, those of the model
in this process. Memory of the server is read as it goes.
kills     the server is killed (SIGKILL) and started again at the same port, again and again,
while clients ask and ask again until they are answered; no answer may be wrong
stop      SIGTERM while clients ask: every request that got any answer must have got a whole and
right one, and the server ends with status 0
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import common
import serve_clients
from common import Answer, Job
from serve_clients import Server, read_answer, request

import finetext

TOLERANCE: Final = 1e-4
FIRST: Final = 0.1
"""Share of the requests after which memory is first read."""
LOST: Final = (OSError, EOFError, asyncio.IncompleteReadError)
GONE: Final = -1
"""Stands for a status where the sender hangs up."""
Bad = Callable[[str], tuple[int, bytes]]


def _body(value: Any) -> bytes:
    return json.dumps(value).encode()


BAD: Final[dict[str, Bad]] = {
    "no JSON": lambda text: (400, request(b'{"inputs": "' + text.encode())),
    "binary": lambda text: (400, request(bytes(range(256)))),
    "raw NUL": lambda text: (400, request(b'{"inputs": "a\0b"}')),
    "nested": lambda text: (400, request(b"[" * 50_000)),
    "key twice": lambda text: (400, request(b'{"inputs": "a", "inputs": "b"}')),
    "surrogate": lambda text: (400, request(b'{"inputs": "\\ud800"}')),
    "NUL": lambda text: (422, request(_body({"inputs": text + "\0"}))),
    "number": lambda text: (422, request(_body({"inputs": 3}))),
    "no texts": lambda text: (422, request(_body({"inputs": []}))),
    "empty": lambda text: (422, request(_body({"inputs": [text, " "]}))),
    "too many": lambda text: (422, request(_body({"inputs": [text] * 300}))),
    "too long": lambda text: (422, request(_body({"inputs": text * 5_000}))),
    "huge": lambda text: (413, request(_body({"inputs": "x" * 3 * 2**20}))),
    "no body": lambda text: (422, request(b"")),
    "nowhere": lambda text: (404, request(_body({"inputs": text}), "/nowhere")),
    "no HTTP": lambda text: (400, b"\x16\x03\x01\x02\x00 hello\r\n\r\n"),
    "both lengths": lambda text: (
        400,
        request(_body({"inputs": text}), headers="transfer-encoding: chunked\r\n"),
    ),
    "length twice": lambda text: (
        400,
        request(_body({"inputs": text}), headers="content-length: 9\r\n"),
    ),
    "hangs up": lambda text: (GONE, request(_body({"inputs": text}))),
    "half": lambda text: (GONE, request(_body({"inputs": text}))[:-3]),
}
ODD_TEXTS: Final = (
    *("🙂👩\u200d👩\u200d👧", "שלום עולם", "مرحبا"),
    *("\u202eabc", "日本語", "x " * 5_000),
)


@dataclass
class Tally:
    """What happened.

    Attributes:
        right: answers as they should be, by kind.
        wrong: what was not, in words.
        lost: requests without an answer, where that may be.
        memory: MiB of the server by number of requests.
    """

    right: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    memory: dict[int, float] = field(default_factory=dict)


def main() -> None:
    """Try all three and print the tables; status 1 if anything was wrong."""
    if common.served(work):
        return
    options = arguments()
    with serve_clients.model_of(options, __file__) as model:
        wrong = bear(options, model)
    if wrong:
        raise SystemExit("\n".join(wrong[:20]))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--model", help="a model or run folder; MiniLM on 64 rows by default")
    parser.add_argument("--data", default="emotion", choices=list(common.SOURCES))
    parser.add_argument("--requests", type=int, default=20_000, help="of the load (20000)")
    parser.add_argument("--clients", type=int, default=32, help="at the same time (32)")
    parser.add_argument("--slow", type=int, default=20, help="clients of a byte a second (20)")
    parser.add_argument("--kills", type=int, default=5, help="and starts (5)")
    parser.add_argument("--texts", type=int, default=500, help="different ones (500)")
    return parser.parse_args()


def bear(options: argparse.Namespace, model: str) -> list[str]:
    """All three parts and their tables; what was wrong, in words."""
    rows = common.rows_of(options.data, serve_clients.ROWS_TO_LEARN, 0, options.texts)
    texts = [*rows.held_out.texts, *ODD_TEXTS]
    classifier = finetext.load(model, "cpu")
    own = dict(zip(texts, classifier.predict_proba(texts), strict=True))
    expected = {
        text: dict(zip(classifier.scheme.names, row, strict=True)) for text, row in own.items()
    }
    words = ("--device", options.device, "--port")
    with serve_clients.server(model, options.threads, *words, 0) as server:
        load = asyncio.run(under_load(options, server, expected))
        port = server.port
    common.say(f"load: {sum(load.right.values()):,} right, {len(load.wrong)} wrong")
    starts = lambda: serve_clients.start(model, options.threads, *words, port)  # noqa: E731
    kills = asyncio.run(under_kills(options, starts, expected))
    common.say(f"kills: {sum(kills.right.values()):,} right, {len(kills.wrong)} wrong")
    with serve_clients.server(model, options.threads, *words, 0) as server:
        stop = asyncio.run(under_stop(options, server, expected))
    what = f"{options.data}, {'MiniLM' if options.model is None else options.model}."
    tables = [_table(load, kills, stop), _memory(load), _kinds(load)]
    common.finish(options, "What the server bears", what, tables)
    return [*load.wrong, *kills.wrong, *stop.wrong]


def _table(load: Tally, kills: Tally, stop: Tally) -> list[str]:
    titles = ["part", "right answers", "wrong answers", "without an answer"]
    parts = {"load": load, "kills": kills, "stop": stop}
    return common.table(
        titles,
        [
            [name, f"{sum(tally.right.values()):,}", str(len(tally.wrong)), str(tally.lost)]
            for name, tally in parts.items()
        ],
    )


def _memory(load: Tally) -> list[str]:
    marks = sorted(load.memory)
    return common.table(
        ["requests", "MiB of the server"], [[f"{n:,}", f"{load.memory[n]:.1f}"] for n in marks]
    )


def _kinds(load: Tally) -> list[str]:
    return common.table(
        ["kind of request", "right answers"], [[k, f"{n:,}"] for k, n in sorted(load.right.items())]
    )


async def under_load(
    options: argparse.Namespace, server: Server, expected: dict[str, dict[str, float]]
) -> Tally:
    """Good and bad requests at the same time as slow clients."""
    tally, generator = Tally(), random.Random(0)
    numbers = iter(range(1, options.requests + 1))
    marks = {round(options.requests * share / 10) for share in range(1, 11)}
    marks.add(round(options.requests * FIRST))
    slow = [asyncio.create_task(trickle(server)) for _ in range(options.slow)]

    async def client() -> None:
        for number in numbers:
            if generator.random() < 1 / 3:
                await ask_badly(server, generator.choice(list(BAD)), generator, expected, tally)
            else:
                await ask_well(server, generator, expected, tally)
            if number in marks:
                tally.memory[number] = server.memory()

    await asyncio.gather(*(client() for _ in range(options.clients)))
    for task in slow:
        task.cancel()
    return tally


async def under_kills(
    options: argparse.Namespace, start: Callable[[], Server], expected: dict[str, dict[str, float]]
) -> Tally:
    """Clients that ask again until they are answered, while the server is killed."""
    tally, server, is_over = Tally(), await asyncio.to_thread(start), False
    place = server

    async def client(number: int) -> None:
        generator = random.Random(number)
        while not is_over:
            with suppress(*LOST):
                await ask_well(place, generator, expected, tally)
                continue
            tally.lost += 1
            await asyncio.sleep(0.05)

    clients = [asyncio.create_task(client(number)) for number in range(options.clients)]
    for _ in range(options.kills):
        await asyncio.sleep(2)
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        server = await asyncio.to_thread(start)
    before = sum(tally.right.values())
    await asyncio.sleep(2)
    if sum(tally.right.values()) == before:
        tally.wrong.append("after the last start nothing was answered")
    is_over = True
    await asyncio.gather(*clients)
    await asyncio.to_thread(server.stop)
    return tally


async def under_stop(
    options: argparse.Namespace, server: Server, expected: dict[str, dict[str, float]]
) -> Tally:
    """SIGTERM while clients ask."""
    tally = Tally()

    async def client(number: int) -> None:
        generator = random.Random(number)
        while True:
            try:
                await ask_well(server, generator, expected, tally)
            except asyncio.IncompleteReadError as cut:
                if cut.partial:
                    tally.wrong.append("an answer was cut off")
                tally.lost += 1
                return
            except (OSError, EOFError):
                tally.lost += 1
                return

    clients = [asyncio.create_task(client(number)) for number in range(options.clients)]
    await asyncio.sleep(2)
    status = await asyncio.to_thread(server.stop)
    if status:
        tally.wrong.append(f"the server ended with status {status}")
    await asyncio.gather(*clients)
    return tally


async def ask_well(
    server: Server, generator: random.Random, expected: dict[str, dict[str, float]], tally: Tally
) -> None:
    """A good request over a new connection, and whether its answers are its own."""
    texts = generator.choices(list(expected), k=generator.choice([1, 1, 1, 2, 8]))
    status, body = await _exchange(server, request(_body({"inputs": texts})))
    while status in (429, 503):
        await asyncio.sleep(0.05)
        status, body = await _exchange(server, request(_body({"inputs": texts})))
    if status == 200 and _agrees(json.loads(body), texts, expected):
        tally.right["good"] += 1
    else:
        tally.wrong.append(f"good: {status} {body[:200]!r}")


async def ask_badly(
    server: Server,
    kind: str,
    generator: random.Random,
    expected: dict[str, dict[str, float]],
    tally: Tally,
) -> None:
    """A bad request over a new connection, and whether it is refused as it should be."""
    text = generator.choice([text for text in expected if 12 < len(text) < 1_000])
    status, data = BAD[kind](text)
    if status == GONE:
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(data)
        await asyncio.sleep(generator.random() / 20)
        writer.transport.abort()
        tally.right[kind] += 1
        return
    try:
        given, body = await _exchange(server, data)
    except LOST as error:
        tally.wrong.append(f"{kind}: {error!r}")
        return
    if given == status and list(json.loads(body)) == ["error"]:
        tally.right[kind] += 1
    else:
        tally.wrong.append(f"{kind}: {given} {body[:200]!r}")


async def trickle(server: Server) -> None:
    """Send a byte a second; begin anew when cut off."""
    while True:
        with suppress(*LOST):
            _, writer = await asyncio.open_connection(server.host, server.port)
            for place in range(10**6):
                writer.write(b"POST / HTTP/1.1\r\ncontent-length: 999\r\n\r\n"[place % 38 :][:1])
                await writer.drain()
                await asyncio.sleep(1)


async def _exchange(server: Server, data: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(data)
        with suppress(ConnectionError):
            await writer.drain()
        return await read_answer(reader)
    finally:
        writer.close()


def _agrees(
    told: Sequence[Sequence[dict[str, Any]]],
    texts: Sequence[str],
    expected: dict[str, dict[str, float]],
) -> bool:
    return len(told) == len(texts) and all(
        abs(one["score"] - expected[text][one["label"]]) <= TOLERANCE
        for row, text in zip(told, texts, strict=True)
        for one in row
    )


def work(job: Job) -> Answer:
    """Make the model."""
    serve_clients.prepare(job["folder"], job["data"])
    return {}


if __name__ == "__main__":
    main()
