"""The peers of `minutes.py`, each as its own documentation shows it. Imports nothing of finetext.

    .peers/bin/python benchmarks/minutes_peers.py --job FILE

FILE is JSON with the name of a contender, its rows and the seed; the answer is written there.
`python benchmarks/minutes.py --set-up-peers` makes `.peers` from `peers.txt`. All peers learn from
every row they get; the encoder is a local folder for all of them.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

Job = dict[str, Any]
Rows = dict[str, Any]
Predict = Callable[[list[str]], list[Any]]

MANY: Final = 10**9
SHARE_TO_CHOOSE: Final = 0.2
MOST_ROWS_TO_CHOOSE: Final = 1_000
FEWEST_STEPS: Final = 100
WARMUP_SHARE: Final = 0.06
SETFIT_PAIRS: Final = (20, 2_000)
SETFIT_STEPS: Final = 250
CANDIDATES: Final = ((16, 5e-5), (16, 1e-4), (32, 2e-4))
THRESHOLDS: Final = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def main() -> None:
    """Fit the contender of the job, predict the evaluation rows, and write both with their times.

    "seconds" are those from the start of the process to the end of fitting, imports and reading
    included, "cpu" those that the processor worked; "in_all" ends with the predictions.
    """
    path = Path(sys.argv[2])
    job = json.loads(path.read_text())
    rows = json.loads(Path(job["rows"]).read_text())
    notes: dict[str, Any] = {}
    predict = PEERS[job["contender"]](job, rows, notes)
    point = {"seconds": time.time() - job["started"], "cpu": time.process_time()}
    point |= {"name": job["contender"], "predictions": predict(rows["evaluation"])}
    answer = {"points": [point], "in_all": time.time() - job["started"], "notes": notes}
    path.write_text(json.dumps(answer))


def trainer(job: Job, rows: Rows, notes: dict[str, Any]) -> Predict:
    """Return `Trainer` with its defaults: fp32, batches of 16, 5e-5, 3 epochs, padding by batch.

    The batch of 16 is that of its guide to text classification; that of `TrainingArguments` is 8.
    """
    options = {"per_device_train_batch_size": 16, "learning_rate": 5e-5, "num_train_epochs": 3}
    return _labels_of(rows, _trained(job, rows, options, range(len(rows["texts"]))), 0.5)


def trainer_best(job: Job, rows: Rows, notes: dict[str, Any]) -> Predict:
    """Return `Trainer` at its best; the time of choosing counts.

    Batches grouped by length, fused AdamW, warm-up, bf16 where the processor multiplies it, at
    least 100 steps on few rows. Batch size and learning rate, and with several labels a row the
    threshold, are chosen on a fifth of the rows, or of 1,000 of them; then it learns from all.
    """
    import numpy as np

    order = np.random.default_rng(job["seed"]).permutation(len(rows["texts"]))
    order = order[:MOST_ROWS_TO_CHOOSE].tolist()
    held_out = order[: max(1, round(SHARE_TO_CHOOSE * len(order)))]
    few = order[len(held_out) :]
    texts = [rows["texts"][row] for row in held_out]
    truth = [rows["labels"][row] for row in held_out]
    found = []
    for batch, rate in CANDIDATES:
        logits = _trained(job, rows, _best(len(few), batch, rate), few)
        scores = logits(texts)
        for threshold in THRESHOLDS if rows["multilabel"] else (0.5,):
            labels = _labels_of(rows, lambda _, scores=scores: scores, threshold)(texts)
            found.append((_macro_f1(rows, truth, labels), batch, rate, threshold))
    score, batch, rate, threshold = max(found, key=lambda one: one[0])
    notes |= {"batch": batch, "rate": rate, "threshold": threshold, "held out macro F1": score}
    options = _best(len(order), batch, rate)
    notes["epochs"] = options["num_train_epochs"] = _epochs(len(rows["texts"]), batch)
    return _labels_of(rows, _trained(job, rows, options, range(len(rows["texts"]))), threshold)


def _best(count: int, batch: int, rate: float) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": batch, "learning_rate": rate,
        "num_train_epochs": _epochs(count, batch), "warmup_steps": WARMUP_SHARE,
        "train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused",
        "bf16": _multiplies_bf16(), "weight_decay": 0.01,
    }  # fmt: skip


def _epochs(count: int, batch: int) -> int:
    return max(3, math.ceil(FEWEST_STEPS * batch / count))


def _multiplies_bf16() -> bool:
    path = Path("/proc/cpuinfo")
    flags = path.read_text() if path.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _trained(job: Job, rows: Rows, options: dict[str, Any], part: Sequence[int]) -> Any:
    """Train on some rows; return a function from texts to logits."""
    import datasets
    import numpy as np
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["encoder"])
    kind = "multi_label_classification" if rows["multilabel"] else "single_label_classification"
    model = AutoModelForSequenceClassification.from_pretrained(
        job["encoder"], num_labels=len(rows["names"]), problem_type=kind
    )

    def tokenized(columns: dict[str, Any]) -> Any:
        data = datasets.Dataset.from_dict(columns)
        encode = lambda batch: tokenizer(batch["text"], truncation=True)  # noqa: E731
        return data.map(encode, batched=True, remove_columns=["text"])

    labels = [rows["labels"][row] for row in part]
    if rows["multilabel"]:
        labels = [[float(one in of) for one in range(len(rows["names"]))] for of in labels]
    train = tokenized({"text": [rows["texts"][row] for row in part], "label": labels})
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder, seed=job["seed"], disable_tqdm=True, use_cpu=job["cpu"],
            save_strategy="no", report_to="none", per_device_eval_batch_size=32, **options,
        )  # fmt: skip
        made = Trainer(
            model=model, args=settings, train_dataset=train, processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer=tokenizer),
        )  # fmt: skip
        made.train()
    # Grouped by length, Trainer would predict in another order than that of the rows.
    made.args.train_sampling_strategy = "random"

    def logits(texts: list[str]) -> Any:
        # Sorted by length, so that prediction is no slower than it need be.
        order = np.argsort([len(text) for text in texts])
        found = made.predict(tokenized({"text": [texts[row] for row in order]})).predictions
        return found[np.argsort(order)]

    return logits


def _labels_of(rows: Rows, logits: Callable[[list[str]], Any], threshold: float) -> Predict:
    """Return a function from texts to labels: the likeliest, or all likely enough."""
    import numpy as np

    def predict(texts: list[str]) -> list[Any]:
        found = np.asarray(logits(texts))
        if not rows["multilabel"]:
            return found.argmax(axis=1).tolist()
        least = math.log(threshold / (1 - threshold))
        return [np.flatnonzero(row > least).tolist() for row in found]

    return predict


def _macro_f1(rows: Rows, truth: list[Any], labels: list[Any]) -> float:
    from sklearn.metrics import f1_score

    if rows["multilabel"]:
        truth, labels = (_indicators(rows, of) for of in (truth, labels))
    return float(f1_score(truth, labels, average="macro", zero_division=0))


def _indicators(rows: Rows, labels: list[Any]) -> Any:
    import numpy as np

    table = np.zeros((len(labels), len(rows["names"])), dtype=int)
    for row, several in enumerate(labels):
        table[row, several] = 1
    return table


def setfit(job: Job, rows: Rows, notes: dict[str, Any]) -> Predict:
    """Return SetFit: batches of 16, 1 epoch of 20 pairs for and against each row, as in the paper.

    Those are 250 steps on 100 rows, some minutes of a CPU core with short texts. On more rows
    there are as many steps, with fewer pairs for each row, unless the job asks for the whole.
    """
    import datasets
    from setfit import SetFitModel, Trainer, TrainingArguments

    pairs, most = SETFIT_PAIRS
    most = pairs * len(rows["texts"]) if job.get("whole") else most
    notes["num_iterations"] = max(1, min(pairs, most // len(rows["texts"])))
    pairs_in_all = 2 * notes["num_iterations"] * len(rows["texts"])
    is_cut = pairs_in_all > 16 * SETFIT_STEPS and not job.get("whole")
    steps = SETFIT_STEPS if is_cut else -1
    several = {"multi_target_strategy": "one-vs-rest"} if rows["multilabel"] else {}
    model = SetFitModel.from_pretrained(
        job["encoder"], device="cpu" if job["cpu"] else None, **several
    )
    labels = _indicators(rows, rows["labels"]).tolist() if rows["multilabel"] else rows["labels"]
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder, batch_size=16, num_epochs=1, seed=job["seed"],
            num_iterations=notes["num_iterations"], max_steps=steps,
            save_strategy="no", report_to="none",
        )  # fmt: skip
        data = datasets.Dataset.from_dict({"text": rows["texts"], "label": labels})
        Trainer(model=model, args=settings, train_dataset=data).train()
    return lambda texts: _plain(rows, model.predict(texts))


def model2vec(job: Job, rows: Rows, notes: dict[str, Any]) -> Predict:
    """Return model2vec's classifier with its defaults, on a model distilled from the encoder here.

    Distilling counts: there is no model of this encoder to download. A class of one row is left
    out, as its own split into training and validation rows refuses it.
    """
    from collections import Counter

    from model2vec.distill import distill
    from model2vec.train import StaticModelForClassification

    static = distill(job["encoder"], device="cpu" if job["cpu"] else None)
    notes["distilled after"] = time.time() - job["started"]
    model = StaticModelForClassification.from_static_model(model=static)
    texts, labels = rows["texts"], rows["labels"]
    if rows["multilabel"]:
        labels = [[str(one) for one in several] for several in labels]
    else:
        counts = Counter(labels)
        kept = [row for row, label in enumerate(labels) if counts[label] > 1]
        texts, labels = [texts[row] for row in kept], [str(labels[row]) for row in kept]
        notes["left out"] = len(rows["texts"]) - len(kept)
    # Its stratified split wants a row of each class on both sides.
    size = max(math.ceil(0.1 * len(texts)), 0 if rows["multilabel"] else len(set(labels)))
    device = {"device": "cpu"} if job["cpu"] else {}
    model.fit(texts, labels, test_size=size, random_seed=job["seed"], **device)

    def predict(given: list[str]) -> list[Any]:
        found = model.predict(given)
        return [list(map(int, one)) if rows["multilabel"] else int(one) for one in found]

    return predict


def fasttext(job: Job, rows: Rows, notes: dict[str, Any]) -> Predict:
    """Return fastText with the options and the cleaning of texts at the end of its tutorial."""
    import fasttext as library

    def cleaned(text: str) -> str:
        return " ".join(re.sub(r"([.!?,'/()])", r" \1 ", text).lower().split())

    lines = []
    for text, label in zip(rows["texts"], rows["labels"], strict=True):
        several = label if rows["multilabel"] else [label]
        lines.append(" ".join([*(f"__label__{one}" for one in several), cleaned(text)]))
    options: dict[str, Any] = {
        "lr": 1.0,
        "epoch": 25,
        "wordNgrams": 2,
        "bucket": 200_000,
        "dim": 50,
    }
    if rows["multilabel"]:
        options |= {"lr": 0.5, "loss": "ova"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        threads = int(os.environ["OMP_NUM_THREADS"])
        model = library.train_supervised(
            str(file), thread=threads, seed=job["seed"], verbose=0, **options
        )
    many = {"k": -1, "threshold": 0.5} if rows["multilabel"] else {"k": 1}

    def predict(texts: list[str]) -> list[Any]:
        found = model.predict([cleaned(text) for text in texts], **many)[0]
        numbers = [[int(one.removeprefix("__label__")) for one in of] for of in found]
        return numbers if rows["multilabel"] else [of[0] for of in numbers]

    return predict


def tfidf(job: Job, rows: Rows, notes: dict[str, Any]) -> Predict:
    """Return scikit-learn's TF-IDF of words and pairs of words with logistic regression, C 10."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    regression = LogisticRegression(C=10, max_iter=1000, random_state=job["seed"])
    return _fitted(rows, make_pipeline(words, _for_several(rows, regression)), rows["texts"])


