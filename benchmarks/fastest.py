"""How many times as fast as `transformers.pipeline` is each way to predict, and what does it cost?

    FINETEXT_DATA=../shared/data python benchmarks/fastest.py --record

For each data set a run of `static`, `tfidf` and `finetune` (MiniLM) on `--learn` rows and
`--choose` validation rows, which also certify a cascade at `--max-loss` points and choose the
margins of int8. Measured are `--rows` others of the same part, never test rows of the set, on which
all ways predict by turns within one process, in parts of 250 rows, with a pause before each, as the
threads of another engine may still spin:
  pipeline          pipeline("text-classification", top_k=None), batches of 32
  finetext          finetext.load(engine="throughput") of the fine-tuned model
  ONNX, int8        its exports `onnx` and `onnx --quantize int8`
  cascade           with the cheap method that `finetext cascade` chooses, engine="throughput"
  cascade + int8    the export of that cascade with int8
Labels and accuracy are compared with those of the fine-tuned model in torch in fp32. Run, exports
and cascades stay below `--models`, so that a second call measures at once.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import common
import numpy as np
from common import Answer, Job
from predict_vs_pipeline import pipeline_of

import finetext
from finetext.core.contracts import Classifier
from finetext.core.errors import DataError
from finetext.core.types import Predictions
from finetext.core.wording import counted
from finetext.evaluation.compare import compare
from finetext.evaluation.proportions import score_interval
from finetext.methods.cascade import CascadeClassifier
from finetext.models.engines import engine_of
from finetext.models.onnx import OnnxClassifier

PART: Final = 250
PAUSE: Final = 0.05
"""Seconds before each part."""
PIPELINE: Final = "pipeline"
INT8: Final = {"quantize": "int8"}


def main() -> None:
    """Train and measure each set in processes of their own, and print a table for each."""
    if common.served(work):
        return
    options = arguments()
    tables = []
    for name in options.data:
        job = {
            "data": name, "learn": options.learn, "choose": options.choose, "rows": options.rows,
            "max_loss": options.max_loss, "rounds": options.rounds,
            "models": str(
                options.models / f"{name}-{options.learn}-{options.choose}-{options.rows}"
            ),
        }  # fmt: skip
        prepared = common.alone(__file__, job | {"task": "prepare"}, options.threads)
        answer = common.alone(__file__, job | {"task": "measure"}, options.threads)
        common.say(f"{name}: {prepared} {answer}")
        tables.append(results(name, answer, prepared))
    what = (
        f"MiniLM on {options.learn:,} rows of each set, {options.choose:,} validation rows, "
        f"cascades certified at {options.max_loss:g} points; times {PIPELINE} as median over parts "
        f"of {PART} rows in {counted(options.rounds, 'round')} [least, greatest]; points of "
        "accuracy lost against the fine-tuned model in fp32 with 95% intervals, on rows that chose "
        "nothing. "
        f"{common.threads_in_words(options.threads)}"
    )
    common.finish(options, "The ways to predict against pipeline", what, tables)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = common.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=["emotion", "films", "banking77", "imdb"])
    parser.add_argument("--learn", type=int, default=2_000, help="rows to train on (2000)")
    parser.add_argument("--choose", type=int, default=1_000, help="validation rows (1000)")
    parser.add_argument("--rows", type=int, default=1_000, help="rows to predict (1000)")
    parser.add_argument("--max-loss", type=float, default=0.5, help="points of accuracy (0.5)")
    parser.add_argument("--rounds", type=int, default=3, help="predictions of each row (3)")
    parser.add_argument("--models", type=Path, default=Path("runs/fastest"), metavar="FOLDER")
    return parser.parse_args()


def results(name: str, answer: Answer, prepared: Answer) -> list[str]:
    """The table of a set."""
    titles = [name, "engine", "rows/s", f"times {PIPELINE}", "sent on", "again in fp32",
              "same label [95%]", "accuracy", "points lost [95%]"]  # fmt: skip
    rows = []
    for way, of in answer["ways"].items():
        low, high = score_interval(of["same"], answer["rows"])
        value, *ends = (f"{100 * point:.2f}" for point in of["lost"])
        rows.append(
            [way, of["engine"], f"{of['rate']:.0f}", common.spread(of["times"], 2),
             *("-" if of[share] is None else f"{of[share]:.1%}" for share in ("sent", "again")),
             f"{of['same']:.2%} [{low:.2%}, {high:.2%}]", f"{of['accuracy']:.4f}",
             f"{value} [{ends[0]}, {ends[1]}]"]
        )  # fmt: skip
    lines = common.table(titles, rows)
    return lines if not prepared["refused"] else [*lines, "", f"cascade: {prepared['refused']}"]


def work(job: Job) -> Answer:
    """Make the models of a set that are not there yet, or measure them."""
    rows = common.rows_of(job["data"], job["learn"], job["choose"], job["rows"])
    return prepare(job, rows) if job["task"] == "prepare" else measure(job, rows)


def cascade_in(job: Job) -> Path:
    """The folder of the cascade for the points that may be lost."""
    return Path(job["models"]) / f"cascade-{job['max_loss']:g}"


def prepare(job: Job, rows: common.Rows) -> Answer:
    """Train the run, make the cascade, and export; what is there already stays."""
    folder, place = Path(job["models"]), cascade_in(job)
    run, refused = trained(folder, rows), ""
    if not place.is_dir():
        try:
            finetext.cascade(run, place, max_loss=job["max_loss"], method="finetune")
        except DataError as error:
            refused = str(error)
    exports: list[tuple[Path, Path, dict[str, Any]]] = [
        (run.folder / "finetune", folder / "onnx", {}),
        (run.folder / "finetune", folder / "int8", INT8),
    ]
    if not refused:
        exports.append((place, Path(f"{place}-int8"), INT8))
    for source, target, settings in exports:
        if not target.is_dir():
            found = finetext.export(
                source, folder=target, data=rows.validation, settings=settings,
                terms=finetext.ExportTerms(least_agreement=0),
            )  # fmt: skip
            assert found.compared is not None
            common.say(f"{target.name}: {found.compared.remark}")
    return {"refused": refused}


def trained(folder: Path, rows: common.Rows) -> finetext.Run:
    """The run, whose test rows are those that are measured."""
    folder.mkdir(parents=True, exist_ok=True)
    source = dict[str, str]()
    for name, part in zip(("train", "validation", "test"), rows, strict=True):
        source[name] = str(folder / f"{name}.csv")
        groups = part.groups or part.ids
        assert part.scheme is not None
        labels = [part.scheme.names[target] for target in part.targets]
        with Path(source[name]).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text", "label", "group"])
            writer.writerows(zip(part.ids, part.texts, labels, groups, strict=True))
    group = "group" if rows.train.groups else None
    recipe = finetext.Recipe(
        source=source, read=finetext.ReadSettings("text", "label", id="id", group=group),
        methods={"static": finetext.Static(), "tfidf": finetext.Tfidf(),
                 "finetune": finetext.Finetune()},
        metric="accuracy", device="cpu", refit=False, by_rows=False,
    )  # fmt: skip
    return finetext.train(recipe, out=folder / "run", resume=True)


def ways_of(job: Job) -> dict[str, Classifier]:
    """The classifiers of finetext by the names of the ways to predict."""
    folder, place = Path(job["models"]), cascade_in(job)
    folders = {"finetext": folder / "run" / "finetune" / "model", "ONNX": folder / "onnx",
               "int8": folder / "int8"}  # fmt: skip
    if place.is_dir():
        folders |= {"cascade": place, "cascade + int8": Path(f"{place}-int8")}
    return {name: finetext.load(of, "cpu", engine="throughput") for name, of in folders.items()}


def measure(job: Job, rows: common.Rows) -> Answer:
    """Let all ways predict the same rows by turns."""
    model = Path(job["models"]) / "run" / "finetune" / "model"
    exact = finetext.load(model, "cpu", precision="fp32")
    held_out = rows.held_out.select(range(min(job["rows"], len(rows.held_out))))
    classifiers = ways_of(job)
    ways: dict[str, Callable[[Sequence[str]], Any]] = {
        PIPELINE: pipeline_of(str(model), 32, "cpu")[0],
        **{name: of.predict_proba for name, of in classifiers.items()},
    }
    seconds, found = in_turns(ways, held_out.texts, job["rounds"])
    wanted = predictions(held_out, exact, exact.predict_proba(held_out.texts))
    answers = {}
    for at, name in enumerate(ways):
        given = predictions(held_out, classifiers.get(name, exact), found[name])
        lost = compare(wanted, given, "accuracy").difference
        sent, again = shares(classifiers.get(name, exact), held_out.texts)
        answers[name] = {
            "engine": engine_of(classifiers[name]) if at else "torch",
            "rate": len(held_out) * job["rounds"] / float(seconds[at].sum()),
            "times": (seconds[0] / seconds[at]).tolist(),
            "sent": sent,
            "again": again,
            "same": float(np.mean(given.decisions == wanted.decisions)),
            "accuracy": float(np.mean(given.decisions == given.targets)),
            "lost": [lost.value, lost.low, lost.high],
        }
    return {"rows": len(held_out), "ways": answers}


def in_turns(
    ways: dict[str, Callable[[Sequence[str]], Any]], texts: Sequence[str], rounds: int
) -> tuple[Any, dict[str, Any]]:
    """Return (ways, parts of all rounds) seconds, and probabilities by way."""
    parts = [texts[start : start + PART] for start in range(0, len(texts), PART)]
    seconds, names = np.zeros((len(ways), rounds * len(parts))), list(ways)
    found: dict[str, list[Any]] = {name: [] for name in names}
    for predict in ways.values():
        predict(texts[:32])
    for turn in range(seconds.shape[1]):
        for at in np.roll(np.arange(len(names)), turn):
            time.sleep(PAUSE)
            started = time.perf_counter()
            given = ways[names[at]](parts[turn % len(parts)])
            seconds[at, turn] = time.perf_counter() - started
            if turn < len(parts):
                found[names[at]].append(given)
    return seconds, {name: np.concatenate(of) for name, of in found.items()}


def predictions(rows: finetext.Dataset, model: Classifier, likely: Any) -> Predictions:
    """What a model predicts of rows, by its decision rule."""
    assert rows.scheme is not None
    targets = np.array([model.scheme.index[rows.scheme.names[of]] for of in rows.targets])
    groups = None if rows.groups is None else tuple(rows.groups)
    return Predictions(tuple(rows.ids), targets, likely, model.scheme, model.decision, groups)


def shares(model: Classifier, texts: Sequence[str]) -> tuple[float | None, float | None]:
    """The shares of texts that a cascade sends on, and that float32 computes again after int8."""
    count, sent = len(texts), None
    if isinstance(model, CascadeClassifier):
        places = model.sent_on(model.cheap.classifier.predict_proba(texts))
        model, texts = model.expensive.classifier, [texts[place] for place in places]
        sent = len(texts) / count
    if not isinstance(model, OnnxClassifier) or model.exact is None:
        return sent, None
    again = model.is_close(replace(model, exact=None).logits(texts))
    return sent, float(again.sum()) / count


if __name__ == "__main__":
    main()
