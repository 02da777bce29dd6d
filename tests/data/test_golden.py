"""Hostile inputs read as recorded: rows, ids, labels, codes of findings, or the error.

`golden.json` beside this file holds what each input gives when it is read as a whole with labels
(`labeled`), without (`texts`), some rows at a time (`streamed`), and some rows at a time or as one
piece with all columns and rejected rows (`rejecting`, `small`). Of random inputs it holds a digest.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import CASES

from finetext.core.errors import FinetextError
from finetext.core.settings import ReadSettings
from finetext.data import stream
from finetext.data.read import read
from finetext.data.rows import ONLY_TEXTS, Wanted
from finetext.data.stream import open_stream

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text("utf-8"))
LIMIT = 600
"""Characters of JSON above which a digest stands for what is read."""


def put(folder: Path, name: str, content: Any) -> Path:
    """Write the files of a case."""
    if not isinstance(content, dict):
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path
    for inner, text in content.items():
        path = folder / name / inner
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def rows_read(path: Path, how: ReadSettings) -> dict[str, Any]:
    dataset = read(path, settings=how)
    scheme = dataset.scheme
    return {
        "about": dataset.description,
        "codes": [one.code for one in dataset.findings],
        "names": None if scheme is None else [*scheme.names, scheme.multilabel],
        **{name: dataset.column(name) for name in dataset.table.column_names},
    }


def rows_streamed(path: Path, how: ReadSettings, wanted: Any) -> dict[str, Any]:
    texts = open_stream(path, how, wanted)
    chunks = list(texts.batches)
    return {
        "about": texts.description,
        "codes": [one.code for one in texts.findings],
        "columns": {name: str(kind) for name, kind in texts.columns.items()},
        "id": texts.id_column,
        "rows": [
            [list(c.ids), list(c.texts), {k: list(v) for k, v in c.columns.items()},
             [[bad.line, bad.content] for bad in c.bad]] for c in chunks
        ],
    }  # fmt: skip


_RECORDED = {
    "UnlabeledError": "UnlabelledError",
    "UnclearError": "DataError",
    "NoRowsError": "DataError",
}


def or_error(outcome: Callable[[], dict[str, Any]], folder: Path) -> Any:
    """What comes out, or the kind of the error and the numbers in its message."""
    try:
        return outcome()
    except FinetextError as error:
        message = str(error).replace(str(folder), "")
        kind = _RECORDED.get(type(error).__name__, type(error).__name__)
        return [kind, *map(int, re.findall(r"\d{1,9}", message))]


def outcomes(
    folder: Path, case: tuple[str, Any, dict[str, Any]], sizes: Callable[[int, int], None]
) -> dict[str, Any]:
    path = put(folder, *case[:2])
    texts = ReadSettings(**{"labelled": False, **case[2]})
    both = Wanted(columns=True, bad=True)
    found: dict[str, Any] = {
        "labeled": or_error(lambda: rows_read(path, ReadSettings(**case[2])), folder),
        "texts": or_error(lambda: rows_read(path, texts), folder),
        "small": or_error(lambda: rows_streamed(path, texts, both), folder),
    }
    sizes(60, 3)
    found["streamed"] = or_error(lambda: rows_streamed(path, texts, ONLY_TEXTS), folder)
    found["rejecting"] = or_error(lambda: rows_streamed(path, texts, both), folder)
    found = json.loads(json.dumps(found, default=str).replace(str(folder), ""))
    long = {mode: json.dumps(seen, sort_keys=True) for mode, seen in found.items()}
    digests = {mode: hashlib.sha256(text.encode()).hexdigest()[:16] for mode, text in long.items()}
    return {mode: digests[mode] if len(long[mode]) > LIMIT else of for mode, of in found.items()}


def random_case(seed: int) -> tuple[str, Any, dict[str, Any]]:
    """A text file of odd cells in some form, at times with a broken end."""
    chance = random.Random(seed)
    signs = ["a", "b c", " ", '"', '""', ",", "\n", "\r", "\r\n", "\t", ";", "|", "\xe9",
             "\U0001f600", "'", ""]  # fmt: skip

    def cell() -> str:
        return "".join(chance.choice(signs) for _ in range(chance.randrange(6)))

    delimiter = chance.choice(",,\t;|")
    quoting = chance.choice(["none", "all", "some", "odd"])

    def field(text: str) -> str:
        if quoting == "odd":
            return text
        plain = re.sub(r"[\n\r]|" + re.escape(delimiter), " ", text)
        odd = plain != text or '"' in text
        if quoting == "none" or (quoting == "some" and not odd):
            return plain
        return '"' + text.replace('"', '""') + '"'

    end = chance.choice(["\n", "\n", "\r\n"])
    rows = [["text", "label"]] if chance.random() < 0.6 else []
    rows += [[f"some text {n}" + cell(), "xy"[n % 2]] for n in range(chance.randrange(4, 24))]
    lines = [delimiter.join(map(field, row)) for row in rows]
    for _ in range(chance.randrange(3)):
        lines.insert(chance.randrange(1, len(lines) + 1), cell())
    data = end.join(lines).encode(chance.choice(["utf-8", "utf-8", "latin-1"]), "replace")
    how: dict[str, Any] = chance.choice([{}, {}, {}, {"header": True}, {"text": "text"}])
    name = chance.choice(["x.csv", "x.csv", "x.tsv", "x.txt", "x.csv.gz"])
    return name, gzip.compress(data, mtime=0) if name.endswith("gz") else data, how


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    def smaller(size: int, rows: int) -> None:
        monkeypatch.setattr(stream, "BYTES", size)
        monkeypatch.setattr(stream, "ROWS", rows)

    return smaller


@pytest.mark.parametrize("case", CASES)
def test_hostile_input(tmp_path: Path, case: str, sizes: Callable[[int, int], None]) -> None:
    assert outcomes(tmp_path, CASES[case], sizes) == GOLDEN["cases"][case]


@pytest.mark.parametrize("seed", range(0, 300, 20))
def test_random_input(
    tmp_path: Path, seed: int, sizes: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in range(seed, seed + 20):
        monkeypatch.undo()
        (place := tmp_path / str(one)).mkdir()
        found = json.dumps(outcomes(place, random_case(one), sizes), sort_keys=True)
        assert hashlib.sha256(found.encode()).hexdigest()[:12] == GOLDEN["random"][one], one
