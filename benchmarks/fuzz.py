"""Malformed files, recipes, models and requests: are they refused, in time, in little memory?

python benchmarks/fuzz.py
python benchmarks/fuzz.py --parts readers --inputs 20000 --seed 7

Valid inputs are changed by chance: bytes flipped, cut out, doubled, put in from another input;
numbers made huge, words replaced by those that mean something to a parser.

readers   tables, archives and exports of annotation tools, read as `finetext explore` reads them
recipes   recipes, read as `finetext train RECIPE` reads them
models    model folders of which one file is changed, opened by `info` and `load`, and asked once
requests  bytes sent to `finetext serve` over a connection each, by many clients at once

An input is borne if it is read, or refused by a FinetextError, within 5 s and without more memory
than the budget for bytes read (`--budget`) and a constant. Requests are borne if none is
answered with 500, a good one is answered within 5 s after each thousand of them, and the server has
logged no traceback.
What is not borne is kept in `--keep`, with its message, to be run again.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import multiprocessing
import random
import re
import shutil
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

import common
import serve_clients
from serve_clients import Server, request

import finetext
from finetext.core.contracts import FitContext
from finetext.core.errors import FinetextError

LONGEST: Final = 5.0
"""Seconds after which an input counts as a hang."""
PATIENCE: Final = 30.0
"""Seconds after which a process that does not come back is killed."""
CONSTANT: Final = 512
"""MiB that a reader may take beside the budget: copies of what it read, and caches of libraries."""
PAUSE: Final = 0.5
"""Seconds after which a request is taken for one that the server wants to read more of."""
SHARES: Final = {"readers": 0.7, "recipes": 0.1, "models": 0.2}
CASES: Final = Path(__file__).parents[1] / "tests" / "data" / "cases"
ROWS: Final = [
    (text, label)
    for text, label in (
        ("The acting is superb", "good"),
        ('A "quoted" text, with commas; and\ttabs', "bad"),
        ("Zwei Zeilen\nin einer Zelle, für äöü", "good"),
        ("日本語のテキスト 🙂", "bad"),
        ("=1+1", "good"),
    )
    for _ in range(4)
]
TOKENS: Final = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b'"', b"'", b"{", b"[" * 3_000, b"}", b"]"),
    *(
        b"-1",
        b"0",
        b"99999999999999999999",
        b"1e999",
        b"NaN",
        b"null",
        b"true",
        b"\\ud800",
        b"\x1b[2J",
    ),
    *(b"../../../../etc/passwd", b"/dev/zero", b"file:///etc/passwd", b"<!ENTITY a 'b'>", b"&a;"),
    *(b"text", b"label", b"=cmd|' /C calc'!A0", b"%n%s", b"\xe2\x80\xae", b",", b";" * 2_000),
)
WIRE: Final = (
    *(b"\r\n", b"\n", b"\r", b" ", b":", b"\0", b"HTTP/1.1", b"HTTP/0.9", b"GET ", b"CONNECT "),
    *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"content-length: 99999999999\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n", b"0\r\n\r\n", b"Host: a\r\n"),
    *(
        b"Expect: 100-continue\r\n",
        b"Upgrade: websocket\r\n",
        b"x: " + b"y" * 70_000,
        b"%00",
        b"//",
    ),
    *(b"\xff" * 9, b"[" * 5_000, b'{"inputs": ', b'"\\ud800"', b"1e400", b"Connection: close\r\n"),
)


class Sample(NamedTuple):
    """A valid input: the name of its file, which says its format, and its bytes."""

    name: str
    data: bytes


class Outcome(NamedTuple):
    """What became of one input."""

    kind: str
    seconds: float
    grown: float
    message: str


@dataclass
class Tally:
    """What became of all inputs of a part.

    Attributes:
        outcomes: how many were read, refused, or not borne and why.
        slowest: seconds of the slowest.
        grown: MiB by which memory grew at most.
        faults: name and message of those that were not borne.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    grown: float = 0.0
    faults: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, outcome: Outcome) -> None:
        """Count one."""
        self.outcomes[outcome.kind] += 1
        self.slowest = max(self.slowest, outcome.seconds)
        self.grown = max(self.grown, outcome.grown)
        if outcome.kind not in {"read", "refused"}:
            self.faults.append((name, f"{outcome.kind}: {outcome.message}"))
            common.say(f"{name}: {outcome.kind}: {outcome.message.strip().splitlines()[-1:]}")


