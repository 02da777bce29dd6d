"""The end of a run: the best method, the recommended one, and the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from finetext.core.errors import FinetextError, MissingExtraError, RunError
from finetext.core.types import Finding, Predicted, Predictions, Score, SplitName
from finetext.core.wording import part_in_words, resume_command
from finetext.evaluation.choice import Choice, Grounds, choose, choose_among, confirmed
from finetext.evaluation.compare import estimate_score
from finetext.evaluation.estimates import Estimate
from finetext.evaluation.fold_scores import FoldPredictions, Scored, compare_on
from finetext.evaluation.intervals import widened
from finetext.evaluation.leaderboard import Leaderboard, over_seeds
from finetext.evaluation.metrics import Metric, log_loss, metric_for
from finetext.evaluation.split_gap import validation_test_gap
from finetext.evaluation.usability import most_frequent, over_constant
from finetext.methods.zeroshot import ZeroShot
from finetext.pretraining.folder import is_finished
from finetext.report.report import write_report
from finetext.runs.ablations import encoder_gains, seconds_before, uses_adapted
from finetext.runs.accesses import record_scoring
from finetext.runs.adapting import adaptation_findings
from finetext.runs.blending import findings_of_left_out, is_hedge, is_left_out
from finetext.runs.fit_methods import FittedMethod, Started
from finetext.runs.folder import record_models
from finetext.runs.recipe import ADAPTED, MAJORITY
from finetext.runs.references import keep_references
from finetext.runs.reporting import diagnose, report_data
from finetext.runs.run import Run
from finetext.runs.seeds import predictions_of_seeds
from finetext.storage.codec import to_json
from finetext.storage.files import write_json

FAILED: Final = "failed"  # code of the finding: would fail again with the same settings
STOPPED: Final = "unfinished"  # likewise: can be resumed
FEWEST_TO_LEARN: Final = 20
"""Labeled rows below which names of labels tell more than what was learned from rows."""
Fitted = Mapping[str, FittedMethod]


def finish(started: Started, fitted: Fitted, scored: Callable[[Run], None]) -> Run:
    """Evaluate and diagnose the run, and write model cards, report, leaderboard and verdict.

    `scored` gets the run before it is diagnosed, which can take as long as a cheap method.
    """
    run, splits, recipe = evaluated(started, fitted), started.run.splits, started.recipe
    record_scoring(run.folder, splits.test)
    scored(run)
    if "tfidf" in fitted:
        name = f"{run.folder.name}/{run.best}"
        part: SplitName = "validation" if started.run.folds is None else "test"
        rows = splits.validation if started.run.folds is None else started.run.dataset
        best = Predicted(
            name, fitted[run.best].predictions[part], tuple(rows.texts), recipe.metric, run.folder,
            run.best, part=part_in_words(part, run.folds),
        )  # fmt: skip
        seconds = fitted["tfidf"].entry.seconds_to_train
        left_out = diagnose(started, best, run.folder / fitted["tfidf"].entry.model, seconds)
        run = replace(run, findings=(*run.findings, *left_out))
    try:
        keep_references(started, fitted, run)
    except OSError as error:
        raise RunError(f"the run folder {run.folder} cannot be written: {error}") from None
    return _written(started, fitted, run)


def keep_so_far(started: Started, fitted: Fitted, waiting: Sequence[str], report: bool) -> Run:
    """Write what a run has while other methods are still waiting, so that it can be used.

    The folder is that of an unfinished run, which can be resumed.
    """
    have, lack = ", ".join(fitted), ", ".join(waiting)
    message = f"the leaderboard has only what was finished so far: {have}; still to come: {lack}"
    silent = replace(started.context, find=lambda finding: None, say=lambda line: None)
    quietly = replace(started, context=silent)
    run = evaluated(quietly, fitted, [Finding("error", STOPPED, message)])
    return _written(quietly, fitted, run, with_report=report)


def finish_without(started: Started, fitted: Fitted, error: BaseException) -> str:
    """Keep what was finished before a run failed or was stopped, without a report if stopped."""
    is_stopped, is_final = isinstance(error, KeyboardInterrupt), _would_fail_again(error)
    missing = [name for name in _unfinished(started, fitted) if name not in fitted]
    more = "a further seed" if _unfinished(started, fitted) else "the report"
    step = missing[0] if missing else more
    if not fitted and uses_adapted(started.recipe) and not is_finished(Path(started.adapted)):
        step = "the adaptation"
    happened = f"{step} {_reason(started, error)}"
    lines, names = [happened], ", ".join(fitted)
    if fitted and _unfinished(started, fitted):
        message = f"{happened}; the leaderboard has only what was finished before: {names}"
        lost = Finding("error", FAILED if is_final else STOPPED, message)
        with suppress(FinetextError, KeyboardInterrupt):
            if is_stopped:
                started.context.say("stopping; writing what is finished (Ctrl-C again to skip)")
            run = evaluated(started, fitted, [lost])
            _written(started, fitted, run, with_report=not is_stopped)
            lines.append(f"what was finished before ({names}) is in {started.folder}")
    if is_final:
        lines.append("the same settings would fail again: start a new run in another folder")
    else:
        lines.append(f"to resume: {resume_command(started.folder)}")
    return "\n".join(lines)


def evaluated(started: Started, fitted: Fitted, unfinished: Sequence[Finding] = ()) -> Run:
    """Return the run with its best and its recommended method, and all comparisons on test rows.

    Validation rows choose, and test rows say whether they agree. All seeds count.
    """
    recipe, folder = started.recipe, started.folder
    best = _best(started, fitted)
    entries = {name: one.entry for name, one in fitted.items()}
    before = seconds_before(recipe, folder / ADAPTED)
    folds = {name: one.folds for name, one in fitted.items() if one.folds is not None}
    seeds = {} if folds else predictions_of_seeds(fitted, "test", folder)
    on_test: Mapping[str, Scored] = folds or seeds
    choice = (
        _choice_by_folds(started, fitted, best, folds)
        if folds
        else _choice(started, fitted, best, seeds)
    )
    choice = replace(choice, is_hedge=best == _hedge(started, fitted))
    metric = metric_for(recipe.metric, started.run.splits.scheme)
    comparisons = {
        name: compare_on(of, on_test[best], metric.name, recipe.seed)
        for name, of in on_test.items()
        if name != best
    }
    means = {name: estimate_score(metric, of) for name, of in seeds.items() if len(of) > 1}
    rows = {name: len(one.predictions["test"]) for name, one in fitted.items()}
    noticed = [*unfinished, *started.noticed, *adaptation_findings(started)]
    noticed += [finding for one in fitted.values() for finding in one.findings]
    noticed += findings_of_left_out(started)
    if choice.is_hedge and isinstance(recipe.methods[best], ZeroShot):
        why = f"fewer than {FEWEST_TO_LEARN} rows tell less than the names of the labels"
        noticed.append(Finding("note", "names-hedge", f"{best}: taken as {why}"))
    of_best, methods = fitted[best].predictions, len(_candidates(started, fitted))
    if not folds:  # whose rows are all out-of-fold, so there is no gap between two splits
        both = of_best["validation"], of_best["test"]
        gap = validation_test_gap(best, *both, recipe.metric, methods)
        if gap is not None:
            started.context.find(gap)
            noticed.append(gap)
    return Run(
        folder,
        Leaderboard(entries.values()),
        best,
        choice.recommended,
        recipe.metric,
        comparisons,
        _unfinished(started, fitted),
        tuple(noticed),
        encoder_gains(recipe, entries, on_test, before),
        choice,
        {name: _over_seeds(metric, of, rows[name]) for name, of in means.items()},
        0 if started.run.folds is None else started.run.folds.count,
    )


def _over_seeds(metric: Metric, mean: Estimate, rows: int) -> Score:
    """Return the mean over seeds with its interval, which a score of 0 or 1 has, too."""
    ends = mean.interval()
    if metric.proportion:
        ends = widened(*ends, mean.units)
    return Score(mean.value, *ends, rows)


def _best(started: Started, fitted: Fitted) -> str:
    """Return the method with the best metric on validation rows, a mean over seeds, or on folds.

    Of equal ones it is the one with the lowest log loss. The majority class is the best only if
    there is nothing else. What is taken where few rows tell which is best comes first.
    """
    if (hedge := _hedge(started, fitted)) is not None:
        return hedge
    metric = metric_for(started.recipe.metric, started.run.splits.scheme)

    def goodness(name: str, of: Metric) -> float:
        if (folds := fitted[name].folds) is not None:
            return folds.goodness(of)
        over = over_seeds(fitted[name].entry, of.name, "validation")
        if over is None or math.isnan(over[0]):
            return of.goodness(fitted[name].predictions["validation"])
        return over[0] if of.higher_is_better else -over[0]

    def rank(name: str) -> list[float]:
        return [goodness(name, of) for of in (metric, log_loss)]

    return max(_candidates(started, fitted), key=rank)


def _hedge(started: Started, fitted: Fitted) -> str | None:
    """Return the method to take where rows are too few to tell which is best, None elsewhere.

    It is the blend. With fewer than 20 rows it is the method that goes by names of labels, if there
    is one, unless folds show the blend ahead of it by more than a standard error; a handful of
    validation rows cannot show it.
    """
    blend = next((name for name, one in fitted.items() if is_hedge(one)), None)
    methods = started.recipe.methods
    by_name = (of for of in _candidates(started, fitted) if isinstance(methods[of], ZeroShot))
    if blend is None or (names := next(by_name, None)) is None:
        return blend
    if _rows_to_learn(started) >= FEWEST_TO_LEARN:
        return blend
    folds, of_names = fitted[blend].folds, fitted[names].folds
    if folds is None or of_names is None:
        return names
    metric = metric_for(started.recipe.metric, started.run.splits.scheme)
    found = folds.minus(of_names, metric.name)
    lead = found if metric.higher_is_better else found.negated()
    return blend if lead.value > lead.error else names


def _rows_to_learn(started: Started) -> int:
    """Return the number of labeled rows that methods learn from or are chosen by."""
    if started.run.folds is not None:
        return len(started.run.dataset)
    return len(started.run.splits.train) + len(started.run.splits.validation)


def _choice(
    started: Started, fitted: Fitted, best: str, on_test: Mapping[str, Sequence[Predictions]]
) -> Choice:
    """Return the choice by validation rows, and what test rows say about it.

    Adapting or pretraining an encoder is a cost of the methods that use it.
    """
    recipe, folder = started.recipe, started.folder
    candidates = _candidates(started, fitted)
    baseline = _baseline(started, fitted)
    cost = _cost(started, fitted)
    shown = {name: one for name, one in fitted.items() if name in (*candidates, baseline)}
    on_validation = predictions_of_seeds(shown, "validation", folder)
    grounds = Grounds.of(recipe.metric, "validation", on_validation[best], baseline)
    choice = choose_among(on_validation, cost, best, grounds, recipe.margin)
    return confirmed(choice, on_test, Grounds.of(recipe.metric, "test", on_test[best], baseline))


def _choice_by_folds(
    started: Started, fitted: Fitted, best: str, folds: Mapping[str, FoldPredictions]
) -> Choice:
    """Return the choice by cross-validation on all rows, which no other rows can confirm."""
    metric = metric_for(started.recipe.metric, started.run.splits.scheme)
    candidates = _candidates(started, fitted)
    baseline = _baseline(started, fitted)

    def lead(name: str, other: str) -> Estimate:
        found = folds[name].minus(folds[other], metric.name)
        return found if metric.higher_is_better else found.negated()

    leads = {name: lead(name, best) for name in candidates if name != best}
    over = None if baseline is None else {name: lead(name, baseline) for name in candidates}
    rows = fitted[best].predictions["test"]
    grounds = Grounds.of(metric.name, "cross-validation", [rows], baseline)
    repeats = [len(folds[name].repeats) for name in candidates if not _pays(started, name)]
    grounds = replace(grounds, seeds=min(repeats, default=1))
    cost = _cost(started, fitted)
    choice = choose(leads, cost, best, grounds, started.recipe.margin, over)
    majority = fitted["majority"].predictions["test"] if "majority" in fitted else None
    return replace(choice, over_constant=over_constant(folds, most_frequent(rows, majority)))


def _cost(started: Started, fitted: Fitted) -> dict[str, float]:
    """Return method to the seconds of training it and its encoder.

    One that asks an endpoint is the most costly: it takes no training, but money for each text.
    """
    before = seconds_before(started.recipe, started.folder / ADAPTED)
    entries = {name: one.entry for name, one in fitted.items()}
    return {
        name: math.inf if _pays(started, name) else before[name] + of.seconds_to_train
        for name, of in entries.items()
    }


def _candidates(started: Started, fitted: Fitted) -> list[str]:
    """Return the methods to choose from; the majority class only if none learns more.

    None that has a sample of the rows is among them: chance would decide more about it.
    """
    methods = started.recipe.methods
    found = [
        name
        for name, one in fitted.items()
        if methods[name].learns and methods[name].name != MAJORITY and not one.entry.sampled
    ]
    return found or list(fitted)[:1]


def _pays(started: Started, name: str) -> bool:
    return started.recipe.methods[name].pays_per_text


def _baseline(started: Started, fitted: Fitted) -> str | None:
    """Return the name of the majority class; None if it is not fitted, or is a candidate."""
    methods = {name: started.recipe.methods[name] for name in fitted}
    found = (name for name, of in methods.items() if of.name == MAJORITY)
    return next((name for name in found if name not in _candidates(started, fitted)), None)


def _written(started: Started, fitted: Fitted, run: Run, with_report: bool = True) -> Run:
    """Write models, report, leaderboard and verdict; with the verdict the run can be opened."""
    try:
        record_models(run, started.recipe, fitted)
        if with_report:
            data = report_data(run)
            for finding in data.diagnoses.damaged:
                started.context.find(finding)
            write_report(data, run.report)
        else:
            run.report.unlink(missing_ok=True)
        write_json(run.folder / "leaderboard.json", to_json(run.leaderboard))
        write_json(run.folder / "verdict.json", run.verdict())
    except OSError as error:
        raise RunError(f"the run folder {run.folder} cannot be written: {error}") from None
    return run


def _unfinished(started: Started, fitted: Fitted) -> tuple[str, ...]:
    """Return the methods that are missing, or lack the scores of further seeds."""
    seeds = 0 if started.recipe.seeds == 1 else started.recipe.seeds
    return tuple(
        name
        for name in started.recipe.methods
        if name not in started.skipped
        and not is_left_out(name, started)
        and (name not in fitted or len(fitted[name].entry.seeds) != seeds)
    )


def _reason(started: Started, error: BaseException) -> str:
    """Return what ended a run, without the name of the method, which precedes it."""
    if isinstance(error, KeyboardInterrupt):
        return "was stopped"
    message = str(error) or type(error).__name__
    for name in ("adapt", *(method.name for method in started.recipe.methods.values())):
        message = message.removeprefix(f"{name}: ")
    return f"failed: {message}"


def _would_fail_again(error: BaseException | None) -> bool:
    """Return whether data and settings are at fault, not the disk, the network or a package."""
    from safetensors import SafetensorError

    if not isinstance(error, FinetextError) or isinstance(error, MissingExtraError):
        return False
    while error is not None and not isinstance(error, OSError | SafetensorError):
        error = error.__cause__ or error.__context__
    return error is None
