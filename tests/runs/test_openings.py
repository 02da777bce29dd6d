"""The test rows of a run: opened once by itself, counted from then on."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from finetext.runs import run as module
from finetext.runs.run import opened, openings


def test_every_opening_is_written_down(tmp_path: Path) -> None:
    assert openings(tmp_path) == []
    assert opened(tmp_path, "finetext errors") == 2
    assert opened(tmp_path, "finetext compare") == 3
    assert [line["by"] for line in openings(tmp_path)] == ["finetext errors", "finetext compare"]
    assert datetime.fromisoformat(openings(tmp_path)[0]["when"]).tzinfo is not None


def test_a_line_that_was_cut_short_does_not_count(tmp_path: Path) -> None:
    opened(tmp_path, "finetext errors")
    with (tmp_path / module.OPENINGS).open("a", encoding="utf-8") as file:
        file.write('{"when": "2026-\n')
    assert opened(tmp_path, "finetext errors") == 3


def test_a_folder_that_cannot_be_written_is_counted_all_the_same(tmp_path: Path) -> None:
    opened(tmp_path, "finetext errors")
    kept = tmp_path / module.OPENINGS
    before = kept.read_text("utf-8")
    missing = tmp_path / "not-there"
    assert opened(missing, "finetext errors") == 2
    assert not missing.exists()
    assert kept.read_text("utf-8") == before
