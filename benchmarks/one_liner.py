"""One call from texts and labels to a classifier: what does it say of reviews, and how sure is it?

    FINETEXT_DATA=../shared/data python benchmarks/one_liner.py

`finetext.fit` with its defaults learns from 1,000 IMDb reviews, 500 of each class, and judges
three invented ones: a clearly negative, a clearly positive and a mixed one. Then it is measured
on 2,000 reviews of the test part. Each seed draws other reviews to learn from, and trains with
that seed; the test reviews stay the same. A seed counts as right if both clear reviews get their
class with a probability of 0.9 or more, and the mixed one is less certain than either.
"""

from __future__ import annotations

import csv
import gzip
import time
from typing import Any

import common
import numpy as np
from common import Job, Ledger
from record import commit

import finetext

OF_EACH_CLASS = 500
TEST_ROWS = 2_000
SURE = 0.9
NAMES = {"pos": "positive", "neg": "negative"}
NEGATIVE = (
    "I wanted to like this film, but it is a mess from the first scene to the last. The story "
    "makes no sense, the dialogue is painful, and the actors look as if they were waiting for "
    "the bus. After an hour I checked my watch every five minutes. The effects are cheap and "
    "the ending is an insult. A complete waste of time and money. Avoid it."
)
POSITIVE = (
    "What a wonderful surprise. The story takes its time and every scene earns it; the two "
    "leads are superb together, funny in one moment and heartbreaking in the next. The music is "
    "lovely, the photography is gorgeous, and the ending had the whole audience in tears. I "
    "have already seen it twice and would go again tomorrow. One of the best films of the year."
)
MIXED = (
    "The first half is excellent: sharp dialogue, a great cast and a mystery that had me "
    "guessing. Then the film loses its way. The second half drags, the twist is silly, and the "
    "ending made me groan. The acting stays strong and some scenes are beautiful, but others "
    "are simply boring. I was thrilled and annoyed in equal parts, and cannot quite recommend "
    "it or warn against it."
)


def reviews(part: str) -> tuple[list[str], list[str]]:
    """Return the texts and labels of a part of IMDb."""
    with gzip.open(common.data_folder() / f"imdb/{part}.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [NAMES[row["label"]] for row in rows]


def drawn(labels: list[str], of_each: int, seed: int) -> list[int]:
    """Return so many rows of each class, in random order."""
    random, kinds = np.random.default_rng(seed), np.array(labels)
    rows = [random.permutation(np.flatnonzero(kinds == of))[:of_each] for of in sorted(set(labels))]
    return random.permutation(np.concatenate(rows)).tolist()


def work(job: Job) -> dict[str, Any]:
    """Fit with one seed; return what it says of the reviews, its accuracy and the seconds."""
    texts, labels = reviews("train")
    rows = drawn(labels, OF_EACH_CLASS, job["seed"])
    started = time.perf_counter()
    method = {} if job["method"] is None else {"method": job["method"]}
    clf = finetext.fit(
        [texts[row] for row in rows], [labels[row] for row in rows], seed=job["seed"], **method
    )
    seconds = time.perf_counter() - started
    said = {name: clf(text)["positive"] for name, text in job["invented"].items()}
    texts, labels = reviews("test")
    rows = drawn(labels, TEST_ROWS // 2, 0)
    found = clf.predict([texts[row] for row in rows])
    right = np.mean([found[k] == labels[row] for k, row in enumerate(rows)])
    return {"seconds": seconds, "positive": said, "accuracy": float(right)}


def is_right(said: dict[str, float]) -> bool:
    """Whether both clear reviews are judged surely, and the mixed one less so than either."""
    sure = {name: max(share, 1 - share) for name, share in said.items()}
    clear = said["positive"] >= SURE and said["negative"] <= 1 - SURE
    return clear and sure["mixed"] < min(sure["positive"], sure["negative"])


def main() -> None:
    """Fit with every seed, and print what the classifiers say."""
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--method", default=None, help="that of finetext.fit by default")
    options = parser.parse_args()
    ledger = Ledger("one_liner", options.ledgers)
    invented = {"negative": NEGATIVE, "positive": POSITIVE, "mixed": MIXED}
    rows, accuracies, right = [], [], 0
    for seed in range(options.seeds):
        job = {"seed": seed, "method": options.method, "invented": invented, "commit": commit()}
        answer = ledger.get(job, lambda job=job: common.alone(__file__, job, options.threads))
        said = answer["positive"]
        right += is_right(said)
        accuracies.append(answer["accuracy"])
        shares = [f"{said[name]:.3f}" for name in invented]
        seconds, verdict = f"{answer['seconds']:.0f}", "yes" if is_right(said) else "no"
        rows.append([str(seed), *shares, f"{accuracies[-1]:.4f}", seconds, verdict])
        common.say(" | ".join(rows[-1]))
    titles = ["seed", *(f"positive: {name}" for name in invented), "accuracy", "seconds", "right"]
    what = (
        f"{2 * OF_EACH_CLASS:,} reviews. "
        f"Accuracy on {TEST_ROWS:,} test reviews {common.mean_and_spread(accuracies, 4)}; "
        f"{right} of {options.seeds} seeds are right about the invented reviews."
    )
    common.finish(options, "One call on 1,000 reviews", what, [common.table(titles, rows)])


if __name__ == "__main__":
    if not common.served(work):
        main()
