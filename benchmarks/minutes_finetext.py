"""finetext as a contender of `minutes.py`: its methods one by one, and as it chooses.

    python benchmarks/minutes_finetext.py --job FILE

FILE is the same job that `minutes_peers.py` gets. Of the rows finetext holds out validation rows
itself, whatever it needs.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

Job = dict[str, Any]
Rows = dict[str, Any]
Point = dict[str, Any]

AS_IT_CHOOSES: Final = "finetext"
MINUTES: Final = re.compile(r"finetext-(\d+(?:\.\d+)?)min")


class Clock(threading.Thread):
    """Notes how long the processor has worked for this process, to look it up for any moment."""

    def __init__(self) -> None:
        """Begin with what is known now."""
        super().__init__(daemon=True)
        self._seen = [(time.time(), time.process_time())]

    def run(self) -> None:
        """Look five times a second."""
        while True:
            time.sleep(0.2)
            self._seen.append((time.time(), time.process_time()))

    def cpu(self, moment: float) -> float:
        """Return the seconds of processor time up to a moment."""
        import numpy as np

        return float(np.interp(moment, *zip(*self._seen, strict=True)))


def main() -> None:
    """Fit the contender of the job and write predictions and seconds of its points.

    "seconds" are those from the start of the process, less those of predicting evaluation rows;
    "cpu" those that the processor worked.
    """
    clock = Clock()
    clock.start()
    path = Path(sys.argv[2])
    job = json.loads(path.read_text())
    rows = json.loads(Path(job["rows"]).read_text())
    name = job["contender"]
    notes: dict[str, Any] = {}
    if name == "imports":
        points = imports()
    elif name == AS_IT_CHOOSES or MINUTES.fullmatch(name):
        points = chosen(job, rows, notes, clock)
    else:
        points = one_method(name.removeprefix("finetext-"), job, rows)
    answer = {"points": points, "in_all": time.time() - job["started"], "notes": notes}
    path.write_text(json.dumps(answer))


def imports() -> list[Point]:
    """Import what is slow, so that no contender pays for the first reading from disk."""
    import datasets  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch  # noqa: F401
    import transformers.models.bert.modeling_bert  # noqa: F401

    import finetext.methods.finetune
    import finetext.runs.pipeline  # noqa: F401

    return []


def one_method(method: str, job: Job, rows: Rows) -> list[Point]:
    """Return the point of `finetext.fit` with a method: calibrated, thresholds set.

    The job's "fields", if any, are hyperparameters of the method.
    """
    import finetext
    from finetext.core.contracts import Listener
    from finetext.core.registry import load

    device = "cpu" if job["cpu"] else "auto"
    labels, fields = labels_of(rows), job.get("fields")
    how = load("methods", method)(**fields) if fields else method
    fitted = finetext.fit(
        rows["texts"], labels, how, seed=job["seed"], device=device, listener=Listener()
    )
    point = {"seconds": time.time() - job["started"], "cpu": time.process_time()}
    predictions = numbers(rows, fitted.predict(rows["evaluation"]))
    return [point | {"name": method, "predictions": predictions}]


def chosen(job: Job, rows: Rows, notes: dict[str, Any], clock: Clock) -> list[Point]:
    """Return a point for each method of the run: the best so far by validation, never by test.

    The last one is the best of the run, when all is written, the report included.
    """
    import finetext
    from finetext.core.contracts import Listener

    limits: dict[str, Any] = {}
    if limit := MINUTES.fullmatch(job["contender"]):
        if "minutes" not in inspect.signature(finetext.train).parameters:
            raise SystemExit("this version of finetext.train takes no minutes")
        limits["minutes"] = float(limit[1])
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.jsonl"
        data.write_text(table(rows), encoding="utf-8")
        settings = finetext.ReadSettings(
            text="text", label="label", id="id", multilabel=rows["multilabel"],
            group="group" if rows["groups"] else None,
        )  # fmt: skip
        run = finetext.train(
            str(data), read=settings, out=Path(folder) / "run", seed=job["seed"],
            listener=Listener(), **limits,
        )  # fmt: skip
        moments = {
            entry.method: (run.folder / entry.method / "entry.json").stat().st_mtime
            for entry in run.leaderboard
        }
        points = points_of(run, rows, moments | {"": time.time()}, notes)
        for point in points:
            moment, predicting = point.pop("moment"), point.pop("predicting")
            working = clock.cpu(moment) / (moment - job["started"])
            point["seconds"] = moment - job["started"] - predicting
            point["cpu"] = point["seconds"] * working
        return points


def points_of(
    run: Any, rows: Rows, moments: dict[str, float], notes: dict[str, Any]
) -> list[Point]:
    """Read the points of a run off its folder; see `chosen`."""
    points: list[Point] = []
    best, predicting = -1.0, 0.0
    for entry in sorted(run.leaderboard, key=lambda one: moments[one.method]):
        predicting += len(rows["evaluation"]) / entry.rows_per_second
        score = entry.metrics["validation"][run.metric].value
        notes[entry.method] = {"seconds": entry.seconds_to_train, "validation": score}
        if score > best:
            best = score
            points.append({"name": entry.method, "moment": moments[entry.method]})
            points[-1]["predicting"] = predicting
    notes |= {"best": run.best, "recommended": run.recommended}
    points.append({"name": run.best, "moment": moments[""], "predicting": predicting})
    return [point | {"predictions": predictions_of(run, point["name"], rows)} for point in points]


def table(rows: Rows) -> str:
    """Return JSON lines of all rows, the evaluation rows as a ready-made test part.

    A group of an evaluation row is not known to be one of the training rows, nor is it one.
    """
    lines = []
    groups = rows["groups"] or [None] * len(rows["texts"])
    parts = [
        ("train", rows["texts"], labels_of(rows), groups),
        ("test", rows["evaluation"], labels_of(rows, "truth"), None),
    ]
    for part, texts, labels, groups_of in parts:
        for place, (text, label) in enumerate(zip(texts, labels, strict=True)):
            group = groups_of[place] if groups_of else f"{part}-{place}"
            line = {"id": f"{part}-{place}", "text": text, "label": label, "split": part}
            lines.append(json.dumps(line | ({"group": group} if rows["groups"] else {})))
    return "\n".join(lines) + "\n"


def labels_of(rows: Rows, key: str = "labels") -> list[Any]:
    """Return names for the numbers of labels."""
    names = rows["names"]
    if rows["multilabel"]:
        return [[names[one] for one in several] for several in rows[key]]
    return [names[one] for one in rows[key]]


def numbers(rows: Rows, labels: list[Any]) -> list[Any]:
    """Return the numbers of labels."""
    number = {name: place for place, name in enumerate(rows["names"])}
    if rows["multilabel"]:
        return [sorted(number[one] for one in several or ()) for several in labels]
    return [number[one] for one in labels]


def predictions_of(run: Any, method: str, rows: Rows) -> list[Any]:
    """Return what a method of the run predicted for the evaluation rows, in their order."""
    found = run.predictions(method, "test")
    labels = dict(zip(found.ids, found.scheme.decode(found.decisions), strict=True))
    return numbers(rows, [labels[f"test-{row}"] for row in range(len(rows["evaluation"]))])


if __name__ == "__main__":
    main()
