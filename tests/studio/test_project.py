"""Projects: names, settings, counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from studio_toys import project_of, say, work

from finetext.core.errors import DataError
from finetext.studio.project import (
    ProjectSettings,
    about,
    annotators_of,
    change_settings,
    counts_of,
    create_project,
    open_project,
    projects_in,
    settings_of,
)


@pytest.mark.parametrize("name", ["", "../x", "/etc", ".hidden", "a/b", "x" * 61, "a\\b", "CON?"])
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be the name of a project"):
        create_project(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_project_is_found_again_with_its_settings(tmp_path: Path) -> None:
    settings = ProjectSettings(multilabel=True, random_share=0.3, suggestions="none")
    create_project(tmp_path, "Rückmeldungen 2026", settings).close()
    assert projects_in(tmp_path) == ["Rückmeldungen 2026"]
    project = open_project(tmp_path / "Rückmeldungen 2026")
    assert settings_of(project) == settings
    project.close()
    with pytest.raises(DataError, match="already"):
        create_project(tmp_path, "Rückmeldungen 2026")


def test_settings_are_checked_and_the_kind_of_labels_is_fixed_with_the_first_one(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match="random_share is 0"):
        ProjectSettings(random_share=0.9)
    with project_of(tmp_path) as project:
        assert change_settings(project, {"suggestions": "none"}).suggestions == "none"
        with pytest.raises(DataError, match="no setting"):
            change_settings(project, {"colour": 1})
        with pytest.raises(DataError, match="the settings"):
            change_settings(project, {"suggestions": "always"})
        say(project, "Anna", 1, "good")
        with pytest.raises(DataError, match="labeled already"):
            change_settings(project, {"multilabel": True})


def test_counts_are_of_texts(tmp_path: Path) -> None:
    with project_of(tmp_path, 20, double_share=0) as project:
        work(project, "Anna", 10)
        say(project, "Bert", 1, kind="skip")
        say(project, "Bert", 2, "good", flagged=True)
        counts = counts_of(project)
        assert (counts.texts, counts.random_judged, counts.skipped, counts.flagged) == (20, 2, 1, 1)
        assert counts.judged == counts.random_judged + counts.chosen_judged
        assert annotators_of(project) == {"Anna": 10, "Bert": 1}
        told = about(project)
        assert told["annotators"] == ["Anna", "Bert"]
        assert told["labels"] == ["good", "bad", "odd"]
        assert told["said"].endswith("of 20 texts labeled")
