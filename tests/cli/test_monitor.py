"""`finetext monitor`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def new(workplace: Path, draw_reviews: Callable[..., list[Any]]) -> Path:
    """Rows of which a third is about something else, all with wrong labels."""
    other = {"good": "bad", "bad": "good"}
    rows = [f"{text},{other[label]}" for text, label in draw_reviews(100, 7)]
    rows += [f"online card {n} payment refund bank pin,good" for n in range(50)]
    Path("new.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return Path("new.csv")


def test_lines_page_and_gauges(command: Command, watched_run: Path, new: Path) -> None:
    files = ("--page", "drift.html", "--prometheus", "reviews.prom")
    done = command("monitor", watched_run, new, *files, status=0)
    assert done.out.startswith("new.csv: drift of texts")
    assert "has become worse" in " ".join(done.out.split())
    assert "page: drift.html" in done.err
    assert "<h1>new.csv: drift of texts" in Path("drift.html").read_text()
    gauges = Path("reviews.prom").read_text()
    assert 'of="texts"} 1.0' in gauges
    assert f'model="{watched_run}"' in gauges
    again = command("monitor", watched_run, new, *files, status=2)
    assert "drift.html exists" in again.err
    command("monitor", watched_run, new, *files, "--force", "--quiet", status=0)


def test_json_and_the_status_for_scripts(command: Command, watched_run: Path, new: Path) -> None:
    found = json.loads(command("monitor", watched_run, new, "--json", status=0).out)
    assert "texts" in found["drifted"]
    assert found["is_worse"]
    assert found["page"] is None
    assert [test["what"] for test in found["tests"]] == ["texts", "labels", "confidence"]
    failed = command("monitor", watched_run, new, "--fail-on", "worse", "-q", status=3)
    assert failed.out.startswith("new.csv: drift")
    command("monitor", watched_run, new, "--fail-on", "drift,worse", "-q", status=3)


def test_the_status_is_0_where_nothing_is_shown(
    command: Command, watched_run: Path, draw_reviews: Callable[..., list[Any]], workplace: Path
) -> None:
    rows = [f"{text},{label}" for text, label in draw_reviews(100, 7)]
    Path("same.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    done = command("monitor", watched_run, "same.csv", "--fail-on", "drift,worse", status=0)
    assert done.out.startswith("same.csv: no drift is shown")


def test_it_says_where_the_labels_are_from_and_what_fail_on_cannot_see(
    command: Command, watched_run: Path, new: Path
) -> None:
    done = command("monitor", watched_run, new, "--fail-on", "worse", status=3)
    assert "those of the column 'label', in 150 of 150 rows" in " ".join(done.out.split())
    new.write_text(new.read_text().replace("text,label", "text,escalated"))
    done = command("monitor", watched_run, new, "--fail-on", "worse", status=0)
    said = "True labels: none, since no column is called label; name their column with --label."
    assert said in " ".join(done.out.split())
    assert "--fail-on worse: without labels" in " ".join(done.err.split())
    found = json.loads(command("monitor", watched_run, new, "--json", status=0).out)
    assert (found["labeled"], found["label_columns"], found["is_worse"]) == (0, [], False)
    named = command("monitor", watched_run, new, "--label", "escalated", "--json", status=0)
    assert json.loads(named.out)["label_columns"] == ["escalated"]
    none = command(
        "monitor", watched_run, new, "--label", "escalated", "--set", "data.labelled=false",
        status=2,
    )  # fmt: skip
    assert "contradict each other" in none.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fail-on", "sleet"), "--fail-on sleet: write drift or worse"),
        (("--prometheus", "drift.txt"), "reads only files that end in .prom"),
        (("--prometheus", "gone/drift.prom"), "there is no folder gone"),
        (("--tolerance", "3"), "tolerance is 3"),
        (("--time", "day"), "day"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    command: Command, watched_run: Path, new: Path, words: tuple[str, ...], said: str
) -> None:
    done = command("monitor", watched_run, new, "--page", "page.html", *words, status=2)
    assert said in done.err
    assert sorted(path.name for path in Path().iterdir()) == ["new.csv"]


def test_few_test_rows_cannot_tell(command: Command, finished: Path, reviews: Path) -> None:
    done = command("monitor", finished, reviews, "--group", "movie", status=0)
    assert done.out.startswith("reviews.csv: too few rows to tell")
    assert "it takes 30 of either kind" in " ".join(done.out.split())
