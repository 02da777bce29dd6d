"""Training runs as the page uses them: from an estimate to a report and predictions."""

from __future__ import annotations

import base64
import csv
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from studio_clients import StudioClient, client_of, file_of, toy_app

P = "/api/projects/films"
R = f"{P}/runs"
TABLE = "text,label\n" + "".join(
    f'"a {word} film about {thing}, seen {n} times",{label}\n'
    for n in range(25)
    for word, label in (("fine", "good"), ("dull", "bad"))
    for thing in ("love", "war")
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioClient]:
    """The page of somebody with a labeled project."""
    folder = tmp_path_factory.mktemp("workspace")
    with client_of(toy_app(folder)) as made:
        file = file_of("films.csv", TABLE.encode())
        made.ok("POST", "/api/projects", {"name": "films", "file": file, "take_labels": True})
        made.ok("POST", "/api/projects", {"name": "empty"})
        yield made


@pytest.fixture(scope="module")
def run(client: StudioClient) -> dict[str, Any]:
    """A finished run."""
    asked = {"methods": ["majority", "tfidf"], "seed": 1}
    name = client.ok("POST", R, asked)["run"]
    while (found := client.ok("GET", f"{R}/{name}"))["state"] in ("waiting", "running"):
        time.sleep(0.2)
    assert found["state"] == "done", found
    return dict(found)


def test_a_run_is_estimated_before_it_begins(client: StudioClient) -> None:
    found = client.ok("POST", f"{R}/estimate", {"methods": ["tfidf"]})
    assert found["lines"]
    assert found["problems"] == []
    assert found["command"].startswith("finetext train ")
    wrong = client.ok("POST", f"{R}/estimate", {"methods": ["tfdif"]})
    assert "did you mean 'tfidf'" in wrong["problems"][0]


@pytest.mark.parametrize(
    ("value", "said"),
    [({"minutes": 0}, "minutes is 0"), ({"seed": -1}, "seed"), ({"other": 1}, "not known here"),
     ({"methods": "tfidf"}, "methods must be a list")],
)  # fmt: skip
def test_odd_runs_are_refused(client: StudioClient, value: dict[str, Any], said: str) -> None:
    assert said in client.error(422, "POST", R, value)
    assert "no text has a label yet" in client.error(422, "POST", "/api/projects/empty/runs", {})


def test_a_finished_run_has_a_verdict_and_a_report(
    client: StudioClient, run: dict[str, Any]
) -> None:
    assert run["best"]["method"] == "tfidf"
    assert run["best"]["low"] <= run["best"]["value"] <= run["best"]["high"]
    assert {of["method"] for of in run["leaderboard"]} == {"tfidf", "majority"}
    assert run["lines_of_log"]
    [listed] = client.ok("GET", R)
    assert listed["verdict"] == run["verdict"]["headline"]
    [compared] = client.ok("GET", "/api/compare")
    assert (compared["project"], compared["run"]) == ("films", run["name"])
    answer = client("GET", f"{R}/{run['name']}/report")
    assert b"</html>" in answer.body
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy
    assert "frame-ancestors 'self'" in policy
    summaries = client.ok("GET", "/api/studio")["projects"]
    assert {of["name"]: of["runs"] for of in summaries} == {"films": 1, "empty": 0}


def test_its_model_predicts_texts_and_tables(client: StudioClient, run: dict[str, Any]) -> None:
    path = f"{R}/{run['name']}"
    texts = ["a fine film about war, seen 3 times", "a dull film about love"]
    found = client.ok("POST", f"{path}/predict", {"texts": texts})
    assert [of["label"] for of in found] == ["good", "bad"]
    assert set(found[0]["probabilities"]) == {"good", "bad"}
    assert "1 to 100 texts" in client.error(422, "POST", f"{path}/predict", {"texts": []})
    table = "comment,n\na fine film,1\n=1+2 dull,2\n"
    file = file_of("new ä.csv", table.encode()) | {"settings": {"text": "comment"}}
    answer = client("POST", f"{path}/predict-file?format=csv", file)
    assert answer.status == 200
    assert "filename*=UTF-8''new%20%C3%A4-predictions.csv" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert [of["n"] for of in rows] == ["1", "2"]
    assert rows[1]["comment"].startswith("'=")
    assert client("POST", f"{path}/predict-file", file).body.startswith(b"PK")
    assert "format 'exe'" in client.error(422, "POST", f"{path}/predict-file?format=exe", file)
    bad = file | {"content": base64.b64encode(b"").decode()}
    assert "new ä.csv" in client.error(422, "POST", f"{path}/predict-file", bad)


def test_its_errors_and_doubtful_labels_are_listed(
    client: StudioClient, run: dict[str, Any]
) -> None:
    path = f"{R}/{run['name']}"
    assert client.ok("GET", f"{path}/errors?limit=3") == []
    doubts = client.ok("GET", f"{path}/label-errors")
    assert client.ok("POST", f"{path}/label-errors") == {"queued": len(doubts)}
    uses = client.ok("GET", f"{path}/use")
    assert set(uses) == {"predict", "serve", "export"}
    assert uses["predict"]["command"].startswith("finetext predict ")


def test_a_run_that_has_ended_is_neither_cancelled_nor_resumed(
    client: StudioClient, run: dict[str, Any]
) -> None:
    for what in ("cancel", "resume"):
        assert f"nothing to {what}" in client.error(422, "POST", f"{R}/{run['name']}/{what}")


@pytest.mark.parametrize(
    "run_", ["nothing", "..", "%2e%2e", "..%2f..", ".hidden", "a%00", "run-99"]
)
@pytest.mark.parametrize("end", ["/report", "", "/errors", "/use"])
def test_unknown_runs_are_not_found(client: StudioClient, run_: str, end: str) -> None:
    assert client("GET", f"{R}/{run_}{end}").status == 404
    assert client("GET", f"/api/projects/nothing/runs/run-1{end}").status == 404


def test_the_end_of_a_studio_cancels_what_trains(tmp_path: Path) -> None:
    app = toy_app(tmp_path)
    with client_of(app) as client:
        file = file_of("films.csv", TABLE.encode())
        client.ok("POST", "/api/projects", {"name": "films", "file": file, "take_labels": True})
        client.ok("POST", R, {"methods": ["tfidf"]})
    assert app.state.service.stopped == ["run-1 of films"]
    with client_of(toy_app(tmp_path)) as client:
        [found] = client.ok("GET", R)
        assert found["state"] in ("cancelled", "failed")
        client.ok("POST", f"{R}/run-1/resume")
        client.ok("POST", f"{R}/run-1/cancel")
