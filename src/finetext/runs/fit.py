"""Train one method without a run folder: `fit`, `find_lr` and `find_label_errors`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from finetext.core.budget import within_memory
from finetext.core.console import Screen, heard
from finetext.core.contracts import (
    Classifier,
    FitContext,
    Listener,
    Member,
    Method,
    hyperparameters,
)
from finetext.core.errors import DataError, RecipeError
from finetext.core.settings import Count, Positive, ReadSettings, SplitSettings, made
from finetext.core.types import Dataset, Finding, Predictions
from finetext.data.label_cells import COLLECTIONS
from finetext.data.read import read as read_data
from finetext.data.rows import missing_text
from finetext.data.split import HELD_OUT, held_out
from finetext.diagnosis.label_errors import Suspects
from finetext.diagnosis.planted_errors import search
from finetext.evaluation.blending import gain_of
from finetext.evaluation.calibration import calibrated, calibrated_by
from finetext.evaluation.metrics import metric_for
from finetext.methods.blend import Blend
from finetext.methods.finetune import Finetune
from finetext.runs.ablations import members_in
from finetext.runs.blending import is_pretrained
from finetext.runs.default_methods import better_of_steps, suited, with_members
from finetext.runs.recipe import ADAPTED, Recipe, ladder
from finetext.runs.refit import is_refitted, refitted
from finetext.runs.resolve import (
    check_possible,
    context_for,
    data_changed,
    read_and_split,
    recipe_for,
)
from finetext.runs.run import Run, stored_predictions

if TYPE_CHECKING:
    from finetext.training.rate_finder import RateCurve

FEWEST_BATCHES: Final = 10
"""Batches of an epoch below which the range test sees the same rows too often to say much."""
FEWEST_STEPS: Final = 10
CALL: Final = "call finetext.fit(texts, labels, method)"


@within_memory
def fit(
    texts: Sequence[str],
    labels: Sequence[Any],
    method: str | Method | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    positive: str | bool | int | None = None,
    listener: Listener | None = None,
) -> Classifier:
    """Train one method on texts and labels.

    A tenth of the rows is held out to choose the best checkpoint, to calibrate the probabilities,
    and for the thresholds where a text can have several labels; up to 3,000 rows the method is
    then fitted again on all. With too few rows to hold out any, the classifier is not calibrated.
    For scores, intervals and a comparison with baselines use `finetext.train`.

    Args:
        texts: n texts.
        labels: n labels; n lists of labels if a text can have several.
        method: a method with its hyperparameters, such as `Finetune(epochs=3)`, or the name of
            one; None (the default) is "fewshot" with up to 64 texts a label, else "finetune".
            "blend" fits all of the ladder and combines them where that is worth it; see `Blend`.
        seed: seed of every random choice, 0 by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        positive: the positive class of two, which the model remembers for its scores; by default
            the second in alphabetical order.
        listener: receives progress; by default a progress bar, on a terminal or in a notebook.

    Returns:
        the classifier: called with a text it returns label to probability, likeliest first.

    Raises:
        DataError: there are no rows, a text is missing, texts and labels differ in number, there
            is one class only, or no such positive class of two.
        RecipeError: a hyperparameter, the seed or the device is invalid.
        UnknownNameError: there is no method of that name.
    """
    if not isinstance(labels, Iterable) or isinstance(labels, str):
        raise DataError(f"labels must be one for each text, not {type(labels).__name__}: " + CALL)
    recipe = Recipe(methods=with_members(method or "finetune"), seed=seed, device=device)
    check_possible(recipe)
    if not len(texts):
        raise DataError("there are no texts to learn from")
    for what, values in {"text": texts, "label": labels}.items():
        for place, value in enumerate(values):
            if missing_text(value):
                raise DataError(
                    f"{what} {place}, counted from 0, is missing ({value!r}); fill it in, or leave "
                    "this text and its label out"
                )
    several = any(isinstance(label, COLLECTIONS) for label in labels)
    settings = ReadSettings(multilabel=several, positive=positive)
    dataset = read_data((texts, labels), settings=settings)
    if method is None:
        method = better_of_steps(dataset)
        recipe = replace(recipe, methods=with_members(method))
    with watched(listener) as hears:
        return fit_rows(dataset, method, recipe, hears)


def fit_rows(
    dataset: Dataset,
    method: str | Method,
    recipe: Recipe,
    hears: Listener,
    held_out_size: float = HELD_OUT,
) -> Classifier:
    """Train a method of a recipe on labeled rows, as `fit` does; raises the same."""
    recipe, left_out = suited(recipe, dataset)
    for line in left_out:
        hears.say(line)
    check_possible(recipe, dataset.scheme)
    for finding in dataset.findings:
        hears.finding(finding)
    train, validation = held_out(dataset, recipe.seed, held_out_size)
    name = method if isinstance(method, str) else method.name
    if isinstance(blend := recipe.methods[name], Blend):
        return _fit_blend(blend, recipe, (train, validation), dataset, hears)
    context = context_for(recipe, hears)
    if validation is train:  # it would be overconfident on the rows that it was trained on
        return recipe.methods[name].fit(train, validation, context)
    return _fit_member(recipe.methods[name], recipe, (train, validation), dataset, context)[0]


def _fit_member(
    method: Method,
    recipe: Recipe,
    parts: tuple[Dataset, Dataset],
    dataset: Dataset,
    context: FitContext,
) -> tuple[Classifier, Predictions]:
    """Return a method that was fitted, calibrated and maybe fitted again on all rows.

    The predictions are of the validation rows, by the model that had not seen them.
    """
    train, validation = parts
    fitted = method.fit(train, validation, context)
    fitted, predictions = calibrated(fitted, validation, learns=method.learns)
    if is_refitted(method, recipe, train, validation):
        fitted = refitted(method, fitted, dataset, predictions, context)
    return fitted, predictions


def _fit_blend(
    blend: Blend,
    recipe: Recipe,
    parts: tuple[Dataset, Dataset],
    dataset: Dataset,
    hears: Listener,
) -> Classifier:
    """Fit the other methods of a recipe and combine them; the best of them if that is no better."""
    train, validation = parts
    assert train.scheme is not None
    if validation is train:
        raise DataError(
            "blend needs rows to compare methods on, and none are held out; give more rows, or "
            "name one method, such as finetune"
        )
    context, members = context_for(recipe, hears), {}
    for name in members_in(recipe):
        hears.say(f"fitting {name}")
        method = recipe.methods[name]
        fitted = _fit_member(method, recipe, parts, dataset, context)
        members[name] = Member(*fitted, is_pretrained(method))
    predictions = {name: of.predictions for name, of in members.items()}
    metric = metric_for(recipe.metric, train.scheme)
    weighing = blend.weighing(
        predictions, [name for name, of in members.items() if of.is_pretrained]
    )
    gain, cross = gain_of(predictions, recipe.decide, metric, weighing)
    classifier = blend.fit(train, validation, replace(context, members=members))
    if blend.is_worth_it(classifier.parts, gain, weighing):
        return calibrated_by(classifier, cross)[0]
    shown = "shown to be worse" if weighing.equal else "not shown to be better"
    message = f"{gain.best} alone is taken: a blend is {shown} than {gain.words()}"
    hears.finding(Finding("note", "blend-left-out", message))
    return members[gain.best].classifier


@contextmanager
def watched(listener: Listener | None, quiet: bool = False) -> Iterator[Listener]:
    """Yield the listener, or one that shows progress only."""
    screen = Screen(quiet)
    with screen.watching() if listener is None else nullcontext():
        yield listener or Listener(progress=screen.progress)


@within_memory
def find_label_errors(
    what: Any,
    method: str | Method = "tfidf",
    *,
    read: ReadSettings | None = None,
    folds: int = 5,
    seed: int | None = None,
    test_ids: Collection[str] = (),
    listener: Listener | None = None,
) -> Suspects:
    """Find labels that may be wrong, in all rows of a data set.

    The method is trained once for each fold, without its rows, which it then predicts; whole
    groups stay in one fold. Confident learning (Northcutt, Jiang and Chuang, "Confident Learning:
    Estimating Uncertainty in Dataset Labels", JAIR 2021) estimates how many labels are wrong and
    which. Review the list before you change labels: correct labels of difficult texts are on it,
    too. Beside it is how reliable it is: the method's accuracy and, where it has no encoder, what
    it finds of labels changed on purpose. The list ends where less than half of what it flags there
    was changed, and is empty if the method is no better than always giving the most frequent label.

    Args:
        what: anything that `finetext.read` takes, or a `Recipe` or `Run`, whose settings then hold.
        method: a method, or the name of one or of one in the recipe; "tfidf" by default, which is
            quick. A method that is better at the task finds more.
        read: how to read the data.
        folds: number of folds, 5 by default.
        seed: seed of every random choice; that of the recipe, or 0, by default.
        test_ids: ids of test rows besides those of a ready-made test split. A reviewer should not
            see their suggestions; as many unsuspected ones are in `others`.
        listener: receives progress; by default a progress bar, on a terminal or in a notebook.

    Returns:
        the rows whose labels may be wrong, ranked.

    Raises:
        DataError: the data cannot be read, have no labels, or fewer rows or groups than folds.
        RecipeError: a setting is invalid.
        UnknownNameError: there is no such method.
    """
    recipe = recipe_for(what, read=read, seed=seed)
    [(name, method)] = ladder([method], recipe.methods).items()
    if method.combines:
        raise RecipeError(
            f"{name} combines other methods, and would fit each of them in every fold; name one "
            "that learns from texts, such as tfidf"
        )
    recipe = replace(recipe, methods={name: method}, adapt=None)
    check_possible(recipe)
    dataset = read_data(what if recipe.source is None else recipe.source, settings=recipe.read)
    check_possible(recipe, dataset.scheme)
    with heard(listener) as hears:
        hears.say(dataset.description)
        for finding in [*dataset.findings, *data_changed(recipe, dataset)]:
            hears.finding(finding)
        context, test = context_for(recipe, hears), {*test_ids, *_test_ids(what)}
        if "split" in dataset.table.column_names:
            parts = zip(dataset.ids, dataset.column("split"), strict=True)
            test |= {one for one, part in parts if part == "test"}
        return search(name, recipe.methods[name], dataset, folds, context, test)


def _test_ids(what: Any) -> tuple[str, ...]:
    if not isinstance(what, Run) or what.folds:
        return ()
    return stored_predictions(what, None, "test").ids


@dataclass(frozen=True)
class RangeTest:
    """The range and the steps of a learning rate range test.

    Attributes:
        lowest: the learning rate it begins with, 1e-7 by default.
        highest: the learning rate it ends with, 1 by default; it stops earlier once the loss has
            grown to four times its minimum.
        steps: training steps, 100 by default; at least 10.
    """

    lowest: Positive = 1e-7
    highest: Positive = 1.0
    steps: Count = 100

    def check(self) -> None:
        """Raise a RecipeError if range or steps are of no use."""
        made("the range test", RangeTest, hyperparameters(self))
        if self.lowest >= self.highest:
            raise RecipeError(
                f"the range test goes from {self.lowest:g} to {self.highest:g}; the lowest "
                "learning rate must be below the highest"
            )
        if self.steps < FEWEST_STEPS:
            raise RecipeError(f"the range test has {self.steps} steps; use at least {FEWEST_STEPS}")


@within_memory
def find_lr(
    what: Any,
    method: Finetune | None = None,
    test: RangeTest | None = None,
    *,
    read: ReadSettings | None = None,
    split: SplitSettings | None = None,
    seed: int | None = None,
    listener: Listener | None = None,
) -> RateCurve:
    """Find a learning rate for fine-tuning on some data.

    The encoder is trained for a hundred steps with a growing learning rate, until the loss
    diverges (Smith 2017, "Cyclical learning rates for training neural networks", section 3.3). The
    rows are the training rows of `finetext.train` with the same data, settings and seed; rows of
    validation and test are not used. Nothing is written except tokens to the cache.

    The suggestion is where the smoothed loss falls fastest. The middle of the longest stretch of
    falling loss, which fastai calls the valley, is returned too; it is several times lower.

    Args:
        what: anything that `finetext.read` takes, such as a path, a data frame or
            `(texts, labels)`; or a `Recipe`.
        method: how to fine-tune; that of the recipe, or `Finetune()`, by default. Its
            `learning_rate` is ignored.
        test: range and steps of the test.
        read: how to read the data.
        split: how `finetext.train` is going to split them.
        seed: seed of every random choice; that of the recipe, or 0, by default.
        listener: receives progress; by default a progress bar, on a terminal or in a notebook.

    Returns:
        the curve, with `suggestion` and `valley` as numbers.

    Raises:
        DataError: the data cannot be read, or have too few rows to split.
        RecipeError: a setting is invalid.
        ModelError: the encoder cannot be loaded, or the loss was not a number from the start.
    """
    test = test or RangeTest()
    test.check()
    recipe = recipe_for(what, read=read, split=split, seed=seed)
    method = method or finetune_method(recipe)[1]
    recipe = replace(recipe, adapt=None, track=(), methods=ladder([method]))
    with watched(listener) as hears:
        dataset, splits = read_and_split(recipe, what, hears)
        for finding in dataset.findings:
            hears.finding(finding)
        return _range_test(method, splits.train, test, context_for(recipe, hears))


def finetune_method(recipe: Recipe) -> tuple[str, Finetune]:
    """Return the first method of a recipe that is fine-tuned, with its name."""
    for name, method in recipe.methods.items():
        if isinstance(method, Finetune):
            if method.encoder == ADAPTED:
                raise RecipeError(
                    f'{name} takes the encoder "{ADAPTED}", which the run makes; name its folder '
                    f"with --encoder RUN/{ADAPTED}"
                )
            return name, method
    raise RecipeError("the recipe fine-tunes no method, so there is no learning rate to find")


def _range_test(
    method: Finetune, train: Dataset, test: RangeTest, context: FitContext
) -> RateCurve:
    from finetext.training.batch_size import with_batch_size
    from finetext.training.plan import rows_per_step
    from finetext.training.rate_finder import find_learning_rate
    from finetext.training.tokens import vocabulary_in_use

    train = method.resampled(train, context.seed)
    with method.begun(train, context) as classifier:
        # Nothing is measured on validation rows, so any will do.
        task = method.task(classifier, train, train.select([0]), context)
        method = method.sized(len(train), float(task.lengths.mean()))
        method = with_batch_size(method, classifier.model, task, context)
        size = rows_per_step(method)
        _warn_of_few_batches(len(train), size, context)
        context.say(f"range test on {len(train):,} training rows, in batches of {size}")
        with vocabulary_in_use(classifier.model, task.tables) as tables:
            return find_learning_rate(
                classifier.model, replace(task.with_tables(tables), name="find-lr"), method,
                context, lowest=test.lowest, highest=test.highest, steps=test.steps,
            )  # fmt: skip


def _warn_of_few_batches(rows: int, size: int, context: FitContext) -> None:
    batches = -(-rows // size)
    if batches < FEWEST_BATCHES:
        message = (
            f"{rows} training rows make {batches} batch{'es' if batches > 1 else ''} of "
            f"{size}, which the test sees again and again. The loss falls because "
            "they are memorized, and the suggestion may be too high; use more rows or smaller "
            "batches (finetune.batch_size)"
        )
        context.find(Finding("warning", "few-rows", message))
