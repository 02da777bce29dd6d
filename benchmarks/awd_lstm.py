"""AWD-LSTM: WikiText-2, adapted to IMDb, and a classifier in the four stages of ULMFiT.

  FINETEXT_DATA=../shared/data python benchmarks/awd_lstm.py

language  the preset `awd-lstm-small` (200/576/3) on WikiText-2: perplexity on its validation
          part, in words of the tokenizer of finetext (lower case, markers, its own vocabulary),
          so not to be compared with figures on other tokens
speed     the published size (400/1,152/3) for `--timed-steps` steps of 20 streams
adapted   the small one, adapted to `--documents` unlabeled IMDb reviews, no test review among
          them; four reviews are generated
classify  `--labelled` training reviews, 500 others to choose the checkpoint on, the first
          `--test-rows` test reviews; with the adapted language model, and from random weights:
          1 epoch at 2e-2, the last two groups at 1e-2, the last three at 5e-3, all for 2 epochs
          at 1e-3, each group below 2.6 times slower, one-cycle, dropouts times 0.5
"""

from __future__ import annotations

import gzip
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import common
import numpy as np

import finetext
from finetext.core.contracts import FitContext, ProgressEvent
from finetext.core.settings import ReadSettings
from finetext.pretraining.corpus import Corpus, CorpusSettings
from finetext.pretraining.generate import generate

CHOOSING: Final = 500
STAGED: Final = {
    "unfreeze": "gradual", "stage_epochs": (1, 1, 1, 2), "stage_rates": (20.0, 10.0, 5.0, 1.0),
    "learning_rate": 1e-3, "discriminative": 2.6, "schedule": "one-cycle",
    "dropout_multiplier": 0.5,
}  # fmt: skip
STREAMS: Final = 20
WARM_UP: Final = 5
PROMPT: Final = "I liked this movie because"


