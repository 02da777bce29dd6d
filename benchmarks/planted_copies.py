"""Are copies of a text kept in one split, and texts that are no copies left alone?

    FINETEXT_DATA=../shared/data python benchmarks/planted_copies.py --record

In each set, texts that are in no cluster of near-duplicates are drawn, and a changed copy of each
is added: all in other case, punctuation and spaces; with one word replaced; with a sentence of
another text added; or without the last tenth or third. A planted pair is kept together if both
texts are in one split of `finetext.split`. By chance they are in about half of all cases, so what
counts is whether they are in one cluster. A false merge is a cluster that joins texts of the set
that were apart before the copies came. `--show 20` prints pairs of near-duplicates that the set
itself has, to be read. `--words 10 15` plants copies of texts of 10 to 15 words alone.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import datasets
import numpy as np
from common import finish, parser, say, table

import finetext
from finetext.core.types import Dataset, LabelScheme
from finetext.data.near_duplicates import copies, near_duplicates

SETS: Final = {
    "BBC News": "bbc_news/bbc_news.tar.gz",
    "IMDB": "imdb",
    "films": "rotten_tomatoes_movies/rotten_tomatoes_movies.csv",
    "SMS": "sms_spam/SMSSpamCollection",
    "emotion": "emotion/train.txt",
    "banking77": "banking77/train.csv",
}
LENGTHS: Final = (5, 10**6)
PLANTED: Final = 200
KINDS: Final = ("exact", "form", "word", "sentence", "cut 10%", "cut 33%")


def changed(text: str, kind: str, other: str, chance: random.Random) -> str:
    """Return a copy of a text, changed as a kind says."""
    words = text.split()
    if kind == "form":
        spaced = "  ".join(f"{word}," if chance.random() < 0.2 else word for word in words)
        return re.sub(r"[.!]", "", spaced).upper()
    if kind == "word":
        words[chance.randrange(len(words))] = chance.choice(other.split())
    if kind == "sentence":
        words += re.split(r"(?<=[.!?])\s", other)[0].split()[:12]
    if kind.startswith("cut"):
        words = words[: round(len(words) * (0.9 if kind == "cut 10%" else 0.67))]
    return " ".join(words)


def measure(
    name: str, seed: int, shown: int = 0, lengths: Sequence[int] = LENGTHS
) -> tuple[list[str], list[list[str]]]:
    """Return the cells of one set: rows, clusters and seconds, and those of each kind."""
    data = finetext.read(Path(os.environ["FINETEXT_DATA"]) / SETS[name])
    texts, labels = list(data.texts), list(data.labels)
    started = time.perf_counter()
    before = near_duplicates(texts)
    seconds = time.perf_counter() - started
    show(texts, before, shown)
    chance = random.Random(seed)
    alone = np.flatnonzero((np.bincount(before, minlength=len(texts)) == 1)[before])
    least, most = lengths
    drawn = [row for row in alone.tolist() if least <= len(texts[row].split()) <= most]
    drawn = chance.sample(drawn, min(PLANTED, len(drawn) // len(KINDS)) * len(KINDS))
    planted: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    new = list(texts)
    for place, row in enumerate(drawn):
        kind = KINDS[place % len(KINDS)]
        planted[kind].append((row, len(new)))
        new.append(changed(texts[row], kind, texts[chance.choice(drawn)], chance))
        labels.append(labels[row])
    after = near_duplicates(new)
    pairs = np.unique(np.stack([before, after[: len(texts)]]), axis=1).shape[1]
    false = len(np.unique(before)) - len(np.unique(after[: len(texts)]))
    assert pairs == len(np.unique(before)), "a cluster was divided by copies of other texts"
    table_ = datasets.Dataset.from_dict(
        {"id": list(map(str, range(len(new)))), "text": new, "label": labels}
    )
    splits = finetext.split(Dataset(table_, LabelScheme(tuple(sorted(set(labels))))), seed=seed)
    part = {row: of for of, rows in splits.items() for row in rows.ids}
    words = [len(texts[row].split()) for row in drawn]
    kinds = [
        [
            name,
            kind,
            f"{np.mean([after[a] == after[b] for a, b in of]):.3f}",
            f"{np.mean([part[str(a)] == part[str(b)] for a, b in of]):.3f}",
        ]
        for kind, of in planted.items()
    ]
    exact = len(texts) - len(np.unique(copies(texts)))
    near = len(texts) - len(np.unique(before)) - exact
    largest = int(np.bincount(before).max())
    cells = [name, f"{len(texts):,}", f"{np.median(words):.0f}", f"{exact:,}", f"{near:,}"]
    return [*cells, str(largest), str(false), f"{seconds:.1f} s"], kinds


def show(texts: list[str], clusters: np.ndarray, most: int) -> None:
    """Print pairs of near-duplicates that are not equal."""
    first = copies(texts)
    near = np.flatnonzero((clusters != np.arange(len(texts))) & (first == np.arange(len(texts))))
    for row in random.Random(0).sample(near.tolist(), min(most, len(near))):
        say(f"{texts[clusters[row]][:300]!r}\n  {texts[row][:300]!r}")


def duplicates(options: argparse.Namespace) -> None:
    """Measure every set and print the tables."""
    sets, kinds = [], []
    for name in getattr(options, "sets", SETS):
        more = getattr(options, "show", 0), getattr(options, "words", LENGTHS)
        of_set, of_kinds = measure(name, options.seed, *more)
        say(" | ".join(of_set))
        sets.append(of_set)
        kinds += of_kinds
    lengths = getattr(options, "words", LENGTHS)
    which = "" if tuple(lengths) == LENGTHS else f" of texts of {lengths[0]} to {lengths[1]} words"
    what = f"{PLANTED} copies of each kind in each set{which}, fewer where there are not so many."
    titles = ["set", "rows", "words (median)", "equal", "nearly equal", "largest", "false", "time"]
    finish(options, "Duplicates in one split", what, [
        table(["set", "planted copy", "in one cluster", "in one split"], kinds),
        table(titles, sets),
    ])  # fmt: skip


def main() -> None:
    """Measure the sets that are asked for."""
    made = parser(__doc__)
    made.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--show", type=int, default=0, help="pairs of near-duplicates to print (0)")
    made.add_argument("--words", nargs=2, type=int, default=LENGTHS, metavar="N",
                      help="least and most words of texts to copy (5 and any number)")  # fmt: skip
    duplicates(made.parse_args())


if __name__ == "__main__":
    main()
