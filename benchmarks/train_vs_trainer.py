"""How fast does finetext train, against `transformers.Trainer`, and how good is what comes out?

    FINETEXT_DATA=../shared/data python benchmarks/train_vs_trainer.py --data emotion films

Contenders, which get the same rows, the same model and the same number of epochs:
  trainer       Trainer as its documentation shows it for text classification: fp32, batches of
                16 in random order, learning rate 2e-5
  trainer-best  Trainer with its fastest options: batches grouped by length, fused AdamW, and, as
                a trial on this machine says, bf16, the attention implementation, workers that
                load data, batches of 32, 64 or 96 and half of the threads; learning rate,
                warm-up and schedule of finetext, whatever the batch, which shows in accuracy
  trainer-best-no-dropout  the same with the dropout of the model set to 0, which finetext does
                by default
  finetext      Finetune with its defaults, and a cache folder that holds what it found to be the
                fastest number format, attention and threads on this machine, if there are
                100 steps at least; for fewer it takes its defaults

Timed: loading the model from disk, tokenization, training, and an evaluation on a few validation
rows after each epoch. Not timed: imports, reading the data, the trial for trainer-best and that
of finetext itself, whose seconds are told, and the predictions of which accuracy is taken.
Nobody finds tokens in a cache or writes checkpoints. Each turn is a process of its own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, Final

import common
from common import Answer, Job, Rows

import finetext
from finetext.core.contracts import FitContext
from finetext.core.wording import counted

CONTENDERS: Final = ("trainer", "trainer-best", "trainer-best-no-dropout", "finetext")
SIZES: Final = {"emotion": 2_000, "films": 2_000, "imdb": 300, "bbc": 300}
TRIAL_SIZES: Final = {"emotion": 640, "films": 640, "imdb": 96, "bbc": 96}
WORTH_A_REPEAT: Final = 1.05
RATE_AT_WIDTH: Final = (1e-4, 384)
WARMUP_SHARE: Final = 0.06


def main() -> None:
    """Measure all contenders by turns and print a table for each data set."""
    if common.served(work):
        return
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = common.model_folder(options.model, Path(scratch))
        for data in options.data:
            compare(options, data, folder, Path(scratch) / f"choice for {data}")


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=["emotion"], choices=list(common.SOURCES))
    parser.add_argument("--model", default="minilm", choices=common.MODELS)
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--rows", type=int, help="to train on (2000; imdb and bbc 300)")
    parser.add_argument("--epochs", type=int, default=2, help="(2)")
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each seed (1)")
    parser.add_argument("--max-length", type=int, default=512, help="tokens (512)")
    parser.add_argument("--validation", type=int, default=50, help="rows after each epoch (50)")
    parser.add_argument("--held-out", type=int, default=1_000, help="rows for accuracy (1000)")
    parser.add_argument(
        "--trial-rows", type=int, help="to choose trainer-best's options on (640; imdb and bbc 96)"
    )
    return parser.parse_args()


def compare(options: argparse.Namespace, data: str, folder: str, cache: Path) -> None:
    """All turns on one data set, and its table."""
    job = {
        "data": data, "rows": options.rows or SIZES[data], "validation": options.validation,
        "held_out": options.held_out, "folder": folder, "epochs": options.epochs,
        "max_length": options.max_length, "device": options.device, "cache": str(cache),
    }  # fmt: skip
    trials = with_trials(options, job)
    turns: list[dict[str, Answer]] = []
    for number in range(options.rounds * options.seeds):
        seed = number % options.seeds
        turn = {}
        for name in options.contenders:
            task = job | trials | {"task": "train", "contender": name, "seed": seed}
            turn[name] = common.alone(__file__, task, options.threads)
            rate = turn[name]["rate"]
            common.say(f"{data}, turn {number + 1}, seed {seed}, {name}: {rate:.1f} rows/s")
        turns.append(turn)
    report(options, job | trials, turns)


def with_trials(options: argparse.Namespace, job: Job) -> Job:
    """What the trials found, which no turn pays for: options of trainer-best, finetext's own."""
    found: Job = {"words": []}
    if any(name.startswith("trainer-best") for name in options.contenders):
        size = options.trial_rows or TRIAL_SIZES[job["data"]]
        trial = job | {"task": "choose for Trainer", "rows": min(size, job["rows"])}
        answer = common.alone(__file__, trial, options.threads)
        found["chosen"] = answer["chosen"]
        words = ", ".join(f"{name} {value}" for name, value in answer["chosen"].items())
        found["words"].append(
            f"trainer-best runs with {words}, chosen on {counted(trial['rows'], 'row')} in "
            f"{answer['seconds']:.1f} s before, not timed."
        )
    if "finetext" in options.contenders:
        answer = common.alone(__file__, job | {"task": "choose for finetext"}, options.threads)
        found["cache"] = job["cache"] if answer["choice"] else None
        found["words"].append(common.choice_in_words(answer))
    for sentence in found["words"]:
        common.say(f"{job['data']}: {sentence}")
    return found


