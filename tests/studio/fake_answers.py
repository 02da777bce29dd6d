"""What a fake studio says of reading, progress, agreement, review and runs."""

from __future__ import annotations

from typing import Any, Final


def interval(value: float, half: float = 0.05, n: int = 80) -> dict[str, Any]:
    """Return a score with an interval."""
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half), "n": n}


READ: Final = {
    "description": "120 rows of text 'body' and label 'topic'",
    "notes": ["2 rows without a text are left out"],
    "names": ["id", "topic", "body"], "text": ["body"], "label": "topic", "id": "id",
    "rows": [
        [f"n{row}", "sport" if row % 2 else "food", f"Text {row} <b>is</b> about things " * 4]
        for row in range(20)
    ],
    "count": 120, "classes": [{"name": "sport", "rows": 70}, {"name": "food", "rows": 50}],
    "checks": [{"severity": "warning", "message": "4 texts occur twice"}],
}  # fmt: skip
UNCLEAR: Final = {
    "error": "two columns look like texts; state it as \"text\": one of body, title",
    "choice": {
        "setting": "text", "problem": "two columns look like texts",
        "readings": [
            {"value": "body", "examples": ["The team won", "Shares fell"]},
            {"value": "title", "examples": ["Match", "Market"]},
        ],
    },
}  # fmt: skip
PROGRESS: Final = {
    "accuracy": interval(0.83, 0.06) | {"of": "labels given in the random stream"},
    "why_not": None, "forecast_why_not": None,
    "sentence": "Right on 83 of 100 texts; 100 more labels would add about 2",
    "advice": "Label at least 12 more texts of food.",
    "forecast": [
        {"labels": more, "gain": gain, "low": gain - 0.01, "high": gain + 0.02}
        for more, gain in ((50, 0.012), (100, 0.021), (200, 0.034))
    ],
    "undecided": 2,
    "coverage": [
        {
            "label": name, "judged": judged, "random": judged // 5, "enough": judged > 20,
            "share": {"value": judged / 200, "low": judged / 300, "high": judged / 150},
        }
        for name, judged in (("sport", 120), ("money", 70), ("food", 9))
    ],
    "curve": [
        {"labels": labels, **interval(value, 0.08)}
        for labels, value in ((20, 0.58), (40, 0.69), (80, 0.77), (160, 0.83))
    ],
    "suggestions": {"shown": 60, "accepted": 48, "rate": interval(0.8, 0.1)},
    "speed": {"median_seconds": 3.42},
    "encoding": {"done": 90, "total": 120, "problem": None},
}  # fmt: skip
AGREEMENT: Final = {
    "texts": 40, "total": 200, "annotators": 3, "agreed": interval(0.85, 0.1),
    "alpha": interval(0.74, 0.12), "ceiling": interval(0.88, 0.08),
    "people": [{"name": name, "agreed": interval(0.86, 0.1)} for name in ("Ada", "Ben", "Cleo")],
    "pairs": [
        {"a": "Ada", "b": "Ben", "agreed": interval(0.85, 0.1), "kappa": interval(0.75, 0.15)},
        {"a": "Ada", "b": "Cleo", "agreed": interval(0.8, 0.1), "kappa": interval(0.7, 0.15)},
    ],
    "classes": [
        {
            "name": name, "agreed": interval(0.8, 0.1), "alpha": interval(0.7, 0.2),
            "kappa": {"value": None, "low": None, "high": None, "n": 0},
        }
        for name in ("sport", "money", "food")
    ],
    "lines": [
        "All annotators agree on 34 of 40 texts.",
        "Krippendorff's alpha is 0.74 [0.62, 0.86]: good enough for tentative conclusions.",
    ],
    "confusion": [
        {
            "labels": ["sport", "money", "food"], "counts": [[14, 1, 0], [2, 11, 3], [0, 0, 9]],
            "a": "Ada", "b": "Ben",
        }
    ],
}  # fmt: skip
REVIEW: Final = [
    {
        "text": {"id": 3, "name": "t3", "text": "The club sold its shares at a loss."},
        "reasons": ["differ", "flagged"],
        "answers": [
            {"annotator": "Ada", "labels": ["sport"], "note": "it is a club", "flagged": True},
            {"annotator": "Ben", "labels": ["money"], "note": "", "flagged": False},
        ],
        "doubt": None,
    },
    {
        "text": {"id": 4, "name": "t4", "text": "Soup for the whole team."},
        "reasons": ["doubtful"],
        "answers": [{"annotator": "Ada", "labels": ["sport"], "note": "", "flagged": False}],
        "doubt": {"run": "run-1", "label": "sport", "suggested": "food", "probability": 0.91},
    },
]
RUN: Final = {
    "name": "run-1", "state": "done", "stage": "done", "share": 1.0, "seconds": 84.0,
    "message": "", "command": "finetext train news.jsonl --out runs/run-1",
    "python": "import finetext\n\nrun = finetext.train('news.jsonl', out='runs/run-1')",
    "best": {"method": "probe", "metric": "accuracy", **interval(0.87)},
    "verdict": "Right on 87 of 100 texts; always answering sport is right on 52",
}  # fmt: skip
DETAILS: Final = {
    "verdict": {"headline": RUN["verdict"], "lines": ["The probe is better than tfidf."]},
    "leaderboard": [
        {"method": name, "score": interval(value), "seconds": seconds, "recommended": first}
        for name, value, seconds, first in (
            ("probe", 0.87, 12.0, True), ("tfidf", 0.81, 2.0, False), ("majority", 0.52, 0.0, False)
        )
    ],
    "findings": [{"severity": "warning", "message": "food has only 9 rows"}],
    "lines_of_log": ["fitting tfidf", "fitting probe"],
}  # fmt: skip
ERRORS: Final = [
    {
        "id": "n7", "text": "The club sold its shares. " * 12, "truth": "sport",
        "prediction": "money", "probability": 0.97,
    }
]  # fmt: skip
LABEL_ERRORS: Final = [
    {"id": "n9", "text": "Soup for the team", "label": "sport", "suggested": "food",
     "probability": 0.94}
]  # fmt: skip
ESTIMATE: Final = {
    "lines": ["3 methods: majority, tfidf, probe", "estimate: 40 s"], "seconds": 40.0,
    "problems": ["food has 9 rows: label at least 20"],
    "command": RUN["command"], "python": RUN["python"],
}  # fmt: skip
USES: Final = {
    what: {"command": f"finetext {what} model", "python": f"import finetext\nfinetext.{what}"}
    for what in ("predict", "serve", "export")
}
REPORT: Final = """<!DOCTYPE html><title>Report</title><style>h1 { color: teal; }</style>
<h1>How often it is right</h1><script>
document.body.append("script ran");
try { document.body.append(parent.document.title); }
catch (error) { document.body.append(", caged"); }
</script>"""
