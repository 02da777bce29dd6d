"""The run folder: everything needed to understand, repeat and use a result."""

from __future__ import annotations

import html
import json
import secrets
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.contracts import Classifier
from finetext.core.decision import decision_in
from finetext.core.errors import RunError, UnknownNameError
from finetext.core.types import Finding, LabelScheme, Predictions, SplitName
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import EncoderGain, LeaderboardEntry
from finetext.models.folder import load_model
from finetext.storage.codec import finding_from_json, finding_to_json, from_json, to_json
from finetext.storage.locks import is_started
from finetext.storage.resume import read_log

if TYPE_CHECKING:
    import pyarrow


OPENINGS: Final = "openings.jsonl"
_THIS_PROGRAM: Final = secrets.token_hex(8)
"""What tells this process from any other that reads the same test rows."""


def opened(run: Path, by: str, program: str | None = None) -> int:
    """Write down that the test rows have been opened once more.

    Args:
        run: the run folder; where it cannot be written, nothing is.
        by: what opened them, such as "finetext errors".
        program: a name of the process, if that is to count only once.

    Returns:
        how often they have been opened, with this time and the run's own evaluation.
    """
    before = len(openings(run))
    line = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "by": by}
    if program is not None:
        line["program"] = program
    with suppress(OSError), (run / OPENINGS).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(line)}\n")
    return before + 2


def opened_in_python(run: Path) -> None:
    """Write down that a program in Python reads test rows: once, however often it does."""
    if all(line.get("program") != _THIS_PROGRAM for line in openings(run)):
        opened(run, "Python", _THIS_PROGRAM)


def openings(run: Path) -> list[dict[str, Any]]:
    """The openings after the run's own evaluation, each with "when" (ISO 8601, UTC) and "by"."""
    return read_log(run / OPENINGS)


