"""The model folder of a cascade: two methods of a run, a threshold, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.decision import Decision
from finetext.core.errors import DataError, RunError
from finetext.core.types import Predictions, Score, SplitName
from finetext.core.wording import counted, part_in_words, row_of
from finetext.evaluation.base_rates import BaseRates
from finetext.evaluation.cascading import Certificate, cascaded
from finetext.evaluation.consistency import consistency
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import evaluate
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.methods.cascade import CascadeClassifier, Stage
from finetext.models.folder import model_in_run, provenance, record_of, save_model, write_record
from finetext.models.reference import Reference
from finetext.runs.predictions import stored_folds
from finetext.runs.run import Run, stored_predictions
from finetext.storage.codec import to_json

_MADE_BY: Final = ("seed", "content_hash", "weak_labels")
_RECORDED: Final = (
    "metric", "data", "base", "findings", "folds", "machine", "learned_from", "chosen_on",
)  # fmt: skip
"""What the record of the expensive method says that holds for the cascade, too."""


@dataclass(frozen=True)
class Cascade:
    """A model folder of two methods of a run, and what is known of it.

    Attributes:
        cheap: the method that reads all texts.
        expensive: the method that reads those of which the cheap one is not confident.
        certificate: the threshold, and what it loses and sends on of the rows that certified it.
        rows: these rows in words, such as "1,200 validation rows".
        tested: accuracy that it loses on test rows, with its 95% interval; None without any.
        tested_sent: share of the test rows that it sends on.
        times: how many times as fast as the expensive method it is expected to be, by the rows per
            second that the run measured of both.
        remark: what the certificate says of other models than those of the folder; "" if it does
            not.
    """

    folder: Path
    cheap: str
    expensive: str
    certificate: Certificate
    rows: str
    tested: Score | None
    tested_sent: Score | None
    times: float
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**to_json(self), "folder": str(self.folder)}


@dataclass(frozen=True, eq=False)
class Pair:
    """A cheap and an expensive method of a run, and a threshold that is certified."""

    run: Run
    cheap: LeaderboardEntry
    expensive: LeaderboardEntry
    certificate: Certificate

    @property
    def times(self) -> float:
        """See `Cascade`."""
        slow, fast = (1 / of.rows_per_second for of in (self.expensive, self.cheap))
        return slow / (fast + self.certificate.sent.value * slow)

    @cached_property
    def held_out(self) -> tuple[Predictions, Predictions]:
        """What both methods predict of the rows that certified the threshold."""
        return predictions_of_both(self.run, self.cheap, self.expensive, "validation")

    @cached_property
    def tested(self) -> tuple[Predictions, Predictions] | None:
        """What both methods predict of test rows; None if the run held out none."""
        if self.run.folds:
            return None
        try:
            return predictions_of_both(self.run, self.cheap, self.expensive, "test")
        except DataError:
            return None

    @property
    def rows(self) -> str:
        """The rows that certified the threshold, in words."""
        part = part_in_words("validation", self.run.folds)
        return counted(len(self.held_out[1]), row_of(part))


def predictions_of_both(
    run: Run, cheap: LeaderboardEntry, expensive: LeaderboardEntry, split: SplitName
) -> tuple[Predictions, Predictions]:
    """Return what both methods predicted of the same rows in the same order."""
    one, other = (stored_predictions(run, of.method, split) for of in (cheap, expensive))
    return _in_order(one, other, run.folder), other


def _in_order(one: Predictions, other: Predictions, folder: Path) -> Predictions:
    """Return predictions in the order of others; raise a RunError if they are of other rows."""
    if one.ids == other.ids:
        return one
    place = {name: at for at, name in enumerate(one.ids)}
    if place.keys() != set(other.ids):
        raise RunError(f"the run in {folder} is damaged: its methods predicted different rows")
    return one.select(np.array([place[name] for name in other.ids], dtype=np.int64))


def write_cascade(pair: Pair, made: Cascade) -> None:
    """Write the model folder, and what `finetext monitor` compares new rows with."""
    run, threshold = pair.run, pair.certificate.threshold
    validation = cascaded(*pair.held_out, threshold)
    decision = validation.decision.shipped
    cheap, expensive = (
        Stage(of.method, run.classifier(of.method, "cpu", "torch").with_decision(Decision()))
        for of in (pair.cheap, pair.expensive)
    )
    scheme = expensive.classifier.scheme
    classifier = CascadeClassifier(
        scheme, replace(decision, temperature=1.0), cheap, expensive, threshold,
        decision.thresholds if scheme.multilabel else None, pair.certificate,
    )  # fmt: skip
    model = model_in_run(run.folder, pair.expensive.model)
    known = provenance(model)
    made_by = {"method": CascadeClassifier.kind}
    made_by |= {name: known[name] for name in _MADE_BY if name in known}
    tested = validation if pair.tested is None else cascaded(*pair.tested, threshold)
    record = _record(pair, made, record_of(model), validation, tested)
    save_model(classifier, made.folder, made_by, record)
    if run.folds or pair.tested is not None:
        _keep_reference(run, tested, made)
        write_record(made.folder, {**record, "keeps_rows": True})


def _keep_reference(run: Run, tested: Predictions, made: Cascade) -> None:
    part = part_in_words("test", run.folds)
    ids = stored_predictions(run, made.expensive, "test").ids
    text_of = dict(zip(ids, run.texts(made.expensive, "test"), strict=True))
    Reference.of(tested, [text_of[row] for row in tested.ids], str(part)).save(made.folder)


def _record(
    pair: Pair,
    made: Cascade,
    known: Mapping[str, Any],
    validation: Predictions,
    tested: Predictions,
) -> dict[str, Any]:
    """Return scores and data for the model card."""
    entries = pair.cheap, pair.expensive
    record = {name: known[name] for name in _RECORDED if name in known}
    record |= {
        "title": f"{pair.run.folder.resolve().name}: {made.cheap} and {made.expensive}, cascaded",
        "costs": {"seconds_to_train": sum(of.seconds_to_train for of in entries)},
        "cascade": {
            "rows": made.rows,
            "remark": made.remark,
            "times": made.times,
            "tested": to_json(made.tested),
            "tested_sent": to_json(made.tested_sent),
        },
    }
    if pair.run.folds or pair.tested is not None:
        scores = _fold_scores(pair) or evaluate(tested)
        record["scores"] = to_json(dict(scores))
        record["baselines"] = {of.method: to_json(dict(of.metrics["test"])) for of in entries}
        record["calibration"] = consistency(tested).to_json()
    if not pair.run.folds:
        record["validation_scores"] = to_json(dict(evaluate(validation)))
    if len(validation) > 1:
        record["base_rates"] = BaseRates.of(validation).to_json()
    return record


def _fold_scores(pair: Pair) -> Mapping[str, Score] | None:
    """Return the scores of the cascade over all repeats of a cross-validation; None without."""
    if not pair.run.folds:
        return None
    found = [stored_folds(pair.run.folder / of.method) for of in (pair.cheap, pair.expensive)]
    one, other = found
    if one is None or other is None:
        return None
    repeats = tuple(
        tuple(
            cascaded(_in_order(a, b, pair.run.folder), b, pair.certificate.threshold)
            for a, b in zip(*folds, strict=True)
        )
        for folds in zip(one.repeats, other.repeats, strict=False)
    )
    return FoldPredictions(repeats).scores()