def main() -> None:
    """Try all parts, print the table; status 1 if any input was not borne."""
    options = arguments()
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for part in options.parts:
            if part == "requests":
                tallies[part] = asyncio.run(all_requests(options, Path(scratch)))
            else:
                number = round(options.inputs * SHARES[part])
                tallies[part] = in_processes(options, part, number, Path(scratch) / part)
            common.say(f"{part}: {dict(tallies[part].outcomes)}")
    common.finish(options, "What malformed input does", _what(options), [_table(tallies)])
    if any(tally.faults for tally in tallies.values()):
        raise SystemExit("\n".join(name for tally in tallies.values() for name, _ in tally.faults))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--parts", nargs="+", default=[*SHARES, "requests"])
    parser.add_argument("--inputs", type=int, default=10_000, help="files of all kinds (10000)")
    parser.add_argument("--requests", type=int, default=100_000, help="over the wire (100000)")
    parser.add_argument("--clients", type=int, default=32, help="at the same time (32)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (0)")
    parser.add_argument("--budget", type=int, default=64, help="MiB that a reader may read (64)")
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="folder of faults (fuzz)")
    return parser.parse_args()


def _what(options: argparse.Namespace) -> str:
    return (
        f"Seed {options.seed}; budget {options.budget} MiB for bytes read, {CONSTANT} MiB beside "
        f"it; at most {LONGEST:g} s each."
    )


def _table(tallies: dict[str, Tally]) -> list[str]:
    titles = ["part", "inputs", "read", "refused", "not borne", "slowest, s", "memory grown, MiB"]
    rows = []
    for part, tally in tallies.items():
        every, good = sum(tally.outcomes.values()), tally.outcomes
        counts = [every, good["read"], good["refused"], len(tally.faults)]
        figures = [f"{number:,}" for number in counts]
        rows.append([part, *figures, f"{tally.slowest:.1f}", f"{tally.grown:.0f}"])
    return common.table(titles, rows)


def changed(data: bytes, other: bytes, tokens: Sequence[bytes], generator: random.Random) -> bytes:
    """Return bytes with one to eight changes; `other` gives parts to put in."""
    found = bytearray(data)
    for _ in range(generator.choice((1, 1, 1, 2, 3, 8))):
        at = generator.randrange(len(found) + 1)
        length = min(generator.choice((1, 2, 4, 16, 256, 4_096)), len(found) - at)
        match generator.randrange(9):
            case 0 if length:
                for place in range(at, at + length):
                    if generator.random() < 0.3:
                        found[place] = generator.randrange(256)
            case 1:
                del found[at : at + length]
            case 2:
                found[at:at] = found[at : at + length] * generator.choice((1, 2, 50, 1_000))
            case 3:
                del found[at:]
            case 4 if other:
                start = generator.randrange(len(other))
                found[at:at] = other[start : start + generator.choice((8, 64, 1_024))]
            case 5:
                numbers = [match.span() for match in re.finditer(rb"\d+", bytes(found))][:2_000]
                if numbers:
                    first, last = generator.choice(numbers)
                    found[first:last] = generator.choice((b"-1", b"4294967295", b"9" * 5_000, b""))
            case 6 if length:
                found[at] ^= 1 << generator.randrange(8)
            case _:
                found[at:at] = generator.choice(tokens)
        del found[2**20 :]
    return bytes(found)


