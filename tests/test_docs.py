"""The commands and the Python in `docs/` do what they say."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest

DOCS = Path(__file__).parent.parent / "docs"
NOT_RUN = (
    "finetext COMMAND",
    "finetext demo",
    "finetext train DATA",
    "finetext adapt CORPUS",
    "finetext find-lr",
    "finetext cascade",
    "finetext predict fast",
    "finetext export",
    "finetext serve",
    "finetext generate",
    "finetext map",
    "finetext convert",
    "finetext predict hub:",
    "finetext push",
    "finetext pull",
)


USING = (
    "how-to/encoders.md",
    "how-to/without-labels.md",
    "how-to/ask-a-language-model.md",
    "how-to/distill.md",
    "how-to/predict.md",
    "how-to/outgrow.md",
    "how-to/other-shares.md",
    "how-to/monitor.md",
    "how-to/deploy.md",
    "how-to/share.md",
)
"""Pages on the use of a model, in the order in which their commands run."""


def text_of(*pages: str) -> str:
    """What pages of the manual say, one after another."""
    return "\n".join((DOCS / page).read_text(encoding="utf-8") for page in pages)


def commands(*pages: str) -> list[str]:
    """The indented lines that begin with `finetext`."""
    lines = re.findall(r"^    (finetext .+)$", text_of(*pages), flags=re.MULTILINE)
    return [line for line in lines if not line.startswith(NOT_RUN)]


@pytest.fixture
def files(workplace: Path, reviews: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the pages speak of, and a ladder of the quick methods alone."""
    monkeypatch.setattr("finetext.cli.arguments.LADDER", ("majority", "tfidf"))
    text = reviews.read_text()
    for name in ("reviews.csv", "new.csv", "train.csv", "dev.csv", "test.csv"):
        Path(name).write_text(text)
    rows = [line.split(",") for line in text.splitlines()[1:]]
    films = [f"n{n},{text},{label},{movie}" for n, (text, label, movie) in enumerate(rows)]
    Path("films.csv").write_text("\n".join(["nr,text,label,movie", *films]) + "\n")
    tags = [("1,0", "joy"), ("0,1", "anger"), ("1,1", "joy;anger")] * 20
    tagged = [f"{row[0]},{both},{names}" for row, (both, names) in zip(rows, tags, strict=True)]
    Path("tagged.csv").write_text("\n".join(["text,joy,anger,tags", *tagged]) + "\n")
    for name, head in (("pairs", "premise,hypothesis"), ("news", "title,body"), ("other", "a,b")):
        pairs = [f"{row[0]},{row[0]} {row[1]},{row[1]}" for row in rows]
        Path(f"{name}.csv").write_text("\n".join([f"{head},label", *pairs]) + "\n")
    codes = [*rows[:40], *([text, "-99", movie] for text, _, movie in rows[40:])]
    Path("survey.csv").write_text("\n".join(["text,label", *(",".join(c[:2]) for c in codes)]))
    pair = [(n, row, coder) for n, row in enumerate(rows) for coder in "AB"]
    coded = [f"{t},{'neg' if n < 6 and c == 'B' else label},{c}" for n, (t, label, _), c in pair]
    Path("coded.csv").write_text("\n".join(["text,label,coder", *coded]) + "\n")
    plots = [f"{word} actors, and a plot for children of {n}" for n in range(20)
             for word in ("great", "awful")]  # fmt: skip
    Path("unlabeled.csv").write_text("\n".join(["text", *(f'"{plot}"' for plot in plots)]) + "\n")
    Path("lines.txt").write_text("a fine film\na dull film\n")
    Path("data").mkdir()
    pyarrow.parquet.write_table(pyarrow.csv.read_csv("new.csv"), "data/new.parquet")
    shutil.copytree(finished, Path("runs") / "reviews")
    return workplace


@pytest.mark.slow
@pytest.mark.parametrize(
    "pages",
    [("reference/command-line.md",), ("how-to/data.md",), ("how-to/running.md",), USING],
    ids=["command-line", "data", "running", "using"],
)
def test_the_commands_run(
    command: Callable[..., Any],
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    pages: tuple[str, ...],
) -> None:
    lines = commands(*pages)
    assert len(lines) >= 3
    for line in lines:
        words, _, redirected = line.partition(" < ")
        if redirected:
            data = io.BytesIO(Path(redirected).read_bytes())
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
        seen = command(*shlex.split(words)[1:])
        assert seen.status == 0, f"{line}: {seen.err}"
        assert seen.out or "--out" in line or "--page" in line


@pytest.mark.parametrize(
    ("pages", "shown"),
    [(("how-to/data.md",), "3 rows, 2 labels"), (USING, "")],
    ids=["data", "using"],
)
def test_the_python_runs(
    workplace: Path, capsys: pytest.CaptureFixture[str], pages: tuple[str, ...], shown: str
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", text_of(*pages), re.S | re.M)
    assert blocks
    for block in blocks:
        exec(compile(block, pages[0], "exec"), {})
    assert shown in capsys.readouterr().out


def test_the_line_on_what_was_chosen_is_the_one_shown(
    command: Callable[..., Any], files: Path
) -> None:
    shown = re.search(r"^    (reviews\.csv: .*)$", text_of("how-to/data.md"), re.M)
    assert shown
    said = command("train", "reviews.csv", "--methods", "majority").err.splitlines()[0]
    assert said == shown[1]


def test_the_recipe_in_the_manual_is_valid() -> None:
    import tomllib

    from finetext.runs.recipe import Recipe

    block = re.search(r"^```toml\n(.*?)^```", text_of("reference/command-line.md"), re.S | re.M)
    assert block
    recipe = Recipe.from_values(tomllib.loads(block[1]))
    assert list(recipe.methods) == ["majority", "tfidf", "with-bert"]


def test_the_commands_on_language_models_have_the_options_that_are_shown() -> None:
    import typer

    from finetext.cli.app import app

    known = typer.main.get_command(app)
    text = text_of("how-to/language-models.md")
    lines = re.findall(r"^(?:    )?(finetext [^#\n]+)", text, flags=re.MULTILINE)
    assert len(lines) >= 10
    for line in lines:
        _, name, *words = shlex.split(line.replace("...", "DATA"))
        known.commands[name].make_context(name, words)