def report(options: argparse.Namespace, job: Job, turns: list[dict[str, Answer]]) -> None:
    """The table of one data set."""
    first = next(iter(turns[0].values()))
    references = [name for name in CONTENDERS[:3] if name in turns[0]]
    titles = ["contender", "rows/s", *(f"times {name}" for name in references)]
    titles += ["accuracy", "macro F1", "peak MiB"]
    rows = []
    for name in turns[0]:
        answers = [turn[name] for turn in turns]
        rates = [answer["rate"] for answer in answers]
        ratios = [
            common.spread([turn[name]["rate"] / turn[one]["rate"] for turn in turns], 2)
            for one in references
        ]
        scores = [over_seeds(answers, key, options.seeds) for key in ("accuracy", "macro_f1")]
        memory = f"{median(answer['peak_mib'] for answer in answers):.0f}"
        rows.append([name, common.spread(rates), *ratios, *scores, memory])
    what = (
        f"{job['data']}: {counted(first['rows'], 'row')}, {counted(job['epochs'], 'epoch')}, "
        f"{options.model}, at most {job['max_length']} tokens, "
        f"{counted(options.seeds, 'seed')}, {counted(options.rounds, 'round')} each; "
        f"rows/s and ratios within a turn as median [least, greatest]; accuracy and macro F1 on "
        f"{first['held_out']:,} validation rows as mean ± standard deviation over seeds. Loading "
        f"the model, tokenizing and evaluating {job['validation']} rows an epoch included. "
        f"{' '.join([*job['words'], common.threads_in_words(options.threads)])}"
    )
    title = f"Training against Trainer: {job['data']}, {options.model}"
    common.finish(options, title, what, [common.table(titles, rows)])


def over_seeds(answers: list[Answer], key: str, seeds: int) -> str:
    """Mean and standard deviation over seeds of the mean over rounds."""
    values = [mean(answer[key] for answer in answers[seed::seeds]) for seed in range(seeds)]
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if seeds > 1 else "")


def work(job: Job) -> Answer:
    """Train one contender, or make one of the two trials."""
    rows = common.rows_of(job["data"], job["rows"], job["validation"], job["held_out"])
    if job["task"] == "choose for finetext":
        return common.chosen_by_finetext(method_of(job), rows.train, rows.validation, job)
    import_all(job, rows)
    if job["task"] == "choose for Trainer":
        return choose(job, rows)
    train = train_finetext if job["contender"] == "finetext" else train_trainer
    found, guesses = train(job, rows)
    from sklearn.metrics import accuracy_score, f1_score

    truth = rows.held_out.targets
    return found | {
        "rows": len(rows.train),
        "held_out": len(truth),
        "rate": len(rows.train) * job["epochs"] / found["seconds"],
        "accuracy": float(accuracy_score(truth, guesses)),
        "macro_f1": float(f1_score(truth, guesses, average="macro")),
    }


def import_all(job: Job, rows: Rows) -> None:
    """Do what is not to be timed: imports, the first reading of the weights, the GPU's start.

    Trainer is also made once; nothing of finetext is run, as it may keep what it measures.
    """
    import torch

    with tempfile.TemporaryDirectory() as folder:
        make_trainer(job | {"contender": "trainer", "seed": 0}, rows, folder)
    finetext.Finetune()
    if common.on_gpu(job["device"]):
        torch.zeros(1, device="cuda")


def method_of(job: Job) -> finetext.Finetune:
    """Finetune with its defaults."""
    return finetext.Finetune(
        encoder=job["folder"], epochs=job["epochs"], max_length=job["max_length"]
    )


def train_finetext(job: Job, rows: Rows) -> tuple[Answer, Any]:
    """Time `Finetune.fit`; guesses on the rows held out."""
    method = method_of(job)
    with common.choice_alone(job) as cache:
        context = FitContext(seed=job["seed"], device=job["device"], cache=cache)
        with common.measured() as found:
            classifier = method.fit(rows.train, rows.validation, context)
    return found, classifier.predict_proba(rows.held_out.texts).argmax(axis=1)


def train_trainer(job: Job, rows: Rows) -> tuple[Answer, Any]:
    """Time loading, tokenization and `Trainer.train`; guesses on the rows held out."""
    import torch
    from transformers import set_seed

    set_seed(job["seed"])
    if job["contender"] != "trainer":
        torch.set_num_threads(job["chosen"]["threads"])
    with common.measured() as found, tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(job, rows, folder)
        trainer.train()
    held_out = tokenized(rows.held_out, trainer.processing_class, job["max_length"])
    # Grouped by length, Trainer would predict in another order than that of the rows.
    trainer.args.train_sampling_strategy = "random"
    return found, trainer.predict(held_out).predictions.argmax(axis=1)