def rezipped(data: bytes, generator: random.Random) -> bytes:
    """Return a zip of which one member is changed and its checksum right, so that it is parsed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", 8) as new:
        names = [name for name in old.namelist() if not name.endswith("/")]
        victim = generator.choice(names)
        for name in names:
            content = old.read(name)
            if name == victim:
                content = changed(content, old.read(generator.choice(names)), TOKENS, generator)
            new.writestr(name, content)
    return out.getvalue()


# Files ----------------------------------------------------------------------------------------


def tables(scratch: Path) -> list[Sample]:
    """Return valid tables in every format that is read."""
    import pandas as pd

    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    frame["id"] = range(len(frame))
    samples = [
        *(
            Sample(f"{code}.csv", frame.to_csv(index=False).encode(code, "replace"))
            for code in ("utf-8", "utf-8-sig", "utf-16", "cp1252")
        ),
        Sample("a.tsv", frame.to_csv(index=False, sep="\t").encode()),
        Sample("a.jsonl", frame.to_json(orient="records", lines=True).encode()),
        Sample("a.json", frame.to_json(orient="records").encode()),
        Sample("split.json", frame.to_json(orient="split").encode()),
    ]
    for name in (
        "a.xlsx",
        "a.parquet",
        "a.arrow",
        "a.csv.gz",
        "a.csv.zip",
        "a.csv.xz",
        "a.csv.bz2",
    ):
        path = scratch / name
        if name == "a.xlsx":
            frame.to_excel(path, index=False)
        elif name == "a.parquet":
            frame.to_parquet(path)
        elif name == "a.arrow":
            frame.to_feather(path)
        else:
            frame.to_csv(path, index=False)
        samples.append(Sample(name, path.read_bytes()))
    samples.append(Sample("a.tar.gz", _tar()))
    for path in sorted(CASES.rglob("*")):
        if path.is_file() and path.stat().st_size < 200_000 and path.suffix not in {".md", ".toml"}:
            samples.append(Sample(path.name, path.read_bytes()))
    return samples


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for number, (text, label) in enumerate(ROWS):
            member = tarfile.TarInfo(f"data/{label}/{number}.txt")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def recipes(scratch: Path) -> list[Sample]:
    """Return recipes that are read as they are."""
    folder = Path(__file__).parents[1] / "recipes"
    return [Sample("recipe.toml", path.read_bytes()) for path in sorted(folder.rglob("*.toml"))]


def model_files(scratch: Path) -> list[Sample]:
    """Return each file of several model folders; its name has the folder."""
    folders = [*_own_models(scratch), *_old_models(scratch)]
    return [
        Sample(str(path.relative_to(scratch)), path.read_bytes())
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_size < 2**20
    ]


def _own_models(scratch: Path) -> Iterator[Path]:
    rows = finetext.read({"text": [t for t, _ in ROWS], "label": [label for _, label in ROWS]})
    for method in (finetext.Majority(), finetext.Tfidf()):
        folder = scratch / type(method).__name__
        method.fit(rows, rows, FitContext(device="cpu")).save(folder)
        yield folder


def _old_models(scratch: Path) -> Iterator[Path]:
    old = Path(__file__).parents[1] / "tests" / "compatibility" / "747c6c8"
    for name in ("run", "awd-lstm", "exports"):
        with zipfile.ZipFile(old / f"{name}.zip") as archive:
            archive.extractall(scratch / name)
        for card in sorted((scratch / name).rglob("finetext.json")):
            yield card.parent


CORPORA: Final[dict[str, Callable[[Path], list[Sample]]]] = {
    "readers": tables,
    "recipes": recipes,
    "models": model_files,
}


def put(part: str, sample: Sample, data: bytes, scratch: Path, place: Path) -> Path:
    """Write a changed input; return what is to be opened."""
    shutil.rmtree(place, ignore_errors=True)
    if part != "models":
        place.mkdir()
        (place / Path(sample.name).name).write_bytes(data)
        return place / Path(sample.name).name
    folder = next(of for of in (scratch / sample.name).parents if (of / "finetext.json").exists())
    shutil.copytree(folder, place)
    (place / (scratch / sample.name).relative_to(folder)).write_bytes(data)
    return place


def attempt(part: str, path: Path, budget: int) -> None:
    """Open an input as a user would; raises what the user would see."""
    if part == "readers":
        finetext.read(path, settings=finetext.ReadSettings(most_bytes=budget * 2**20))
    elif part == "recipes":
        finetext.Recipe.from_file(path)
    else:
        with suppress(FinetextError):
            finetext.info(path)
        finetext.load(path, "cpu").predict_proba(["a text", ""])


def outcome_of(part: str, path: Path, budget: int) -> Outcome:
    """Open an input, and return what became of it."""
    common.reset_peak()
    before, started = common.memory("VmRSS"), time.monotonic()
    kind, message = "read", ""
    try:
        attempt(part, path, budget)
    except FinetextError:
        kind = "refused"
    except BaseException:
        kind, message = "traceback", traceback.format_exc()
    seconds, grown = time.monotonic() - started, common.memory("VmHWM") - before
    if kind in {"read", "refused"} and seconds > LONGEST:
        kind, message = "hang", f"{seconds:.1f} s"
    if kind in {"read", "refused"} and grown > budget + CONSTANT:
        kind, message = "memory", f"{grown:.0f} MiB"
    return Outcome(kind, seconds, grown, message)


def worker(pipe: Connection, part: str, corpus: list[Sample], options: Any, scratch: Path) -> None:
    """Make and open the inputs whose numbers come through the pipe; send what became of them."""
    place = scratch / "input"
    for sample in corpus[:: max(len(corpus) // 20, 1)]:  # imports are not counted
        outcome_of(part, put(part, sample, sample.data, scratch, place), options.budget)
    while (number := pipe.recv()) is not None:
        generator = random.Random(f"{options.seed} {part} {number}")
        sample, other = corpus[number % len(corpus)], generator.choice(corpus)
        if zipfile.is_zipfile(io.BytesIO(sample.data)) and generator.random() < 0.7:
            data = rezipped(sample.data, generator)
        else:
            data = changed(sample.data, other.data, TOKENS, generator)
        path = put(part, sample, data, scratch, place)
        pipe.send(outcome_of(part, path, options.budget))


def in_processes(options: argparse.Namespace, part: str, number: int, scratch: Path) -> Tally:
    """Run a part in a process that is replaced where it hangs or dies; keep what was not borne."""
    scratch.mkdir()
    corpus, tally = CORPORA[part](scratch), Tally()
    spawn = multiprocessing.get_context("spawn")
    process: Any = None
    for at in range(number):
        if process is None:
            pipe, theirs = spawn.Pipe()
            words = (theirs, part, corpus, options, scratch)
            process = spawn.Process(target=worker, args=words, daemon=True)
            process.start()
            theirs.close()
            patience = PATIENCE + 300  # imports
        pipe.send(at)
        outcome = Outcome("hang", PATIENCE, 0.0, "killed")
        if pipe.poll(patience):
            with suppress(EOFError):
                outcome = pipe.recv()
                patience = PATIENCE
        if outcome.message == "killed":
            if not process.is_alive():
                outcome = Outcome("crash", 0.0, 0.0, f"status {process.exitcode}")
            process.kill()
            process.join()
            process = None
        name = f"{part}-{options.seed}-{at}-{Path(corpus[at % len(corpus)].name).name}"
        tally.add(name, outcome)
        if outcome.kind not in {"read", "refused"}:
            keep(options.keep / name, scratch / "input", outcome.message)
    if process is not None:
        pipe.send(None)
        process.join()
    return tally


def keep(place: Path, found: Path, message: str) -> None:
    """Copy an input that was not borne, and its message."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(found, place)
    (place / "MESSAGE").write_text(message)


