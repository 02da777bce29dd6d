"""What a method costs: the seconds of its parts, from about a second of its work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.contracts import Classifier, FitContext, Method, predict
from finetext.core.types import Dataset, Splits
from finetext.encoders.states import FrozenEncoder
from finetext.methods.endpoint import BudgetEnded
from finetext.methods.fewshot import FewShot
from finetext.methods.finetune import Finetune
from finetext.methods.label_sentences import TEXTS_OF_A_NAME
from finetext.methods.linear import ROWS_TO_CHOOSE_ON
from finetext.methods.llm import Llm
from finetext.methods.probe import Probe
from finetext.methods.static import Static, fit_static
from finetext.methods.zeroshot import MOST_TEXTS, ZeroShot, ZeroShotClassifier
from finetext.runs.asked import answered_sample, rows_per_second, too_small

SECONDS: Final = 1.0
"""How long training steps, or the states of texts, are measured."""
FORWARD: Final = 1 / 3
"""Time of a prediction over that of a training step: one pass of three."""
SAMPLES: Final = (100, 400, 1_600)
"""Rows of the fits of a method without an encoder; the first imports what it needs."""
SLOW: Final = 3.0
"""Seconds of a fit from which there is no further one: few of them grow with the rows."""
LEAST_GROWTH: Final = 0.5
"""Share of the time of the last of these fits that is taken to grow with the rows at least."""
ROWS_OF_PAIRS: Final = 64
STEPS_OF_PAIRS: Final = 5
"""Rows of a fit, and steps, by which contrastive steps are measured."""
STEPS_MADE: Final = 0.5
"""Share of its steps that few-shot learning makes before pairs are apart: a quarter to a half."""
TIMED_REQUESTS: Final = 3
"""Texts that an endpoint is asked to measure it, for each request at once."""
MOST_TOKENIZED: Final = 1_000
"""Training rows whose tokens are counted."""
_MOST_EPOCHS: Final = 50


@dataclass(frozen=True)
class Load:
    """The rows that a method learns from and predicts, in training rows of mean length."""

    train: float
    validation: float
    test: float

    @classmethod
    def of(cls, splits: Splits) -> Load:
        """Return the load of all rows; with an encoder, time grows with the characters."""
        sizes = [sum(map(len, part.texts)) for _, part in splits.items()]
        mean = max(1.0, sizes[0]) / max(1, len(splits.train))
        return cls(len(splits.train), sizes[1] / mean, sizes[2] / mean)


@dataclass(frozen=True)
class How:
    """How a method is fitted; None is its own hyperparameter, or all rows.

    Attributes:
        rows: training rows to learn from.
        epochs: passes over them.
        max_length: tokens to truncate texts to.
        again: whether it is fitted again, on training and validation rows.
        fits: fits of a cross-validated run, without that of the final model.
        folds: its folds.
    """

    rows: float | None = None
    epochs: int | None = None
    max_length: int | None = None
    again: bool = False
    fits: int = 0
    folds: int = 5


ITSELF: Final = How()
"""With the method's own hyperparameters, on all rows, once."""


@dataclass(frozen=True, eq=False)
class Cost:
    """Seconds that a method takes, for each row of mean length.

    Attributes:
        fixed: before the first row, such as loading an encoder.
        learn: for each training row in each epoch.
        read: for each row that is predicted.
        prepare: for each row, whatever it is for, such as reading its tokens.
        head: for what is fitted on states that are known, once.
        epochs: passes over the training rows with the method's own hyperparameters.
        batch: rows of a step; 0 if it does not train in steps.
        lengths: tokens of some training texts, as the method truncates them; none without encoder.
        keeps_states: whether a text is read once for all folds of a cross-validated run.
        loading: what is made once for all of them.
    """

    fixed: float
    learn: float
    read: float
    prepare: float = 0.0
    head: float = 0.0
    epochs: int = 1
    batch: int = 0
    lengths: Integers | None = None
    keeps_states: bool = False
    loading: float = 0.0

    def seconds(self, load: Load, how: How = ITSELF) -> float:
        """Return the time of fitting and of predicting validation and test rows."""
        rows = load.train if how.rows is None else how.rows
        epochs = self.epochs if how.epochs is None else how.epochs
        evaluated = load.validation * (epochs + 1 if self.batch else 1)
        every = rows + load.validation + load.test
        share = self.share(how.max_length)
        work = share * (self.learn * rows * epochs + self.read * (evaluated + load.test))
        once, again = self.fixed + self.prepare * every + work, 0.0
        if how.again and not self.keeps_states:
            learned = self.learn * (rows + load.validation) * epochs
            again = self.fixed + self.prepare * every + share * learned
        again += self.head if how.again else 0.0
        again += self.loading
        if not how.fits:
            return once + self.head + again
        if self.keeps_states:
            return 2 * once + self.head * (1 + how.fits) + again
        return (once + self.head) * (1 + how.fits * (1 - 1 / how.folds)) + again

    def after(self, load: Load, max_length: int | None = None) -> float:
        """Return the time of what follows the last step: evaluation, calibration, predictions."""
        return self.share(max_length) * self.read * (2 * load.validation + load.test)

    def share(self, max_length: int | None) -> float:
        """Return the share of the tokens that are left if texts are truncated to a length."""
        if max_length is None or self.lengths is None or not len(self.lengths):
            return 1.0
        return float(np.minimum(self.lengths, max_length).sum() / max(1, self.lengths.sum()))