def make_trainer(job: Job, rows: Rows, folder: str) -> Any:
    """The Trainer of a contender, with a model fresh from disk."""
    from sklearn.metrics import accuracy_score
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    scheme = rows.train.scheme
    options = {} if job["contender"] == "trainer" else best_options(job)
    options.pop("threads", None)  # of the process
    attention = options.pop("attn_implementation", None)
    dropout = {}
    if job["contender"] == "trainer-best-no-dropout":
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    model = AutoModelForSequenceClassification.from_pretrained(
        job["folder"], num_labels=len(scheme), id2label=dict(enumerate(scheme.names)),
        label2id=scheme.index, attn_implementation=attention, **dropout,
    )  # fmt: skip
    documented = {
        "learning_rate": 2e-5, "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 16, "num_train_epochs": job["epochs"],
        "weight_decay": 0.01, "eval_strategy": "epoch", "save_strategy": "no",
    }  # fmt: skip
    settings = TrainingArguments(
        output_dir=folder, seed=job["seed"], disable_tqdm=True, use_cpu=job["device"] == "cpu",
        **(documented | options),
    )  # fmt: skip
    return Trainer(
        model=model,
        args=settings,
        train_dataset=tokenized(rows.train, tokenizer, job["max_length"]),
        eval_dataset=tokenized(rows.validation, tokenizer, job["max_length"]),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer=tokenizer),
        compute_metrics=lambda found: {
            "accuracy": accuracy_score(found.label_ids, found.predictions.argmax(axis=1))
        },
    )


def best_options(job: Job) -> dict[str, Any]:
    """What makes Trainer fast, and the schedule of finetext."""
    from transformers import AutoConfig

    rate, width = RATE_AT_WIDTH
    return {
        "learning_rate": rate * width / AutoConfig.from_pretrained(job["folder"]).hidden_size,
        "warmup_steps": WARMUP_SHARE,
        "lr_scheduler_type": "linear",
        "per_device_eval_batch_size": 64,
        "train_sampling_strategy": "group_by_length",
        "optim": "adamw_torch_fused",
        "logging_strategy": "no",
        **job["chosen"],
    }


def tokenized(dataset: finetext.Dataset, tokenizer: Any, max_length: int) -> Any:
    """A `datasets.Dataset` of tokens, lengths and label numbers, as the documentation maps it."""
    import datasets

    def encode(batch: dict[str, Any]) -> Any:
        tokens = tokenizer(batch["text"], truncation=True, max_length=max_length)
        tokens["length"] = [len(ids) for ids in tokens["input_ids"]]
        return tokens

    columns = {"text": list(dataset.texts), "label": dataset.targets.tolist()}
    # A name for the result spares hashing the tokenizer, a second that only short runs would feel.
    return datasets.Dataset.from_dict(columns).map(encode, batched=True, new_fingerprint="tokens")


def choose(job: Job, rows: Rows) -> Answer:
    """The fastest options of Trainer on a few rows, chosen one after another."""
    import torch

    threads = torch.get_num_threads()
    chosen: dict[str, Any] = {
        "bf16": False, "attn_implementation": "sdpa", "dataloader_num_workers": 0,
        "per_device_train_batch_size": 32, "threads": threads,
    }  # fmt: skip
    others: list[tuple[str, Any]] = [
        ("attn_implementation", "eager"),
        ("dataloader_num_workers", 2),
        ("per_device_train_batch_size", 64),
        ("per_device_train_batch_size", 96),
    ]
    if common.bf16_is_fast(job["device"]):
        others.insert(0, ("bf16", True))
    if threads > 1 and not common.on_gpu(job["device"]):
        others.append(("threads", threads // 2))
    started = time.perf_counter()
    few = rows._replace(train=rows.train.select(range(min(32, len(rows.train)))))
    seconds(job, few, chosen, 0.0)  # what is slow but once
    fastest = seconds(job, rows, chosen, float("inf"))
    for name, value in others:
        taken = seconds(job, rows, chosen | {name: value}, fastest)
        if taken < fastest:
            fastest, chosen = taken, chosen | {name: value}
    return {"chosen": chosen, "seconds": time.perf_counter() - started}


def seconds(job: Job, rows: Rows, chosen: dict[str, Any], fastest: float) -> float:
    """The shorter of two trainings of one epoch with these options, without evaluation.

    Where the first takes clearly longer than the fastest so far, there is no second.
    """
    import torch

    trial = job | {"contender": "trainer-best", "epochs": 1, "seed": 0}
    trial["chosen"] = chosen | {"eval_strategy": "no"}
    torch.set_num_threads(chosen["threads"])
    times: list[float] = []
    while len(times) < 2 and min(times, default=0.0) <= WORTH_A_REPEAT * fastest:
        with tempfile.TemporaryDirectory() as folder:
            trainer = make_trainer(trial, rows, folder)
            started = time.perf_counter()
            trainer.train()
            times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    main()
