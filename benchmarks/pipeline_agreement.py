"""Does `transformers.pipeline` give the probabilities that finetext gives?

    python benchmarks/pipeline_agreement.py runs/emotion --rows 500

Loads the finetuned model of a run with both and compares the probabilities of every class on test
texts of that run.
"""

from __future__ import annotations

import argparse

import numpy as np
from transformers import pipeline

import finetext


def main() -> None:
    """Print the number of texts, the largest difference and the share of equal labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run folder with the method finetune")
    parser.add_argument("--rows", type=int, default=500, help="test texts to compare on")
    arguments = parser.parse_args()

    run = finetext.Run.open(arguments.run)
    texts = run.texts("finetune")[: arguments.rows]
    classifier = run.classifier("finetune")
    ours = classifier.predict_proba(texts)
    theirs = pipeline("text-classification", str(run.folder / "finetune" / "model"), top_k=None)
    answers = theirs(texts, truncation=True, batch_size=32)
    names = classifier.scheme.names
    rows = [{answer["label"]: answer["score"] for answer in row} for row in answers]
    matrix = np.array([[row[name] for name in names] for row in rows])
    difference = np.abs(ours - matrix).max()
    agreement = (ours.argmax(axis=1) == matrix.argmax(axis=1)).mean()
    print(f"{len(texts)} texts: largest difference {difference:.1e}, equal labels {agreement:.1%}")


if __name__ == "__main__":
    main()
