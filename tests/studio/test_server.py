"""The studio over a real socket: where it listens, its links, what it refuses, how it ends."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from finetext.core.errors import DataError, MissingExtraError, RecipeError, RunError
from finetext.storage.locks import LOCK, try_lock
from finetext.studio import server
from finetext.studio.annotators import FILE
from finetext.studio.server import Opened, Wanted, studio, wanted

Start = Callable[..., Opened]


@pytest.fixture
def opened_in_browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser is told to open."""
    told: list[str] = []
    monkeypatch.setattr("webbrowser.open", told.append)
    monkeypatch.setattr(server, "can_open_browser", lambda: True)
    return told


@pytest.fixture
def start(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, opened_in_browser: list[str]
) -> Iterator[Start]:
    """A function that runs a studio in a thread until the test ends."""
    running: list[tuple[Any, threading.Thread]] = []
    make = server.make_server
    made: Future[Any] = Future()

    def noting(app: Any, settings: Any) -> Any:
        made.set_result(make(app, settings))
        return made.result()

    monkeypatch.setattr(server, "make_server", noting)

    def begin(*args: Any, **settings: Any) -> Opened:
        ready: Future[Opened] = Future()

        def run() -> None:
            try:
                studio(*args, **{"port": 0} | settings, ready=ready.set_result)
            except BaseException as error:
                ready.set_exception(error)

        thread = threading.Thread(target=run)
        thread.start()
        opened = ready.result(60)
        running.append((made.result(60), thread))
        return opened

    yield begin
    for uvicorn, thread in running:
        uvicorn.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def get(url: str, **headers: str) -> tuple[int, str]:
    asked = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_studio_answers_on_this_machine_and_opens_a_browser(
    start: Start, workplace: Path, opened_in_browser: list[str]
) -> None:
    opened = start()
    assert opened.url.startswith("http://127.0.0.1:")
    assert opened.links == {}
    status, body = get(f"{opened.url}api/studio")
    assert (status, '"needs_token":false' in body) == (200, True)
    assert get(opened.url)[0] == 200
    assert get(f"{opened.url}api/studio", Host="evil.example")[0] == 403
    assert (workplace / "studio").is_dir()
    assert opened.lines == [f"finetext studio is at {opened.url}", "Ctrl-C stops it"]
    for thread in threading.enumerate():
        if "open" in thread.name:
            thread.join(20)
    assert opened_in_browser == [opened.url]


def test_tokens_are_asked_for_and_no_browser_gets_one(
    start: Start, workplace: Path, opened_in_browser: list[str]
) -> None:
    opened = start(annotators=["Ann", "Bo"])
    assert list(opened.links) == ["Ann", "Bo"]
    url, _, token = opened.links["Bo"].partition("#token=")
    assert get(f"{url}api/projects/x")[0] == 401
    status, body = get(f"{url}api/studio", Authorization=f"Bearer {token}")
    assert (status, '"annotator":"Bo"' in body, '"is_owner":false' in body) == (200, True, True)
    assert token not in (workplace / "studio" / FILE).read_text()
    assert opened_in_browser == []


def test_tokens_stay_valid_and_the_owner_gets_a_link_for_the_run(
    workplace: Path, start: Start
) -> None:
    from finetext.studio.annotators import Annotators

    folder = workplace / "studio"
    folder.mkdir()
    _, tokens = Annotators().with_links(folder, ["Ann", "Bo"])
    opened = start()
    assert list(opened.links) == ["Ann"]
    for token in (opened.links["Ann"].partition("#token=")[2], *tokens.values()):
        url = opened.links["Ann"].partition("#")[0]
        assert get(f"{url}api/studio", Authorization=f"Bearer {token}")[0] == 200


def test_others_can_connect_with_annotators_alone(start: Start, workplace: Path) -> None:
    with pytest.raises(RecipeError, match="--annotator NAME"):
        studio(host="0.0.0.0", port=0)
    opened = start(host="0.0.0.0", annotators=["Ann"])
    port = opened.url.rpartition(":")[2].rstrip("/")
    assert get(f"http://127.0.0.1:{port}/api/read")[0] == 401


def test_a_taken_port_is_replaced_unless_it_was_asked_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(server, "PORT", other.getsockname()[1])
        with pytest.raises(RecipeError, match="is taken"):
            studio(port=server.PORT)
        opened = start(port=None)
        assert not opened.is_usual_port
        assert opened.lines[0] == f"port {server.PORT} is taken, so this is a free one"
        assert get(opened.url)[0] == 200


def test_the_usual_port_is_taken_if_it_is_free(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(server, "PORT", other.getsockname()[1])
    opened = start(port=None)
    assert opened.is_usual_port
    assert opened.url == f"http://127.0.0.1:{server.PORT}/"


def test_one_studio_at_a_time_has_a_workspace(workplace: Path) -> None:
    lock = try_lock(workplace / "studio" / LOCK)
    assert lock is not None
    try:
        with pytest.raises(RunError, match="another studio has studio open"):
            studio(port=0)
    finally:
        lock.release()


def test_what_is_wrong_is_told_before_anything_is_made(workplace: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        studio("nothere.csv")
    (workplace / "file").write_text("x")
    with pytest.raises(RunError, match="is a file"):
        studio(workspace=workplace / "file")
    with pytest.raises(DataError, match="the name of an annotator"):
        studio(annotators=["a\nb"], port=0)
    with pytest.raises(RecipeError, match="no such address"):
        studio(host="no.such.host.invalid", workspace=workplace / "other")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None if name == "openpyxl" else object())
    with pytest.raises(MissingExtraError, match=r"finetext studio needs the package openpyxl"):
        studio()


def test_data_is_a_project_or_what_to_read(workplace: Path) -> None:
    space = workplace / "studio"
    (space / "films").mkdir(parents=True)
    (space / "films" / "project.sqlite").write_bytes(b"")
    (workplace / "films.csv").write_text("text\nfine\n")
    (workplace / "plain").mkdir()
    assert wanted(None, space) == Wanted(space)
    assert wanted("films", space) == Wanted(space, project="films")
    assert wanted("studio/films", Path("elsewhere")) == Wanted(space, project="films")
    assert wanted("films.csv", space) == Wanted(space, source=str(workplace / "films.csv"))
    assert wanted("plain", space) == Wanted(space, source=str(workplace / "plain"))
    for elsewhere in ("hub:imdb", "https://example.org/a.csv", "bbc-news"):
        assert wanted(elsewhere, space) == Wanted(space, source=elsewhere)
    assert wanted("films", space).fragment == "#/p/films"
    assert wanted("films.csv", space).fragment == "#/new"


@pytest.mark.parametrize(
    ("platform", "environment", "opens"),
    [("linux", {}, False), ("linux", {"DISPLAY": ":0"}, True), ("darwin", {}, True),
     ("linux", {"WAYLAND_DISPLAY": "w"}, True), ("darwin", {"SSH_CONNECTION": "x"}, False)],
)  # fmt: skip
def test_a_browser_opens_where_it_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], opens: bool
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert server.can_open_browser() is opens
