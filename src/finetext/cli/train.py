"""`finetext train`, `demo`, `show`, `learning-curve` and `find-lr`: fit methods on labeled data."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from finetext.cli import options
from finetext.cli.options import Output, RunTraining, SplitTraining, flag, option
from finetext.core.errors import FinetextError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from finetext.core.console import Screen
    from finetext.core.contracts import Listener
    from finetext.core.types import LabelScheme
    from finetext.report.verdict import Verdict
    from finetext.runs.checkpoints import Checkpoint
    from finetext.runs.run import Run
    from finetext.training.rate_finder import RateCurve


def train(
    data: options.OptionalData = None,
    *,
    chosen: RunTraining,
    methods: options.Methods = None,
    epochs: options.Epochs = None,
    precision: options.Precision = None,
    metric: Annotated[str | None, option("NAME", "Validation metric; macro_f1 by default.")] = None,
    margin: options.HiddenMargin = None,
    minutes: Annotated[float | None, option("NUMBER", "End in time, with less if need be.")] = None,
    out: options.RunOut = None,
    resume: options.Resume = False,
    seeds: Annotated[int | None, option("NUMBER", "Seeds of each method; 1 by default.")] = None,
    jobs: options.Jobs = None,
    track: options.HiddenTrack = None,
    checkpoint_seconds: options.HiddenCheckpointSeconds = None,
    dry_run: Annotated[
        bool, flag("--dry-run", "Show the plan and its estimated time, and stop.")
    ] = False,
    output: Output,
) -> None:
    """Fit methods on DATA; write models and a report."""
    from finetext.cli import arguments
    from finetext.cli.arguments import MethodOptions
    from finetext.core.errors import RunError
    from finetext.runs.plan import plan
    from finetext.storage.locks import is_started
    from finetext.training.joining import join

    join()
    recipe = None
    if resume and chosen.recipe is None and out is not None:
        if is_started(out):
            recipe = out / "recipe.toml"
        elif data is None:
            raise RunError(f"{out} holds no run to resume; name the data to start one")
    asked = arguments.asked_recipe(
        data,
        chosen,
        MethodOptions(methods, epochs=epochs, precision=precision),
        recipe,
        metric=metric,
        margin=margin,
        minutes=minutes,
        seeds=seeds,
        jobs=jobs,
        track=arguments.names(track),
        checkpoint_seconds=checkpoint_seconds,
    )
    if dry_run:
        found = plan(asked, listener=output.screen(asked.source).listener)
        output.show(found.to_json() | {"seconds": found.seconds}, found.lines())
        return
    from finetext.runs.pipeline import Place, train_recipe
    from finetext.runs.timetable import beginning_of_command

    began, into = beginning_of_command(), Place(out, resume)
    show_run_of(lambda hears: train_recipe(asked, None, into, hears, began), asked.source, output)


def show_run_of(train: Callable[[Listener], Run | None], source: object, output: Output) -> None:
    """Print the leaderboard as soon as it is known, and the rest when the run is finished.

    `train` returns None if it trained without a run, and said what came of it.
    """
    screen, shown = output.screen(source), list[Path]()

    def scored(run: Run) -> None:
        if not output.as_json:
            with screen.printing():
                _show_scores(run, screen)
            shown.append(run.folder)

    with screen.watching():
        listener = replace(screen.listener, scored=scored)
        run = train(listener)
    if shown and run is not None:
        _show_rest(run)
    elif run is not None:
        _show_run(run, screen, output.as_json)


def demo(
    out: options.RunOut = None,
    resume: options.Resume = False,
    seed: options.Seed = None,
    device: options.Device = None,
    *,
    output: Output,
) -> None:
    """Train on the sample BBC News, in less than five minutes."""
    chosen = RunTraining(seed=seed, device=device)
    train("bbc-news", chosen=chosen, out=out, minutes=4.75, resume=resume, output=output)


def show(
    run: options.RunFolder,
    results: Annotated[int | None, option("NUMBER", "Show so many random rows.", min=1)] = None,
    method: options.OneMethod = None,
    part: Annotated[
        str | None,
        option("NAME", "Rows of --results: validation (the default) or test.", "--split", "--part"),
    ] = None,
    seed: options.Seed = None,
    *,
    output: Output,
) -> None:
    """Show the leaderboard of RUN, or random predictions."""
    from finetext.cli import arguments
    from finetext.report.results import results_of
    from finetext.runs.predicted import predicted_in
    from finetext.runs.run import Run

    screen, rows = output.screen(), arguments.split_name(part or "validation")
    finished = Run.open(run)
    if results is None:
        for name, given in (("--split", part), ("--method", method), ("--seed", seed)):
            if given is not None:
                raise RecipeError(f"{name} {given} is for random rows; add --results 10")
        _show_run(finished, screen, output.as_json)
        return
    found = results_of(predicted_in(run, method, rows), results, seed or 0)
    arguments.count_access(run, rows, "finetext show --results", screen)
    if output.as_json:
        screen.json(found.to_json())
    else:
        found.show(screen.out)


def _show_run(run: Run, screen: Screen, as_json: bool) -> None:
    from finetext.runs.stored_splits import stored_agreement, stored_weak_labels
    from finetext.storage.codec import to_json

    if as_json:
        scheme = _scheme_of(run)
        people = stored_agreement(run.folder) if scheme else None
        weak = stored_weak_labels(run.folder) if scheme else None
        screen.json({
            "run": str(run.folder),
            "verdict": (found := _verdict_on(run)) and found.to_json(),
            "best": run.best,
            "recommended": run.recommended,
            "metric": run.metric,
            "evaluation": run.evaluation,
            "folds": run.folds,
            "positive": scheme and scheme.positive_class,
            "agreement": people and people.to_json(),
            "weak_labels": weak and to_json(weak),
            "choice": run.choice and run.choice.to_json(),
            "comparisons": {name: to_json(of) for name, of in run.comparisons.items()},
            "over_seeds": to_json(dict(run.over_seeds)),
            "paid": [pair.to_json() for pair in run.paid],
            "leaderboard": [entry.to_json() for entry in run.leaderboard],
            "unfinished": run.unfinished,
            "checkpoints": {name: [of.to_json() for of in its] for name, its in _checkpoints(run)},
            "findings": list(map(to_json, run.findings)),
        })  # fmt: skip
        return
    _show_scores(run, screen)
    _show_rest(run)


def _scheme_of(run: Run) -> LabelScheme | None:
    return run.scheme if (run.folder / "data.json").is_file() else None


def _checkpoints(run: Run) -> list[tuple[str, tuple[Checkpoint, ...]]]:
    return [(of.method, its) for of in run.leaderboard if (its := run.checkpoints(of.method))]


def _show_scores(run: Run, screen: Screen) -> None:
    from finetext.report import leaderboard as board
    from finetext.report.agreement import people_line
    from finetext.report.positive import positive_line
    from finetext.report.rendering import wrapped
    from finetext.report.weak_labels import teacher_line
    from finetext.runs.stored_splits import stored_agreement, stored_weak_labels

    scheme = _scheme_of(run)
    if (found := _verdict_on(run)) is not None:
        print("\n".join((*found.lines(), "")))
    facts = (run.leaderboard, run.best, run.recommended, run.metric, run.folds)
    positive = None if scheme is None else scheme.positive_class
    is_hedge = run.choice is not None and run.choice.is_hedge
    lines = board.leaderboard_lines(*facts, positive=positive, is_hedge=is_hedge)
    board.show_leaderboard(lines, screen.out)
    print(board.recommended_line(run.choice, found is None or found.is_recommended))
    if few := _uncertain(run):
        print("\n".join(wrapped(few)))
    if learned := board.learned_line(run.leaderboard, run.folds, run.shares().rows):
        print("\n".join(wrapped(learned)))
    for line in board.asked_lines(run.leaderboard):
        print("\n".join(wrapped(line)))
    if (weak := stored_weak_labels(run.folder) if scheme else None) is not None:
        print("\n".join(wrapped(f"{weak.words()}.")))
    if taught := teacher_line(run.leaderboard, run.comparisons, run.best, run.metric, weak):
        print("\n".join(wrapped(taught)))
    if differs := board.majority_line(run.leaderboard, found):
        print("\n".join(wrapped(differs)))
    if said := scheme and positive_line(scheme):
        print(said)
    if scope := run.entry().scope:
        print("\n".join(wrapped(f"of {run.best}, {scope.words}.", hang="  ")))
    if people := stored_agreement(run.folder) if scheme else None:
        scored = max((of.n for of in run.entry().metrics["test"].values()), default=None)
        print("\n".join(wrapped(people_line(people, scored), hang="  ")))
    for line in board.choice_lines(run.choice, found is None or found.is_better):
        print(line)
    spread = board.seed_lines(run.leaderboard, run.metric, run.over_seeds)
    for line in (*spread, *board.gain_lines(run.paid)):
        print(line)


def _show_rest(run: Run) -> None:
    """Print what comes after the leaderboard: checkpoints, what is unfinished, the report."""
    from finetext.core.wording import resume_command
    from finetext.runs.checkpoints import checkpoint_lines
    from finetext.runs.finish import FAILED

    kept = _checkpoints(run)
    if kept:
        print("\ncheckpoints, as evaluated on validation rows:")
    for name, its in kept:
        for line in checkpoint_lines(name, its):
            print(f"  {line}")
    if run.unfinished:
        print(f"\nunfinished: {', '.join(run.unfinished)}")
        if all(finding.code != FAILED for finding in run.findings):
            print(f"to resume: {resume_command(run.folder)}")
    if run.report.is_file():
        print(f"\nreport: {run.report}")


def _uncertain(run: Run) -> str:
    """Return why the intervals of the leaderboard may not hold; "" if they do, or are unknown."""
    from finetext.evaluation.intervals import uncertain_intervals
    from finetext.runs.run import stored_predictions

    try:
        return uncertain_intervals(stored_predictions(run, None, "test"), run.folds > 0)
    except FinetextError:
        return ""


def _verdict_on(run: Run) -> Verdict | None:
    """Return the verdict in words; None for a run whose predictions cannot be read."""
    try:
        return run.summary()
    except FinetextError:
        return None


def learning_curve(
    data: options.OptionalData = None,
    *,
    chosen: SplitTraining,
    methods: Annotated[str | None, option("NAMES", "Methods; majority,tfidf by default.")] = None,
    epochs: options.Epochs = None,
    sizes: Annotated[str | None, option("ROWS", "Training sizes: 100,200,400,800.")] = None,
    steps: Annotated[int, option("NUMBER", "Number of sizes without --sizes.")] = 6,
    seeds: Annotated[int, option("NUMBER", "Fits of a method on each size.")] = 3,
    metric: Annotated[str | None, option("NAME", "Metric; macro_f1 by default.")] = None,
    jobs: options.Jobs = None,
    out: Annotated[Path | None, option("FOLDER", "Folder; runs/NAME-curve by default.")] = None,
    resume: Annotated[bool, flag("--resume", "Resume a curve that was stopped.")] = False,
    output: Output,
) -> None:
    """Estimate what more labeled rows of DATA are worth."""
    from finetext.cli import arguments
    from finetext.cli.arguments import MethodOptions
    from finetext.report.curves import curve_lines
    from finetext.runs.learning_curve import CurveSettings, Place, grow
    from finetext.runs.recipe import BASELINES

    if methods is None and chosen.recipe is None:
        methods = ",".join(BASELINES)
    asked = arguments.asked_recipe(
        data, chosen, MethodOptions(methods, epochs=epochs), metric=metric, jobs=jobs
    )
    wanted = CurveSettings(arguments.row_counts("--sizes", sizes), steps, seeds)
    screen = output.screen()
    with screen.watching():
        folder, curve = grow(None, asked, wanted, Place(out, resume), screen.listener)
    lines = [*curve_lines(curve), f"\npicture: {folder / 'curve.svg'}"]
    output.show({"folder": str(folder)} | curve.to_json(), lines)


def find_lr(
    data: options.OptionalData = None,
    *,
    chosen: SplitTraining,
    lowest: Annotated[float, option("RATE", "Learning rate at the start.")] = 1e-7,
    highest: Annotated[float, option("RATE", "Learning rate at the end.")] = 1.0,
    steps: Annotated[int, option("NUMBER", "Steps of the range test.")] = 100,
    out: Annotated[Path | None, option("FILE", "Draw the curve here, as .png or .svg.")] = None,
    force: options.Force = False,
    output: Output,
) -> None:
    """Suggest a learning rate for fine-tuning on DATA."""
    from finetext.cli import arguments
    from finetext.cli.arguments import MethodOptions
    from finetext.core.errors import DataError
    from finetext.report.curves import plot_rate_curve
    from finetext.report.plots import check_picture
    from finetext.runs.fit import RangeTest, finetune_method
    from finetext.runs.fit import find_lr as find
    from finetext.storage.files import check_new

    if out is not None:
        check_new(out, force)
        check_picture(out)
    methods = MethodOptions("finetune" if chosen.recipe is None else None)
    asked = arguments.asked_recipe(data, chosen, methods)
    name, method = finetune_method(asked)
    screen = output.screen()
    with screen.watching():
        curve = find(asked, method, RangeTest(lowest, highest, steps), listener=screen.listener)
    if out is not None:
        try:
            plot_rate_curve(curve, out)
        except DataError:
            _show_rate(curve, name, None, output)
            raise
    _show_rate(curve, name, out, output)


def _show_rate(curve: RateCurve, name: str, out: Path | None, output: Output) -> None:
    rate = f"{curve.suggestion:.2g}"
    lines = [
        f"learning rate: {rate} (a more cautious choice: {curve.valley:.2g})",
        f"to train with it: finetext train ... --set {name}.learning_rate={rate}",
        *([] if out is None else [f"picture: {out}"]),
    ]
    output.show(asdict(curve) | {"rung": name, "picture": out and str(out)}, lines)
