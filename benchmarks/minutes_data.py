"""The sets of `minutes.py`, and the rows of a cell: drawn for training, fixed for evaluation.

Of a set, whole texts (films: whole films) are cut once, always the same: test rows, rows to
develop on, and the pool that training rows are drawn from. A ready-made test part stays the test
part; texts of it are not in the pool. To develop, the rows for that are evaluated and test rows
are not touched; for the final table the test rows are, and the rows to develop on join the pool.
"""

from __future__ import annotations

import csv
import gzip
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from common import data_folder

Part = Literal["validation", "test"]
MOST_EVALUATED: Final = 2_000


class Row(NamedTuple):
    """A text, its labels (one or several names), and the film that it is about, where known."""

    text: str
    labels: tuple[str, ...]
    group: str = ""


class TextSet(NamedTuple):
    """How to read a set.

    Attributes:
        read: returns the rows to learn from, and the ready-made test rows or none.
        developing: how many rows are cut to develop on.
        test: how many test rows there are, at most.
        grouped: whether contenders are given the groups as well.
    """

    read: Callable[[Path], tuple[list[Row], list[Row]]]
    developing: int
    test: int = MOST_EVALUATED
    multilabel: bool = False
    grouped: bool = False


class Cut(NamedTuple):
    """The parts of a set."""

    names: tuple[str, ...]
    pool: list[Row]
    developing: list[Row]
    test: list[Row]


def rows_of(name: str, size: int, seed: int, part: Part, evaluated: int) -> dict[str, Any] | None:
    """Return training rows drawn with a seed, and the evaluation rows; None if there are too few.

    Labels are numbers of `names`, lists of them where a text can have several. "truth", the
    labels of the evaluation rows, is for the benchmark alone.
    """
    cut = cut_of(name)
    evaluation = cut.test if part == "test" else cut.developing
    pool = [*cut.pool, *cut.developing] if part == "test" else cut.pool
    if size > len(pool):
        return None
    drawn = [pool[row] for row in np.random.default_rng(seed).permutation(len(pool))[:size]]
    number = {label: place for place, label in enumerate(cut.names)}
    several = SETS[name].multilabel

    def numbers(rows: list[Row]) -> list[Any]:
        found = [[number[label] for label in row.labels] for row in rows]
        return found if several else [one[0] for one in found]

    evaluation = evaluation[:evaluated]
    return {
        "names": list(cut.names),
        "multilabel": several,
        "texts": [row.text for row in drawn],
        "labels": numbers(drawn),
        "groups": [row.group for row in drawn] if SETS[name].grouped else None,
        "evaluation": [row.text for row in evaluation],
        "truth": numbers(evaluation),
    }


@cache
def cut_of(name: str) -> Cut:
    """Return the parts of a set, each in a random order that is always the same."""
    of = SETS[name]
    rows, test = of.read(data_folder())
    names = tuple(sorted({label for row in [*rows, *test] for label in row.labels}))
    rng = np.random.default_rng(0)
    rows, test = ([part[place] for place in rng.permutation(len(part))] for part in (rows, test))
    if test:
        test = test[: of.test]
    else:
        test, rows = _taken(rows, of.test)
    developing, rows = _taken(rows, of.developing)
    tested = {row.text for row in test}
    developing = [row for row in developing if row.text not in tested]
    rows = [row for row in rows if row.text not in tested]
    return Cut(names, rows, developing, test)


def _taken(rows: list[Row], count: int) -> tuple[list[Row], list[Row]]:
    """Cut so many rows, or a few more: all of a film, and all of a text, are on one side."""
    keys = [row.group or row.text for row in rows]
    taken: set[str] = set()
    sizes: dict[str, int] = {}
    for key in keys:
        sizes[key] = sizes.get(key, 0) + 1
    number = 0
    for key in dict.fromkeys(keys):
        if number >= count:
            break
        taken.add(key)
        number += sizes[key]
    first = [row for row, key in zip(rows, keys, strict=True) if key in taken]
    return first, [row for row, key in zip(rows, keys, strict=True) if key not in taken]


def _lines(path: Path) -> Iterator[str]:
    return (line for line in path.read_text(encoding="utf-8").split("\n") if line)


def _table(path: Path) -> list[dict[str, str]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _emotion(data: Path) -> tuple[list[Row], list[Row]]:
    def part(name: str) -> list[Row]:
        pairs = (line.rsplit(";", 1) for line in _lines(data / "emotion" / name))
        return [Row(text, (label,)) for text, label in pairs]

    return part("train.txt"), part("test.txt")


def _sst2(data: Path) -> tuple[list[Row], list[Row]]:
    def part(name: str) -> list[Row]:
        pairs = (line.split(" ", 1) for line in _lines(data / "sst2/sentences" / name))
        return [Row(text, (label,)) for label, text in pairs]

    return part("stsa.binary.train"), part("stsa.binary.test")


def _films(data: Path) -> tuple[list[Row], list[Row]]:
    table = _table(data / "rotten_tomatoes_movies/rotten_tomatoes_movies.csv")
    return [Row(row["text"], (row["label"],), row["movie"]) for row in table], []


def _imdb(data: Path) -> tuple[list[Row], list[Row]]:
    def part(name: str) -> list[Row]:
        table = _table(data / "imdb" / name)
        return [Row(row["text"], (row["label"],), row["movie"]) for row in table]

    return part("train.csv.gz"), part("test.csv.gz")


def _banking77(data: Path) -> tuple[list[Row], list[Row]]:
    def part(name: str) -> list[Row]:
        return [Row(row["text"], (row["category"],)) for row in _table(data / "banking77" / name)]

    return part("train.csv"), part("test.csv")


def _bbc(data: Path) -> tuple[list[Row], list[Row]]:
    rows = []
    with tarfile.open(data / "bbc_news/bbc_news.tar.gz") as archive:
        for member in sorted(archive.getnames()):
            if member.endswith(".txt"):
                file = archive.extractfile(member)
                assert file is not None
                text = file.read().decode("utf-8", errors="replace")
                rows.append(Row(text, (member.split("/")[-2],)))
    return rows, []


def _sms(data: Path) -> tuple[list[Row], list[Row]]:
    pairs = (line.split("\t", 1) for line in _lines(data / "sms_spam/SMSSpamCollection"))
    return [Row(text, (label,)) for label, text in pairs], []


def _goemotions(data: Path) -> tuple[list[Row], list[Row]]:
    folder = data / "goemotions"
    names = list(_lines(folder / "labels.txt"))

    def part(name: str) -> list[Row]:
        cells = (line.split("\t") for line in _lines(folder / name))
        return [Row(text, tuple(names[int(one)] for one in of.split(","))) for text, of, _ in cells]

    return part("train.tsv"), part("test.tsv")


SETS: Final[dict[str, TextSet]] = {
    "emotion": TextSet(_emotion, 2_000),
    "sst2": TextSet(_sst2, 1_500),
    "films": TextSet(_films, 2_000, grouped=True),
    "banking77": TextSet(_banking77, 1_500),
    "sms": TextSet(_sms, 1_500, 1_500),
    "goemotions": TextSet(_goemotions, 2_000, multilabel=True),
    "bbc": TextSet(_bbc, 600, 600),
    "imdb": TextSet(_imdb, 1_000, 1_000),
}
