"""All diagnoses of a made-up run, with texts as people write them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from finetext.core.decision import Decision
from finetext.core.types import Finding, Score
from finetext.diagnosis.curve import (
    Curve,
    Expectation,
    LinePoint,
    MethodCurve,
    Point,
    PowerLaw,
    SizeChoice,
)
from finetext.diagnosis.explain import ClassWords
from finetext.diagnosis.label_errors import Suspect, Suspects
from finetext.diagnosis.losses import Confusion, Errors, RowLoss
from finetext.diagnosis.slices import Slice, Slices
from finetext.diagnosis.text_map import TextMap
from finetext.report.report import Diagnoses, ReportData

HOSTILE_TEXT = "i feel </script><script>alert('x')</script> <b>bold</b> {{ 7 * 7 }} & done"
OPENINGS = [
    "i feel",
    "i was feeling",
    "i can not help but feel",
    "i started to feel",
    "i still feel",
]
FEELINGS = ["rather lonely", "so loved", "a little anxious", "strangely calm", "quite furious"]
REASONS = [
    "because nobody called all day", "when the train left without me", "about the exam on monday",
    "after she read my letter aloud", "although there is no reason to",
]  # fmt: skip
LONG = " and then i went on writing about it for far too long," * 12


def text(number: int) -> str:
    """A sentence; one in nine is long, the first is hostile."""
    if number == 0:
        return HOSTILE_TEXT
    parts = (OPENINGS, FEELINGS, REASONS)
    words = [part[number // 5**place % 5] for place, part in enumerate(parts)]
    return " ".join(words) + (LONG if number % 9 == 0 else "")


def judged(number: int, labels: tuple[str, ...], is_wrong: bool = True) -> RowLoss:
    """A row with a loss that falls with its number."""
    truth, other = labels[number % len(labels)], labels[(number + 1) % len(labels)]
    likely = 1 / (number + 2)
    given = other if is_wrong else truth
    loss = float(-np.log(likely))
    return RowLoss(f"r{number}", text(number), (truth,), (given,), 1 - likely, likely, loss)


def errors(labels: tuple[str, ...]) -> Errors:
    """40 wrong rows, 10 sure ones, and a confusion for each label."""
    confusions = tuple(
        Confusion(
            name, labels[i - 1], 20 - i, 0.1 / (i + 1), tuple(judged(j, labels) for j in (1, 9))
        )
        for i, name in enumerate(labels)
    )
    highest = tuple(judged(number, labels) for number in range(40))
    lowest = tuple(judged(number, labels, is_wrong=False) for number in range(50, 60))
    return Errors("finetune", "validation", 2000, 148, highest, lowest, confusions)


def slices(labels: tuple[str, ...]) -> Slices:
    """Slices, the first two of them worse."""
    names = [("length", "1 to 6 words"), ("token", "“not”"), *(("label", name) for name in labels)]
    rows = tuple(
        Slice(
            kind, name, 100 + 10 * i, Score(0.6 + i / 20, 0.5 + i / 20, 0.7 + i / 20, 100),
            Score(-0.2 + i / 20, -0.3 + i / 20, -0.1 + i / 20, 100),
            0.0004 if i < 2 else 0.6, i < 2, 0.19 - i / 100,
        )
        for i, (kind, name) in enumerate(names)
    )  # fmt: skip
    return Slices("finetune", "validation", "macro_f1", 31, rows)


def suspects(labels: tuple[str, ...], count: int = 300) -> Suspects:
    """Labels that look wrong, the first the most."""
    found = tuple(
        Suspect(
            f"r{i}", text(i), labels[i % len(labels)], labels[(i + 1) % len(labels)],
            i / 1000, 1 - i / 900, i / 1000,
        )
        for i in range(count)
    )  # fmt: skip
    return Suspects("tfidf", 5, 16000, found, 12.0)


def class_words(labels: tuple[str, ...]) -> ClassWords:
    """Three words a label."""
    rows = (("lonely", 0.82, 140), ("loved", 0.4, 33), ("<b>", 0.05, 2))
    return ClassWords("tfidf", "exact contributions", 500, dict.fromkeys(labels, rows))


def text_map(labels: tuple[str, ...], n: int = 2000) -> TextMap:
    """A cloud a label; every tenth text is predicted wrongly."""
    random = np.random.default_rng(0)
    truths = tuple(labels[i % len(labels)] for i in range(n))
    given = tuple(labels[(i + (i % 10 == 0)) % len(labels)] for i in range(n))
    angles = np.array([i % len(labels) for i in range(n)]) * 2 * np.pi / len(labels)
    x = 4 * np.cos(angles) + random.normal(size=n)
    y = 4 * np.sin(angles) + random.normal(size=n)
    return TextMap(
        source="frozen states of minilm", method="finetune", ids=tuple(f"r{i}" for i in range(n)),
        texts=tuple(text(i)[:200] for i in range(n)), truths=truths, predictions=given,
        x=tuple(x.tolist()), y=tuple(y.tolist()),
    )  # fmt: skip


def curve() -> Curve:
    """Two methods at four sizes; the better one is expected to gain from more labels."""
    sizes = (2000, 4000, 8000, 16000)

    def score(value: float) -> Score:
        return Score(value, value - 0.02, value + 0.02, 2000)

    def of(method: str, first: float) -> MethodCurve:
        values = [first + 0.06 * (1 - 2.0**-i) for i in range(7)]
        points = [
            Point(n, n, score(v), (v - 0.01, v + 0.01), 3.0)
            for n, v in zip(sizes, values, strict=False)
        ]
        expected = [
            Expectation(times, int(16000 * times), score(v), score(v - values[3]), v > 0.85)
            for times, v in zip((1.5, 2.0, 4.0), values[4:], strict=True)
        ]
        line = [LinePoint(2000 * 2.0**i, score(v)) for i, v in enumerate(values)]
        law = PowerLaw(first + 0.06, 0.06, 1.0, 2000)
        return MethodCurve(method, tuple(points), "told", law, tuple(expected), tuple(line))

    methods = (of("tfidf", 0.7), of("finetune", 0.82))
    choices = tuple(SizeChoice(n, "finetune", {}) for n in sizes)
    return Curve("macro_f1", "validation", 2000, 16000, sizes, 2, methods, choices, ())


def diagnosed(data: ReportData) -> ReportData:
    """The same run with all diagnoses, prediction sets and temperature scaling."""
    labels = next(iter(data.predictions.values())).scheme.names
    rule = Decision(temperature=1.4, set_from=0.15, coverage=0.9)
    scaled = {name: replace(of, decision=rule) for name, of in data.predictions.items()}
    found = Diagnoses(
        errors=errors(labels),
        slices=slices(labels),
        suspects=suspects(labels),
        words=class_words(labels),
        map=text_map(labels),
        curve=curve(),
        openings=[{"when": "2026-01-01T00:00:00+00:00", "by": "finetext errors"}],
    )
    advice = Finding("warning", "imbalance", "the label surprise has 3.6% of the rows", ("r1",))
    return replace(data, predictions=scaled, diagnoses=found, findings=(*data.findings, advice))
