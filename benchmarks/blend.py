"""What does `blend` add to the best of the methods that it combines, and does it know when?

    FINETEXT_DATA=../shared/data python benchmarks/blend.py --threads 1

TF-IDF, the probe and a fine-tuned encoder (three epochs, 128 tokens) learn from the same training
rows. Their predictions of other training rows are kept in the folder of ledgers, so that variants
are compared in seconds: with and without a prior for the weights, and with and without the decision
to keep the blend. Validation rows of various numbers are drawn from those rows, and the rest of
them judges. No test row is read.
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import common
import numpy as np

import finetext
from finetext.core.contracts import FitContext, predict

SETS: Final = ("emotion", "sst2", "films", "banking77", "sms", "goemotions", "imdb")
SIZES: Final = (500, 2000)
LONG: Final = {"imdb": (500,)}
"""Sets of long texts, and the sizes that they are measured at."""
HELD_OUT: Final = 2_000
MEMBERS: Final = ("tfidf", "probe", "finetune")


def rows_of(name: str, rows: int, seed: int) -> tuple[finetext.Dataset, ...]:
    """Training rows, rows that choose a checkpoint, and others, of the training part of a set."""
    folder, random = common.data_folder(), np.random.default_rng(seed)
    data = _read(name, folder)
    choose = round(rows * 0.15 / 0.7)
    if data.groups is None:
        order = random.permutation(len(data))
        ends = np.cumsum([rows, choose, HELD_OUT])
        return tuple(data.select(np.sort(of)) for of in np.split(order, ends)[:3])
    groups = np.array(data.groups)
    ranks = {group: rank for rank, group in enumerate(random.permutation(np.unique(groups)))}
    order = np.argsort([ranks[group] for group in groups], kind="stable")
    number = np.unique(groups[order], return_inverse=True)[1]
    cuts = [0]
    for size in (rows, choose, HELD_OUT):
        end = cuts[-1] + size
        while end < len(order) and number[end] == number[end - 1]:
            end += 1  # whole groups
        cuts.append(end)
    return tuple(data.select(np.sort(order[a:b])) for a, b in pairwise(cuts))


def _read(name: str, folder: Path) -> finetext.Dataset:
    if name == "sst2":
        lines = (folder / "sst2/sentences/stsa.binary.train").read_text().splitlines()
        pairs = [line.split(" ", 1) for line in lines]
        return finetext.read(([text for _, text in pairs], [label for label, _ in pairs]))
    if name == "sms":
        lines = (folder / "sms_spam/SMSSpamCollection").read_text().split("\n")
        pairs = [line.split("\t", 1) for line in dict.fromkeys(lines) if line]
        return finetext.read(([text for _, text in pairs], [label for label, _ in pairs]))
    if name == "goemotions":
        names = (folder / "goemotions/labels.txt").read_text().split()
        cells = [line.split("\t") for line in
                 (folder / "goemotions/train.tsv").read_text().split("\n") if line]  # fmt: skip
        labels = [[names[int(one)] for one in row[1].split(",")] for row in cells]
        return finetext.read(([row[0] for row in cells], labels))
    settings: dict[str, Any] = {"group": "movie"} if name == "films" else {}
    path = {
        "emotion": "emotion/train.txt",
        "banking77": "banking77/train.csv",
        "films": "rotten_tomatoes_movies/rotten_tomatoes_movies.csv",
        "imdb": "imdb/train.csv.gz",
    }[name]
    if name == "imdb":
        settings = {"text": "text", "label": "label"}
    return finetext.read(folder / path, settings=finetext.ReadSettings(**settings))


def keep_members(name: str, rows: int, seed: int, folder: Path) -> Path:
    """Fit the members and keep their predictions; what is there is not done again."""
    path = folder / f"{name}-{rows}-{seed}.npz"
    if path.exists():
        return path
    train, choose, held_out = rows_of(name, rows, seed)
    context = FitContext(seed=seed, device="cpu", metric="macro_f1")
    found: dict[str, Any] = {"choose": choose.targets, "held_out": held_out.targets}
    if held_out.groups is not None:
        found |= {"choose_groups": choose.groups, "held_out_groups": held_out.groups}
    methods = {
        "tfidf": finetext.Tfidf(),
        "probe": finetext.Probe(max_length=128),
        "finetune": finetext.Finetune(epochs=3, max_length=128),
    }
    for of, method in methods.items():
        began = time.perf_counter()
        fitted = method.fit(train, choose, context)
        found[f"{of}_seconds"] = time.perf_counter() - began
        found[f"{of}_choose"] = predict(fitted, choose).probabilities.astype(np.float32)
        found[f"{of}_held_out"] = predict(fitted, held_out).probabilities.astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **found)
    return path


def main() -> None:
    """Keep the members' predictions."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    place = options.ledgers / "blend"
    for size in SIZES:
        for seed in range(options.seeds):
            for name in options.data:
                if size in LONG.get(name, SIZES):
                    began = time.perf_counter()
                    keep_members(name, size, seed, place)
                    common.say(f"{name} {size} {seed}: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
