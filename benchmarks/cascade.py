"""Does a cascade lose more than is certified, and what does it save?

    FINETEXT_DATA=../shared/data python benchmarks/cascade.py certificate
    FINETEXT_DATA=../shared/data python benchmarks/cascade.py sets --threads 1

`certificate` draws held-out rows from populations whose losses are known, certifies a threshold on
each draw, and counts the draws in which the cascade with that threshold loses more than it may. The
populations are made up, so that the loss crosses what is allowed where the search would stop, or
are 6,000 predictions of models of emotion tweets and of film snippets, which it keeps in the folder
of ledgers. `power` compares tests by the share of draws in which half of the texts are kept.

`sets` trains cheap and expensive methods on up to 2,000 rows of four sets, makes a cascade of them,
and measures on test rows what it loses, what it sends on, and its rows per second against those of
the expensive method alone, by turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import common
import numpy as np

import finetext
from finetext.core.contracts import FitContext
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.calibration import calibrated
from finetext.evaluation.cascading import HeldOut, betting_p_value, exact_p_value
from finetext.evaluation.proportions import exact_interval

DRAWS: Final = 200
GROUP: Final = 5
POPULATION: Final = 6_000
TWO: Final = LabelScheme(("a", "b"))
SETS: Final[dict[str, tuple[str, dict[str, Any], dict[str, Any]]]] = {
    "emotion": ("emotion", {}, {"finetune": finetext.Finetune(epochs=2, max_length=64)}),
    "films": (
        "rotten_tomatoes_movies/rotten_tomatoes_movies.csv", {},
        {"finetune": finetext.Finetune(epochs=2, max_length=64)},
    ),
    "imdb": ("imdb", {"text": "text", "label": "label"}, {"probe": finetext.Probe(max_length=128)}),
    "banking77": ("banking77", {}, {"probe": finetext.Probe()}),
}  # fmt: skip
REAL: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "emotion": ("emotion/train.txt", {}),
    "films": common.SOURCES["films"],
}
ROWS: Final = 2_000
LONG: Final = 1_200
"""Rows to learn from, to certify on and to test on; fewer where texts are long."""
ROUNDS: Final = 3
TIMED: Final = 500
"""Test texts that are predicted by turns."""


class Population:
    """Rows, or groups of rows, with the confidence and the loss of each."""

    def __init__(self, cheap: Predictions, expensive: Predictions) -> None:
        """Take what both predict of the same rows."""
        self.cheap, self.expensive = cheap, expensive
        whole = HeldOut.of(cheap, expensive)
        self.confidence, self.losses = whole.confidence, whole.losses
        groups = cheap.groups or cheap.ids
        self.unit = np.unique(groups, return_inverse=True)[1]
        self.rows = [np.flatnonzero(self.unit == at) for at in range(int(self.unit.max()) + 1)]

    def loss(self, threshold: float) -> float:
        """Return what a cascade loses: the mean over units of the mean of their rows."""
        kept = np.where(self.confidence >= threshold, self.losses, 0)
        return float((np.bincount(self.unit, kept) / np.bincount(self.unit)).mean())

    def draw(self, units: int, random: np.random.Generator) -> HeldOut:
        """Return units drawn with replacement, each of which is another one."""
        drawn = random.integers(len(self.rows), size=units)
        rows = np.concatenate([self.rows[unit] for unit in drawn])
        names = None
        if self.cheap.groups is not None:
            sizes = [len(self.rows[unit]) for unit in drawn]
            names = tuple(map(str, np.repeat(np.arange(units), sizes).tolist()))
        ids = tuple(map(str, range(len(rows))))
        one, other = (
            replace(of.select(rows), ids=ids, groups=names) for of in (self.cheap, self.expensive)
        )
        return HeldOut.of(one, other)


def made_up(
    kind: str, most: float, random: np.random.Generator, rows: int = 200_000, grouped: bool = False
) -> Population:
    """Return rows of rising confidence, of which the least sure ones lose too much."""
    sure = random.random(rows)
    if kind == "at once":  # all that is kept loses a little more than it may
        harm, gain = np.full(rows, 1.02 * most / 0.05), np.zeros(rows)
    elif kind == "at half":  # nothing in the surer half, too much in the next twentieth
        harm, gain = np.where(sure < 0.5, 1.02 * most / 0.05, 0.0), np.zeros(rows)
    elif kind == "slowly":  # 0.4 of what is allowed in the surest half, all of it at 0.55
        harm = np.where(sure > 0.5, 0.8 * most, np.where(sure > 0.45, 12.5 * most, 0.3))
        gain = np.zeros(rows)
    else:  # both are right alone, here and there
        harm = np.where(sure > 0.5, 0.02 + most * 1.02 / 0.5, 0.2)
        gain = np.full(rows, 0.02)
    draw = random.random(rows)
    if grouped:  # rows of a group share their confidence and their fate in half of the groups
        alike = np.repeat(random.random(rows // GROUP) < 0.5, GROUP)
        first = np.repeat(np.arange(0, rows, GROUP), GROUP)
        sure, draw = (np.where(alike, of[first], of) for of in (sure, draw))
        harm, gain = (np.where(alike, of[first], of) for of in (harm, gain))
    only_expensive, only_cheap = draw < harm, draw > 1 - gain
    likely = 0.51 + 0.48 * sure
    cheap = np.stack([likely, 1 - likely], axis=1)
    cheap[only_expensive] = cheap[only_expensive][:, ::-1]
    expensive = np.tile([0.9, 0.1], (rows, 1))
    expensive[only_cheap] = [0.1, 0.9]
    ids, targets = tuple(map(str, range(rows))), np.zeros(rows, dtype=np.int64)
    names = tuple(map(str, (np.arange(rows) // GROUP).tolist())) if grouped else None
    one, other = (Predictions(ids, targets, of, TWO, groups=names) for of in (cheap, expensive))
    return Population(one, other)


def real(name: str, keep: Path) -> Population:
    """Return held-out predictions of TF-IDF and a fine-tuned encoder, of groups where known."""
    path, settings = REAL[name]
    files = [keep / f"{name}-{of}.npz" for of in ("cheap", "expensive")]
    data = finetext.read(common.data_folder() / path, **settings)
    sizes = finetext.SplitSettings(train=2_000, validation=500, test=POPULATION)
    parts = finetext.split(data, sizes, seed=0)
    context = FitContext(device="cpu", metric="accuracy")
    methods: tuple[Any, ...] = (finetext.Tfidf(), finetext.Finetune(epochs=2, max_length=64))
    found = []
    for method, file in zip(methods, files, strict=True):
        if not file.is_file():
            common.say(f"{name}: {method.name}")
            model = method.fit(parts.train, parts.validation, context)
            model = calibrated(model, parts.validation)[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, likely=model.predict_proba(parts.test.texts))
        found.append(np.load(file)["likely"])
    groups = parts.test.groups
    ids, targets = tuple(parts.test.ids), parts.test.targets
    names = None if groups is None else tuple(groups)
    scheme = parts.test.scheme
    assert scheme is not None
    one, other = (Predictions(ids, targets, of, scheme, groups=names) for of in found)
    return Population(one, other)


def trials(
    population: Population, units: int, most: float, candidates: int = 1
) -> tuple[int, int, list[float]]:
    """Return in how many draws a threshold was certified, and lost more; and what was sent on."""
    random, wrong, sent = np.random.default_rng(1), 0, list[float]()
    for _ in range(DRAWS):
        found = population.draw(units, random).certify(most, candidates)
        if found is not None:
            wrong += population.loss(found.threshold) > most
            sent.append(float((population.confidence < found.threshold).mean()))
    return len(sent), wrong, sent


def certificate(options: argparse.Namespace) -> None:
    """Count the draws in which a certificate is wrong."""
    rows = list[list[str]]()
    for what, population, units, most in _populations(options.keep):
        certified, wrong, sent = trials(population, units, most)
        low, high = exact_interval(wrong / DRAWS, DRAWS)
        shown = f"{100 * wrong / DRAWS:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"
        middle = f"{median(sent):.0%}" if sent else "-"
        unit = "groups" if population.cheap.groups is not None else "rows"
        rows.append([what, f"{units:,} {unit}", f"{100 * most:g}", f"{certified}", middle, shown])
        common.say(" | ".join(rows[-1]))
    titles = ["population", "held out", "points", "certified of 200", "sent on", "lost more"]
    print("\n".join(common.table(titles, rows)))


def _populations(keep: Path) -> Iterator[tuple[str, Population, int, float]]:
    random = np.random.default_rng(0)
    for most, units in ((0.005, 800), (0.005, 3_000), (0.02, 500)):
        for kind in ("at once", "at half", "slowly", "both ways"):
            yield f"made up: {kind}", made_up(kind, most, random), units, most
    for kind in ("at half", "slowly"):
        yield f"made up, in groups: {kind}", made_up(kind, 0.02, random, 100_000, True), 400, 0.02
    for name, units, limits in (("emotion", 1_500, (0.005, 0.02)), ("films", 300, (0.02, 0.05))):
        population = real(name, keep)
        for most in limits:
            yield name, population, units, most


def power(options: argparse.Namespace) -> None:
    """Print how often three tests certify a cascade that loses a part of what is allowed."""
    random, rows = np.random.default_rng(2), list[list[str]]()
    tests: dict[str, Callable[[int, int, int, float], float]] = {
        "exact": exact_p_value,
        "betting": lambda a, b, n, most: betting_p_value(
            np.repeat([1.0, -1.0, 0.0], [a, b, n - a - b]), most
        ),
        "harmed rows alone": lambda a, b, n, most: _binomial(a, n, most),
    }
    cases = [(units, most, lost, gain) for units, most in ((800, 0.005), (3_000, 0.005),
             (500, 0.02)) for lost, gain in ((0.0, 0.0), (0.2, 0.002), (0.0, 0.01))]  # fmt: skip
    for units, most, lost, gain in cases:
        chances = [lost * most + gain, gain, 1 - lost * most - 2 * gain]
        counts = random.multinomial(units, chances, size=DRAWS)
        shares = [np.mean([of(int(a), int(b), units, most) <= 0.05 for a, b, _ in counts])
                  for of in tests.values()]  # fmt: skip
        told = [f"{units:,}", f"{100 * most:g}", f"{100 * lost * most:g}", f"{100 * gain:g}%"]
        rows.append([*told, *(f"{share:.0%}" for share in shares)])
    titles = ["rows", "points allowed", "points lost", "rows gained and harmed alike", *tests]
    print("\n".join(common.table(titles, rows)))


def _binomial(harmed: int, rows: int, most: float) -> float:
    from scipy.special import bdtr

    return float(bdtr(harmed, rows, most))


def sets(options: argparse.Namespace) -> None:
    """Train, cascade and measure on test rows of four sets."""
    rows = list[list[str]]()
    for name in options.sets:
        path, read, expensive = SETS[name]
        with tempfile.TemporaryDirectory() as work:
            rows += _of_set(name, path, read, expensive, Path(work), options)
    titles = ["set", "cheap", "expensive", "points", "sent on, held-out", "sent on, test",
              "points lost, test", "times as fast"]  # fmt: skip
    print("\n".join(common.table(titles, rows)))
    print(common.surroundings(options.threads, "cpu"))


def _of_set(
    name: str, path: str, read: dict[str, Any], expensive: dict[str, Any], work: Path,
    options: argparse.Namespace,
) -> Iterator[list[str]]:  # fmt: skip
    rows = LONG if name == "imdb" else ROWS
    sizes = finetext.SplitSettings(train=rows, validation=rows, test=rows)
    methods = {"tfidf": finetext.Tfidf(), "static": finetext.Static(), **expensive}
    recipe = finetext.Recipe(
        source=str(common.data_folder() / path), read=finetext.ReadSettings(**read), split=sizes,
        methods=methods, refit=False, metric="accuracy",
    )  # fmt: skip
    run = finetext.train(recipe, out=work / "run", listener=finetext.Listener())
    (slow,) = expensive
    for points in options.points:
        try:
            made = finetext.cascade(run, work / f"{points}", max_loss=points, method=slow)
        except DataError as error:
            common.say(f"{name}: {error}")
            yield [name, "-", slow, f"{points:g}", *4 * ["-"]]
            continue
        times = _times(finetext.load(made.folder, "cpu"), run.texts(slow)[:TIMED])
        assert made.tested is not None
        assert made.tested_sent is not None
        low, high = made.tested.low, made.tested.high
        lost = f"{100 * made.tested.value:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
        sent = made.certificate.sent.value, made.tested_sent.value
        yield [name, made.cheap, slow, f"{points:g}", *(f"{of:.1%}" for of in sent), lost, times]


def _times(cascade: Any, texts: list[str]) -> str:
    """Return how many times as fast the cascade is as its expensive part, by turns."""
    ratios, alone = list[float](), cascade.expensive.classifier
    for model in (cascade, alone):
        model.predict_proba(texts[:64])
    for _ in range(ROUNDS):
        seconds = []
        for model in (cascade, alone):
            start = time.perf_counter()
            model.predict_proba(texts)
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[1] / seconds[0])
    return f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def main() -> None:
    """Run one of the measurements."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("what", choices=("certificate", "power", "sets"))
    options.add_argument("--keep", type=Path, default=Path("runs/ledgers/cascade"))
    options.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    options.add_argument("--points", nargs="+", type=float, default=[0.5, 2.0])
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    {"certificate": certificate, "power": power, "sets": sets}[given.what](given)


if __name__ == "__main__":
    main()
