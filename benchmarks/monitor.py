"""Does `finetext monitor` raise an alarm where something changed, and only there?

    python benchmarks/monitor.py alarms --record      # nothing changed: false alarms
    python benchmarks/monitor.py power --record       # planted drifts
    python benchmarks/monitor.py estimate --record    # accuracy without labels, and its interval
    python benchmarks/monitor.py sequential --record  # labels: false alarms over time, and delays

Models learn from some rows of the training files; reference and new rows are drawn, disjoint, from
the others. No test row of a set is touched.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Final

import numpy as np
from common import data_folder, finish, parser, say, share, table

import finetext
from finetext.core.arrays import Floats, Integers, logits_of, probabilities_of
from finetext.core.contracts import Classifier
from finetext.core.types import Predictions
from finetext.core.wording import CROSSED
from finetext.data.units import one_of_each
from finetext.diagnosis.monitoring import Monitoring, compare
from finetext.diagnosis.text_map import states_of, with_states
from finetext.diagnosis.watched_rows import Given, NewRows, rows_to_test
from finetext.evaluation.drift import estimated_accuracy
from finetext.evaluation.sequential import worse_test
from finetext.models.reference import Reference, States, drawn

LEARNED: Final = 1_500
POOL: Final = 4_000
OTHERS: Final = 1_000
TYPOS: Final = 0.1
"""Share of the letters that change places with the next one."""
SIZES: Final = ((300, 50), (300, 300), (1_000, 500))
REPEATED: Final = ((1_000, 10_000), (1_000, 200))
_GERMAN: Final = (
    ("Der Hund", "Die Nachbarin", "Mein Bruder", "Das Kind", "Ein alter Mann", "Die Lehrerin",
     "Unser Chef", "Niemand", "Meine Tante", "Der Zug", "Die ganze Stadt", "Ein Freund"),
    ("sieht", "vergisst", "sucht", "liebt", "versteht", "verkauft", "bringt", "findet", "hört",
     "braucht"),
    ("das rote Auto", "einen neuen Mantel", "die schwere Tasche", "jeden Morgen das Brot",
     "den langen Brief", "nichts davon", "ein Haus am See", "die leise Musik", "das Wetter",
     "seinen Schlüssel", "eine gute Idee", "den Weg nach Hause"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Rows:
    """Texts with what a model makes of them; `truths` and `states` may be unknown."""

    texts: Sequence[str]
    likely: Floats
    truths: Integers | None = None
    states: Floats | None = None

    def select(self, rows: Integers) -> Rows:
        """Return the rows at some positions."""
        texts = [self.texts[row] for row in rows]
        parts = (None if of is None else of[rows] for of in (self.truths, self.states))
        return Rows(texts, self.likely[rows], *parts)

    def then(self, other: Rows) -> Rows:
        """Return these rows and others, without labels."""
        states = None
        if self.states is not None and other.states is not None:
            states = np.concatenate([self.states, other.states])
        texts, likely = [*self.texts, *other.texts], np.concatenate([self.likely, other.likely])
        return Rows(texts, likely, None, states)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with rows that it did not learn from, and planted other rows by name."""

    name: str
    model: Classifier
    pool: Rows
    others: dict[str, Rows]

    def reference(self, rows: Rows) -> Reference:
        """Return rows as a model folder keeps them."""
        assert rows.truths is not None
        ids = tuple(map(str, range(len(rows.texts))))
        of = Predictions(ids, rows.truths, rows.likely, self.model.scheme, self.model.decision)
        found = Reference.of(of, rows.texts, "test")
        if rows.states is None:
            return found
        return replace(found, states=States.of(rows.states[drawn(of, rows.texts)]))

    def watched(self, reference: Reference, rows: Rows, seed: int) -> Monitoring:
        """Compare new rows, with the states that were computed before."""
        ids = tuple(map(str, range(len(rows.texts))))
        new = NewRows(ids, rows.texts, rows.likely)
        states = None if rows.states is None else rows.states[rows_to_test(reference, new, seed)[1]]
        return compare((self.name, "new"), reference, new, states, seed)


def misspelled(text: str, random: np.random.Generator) -> str:
    """Return a text with letters that changed places."""
    letters = list(text)
    for at in np.flatnonzero(random.random(max(0, len(letters) - 1)) < TYPOS):
        if letters[at].isalpha() and letters[at + 1].isalpha():
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)


def seen_by(model: Classifier, texts: Sequence[str], truths: Integers | None = None) -> Rows:
    """Return texts with probabilities and states of a model."""
    dense = with_states(model)
    states = None if dense is None else np.asarray(states_of(dense, texts).vectors)
    return Rows(texts, model.predict_proba(texts), truths, states)


