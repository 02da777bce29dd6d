"""`predict_parts`: one process's share of a large table of predictions, in a folder of parts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from finetext.batch.parts import PartsPlan, PartWriter, Progress, plan_parts
from finetext.batch.ray_engine import Opened, Written, written_parts
from finetext.batch.tables import Shown
from finetext.core.budget import within_memory
from finetext.core.console import heard
from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.errors import RecipeError, UnknownNameError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.pieces import Piece
from finetext.methods.cascade import routing_in_words, routing_of
from finetext.models.engines import engine_of
from finetext.runs.asked import answers_watched
from finetext.runs.load import load_for

_SHARD: Final = re.compile(r"(\d+)/(\d+)")
_MOST_SHARDS_SHOWN: Final = 10


@dataclass(frozen=True)
class PredictedParts:
    """The result of `predict_parts`.

    Attributes:
        out: path or address of the folder.
        rows: rows that this call predicted.
        rejected: rows among them without a text, which have no prediction.
        written: parts that this call wrote.
        done: parts that are there, of any process.
        parts: parts of the whole table.
    """

    out: str
    rows: int
    rejected: int
    written: int
    done: int
    parts: int

    @property
    def is_complete(self) -> bool:
        """Whether the whole table is there."""
        return self.done == self.parts


@within_memory
def predict_parts(
    model: str | Path,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    shard: str = "1/1",
    engine: str = "local",
    actors: int | None = None,
    read: ReadSettings | None = None,
    top: int | None = None,
    every: bool | None = None,
    precision: str | None = None,
    device: str | None = None,
    listener: Listener | None = None,
) -> PredictedParts:
    """Predict one share of a large table into a folder of Parquet files, as `finetext predict`.

    Run it once for each shard, in any order and on any machines; the same call continues what was
    killed. Once all parts are there, the folder has the file `_SUCCESS`. Rows without a text are
    kept without a prediction, and `rejected` says why.

    Args:
        model: model folder, run folder or "hub:owner/name".
        sources: paths, addresses (`s3://...`), folders or patterns of .parquet, .csv, .tsv and
            .jsonl files with the same columns.
        out: the folder, or its address.
        shard: which share, from "1/16" to "16/16"; by default all.
        engine: "local" (the default) predicts in this process; "ray" in actors of the Ray cluster
            that the environment variable RAY_ADDRESS names, else on this machine.
        actors: how many of Ray; by default one for each GPU of the cluster, or for each CPU.
        read: how to read the sources.
        top: add this many of the likeliest labels with their probabilities.
        every: add the probability of every label; by default of up to 20 labels without `top`.
        precision: "fp32", "bf16", "fp16" or "auto"; that of the model by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        listener: receives progress; by default it is shown on a terminal or in a notebook.

    Raises:
        FinetextError: something given cannot be used, or the folder has other predictions.
        KeyboardInterrupt: it was stopped; the message says how to continue.
    """
    number, count = _shard_of(shard)
    _check_engine(engine, actors)
    plan = plan_parts(
        model, sources, out, read=read, shown=Shown(top, every), precision=precision, device=device
    )
    with heard(listener) as hears:
        own, missing = plan.share(number, count), set(plan.progress().missing)
        todo = [piece for piece in own if piece in missing]
        if own and not todo:
            hears.say(f"nothing to write: all parts of shard {shard} are there")
        done = _Share(plan, hears)
        if todo and engine == "ray":
            done.write_with_ray(todo, actors)
        elif todo:
            done.write(todo)
        now = plan.finish()
        hears.say(_shown(plan, now, count))
        own_parts = done.rows, done.rejected, done.written
        return PredictedParts(plan.named, *own_parts, now.done, now.parts)


def _shard_of(shard: str) -> tuple[int, int]:
    found = _SHARD.fullmatch(shard) if isinstance(shard, str) else None
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise RecipeError(
            f"--shard {shard}: write which of how many, from 1: --shard 1/16 to --shard 16/16"
        )
    return number, count


def _check_engine(engine: str, actors: int | None) -> None:
    if engine not in ("local", "ray"):
        raise UnknownNameError("engine", engine, ("local", "ray"))
    if actors is not None and (engine != "ray" or actors < 1):
        raise RecipeError(
            f"--actors {actors}: it is for --engine ray, and 1 or more; leave it out otherwise"
        )


@dataclass
class _Share:
    """The parts that one process writes."""

    plan: PartsPlan
    hears: Listener
    rows: int = 0
    written: int = 0
    rejected: int = 0
    findings: list[Finding] = field(default_factory=list)

    def write(self, todo: Sequence[Piece]) -> None:
        """Write the parts that nobody has written meanwhile."""
        plan, hears, noticed = self.plan, self.hears, list[Finding]()
        classifier = load_for("throughput", plan.model, plan.device, plan.precision, hears.say)
        writer = PartWriter(plan, classifier)
        writer.check(todo)
        routed = routing_of(classifier)
        with self._written(todo, writer.texts) as seen:
            with answers_watched(classifier, noticed.append) as check_answers:

                def progress(rows: int) -> None:
                    check_answers()
                    seen(rows)

                for piece in todo:
                    if not plan.is_done(piece):
                        self.rows += writer.write(piece, progress)
                        self.written += 1
            self.rejected = writer.rejected
            self.findings = [*writer.findings, *noticed]
        if (routing := routed()) is not None:
            hears.say(routing_in_words(classifier, routing))
        if computes := engine_of(classifier):
            hears.say(f"engine: {computes}")

    def write_with_ray(self, todo: Sequence[Piece], actors: int | None) -> None:
        """Let actors of Ray write the parts that nobody has written meanwhile."""
        with closing(written_parts(self.plan, todo, actors)) as answers, ExitStack() as stack:
            seen: Callable[[int], None] | None = None
            for answer in answers:
                if isinstance(answer, str):
                    self.hears.say(f"note: {answer}")
                elif isinstance(answer, Opened) and seen is None:
                    for line in answer.said:
                        self.hears.say(line)
                    seen = stack.enter_context(self._written(todo, answer.texts))
                elif isinstance(answer, Written) and seen is not None:
                    self.rows += answer.rows
                    self.rejected += answer.rejected
                    self.written += not answer.was_there
                    self.findings += answer.findings
                    seen(answer.rows)

    @contextmanager
    def _written(
        self, todo: Sequence[Piece], texts: Sequence[str]
    ) -> Iterator[Callable[[int], None]]:
        """Say what is done, before and after; the body gets a function to call with rows done."""
        plan, hears = self.plan, self.hears
        files, pieces = counted(len(plan.files), "file"), counted(len(plan.pieces), "part")
        shown = " + ".join(map(repr, texts))
        hears.say(f"{files}; text {shown}; {len(todo)} of {pieces} to write")
        plan.claim()
        start, done = time.monotonic(), 0
        total = sum((piece.stop or piece.start) - piece.start for piece in todo)

        def seen(rows: int) -> None:
            nonlocal done
            done += rows
            hears.progress(ProgressEvent(f"predicting: {done:,} rows", done, max(total, done)))

        try:
            yield seen
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{counted(self.written, 'part')} written; to continue, run the same command"
            ) from None
        for finding in [*self.findings, *self._without_text()]:
            if finding.severity == "note":
                hears.say(f"note: {finding.message}")
            hears.finding(finding)
        speed = self.rows / max(time.monotonic() - start, 1e-9)
        parts = f"{counted(self.written, 'part')} written, {counted(self.rows, 'row')}"
        hears.say(f"{parts} ({speed:,.0f} rows/s)")

    def _without_text(self) -> list[Finding]:
        if not self.rejected:
            return []
        message = (
            f"the text is missing in {counted(self.rejected, 'row')}, which have no prediction: "
            "see the column 'rejected'"
        )
        return [Finding("warning", "missing-texts", message)]


def _shown(plan: PartsPlan, progress: Progress, count: int) -> str:
    """Say how far the whole table has come, and which shards are to run again."""
    place = plan.place.shown
    if progress.is_complete:
        return f"{place}: complete, {counted(progress.parts, 'part')}"
    open_ones = plan.shares_missing(progress, count, _MOST_SHARDS_SHOWN + 1)
    names = ", ".join(map(str, open_ones[:_MOST_SHARDS_SHOWN]))
    more = ", ..." if len(open_ones) > _MOST_SHARDS_SHOWN else ""
    return (
        f"{place}: {progress.done:,} of {progress.parts:,} parts are there; to be done: shard "
        f"{names}{more} of {count}"
    )
