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
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

import common
import numpy as np

import finetext
from finetext.core.contracts import FitContext, predict
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.blending import PRIOR_ROWS, Weighing, blended, fit_weights, gain_of
from finetext.evaluation.calibration import fit_temperature, ruled, with_temperature
from finetext.evaluation.deciding import Deciding
from finetext.evaluation.metrics import log_loss, metric_for

SETS: Final = ("emotion", "sst2", "films", "banking77", "sms", "goemotions", "imdb")
SIZES: Final = (500, 2000)
LONG: Final = {"imdb": (500,)}
"""Sets of long texts, and the sizes that they are measured at."""
HELD_OUT: Final = 2_000
MEMBERS: Final = ("tfidf", "probe", "finetune")
LENGTH: Final = 128
ROWS: Final = (20, 60, 107, 214, 429, 900)
"""Validation rows that are drawn."""
DRAWS: Final = 4
PRIORS: Final = {"no prior": 1e-6, "prior of 10 rows": PRIOR_ROWS}
"""Ways to fit the weights, the last of which is that of the method."""


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
        "probe": finetext.Probe(max_length=LENGTH),
        "finetune": finetext.Finetune(epochs=3, max_length=LENGTH),
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


def known(path: Path) -> dict[str, Predictions]:
    """Predictions of the rows that judge, by member, as its model made them."""
    kept = np.load(path)
    targets = kept["held_out"]
    scheme = LabelScheme(
        tuple(map(str, range(kept["tfidf_held_out"].shape[1]))), multilabel=targets.ndim == 2
    )
    groups = tuple(kept["held_out_groups"]) if "held_out_groups" in kept else None
    ids = tuple(map(str, range(len(targets))))
    found = {}
    for name in MEMBERS:
        likely = kept[f"{name}_held_out"].astype(np.float64)
        if not scheme.multilabel:
            likely /= likely.sum(axis=1, keepdims=True)
        found[name] = Predictions(ids, targets, likely, scheme, groups=groups)
    return found


class Drawn(NamedTuple):
    """What a blend adds to its best member on the rows that judge, and whether it is kept."""

    gain: float
    loss: float
    is_kept: bool


def drawn(
    members: dict[str, Predictions], rows: int, prior: float, random: np.random.Generator
) -> Drawn:
    """Fit weights on validation rows that are drawn, decide, and judge on the others."""
    first = members["tfidf"]
    units = np.arange(len(first)) if first.groups is None else np.array(first.groups)
    rank = {of: at for at, of in enumerate(random.permutation(np.unique(units)))}
    order = np.argsort([rank[of] for of in units], kind="stable")
    chosen, judged = order[:rows], order[rows:]
    metric = metric_for("macro_f1" if first.scheme.multilabel else "accuracy", first.scheme)
    validation, others = {}, {}
    for name, of in members.items():
        temperature = fit_temperature(of.select(chosen))
        validation[name] = ruled(of.select(chosen), temperature)
        scaled = with_temperature(of.select(judged), temperature)
        others[name] = replace(scaled, decision=validation[name].decision)
    gain, cross = gain_of(validation, Deciding(), metric, Weighing(prior))
    temperature = fit_temperature(cross)
    blend = blended(others, fit_weights(validation, prior))
    rule = ruled(cross, temperature).decision
    blend = replace(with_temperature(blend, temperature), decision=rule)
    best = others[gain.best]
    return Drawn(metric(blend) - metric(best), log_loss(blend) - log_loss(best), gain.is_supported)


def main() -> None:
    """Keep the members' predictions, compare the variants, and print the tables."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--kept", action="store_true", help="compare what is kept already, and fit nothing"
    )
    options = parser.parse_args()
    place, paths = options.ledgers / "blend", list[Path]()
    for size in SIZES:
        for seed in range(options.seeds):
            for name in options.data:
                if size not in LONG.get(name, SIZES):
                    continue
                if not options.kept:
                    common.say(f"{name}, {size} rows, seed {seed}")
                    keep_members(name, size, seed, place)
                if (path := place / f"{name}-{size}-{seed}.npz").exists():
                    paths.append(path)
    found: dict[tuple[str, str, int], list[Drawn]] = {}
    for path in paths:
        members, random = known(path), np.random.default_rng(0)
        common.say(path.stem)
        for rows in ROWS:
            for way, prior in PRIORS.items():
                draws = [drawn(members, rows, prior, random) for _ in range(DRAWS)]
                found[path.stem, way, rows] = draws
    what = (
        f"{len(paths)} fits of {', '.join(MEMBERS)} on 500 or 2,000 rows; validation rows drawn "
        f"{DRAWS} times from {HELD_OUT:,} others, of which the rest judges; accuracy, of "
        "GoEmotions macro F1."
    )
    common.finish(options, "Blends of methods", what, [by_rows(found), by_set(found)])


def by_rows(found: dict[tuple[str, str, int], list[Drawn]]) -> list[str]:
    """A line for each way and number of validation rows."""
    lines = []
    for way in PRIORS:
        for rows in ROWS:
            every = [of for key, draws in found.items() if key[1:] == (way, rows) for of in draws]
            kept = [of for of in every if of.is_kept]
            lines.append([
                way, f"{rows}", _points(every), f"{fmean(of.loss for of in every):+.3f}",
                f"{sum(of.gain < -0.005 for of in every)} of {len(every)}",
                f"{len(kept) / len(every):.0%}", _points(kept),
                f"{sum(of.gain < -0.005 for of in kept)} of {len(kept)}",
            ])  # fmt: skip
    titles = [
        "weights", "validation rows", "gain, always", "log loss", "worse by 0.5 or more", "kept",
        "gain, kept", "worse by 0.5 or more, kept",
    ]  # fmt: skip
    return common.table(titles, lines)


def by_set(found: dict[tuple[str, str, int], list[Drawn]]) -> list[str]:
    """A line for each set and number of training rows: gains, and how often the blend is kept."""
    way, lines = list(PRIORS)[-1], []
    for name in dict.fromkeys(key[0].rpartition("-")[0] for key in found):
        cells = []
        for rows in ROWS:
            draws = [
                of
                for key, its in found.items()
                if key[0].rpartition("-")[0] == name and key[1:] == (way, rows)
                for of in its
            ]
            cells.append(f"{_points(draws)}, {sum(of.is_kept for of in draws)}/{len(draws)}")
        lines.append([name, *cells])
    return common.table(["set and training rows", *map(str, ROWS)], lines)


def _points(draws: list[Drawn]) -> str:
    return f"{100 * fmean(of.gain for of in draws):+.1f}" if draws else "-"


if __name__ == "__main__":
    main()
