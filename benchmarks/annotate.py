"""How many labels does the studio need, against labels of randomly chosen texts?

    FINETEXT_DATA=../shared/data python benchmarks/annotate.py
    FINETEXT_DATA=../shared/data python benchmarks/annotate.py --sets films imdb --split validation

A simulated annotator gives the true label of each text that it is shown. Texts come from the code
of the studio: one in five from the random stream, the others as it ranks them, with a new ranking
after every 5 labels (after 5% of the labels, once these are more). Random labels come in random
order. Both keep the same share of labels, one in five, as their test set, and learn from the
others; "random, all" learns from every random label and has no test set. After each step a linear
probe on MiniLM states is scored on test rows that nobody labels. The aim is 95% of the accuracy of
the same probe on the labels of the whole pool, and the first number of labels that reaches it is
found by interpolation. How texts are chosen was developed on `--sets films imdb goemotions`, whose
rows with several labels are left out here.
"""

from __future__ import annotations

import math
import time
from statistics import fmean, stdev
from typing import Any, Final

import common
import minutes_data
import numpy as np
from common import Answer, Job, Ledger
from record import commit

import finetext
from finetext.core.arrays import Floats, Integers
from finetext.core.types import LabelScheme
from finetext.studio.learner import ranking_of
from finetext.studio.pool import Known
from finetext.studio.selection import Reference
from finetext.studio.state_probe import Labeled, Standard, StateProbe, can_learn

DEFAULT: Final = ("emotion", "sst2", "bbc", "banking77", "sms")
RANDOM_SHARE: Final = 0.2
AIM: Final = 0.95
STEPS: Final = tuple(dict.fromkeys(int(10 * 1.12**power) for power in range(60)))
"""Labels after which the probe is scored."""
ARMS: Final = ("studio", "random", "random, all")