def cost_of(method: Method, splits: Splits, context: FitContext) -> Cost:
    """Measure what a method costs, in the same way as its training is going to compute."""
    if isinstance(method, Finetune):
        return _of_training(method, splits, context)
    if isinstance(method, Probe):
        return _of_states(method, splits, context)
    if isinstance(method, ZeroShot):
        return _of_names(method, splits, context)
    if isinstance(method, FewShot):
        return _of_pairs(method, splits, context)
    if isinstance(method, Static):
        began = time.perf_counter()
        of_tokens = method.embeddings(context)
        loading = time.perf_counter() - began
        cost = _of_fits(lambda rows: fit_static(of_tokens, rows, context), splits, context.seed)
        return replace(cost, loading=loading)
    validation = splits.validation
    return _of_fits(lambda rows: method.fit(rows, validation, context), splits, context.seed)


def cost_of_asking(
    method: Llm, train: Dataset, asked: Dataset, context: FitContext, share: float
) -> Cost:
    """Measure what it costs to ask an endpoint, with examples from `train`.

    It is asked about the first rows that the run asks about anyway, within the share of the budget
    that these have: valid answers are kept, so that they are not paid for twice.

    Raises:
        BudgetEnded: the budget has no room for a single row.
    """
    began = time.perf_counter()
    classifier = method.fit(train, asked, replace(context, shared=None))
    fixed, most = time.perf_counter() - began, TIMED_REQUESTS * method.concurrency
    if not answered_sample(classifier, asked.texts, context.seed, share, most).rows:
        raise BudgetEnded(too_small(method.limits, 0, len(asked)))
    return Cost(fixed, 0.0, 1 / rows_per_second(classifier))


def _of_fits(fit: Callable[[Dataset], Classifier], splits: Splits, seed: int) -> Cost:
    """Return the cost by fits on few rows; what does not grow from one to the next is fixed."""
    every, found = splits.train, list[tuple[int, float, float]]()
    order = np.random.default_rng(seed).permutation(len(every))
    for size in SAMPLES:
        train = every.select(np.sort(order[:size]))
        if len(set(map(str, train.labels))) < 2:
            train = every
        start = time.perf_counter()
        classifier = fit(train)
        fitted = time.perf_counter()
        predict(classifier, train)
        found.append((len(train), fitted - start, (time.perf_counter() - fitted) / len(train)))
        if fitted - start > SLOW or len(train) == len(every):
            break
    rows, seconds, read = found[-1]
    before, less = found[-2][:2] if len(found) > len(SAMPLES) - 1 else (0, 0.0)
    learn = max(seconds - less, LEAST_GROWTH * seconds) / max(1, rows - before)
    return Cost(max(0.0, seconds - learn * rows), learn, read)