def subject(name: str, method: finetext.Method, seed: int) -> Subject:
    """Fit a method on some rows of a training file, and let it see others."""
    data = rows_of_set(name)
    random = np.random.default_rng(seed)
    order = one_of_each(data.texts, seed)
    learned, rest = data.select(order[:LEARNED]), data.select(order[LEARNED : LEARNED + POOL])
    model = finetext.fit(learned.texts, learned.labels, method, seed=seed)
    with (data_folder() / "banking77/train.csv").open(encoding="utf-8") as file:
        queries = [row["text"] for row in csv.DictReader(file)]
    picked = [queries[row] for row in random.permutation(len(queries))[:OTHERS]]
    german = [" ".join(words) + "." for words in zip(*(random.choice(of, OTHERS) for of in _GERMAN),
                                                    strict=True)]  # fmt: skip
    typos = [misspelled(text, random) for text in rest.texts[:OTHERS]]
    targets = replace(rest, scheme=model.scheme).targets
    others = {"topic": picked, "language": german, "misspelled": typos}
    found = {what: seen_by(model, texts) for what, texts in others.items()}
    say(f"{name}: fitted, and {len(rest):,} rows seen")
    found["misspelled"] = replace(found["misspelled"], truths=targets[:OTHERS])
    return Subject(f"{name}, {method.name}", model, seen_by(model, rest.texts, targets), found)


@cache
def subjects(names: tuple[str, ...], seed: int) -> list[Subject]:
    """Return the models: with hashes, with states, and of several labels."""
    quick = finetext.Tfidf(inverse_regularisation=10.0, by_ratios=False)
    methods = {"emotion": quick, "films": finetext.Probe(inverse_regularisation=0.1)}
    return [subject(name, methods.get(name, quick), seed) for name in names]


def rows_of_set(name: str) -> finetext.Dataset:
    """Return the training rows of a set."""
    folder = data_folder()
    if name == "goemotions":
        labels = (folder / "goemotions/labels.txt").read_text().split()
        lines = (folder / "goemotions/train.tsv").read_text().split("\n")
        cells = [line.split("\t") for line in lines if line]
        given = [[labels[int(place)] for place in row[1].split(",")] for row in cells]
        return finetext.read({"text": [row[0] for row in cells], "label": given})
    return finetext.read(folder / FILES[name])


FILES: Final = {
    "emotion": "emotion/train.txt",
    "films": "rotten_tomatoes_movies/rotten_tomatoes_movies.csv",
}
MODELS: Final = ("emotion", "films", "goemotions")


def alarms(options: argparse.Namespace) -> None:
    """How often drift is said of rows that were drawn like the reference rows."""
    rows = []

    def count(name: str, draw: Callable[[int], Monitoring]) -> None:
        found: dict[str, list[bool]] = {"any": [], "texts": [], "labels": [], "confidence": []}
        for number in range(options.simulations):
            seen = draw(number)
            found["any"].append(bool(seen.drifted))
            for test in seen.tests:
                found[test.what].append(test.is_shown)
        rows.append([name, *(share(of) if of else "-" for of in found.values())])
        say(" | ".join(rows[-1]))

    for of in subjects(tuple(options.models), options.seed):
        for known, new in SIZES:
            name = f"{of.name}, {known:,} reference, {new:,} new"
            count(name, partial(alike, of, known, new, options.seed))
        for known, new in REPEATED:
            name = f"{of.name}, texts that repeat, {known:,} reference, {new:,} new"
            count(name, partial(repeated, of, known, new, options.seed))
    if "emotion" in options.models:
        method, data = (
            finetext.Tfidf(inverse_regularisation=10.0, by_ratios=False),
            FILES["emotion"],
        )
        dataset = finetext.read(data_folder() / data)
        name = f"emotion, {method.name}, 300 cross-validated reference, 300 new"
        count(name, partial(crossed, dataset, method, options.seed))
    what = (
        f"Reference and new rows are drawn from the same rows, {options.simulations} times; texts "
        "that repeat with replacement, the k-th text k times as rarely as the first one; "
        "cross-validated rows with a model for each draw, of five folds. Any: "
        "the verdict of the command, over its tests (Holm). In brackets: 95% interval of the "
        "simulation."
    )
    heads = ["model, rows", "any", "texts", "labels", "confidence"]
    finish(options, "Does monitor raise false alarms?", what, [table(heads, rows)])


def alike(of: Subject, known: int, new: int, seed: int, number: int) -> Monitoring:
    """Compare different rows of the pool."""
    order = np.random.default_rng([seed, known, new, number]).permutation(len(of.pool.texts))
    kept = of.reference(of.pool.select(order[:known]))
    return of.watched(kept, of.pool.select(order[known : known + new]), number)