def main() -> None:
    """Simulate all sets and seeds, and print the table."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--sets", nargs="+", default=DEFAULT, choices=minutes_data.SETS)
    parser.add_argument("--seeds", type=int, default=10, help="draws of the pool (10)")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--evaluated", type=int, default=2_000, help="rows at most (2000)")
    parser.add_argument("--pool", type=int, default=6_000, help="texts to label at most (6000)")
    parser.add_argument("--most", type=int, default=2_400, help="labels at most (2400)")
    parser.add_argument("--version", default=commit(), help="of finetext in the ledger")
    options = parser.parse_args()
    ledger, rows, ratios = Ledger("annotate", options.ledgers), [], []
    for name in options.sets:
        answers = []
        for seed in range(options.seeds):
            job: Job = {"set": name, "seed": seed, "split": options.split, "pool": options.pool}
            job |= {"evaluated": options.evaluated, "most": options.most}
            job |= {"version": options.version}
            answers.append(
                ledger.get(job, lambda job=job: common.alone(__file__, job, options.threads))
            )
            common.say(
                f"{name}, seed {seed}: {needed(answers[-1])}, {answers[-1]['seconds']:.0f} s"
            )
        rows.append(row(name, answers))
        ratios.append([log_ratio(answer, "random") for answer in answers])
    means = [fmean(each) for each in zip(*ratios, strict=True)]
    rows.append(["mean of the sets", "", "", "", "", _ratio(means), ""])
    titles = ["set", "full accuracy", *(f"labels: {arm}" for arm in ARMS)]
    titles += ["studio / random", "studio / random, all"]
    what = (
        f"MiniLM; labels to reach {AIM:.0%} of the accuracy of all labels, of at most "
        f"{options.pool:,} texts; means of {options.seeds} seeds with their spread, ratios as "
        f"geometric means with 95% intervals; up to {options.evaluated:,} {options.split} rows."
    )
    common.finish(options, "Labels that the studio needs", what, [common.table(titles, rows)])


def row(name: str, answers: list[Answer]) -> list[str]:
    """Return the row of a set."""
    counts = [common.mean_and_spread([needed(of)[arm] for of in answers], 0) for arm in ARMS]
    full = common.mean_and_spread([of["full"] for of in answers])
    both = [_ratio([log_ratio(of, arm) for of in answers]) for arm in ARMS[1:]]
    return [name, full, *counts, *both]


def needed(answer: Answer) -> dict[str, float]:
    """Return for each arm the first number of labels that reaches the aim; the most if none.

    Scores are made to rise with labels first (isotonic regression), as a curve that goes up and
    down would otherwise reach the aim by luck.
    """
    from sklearn.isotonic import isotonic_regression

    found = {}
    for arm, points in answer["scores"].items():
        labels, scores = np.array(points, dtype=np.float64).T
        rising = isotonic_regression(scores)
        aim = AIM * answer["full"]
        found[arm] = float(labels[-1])
        if rising[-1] >= aim:
            first = int(np.argmax(rising >= aim))
            known = slice(max(first - 1, 0), first + 1)
            found[arm] = float(np.exp(np.interp(aim, rising[known], np.log(labels[known]))))
    return found


def log_ratio(answer: Answer, other: str) -> float:
    """Return the logarithm of how many labels the studio needs for one of another arm."""
    counts = needed(answer)
    return math.log(counts["studio"] / counts[other])


def _ratio(logs: list[float]) -> str:
    from scipy import stats

    middle = fmean(logs)
    if len(logs) < 2:
        return f"{math.exp(middle):.2f}"
    half = float(stats.t.ppf(0.975, len(logs) - 1)) * stdev(logs) / math.sqrt(len(logs))
    ends = f"[{math.exp(middle - half):.2f}, {math.exp(middle + half):.2f}]"
    return f"{math.exp(middle):.2f} {ends}"


def work(job: Job) -> Answer:
    """Simulate one pool in every arm."""
    started = time.perf_counter()
    pool, tests = _rows(job)
    # In the order of the set, so that the cache has the states for every seed.
    every = finetext.features([text for text, _ in pool])
    drawn = np.random.default_rng(job["seed"]).permutation(len(pool))[: job["pool"]]
    pool, states = [pool[row] for row in drawn], every[drawn]
    names = tuple(sorted({label for _, label in pool}))
    scheme = LabelScheme(names)
    tests = [of for of in tests if of[1] in scheme.index]
    judged = finetext.features([text for text, _ in tests])
    targets, truth = (scheme.encode([label for _, label in of]) for of in (pool, tests))
    standard, order = Standard.of(states), np.arange(len(pool))
    is_random = np.random.default_rng(job["seed"]).random(len(pool)) < RANDOM_SHARE

    def score(rows: Integers) -> float:
        labeled = Labeled(states[rows], targets[rows], np.zeros(len(rows), bool), scheme)
        if not can_learn(labeled):
            return float((truth == targets[rows[0]]).mean()) if len(rows) else 0.0
        test = Labeled(judged, truth, np.zeros(len(truth), bool), scheme)
        return float(StateProbe.fit(labeled, standard).right(test).mean())

    ends = [of for of in STEPS if of <= min(job["most"], len(pool))]
    kept = {of: round(of * (1 - RANDOM_SHARE)) for of in ends}
    chosen = _chosen(states, targets, is_random, scheme, standard, max(kept.values()))
    scores = {
        "studio": [(of, score(chosen[: kept[of]])) for of in ends if kept[of] <= len(chosen)],
        "random": [(of, score(order[: kept[of]])) for of in ends],
        "random, all": [(of, score(order[:of])) for of in ends],
    }
    seconds = time.perf_counter() - started
    return {"full": score(order), "scores": scores, "seconds": seconds}


def _rows(job: Job) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the texts that can be labeled, each once, and the test rows."""
    cut = minutes_data.cut_of(job["set"])
    pool = cut.pool if job["split"] == "validation" else [*cut.pool, *cut.developing]
    tests = cut.developing if job["split"] == "validation" else cut.test
    one = [{of.text: of.labels[0] for of in part if len(of.labels) == 1} for part in (pool, tests)]
    return list(one[0].items()), list(one[1].items())[: job["evaluated"]]


def _chosen(
    states: Floats, targets: Any, is_random: Any, scheme: LabelScheme, standard: Standard, most: int
) -> Integers:
    """Return the texts in the order in which the studio has them labeled, random ones left out."""
    reference = Reference.of(states)
    ids = np.arange(len(states))
    known = Known(ids, states, reference.typicality(states), is_random, reference, standard)
    labels: dict[int, tuple[str, ...]] = {}
    most = min(most, int((~is_random).sum()))
    while len(labels) < most:
        ranked = ranking_of(known, scheme, labels).texts
        for text in ranked[: min(max(5, len(labels) // 20), most - len(labels))]:
            labels[text] = (scheme.names[targets[text]],)
    return np.fromiter(labels, dtype=np.int64)


if __name__ == "__main__":
    main()
