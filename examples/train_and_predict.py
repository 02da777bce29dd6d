"""Train on a table of labeled texts, and predict.

python examples/train_and_predict.py reviews.csv "A fine and moving film."
"""

from __future__ import annotations

import sys

import finetext


def main(table: str, *texts: str) -> None:
    """Fit two quick methods, print how good they are, and the probabilities of the texts."""
    run = finetext.train(table, ["majority", "tfidf"])
    print(f"best: {run.best}, recommended: {run.recommended}, report: {run.folder}/report.html")
    for entry in run.leaderboard:
        split = "test" if "test" in entry.metrics else "validation"
        print(entry.method, split, entry.metrics[split]["macro_f1"])
    classifier = run.classifier()
    for text in texts:
        print(text, classifier(text))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