# Requests -------------------------------------------------------------------------------------


def valid_requests() -> list[bytes]:
    """Return requests that are answered with 200."""
    body = json.dumps({"inputs": ["a text", "another"], "parameters": {"top_k": 1}}).encode()
    chunked = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    )
    gets = (b"/", b"/ready", b"/health", b"/metrics", b"/openapi.json", b"/info", b"/docs")
    table = b"text,label\r\na,b\r\n"
    return [
        request(body),
        request(json.dumps({"inputs": "a text"}).encode()),
        request(body) * 2,
        chunked,
        request(table, "/table?name=a.csv"),
        *(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in gets),
    ]


def request_of(sample: bytes, other: bytes, generator: random.Random) -> bytes:
    """Return a changed request: any byte of it, or its body, with the length that it then has."""
    head, _, body = sample.partition(b"\r\n\r\n")
    if generator.random() < 0.5 or b"content-length: " not in head:
        return changed(sample, other, WIRE, generator)
    body = changed(body, other.partition(b"\r\n\r\n")[2], TOKENS, generator)
    head = re.sub(rb"content-length: \d+", b"content-length: %d" % len(body), head)
    return head + b"\r\n\r\n" + body


async def all_requests(options: argparse.Namespace, scratch: Path) -> Tally:
    """Send changed requests by many clients, and look at the server now and then."""
    rows = finetext.read({"text": [t for t, _ in ROWS], "label": [label for _, label in ROWS]})
    model = scratch / "served"
    finetext.Tfidf().fit(rows, rows, FitContext(device="cpu")).save(model)
    log = scratch / "log"
    with log.open("w") as errors:
        server = await asyncio.to_thread(started, str(model), options.threads, errors)
        try:
            tally = await under_fuzz(options, server)
        finally:
            if server.process.poll() is None:
                server.stop()
    if "Traceback" in (text := log.read_text(errors="replace")):
        tally.add(
            "the log", Outcome("traceback", 0.0, 0.0, text[text.index("Traceback") :][:3_000])
        )
    return tally


