"""What does one change of fine-tuning do? Each variant and the default learn from the same rows.

    FINETEXT_DATA=../shared/data python benchmarks/levers.py --sizes 500 2000
    FINETEXT_DATA=../shared/data python benchmarks/levers.py --variants "batches of 16" dropout

Rows are those of `minutes.py`: training rows are drawn anew for each seed, and other rows of the
training part are scored, 2,000 at most. No validation rows are held out and no checkpoint is
chosen: the last weights count. Of several labels a row, thresholds are chosen on half of the rows
that are scored, and the other half counts. Test rows are never scored.

A variant changes what its settings in VARIANTS say and what follows from them: one rate for all
layers is a third of the highest, larger batches make fewer steps, and gradual unfreezing makes
fewer epochs, of which the first three do not train all layers. "N layers" keeps the first N layers
of MiniLM. "adapted" starts from MiniLM after one epoch of masked language modeling on the texts
that training rows are drawn from, once for each set; that time does not count.

Differences are those of the mean over these sets, paired by seed, with a 95%
interval by Student's t over seeds.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import common
import minutes_data
import numpy as np
from common import Answer, Job, Ledger
from record import commit

import finetext
from finetext.core.contracts import FitContext
from finetext.methods import regimes

DEFAULT: Final = "default"
ADAPTED: Final = "adapted"
TOKENS: Final = 20.0
"""Of a text on average, for `epochs_for`; all sets have short texts."""
ULMFIT: Final = {
    "unfreeze": "gradual", "discriminative": 2.6, "schedule": "one-cycle", "head": "concat",
}  # fmt: skip
GRADUAL: Final = {
    "unfreeze": "gradual", "discriminative": 1.25, "learning_rate": 3e-4,
    "stage_rates": [10.0, 2.0, 1.0, 1.0], "stage_epochs": [1, 1, 1, 4],
}  # fmt: skip
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    DEFAULT: {},
    "one rate": {"discriminative": 1.0},
    "half the epochs": {"times": 0.5},
    "twice the epochs": {"times": 2.0},
    "four times the epochs": {"times": 4.0},
    "batches of 8": {"batch_size": 8},
    "batches of 16": {"batch_size": 16},
    "batches of 32": {"batch_size": 32},
    "batches of 64": {"batch_size": 64},
    "dropout": {"dropout_multiplier": 1.0},
    "label smoothing": {"label_smoothing": 0.1},
    "one-cycle": {"schedule": "one-cycle"},
    "slanted triangular": {"schedule": "slanted-triangular"},
    "concat pooling": {"head": "concat"},
    "gradual unfreezing": GRADUAL,
    "gradual, concat": GRADUAL | {"head": "concat"},
    "ULMFiT": ULMFIT,
    "five layers": {"layers": 5},
    "four layers": {"layers": 4},
    ADAPTED: {"adapted": True},
    "adapted, concat": {"adapted": True, "head": "concat"},
    "adapted, gradual": GRADUAL | {"adapted": True},
    "adapted, gradual, concat": GRADUAL | {"adapted": True, "head": "concat"},
    "adapted, ULMFiT": ULMFIT | {"adapted": True},
}
SETS: Final = ("emotion", "sst2", "films", "banking77", "sms", "goemotions")
"""Of short texts; the first four by default."""


def main() -> None:
    """Fit every variant for every set, size and seed, and print the tables."""
    if common.served(work):
        return
    parser = common.parser(__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS[:4], choices=SETS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[500, 2_000], metavar="ROWS")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3, help="how many (3)")
    parser.add_argument(
        "--version", default=commit(), help="of finetext in the ledger (its commit)"
    )
    options = parser.parse_args()
    options.variants = list(dict.fromkeys([DEFAULT, *options.variants]))
    ledger = Ledger("levers", options.ledgers)
    found: dict[tuple[str, int, str], list[Answer]] = {}
    for seed in range(options.seeds):
        for size in options.sizes:
            for name in options.sets:
                for variant in options.variants:
                    answer = measured(options, ledger, name, size, seed, variant)
                    found.setdefault((variant, size, name), []).append(answer)
    tables = [table(options, found, size) for size in options.sizes]
    what = (
        f"MiniLM, {options.seeds} seeds; accuracy (macro F1 of several labels), mean ± standard "
        "deviation over seeds."
    )
    common.finish(options, "Fine-tuning, one change at a time", what, tables)


def measured(options: Any, ledger: Ledger, name: str, size: int, seed: int, variant: str) -> Answer:
    """What one variant achieved, from the ledger or now."""
    settings = VARIANTS[variant]
    job: Job = {"set": name, "size": size, "seed": seed, "settings": settings}
    job = job | {"threads": options.threads, "version": options.version}
    extra: Job = {"folder": str(options.ledgers)}
    if settings.get("adapted"):
        place = {"folder": str(options.ledgers / f"minilm-{name}")}
        adapting: Job = {"adapt": name, "threads": options.threads}
        ledger.get(adapting, lambda: common.alone(__file__, adapting | place, options.threads))
    answer = ledger.get(job, lambda: common.alone(__file__, job | extra, options.threads))
    common.say(
        f"{name}, {size:,} rows, seed {seed}, {variant}: {answer['score']:.3f} "
        f"in {answer['seconds']:.0f} s"
    )
    return answer


def table(options: Any, found: dict[tuple[str, int, str], list[Answer]], size: int) -> list[str]:
    """The variants at one size: a column for each set, and the difference over all."""
    rows = []
    for variant in options.variants:
        answers = [found[variant, size, name] for name in options.sets]
        default = [found[DEFAULT, size, name] for name in options.sets]
        scores, before = (
            [fmean(answer["score"] for answer in of) for of in zip(*each, strict=True)]
            for each in (answers, default)
        )
        seconds, time_before = (
            sum(answer["seconds"] for of in each for answer in of) for each in (answers, default)
        )
        is_default = variant == DEFAULT
        rows.append([
            variant,
            *(common.mean_and_spread([answer["score"] for answer in of]) for of in answers),
            "" if is_default else common.paired(scores, before),
            "" if is_default else f"{seconds / time_before:.2f}",
        ])  # fmt: skip
    titles = [f"{size:,} rows", *options.sets, "difference", "time"]
    return common.table(titles, rows)


def work(job: Job) -> Answer:
    """Adapt MiniLM to the texts of a set, or fit one variant."""
    return adapt(job) if "adapt" in job else fit(job)


def adapt(job: Job) -> Answer:
    """Adapt MiniLM to all texts that training rows of a set are drawn from."""
    start = time.perf_counter()
    texts = [row.text for row in minutes_data.cut_of(job["adapt"]).pool]
    folder, settings = Path(job["folder"]), finetext.Adaptation(max_length=128)
    done = finetext.adapt(texts, folder, settings, device="cpu", resume=folder.exists())
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "before": done.origin.before, "after": done.origin.after}


def fit(job: Job) -> Answer:
    """Fit one variant, and score it on the rows that are judged."""
    rows = minutes_data.rows_of(
        job["set"], job["size"], job["seed"], "validation", minutes_data.MOST_EVALUATED
    )
    assert rows is not None
    train, judged = (
        _dataset(rows, *keys) for keys in (("texts", "labels"), ("evaluation", "truth"))
    )
    settings = dict(job["settings"])
    if times := settings.pop("times", None):
        epochs = regimes.epochs_for(
            job["size"], regimes.batch_size_for(job["size"], TOKENS), TOKENS
        )
        settings["epochs"] = max(1, round(times * epochs))
    if layers := settings.pop("layers", None):
        settings["encoder"] = str(_shallower(layers, Path(job["folder"]) / f"minilm-{layers}"))
    if settings.pop("adapted", False):
        settings["encoder"] = str(Path(job["folder"]) / f"minilm-{job['set']}")
    method, context = finetext.Finetune(**settings), FitContext(job["seed"], "cpu")
    start = time.perf_counter()
    fitted = method.fit(train, train.select([]), context)
    seconds = time.perf_counter() - start
    return {"score": _score(fitted, judged), "seconds": seconds}


def _dataset(rows: dict[str, Any], texts: str, labels: str) -> finetext.Dataset:
    names = rows["names"]
    named = [[names[one] for one in of] if rows["multilabel"] else names[of] for of in rows[labels]]
    scheme = finetext.LabelScheme(tuple(names), multilabel=rows["multilabel"])
    return replace(finetext.read((rows[texts], named)), scheme=scheme)


def _score(fitted: Any, judged: finetext.Dataset) -> float:
    """Accuracy; of several labels macro F1 on one half, with thresholds from the other."""
    from sklearn.metrics import f1_score

    from finetext.evaluation.thresholds import choose_thresholds

    found, truth = fitted.predict_proba(judged.texts), judged.targets
    if truth.ndim == 1:
        return float(np.mean(found.argmax(axis=1) == truth))
    half = len(truth) // 2
    limits = choose_thresholds(found[:half], truth[:half])
    said = found[half:] >= limits
    return float(f1_score(truth[half:], said, average="macro", zero_division=0))


def _shallower(layers: int, folder: Path) -> Path:
    """Write MiniLM with its first layers only, if it is not there."""
    if not folder.exists():
        from transformers import AutoModel

        from finetext.encoders.catalogue import resolve
        from finetext.encoders.load import load_tokenizer

        model = AutoModel.from_pretrained(resolve("minilm").path)
        model.encoder.layer = model.encoder.layer[:layers]
        model.config.num_hidden_layers = layers
        unfinished = folder.with_suffix(".part")
        model.save_pretrained(unfinished)
        load_tokenizer("minilm").save_pretrained(unfinished)
        unfinished.rename(folder)
    return folder


if __name__ == "__main__":
    main()