def main() -> None:
    """Do what was not done before, and print the tables."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=3, help="over WikiText-2 (3)")
    parser.add_argument("--pieces", type=int, default=20_000, help="words of the vocabulary")
    parser.add_argument("--documents", type=int, default=2_000, help="unlabeled reviews (2000)")
    parser.add_argument("--labelled", type=int, default=1_000, help="labelled reviews (1000)")
    parser.add_argument("--test-rows", type=int, default=5_000, help="test reviews (5000)")
    parser.add_argument("--timed-steps", type=int, default=200, help="of the large one (200)")
    parser.add_argument("--seeds", type=int, default=3, help="of the classifier (3)")
    options = parser.parse_args()
    ledger = common.Ledger("awd_lstm", options.ledgers)
    language = options.ledgers / f"awd-lstm-wikitext2-{options.epochs}-{options.pieces}"
    adapted = options.ledgers / f"{language.name}-imdb-{options.documents}"

    def done(**job: Any) -> common.Answer:
        answer = ledger.get(job, lambda: common.alone(__file__, job, options.threads))
        common.say(f"{job}: {answer}")
        return answer

    models = {
        "WikiText-2": done(
            do="language", folder=str(language), epochs=options.epochs, pieces=options.pieces
        ),
        "IMDb, adapted": done(
            do="adapt", base=str(language), folder=str(adapted), documents=options.documents
        ),
    }
    written = done(do="generate", folder=str(adapted))["texts"]
    speed = done(do="speed", steps=options.timed_steps)
    found: dict[str, list[common.Answer]] = {str(adapted): [], f"random:{adapted}": []}
    for seed in range(options.seeds):
        for encoder, answers in found.items():
            answers.append(
                done(do="classify", encoder=encoder, seed=seed, labelled=options.labelled,
                     rows=options.test_rows)
            )  # fmt: skip
    what = (
        f"awd-lstm-small, {options.epochs} epochs of WikiText-2, then one of "
        f"{options.documents:,} unlabeled reviews; classifiers on {options.labelled:,} labeled "
        f"reviews, {options.seeds} seeds, {options.test_rows:,} test reviews. The published size: "
        f"{speed['steps']} steps of {speed['tokens'] / speed['steps']:.0f} tokens with a "
        f"vocabulary of {speed['vocabulary']:,}: {speed['tokens'] / speed['seconds']:.0f} "
        "tokens/s."
    )
    quoted = [f"> {text}\n" for text in written]
    common.finish(
        options, "AWD-LSTM", what, [language_table(models), accuracy_table(found), quoted]
    )


def language_table(models: dict[str, common.Answer]) -> list[str]:
    """The language models on held-out text."""
    rows = [
        [name, f"{of['tokens']:,}", f"{of['before']['perplexity']:,.0f}",
         f"{of['after']['perplexity']:,.1f}", f"{of['after']['accuracy']:.3f}",
         f"{of['seconds']:.0f}"]
        for name, of in models.items()
    ]  # fmt: skip
    titles = ["corpus", "tokens", "perplexity before", "after", "next-word accuracy", "seconds"]
    return common.table(titles, rows)


def accuracy_table(found: dict[str, list[common.Answer]]) -> list[str]:
    """The classifiers with and without the language model."""
    names = dict(zip(found, ("with the language model", "from random weights"), strict=True))
    rows = [
        [names[encoder], common.mean_and_spread([of["accuracy"] for of in answers]),
         common.spread([of["seconds"] for of in answers], 0)]
        for encoder, answers in found.items()
    ]  # fmt: skip
    ours, theirs = ([of["accuracy"] for of in answers] for answers in found.values())
    difference = f"Difference, paired by seed: {common.paired(ours, theirs)}."
    return [*common.table(["classifier", "test accuracy", "seconds"], rows), "", difference]


def work(job: common.Job) -> common.Answer:
    """One of the parts."""
    parts = {
        "language": learn_language, "speed": time_published_size, "adapt": adapt,
        "generate": write_reviews, "classify": classify,
    }  # fmt: skip
    return parts[job["do"]](job)


def paragraphs(part: str) -> list[str]:
    """The paragraphs of a part of WikiText-2."""
    path = Path(os.environ["FINETEXT_DATA"]) / "wikitext2" / f"{part}.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


def learn_language(job: common.Job) -> common.Answer:
    """The small size on WikiText-2."""
    settings = finetext.Pretraining(
        preset="awd-lstm-small", epochs=job["epochs"], pieces=job["pieces"]
    )
    corpus = Corpus(paragraphs("train"), paragraphs("valid"), "WikiText-2", in_order=True)
    made = finetext.pretrain(corpus, job["folder"], settings, resume=True, listener=LISTENER)
    return described(made)


class Enough(Exception):
    """Ends a training."""


def time_published_size(job: common.Job) -> common.Answer:
    """Seconds of so many steps of the published size, after five that are not counted."""
    from finetext.encoders.awd_lstm import AwdLstmConfig, AwdLstmForCausalLM
    from finetext.encoders.word_tokenizer import train_word_tokenizer
    from finetext.pretraining.objectives import StreamTask
    from finetext.training.loop import train_model
    from finetext.training.plan import Stage

    text = paragraphs("train")
    tokenizer = train_word_tokenizer(text)
    documents = [np.asarray(ids, dtype=np.int32) for ids in tokenizer(text)["input_ids"]]
    task = StreamTask(documents, documents[:20], streams=STREAMS, epochs=1)
    model = AwdLstmForCausalLM(AwdLstmConfig(vocab_size=len(tokenizer)))
    ends: list[float] = []

    def heard(event: ProgressEvent) -> None:
        ends.append(time.perf_counter())
        if len(ends) == WARM_UP + job["steps"]:
            raise Enough

    with suppress(Enough):
        context = FitContext(progress=heard)
        train_model(model, task, finetext.Adaptation(), [Stage(1, 1e-3)], context)
    timed = slice(WARM_UP * task.streams, (WARM_UP + job["steps"]) * task.streams)
    return {
        "steps": job["steps"],
        "tokens": int(task.lengths[timed].sum()),
        "seconds": ends[-1] - ends[WARM_UP - 1],
        "vocabulary": len(tokenizer),
    }


def adapt(job: common.Job) -> common.Answer:
    """The language model on reviews."""
    folder = Path(os.environ["FINETEXT_DATA"]) / "imdb"
    settings = ReadSettings(text="text", labelled=False)
    reviews = finetext.read(folder / "unlabelled.csv.gz", settings=settings)
    made = finetext.adapt(
        reviews.texts[: job["documents"]],
        job["folder"],
        finetext.Adaptation(encoder=job["base"]),
        read=CorpusSettings(exclude=(str(folder / "test.csv.gz"),)),
        resume=True,
        listener=LISTENER,
    )
    return described(made)


def write_reviews(job: common.Job) -> common.Answer:
    """Four reviews with one beginning."""
    return {"texts": generate(job["folder"], PROMPT, words=40, seed=0, n=4)}


def classify(job: common.Job) -> common.Answer:
    """Fine-tune in stages and measure on test reviews."""
    folder = Path(os.environ["FINETEXT_DATA"]) / "imdb"
    train, test = (
        finetext.read(folder / f"{part}.csv.gz", text="text", label="label")
        for part in ("train", "test")
    )
    order = np.random.default_rng(job["seed"]).permutation(len(train))
    chosen, end = order[: job["labelled"]], job["labelled"] + CHOOSING
    method = finetext.Finetune(encoder=job["encoder"], **STAGED)
    context = FitContext(seed=job["seed"], metric="accuracy", say=common.say)
    started = time.perf_counter()
    classifier = method.fit(
        train.select(np.sort(chosen)), train.select(np.sort(order[len(chosen) : end])), context
    )
    seconds = time.perf_counter() - started
    scores = finetext.evaluate(finetext.predict(classifier, test.select(range(job["rows"]))))
    return {"accuracy": scores["accuracy"].value, "seconds": seconds}


def described(made: Any) -> common.Answer:
    """What a language model was made from, and what that achieved."""
    origin = made.origin
    return {
        "tokens": origin.corpus["tokens"], "before": origin.before, "after": origin.after,
        "seconds": origin.seconds,
    }  # fmt: skip


LISTENER: Final = finetext.Listener(say=common.say)


if __name__ == "__main__":
    main()
