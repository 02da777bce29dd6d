"""Does adapting MiniLM to unlabeled film reviews pay, with 1,000 labeled ones?

    FINETEXT_DATA=../shared/data python benchmarks/adaptation.py

Adapts MiniLM once to the first `--documents` of IMDb's unlabeled reviews, without any that is also
a test review, then fine-tunes it as it came and adapted: for each seed on 1,000 labeled training
reviews, with 500 others to choose the checkpoint on, both drawn by the seed. Measured on all 25,000
test reviews, which are read once for each model; nothing was chosen by them.

The interval of the difference is that of a bootstrap over test reviews of the difference of the
accuracies that are averaged over seeds; the standard deviation over seeds stands beside it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import common
import numpy as np

import finetext
from finetext.core.contracts import FitContext
from finetext.core.settings import ReadSettings
from finetext.pretraining.corpus import CorpusSettings

LABELED: Final = 1_000
CHOOSING: Final = 500
RESAMPLES: Final = 10_000


def main() -> None:
    """Adapt, fit for every seed with and without, and print two tables."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--documents", type=int, default=4_000, help="unlabeled reviews (4000)")
    parser.add_argument("--max-length", type=int, default=128, help="tokens (128)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of rows and training (3)")
    parser.add_argument("--test-rows", type=int, default=25_000, help="to try it out: fewer")
    options = parser.parse_args()
    ledger = common.Ledger("adaptation", options.ledgers)
    sizes = {"documents": options.documents, "max_length": options.max_length}
    folder = options.ledgers / f"minilm-imdb-{options.documents}-{options.max_length}"
    adapting = {"do": "adapt", "folder": str(folder), **sizes}
    adapted = done(ledger, adapting, options)
    found: dict[str, list[common.Answer]] = {"minilm": [], "adapted": []}
    for seed in range(options.seeds):
        for name, encoder in (("minilm", "minilm"), ("adapted", str(folder))):
            fitting = {
                "do": "fit", "encoder": encoder, "seed": seed, "rows": options.test_rows, **sizes,
                "right": str(options.ledgers / f"imdb-{name}-{options.documents}-{seed}.npy"),
            }  # fmt: skip
            found[name].append(done(ledger, fitting, options))
    what = (
        f"{adapted['texts']:,} unlabeled reviews ({adapted['tokens']:,} tokens) in rows of "
        f"{options.max_length} tokens, one epoch; {LABELED:,} labeled ones and "
        f"{CHOOSING} to choose on, cut at {options.max_length}; {options.test_rows:,} test "
        f"reviews; {options.seeds} seeds."
    )
    common.finish(
        options, "MiniLM adapted to IMDb", what, [language_table(adapted), accuracy_table(found)]
    )


def done(ledger: common.Ledger, job: common.Job, options: Any) -> common.Answer:
    """The answer to a job, from the ledger or from a process of its own."""
    answer = ledger.get(job, lambda: common.alone(__file__, job, options.threads))
    common.say(f"{job}: {answer}")
    return answer


def language_table(adapted: common.Answer) -> list[str]:
    """The language model before and after."""
    rows = [
        [when, f"{of['loss']:.3f}", f"{of['accuracy']:.3f}", f"{of['perplexity']:,.1f}"]
        for when, of in (("before", adapted["before"]), ("after", adapted["after"]))
    ]
    titles = ["held-out reviews", "loss", "accuracy on masked tokens", "perplexity"]
    return [*common.table(titles, rows), "", f"Adapting took {adapted['seconds']:.0f} s."]


def accuracy_table(found: dict[str, list[common.Answer]]) -> list[str]:
    """Test accuracy with and without."""
    rows = [
        [
            name,
            common.mean_and_spread([answer["accuracy"] for answer in answers], 4),
            common.mean_and_spread([answer["macro_f1"] for answer in answers], 4),
            common.spread([answer["seconds"] for answer in answers], 0),
        ]
        for name, answers in found.items()
    ]
    right = {
        name: np.mean([np.load(answer["right"]) for answer in answers], axis=0)
        for name, answers in found.items()
    }
    gain = right["adapted"] - right["minilm"]
    generator = np.random.default_rng(0)
    means = [gain[generator.integers(len(gain), size=len(gain))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    by_seed = [
        f"{one['accuracy'] - other['accuracy']:+.4f}"
        for one, other in zip(found["adapted"], found["minilm"], strict=True)
    ]
    sentence = (
        f"Difference in accuracy: {fmean(gain):+.4f} [{low:+.4f}, {high:+.4f}]; by seed "
        f"{', '.join(by_seed)}."
    )
    titles = ["encoder", "test accuracy", "test macro F1", "seconds to fine-tune"]
    return [*common.table(titles, rows), "", sentence]


def work(job: common.Job) -> common.Answer:
    """Adapt, or fit and measure."""
    return adapt(job) if job["do"] == "adapt" else fit(job)


def adapt(job: common.Job) -> common.Answer:
    """Adapt MiniLM to unlabeled reviews."""
    folder = Path(os.environ["FINETEXT_DATA"]) / "imdb"
    unlabeled = finetext.read(
        folder / "unlabelled.csv.gz", settings=ReadSettings(text="text", labelled=False)
    )
    settings = finetext.Adaptation(max_length=job["max_length"])
    made = finetext.adapt(
        unlabeled.texts[: job["documents"]],
        job["folder"],
        settings,
        read=CorpusSettings(exclude=(str(folder / "test.csv.gz"),)),
        resume=Path(job["folder"]).exists(),
        listener=finetext.core.contracts.Listener(say=common.say),
    )
    origin = made.origin
    return {
        "texts": origin.corpus["documents"],
        "tokens": origin.corpus["tokens"],
        "before": origin.before,
        "after": origin.after,
        "seconds": origin.seconds,
    }


def fit(job: common.Job) -> common.Answer:
    """Fine-tune on labeled reviews and measure on test reviews."""
    folder = Path(os.environ["FINETEXT_DATA"]) / "imdb"
    train, test = (
        finetext.read(folder / f"{part}.csv.gz", text="text", label="label")
        for part in ("train", "test")
    )
    order = np.random.default_rng(job["seed"]).permutation(len(train))
    method = finetext.Finetune(encoder=job["encoder"], max_length=job["max_length"])
    started = time.perf_counter()
    classifier = method.fit(
        train.select(np.sort(order[:LABELED])),
        train.select(np.sort(order[LABELED : LABELED + CHOOSING])),
        FitContext(seed=job["seed"], metric="accuracy", say=common.say),
    )
    seconds = time.perf_counter() - started
    predictions = finetext.predict(classifier, test.select(range(job["rows"])))
    np.save(job["right"], predictions.decisions == predictions.targets)
    scores = finetext.evaluate(predictions)
    return {
        "accuracy": scores["accuracy"].value,
        "macro_f1": scores["macro_f1"].value,
        "seconds": seconds,
        "right": job["right"],
    }


if __name__ == "__main__":
    main()
