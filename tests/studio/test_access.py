"""Who may ask: hosts, origins, types of bodies, tokens and the cookie for frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi")

from finetext.serving.requests import Refusal
from finetext.studio.access import COOKIE, Access, holds_file, person_of
from finetext.studio.annotators import Annotators, Person

JSON = {"content-type": "application/json"}


def scope(
    method: str = "GET", path: str = "/api/studio", host: str | None = "localhost:8765", **more: str
) -> dict[str, Any]:
    """A request as the server hands it on; `_` in the name of a header is `-`."""
    headers = {"host": host} if host is not None else {}
    headers |= {name.replace("_", "-"): of for name, of in more.items()}
    pairs = [(name.encode(), of.encode("latin-1")) for name, of in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": pairs}


def refused(access: Access, status: int, *of: str, **more: Any) -> str:
    """The message of the refusal of a request."""
    with pytest.raises(Refusal) as told:
        access.check(scope(*of, **more))
    assert told.value.status_code == status
    return str(told.value.detail)


def let_through(access: Access, *of: str, **more: Any) -> Person:
    asked = scope(*of, **more)
    access.check(asked)
    return person_of(asked)


@pytest.fixture
def guarded(tmp_path: Path) -> tuple[Access, dict[str, str]]:
    """Access with two annotators, and their Authorization headers."""
    people, tokens = Annotators().with_links(tmp_path, ["Ann", "Bo"])
    return Access(people), {name: f"Bearer {token}" for name, token in tokens.items()}


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8765", "localhost.:1", "127.0.0.1:8765", "127.9.9.9", "[::1]:8765",
     "studio.localhost:9000"],
)  # fmt: skip
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert let_through(Access(), host=host) == Person(None, True)


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "evil.example:8765", "localhost.evil.example", "192.168.1.5:8765",
     "[::2]", "127.0.0.1@evil.example", "localhost/x", "localhost:8765:1", "169.254.1.1",
     "0.0.0.0:8765"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/api/studio", "/studio/app.js"])
def test_other_hosts_are_refused(host: str | None, path: str) -> None:
    assert "--annotator" in refused(Access(), 403, "GET", path, host=host)


def test_two_hosts_are_refused() -> None:
    asked = scope()
    asked["headers"].append((b"host", b"evil.example"))
    with pytest.raises(Refusal, match="sent twice"):
        Access().check(asked)


@pytest.mark.parametrize(
    "foreign",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"origin": "http://127.0.0.1:8765"},
        {"origin": "http://[localhost:8765"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "origin": "http://localhost:8765"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_requests_of_other_sites_are_refused(method: str, foreign: dict[str, str]) -> None:
    told = refused(Access(), 403, method, "/api/projects", **JSON, **foreign)
    assert "another site sent this request" in told


@pytest.mark.parametrize("site", ["cross-site", "same-site", "other"])
def test_other_sites_read_nothing_of_the_api(site: str) -> None:
    refused(Access(), 403, "GET", "/api/studio", sec_fetch_site=site)
    Access().check(scope("GET", "/", sec_fetch_site=site))  # a link to the page opens it


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"origin": "http://localhost:8765"},
        {"origin": "https://LOCALHOST:8765"},
        {"sec_fetch_site": "same-origin", "origin": "http://localhost:8765"},
    ],
)
def test_the_page_and_programs_are_let_through(own: dict[str, str]) -> None:
    assert let_through(Access(), "POST", "/api/projects", **JSON, **own).is_owner


@pytest.mark.parametrize(
    "kind",
    [{}, {"content_type": "text/plain"}, {"content_type": "multipart/form-data; boundary=x"},
     {"content_type": "application/x-www-form-urlencoded"}, {"content_type": "application/jsonp"}],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_bodies_of_forms_are_refused(method: str, kind: dict[str, str]) -> None:
    assert "application/json" in refused(Access(), 415, method, "/api/projects", **kind)


def test_compressed_bodies_are_refused() -> None:
    more = {"content_encoding": "gzip"}
    assert "Content-Encoding" in refused(Access(), 415, "POST", "/api/read", **JSON, **more)


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "TRACE", "get"])
def test_other_methods_are_refused(method: str) -> None:
    refused(Access(), 405, method, "/api/studio")


@pytest.mark.parametrize("name", ["Ann", "Zoë Ångström", "王芳"])
def test_without_tokens_the_header_says_who_asks(name: str) -> None:
    assert let_through(Access(), x_annotator=quote(name)) == Person(name, True)


@pytest.mark.parametrize("header", ["%00", "a%0Ab", "%FF", "a" * 61, "%20%20"])
def test_wrong_names_are_refused(header: str) -> None:
    refused(Access(), 400, x_annotator=header)


def test_a_token_says_who_asks_whatever_the_header_says(
    guarded: tuple[Access, dict[str, str]],
) -> None:
    access, tokens = guarded
    for name, is_owner in (("Ann", True), ("Bo", False)):
        found = let_through(access, authorization=tokens[name], x_annotator="Eve")
        assert found == Person(name, is_owner)


@pytest.mark.parametrize("host", ["label.example.org", "192.168.1.5:8765", "localhost"])
def test_with_tokens_every_host_is_answered(
    guarded: tuple[Access, dict[str, str]], host: str
) -> None:
    access, tokens = guarded
    origin = f"https://{host}"
    more = {"authorization": tokens["Bo"], "origin": origin, **JSON}
    assert let_through(access, "POST", "/api/projects/x/judgements", host=host, **more).name == "Bo"
    more["origin"] = "https://evil.example"
    refused(access, 403, "POST", "/api/projects/x/judgements", host=host, **more)


@pytest.mark.parametrize("path", ["/api/projects/x", "/api/read", "/api/nothing", "/api/"])
def test_without_a_token_or_with_a_wrong_one_nothing_is_told(
    guarded: tuple[Access, dict[str, str]], path: str
) -> None:
    access, tokens = guarded
    assert "there is no token" in refused(access, 401, "GET", path)
    assert "there is no token" in refused(access, 401, "GET", path, authorization="Basic YTpi")
    assert "not valid" in refused(access, 401, "GET", path, authorization="Bearer wrong")
    assert "not valid" in refused(access, 401, "GET", path, authorization=tokens["Ann"] + "x")
    assert "there is no token" in refused(access, 401, "GET", path, cookie=f"{COOKIE}=wrong")


def test_the_page_and_what_it_needs_are_open(guarded: tuple[Access, dict[str, str]]) -> None:
    access, _ = guarded
    for path in ("/", "/studio/studio.css", "/page/page.css"):
        access.check(scope("GET", path))
    assert let_through(access) == Person(None, False)
    refused(access, 401, authorization="Bearer wrong")


def test_a_cookie_opens_what_a_frame_shows_and_changes_nothing(
    guarded: tuple[Access, dict[str, str]],
) -> None:
    access, tokens = guarded
    person = let_through(access, authorization=tokens["Bo"])
    header = access.session_for(person)
    assert header is not None
    assert header.endswith("; Path=/api/; HttpOnly; SameSite=Strict")
    cookie = f"other=1; {header.split(';')[0]}"
    assert tokens["Bo"].removeprefix("Bearer ") not in cookie
    report = "/api/projects/x/runs/y/report"
    assert let_through(access, "GET", report, cookie=cookie) == Person("Bo", False)
    refused(access, 401, "POST", "/api/projects/x/undo", cookie=cookie, **JSON)


def test_nobody_gets_a_cookie_without_a_token(guarded: tuple[Access, dict[str, str]]) -> None:
    assert guarded[0].session_for(Person(None, False)) is None
    assert Access().session_for(Person("Ann", True)) is None


@pytest.mark.parametrize(
    ("path", "holds"),
    [("/api/read", True), ("/api/projects", True), ("/api/projects/a b/texts", True),
     ("/api/projects/a/runs/b/predict-file", True), ("/api/projects/a/judgements", False),
     ("/api/projects/a/b/texts", False), ("/api/projects/a", False)],
)  # fmt: skip
def test_paths_with_files_may_have_large_bodies(path: str, holds: bool) -> None:
    assert holds_file(path) is holds
