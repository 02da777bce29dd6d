"""No file of a run holds the secrets of an address, or says whose machine made it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow.parquet
import pytest

import finetext

USER, PASSWORD, SIGNATURE, HOME = (
    "telltale-login",
    "telltale-pass",
    "telltale-sign",
    "telltale-user",
)
TOKENS = {"HF_TOKEN": "telltale-hf", "FINETEXT_TOKEN": "telltale-finetext-token"}
TELLTALES = (USER, PASSWORD, SIGNATURE, HOME, *TOKENS.values())
SOURCE = str(Path(finetext.__file__).parents[1])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        pair = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        is_known = self.headers.get("Authorization") == f"Basic {pair}"
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", f"/gone?sig={SIGNATURE}")
            self.end_headers()
            return
        is_there = self.path == f"/reviews.csv?sig={SIGNATURE}/a" and is_known
        self.send_response(200 if is_there else 403)
        self.end_headers()
        if is_there:
            self.wfile.write(self.server.data)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def host(reviews: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.data = reviews.read_bytes()  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / HOME
    place.mkdir()
    return place


def finetext_in(home: Path, *words: str) -> tuple[int, str]:
    environment = {
        **os.environ, **TOKENS, "HOME": str(home), "USER": HOME, "LOGNAME": HOME,
        "PYTHONPATH": SOURCE, "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "FINETEXT_CACHE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "finetext", *words], cwd=home, env=environment, capture_output=True
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def contents(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and those of what is compressed in it."""
    data = path.read_bytes()
    yield data
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        yield str(table.schema.metadata).encode() + str(table.to_pydict()).encode()
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as folder:
            yield from (folder.read(name) for name in folder.namelist())


def found_in(place: Path, telltales: tuple[str, ...] = TELLTALES) -> list[str]:
    return [
        f"{path.relative_to(place)}: {telltale}"
        for path in place.rglob("*") if path.is_file()
        for content in contents(path)
        for telltale in telltales
        if telltale.encode() in content
    ]  # fmt: skip


PRIVATE = ("--set", "data.private_addresses=true")


@pytest.mark.slow
def test_no_file_and_no_message_has_what_an_address_hides(home: Path, host: str) -> None:
    url = f"http://{USER}:{PASSWORD}@{host}/reviews.csv?sig={SIGNATURE}/a#{SIGNATURE}"
    methods = ("--methods", "majority,tfidf", "--no-cross-validate")
    said = []

    def run(*words: str, status: int = 0) -> str:
        ended, told = finetext_in(home, *words)
        assert ended == status, told
        said.append(told)
        return told

    assert "reviews.csv: comma-separated" in run("train", url, *PRIVATE, *methods)
    assert (home / "runs" / "reviews" / "report.html").is_file()
    run("train", url, *PRIVATE, *methods, "--resume", "--out", "runs/reviews")
    run("explore", url, *PRIVATE, "--html", "explore.html")
    run("label-errors", url, *PRIVATE, "--out", "suspects.csv")
    run("predict", "runs/reviews", url, *PRIVATE, "--out", "p.parquet", "--correct-base-rates")
    run("report", "runs/reviews")
    for words in (("train",), ("explore",), ("predict", "runs/reviews")):
        run(*words, url.replace("/a#", "/b#"), *PRIVATE, status=2)
        run(*words, url.replace("reviews.csv", "moved"), *PRIVATE, status=2)
        run(*words, url.replace(host, "no host:x"), *PRIVATE, status=2)
        run(*words, url, status=2)
    recipe = home / "runs" / "reviews" / "recipe.toml"
    assert f'"http://{host}/reviews.csv?..."' in recipe.read_text("utf-8")
    told = run("train", "--recipe", str(recipe), "--out", "again", status=2)
    assert "name the whole address as the data" in told
    assert not found_in(home)
    for telltale in (PASSWORD, SIGNATURE, *TOKENS.values()):
        assert not [told for told in said if telltale in told]


@pytest.mark.slow
def test_what_is_passed_on_does_not_say_whose_machine_made_it(home: Path, reviews: Path) -> None:
    data = home / "reviews.csv"
    data.write_bytes(reviews.read_bytes())
    status, told = finetext_in(
        home, "train", str(data), "--methods", "majority,tfidf", "--out", str(home / "run")
    )
    assert status == 0, told
    for place in (home / "run" / "tfidf" / "model", home / "run" / "majority" / "model"):
        assert not found_in(place)
    assert HOME not in (home / "run" / "report.html").read_text("utf-8")