def started(model: str, threads: int, errors: Any) -> Server:
    """A server that writes what it logs to a file."""
    return serve_clients.start(model, threads, "--port", 0, errors=errors)


async def under_fuzz(options: argparse.Namespace, server: Server) -> Tally:
    """Send all requests."""
    tally, corpus, before = Tally(), valid_requests(), server.memory()
    numbers = iter(range(options.requests))

    async def client() -> None:
        for number in numbers:
            generator = random.Random(f"{options.seed} requests {number}")
            sample, other = corpus[number % len(corpus)], generator.choice(corpus)
            data = request_of(sample, other, generator)
            outcome = await exchange(server, data)
            if outcome.kind not in {"read", "refused"}:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"request-{options.seed}-{number}").write_bytes(data)
            tally.add(f"request-{options.seed}-{number}", outcome)
            if number % 1_000 == 0:
                tally.grown = max(tally.grown, server.memory() - before)
                alive = await exchange(server, corpus[0], LONGEST)
                if alive.kind != "read":
                    tally.add(f"after request {number}", alive._replace(kind="silent"))

    await asyncio.gather(*(client() for _ in range(options.clients)))
    if server.process.poll() is not None:
        tally.add("the end", Outcome("crash", 0, 0, f"status {server.process.returncode}"))
    return tally


async def exchange(server: Server, data: bytes, patience: float = PAUSE) -> Outcome:
    """Send bytes; read what comes until nothing comes for a while, as a client may wait itself."""
    begun, answer = time.monotonic(), b""
    try:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(LONGEST):
                    writer.write(data)
                    await writer.drain()
                while part := await asyncio.wait_for(reader.read(2**16), patience):
                    answer = answer or part
                    patience = 0.01
        finally:
            writer.close()
    except OSError as problem:
        return Outcome("crash", time.monotonic() - begun, 0.0, str(problem))
    seconds, status = time.monotonic() - begun, answer[9:12]
    if status == b"500":
        return Outcome("traceback", seconds, 0.0, "status 500")
    return Outcome("read" if status == b"200" else "refused", seconds, 0.0, "")


if __name__ == "__main__":
    main()