def _of_training(method: Finetune, splits: Splits, context: FitContext) -> Cost:
    """Return the cost by a second of training steps on some of the rows."""
    from finetext.training.batch_size import with_batch_size
    from finetext.training.loop import make_step
    from finetext.training.plan import make_plan, rows_per_step
    from finetext.training.record import make_accelerator
    from finetext.training.state import Training
    from finetext.training.tokens import vocabulary_in_use

    every = method.resampled(splits.train, context.seed)
    train = _some(every, context.seed, MOST_TOKENIZED)
    began = time.perf_counter()
    with method.begun(train, context) as classifier:
        model, start = classifier.model, time.perf_counter()
        task = method.task(classifier, train, splits.validation.select([0]), context)
        prepare = (time.perf_counter() - start) / len(train)
        tokens = float(task.lengths.mean())
        method = method.settled(len(task.scheme), model.config).sized(len(every), tokens)
        method = with_batch_size(method, model, task, context)
        batch = rows_per_step(method)
        stages = method.stages_for(len(every), tokens, model.config)
        epochs = sum(stage.epochs for stage in stages)
        # As many steps as the training has: how it computes depends on whether they are many.
        passes = min(_MOST_EPOCHS, -(-epochs * len(every) // len(train)))
        measured = [replace(stages[-1], epochs=passes, groups=None)]
        steps = make_plan(task, measured, method, context.seed)
        with vocabulary_in_use(model, task.tables) as tables:
            used, accelerator = task.with_tables(tables), make_accelerator(context)
            with Training.start(model, used, steps, accelerator, context) as training:
                fixed, done, spent = time.perf_counter() - began, 0, 0.0
                for number, rows in enumerate(steps.steps):
                    start = time.perf_counter()
                    make_step(training, used, method, rows)
                    if number or len(steps.steps) == 1:  # the first one warms up
                        spent += time.perf_counter() - start
                        done += _positions(task.lengths, rows)
                    if spent > SECONDS:
                        break
    positions = sum(_positions(task.lengths, rows) for rows in steps.steps)
    learn = spent / max(done, 1) * positions / (passes * len(train))
    learn *= len(every) / len(splits.train)  # of rows that are there more than once
    return Cost(
        fixed, learn, FORWARD * learn, prepare, epochs=epochs, batch=batch, lengths=task.lengths
    )


def _positions(lengths: Any, rows: Any) -> int:
    return int(lengths[rows].max()) * len(rows)


def _of_states(method: Probe, splits: Splits, context: FitContext) -> Cost:
    """Return the cost by a second of encoder states, and a head that is fitted on these."""
    began = time.perf_counter()
    encoder = method.frozen(context)
    fixed, train = time.perf_counter() - began, splits.train
    read, done, states = _timed(encoder.states, train, context.seed)
    windows = encoder.read([train.texts[row] for row in done])
    lengths = np.add.reduceat(windows.table.lengths, windows.firsts)
    head = _of_head(method, encoder, np.concatenate(states), train.select(done), context)
    head *= min(len(train), ROWS_TO_CHOOSE_ON)
    return Cost(fixed, read, read, head=head, lengths=lengths, keeps_states=True)


def _of_names(method: ZeroShot, splits: Splits, context: FitContext) -> Cost:
    """Return the cost by a second of reading; a model for inference learns from no row."""
    train = splits.train
    assert train.scheme is not None
    began = time.perf_counter()
    classifier = method.classifier(train.scheme, [], replace(context, shared=None))
    fixed, is_encoder = time.perf_counter() - began, isinstance(classifier, ZeroShotClassifier)
    at_once = 64 if is_encoder else 8
    read, *_ = _timed(classifier.predict_proba, train, context.seed, at_once)
    learn = read * min(1.0, MOST_TEXTS / max(1, len(train))) if is_encoder else 0.0
    return Cost(fixed, learn, read, keeps_states=True)


def _of_pairs(method: FewShot, splits: Splits, context: FitContext) -> Cost:
    """Return the cost by fits of one step and of a few more on few rows."""
    train, few = splits.train, _some(splits.train, context.seed, ROWS_OF_PAIRS)
    seconds, classifier = dict[int, float](), None
    for steps in (1, 1, STEPS_OF_PAIRS):  # the first one imports and warms up
        began = time.perf_counter()
        short = replace(method, steps=steps, learned_at=0.0)
        classifier = short.fit(few, few.select([]), context)
        seconds[steps] = time.perf_counter() - began
    assert classifier is not None
    assert train.scheme is not None
    read, *_ = _timed(classifier.predict_proba, train, context.seed)
    each = max(0.0, seconds[STEPS_OF_PAIRS] - seconds[1]) / (STEPS_OF_PAIRS - 1)
    steps = method.most_steps(len(train) + TEXTS_OF_A_NAME * len(train.scheme))
    fixed = max(0.0, seconds[1] - each - read * len(few))
    return Cost(fixed + STEPS_MADE * each * steps, read, read)


def _timed(
    read: Callable[[list[str]], Any], train: Dataset, seed: int, at_once: int = 64
) -> tuple[float, list[int], list[Any]]:
    """Read texts for a second; return the time of one of mean length, the rows, and what came."""
    spent, done, found = 0.0, list[int](), list[Any]()
    for number, rows in enumerate(_parts(len(train), seed, at_once)):
        start = time.perf_counter()
        part = read([train.texts[row] for row in rows])
        if number or len(rows) == len(train):  # the first ones warm up
            spent += time.perf_counter() - start
            done += rows.tolist()
            found.append(part)
        if spent > SECONDS:
            break
    each = spent / max(1, sum(len(train.texts[row]) for row in done))
    return each * sum(map(len, train.texts)) / max(1, len(train)), done, found


def _unheard(said: object) -> None:
    """Say nothing: what is measured is fitted again, and says it then."""


def _of_head(
    method: Probe, encoder: FrozenEncoder, states: Any, train: Dataset, context: FitContext
) -> float:
    """Return the time of fitting a head, for each row; 0 if the rows are too few to tell."""
    if len(set(map(str, train.labels))) < 2:
        return 0.0
    start = time.perf_counter()
    method.fit_head(states, encoder, train, replace(context, say=_unheard, find=_unheard))
    return (time.perf_counter() - start) / len(train)


def _some(dataset: Dataset, seed: int, most: int) -> Dataset:
    if len(dataset) <= most:
        return dataset
    order = np.random.default_rng(seed).permutation(len(dataset))
    return dataset.select(np.sort(order[:most]))


def _parts(rows: int, seed: int, at_once: int = 64) -> Iterator[Integers]:
    order = np.random.default_rng(seed).permutation(rows)
    for first in range(0, rows, at_once):
        yield np.asarray(order[first : first + at_once])