def frozen(job: Job, rows: Rows, notes: dict[str, Any]) -> Predict:
    """Return logistic regression with its defaults on sentence embeddings of the encoder."""
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    encoder = SentenceTransformer(job["encoder"], device="cpu" if job["cpu"] else None)
    head = _for_several(rows, LogisticRegression(max_iter=1000, random_state=job["seed"]))
    predict = _fitted(rows, head, encoder.encode(rows["texts"]))
    return lambda texts: predict(encoder.encode(texts))


def _for_several(rows: Rows, model: Any) -> Any:
    from sklearn.multiclass import OneVsRestClassifier

    return OneVsRestClassifier(model) if rows["multilabel"] else model


def _fitted(rows: Rows, model: Any, features: Any) -> Any:
    labels = _indicators(rows, rows["labels"]) if rows["multilabel"] else rows["labels"]
    model.fit(features, labels)
    return lambda given: _plain(rows, model.predict(given))


def _plain(rows: Rows, found: Any) -> list[Any]:
    """Return the numbers of labels, or lists of them for a table of 0 and 1."""
    import numpy as np

    if rows["multilabel"]:
        return [np.flatnonzero(row).tolist() for row in np.asarray(found)]
    return [int(one) for one in found]


def imports(job: Job, rows: Rows, notes: dict[str, Any]) -> Predict:
    """Import what all peers import, so that no contender pays for the first reading from disk."""
    import datasets  # noqa: F401
    import fasttext  # noqa: F401
    import sentence_transformers  # noqa: F401
    import setfit  # noqa: F401
    from model2vec.distill import distill  # noqa: F401
    from transformers import Trainer  # noqa: F401

    return lambda texts: []


PEERS: Final[dict[str, Callable[[Job, Rows, dict[str, Any]], Predict]]] = {
    "trainer": trainer,
    "trainer-best": trainer_best,
    "setfit": setfit,
    "model2vec": model2vec,
    "fasttext": fasttext,
    "tfidf+lr": tfidf,
    "frozen+lr": frozen,
    "imports": imports,
}


if __name__ == "__main__":
    main()
