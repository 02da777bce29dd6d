"""What annotators may do that are not the owner, and what a studio with tokens reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from studio_clients import StudioClient, client_of, file_of, toy_app

from finetext.studio.access import COOKIE, Access
from finetext.studio.annotators import Annotators

P = "/api/projects/films"
TEXTS = "text\n" + "".join(f"film number {n} was long\n" for n in range(20))
OWNERS: list[tuple[str, str, Any]] = [
    ("POST", "/api/read", file_of("a.csv", TEXTS.encode())),
    ("POST", "/api/projects", {"name": "other"}),
    ("PATCH", P, {"settings": {}}),
    ("PUT", f"{P}/labels", [{"name": "x"}]),
    ("POST", f"{P}/labels/rename", {"from": "good", "to": "x"}),
    ("PUT", f"{P}/guidelines", {"text": "x"}),
    ("POST", f"{P}/texts", {"file": file_of("a.csv", TEXTS.encode())}),
    ("GET", f"{P}/export?what=texts&format=csv", None),
    ("POST", f"{P}/runs/estimate", {}),
    ("POST", f"{P}/runs", {}),
    ("GET", f"{P}/runs", None),
    ("GET", f"{P}/runs/run-1", None),
    ("POST", f"{P}/runs/run-1/cancel", {}),
    ("POST", f"{P}/runs/run-1/resume", {}),
    ("GET", f"{P}/runs/run-1/report", None),
    ("GET", f"{P}/runs/run-1/errors", None),
    ("GET", f"{P}/runs/run-1/label-errors", None),
    ("POST", f"{P}/runs/run-1/label-errors", {}),
    ("POST", f"{P}/runs/run-1/predict", {"texts": ["a"]}),
    ("POST", f"{P}/runs/run-1/predict-file", file_of("a.csv", TEXTS.encode())),
    ("GET", f"{P}/runs/run-1/use", None),
    ("GET", f"{P}/review", None),
    ("POST", f"{P}/decisions", {"token": "x", "text": 1, "labels": ["good"]}),
]


@pytest.fixture
def people(tmp_path: Path) -> Iterator[tuple[StudioClient, StudioClient]]:
    """The pages of the owner, who has a project, and of another annotator."""
    folder = tmp_path / "studio"
    folder.mkdir()
    (tmp_path / "given.csv").write_text(TEXTS)
    annotators, tokens = Annotators().with_links(folder, ["Ann", "Bo"])
    app = toy_app(folder, Access(annotators), source=str(tmp_path / "given.csv"))
    with client_of(app, name=None, token=tokens["Ann"]) as owner:
        file = file_of("films.csv", TEXTS.encode())
        labels = [{"name": "good"}, {"name": "bad"}]
        value = {"name": "films", "file": file, "labels": labels, "double_share": 1.0}
        owner.ok("POST", "/api/projects", value)
        yield owner, owner.as_(None, tokens["Bo"])


@pytest.mark.parametrize(("method", "path", "value"), OWNERS)
def test_what_is_the_owners_is_refused_to_others(
    people: tuple[StudioClient, StudioClient], method: str, path: str, value: Any
) -> None:
    told = people[1].error(403, method, path, value)
    assert told == "Bo can annotate here; this is for the owner of the studio"
    assert people[0].as_(None).error(401, method, path, value).startswith("there is no token")


def test_others_annotate_and_see_their_own_history(
    people: tuple[StudioClient, StudioClient],
) -> None:
    owner, bo = people
    text = owner.ok("GET", f"{P}/next")["text"]["id"]
    one = {"token": "a", "text": text, "labels": ["good"]}
    owner.ok("POST", f"{P}/judgements", one)
    bo.ok("POST", f"{P}/judgements", one | {"token": "b", "labels": ["bad"]})
    assert bo.ok("GET", "/api/studio")["annotator"] == "Bo"
    assert bo.ok("GET", P)["me"] == {"judged": 1}
    for path in (f"{P}/history", f"{P}/history?everyone=true"):
        assert [of["annotator"] for of in bo.ok("GET", path)] == ["Bo"]
    assert [of["annotator"] for of in bo.ok("GET", f"{P}/texts/{text}")["judgements"]] == ["Bo"]
    everyone = owner.ok("GET", f"{P}/history?everyone=true")
    assert [of["annotator"] for of in everyone] == ["Bo", "Ann"]
    assert bo.ok("GET", f"{P}/progress")["accuracy"] is None
    assert bo.ok("POST", f"{P}/undo")["undone"]["annotator"] == "Bo"


def test_a_name_in_a_header_gives_nothing(people: tuple[StudioClient, StudioClient]) -> None:
    bo = people[1]
    eve = bo.as_("Ann", bo.token)
    assert eve.ok("GET", "/api/studio")["annotator"] == "Bo"


def test_nothing_is_told_before_a_token_is_there(
    people: tuple[StudioClient, StudioClient],
) -> None:
    found = people[0].as_(None).ok("GET", "/api/studio")
    assert (found["projects"], found["needs_token"], found["is_owner"]) == ([], True, False)
    assert found["source"] is None


def test_a_frame_and_a_download_get_by_with_the_cookie(
    people: tuple[StudioClient, StudioClient],
) -> None:
    owner, bo = people
    cookie = owner("GET", "/api/studio").headers["set-cookie"].split(";")[0]
    assert cookie.startswith(f"{COOKIE}=")
    nobody = owner.as_(None)
    path = f"{P}/export?what=texts&format=csv"
    assert nobody("GET", path, headers={"cookie": cookie}).status == 200
    of_bo = bo("GET", "/api/studio").headers["set-cookie"].split(";")[0]
    assert nobody("GET", path, headers={"cookie": of_bo}).status == 403
    assert nobody("POST", f"{P}/undo", headers={"cookie": cookie}).status == 401


def test_with_tokens_no_path_of_the_machine_is_read_but_that_of_the_command(
    people: tuple[StudioClient, StudioClient], tmp_path: Path
) -> None:
    owner, _ = people
    secret = tmp_path / "secret.csv"
    secret.write_text(TEXTS)
    for path, value in (
        ("/api/read", {"path": str(secret)}),
        ("/api/projects", {"name": "x", "path": str(secret)}),
        (f"{P}/texts", {"path": str(secret)}),
    ):
        assert "reads no paths of its machine" in owner.error(403, "POST", path, value)
    given = owner.ok("GET", "/api/studio")["source"]
    assert owner.ok("POST", "/api/read", {"path": given})["count"] == 20


def test_on_this_machine_paths_are_read(tmp_path: Path) -> None:
    (tmp_path / "given.csv").write_text(TEXTS)
    with client_of(toy_app(tmp_path / "studio")) as client:
        value = {"path": str(tmp_path / "given.csv")}
        assert client.ok("POST", "/api/read", value)["count"] == 20
        made = client.ok("POST", "/api/projects", {"name": "films", **value})
        assert made["counts"]["texts"] == 20
        told = client.error(422, "POST", "/api/read", {"path": str(tmp_path / "nothere.csv")})
        assert "there is no file" in told
