"""A made-up run to report on."""

from __future__ import annotations

import numpy as np

from finetext.core.column_role import ColumnRole
from finetext.core.types import Finding, LabelScheme, Predictions
from finetext.diagnosis.explore import ALL, Lengths, Spread
from finetext.evaluation.choice import Grounds, choose_among
from finetext.evaluation.compare import compare
from finetext.evaluation.intervals import evaluate
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.report.report import ReportData

HOSTILE = '<script>alert("x")</script> $a_1$ 你好 &amp;'
SECONDS = {"majority": 0.01, "tfidf": 6.0, "finetune": 812.0}
LOG = [
    *({"step": n, "loss": 2 / n, "learning_rate": [1e-4 - n * 1e-6, 1e-3 - n * 1e-5],
       "gradient_norm": 1 + n % 7} for n in range(5, 100, 5)),
    {"step": 50, "event": f"resumed {HOSTILE}"},
    {"step": 99, "loss": 0.02, "evaluation": {"validation macro_f1": 0.9}},
]  # fmt: skip


def made_up(scheme: LabelScheme, n: int = 200) -> ReportData:
    """A run of three methods on random rows."""
    random = np.random.default_rng(0)
    k = len(scheme)
    ids = tuple(map(str, range(n)))
    targets = random.integers(k, size=n)
    truth = np.eye(k, dtype=np.int64)[targets]
    predictions = {}
    for method, skill in zip(SECONDS, (0.0, 2.0, 4.0), strict=True):
        odds = np.exp(random.normal(size=(n, k)) + skill * truth)
        likely = odds / odds.sum(axis=1, keepdims=True)
        predictions[method] = Predictions(
            ids, truth if scheme.multilabel else targets, likely, scheme
        )
    scores = {method: evaluate(p, resamples=50) for method, p in predictions.items()}
    entries = tuple(
        LeaderboardEntry(
            m, {"validation": s, "test": s}, SECONDS[m], 405.0, 90_912_345, f"{m}/model"
        )
        for m, s in scores.items()
    )
    best = predictions["finetune"]
    comparisons = {m: compare(p, best, "macro_f1") for m, p in predictions.items() if p is not best}
    grounds = Grounds.of("macro_f1", "validation", [best], "majority")
    sets = {method: [p] for method, p in predictions.items()}
    choice = choose_among(sets, SECONDS, "finetune", grounds)
    counts = {name: int(c) for name, c in zip(scheme.names, truth.sum(axis=0), strict=True)}
    spread = Spread(n, 12.0, 0.0, 1.0, 5.0, 10.0, 20.0, 40.0, 90.0, cut=0.125)

    def lengths(unit: str, context: int | None = None, encoder: str | None = None) -> Lengths:
        return Lengths(unit, dict.fromkeys((ALL, *scheme.names), spread), context, encoder)

    return ReportData(
        title=f"A run {HOSTILE}",
        description=f"file.csv {HOSTILE}",
        rows={"train": n, "validation": n, "test": n},
        class_counts=dict.fromkeys(("train", "validation", "test"), counts),
        lengths=(lengths("words"), lengths("tokens", 30, HOSTILE)),
        findings=(Finding("warning", "x", HOSTILE, ("1", HOSTILE)), Finding("error", "y", "bad")),
        entries=entries,
        predictions=predictions,
        comparisons=comparisons,
        metric="macro_f1",
        best="finetune",
        recommended=choice.recommended,
        choice=choice,
        logs={"finetune": LOG, "tfidf": []},
        columns=(
            ColumnRole(HOSTILE, "text", HOSTILE, HOSTILE),
            ColumnRole("n", "", "numbers", "7"),
        ),
        recipe=f'source = "{HOSTILE}"',
        environment={"device": HOSTILE, "seed": 0},
    )
