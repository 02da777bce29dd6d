"""`find_lr`: a learning rate for fine-tuning, by a range test on the training rows."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from finetext.core.console import Screen
from finetext.core.contracts import FitContext, Listener, hyperparameters
from finetext.core.environment import cache_folder
from finetext.core.errors import RecipeError
from finetext.core.settings import Count, Positive, ReadSettings, SplitSettings, made
from finetext.core.types import Dataset, Finding
from finetext.data.read import read as read_data
from finetext.data.sources import sample_recipe
from finetext.data.split import split as split_rows
from finetext.methods.finetune import Finetune
from finetext.runs.pipeline import stop_if_impossible
from finetext.runs.recipe import ADAPTED, Recipe, ladder

if TYPE_CHECKING:
    from finetext.training.rate_finder import RateCurve


FEWEST_BATCHES: Final = 10
"""Batches of an epoch below which the test sees the same rows too often to say much."""
FEWEST_STEPS: Final = 10


@dataclass(frozen=True)
class RangeTest:
    """How a range test is done.

    Attributes:
        lowest: the learning rate it begins with, 1e-7 by default.
        highest: the learning rate it ends with, 1 by default; it ends before if the loss grows to
            four times the lowest one.
        steps: steps of training, 100 by default; at least 10.
    """

    lowest: Positive = 1e-7
    highest: Positive = 1.0
    steps: Count = 100

    def check(self) -> None:
        """Refuse a test of no use.

        Raises:
            RecipeError: a rate is not above 0, the lowest is not below the highest, or there are
                fewer than 10 steps.
        """
        made("the range test", RangeTest, hyperparameters(self))
        if self.lowest >= self.highest:
            raise RecipeError(
                f"the range test goes from {self.lowest:g} to {self.highest:g}; the lowest "
                "learning rate must be below the highest"
            )
        if self.steps < FEWEST_STEPS:
            raise RecipeError(
                f"the range test has {self.steps} steps; it takes at least {FEWEST_STEPS}, and "
                "about 100 to say something"
            )


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

    The encoder is trained for a hundred steps with a learning rate that grows from next to nothing
    until the loss gets out of hand (Smith 2017, "Cyclical learning rates for training neural
    networks", section 3.3). The rows are the training rows of `finetext.train` with the same data,
    settings and seed: no row of validation or test is used. Nothing is written, but for the tokens
    of the texts, which the cache keeps.

    The suggestion is where the smoothed loss falls fastest on its way down. The middle of the
    longest stretch of falling loss, which fastai calls the valley, is given too; it is several
    times lower.

    Args:
        what: anything that `finetext.read` takes, such as a path, a data frame or
            `(texts, labels)`; or a `Recipe`.
        method: what is to be fine-tuned, and how; that of the recipe, or `Finetune()`, by default.
            Its `learning_rate` does not count.
        test: range and steps of the test.
        read: how to read the data.
        split: how `finetext.train` is going to divide them.
        seed: seed of every random choice; that of the recipe, or 0, by default.
        listener: who hears of progress; by default a progress bar, on a terminal or in a notebook.

    Returns:
        the curve, with `suggestion` and `valley` as numbers.

    Raises:
        DataError: the data cannot be read, or have too few rows to be divided.
        RecipeError: a setting is not fit.
        ModelError: the encoder cannot be loaded, or the loss was no number from the start.
    """
    test = test or RangeTest()
    test.check()
    recipe = what if isinstance(what, Recipe) else _recipe_for(what)
    if isinstance(what, Recipe) and what.source is None:
        raise RecipeError("the recipe names no data; give it a source, or give the data themselves")
    method = method or finetune_rung(recipe)[1]
    recipe = replace(
        recipe, read=read or recipe.read, split=split or recipe.split, adapt=None, track=(),
        methods=ladder([method]), seed=recipe.seed if seed is None else seed,
    )  # fmt: skip
    stop_if_impossible(recipe)
    screen = Screen()
    hears = listener or Listener(progress=screen.progress)
    train = _training_rows(recipe, what, hears)
    with nullcontext() if listener else screen.watching():
        return _tested(method, train, test, _context(recipe, hears))


def finetune_rung(recipe: Recipe) -> tuple[str, Finetune]:
    """The first rung of a recipe that is fine-tuned, with its name.

    Raises:
        RecipeError: there is none, or its encoder is one that the run adapts itself.
    """
    for name, method in recipe.methods.items():
        if isinstance(method, Finetune):
            if method.encoder == ADAPTED:
                raise RecipeError(
                    f'{name} takes the encoder "{ADAPTED}", which the run makes; name its folder '
                    f"with --encoder RUN/{ADAPTED}"
                )
            return name, method
    raise RecipeError("the recipe has no rung that is fine-tuned, so there is no rate to find")


def _recipe_for(what: Any) -> Recipe:
    """The recipe of a sample, or the default one."""
    return Recipe.from_values(sample_recipe(what) if isinstance(what, str) else {})


def _training_rows(recipe: Recipe, what: Any, listener: Listener) -> Dataset:
    """The rows that training would learn from."""
    source = what if recipe.source is None else recipe.source
    dataset = read_data(source, settings=recipe.read)
    listener.say(dataset.description)
    for finding in dataset.findings:
        listener.finding(finding)
    splits = split_rows(dataset, recipe.split, recipe.seed)
    stop_if_impossible(recipe, splits.scheme)
    return splits.train


def _context(recipe: Recipe, listener: Listener) -> FitContext:
    return FitContext(
        seed=recipe.seed, device=recipe.device, metric=recipe.metric, cache=cache_folder(),
        progress=listener.progress, say=listener.say, find=listener.finding,
    )  # fmt: skip


def _tested(method: Finetune, train: Dataset, test: RangeTest, context: FitContext) -> RateCurve:
    """The test on training rows, with the model that fine-tuning would begin with."""
    from finetext.training.rate_finder import find_learning_rate
    from finetext.training.tokens import vocabulary_in_use

    train = method.resampled(train, context.seed)
    batches = -(-len(train) // method.batch_size)
    if batches < FEWEST_BATCHES:
        context.find(_few_rows(len(train), batches, method.batch_size))
    with method.begun(train, context) as classifier:
        # Nothing is measured on validation rows, so any will do.
        task = method.task(classifier, train, train.select([0]), context)
        context.say(
            f"range test on {len(train):,} training rows, in batches of {method.batch_size}"
        )
        with vocabulary_in_use(classifier.model, task.tables) as tables:
            return find_learning_rate(
                classifier.model,
                replace(task.with_tables(tables), name="find-lr"),
                method,
                context,
                lowest=test.lowest,
                highest=test.highest,
                steps=test.steps,
            )


def _few_rows(rows: int, batches: int, batch_size: int) -> Finding:
    return Finding(
        "warning",
        "few-rows",
        f"{rows} training rows make {batches} {'batch' if batches == 1 else 'batches'} of "
        f"{batch_size}, which the test sees again and again: the loss falls because they are "
        "learnt by heart, and the suggestion may be too high; more rows or smaller batches "
        "(finetune.batch_size) say more",
    )
