"""Compare predictions that another program made with those of a run, on the same rows.

python examples/compare_predictions.py theirs.csv runs/reviews

The table has a column `id`, the true label in `label`, and one column `probability:NAME` for each
label; a run writes its own in this form: `predictions.parquet` in the folder of each method.
"""

from __future__ import annotations

import sys

import finetext


def main(theirs: str, ours: str) -> None:
    """Print the scores of both with 95% intervals, and whether the difference is significant."""
    first, second = (finetext.open_predicted(source).predictions for source in (theirs, ours))
    for source, predictions in ((theirs, first), (ours, second)):
        for metric, score in finetext.evaluate(
            predictions, metrics=["accuracy", "macro_f1"]
        ).items():
            print(f"{source}: {metric} {score}")
    found = finetext.compare(first, second, "accuracy")
    verdict = "significant" if found.p_value < 0.05 else "not significant"
    print(f"difference in accuracy: {found.difference}, p = {found.p_value:.3f}, {verdict} at 5%")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
