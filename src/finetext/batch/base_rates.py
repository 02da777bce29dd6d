"""Base rates of texts to predict: compared with those a model knows, and corrected for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np

from finetext.core.addresses import public_address
from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier, ProgressEvent
from finetext.core.display import listed
from finetext.core.errors import DataError, FinetextError, RecipeError
from finetext.core.types import Finding, LabelScheme
from finetext.core.wording import counted
from finetext.data.rows import Rows
from finetext.evaluation.base_rates import (
    FEWEST_EXPECTED,
    BaseRateCheck,
    BaseRates,
    SampledRows,
    check_base_rates,
    correct_base_rates,
)

OPTION: Final = "--correct-base-rates"
_SHOWN: Final = 3


def known_base_rates(model: str | Path | Classifier) -> BaseRates | None:
    """Return the base rates that a model folder states; None if it states none."""
    from finetext.models.folder import best_model, record_of
    from finetext.models.hub import model_folder

    if isinstance(model, Classifier):
        return None
    try:
        values = record_of(best_model(model_folder(model))).get("base_rates")
        return None if values is None else BaseRates.from_json(values)
    except FinetextError:  # a model of transformers, or of an older finetext
        return None


def check_correction(model: str | Path | Classifier, source: str, is_text: bool) -> None:
    """Raise an error if base rates cannot be corrected, before anything is predicted."""
    if is_text:
        raise DataError(f"{OPTION} needs many texts, and this is one; leave it out")
    if source == "-":
        raise DataError(
            f"{OPTION} reads the texts twice, which standard input does not allow; write them to "
            "a file and predict that"
        )
    if isinstance(model, Classifier):
        raise RecipeError(
            "a classifier in memory does not say on which base rates its probabilities rest; give "
            "its model folder, or use finetext.check_base_rates and finetext.correct_base_rates"
        )
    known = known_base_rates(model)
    if known is None:
        raise RecipeError(
            f"{model} does not say on which base rates its probabilities rest, as older models "
            f"and those that `finetext train` did not make; train it again, or leave out {OPTION}"
        )
    if not known.is_correctable:
        raise RecipeError(
            f"{model}: probabilities are {_too_low(known)}, and a correction for other shares of "
            f"labels would push too many texts into one class; leave out {OPTION}, or train the "
            "model again with more rows or --cross-validate"
        )


def _too_low(known: BaseRates) -> str:
    points = f"{100 * known.underconfidence:.0f} points"
    return f"too low by about {points} on {counted(known.rows, 'held-out row')}"


@final
@dataclass
class BaseRateWatch:
    """Looks at the probabilities of all rows that pass, or corrects them.

    Attributes:
        known: base rates of rows that the model did not learn from; None if they are unknown.
        scheme: its labels.
    """

    known: BaseRates | None
    scheme: LabelScheme

    def __post_init__(self) -> None:
        self._sample = SampledRows(len(self.scheme))
        self.check: BaseRateCheck | None = None

    @property
    def is_shifted(self) -> bool:
        """Whether other shares of labels were found."""
        return self.check is not None and bool(self.check.shifted)

    def through(self, probabilities: Floats) -> Floats:
        """Return the probabilities, corrected if `find` found other base rates before."""
        if self.check is None:
            if self.known is not None:
                self._sample.add(probabilities)
            return probabilities
        weights = self.check.weights
        return probabilities if weights is None else correct_base_rates(probabilities, weights)

    def first_pass(
        self,
        classifier: Classifier,
        batches: Iterator[Rows],
        progress: Callable[[ProgressEvent], None],
    ) -> None:
        """Predict all rows once, only to estimate their base rates.

        Raises a RecipeError in a multi-label scheme, where probabilities cannot be corrected.
        """
        if self.scheme.multilabel:
            raise RecipeError(
                f"{OPTION} is for classes that exclude each other, and texts of this model can "
                "have several labels; leave it out"
            )
        done = 0
        for rows in batches:
            if len(rows.texts):
                self.through(classifier.predict_proba(list(rows.texts)))
            done += len(rows)
            total = round(done / rows.share) if rows.share else 0
            progress(ProgressEvent(f"estimating base rates: {done:,} rows", done, total))
        self.find()

    def find(self) -> BaseRateCheck | None:
        """Return how base rates compare, once all rows passed; None if that cannot be told."""
        if self.known is not None and len(self._sample) > 1:
            self.check = check_base_rates(self.known, self._sample.probabilities, self.scheme)
        return self.check

    def missed(self) -> list[str]:
        """Return labels that many rows have by estimate, none of them as its likeliest one."""
        if self.known is None or self.check is None or self.check.weights is None:
            return []
        shares = np.multiply(self.check.weights, self.known.rates)
        likely = correct_base_rates(self._sample.probabilities, self.check.weights)
        found = np.bincount(likely.argmax(axis=1), minlength=len(shares))
        expected = shares / shares.sum() * self.check.rows
        return [
            name
            for name, rows, there in zip(self.scheme.names, expected, found, strict=True)
            if rows >= FEWEST_EXPECTED and not there
        ]


def _missed_words(watch: BaseRateWatch) -> str:
    if not (names := watch.missed()):
        return ""
    shown = listed([repr(name) for name in names], _SHOWN)
    return (
        f" No text has {shown} as its likeliest label, although some have it by this estimate; "
        "look at those with its highest probabilities."
    )


def findings_of(watch: BaseRateWatch, source: str, is_corrected: bool) -> list[Finding]:
    """Return what to say about the base rates: nothing if they are as before."""
    check, scheme = watch.check, watch.scheme
    if check is None or not (check.shifted or is_corrected):
        return []
    name = Path(public_address(source)).name
    if not check.shifted:
        message = (
            f"{name}: no other shares of labels than on held-out rows can be shown from "
            f"{counted(check.rows, 'row')}, so probabilities are unchanged"
        )
        return [Finding("note", "base-rates", message)]
    told = [
        f"about {of.share.value:.0%} [{of.share.low:.0%}, {of.share.high:.0%}] have the label "
        f"{of.label!r}, of the held-out rows {of.known:.0%}"
        for of in check.shifted[:_SHOWN]
    ]
    more = len(check.shifted) - len(told)
    rest = f"; {counted(more, 'more label')} differ" if more else ""
    start = f"{name}: the texts are not like those of training: {'; '.join(told)}{rest}"
    if is_corrected:
        message = (
            f"{start}. Probabilities were corrected for that. This holds if texts within a class "
            "look like those of training; if in doubt, label some and run `finetext evaluate`."
            f"{_missed_words(watch)}"
        )
    elif scheme.multilabel:
        message = (
            f"{start}. Probabilities and thresholds are for the old shares, and with several "
            "labels per text they cannot be corrected. Label some of the texts and run `finetext "
            "evaluate`."
        )
    elif watch.known is not None and not watch.known.is_correctable:
        message = (
            f"{start}. Probabilities are for the old shares, and as they are "
            f"{_too_low(watch.known)}, they cannot be corrected. Label some of the texts and run "
            "`finetext evaluate`."
        )
    else:
        message = (
            f"{start}. Probabilities are for the old shares. If texts within a class look like "
            f"those of training and only the shares changed, add {OPTION}. If they come from "
            "elsewhere or look different, label some and run `finetext evaluate`."
        )
    return [Finding("warning", "base-rates", message)]
