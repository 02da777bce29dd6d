"""One leaderboard on SST-2: TF-IDF, a pretrained encoder, MiniLM, and MiniLM the ULMFiT way.

    FINETEXT_DATA=../shared/data python benchmarks/sst2.py --out runs/sst2

Pretrains the preset `tiny` from random weights on the first `--documents` of IMDb's unlabeled
reviews, and then makes one run on the GLUE phrases (2,000 of them to choose checkpoints on):

  tfidf             fitted on the training rows only
  tiny              the pretrained one; its twin `tiny-random` has the same architecture, and
                    tokenizer, and random weights
  minilm            plain fine-tuning, two epochs
  ulmfit            MiniLM adapted to the training phrases, then gradual unfreezing with
                    discriminative rates and one-cycle; its twin `ulmfit-unadapted` likewise, but
                    not adapted

Test rows are the 872 validation sentences of GLUE, as its test labels are not public; nothing is
chosen by them. What is finished is kept: the same command goes on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import common

import finetext
from finetext.core.contracts import Listener
from finetext.core.settings import ReadSettings
from finetext.report.leaderboard import gain_sentence

ULMFIT: Final = {
    "learning_rate": 1e-3,
    "unfreeze": "gradual",
    "discriminative": 2.6,
    "schedule": "one-cycle",
}


def main() -> None:
    """Pretrain, train and print the leaderboard with the reports."""
    parser = common.parser(__doc__)
    parser.add_argument("--documents", type=int, default=10_000, help="unlabeled reviews (10000)")
    parser.add_argument("--epochs", type=int, default=2, help="of pretraining (2)")
    parser.add_argument("--rows", type=int, help="phrases to train on (all but 2,000)")
    parser.add_argument("--out", type=Path, default=Path("runs/sst2"), help="folder (runs/sst2)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    listener = Listener(say=common.say)
    origin = pretrained(options, listener)
    run = finetext.train(
        finetext.Recipe.from_values(recipe(options)),
        out=options.out / "run",
        resume=True,
        listener=listener,
    )
    what = (
        f"`tiny` was pretrained on {origin.corpus['documents']:,} unlabeled IMDb reviews "
        f"({origin.corpus['tokens']:,} tokens), {options.epochs} epochs, in {origin.seconds:.0f} "
        f"s: perplexity on held-out reviews {origin.after['perplexity']:,.0f}, accuracy on masked "
        f"tokens {origin.after['accuracy']:.3f}. Seed 0."
    )
    paid = [sentence for pair in run.paid for sentence in ["", f"- {gain_sentence(pair)}"]]
    reports = [report(run.folder / entry.model) for entry in run.leaderboard]
    common.finish(options, "SST-2, every method", what, [leaderboard(run), paid, *reports])


def pretrained(options: Any, listener: Listener) -> Any:
    """The origin of the pretrained encoder, which is made if it is missing."""
    data = Path(os.environ["FINETEXT_DATA"]) / "imdb" / "unlabelled.csv.gz"
    folder = options.out / "tiny"
    reviews = finetext.read(data, settings=ReadSettings(text="text", labelled=False))
    made = finetext.pretrain(
        reviews.texts[: options.documents],
        folder,
        finetext.Pretraining(preset="tiny", epochs=options.epochs),
        resume=folder.exists(),
        listener=listener,
    )
    return made.origin


def recipe(options: Any) -> dict[str, Any]:
    """The run in the form of a recipe."""
    glue = Path(os.environ["FINETEXT_DATA"]).resolve() / "sst2" / "glue"
    return {
        "data": {"source": {"train": str(glue / "train.tsv"), "test": str(glue / "dev.tsv")}},
        "split": {"validation": 2_000} | ({"train": options.rows} if options.rows else {}),
        "metric": "accuracy",
        "adapt": {"encoder": "minilm", "epochs": 1},
        "methods": {
            "tfidf": {},
            "tiny": {"method": "finetune", "encoder": str((options.out / "tiny").resolve())},
            "minilm": {"method": "finetune", "epochs": 2},
            "ulmfit": {"method": "finetune", "encoder": "adapted", **ULMFIT},
        },
    }


def leaderboard(run: finetext.Run) -> list[str]:
    """The methods with their intervals."""
    rows = []
    for entry in run.leaderboard:
        validation, test = (entry.metrics[part]["accuracy"] for part in ("validation", "test"))
        f1 = entry.metrics["test"]["macro_f1"].value
        cells = [f"{validation.value:.3f}", f"{test.value:.3f} [{test.low:.3f}, {test.high:.3f}]"]
        rows.append([entry.method, *cells, f"{f1:.3f}", f"{entry.seconds_to_train:.0f}"])
    titles = ["method", "accuracy, validation", "accuracy, test [95%]", "macro F1, test", "seconds"]
    return common.table(titles, rows)


def report(model: Path) -> list[str]:
    """Precision, recall and F1 of each class on the test rows."""
    scores = json.loads((model.parent / "scores.json").read_text())
    rows = []
    for label in scores["labels"]:
        values = [label[name]["value"] for name in ("precision", "recall", "f1")]
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        rows.append([label["name"], *cells, str(label["support"])])
    titles = [f"{model.parent.name}: class", "precision", "recall", "F1", "rows"]
    return common.table(titles, rows)


if __name__ == "__main__":
    main()
