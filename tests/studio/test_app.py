"""The studio as its page uses it, from a file to judgements, decisions and tables."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from studio_clients import StudioClient, client_of, file_of, toy_app

P = "/api/projects/films"
ROWS = [
    (f"{n}-{word}", f"a {word} film, seen {n} times", label)
    for n in range(30)
    for word, label in (("fine", "good"), ("dull", "bad"))
]
TABLE = "id,text,year\n" + "".join(f"{i},{t!r},{2000 + n % 9}\n".replace("'", '"')
                                   for n, (i, t, _) in enumerate(ROWS))  # fmt: skip
TRUTH = {text: label for _, text, label in ROWS}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[StudioClient]:
    """The page of somebody called Ann."""
    with client_of(toy_app(tmp_path / "studio")) as made:
        yield made


def make(client: StudioClient, **more: Any) -> dict[str, Any]:
    """A project of sixty texts with two labels."""
    value = {"name": "films", "file": file_of("films.csv", TABLE.encode()),
             "labels": [{"name": "good"}, {"name": "bad"}]}  # fmt: skip
    found: dict[str, Any] = client.ok("POST", "/api/projects", value | more)
    return found


def judgement(text: int, label: str, **more: Any) -> dict[str, Any]:
    """A judgement as the page sends it."""
    given = {"token": str(uuid.uuid4()), "text": text, "labels": [label], "kind": "label"}
    return given | {"flagged": False, "note": "", "seconds": 2.5, "guideline": 0} | more


def label_some(client: StudioClient, count: int) -> None:
    """Label texts rightly, one after the other."""
    given = client.ok("GET", f"{P}/next?tab=1")
    for _ in range(count):
        text = given["text"]
        one = judgement(text["id"], TRUTH[text["text"]], suggestion=given["suggestion"])
        given = client.ok("POST", f"{P}/judgements?tab=1", one)["next"]


def test_a_workspace_is_empty_at_first(client: StudioClient) -> None:
    found = client.ok("GET", "/api/studio")
    assert found["projects"] == []
    assert (found["annotator"], found["is_owner"], found["needs_token"]) == ("Ann", True, False)
    assert client.as_(None).ok("GET", "/api/studio")["annotator"] is None


def test_a_file_is_looked_into_and_becomes_a_project(client: StudioClient) -> None:
    file = file_of("films.csv", TABLE.encode())
    outlined = client.ok("POST", "/api/read", file)
    assert outlined["names"] == ["id", "text", "year"]
    assert (outlined["text"], outlined["id"], outlined["count"]) == (["text"], "id", 60)
    project = make(client, settings={"text": outlined["text"], "id": outlined["id"]})
    assert project["counts"]["texts"] == 60
    assert [of["name"] for of in project["labels"]] == ["good", "bad"]
    assert project == {**client.ok("GET", P), "notes": project["notes"]} | {
        "encoding": project["encoding"]
    }
    [summary] = client.ok("GET", "/api/studio")["projects"]
    assert (summary["name"], summary["texts"], summary["judged"]) == ("films", 60, 0)
    assert (summary["runs"], summary["open_reviews"]) == (0, 0)


def test_texts_are_judged_one_after_the_other(client: StudioClient) -> None:
    make(client, double_share=0.0)
    first = client.ok("GET", f"{P}/next?tab=1")
    assert first == client.ok("GET", f"{P}/next?tab=1") | {"why": first["why"]}
    assert set(first["text"]) == {"id", "name", "text", "columns", "language_direction"}
    assert "year" in first["text"]["columns"]
    other_tab = client.ok("GET", f"{P}/next?tab=2")
    assert other_tab["text"]["id"] != first["text"]["id"]
    one = judgement(first["text"]["id"], "good")
    answer = client.ok("POST", f"{P}/judgements?tab=1", one)
    again = client.ok("POST", f"{P}/judgements?tab=1", one)  # sent twice by a lost connection
    assert again["saved"] == answer["saved"]
    assert again["next"]["text"]["id"] == answer["next"]["text"]["id"]
    assert answer["next"]["progress"] == {"texts": 60, "judged": 1, "mine": 1}
    assert client.ok("GET", P)["me"] == {"judged": 1}
    [past] = client.ok("GET", f"{P}/history")
    assert (past["labels"], past["annotator"], past["text"]["id"]) == (["good"], "Ann", one["text"])


def test_the_last_judgement_can_be_undone(client: StudioClient) -> None:
    make(client)
    assert client.ok("POST", f"{P}/undo?tab=1")["undone"] is None
    first = client.ok("GET", f"{P}/next?tab=1")["text"]["id"]
    client.ok("POST", f"{P}/judgements?tab=1", judgement(first, "good", note="hm"))
    answer = client.ok("POST", f"{P}/undo?tab=1")
    assert answer["next"]["text"]["id"] == first
    assert (answer["undone"]["labels"], answer["undone"]["note"]) == (["good"], "hm")
    assert answer["undone"]["undone"] is not None
    assert client.ok("GET", P)["counts"]["judged"] == 0


def test_a_text_is_found_again_and_judged_anew(client: StudioClient) -> None:
    make(client)
    text = client.ok("GET", f"{P}/next")["text"]["id"]
    client.ok("POST", f"{P}/judgements", judgement(text, "good"))
    client.ok("POST", f"{P}/judgements", judgement(text, "bad"))
    found = client.ok("GET", f"{P}/texts/{text}")
    assert [of["labels"] for of in found["judgements"]] == [["bad"], ["good"]]
    assert found["judgements"][1]["replaced"] is not None
    assert "has no text 999" in client.error(404, "GET", f"{P}/texts/999")


def test_labels_are_set_renamed_and_retired(client: StudioClient) -> None:
    make(client)
    text = client.ok("GET", f"{P}/next")["text"]["id"]
    client.ok("POST", f"{P}/judgements", judgement(text, "bad"))
    project = client.ok("POST", f"{P}/labels/rename", {"from": "bad", "to": "poor"})
    assert [of["name"] for of in project["labels"]] == ["good", "poor"]
    project = client.ok("PUT", f"{P}/labels", [project["labels"][0], {"name": "so-so"}])
    assert [(of["name"], of["retired"]) for of in project["labels"]] == [
        ("good", False), ("so-so", False), ("poor", True),
    ]  # fmt: skip
    told = client.error(422, "POST", f"{P}/judgements", judgement(text, "poor"))
    assert "there is no label named 'poor'" in told
    assert "two labels" in client.error(422, "PUT", f"{P}/labels", [{"name": "a"}, {"name": "A"}])


def test_guidelines_have_versions_that_the_page_is_told(client: StudioClient) -> None:
    make(client)
    for text in ("Good is good.", "Good is very good."):
        project = client.ok("PUT", f"{P}/guidelines", {"text": text})
    assert project["guidelines"]["version"] == 2
    assert project["guidelines"]["text"] == "Good is very good."
    assert client.ok("GET", f"{P}/next")["guideline"] == 2


def test_settings_change(client: StudioClient) -> None:
    make(client)
    project = client.ok("PATCH", P, {"settings": {"suggestions": "none"}})
    assert project["settings"]["suggestions"] == "none"
    assert project["settings"]["random_share"] == 0.2
    assert "must be 0 to 0.5" in client.error(422, "PATCH", P, {"settings": {"random_share": 2}})
    assert "not known here" in client.error(422, "PATCH", P, {"settings": {"other": 2}})


def test_more_texts_are_added_once(client: StudioClient) -> None:
    make(client)
    more = "id,text\nnew,a film that nobody saw\nold," + ROWS[0][1].replace(",", " ") + "\n"
    found = client.ok("POST", f"{P}/texts", {"file": file_of("more.csv", more.encode())})
    assert found["added"] == 2
    again = client.ok("POST", f"{P}/texts", {"file": file_of("more.csv", more.encode())})
    assert (again["added"], again["skipped"]) == (0, 2)
    assert client.ok("GET", P)["counts"]["texts"] == 62


def test_labels_of_a_file_can_be_taken(client: StudioClient) -> None:
    table = "text,label\n" + "".join(f'"{text}",{label}\n' for _, text, label in ROWS)
    file = file_of("films.csv", table.encode())
    project = make(client, file=file, take_labels=True, labels=None)
    assert project["counts"]["judged"] == 60
    assert sorted(of["name"] for of in project["labels"]) == ["bad", "good"]
    assert "labels that files have" in client.as_("file").error(400, "GET", f"{P}/next")


def test_progress_says_what_is_missing_and_later_an_accuracy(client: StudioClient) -> None:
    make(client, random_share=0.5, double_share=0.0)
    early = client.ok("GET", f"{P}/progress")
    assert early["accuracy"] is None
    assert early["why_not"]
    assert early["suggestions"] is None
    label_some(client, 58)
    found = client.ok("GET", f"{P}/progress")
    assert 0 <= found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
    assert found["accuracy"]["of"] == "labels given in the random stream"
    assert [of["label"] for of in found["coverage"]] == ["good", "bad"]
    assert found["speed"]["median_seconds"] == 2.5
    assert found["encoding"]["done"] == found["encoding"]["total"] == 60
    assert found["suggestions"]["shown"] >= found["suggestions"]["accepted"] > 0


def test_two_annotators_are_compared_and_a_tie_is_decided(client: StudioClient) -> None:
    make(client, double_share=1.0)
    bo = client.as_("Bo")
    assert "why_not" in client.ok("GET", f"{P}/agreement")
    texts = [of["id"] for of in (client.ok("GET", f"{P}/next?tab={n}")["text"] for n in range(6))]
    for place, text in enumerate(texts):
        client.ok("POST", f"{P}/judgements", judgement(text, "good", flagged=place == 5))
        bo.ok("POST", f"{P}/judgements", judgement(text, "bad" if place == 0 else "good"))
    agreement = client.ok("GET", f"{P}/agreement")
    assert agreement["texts"] == 6
    assert agreement["confusion"][0]["labels"] == ["good", "bad"]
    assert agreement["lines"]
    tied, flagged = client.ok("GET", f"{P}/review")
    assert (tied["text"]["id"], tied["reasons"]) == (texts[0], ["differ"])
    assert [of["annotator"] for of in tied["answers"]] == ["Ann", "Bo"]
    assert (flagged["text"]["id"], flagged["reasons"]) == (texts[5], ["flagged"])
    decision = {"token": "x", "text": texts[0], "labels": ["bad"], "note": "", "seconds": 1}
    assert client.ok("POST", f"{P}/decisions", decision)["left"] == 1
    assert client.ok("GET", P)["counts"]["to_review"] == 1


@pytest.mark.parametrize("form", ["csv", "xlsx", "jsonl", "parquet", "tsv"])
@pytest.mark.parametrize("what", ["texts", "labeled", "answers", "judgements"])
def test_tables_are_downloaded_under_their_name(client: StudioClient, what: str, form: str) -> None:
    make(client)
    label_some(client, 4)
    answer = client("GET", f"{P}/export?what={what}&format={form}")
    assert answer.status == 200
    name = f"films-{what}.{form}"
    assert answer.headers["content-disposition"] == (
        f"attachment; filename=\"{name}\"; filename*=UTF-8''{name}"
    )
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
        assert len(rows) == (60 if what == "texts" else 4)
        assert {"id", "text", "label"} <= set(rows[0])


@pytest.mark.parametrize(
    ("what", "form"),
    [("other", "csv"), ("texts", "exe"), ("texts", "csv/../../x.csv"), ("../texts", "csv"),
     ("texts", "")],
)  # fmt: skip
def test_other_tables_are_refused(client: StudioClient, what: str, form: str) -> None:
    make(client)
    client.error(422, "GET", f"{P}/export?what={what}&format={form}")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../out", "a/b", "a\\b", "/etc", "a\x00b", "nul\n", ".hidden", "a" * 61, "~",
     "$(x)", "-rf"],
)  # fmt: skip
def test_names_of_projects_lead_nowhere_else(
    client: StudioClient, tmp_path: Path, name: str
) -> None:
    client.error(422, "POST", "/api/projects", {"name": name})
    assert list(tmp_path.rglob("project.sqlite")) == []


@pytest.mark.parametrize(
    "path", ["nothing", "..", "%2e%2e", "..%2f..%2fetc", "films%00", ".", "%2fetc"]
)
def test_unknown_projects_are_not_found(client: StudioClient, path: str) -> None:
    make(client)
    for method, end in (("GET", ""), ("GET", "/next"), ("POST", "/undo"), ("GET", "/export")):
        assert client(method, f"/api/projects/{path}{end}").status == 404


def test_a_project_that_exists_or_cannot_be_filled_is_refused(
    client: StudioClient, tmp_path: Path
) -> None:
    bad = {"name": "films", "file": file_of("films.csv", b"")}
    assert "films.csv" in client.error(422, "POST", "/api/projects", bad)
    assert not (tmp_path / "studio" / "films").exists()
    make(client)
    told = client.error(422, "POST", "/api/projects", {"name": "films"})
    assert "there is a project 'films' already" in told
    assert client.ok("GET", P)["counts"]["texts"] == 60
    wrong = {"name": "b", "file": {"name": "a.csv", "content": "%%%"}}
    assert "not Base64" in client.error(422, "POST", "/api/projects", wrong)


def test_a_project_in_use_elsewhere_is_listed_with_the_reason(tmp_path: Path) -> None:
    from finetext.studio.project import create_project

    project = create_project(tmp_path / "studio", "taken")
    try:
        with client_of(toy_app(tmp_path / "studio")) as client:
            [summary] = client.ok("GET", "/api/studio")["projects"]
            assert "another process has the project" in summary["problem"]
            client.error(422, "GET", "/api/projects/taken")
    finally:
        project.close()


def test_projects_are_there_after_a_restart(tmp_path: Path) -> None:
    with client_of(toy_app(tmp_path / "studio")) as client:
        make(client)
        label_some(client, 3)
    with client_of(toy_app(tmp_path / "studio")) as client:
        assert client.ok("GET", P)["counts"]["judged"] == 3
