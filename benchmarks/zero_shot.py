"""How good is a classifier that was given the names of the labels only, or descriptions, too?

    FINETEXT_DATA=../shared/data python benchmarks/zero_shot.py
    FINETEXT_DATA=../shared/data python benchmarks/zero_shot.py --sets emotion --split validation

Each set with the names of its labels, with texts without labels beside them (2,000 drawn from the
texts that training rows are drawn from, by the seed), and with descriptions as a user writes them
who knows the task. Templates and all constants of the method were chosen on the rows of
`--split validation`; test rows (the default) were never looked at for that, nor for descriptions.
The expected calibration error says how far probabilities are from how often they are right.
"""

from __future__ import annotations

from typing import Any, Final

import common
import minutes_data
import numpy as np
from common import Answer, Job, Ledger
from record import commit
from sklearn.metrics import f1_score

import finetext
from finetext.evaluation.calibration import calibration_error

UNLABELED: Final = 2_000
_SENTIMENT: Final = {
    "negative": (
        "a bad film",
        "boring, dull and disappointing",
        "a waste of time",
        "bad, boring, dull, stupid, lame, pointless, mess",
        "a dull, tedious, clumsy mess without ideas",
        "The story is thin, the jokes fall flat and the acting is poor.",
    ),
    "positive": (
        "a great film",
        "entertaining, moving and well made",
        "a must-see",
        "good, funny, charming, moving, beautiful, smart, enjoyable",
        "a funny, engaging, touching and original work",
        "The story is gripping, the jokes work and the acting is superb.",
    ),
}
NAMES: Final[dict[str, dict[str, str]]] = {
    "sst2": {"0": "negative", "1": "positive"},
    "films": {"rotten": "negative", "fresh": "positive"},
    "imdb": {"neg": "negative", "pos": "positive", "0": "negative", "1": "positive"},
}
"""Names of labels that say what is meant, where the published ones are codes."""
DESCRIPTIONS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "sst2": _SENTIMENT,
    "films": _SENTIMENT,
    "imdb": _SENTIMENT,
    "emotion": {
        "anger": ("I feel angry, furious, annoyed, resentful", "I am mad at someone"),
        "fear": ("I feel afraid, scared, anxious, nervous", "I worry about what will happen"),
        "joy": ("I feel happy, glad, pleased, content", "I am delighted"),
        "love": ("I feel loving, tender, caring, romantic", "I am fond of somebody"),
        "sadness": ("I feel sad, unhappy, depressed, lonely", "I am down and want to cry"),
        "surprise": ("I feel surprised, amazed, shocked", "I did not expect that"),
    },
    "sms": {
        "ham": ("a private message to a friend", "I am on my way, see you later"),
        "spam": ("unsolicited advertising", "You have won a prize, call now"),
    },
    "bbc": {
        "business": ("companies, profits, the economy, shares and trade",),
        "entertainment": ("films, music, actors, awards and television",),
        "politics": ("government, elections, parties, ministers and parliament",),
        "sports": ("matches, players, teams, champions and coaches",),
        "tech": ("computers, software, internet, phones and video games",),
    },
}
SETS: Final = ("emotion", "sst2", "films", "banking77", "sms", "bbc", "imdb")
WAYS: Final = ("names", "names and texts", "descriptions", "descriptions and texts")


def main() -> None:
    """Score every set in every way, and print the table."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--seeds", type=int, default=3, help="draws of unlabeled texts (3)")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--evaluated", type=int, default=2_000, help="rows at most (2000)")
    parser.add_argument("--version", default=commit(), help="of finetext in the ledger")
    options = parser.parse_args()
    ledger, rows = Ledger("zero_shot", options.ledgers), []
    for name in options.sets:
        found: dict[str, list[Answer]] = {}
        for seed in range(options.seeds):
            job: Job = {"set": name, "seed": seed, "split": options.split}
            job |= {"evaluated": options.evaluated, "version": options.version}
            job |= {"threads": options.threads}
            answer = ledger.get(job, lambda job=job: common.alone(__file__, job, options.threads))
            for way, of in answer["ways"].items():
                found.setdefault(way, []).append(of)
            common.say(f"{name}, seed {seed}: {answer}")
        rows += [row(name, way, of) for way, of in found.items()]
    titles = ["set", "given", "accuracy", "macro F1", "calibration error", "seconds"]
    what = f"MiniLM; up to {options.evaluated:,} {options.split} rows, {options.seeds} draws."
    common.finish(options, "Names of labels instead of labels", what, [common.table(titles, rows)])


def row(name: str, way: str, answers: list[Answer]) -> list[str]:
    """The row of a set and a way; what does not depend on unlabeled texts has no spread."""
    of = {key: [answer[key] for answer in answers] for key in answers[0]}
    shown = [common.mean_and_spread(of[key]) for key in ("accuracy", "macro_f1", "error")]
    return [name, way, *shown, common.spread(of["seconds"], 0)]


def work(job: Job) -> Answer:
    """Score all ways of one set."""
    import time

    cut = minutes_data.cut_of(job["set"])
    judged = (cut.test if job["split"] == "test" else cut.developing)[: job["evaluated"]]
    named = NAMES.get(job["set"], {})
    names = [named.get(label, label) for label in cut.names]
    truth = np.array([cut.names.index(one.labels[0]) for one in judged])
    order = np.random.default_rng(job["seed"]).permutation(len(cut.pool))[:UNLABELED]
    unlabeled = [cut.pool[place].text for place in order]
    described = DESCRIPTIONS.get(job["set"])
    ways: dict[str, Answer] = {}
    for way in WAYS:
        if "descriptions" in way and described is None:
            continue
        labels: Any = described if "descriptions" in way and described else names
        start = time.perf_counter()
        texts = unlabeled if "texts" in way else ()
        classifier = finetext.zero_shot(labels, texts, seed=job["seed"], device="cpu")
        seconds = time.perf_counter() - start
        order_of = [list(classifier.scheme.names).index(name) for name in names]
        found = classifier.predict_proba([one.text for one in judged])[:, order_of]
        said = found.argmax(axis=1)
        ways[way] = {
            "accuracy": float((said == truth).mean()),
            "macro_f1": float(f1_score(truth, said, average="macro")),
            "error": _error(found, truth, tuple(names)),
            "seconds": seconds,
        }
    return {"ways": ways}


def _error(found: Any, truth: Any, names: tuple[str, ...]) -> float:
    """The expected calibration error of the likeliest label."""
    scheme = finetext.LabelScheme(names)
    ids = tuple(map(str, range(len(truth))))
    value: float = calibration_error(finetext.Predictions(ids, truth, found, scheme))
    return value


if __name__ == "__main__":
    main()