def repeated(of: Subject, known: int, new: int, seed: int, number: int) -> Monitoring:
    """Compare rows that are drawn with replacement, few of them often."""
    chances = 1 / np.arange(1, len(of.pool.texts) + 1)
    random = np.random.default_rng([seed, known, new, number, 5])
    drawn = random.choice(len(chances), known + new, p=chances / chances.sum())
    return of.watched(
        of.reference(of.pool.select(drawn[:known])), of.pool.select(drawn[known:]), number
    )


def crossed(data: finetext.Dataset, method: finetext.Method, seed: int, number: int) -> Monitoring:
    """Compare out-of-fold rows of models of five folds with new ones of the model of all rows."""
    order = np.random.default_rng([seed, number, 9]).permutation(len(data))[:600]
    learned, new = data.select(order[:300]), data.select(order[300:])
    final = finetext.fit(learned.texts, learned.labels, method, seed=seed)
    likely = np.zeros((300, len(final.scheme)))
    for fold in range(5):
        out = np.arange(300) % 5 == fold
        rows = learned.select(np.flatnonzero(~out))
        model = finetext.fit(rows.texts, rows.labels, method, seed=seed)
        places = [final.scheme.names.index(name) for name in model.scheme.names]
        held = [text for text, is_out in zip(learned.texts, out, strict=True) if is_out]
        likely[np.ix_(out, places)] = model.predict_proba(held)
    ids = tuple(map(str, range(300)))
    targets = final.scheme.encode(learned.labels)
    of = Predictions(ids, targets, likely, final.scheme, final.decision)
    rows_now = NewRows(ids, new.texts, final.predict_proba(new.texts))
    return compare(
        (method.name, "new"), Reference.of(of, learned.texts, CROSSED), rows_now, None, number
    )


def planted(of: Subject, what: str, rows: Rows, more: Rows, seed: int) -> Rows:
    """Return new rows with a drift: `rows` were drawn without one, `more` are others like them."""
    n, random = len(rows.texts), np.random.default_rng(seed)
    kind, _, amount = what.partition(" ")
    if kind in of.others:
        other = of.others[kind]
        count = min(len(other.texts), round(n * float(amount.rstrip("%")) / 100))
        chosen = random.permutation(len(other.texts))[:count]
        return rows.select(np.arange(count, n)).then(other.select(chosen))
    if kind == "shift":  # one label twice as frequent
        assert more.truths is not None
        truths = more.truths
        has = truths == 0 if truths.ndim == 1 else truths[:, truths.sum(axis=0).argmax()] == 1
        often = min(2 * has.mean(), 0.9)
        some = round(n * often)
        rows_of = (np.flatnonzero(has)[:some], np.flatnonzero(~has)[: n - some])
        return more.select(random.permutation(np.concatenate(rows_of)))
    softer = logits_of(rows.likely, of.model.scheme.multilabel) / 2
    return replace(rows, likely=probabilities_of(softer, of.model.scheme.multilabel))


DRIFTS: Final = ("topic 10%", "topic 30%", "language 10%", "language 30%", "misspelled 30%",
                 "misspelled 100%", "shift", "collapse")  # fmt: skip


