"""How requests are read and refused, whatever the route."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from studio_clients import StudioClient, client_of, file_of

from finetext.core.errors import DataError
from finetext.core.paths import why_reserved
from finetext.studio.access import LIMITS
from finetext.studio.app import make_app
from finetext.studio.routing import LONGEST_NAME, Body, Named, Owner, SentFile, file_name
from finetext.studio.workspace import Workspace


class Given(Body):
    number: int
    words: tuple[str, ...] = ()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[StudioClient]:
    """A client of an app with routes that take a body and that fail."""
    app = make_app(Workspace(tmp_path))

    def take(given: Given, person: Named) -> dict[str, Any]:
        return {"number": given.number, "words": len(given.words), "name": person.name}

    def fail(kind: str, person: Owner) -> None:
        of_database = DataError("a/project.sqlite: disk is full")
        of_database.__cause__ = sqlite3.OperationalError("disk is full")
        raise {
            "own": DataError("a.csv is empty"),
            "full": of_database,
            "broken": sqlite3.OperationalError("no such table: secret"),
            "bug": ZeroDivisionError("/secret/place"),
        }[kind]

    app.post("/api/take")(take)
    app.get("/api/fail/{kind}")(fail)
    with client_of(app) as made:
        yield made


def test_a_body_is_read(client: StudioClient) -> None:
    assert client.ok("POST", "/api/take", {"number": 3}) == {"number": 3, "words": 0, "name": "Ann"}
    large = {"number": 3, "words": ["a" * 100] * 2_000}
    assert client.ok("POST", "/api/take", large)["words"] == 2_000


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"\xff", 400, "not UTF-8"),
        (b'{"number": 1, "number": 2}', 400, "the same key twice"),
        (b'{"number": NaN}', 400, "NaN is no number"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b"", 422, "the body is missing"),
        (b"[]", 422, "the body"),
        (b'{"number": "many"}', 422, "number"),
        (b'{"number": 1, "other": 2}', 422, "other is not known here"),
        (b'{"number": 1, "words": [3]}', 422, "words[0] must be a text"),
    ],
)
def test_wrong_bodies_are_refused_in_words(
    client: StudioClient, body: bytes, status: int, said: str
) -> None:
    assert said in client.error(status, "POST", "/api/take", body=body)


def test_a_name_is_asked_for_where_it_is_needed(client: StudioClient) -> None:
    told = client.as_(None).error(400, "POST", "/api/take", {"number": 1})
    assert told == "say who you are: send your name in the header X-Annotator"
    named = client.as_("Zoë 王").ok("POST", "/api/take", {"number": 1})
    assert named["name"] == "Zoë 王"


def test_own_errors_are_told_and_others_are_not(
    client: StudioClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.error(422, "GET", "/api/fail/own") == "a.csv is empty"
    assert "disk is full" in client.error(503, "GET", "/api/fail/full")
    for kind in ("broken", "bug"):
        caplog.clear()
        told = client.error(500, "GET", f"/api/fail/{kind}")
        name = told.rpartition(" ")[2]
        assert told == f"internal server error; the log has more under {name}"
        assert name in caplog.text


def test_unknown_paths_and_methods_are_refused(client: StudioClient) -> None:
    for path in ("/nothing", "/api/nothing", "/docs", "/openapi.json", "/studio/../app.py"):
        assert "there is nothing at this path" in client.error(404, "GET", path)
    assert "other methods" in client.error(405, "POST", "/api/studio")
    assert client("DELETE", "/api/studio").status == 405


def test_bodies_are_limited_by_path(client: StudioClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIMITS.request_bytes < LIMITS.table_bytes
    size = LIMITS.request_bytes + 1
    assert "has more than" in client.error(413, "POST", "/api/take", body=b" " * size)
    read = client.error(422, "POST", "/api/read", body=b"{}" + b" " * size)
    assert "name and content of a file are missing" in read


def test_the_page_may_frame_itself_alone(client: StudioClient) -> None:
    answer = client("GET", "/")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith("frame-src 'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client("GET", "/page/page.css").status == 200
    assert "frame-src" not in client("GET", "/api/studio").headers["content-security-policy"]


def sent(name: str, data: bytes) -> SentFile:
    return SentFile(**file_of(name, data))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("reviews.csv", "reviews.csv"),
        ("Bewertungen ä (1).xlsx", "Bewertungen ä (1).xlsx"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\data\\a.csv", "a.csv"),
        ("..", "data"),
        ("", "data"),
        ("a/", "data"),
        (".hidden.csv", "hidden.csv"),
        ("a\x00b\n.csv", "a_b_.csv"),
        ("nul.csv", "_nul.csv"),
        ("a:b?.csv", "a_b_.csv"),
    ],
)
def test_names_lose_folders_and_what_no_file_has(name: str, kept: str) -> None:
    assert file_name(name) == kept
    assert not why_reserved(kept)


def test_long_names_keep_their_end() -> None:
    for sign in "a", "ä", "王":
        short = file_name(sign * 300 + ".jsonl")
        assert short.endswith(f"{sign}.jsonl")
        assert LONGEST_NAME - 4 < len(short.encode()) <= LONGEST_NAME


@pytest.mark.parametrize("name", ["a.csv", "../../a.csv", "/etc/a.csv", "~/a.csv"])
def test_a_file_is_there_while_it_is_read(tmp_path: Path, name: str) -> None:
    with sent(name, b"text\n").placed(tmp_path) as path:
        assert path.read_bytes() == b"text\n"
        assert path.name == "a.csv"
        assert path.resolve().is_relative_to(tmp_path.resolve())
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_after_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), sent("a.csv", b"x").placed(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
