"""Options that every command of a kind has: of files it writes, and of tables it reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
import typer

from finetext import read
from finetext.cli.app import app
from finetext.data.formulas import ADDED
from finetext.data.predictions import read_predicted_table

Command = Callable[..., Any]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

_WRITES = {"out", "page", "set_aside"}
_OWN_RULES = {"train", "demo", "distill", "learning-curve", "adapt", "pretrain", "convert", "curve"}
"""Commands whose `--out` is a folder that must be new or empty, or is resumed."""


def test_every_command_that_writes_a_file_has_force() -> None:
    without = set()
    for name, command in COMMANDS.items():
        options = {option.name for option in command.params}
        if options & _WRITES and "force" not in options:
            without.add(name)
    assert without == _OWN_RULES


@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_reads_a_table_takes_a_header_and_a_sheet(name: str) -> None:
    options = {of for parameter in COMMANDS[name].params for of in parameter.opts}
    options |= {of for parameter in COMMANDS[name].params for of in parameter.secondary_opts}
    assert ("--text" in options) == ({"--header", "--no-header", "--sheet"} <= options)


@pytest.mark.parametrize("words", ["map DATA --encoder", "adapt DATA --encoder", "pretrain DATA"])
def test_header_and_sheet_are_obeyed(
    command: Command, workplace: Path, tiny_encoder: Path, words: str
) -> None:
    Path("plain.csv").write_text("a fine film\na dull film\na good song\n")
    book = openpyxl.Workbook()
    for title in ("First", "Second"):
        sheet = book.create_sheet(title)
        for row in ((f"{title} text", "n"), ("a fine film", 1), ("a dull film", 2)):
            sheet.append(row)
    del book["Sheet"]
    book.save("two.xlsx")

    def refused(source: str, *more: str) -> str:
        line = [source if word == "DATA" else word for word in words.split()]
        encoder = [tiny_encoder] if "--encoder" in line else []
        said: str = command(*line, *encoder, "--out", "new", *more, status=2).err
        assert not Path("new").exists()
        return said

    wrong = ("--text", "nowhere")
    assert "there are: a fine film" in refused("plain.csv", "--header", *wrong)
    assert "numbered" in refused("plain.csv", "--no-header", *wrong)
    assert "several sheets" in refused("two.xlsx", *wrong)
    assert "there are: Second text, n" in refused("two.xlsx", "--sheet", "Second", *wrong)
    assert "'Third'" in refused("two.xlsx", "--sheet", "Third")


@pytest.mark.parametrize(
    "line",
    [
        "predict nowhere films --out there.csv",
        "predict nowhere in.csv --out new.csv --set-aside there.csv",
        "predict nowhere in.csv --out there.xlsx",
        "plot nowhere text --out there.png",
        "evaluate nowhere in.csv --out there.xlsx",
        "compare nowhere other --out there.csv",
        "confusion nowhere --out there.png",
        "confusion nowhere --out there.csv",
        "errors nowhere --out there.csv",
        "errors nowhere --page there.html",
        "slices nowhere --out there.jsonl",
        "label-errors in.csv --out there.xlsx",
        "label-errors in.csv --apply list.csv --out there.csv",
        "explain nowhere text --out there.csv",
        "explain nowhere text --page there.html",
        "map in.csv --encoder nowhere --out there.png",
        "map in.csv --encoder nowhere --out folder",
        "features in.csv --out there.npz --encoder nowhere",
        "explore nowhere.csv --html there.html",
        "find-lr nowhere.csv --out there.png",
    ],
)
def test_a_file_that_exists_is_not_replaced_and_nothing_slow_begins(
    command: Command, workplace: Path, line: str
) -> None:
    Path("in.csv").write_text("text,label\na,b\n")
    Path("folder").mkdir()
    there = [Path(f"there.{kind}") for kind in ("csv", "xlsx", "jsonl", "html", "png", "npz")]
    for path in [*there, Path("folder/map.json")]:
        path.write_text("mine")
    seen = command(*line.split(), status=2)
    name = "folder/map.json" if "folder" in line else next(str(p) for p in there if str(p) in line)
    assert f"{name} exists; name another file, or replace it with --force" in seen.err
    assert {path.read_text() for path in there} == {"mine"}


def test_an_input_is_never_replaced(command: Command, finished: Path, reviews: Path) -> None:
    content = reviews.read_bytes()
    Path("reviews.csv").write_bytes(content)
    for line in (
        f"predict {finished} reviews.csv --out reviews.csv",
        f"evaluate {finished} reviews.csv --out reviews.csv",
        "label-errors reviews.csv --out reviews.csv",
        "label-errors reviews.csv --apply list.csv --out reviews.csv",
        "explore reviews.csv --html reviews.csv",
    ):
        seen = command(*line.split(), "--force", status=2)
        assert "reviews.csv is an input of this command" in seen.err
    assert Path("reviews.csv").read_bytes() == content


def test_force_replaces(command: Command, finished: Path, reviews: Path) -> None:
    for path in ("out.csv", "errors.csv", "errors.html"):
        Path(path).write_text("old")
    command("predict", finished, reviews, "--out", "out.csv", "--force", status=0)
    words = ("--out", "errors.csv", "--page", "errors.html")
    command("errors", finished, *words, "--force", status=0)
    for path in ("out.csv", "errors.csv", "errors.html"):
        assert len(Path(path).read_text("utf-8")) > 100


def test_a_model_is_replaced_with_force_only(command: Command, finished: Path) -> None:
    words = ("decide", finished, "--abstain", "probability=0.7", "--out", "careful")
    command(*words, status=0)
    before = (Path("careful") / "finetext.json").read_bytes()
    seen = command(*words, status=2)
    assert "careful exists; name another folder, or replace it with --force" in seen.err
    assert (Path("careful") / "finetext.json").read_bytes() == before
    command(*words[:3], "probability=0.8", *words[4:], "--force", status=0)
    assert (Path("careful") / "finetext.json").read_bytes() != before


TEXTS = [
    "Größe; klein, „gut“", 'a "b" c', "zwei\nZeilen", "r\rr", "=1+1", "- nein", " Rand ", "a\tb",
    "NA", "1,5", "ja",
]  # fmt: skip


RUN = ("=1+1", "- nein")
LABELS = ["good", *["good", "bad"] * 5]


@pytest.mark.parametrize(
    ("locale", "sep", "decimal"), [(None, ",", "."), ("en", ",", "."), ("de", ";", ",")]
)
def test_predictions_as_csv_are_read_as_they_are(
    command: Command, finished: Path, locale: str | None, sep: str, decimal: str
) -> None:
    pd.DataFrame({"ID": range(70, 81), "text": TEXTS, "label": LABELS}).to_csv(
        "in.csv", index=False
    )
    words = ("predict", finished, "in.csv", "--text", "text")
    command(*words, "--out", "plain.jsonl", status=0)
    command(*words, "--out", "out.csv", *(("--locale", locale) if locale else ()), status=0)
    lines = Path("plain.jsonl").read_text("utf-8").splitlines()
    expected = pd.DataFrame(map(json.loads, lines))
    data = Path("out.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf") == (locale is not None)
    found = pd.read_csv(
        io.BytesIO(data), sep=sep, decimal=decimal, keep_default_na=False,
        lineterminator="\n", dtype={"ID": str},
    )  # fmt: skip
    if locale is not None:
        assert found.pop(ADDED).tolist() == ["text" if of in RUN else "" for of in TEXTS]
        assert found["text"].tolist() == [f"'{of}" if of in RUN else of for of in TEXTS]
        command(*words, "--out", "kept.csv", "--locale", locale, "--keep-formulas", status=0)
        kept = Path("kept.csv").read_bytes()
        assert kept.count(b"\n") == data.count(b"\n")
        found = pd.read_csv(
            io.BytesIO(kept), sep=sep, decimal=decimal, keep_default_na=False,
            lineterminator="\n", dtype={"ID": str},
        )  # fmt: skip
    assert found["text"].tolist() == TEXTS
    assert list(found) == ["ID", "text", "label", *list(found)[3:]]
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)
    assert read("out.csv", text="text", label="label").texts == TEXTS
    table = read_predicted_table(Path("out.csv"))
    assert table.predictions.ids == tuple(map(str, range(70, 81)))
    assert table.predictions.probabilities[:, 0].tolist() == pytest.approx(
        expected["probability:bad"].tolist(), abs=0
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "o.csv", "--locale", "xx"], "--locale xx: it must be the language"),
        (["--out", "o.xlsx", "--locale", "de"], "--locale de is for .csv, which o.xlsx is not"),
        (["--out", "o.xlsx", "--keep-formulas"], "--keep-formulas is for .csv and .tsv, which"),
        (["--locale", "de"], "--locale de needs an output file"),
        (["--out", "o.xlsx", "--resume"], "Parquet and Excel files cannot be appended to"),
        (["--out", "o.xls"], "Excel files are written as .xlsx"),
        (["--out", "o.xlsx.gz"], "the suffix must be one of"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    command: Command, reviews: Path, words: list[str], said: str
) -> None:
    seen = command("predict", "nowhere", reviews, *words, status=2)
    assert said in seen.err


def test_resumption_continues_its_own_file_and_no_other(
    command: Command, finished: Path, reviews: Path
) -> None:
    words = ("predict", finished, reviews, "--out", "out.csv")
    command(*words, "--resume", status=0)
    seen = command(*words, "--resume", status=2)
    assert "out.csv exists; name another file, or replace it with --force" in seen.err
    command(*words, "--resume", "--force", status=0)


def test_all_tables_are_written_as_excel(command: Command, finished: Path, reviews: Path) -> None:
    lines = {
        "compare.xlsx": ("compare", finished),
        "confusion.xlsx": ("confusion", finished, "--normalize", "none"),
        "errors.xlsx": ("errors", finished),
        "slices.xlsx": ("slices", finished, "--by", "length"),
        "words.xlsx": ("explain", finished, "a fine film"),
    }
    for path, words in lines.items():
        command(*words, "--out", path, status=0)
        [sheet] = openpyxl.load_workbook(path).worksheets
        header, *rows = sheet.iter_rows(values_only=True)
        assert all(header)
        assert rows or path == "slices.xlsx"  # so few rows have no slices


@pytest.mark.parametrize("name", ["matrix.PNG", "matrix.Svg"])
def test_the_suffix_of_a_picture_may_be_in_capitals(
    command: Command, finished: Path, name: str
) -> None:
    command("confusion", finished, "--out", name, status=0)
    content = Path(name).read_bytes()
    assert content.startswith(b"\x89PNG") or b"<svg" in content[:2000]


def test_a_picture_is_not_compressed(command: Command, finished: Path) -> None:
    seen = command("confusion", finished, "--out", "matrix.png.gz", status=2)
    assert "the suffix must be one of .png" in seen.err
    assert not Path("matrix.png.gz").exists()


def test_the_home_folder_is_found_where_the_shell_leaves_it(
    command: Command, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    command("train", reviews, "--methods", "majority", "--out", "~/run", status=0)
    assert (tmp_path / "run" / "report.html").is_file()
    assert list(Path.cwd().iterdir()) == []
    assert "there is no file" in command("train", "~nobody-of-this-name/x.csv", status=2).err