def power(options: argparse.Namespace) -> None:
    """How often planted drifts are said, and by which test."""
    rows, draws = [], max(1, options.simulations // 8)
    for of in subjects(tuple(options.models), options.seed):
        for drift in DRIFTS:
            cells = []
            for known, new in ((300, 100), (1_000, 500)):
                found, by = [], dict.fromkeys(("texts", "labels", "confidence"), 0)
                for number in range(draws):
                    key = [options.seed, known, new, number, 7]
                    order = np.random.default_rng(key).permutation(len(of.pool.texts))
                    kept = of.reference(of.pool.select(order[:known]))
                    same = of.pool.select(order[known : known + new])
                    changed = planted(of, drift, same, of.pool.select(order[known:]), number)
                    seen = of.watched(kept, changed, number)
                    found.append(bool(seen.drifted))
                    for what in seen.drifted:
                        by[what] += 1
                parts = ", ".join(f"{what} {count / draws:.0%}" for what, count in by.items())
                cells.append(f"{np.mean(found):.0%} ({parts})")
            rows.append([f"{of.name}: {drift}", *cells])
            say(" | ".join(rows[-1]))
    what = (
        "Of the new rows a share is replaced: by online-banking queries (topic), by German "
        f"sentences (language), or by rows with {TYPOS:.0%} of the letters out of place "
        "(misspelled). Shift: one label is twice as frequent, of GoEmotions "
        "the most frequent one. "
        f"Collapse: logits are halved. {draws} draws each; in brackets: the tests that show it."
    )
    heads = ["model: drift", "300 reference, 100 new", "1,000 and 500"]
    finish(options, "Does monitor notice planted drifts?", what, [table(heads, rows)])


def estimate(options: argparse.Namespace) -> None:
    """Whether the interval of the accuracy without labels holds the truth."""
    rows = []
    for of in subjects(tuple(options.models), options.seed):
        for drift in ("none", "shift", "misspelled"):
            for known, new in ((300, 300), (1_000, 1_000)):
                held, errors, widths = [], [], []
                for number in range(options.simulations):
                    random = np.random.default_rng([options.seed, known, new, number, 3])
                    order = random.permutation(len(of.pool.texts))
                    before, more = of.pool.select(order[:known]), of.pool.select(order[known:])
                    some, truth = more.select(np.arange(new)), accuracy(of, of.pool)
                    if drift == "shift":
                        some = planted(of, drift, some, more, number)
                        truth = accuracy(of, some)
                    elif drift != "none":
                        typos = of.others[drift]
                        some = typos.select(random.permutation(OTHERS)[:new])
                        truth = accuracy(of, typos)
                    own = given(of, before)
                    right = own.right(before.truths) if before.truths is not None else None
                    assert right is not None
                    found = estimated_accuracy(own.confidence, right, given(of, some).confidence)
                    held.append(found.low <= truth <= found.high)
                    errors.append(found.value - truth)
                    widths.append(found.high - found.low)
                name = f"{of.name}: {drift}, {known:,} reference, {new:,} new"
                rows.append([name, share(held), f"{np.mean(errors):+.3f}",
                             f"{np.sqrt(np.mean(np.square(errors))):.3f}",
                             f"{np.mean(widths):.3f}"])  # fmt: skip
                say(" | ".join(rows[-1]))
    what = (
        f"{options.simulations} draws. The truth is the accuracy on all rows of the kind; of a "
        "shift of labels, on the rows drawn; of several labels, the share of rows that have all "
        "right. In brackets: 95% interval of the simulation."
    )
    heads = ["model: drift, rows", "interval holds the truth", "mean error", "RMS error", "width"]
    finish(options, "Is the accuracy without labels right?", what, [table(heads, rows)])


def given(of: Subject, rows: Rows) -> Given:
    """Return labels and confidence of rows."""
    return Given.of(rows.likely, of.model.scheme, of.model.decision)


def accuracy(of: Subject, rows: Rows) -> float:
    """Return the accuracy on labeled rows, of several labels that of all of them together."""
    assert rows.truths is not None
    return float(given(of, rows).right(rows.truths).mean())


def sequential(options: argparse.Namespace) -> None:
    """False alarms over a horizon, and how many labels it takes to notice a drop."""
    rows, horizon, truth = [], 5_000, 0.85
    for known in (300, 1_000, 3_000):
        for tolerance in (0.0, 0.02):
            for drop, start in ((0.0, 0), (0.05, 0), (0.1, 0), (0.05, 2_000), (0.1, 2_000)):
                draws = options.simulations * (5 if not drop else 1)
                found = []
                for number in range(draws):
                    random = np.random.default_rng([options.seed, known, number, 11])
                    before = random.random(known) < truth
                    often = np.where(np.arange(horizon) < start, truth, truth - drop)
                    test = worse_test(before, random.random(horizon) < often, tolerance=tolerance)
                    assert test is not None
                    found.append(test.worse_at)
                late = sorted(
                    at - start if at is not None and at > start else horizon for at in found
                )
                cell = share([at is not None for at in found])
                quarter, middle, most = (late[int(len(late) * of)] for of in (0.25, 0.5, 0.75))
                ends = [
                    f"{of:,}" if of < horizon - start else "later" for of in (quarter, middle, most)
                ]
                name = f"{known:,} reference rows, tolerance {tolerance:g}: "
                name += (
                    f"{100 * drop:.0f} points worse from row {start + 1:,}" if drop else "no change"
                )
                rows.append([name, cell, *(ends if drop else ["-"] * 3)])
                say(" | ".join(rows[-1]))
    what = (
        f"Rows of a model that is right on {truth:.0%}, drawn at random, {horizon:,} of them; "
        f"{options.simulations} draws, {5 * options.simulations} without a change. Delay: labeled "
        "rows after the change. In brackets: 95% interval of the simulation."
    )
    heads = ["rows", "alarm by the end", "delay: a quarter by", "half by", "three quarters by"]
    finish(options, "Does monitor say when a model became worse?", what, [table(heads, rows)])


SECTIONS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "alarms": alarms,
    "power": power,
    "estimate": estimate,
    "sequential": sequential,
}


def main() -> None:
    """Run sections; models are fitted once."""
    made = parser(__doc__)
    made.add_argument("sections", nargs="+", choices=SECTIONS)
    made.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    made.add_argument("--simulations", type=int, default=200, help="draws of each kind (200)")
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    for section in options.sections:
        SECTIONS[section](options)


if __name__ == "__main__":
    main()
