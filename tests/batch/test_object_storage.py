"""Inputs and outputs in object storage, with a server of the S3 protocol on loopback."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FileSelector, S3FileSystem

import finetext
from finetext.data import pieces
from finetext.storage import filesystems
from finetext.storage.filesystems import place_of

pytest.importorskip("moto", reason="moto is not installed")
Command = Callable[..., Any]
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
KILLED = """
import os, signal, sys
from finetext import Listener, predict_parts
from finetext.storage.filesystems import Place
real, parts = Place._upload, []
def upload(place, local):
    if place.name.startswith("part-"):
        parts.append(place)
    if len(parts) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    real(place, local)
Place._upload = upload
predict_parts(*sys.argv[1:4], shard=sys.argv[4], listener=Listener())
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a server of the S3 protocol."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.stdin.close()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEY_ID", "KEY"):
        monkeypatch.setenv(f"AWS_{'ACCESS' if name == 'KEY_ID' else 'SECRET_ACCESS'}_{name}", "me")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)


@pytest.fixture
def bucket(
    endpoint: str, environment: None, monkeypatch: pytest.MonkeyPatch, request: Any
) -> Iterator[S3FileSystem]:
    """The storage with an empty bucket `box`, at the address that the environment names."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    how = {"allow_bucket_creation": True, "allow_bucket_deletion": True}
    system = S3FileSystem(endpoint_override=endpoint, **how)
    system.create_dir("box")
    yield system
    system.delete_dir_contents("box")


def put(system: S3FileSystem, path: str, data: bytes) -> None:
    with system.open_output_stream(path) as file:
        file.write(data)


def table_of(rows: int) -> pa.Table:
    texts = [
        None if n % 9 == 4 else f"a {'fine' if n % 2 else 'dull'} film {n}" for n in range(rows)
    ]
    return pa.table({"n": range(rows), "text": texts})


@pytest.fixture
def tables(bucket: S3FileSystem) -> str:
    """The address of a folder of eight Parquet files."""
    for number in range(8):
        sink = pa.BufferOutputStream()
        pq.write_table(table_of(40).slice(5 * number, 5), sink, row_group_size=2)
        put(bucket, f"box/in/{number}.parquet", sink.getvalue().to_pybytes())
    return "s3://box/in"


def test_shards_a_killed_process_and_its_repetition(
    command: Command, finished: Path, bucket: S3FileSystem, tables: str, workplace: Path
) -> None:
    given = [str(finished), tables, "s3://box/out", "1/2"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *given], check=False)
    assert killed.returncode == -signal.SIGKILL
    parts = [of.base_name for of in bucket.get_file_info(FileSelector("box/out"))]
    assert sorted(part[:-17] for part in parts if part != "_finetext.json") == [
        "part-0000000-000000000000", "part-0000001-000000000000",
    ]  # fmt: skip
    predict = ("predict", finished, f"{tables}/*.parquet", "--out", "s3://box/out/")
    seen = command(*predict, "--shard", "2/2")
    assert "4 parts written, 20 rows" in seen.err
    assert "s3://box/out: 6 of 8 parts are there; to be done: shard 1 of 2" in seen.err
    seen = command(*predict, "--shard", "1/2")
    assert "2 parts written, 10 rows" in seen.err
    assert "s3://box/out: complete, 8 parts" in seen.err
    assert command(*predict).err.startswith("nothing to write: all parts of shard 1/1 are there\n")
    found = ds.dataset("box/out", filesystem=bucket).to_table()
    assert found.select(["n", "text"]).equals(table_of(40))
    pq.write_table(table_of(40), "in.parquet")
    command("predict", finished, "in.parquet", "--out", "one/", status=0)
    one = ds.dataset("one").to_table()
    has_text = found["rejected"].is_null()
    assert found["prediction"].equals(one["prediction"])
    for name in ("probability", "probability:good"):
        near = zip(*(of[name].filter(has_text).to_pylist() for of in (found, one)), strict=True)
        assert all(abs(a - b) < 1e-12 for a, b in near)  # other batches: in the last place
    said = command(*predict, "--top", "1", status=2).err
    assert "s3://box/out has parts of another prediction: --top was not set and is 1" in said


def test_a_file_is_read_predicted_trained_on_and_checked(
    command: Command, finished: Path, bucket: S3FileSystem, reviews: Path
) -> None:
    put(bucket, "box/reviews.csv", reviews.read_bytes())
    told = "reviews.csv: comma-separated, with header; text 'text', label 'label'"
    predict = ("predict", finished, "s3://box/reviews.csv", "--out", "s3://box/out.csv")
    seen = command(*predict, status=0)
    assert seen.err.startswith(told)
    assert seen.err.endswith("60 predictions: s3://box/out.csv\n")
    command("predict", finished, reviews, "--out", "out.csv", status=0)
    with bucket.open_input_stream("box/out.csv") as file:
        assert file.read() == Path("out.csv").read_bytes()
    assert "s3://box/out.csv exists; name another file" in command(*predict, status=2).err
    assert command(*predict, "--force").status == 0
    said = command(*predict, "--force", "--resume", status=2).err
    assert "--resume needs an output file on this machine, not s3://box/out.csv" in said
    seen = command("explore", "s3://box/reviews.csv", status=0)
    assert told in seen.err + seen.out
    assert finetext.read("s3://box/reviews.csv").texts == finetext.read(reviews).texts
    seen = command("train", "s3://box/reviews.csv", "--methods", "majority", "--out", "run")
    assert seen.status == 0
    assert "s3://box/reviews.csv" in Path("run/recipe.toml").read_text()


def test_a_folder_of_classes_is_read(bucket: S3FileSystem) -> None:
    for label in ("good", "bad"):
        for number in range(3):
            put(bucket, f"box/films/{label}/{number}.txt", f"a {label} film {number}".encode())
    data = finetext.read("s3://box/films")
    assert len(data) == 6
    assert data.scheme is not None
    assert data.scheme.names == ("bad", "good")


def test_names_with_spaces_and_wildcards(
    command: Command, finished: Path, bucket: S3FileSystem, workplace: Path
) -> None:
    for number in range(2):
        put(bucket, f"box/Q1 2026/new data {number}.csv", b"text\na fine film\n")
    source, out = "s3://box/Q1 2026/new data ?.csv", "s3://box/Q1 2026/my out/"
    seen = command("predict", finished, source, "--out", out, status=0)
    assert "s3://box/Q1 2026/my out: complete, 2 parts" in seen.err
    seen = command("predict", finished, source.replace("?", "0"), "--out", f"{out}a.csv", status=0)
    assert "1 prediction: s3://box/Q1 2026/my out/a.csv" in seen.err
    put(bucket, "box/my films.csv", b"text,label\na fine film,good\na dull film,bad\n")
    assert finetext.read("s3://box/my films.csv").texts == ["a fine film", "a dull film"]
    said = command("predict", finished, source.replace("?", "??"), "--out", "x/", status=2).err
    assert "no file fits s3://box/Q1 2026/new data ??.csv" in said
    assert not list(workplace.iterdir())


def test_an_object_is_known_by_its_etag(
    bucket: S3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large table; an object that was written again is the same if its content is."""
    monkeypatch.setattr(pieces, "_HASHED", 0)

    def facts() -> dict[str, Any]:
        return pieces.input_files(["s3://box/a.csv"])[0].facts

    put(bucket, "box/a.csv", b"text\none\n")
    before = facts()
    assert before["version"].strip('"')
    put(bucket, "box/a.csv", b"text\none\n")
    assert facts() == before
    put(bucket, "box/a.csv", b"text\ntwo\n")
    assert facts() != before
    assert place_of("s3://box/none.csv").about() is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("s3://box/none.csv", "--out", "x.csv"), "there is no file or folder s3://box/none.csv"),
        (("s3://none/a.csv", "--out", "x.csv"), "there is no file or folder s3://none/a.csv"),
        (("s3://none/in", "--out", "x/"), "there is no file or folder s3://none/in"),
        (("s3://box/in/*.csv", "--out", "x/"), "no file fits s3://box/in/*.csv"),
        (("in.csv", "--out", "s3://none/x/"), "cannot write s3://none/x: there is no none;"),
        (("in.csv", "--out", "s3://none/x.csv"), "cannot write s3://none/x.csv: there is no none;"),
        (("in.csv", "--out", "s3://box/x.pdf"), "x.pdf: the suffix must be one of .csv"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(
    command: Command, finished: Path, bucket: S3FileSystem, given: tuple[str, ...], said: str
) -> None:
    Path("in.csv").write_text("text\na fine film\n")
    seen = command("predict", finished, *given, status=2)
    assert said in seen.err
    assert len(seen.err.splitlines()) == 1
    assert not Path("x").exists()
    assert not Path("x.csv").exists()


class Refusing(BaseHTTPRequestHandler):
    """Refuses every key, as S3 does."""

    def do_HEAD(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize("given", [("s3://box/a.csv", "x.csv"), ("in.csv", "s3://box/x/")])
def test_refused_credentials(
    command: Command, finished: Path, environment: None, given: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    Path("in.csv").write_text("text\na fine film\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        seen = command("predict", finished, given[0], "--out", given[1], status=2)
        server.shutdown()
    assert "AWS Error ACCESS_DENIED" in seen.err
    assert "; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION" in seen.err
    assert len(seen.err.splitlines()) == 1


@pytest.mark.parametrize("answers", [False, True], ids=["closed", "silent"])
def test_an_endpoint_that_does_not_answer(
    command: Command, finished: Path, environment: None, answers: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(filesystems, "_ANSWERED", 1.0)
    monkeypatch.setattr(filesystems, "_ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not answers:
            server.close()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        start = time.monotonic()
        seen = command("predict", finished, "s3://box/a.csv", "--out", "x.csv", status=2)
        assert time.monotonic() - start < 20
    assert "cannot read s3://box/a.csv: " in seen.err
    assert "AWS Error NETWORK_CONNECTION" in seen.err
    assert len(seen.err.splitlines()) == 1


def test_other_file_systems_by_fsspec(command: Command, finished: Path, workplace: Path) -> None:
    import fsspec

    pq.write_table(table_of(40), "in.parquet")
    fsspec.filesystem("memory").put_file("in.parquet", "/box/in/a.parquet")
    seen = command("predict", finished, "memory://box/in/*.parquet", "--out", "memory://box/out/")
    assert "memory://box/out: complete, 1 part" in seen.err
    (part,) = fsspec.filesystem("memory").glob("/box/out/part-0000000-000000000000-*.parquet")
    with fsspec.open(f"memory://{part}") as file:
        assert pq.read_table(file).select(["n", "text"]).equals(table_of(40))
