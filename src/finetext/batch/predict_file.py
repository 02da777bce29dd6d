"""`predict_file`: from a source of texts to a table of predictions, as large as it may be."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.batch.base_rates import (
    OPTION,
    BaseRateWatch,
    check_correction,
    findings_of,
    known_base_rates,
)
from finetext.batch.inputs import Reading, exists, is_text, read_input, refuse_missing, sample_of
from finetext.batch.output import Files, Identity, model_hash, opened, source_of
from finetext.batch.tables import EmptyTexts, Shown, batches, layout_of, predictions
from finetext.core import STATE_VERSION
from finetext.core.budget import within_memory
from finetext.core.console import heard
from finetext.core.contracts import Classifier, Listener, Method, hyperparameters
from finetext.core.errors import DataError, RecipeError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.rows import Wanted
from finetext.data.write import Table, check_table
from finetext.evaluation.base_rates import BaseRateCheck
from finetext.methods.cascade import routing_in_words, routing_of
from finetext.models.engines import engine_of
from finetext.runs.asked import answers_watched
from finetext.storage.filesystems import is_address, place_of, refuse_other_address

if TYPE_CHECKING:
    from finetext.methods.llm import Llm
    from finetext.models.engines import Engine

LONG: Final = 10.0  # seconds from which the throughput is reported
Each = Callable[[Classifier, Table], None]


@dataclass(frozen=True)
class PredictedFile:
    """The result of `predict_file`.

    Attributes:
        rows: number of rows that were predicted, before a resumption too.
        rejected: number of rows that cannot be predicted.
        out: the file of predictions, or its address, or None.
        table: column to values of all predictions, if they went nowhere else.
        base_rates: how the shares of labels compare with those of the model's validation rows;
            None if the model does not state them, or after resuming.
        corrected: whether the probabilities were corrected for other shares.
    """

    rows: int
    rejected: int = 0
    out: Path | str | None = None
    table: Table | None = None
    base_rates: BaseRateCheck | None = field(default=None, compare=False)
    corrected: bool = False


@within_memory
def predict_file(
    model: str | Path | Classifier,
    source: str | Path,
    out: str | Path | None = None,
    *,
    read: Reading = None,
    top: int | None = None,
    every: bool | None = None,
    columns: bool = True,
    rejected: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    locale: str | None = None,
    keep_formulas: bool = False,
    correct_base_rates: bool = False,
    batch_size: int | None = None,
    precision: str | None = None,
    device: str | None = None,
    each: Each | None = None,
    listener: Listener | None = None,
) -> PredictedFile:
    """Predict a file, or anything else that can be read, in batches, as `finetext predict` does.

    Args:
        model: model folder, run folder, "hub:owner/name", or a classifier, which cannot resume.
        source: what `finetext.read` takes, labels optional; "-" (lines of standard input); a text.
        out: .csv, .tsv, .jsonl (.gz of these), .parquet or .xlsx, or its address (s3://...), which
            appears when it is complete. None returns the table, unless `each` takes it.
        read: how to read the source: `ReadSettings`, or some of them by name.
        top: add this many of the likeliest labels with their probabilities.
        every: add the probability of every label; by default of up to 20 labels without `top`.
        columns: keep the columns of the source, True by default; else its ids and texts.
        rejected: .csv, .tsv or .jsonl for rows that cannot be predicted, which else are errors.
        resume: continue a prediction that was stopped or killed, if any, to the same bytes.
        force: replace `out` and `rejected` if they exist, which is an error by default.
        locale: of the spreadsheet that opens the CSV, such as "de"; see docs/how-to/data.md.
        keep_formulas: with a locale, put no apostrophe before cells that a spreadsheet would run.
        correct_base_rates: for other shares of labels (docs/how-to/other-shares.md). Reads twice.
        batch_size: rows that are predicted and written at a time, 2,000 by default.
        precision: "fp32", "bf16", "fp16" or "auto"; that of the model by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        each: called with the classifier and the table of each batch, in the order of the rows.
        listener: receives progress; by default it is shown on a terminal or in a notebook.

    Raises:
        FinetextError: something given cannot be used, or differs from what is to be resumed.
        KeyboardInterrupt: it was stopped; the message says how to resume.
    """
    out, address = _local_or_address(out)
    out, rejected = (None if path is None else Path(path) for path in (out, rejected))
    known, how = not isinstance(model, Classifier), (locale, keep_formulas)
    files = Files(out, rejected, str(source), resume, known, force, *how, address)
    options = _options(read) | {
        "--top": top, "--all": every, "--precision": precision, "--device": device,
        "columns": None if columns else "left out", "batch_size": batch_size, "--locale": locale,
        "--keep-formulas": keep_formulas or None, OPTION: correct_base_rates or None,
    }  # fmt: skip
    job = _Job(model, read, Shown(top, every), columns, batch_size, options)
    with heard(listener) as hears:
        return _predicted(files, job, each, hears)


def _local_or_address(out: str | Path | None) -> tuple[str | Path | None, str | None]:
    """Return a path of this machine or an address; raises a DataError for an unknown address."""
    refuse_other_address(out or "")
    return (None, str(out)) if is_address(out) else (out, None)


@contextmanager
def _placed(files: Files) -> Iterator[Files]:
    """Yield files on this machine; the table goes to its address whole when the body ends well."""
    if files.address is None:
        yield files
        return
    place = place_of(files.address)
    if files.resume:
        raise DataError(f"--resume needs an output file on this machine, not {place.shown}")
    name, locale = Path(place.name), files.locale
    check_table(name, True, locale=locale, keep_formulas=files.keep_formulas)
    place.check_writable()
    if not files.force and place.size() is not None:
        raise DataError(f"{place.shown} exists; name another file, or replace it with --force")
    with place.filled() as local:
        yield replace(files, out=local, is_known=False, force=True)


@within_memory
def classify_file(
    labels: Sequence[str] | Mapping[str, str | tuple[str, ...]],
    source: str | Path,
    out: str | Path | None = None,
    *,
    encoder: str = "minilm",
    llm: Llm | None = None,
    multilabel: bool = False,
    save: str | Path | None = None,
    read: Mapping[str, Any] | None = None,
    force: bool = False,
    locale: str | None = None,
    keep_formulas: bool = False,
    seed: int = 0,
    device: str = "auto",
    each: Each | None = None,
    listener: Listener | None = None,
) -> PredictedFile:
    """Classify a file by the names of the labels, as `finetext classify` does.

    Args:
        labels: their names, or label to descriptions; see `finetext.zero_shot`.
        source: as for `predict_file`; up to 2,000 texts of a file or folder are read beforehand.
        out: the table to write; see `predict_file`.
        encoder: alias, Hub name or folder, "minilm" by default; see `finetext.zero_shot`.
        llm: a language model to ask instead, to which every text is sent; None by default.
        multilabel: whether a text can have several labels, False by default.
        save: model folder to write once all is predicted, or None.
        read: settings of `ReadSettings` by name; text columns named here are those of the model.
        force: replace `out` and `save` if they exist, which is an error by default.
        locale: language of the spreadsheet that opens the CSV, such as "de".
        keep_formulas: with a locale, leave formulas as they are.
        seed: which texts are read beforehand, 0 by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        each: called with the classifier and the table of each batch.
        listener: receives progress; by default it is shown on a terminal or in a notebook.

    Raises:
        FinetextError: something given cannot be used.
    """
    from finetext.methods.zeroshot import MOST_TEXTS
    from finetext.models.folder import check_model_place, save_model
    from finetext.runs.zero_shot import classifier_of, prepared

    source, columns = str(source), _named_columns(read)
    method, scheme = prepared(labels, llm or encoder, None, multilabel, columns)
    if save is not None:
        check_model_place(Path(save), force)
    _check_out(out, source, force, locale, keep_formulas)
    refuse_missing(source)
    with heard(listener) as hears:
        texts = partial(sample_of, source, read, MOST_TEXTS, seed)
        classifier = classifier_of(method, scheme, texts, hears, seed, device)
        done = predict_file(
            classifier, source, out, read=read, force=force, locale=locale,
            keep_formulas=keep_formulas, each=each, listener=hears,
        )  # fmt: skip
        if save is not None:
            hears.say(f"model: {save_model(classifier, Path(save), _made_by(method, seed))}")
        return done


def _made_by(method: Method, seed: int) -> dict[str, Any]:
    """Return what a model folder records of the method that made its classifier."""
    return {"method": method.name, "hyperparameters": hyperparameters(method), "seed": seed}


def _check_out(
    out: str | Path | None, source: str, force: bool, locale: str | None, keep_formulas: bool
) -> None:
    """Raise a DataError, before any work, if the table cannot be written."""
    refuse_other_address(out or "")
    if out is not None and not is_address(out):
        inputs = [source] if exists(source) else []
        check_table(Path(out), force, inputs, locale=locale, keep_formulas=keep_formulas)


def _named_columns(read: Mapping[str, Any] | None) -> list[str]:
    """Return the text columns that settings name; a number counts those of one table only."""
    named = (read or {}).get("text") or ()
    columns = named.split(",") if isinstance(named, str) else named
    return [of.strip() for of in columns if of.strip() and not of.strip().isdecimal()]


@dataclass(frozen=True)
class _Job:
    """How a source is predicted; `options` are what must be the same when it is resumed."""

    model: str | Path | Classifier
    read: Reading
    shown: Shown
    columns: bool
    batch_size: int | None
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise RecipeError(f"batch_size = {self.batch_size}: it must be 1 or more")

    @property
    def given(self) -> dict[str, Any]:
        """The options that are not left out."""
        return {name: of for name, of in self.options.items() if of is not None}

    def classifier(self, source: str, say: Callable[[str], None]) -> Classifier:
        """Return the classifier with the engine that suits the source."""
        from finetext.runs.load import load_for

        if isinstance(self.model, Classifier):
            return self.model
        is_typed = source == "-" and sys.stdin is not None and sys.stdin.isatty()
        engine: Engine = "latency" if is_typed or is_text(source) else "throughput"
        device, precision = self.options["--device"], self.options["--precision"]
        return load_for(engine, self.model, device, precision, say)

    def identity(self, source: str) -> Identity | None:
        """Return of what the prediction is; None if its model cannot be told from another."""
        if isinstance(self.model, Classifier):
            return None
        given = json.loads(json.dumps(self.given, default=str))
        return Identity(STATE_VERSION, model_hash(self.model), source_of(Path(source)), given)


def _options(read: Reading) -> dict[str, Any]:
    if isinstance(read, ReadSettings):
        usual = vars(ReadSettings())
        read = {n: of for n, of in vars(read).items() if of != usual[n] and n != "labelled"}
    names = {"text": "--text", "id": "--id"}
    return {names.get(name, f"--set data.{name}"): of for name, of in (read or {}).items()}


def _predicted(files: Files, job: _Job, each: Each | None, hears: Listener) -> PredictedFile:
    if files.rejected is not None and is_text(files.source):
        raise DataError("--set-aside is for files; this is one text")
    refuse_missing(files.source)
    if correct := OPTION in job.given:
        check_correction(job.model, files.source, is_text(files.source))
    gathered: Table = {}
    with _placed(files) as local, opened(local) as output:
        classifier = job.classifier(files.source, hears.say)
        wanted = Wanted(job.columns, files.rejected is not None)
        texts = read_input(files.source, job.read, wanted, classifier.scheme)
        if texts.description:
            hears.say(texts.description)
        layout = layout_of(classifier, texts, job.shown, is_text(files.source))
        watch = BaseRateWatch(known_base_rates(job.model), classifier.scheme)
        if correct:
            again = read_input(files.source, job.read, wanted, classifier.scheme)
            watch.first_pass(classifier, batches(again, job.batch_size), hears.progress)
        identity = job.identity(files.source) if output.needs_identity else None
        done = output.begin(identity, layout.kinds)
        if files.resume:
            hears.say(f"resuming after {done:,} rows" if done else "there is nothing to resume")
        start, empty = time.monotonic(), EmptyTexts(texts.id_column)
        rows = empty.watched(batches(texts, job.batch_size))
        hooks, routed = (hears.progress, watch.through), routing_of(classifier)
        noticed = list[Finding]()
        with answers_watched(classifier, noticed.append) as check_answers:
            for batch, table in predictions(classifier, rows, layout, done, *hooks):
                check_answers()
                if each is not None:
                    each(classifier, table)
                elif local.out is None:
                    for name, values in table.items():
                        gathered.setdefault(name, []).extend(values)
                output.write(table, batch.bad)
        seconds = time.monotonic() - start
    if not (correct or done):
        watch.find()
    if (routing := routed()) is not None:
        hears.say(routing_in_words(classifier, routing))
    if computes := engine_of(classifier):
        hears.say(f"engine: {computes}")
    findings = [*layout.findings, *texts.findings, *empty.findings, *output.findings, *noticed]
    _tell([*findings, *findings_of(watch, files.source, correct)], hears)
    count = output.rows - output.rejected
    out = files.address or files.out
    if out is not None:
        speed = f" ({(output.rows - done) / seconds:,.0f} rows/s)" if seconds > LONG else ""
        hears.say(f"{counted(count, 'prediction')}{speed}: {out}")
    if files.rejected is not None:
        rows_of = f"{counted(output.rejected, 'row')} of {output.rows:,}"
        hears.say(f"{rows_of} rejected: {files.rejected}")
    is_corrected = correct and watch.is_shifted
    return PredictedFile(count, output.rejected, out, gathered or None, watch.check, is_corrected)


def _tell(findings: Sequence[Finding], hears: Listener) -> None:
    for finding in findings:
        if finding.severity == "note":  # there is no report that could say it
            hears.say(f"note: {finding.message}")
        hears.finding(finding)
