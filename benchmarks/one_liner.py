"""One call from a list of texts and a list of labels to a classifier that can be called.

    FINETEXT_DATA=../shared/data python benchmarks/one_liner.py

Fits MiniLM on 1,000 film-review snippets with string labels and measures it on 1,000 snippets of
other films.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import finetext

ROWS = 1000
NAMES = {"fresh": "positive", "rotten": "negative"}


def main() -> None:
    """Print what the classifier says of two texts, its scores and the time."""
    source = Path(os.environ["FINETEXT_DATA"]) / "rotten_tomatoes_movies"
    data = finetext.read(source / "rotten_tomatoes_movies.csv", group="movie")
    settings = finetext.SplitSettings(train=ROWS, validation=10, test=ROWS)
    parts = finetext.split(data, settings, seed=0)
    texts, labels = parts.train.texts, [NAMES[label] for label in parts.train.labels]

    started = time.perf_counter()
    clf = finetext.fit(texts, labels)
    seconds = time.perf_counter() - started

    print(len(texts), "reviews,", f"{seconds:.0f} s")
    for text in ("A warm, funny and beautifully acted film.", "Two hours I will never get back."):
        print(text, clf(text))
    truth = [NAMES[label] for label in parts.test.labels]
    test = finetext.read((parts.test.texts, truth))
    scores = finetext.evaluate(finetext.predict(clf, test))
    print("other films:", "accuracy", scores["accuracy"], "macro F1", scores["macro_f1"])


if __name__ == "__main__":
    main()
