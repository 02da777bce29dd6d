"""Runs of a project: their report in a frame, and names that lead nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from studio_clients import StudioClient, client_of, toy_app

R = "/api/projects/films/runs"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[StudioClient]:
    """The page of somebody with an empty project."""
    with client_of(toy_app(tmp_path / "studio")) as made:
        made.ok("POST", "/api/projects", {"name": "films"})
        yield made


def test_a_report_is_shown_without_any_right_of_the_page(
    client: StudioClient, tmp_path: Path
) -> None:
    folder = tmp_path / "studio" / "films" / "runs" / "first"
    folder.mkdir(parents=True)
    assert "has no report yet" in client.error(404, "GET", f"{R}/first/report")
    (folder / "report.html").write_text("<script>1</script>")
    answer = client("GET", f"{R}/first/report")
    assert (answer.status, answer.body) == (200, b"<script>1</script>")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy
    assert "frame-ancestors 'self'" in policy
    [summary] = client.ok("GET", "/api/studio")["projects"]
    assert summary["runs"] == 1


@pytest.mark.parametrize("run", ["nothing", "..", "%2e%2e", "..%2f..", ".hidden", "a%00"])
def test_unknown_runs_are_not_found(client: StudioClient, tmp_path: Path, run: str) -> None:
    runs = tmp_path / "studio" / "films" / "runs"
    (runs / ".hidden").mkdir(parents=True)
    for folder in (runs / ".hidden", runs, runs.parent):
        (folder / "report.html").write_text("secret")
    assert client("GET", f"{R}/{run}/report").status == 404
