"""The README is true: its commands run, its Python runs, its figures are those of the record.

The commands run on a small part of the sample, so that they take seconds.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetext.cli import app as cli
from finetext.core import registry
from finetext.core.extras import EXTRAS
from finetext.data.sources import bbc_news

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARTICLES_A_CLASS = 8
LETTERS_AN_ARTICLE = 120


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def small_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The beginnings of a few articles of each class of bbc-news, and an empty folder."""
    few = tmp_path / "bbc-news"
    for folder in sorted(bbc_news().iterdir()):
        if folder.is_dir():
            (few / folder.name).mkdir(parents=True)
            for file in sorted(folder.glob("*.txt"))[:ARTICLES_A_CLASS]:
                begin = file.read_text(encoding="utf-8")[:LETTERS_AN_ARTICLE]
                (few / folder.name / file.name).write_text(begin, encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "few_articles", lambda: few, raising=False)
    monkeypatch.setitem(registry.TABLES["samples"], "bbc-news", f"{__name__}:few_articles")
    registry.table.cache_clear()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("FINETEXT_CACHE", str(tmp_path / "cache"))
    yield work
    registry.table.cache_clear()


def run_line(line: str) -> None:
    """Run one line of a bash block; what sets up the machine is only checked to be there."""
    words = shlex.split(line, comments=True)
    if not words:
        return
    if words[0] == "finetext":
        try:
            cli.main(words[1:])
        except SystemExit as stop:
            if stop.code:
                pytest.fail(f"{line}: exit {stop.code}")
    elif words[0] == "make":
        plan = subprocess.run(
            ["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True, text=True
        )
        assert words[1] != "demo" or "finetext demo" in plan.stdout
    elif words[0] == "pip":
        assert words[:3] == ["pip", "install", "-c"]
        assert (ROOT / words[3]).is_file()
    elif words[0] == ".venv/bin/python":
        command = [sys.executable, *words[1:], "--collect-only", "-q"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    else:
        subprocess.run(["bash", "-c", line], check=True)


@pytest.mark.slow
def test_the_commands_run(small_sample: Path) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert any(line.startswith("finetext train") for line in lines)
    for line in lines:
        run_line(line)
    assert (small_sample / "runs" / "news" / "report.html").is_file()
    assert (small_sample / "newer.csv").read_text().startswith("id,text,label,prediction")


SHOWN = {
    "offline": r"bbc-news|finetext demo|make demo",
    "excel": r"\.xlsx|Excel",
    "polars": r"polars",
    "sentencepiece": r"deberta|sentencepiece",
    "explain": r"finetext explain",
    "map": r"finetext map",
    "llm": r"--llm",
    "gliclass": r"gliclass",
    "tensorboard": r"--track tensorboard",
    "ray": r"--engine ray|finetext\.ray",
    "export": r"finetext export|ONNX",
    "serve": r"finetext serve",
    "studio": r"finetext studio",
    "otel": r"OTEL_|OpenTelemetry",
}
"""How the page shows what an extra is for."""


def test_the_first_line_installs_what_the_page_shows() -> None:
    assert set(SHOWN) == set(EXTRAS)
    first = re.search(r"^pip install .*\[([\w,]+)\]", README, flags=re.MULTILINE)
    assert first
    brought = set(first[1].split(","))
    named = set(re.findall(r"the extra `(\w+)`", README))
    needed = {name for name, shown in SHOWN.items() if re.search(shown, README)}
    assert {"offline", "excel", "export", "serve"} <= needed
    assert needed - named == brought, "the first line of installation brings more or less"


@pytest.mark.slow
def test_the_python_runs(small_sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks("python")
    assert found
    for block in found:
        exec(compile(block, "README.md", "exec"), {})
    assert "sports" in capsys.readouterr().out


def test_the_figures_are_those_of_the_record() -> None:
    record = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    figures = (ROOT / "docs" / "reference" / "benchmarks.md").read_text(encoding="utf-8")
    rows = [line for line in figures.splitlines() if re.match(r"\|.*\d\.\d", line)]
    assert len(rows) > 30
    for row in rows:
        assert row in record, f"not in benchmarks/RESULTS.md: {row}"


def test_every_page_of_the_manual_is_linked() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert "(docs/index.md)" in README
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").as_posix()
        if path != "index.md":
            assert f"({path})" in index, f"docs/{path} is not in docs/index.md"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or os.path.exists(ROOT / target), target


def test_the_files_in_the_architecture_exist() -> None:
    text = (ROOT / "docs" / "concepts" / "architecture.md").read_text(encoding="utf-8")
    files = re.findall(r"`(\w+/\w+\.py)`", text)
    assert len(files) > 15
    for file in files:
        if "NAME" not in file:
            assert (ROOT / "src" / "finetext" / file).is_file(), file
    for folder in (path for path in (ROOT / "src" / "finetext").iterdir() if path.is_dir()):
        if folder.name != "__pycache__":
            assert f"\n{folder.name} " in text, f"{folder.name} is not among the layers"
