"""Projects: made, opened by one process, and their settings and counts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from studio_projects import give, project_in, write_rows

from finetext.core.errors import DataError
from finetext.studio.imported import add_texts
from finetext.studio.project import (
    Counts,
    ProjectSettings,
    about,
    annotators_of,
    change_settings,
    counts_of,
    create_project,
    open_project,
    opened,
    projects_in,
    settings_of,
)


def test_a_project_is_there_again_when_it_is_opened(tmp_path: Path) -> None:
    settings = ProjectSettings(multilabel=True, random_share=0.3, suggestions="none")
    create_project(tmp_path, "Kunden 2", settings).close()
    assert projects_in(tmp_path) == ["Kunden 2"]
    with opened(tmp_path / "Kunden 2") as project:
        assert settings_of(project) == settings
        assert (project.name, project.runs) == ("Kunden 2", tmp_path / "Kunden 2" / "runs")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "-x", "x.", " x", "x" * 61, "a\nb"])
def test_names_that_are_no_folders_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="name of a project"):
        create_project(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_a_project_is_made_once(tmp_path: Path) -> None:
    create_project(tmp_path, "p", ProjectSettings(multilabel=True)).close()
    with pytest.raises(DataError, match="there is a project 'p' already"):
        create_project(tmp_path, "p")
    with opened(tmp_path / "p") as project:
        assert settings_of(project).multilabel


def test_a_folder_that_a_killed_process_left_can_become_a_project(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / ".studio.lock").touch()
    assert projects_in(tmp_path) == []
    create_project(tmp_path, "p").close()
    assert projects_in(tmp_path) == ["p"]


def test_a_project_is_open_once(tmp_path: Path) -> None:
    project = create_project(tmp_path, "p")
    with pytest.raises(DataError, match="another process has the project"):
        open_project(project.folder)
    project.close()
    open_project(tmp_path / "p").close()


def test_a_project_that_cannot_be_read_is_free_afterward(tmp_path: Path) -> None:
    create_project(tmp_path, "p").close()
    path = tmp_path / "p" / "project.sqlite"
    content = path.read_bytes()
    path.write_bytes(b"not a database, but long enough to be one" * 99)
    for _ in range(2):
        with pytest.raises(DataError, match="not a database"):
            open_project(tmp_path / "p")
    path.write_bytes(content)
    open_project(tmp_path / "p").close()


def test_a_project_of_a_later_schema_is_refused_and_stays(tmp_path: Path) -> None:
    with project_in(tmp_path) as project, project.database.write() as db:
        db.execute("PRAGMA user_version = 99")
    before = (tmp_path / "p" / "project.sqlite").read_bytes()
    for _ in range(2):  # the first refusal lets go of the lock
        with pytest.raises(DataError, match=r"schema 99.*update finetext"):
            open_project(tmp_path / "p")
    assert (tmp_path / "p" / "project.sqlite").read_bytes() == before


def test_a_missing_project_names_those_that_are_there(tmp_path: Path) -> None:
    create_project(tmp_path, "reviews").close()
    with pytest.raises(DataError, match="holds no project; did you mean 'reviews'"):
        open_project(tmp_path / "review")
    assert projects_in(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random_share": 0.6}, "random_share is 0.6"),
        ({"double_share": -0.1}, "double_share"),
        ({"suggestions": "always"}, "suggestions"),
        ({"colour": 1}, "colour"),
    ],
)
def test_wrong_settings_change_nothing(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with closing(create_project(tmp_path, "p")) as project:
        with pytest.raises(DataError, match=message):
            change_settings(project, {"suggest_everywhere": True, **changes})
        assert settings_of(project) == ProjectSettings()


def test_several_labels_a_text_are_fixed_with_the_first_label(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        change_settings(project, {"multilabel": True})
        give(project, "ann", 1, "good", "bad")
        with pytest.raises(DataError, match="labeled already"):
            change_settings(project, {"multilabel": False})
        assert change_settings(project, {"suggestions": "none"}).multilabel


def test_counts_are_of_texts(tmp_path: Path) -> None:
    with project_in(tmp_path, double_share=1.0, random_share=0.5) as project:
        with project.database.read() as db:
            stream = dict(db.execute("SELECT stream, min(id) FROM texts GROUP BY stream"))
        for who in ("ann", "bob"):
            give(project, who, stream["random"], "good", flagged=True)
        give(project, "ann", stream["chosen"], "odd")
        give(project, "bob", stream["chosen"], kind="skip")
        assert counts_of(project) == Counts(20, 2, 1, 1, 1, 1)
        assert annotators_of(project) == {"ann": 2, "bob": 1}
        shown = about(project)
        assert shown["said"] == "2 of 20 texts labeled"
        assert (shown["texts"], shown["judged"]) == (20, 2)
        assert shown["labels"] == ["good", "bad", "odd"]
        assert shown["created"] <= shown["last"]


def test_texts_are_counted_over_imports_and_those_that_failed(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        for number in range(2):
            rows = [(f"further text {number}",), ("text 1",)]
            add_texts(project, write_rows(tmp_path / "more.csv", ("text",), rows))
        assert counts_of(project).texts == 22