def opened_in_words(run: Path, times: int) -> str:
    """What to say of the number that `opened` gives."""
    return f"the test rows of {run} have been opened {times} times"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it is.
        leaderboard: one entry a rung, in the order of the ladder.
        best: the rung with the best metric on validation rows.
        cheapest: the rung that trains fastest among those not significantly worse on test rows;
            the training of an encoder of one's own counts.
        metric: name of the metric by which the two were chosen.
        comparisons: rung to its paired comparison with the best on the test rows; none for the
            best itself.
        unfinished: rungs that failed, were stopped, come after such a one, or lack further seeds.
        findings: what training noticed, and what is to be known of rungs that are unfinished.
        paid: rungs with an adapted or pretrained encoder, each beside the same method with the
            encoder that came from.
    """

    folder: Path
    leaderboard: tuple[LeaderboardEntry, ...]
    best: str
    cheapest: str
    metric: str
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    paid: tuple[EncoderGain, ...] = ()

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a folder is that of a run with a leaderboard."""
        return (folder / "leaderboard.json").is_file()

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Read a run folder.

        Raises:
            RunError: it is not the folder of a finished run; that of another one is told how to
                go on.
        """
        folder = Path(folder)
        path = folder / "leaderboard.json"
        if not cls.is_at(folder):
            if is_started(folder):
                raise RunError(
                    f"the run in {folder} is unfinished: it has no {path.name} yet; go on with it: "
                    f"{resume_command(folder)}"
                )
            raise RunError(f"{folder} is not the folder of a finished run: it has no {path.name}")
        try:
            entries = tuple(map(LeaderboardEntry.from_json, json.loads(path.read_text("utf-8"))))
            verdict = json.loads((folder / "verdict.json").read_text("utf-8"))
            compared = verdict.pop("comparisons", {})
            run = cls(
                folder,
                entries,
                comparisons=from_json(dict[str, Comparison], compared, "verdict.json"),
                unfinished=tuple(verdict.pop("unfinished", ())),
                findings=tuple(map(finding_from_json, verdict.pop("findings", ()))),
                paid=tuple(map(EncoderGain.from_json, verdict.pop("paid", ()))),
                **verdict,
            )
            run.entry(run.cheapest)
            run.entry(run.best)
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            UnknownNameError,
        ) as error:
            raise RunError(f"the run in {folder} is damaged: {error}") from None
        return run

    def verdict(self) -> dict[str, Any]:
        """What `verdict.json` says."""
        return {
            "best": self.best,
            "cheapest": self.cheapest,
            "metric": self.metric,
            "comparisons": {name: to_json(of) for name, of in self.comparisons.items()},
            "paid": [pair.to_json() for pair in self.paid],
            "unfinished": list(self.unfinished),
            "findings": list(map(finding_to_json, self.findings)),
        }

    @property
    def report(self) -> Path:
        """The page to open in a browser."""
        return self.folder / "report.html"

    def classifier(self, method: str | None = None, device: str = "auto") -> Classifier:
        """Load a trained rung, the best one by default.

        Raises:
            UnknownNameError: the run has no such rung.
        """
        return load_model(self.folder / self.entry(method).model, device)

    def predictions(self, method: str | None = None, split: SplitName = "test") -> Predictions:
        """What a rung, the best one by default, said of the validation or test rows.

        A program that reads test rows is counted in the run, once: what is chosen after a look at
        them is no longer tested by them.

        Raises:
            UnknownNameError: the run has no such rung.
            RunError: the file of predictions is missing or damaged.
        """
        found = stored_predictions(self, method, split)
        if split == "test":
            opened_in_python(self.folder)
        return found

    def texts(self, method: str | None = None, split: SplitName = "test") -> list[str]:
        """The texts of the rows of `predictions`, in the same order; raises the same."""
        path = self.folder / self.entry(method).method / "predictions.parquet"
        texts: list[str] = _rows(path, split)["text"].to_pylist()
        return texts

    def training_log(self, method: str | None = None) -> list[dict[str, Any]]:
        """What a rung, the best one by default, logged while it was trained.

        A run that was resumed can have a step twice; the later line counts.

        Returns:
            one mapping a line, in the order of the file; none if it does not train step by step.

        Raises:
            UnknownNameError: the run has no such rung.
        """
        return read_log(self.folder / self.entry(method).method / "log.jsonl")

    def __call__(self, text: str) -> dict[str, float]:
        """Label to probability for one text by the best rung, likeliest first.

        The model is loaded at every call: keep `run.classifier()` to predict more than once.
        """
        return self.classifier()(text)

    def entry(self, method: str | None = None) -> LeaderboardEntry:
        """The line of the leaderboard of a rung, the best one by default.

        Raises:
            UnknownNameError: the run has no such rung.
        """
        by_name = {entry.method: entry for entry in self.leaderboard}
        name = method or self.best
        if name not in by_name:
            raise UnknownNameError("rung in this run", name, by_name)
        return by_name[name]

    def _repr_html_(self) -> str:
        names = list(self.leaderboard[0].metrics["test"])
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ["method", *names])
        body = "".join(
            f"<tr><th>{html.escape(entry.method)}</th>"
            + "".join(f"<td>{entry.metrics['test'][name]}</td>" for name in names)
            + "</tr>"
            for entry in self.leaderboard
        )
        caption = f"{self.folder}: test rows; best on validation: {self.best}"
        return f"<table><caption>{html.escape(caption)}</caption><tr>{head}</tr>{body}</table>"


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return Run.is_at(folder) or is_started(folder)


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a run with all of its rungs."""
    try:
        return Run.is_at(folder) and not Run.open(folder).unfinished
    except RunError:
        return False


def resume_command(folder: Path) -> str:
    """The command that goes on with the run in a folder."""
    return f"finetext train --resume --out {shlex.quote(str(folder))}"


def stored_predictions(run: Run, method: str | None, split: SplitName) -> Predictions:
    """The same as `Run.predictions`, for finetext itself: nothing is counted."""
    return read_predictions(run.folder / run.entry(method).method / "predictions.parquet", split)


def read_predictions(path: Path, split: SplitName) -> Predictions:
    """The rows of one part out of what `folder.write_predictions` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    table = _rows(path, split)
    described = json.loads(table.schema.metadata[b"finetext"])
    scheme = LabelScheme(tuple(described["labels"]), described["multilabel"])
    probabilities = [table[f"probability:{name}"].to_numpy() for name in scheme.names]
    return Predictions(
        ids=tuple(table["id"].to_pylist()),
        targets=scheme.encode(table["truth"].to_pylist()),
        probabilities=np.stack(probabilities, axis=1),
        scheme=scheme,
        decision=decision_in(described),
        groups=tuple(table["group"].to_pylist()) if "group" in table.column_names else None,
    )


def _rows(path: Path, split: SplitName) -> pyarrow.Table:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path, filters=[("split", "=", split)])
    except FileNotFoundError:
        raise RunError(
            f"{path} is gone, and with it what the rung said of validation and test rows; train "
            "it again: finetext train --recipe RUN/recipe.toml"
        ) from None
    except (OSError, pyarrow.ArrowException) as error:
        raise RunError(f"the predictions in {path} cannot be read: {error}") from None
