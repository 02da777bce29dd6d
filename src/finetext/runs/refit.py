"""Fit a method again on training and validation rows, once the latter have chosen what they can.

Validation rows choose the checkpoint, the temperature and the decision rule, and rank the methods.
Then they are of more use to learn from. The scores on test rows are those of the model that
learned from all; those on validation rows are of the model before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from finetext.core.contracts import Classifier, Evaluated, FitContext, Method, predict
from finetext.core.errors import ModelError
from finetext.core.types import Dataset, Finding, Predictions
from finetext.core.wording import counted
from finetext.evaluation.metrics import metric_for
from finetext.runs.recipe import Recipe

MOST_ROWS: Final = 3_000
"""Training rows up to which a method that trains in steps is fitted again without being asked. It
takes its time once more, and gains the less the more rows there are (`benchmarks/LOG.md`)."""
MOST_WORSE: Final = 0.05
"""By how much a model may be worse on validation rows than before it learned from them."""
_FOLDER: Final = "again"


def is_refitted(method: Method, recipe: Recipe, train: Dataset, validation: Dataset) -> bool:
    """Return whether to fit a method again on these rows, once it was fitted on `train` alone."""
    can_be = not method.needs_validation or type(method).refit is not Method.refit
    if method.combines or not (method.learns and can_be and len(validation)):
        return False
    if recipe.refit != "auto":
        return recipe.refit
    # What the rule assures is shown of one model; out-of-fold predictions show it of any.
    if recipe.decide.has_target and not recipe.split.cross_validate:
        return False
    return not method.trains_in_steps or len(train) <= MOST_ROWS


def refitted(
    method: Method,
    classifier: Classifier,
    rows: Dataset,
    on_validation: Predictions | None,
    context: FitContext,
) -> Classifier:
    """Return the method fitted on all rows, with temperature and decision rule of `classifier`.

    `classifier` itself is returned if the method cannot be fitted without validation rows, or if
    the new model is clearly worse than it on the validation rows that it learned from.
    """
    if method.trains_in_steps:
        context.say(f"{method.name}: training again on all {counted(len(rows), 'row')}")
    try:
        again = method.refit(rows, classifier, _context(context))
    except ModelError as error:
        return _unchanged(method, classifier, f"training on all rows failed: {error}", context)
    if again is classifier:
        return classifier
    decision = classifier.decision
    again = again.with_temperature(decision.temperature).with_decision(decision)
    if method.trains_in_steps and on_validation is not None:
        metric = metric_for(context.metric, classifier.scheme)
        ids = set(on_validation.ids)
        kept = rows.select([row for row, name in enumerate(rows.ids) if name in ids])
        before, after = metric.goodness(on_validation), metric.goodness(predict(again, kept))
        if not after >= before - MOST_WORSE:
            reason = (
                f"training on all rows failed, with {metric.title} {abs(after):.3f} on validation "
                f"rows and {abs(before):.3f} before"
            )
            return _unchanged(method, classifier, reason, context)
    if on_validation is not None and decision.assured:
        message = (
            f"{method.name}: whether the target of the decision rule is reached was tested before "
            "the model was fitted again on all rows (refit = true)"
        )
        context.find(Finding("note", "target", message))
    return again


def _unchanged(
    method: Method, classifier: Classifier, reason: str, context: FitContext
) -> Classifier:
    """Return the classifier, and report why it is not fitted again."""
    message = f"{method.name}: {reason}; the model of the training rows alone is kept"
    context.find(Finding("warning", "training", message))
    return classifier


def _context(context: FitContext) -> FitContext:
    """The context of the second fit: with checkpoints of its own, and without log and trackers."""
    checkpoints = context.checkpoints
    if checkpoints is not None:
        checkpoints = replace(checkpoints, folder=checkpoints.folder / _FOLDER, keep=0)
    return replace(context, checkpoints=checkpoints, log=None, trackers=(), keep=_ignored)


def _ignored(evaluated: Evaluated, make: object) -> None:
    """Keep no evaluated model: there is none."""
