"""A finished run, read from its folder: leaderboard, verdict, models and predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from finetext.core import registry
from finetext.core.contracts import Classifier, Method
from finetext.core.errors import DataError, FinetextError, RunError, UnknownNameError
from finetext.core.types import Dataset, Finding, LabelScheme, Predicted, Predictions, Score
from finetext.core.wording import part_in_words, resume_command
from finetext.evaluation.choice import Choice
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import EncoderGain, Leaderboard, LeaderboardEntry
from finetext.evaluation.ranking import PositiveCurve, precision_recall
from finetext.models.engines import Engine, loader_for
from finetext.models.folder import load_model, model_in_run
from finetext.runs.accesses import record_python_access
from finetext.runs.checkpoints import Checkpoint, checkpoints_in
from finetext.runs.predictions import folds_of, kept_as, read_predictions, read_rows, stored_folds
from finetext.runs.stored_splits import stored_splits, training_rows
from finetext.storage.codec import from_json, to_json
from finetext.storage.locks import is_started
from finetext.storage.received import check_inner_names, read_received_text, refuse_links
from finetext.storage.resume import read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from finetext.core.types import SplitName
    from finetext.diagnosis.label_errors import Suspects
    from finetext.diagnosis.losses import Errors
    from finetext.report.confusion import Normalize
    from finetext.report.results import Results
    from finetext.report.shares import Shares
    from finetext.report.verdict import Verdict

PREDICTIONS: Final = "predictions.parquet"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it is.
        leaderboard: one entry for each method, in the order they were fitted in.
        best: the method with the best metric on validation rows, other than the majority class;
            a guess where so few rows tell little about that (`Choice.is_hedge`).
        recommended: the method that trains fastest among those shown to be as good as the best on
            validation rows, else the best; adapting or pretraining its encoder counts.
        metric: the metric by which the two were chosen.
        choice: why it is recommended; None in runs of earlier versions.
        comparisons: method to its paired comparison with the best on test rows, over all seeds.
        over_seeds: method to its mean on test rows over several seeds; the interval is that of the
            method, over rows and seeds, while those of `leaderboard` are of one model, over rows.
        unfinished: methods that failed, were stopped or not reached, or lack further seeds.
        findings: what training noticed, and why methods are unfinished.
        paid: methods with an adapted or pretrained encoder, compared with their ablation baseline.
        folds: number of folds if "test" and "validation" are all rows, cross-validated; else 0.
    """

    folder: Path
    leaderboard: Leaderboard = field(repr=False)
    best: str
    recommended: str
    metric: str
    comparisons: Mapping[str, Comparison] = field(default_factory=dict, repr=False)
    unfinished: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    paid: tuple[EncoderGain, ...] = field(default=(), repr=False)
    choice: Choice | None = field(default=None, repr=False)
    over_seeds: Mapping[str, Score] = field(default_factory=dict, repr=False)
    folds: int = 0

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Return whether a folder is that of a run with a leaderboard."""
        return (folder / "leaderboard.json").is_file()

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Read a run folder; raises a RunError if it is not that of a finished run, or damaged."""
        folder = Path(folder)
        if not cls.is_at(folder):
            if is_started(folder):
                begin = f"the run in {folder} is unfinished: it has no leaderboard.json yet"
                raise RunError(f"{begin}; resume it: {resume_command(folder)}")
            lack = "it has no leaderboard.json" if folder.exists() else "it does not exist"
            raise RunError(f"{folder} is not the folder of a finished run: {lack}")
        refuse_links(folder)
        try:
            entries = json.loads(read_received_text(folder, "leaderboard.json"))
            verdict = json.loads(read_received_text(folder, "verdict.json"))
            # Older runs name a cheaper method that was not shown to be as good.
            best = {"recommended": dict(verdict).get("best")}
            values = {**best, **verdict, "folder": folder, "leaderboard": entries}
            run = from_json(cls, values, "its leaderboard or verdict")
            run.entry(run.recommended)
            run.entry(run.best)
            check_inner_names([*run.unfinished, *(of.method for of in run.leaderboard)])
        except (OSError, ValueError, TypeError, RunError, UnknownNameError) as error:
            raise RunError(
                f"the run in {folder} is damaged: leaderboard.json or verdict.json: {error}; "
                f"write them again: {resume_command(folder)}"
            ) from None
        return run

    def verdict(self) -> dict[str, Any]:
        """Return the content of `verdict.json`."""
        return {
            "best": self.best,
            "recommended": self.recommended,
            "metric": self.metric,
            "choice": self.choice and self.choice.to_json(),
            "evaluation": self.evaluation,
            "folds": self.folds,
            "comparisons": to_json(dict(self.comparisons)),
            "over_seeds": to_json(dict(self.over_seeds)),
            "paid": [pair.to_json() for pair in self.paid],
            "unfinished": list(self.unfinished),
            "findings": to_json(self.findings),
        }

    def summary(self) -> Verdict:
        """Return in plain words what the recommended method is usable for; `print` shows it.

        `verdict()` is the content of a file. Raises a RunError if predictions cannot be read.
        """
        from finetext.report import next_step, verdict

        methods = {of.method for of in self.leaderboard} & {self.recommended, "majority"}
        found = {name: stored_predictions(self, name, "test") for name in methods}
        judged = next_step.Judged(self.recommended, self.best, self.folder, self.shares().rows)
        folds = stored_folds(self.folder / self.recommended)
        return verdict.verdict_on(self.leaderboard, found, judged, self.choice, folds)

    @property
    def evaluation(self) -> Literal["test", "cross-validation"]:
        """How the methods are scored."""
        return "cross-validation" if self.folds else "test"

    @property
    def report(self) -> Path:
        """The page to open in a browser."""
        return self.folder / "report.html"

    def entry(self, method: str | None = None) -> LeaderboardEntry:
        """Return the leaderboard entry of a method, the best one by default.

        Raises an UnknownNameError if the run has no such method.
        """
        by_name = {entry.method: entry for entry in self.leaderboard}
        name = method or self.best
        if name not in by_name:
            raise UnknownNameError("method in this run", name, by_name)
        return by_name[name]

    @property
    def scheme(self) -> LabelScheme:
        """The labels, with the positive class if it was named; raises a RunError if unreadable."""
        try:
            return LabelScheme.from_json(json.loads(read_received_text(self.folder, "data.json")))
        except (OSError, ValueError, TypeError, KeyError, DataError) as error:
            raise RunError(f"the run in {self.folder} is damaged: data.json: {error!r}") from None

    def classifier(
        self, method: str | None = None, device: str = "auto", engine: Engine = "throughput"
    ) -> Classifier:
        """Load the model of a method, the best one by default; raises as `entry`.

        Engine, device and their errors are those of `finetext.load`.
        """
        place = model_in_run(self.folder, self.entry(method).model)
        return load_model(place, device, loader_for(engine, device))

    def predictions(self, method: str | None = None, split: SplitName = "test") -> Predictions:
        """Return the predictions of validation or test rows by a method, the best one by default.

        A program that reads test rows is recorded in the run, once.

        Raises:
            UnknownNameError: the run has no such method.
            DataError: there are none of that split, as of training rows.
            RunError: the file of predictions is missing or damaged.
        """
        found = stored_predictions(self, method, split)
        if split == "test":
            record_python_access(self.folder)
        return found

    def precision_recall(
        self, method: str | None = None, split: SplitName = "test", positive: str | None = None
    ) -> PositiveCurve:
        """Return `finetext.precision_recall` of the predictions; records and raises as these."""
        return precision_recall(self.predictions(method, split), positive)

    def texts(self, method: str | None = None, split: SplitName = "test") -> list[str]:
        """Return the texts of the rows of `predictions`, in the same order; raises the same."""
        path = self.folder / self.entry(method).method / PREDICTIONS
        return list(read_rows(path, kept_as(split, self.folds))["text"].to_pylist())

    def rows(self, method: str | None = None, split: SplitName = "validation") -> Dataset:
        """Return the rows of `predictions` as labeled data; records and raises the same.

        Training rows are those that the model of the method learned from, read from the data of the
        run again; raises a RunError if the data changed since.
        """
        import datasets

        if split == "train":
            learned_from, splits = self.entry(method).learned_from, stored_splits(self.folder)
            seed = json.loads(read_received_text(self.folder, "environment.json"))["seed"]
            return training_rows(splits, learned_from, int(seed))
        predictions = self.predictions(method, split)
        labels = predictions.scheme.decode(predictions.targets)
        columns = {"id": list(predictions.ids), "text": self.texts(method, split), "label": labels}
        if predictions.groups is not None:
            columns["group"] = list(predictions.groups)
        return Dataset(datasets.Dataset.from_dict(columns), predictions.scheme)

    def shares(self) -> Shares:
        """Return the rows of each label and their share in each split, as a table for display.

        See `Splits.shares`. Raises a RunError if data.json is damaged.
        """
        from finetext.report.shares import Shares

        try:
            data = json.loads(read_received_text(self.folder, "data.json"))
            return Shares(data["rows"], data["labels_by_split"], bool(data["multilabel"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"data.json is damaged: {error!r}; train again from recipe.toml"
            raise RunError(f"{self.folder}: {reason}") from None

    def show_results(
        self,
        n: int = 10,
        method: str | None = None,
        split: SplitName = "validation",
        *,
        seed: int = 0,
    ) -> Results:
        """Return n random rows with truth, prediction and its probability, as a table for display.

        By default validation rows and the best method; `seed` seeds the choice of rows. A program
        that reads test rows is recorded in the run, once. Raises as `finetext.open_predicted`.
        """
        from finetext.report.results import results_of

        return results_of(self._predicted(method, split), n, seed)

    def errors(
        self, method: str | None = None, split: SplitName = "validation", count: int = 20
    ) -> Errors:
        """Return `finetext.find_errors` of `predictions`; records and raises as both."""
        from finetext.diagnosis.losses import find_errors

        return find_errors(self._predicted(method, split), count)

    def label_errors(self, method: str | Method = "tfidf", **options: Any) -> Suspects:
        """Return `finetext.find_label_errors` of its data, read again; raises the same."""
        found: Suspects = registry.load("views", "label-errors")(self, method, **options)
        return found

    def plot_confusion(
        self,
        method: str | None = None,
        split: SplitName = "validation",
        normalize: Normalize = "true",
        out: str | Path | None = None,
    ) -> Figure:
        """Draw the confusion matrix; for the numbers see `finetext.confusion`.

        A program that reads test rows is recorded in the run, once.

        Args:
            method: the method; the best one on validation rows by default.
            split: "validation" (the default) or "test".
            normalize: shares of the rows with the true label ("true", the default: rows add up to
                1), of those that get the label ("predicted"), of "all" rows, or "none".
            out: a .png or .svg file to write as well; a DataError if it cannot be written.

        Raises as `show_results`, and a RecipeError for another normalization.
        """
        from finetext.report.confusion import confusion_matrix

        found = self._predicted(method, split)
        return confusion_matrix(found, normalize, folds_of(found)).plot(out)

    def plot_precision_recall(
        self,
        methods: str | Sequence[str] | None = None,
        split: SplitName = "validation",
        positive: str | None = None,
        out: str | Path | None = None,
    ) -> Figure:
        """Draw precision-recall and ROC curves of one of two classes, and where methods decide.

        Args:
            methods: one, or up to six; by default all that rank rows, the best on validation first.
            split: "validation" (the default) or "test", which is recorded as by `predictions`.
            positive: the positive class; that of the run by default.
            out: a .png or .svg file to write as well; a DataError if it cannot be written.

        Raises as `show_results`, and a DataError if there is no curve.
        """
        from finetext.report.positive import PositiveCurves

        ranked = sorted((of.method for of in self.leaderboard), key=lambda name: name != self.best)
        names = [methods] if isinstance(methods, str) else methods or ranked
        found = {name: self._predicted(name, split).predictions for name in names}
        return PositiveCurves.of(found, part_in_words(split, self.folds), positive).plot(out)

    def plot_prediction(
        self, text: str, method: str | None = None, *, top: int = 20, out: str | Path | None = None
    ) -> Figure:
        """Draw the probability of each label of a text by a method, the best one by default.

        The model is loaded at every call; see `finetext.plot_prediction`.
        """
        from finetext.report.one_text import plot_prediction

        return plot_prediction(self.classifier(method, engine="latency"), text, top=top, out=out)

    def training_log(self, method: str | None = None) -> list[dict[str, Any]]:
        """Return the log of the training of a method, the best one by default.

        It is empty without steps. A resumed training can have one twice; the later line counts.
        """
        return read_log(self.folder / self.entry(method).method / "log.jsonl")

    def checkpoints(self, method: str | None = None) -> tuple[Checkpoint, ...]:
        """Return the models that `keep_checkpoints` kept of a method (the best one), by step.

        A model that predicted one class only is never kept.
        """
        return checkpoints_in(self.folder / self.entry(method).method)

    def __call__(self, text: str) -> dict[str, float]:
        """Return label to probability by the best method, likeliest first; loads it each time."""
        return self.classifier(engine="latency")(text)

    def _predicted(self, method: str | None, split: SplitName) -> Predicted:
        """Return predictions with their texts, and record an access to test rows."""
        found = predicted_of(self, method or self.best, split)
        if split == "test":
            record_python_access(self.folder)
        return found

    def to_pandas(self) -> DataFrame:
        """Return the leaderboard as a data frame with one row for each method.

        Columns: method, best, recommended (no method if none is usable); each metric on test rows
        with its 95% interval: "accuracy", "accuracy_low", "accuracy_high"; the metric of the run on
        validation rows, "validation_macro_f1"; seconds_to_train, rows_per_second, bytes.
        """
        recommended = self.recommended
        with suppress(FinetextError):  # the leaderboard can be read without predictions
            recommended = self.recommended if self.summary().is_recommended else ""
        return self.leaderboard.to_pandas(self.metric, self.best, recommended)

    def _repr_html_(self) -> str:
        from finetext.report.notebook_run import ShownRun

        verdict, rows = None, dict[str, int]()
        with suppress(FinetextError):  # the leaderboard can be read without predictions
            verdict, rows = self.summary(), dict(self.shares().rows)
        names = self.best, self.recommended, self.metric
        return ShownRun(
            self.folder, self.leaderboard, *names, self.folds, self.choice, verdict, rows,
            self.paid, self.comparisons,
        ).html()  # fmt: skip


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run, finished or not."""
    return Run.is_at(folder) or is_started(folder)


def stored_predictions(run: Run, method: str | None, split: SplitName) -> Predictions:
    """Return the same as `Run.predictions`, for finetext itself: nothing is recorded."""
    path = run.folder / run.entry(method).method / PREDICTIONS
    return read_predictions(path, kept_as(split, run.folds))


def predicted_of(run: Run, method: str, part: SplitName) -> Predicted:
    """Return the predictions of a method with their texts; nothing is recorded."""
    predictions = stored_predictions(run, method, part)
    name, texts = f"{run.folder.resolve().name}/{method}", tuple(run.texts(method, part))
    words = part_in_words(part, run.folds)
    return Predicted(name, predictions, texts, run.metric, run.folder, method, part=words)
