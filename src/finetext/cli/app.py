"""The command line: one thin function per verb, each over a function of the library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import typer

from finetext.__main__ import STOPPED
from finetext.cli import arguments, options
from finetext.cli.arguments import DataOptions, MethodOptions
from finetext.cli.curves import curve, find_lr
from finetext.cli.data import explore
from finetext.cli.explain import explain
from finetext.cli.judge import compare, decide, errors, slices
from finetext.cli.labels import labels
from finetext.cli.language import adapt, convert, generate, pretrain
from finetext.cli.maps import map_texts, plot
from finetext.cli.predict import predict
from finetext.cli.serve import serve
from finetext.cli.share import export, info, pull, push, report
from finetext.core.console import Screen, stopping, told_how_to_go_on, whole_output
from finetext.core.errors import FinetextError
from finetext.runs.recipe import Recipe

if TYPE_CHECKING:
    from finetext.runs.run import Run


_UNREAD: Final = 141
"""The status where nobody reads standard output to its end, as of `head`; shells expect it."""
_OF_USERS: Final = (FinetextError, OSError)
"""What a user can mend; an OSError that got here is the system's, such as a full disk."""
_TABLE_WIDTH: Final = 100
"""Columns that the leaderboard may take; a narrower terminal breaks its lines, cutting nothing."""
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def root(version: options.Version = False) -> None:
    """From a file of labelled text to a classifier one can trust."""


def main(words: list[str] | None = None) -> None:
    """Run a command.

    A user's mistake prints one message and exits with status 2, a fault of ours with 1.
    """
    words = sys.argv[1:] if words is None else words
    try:
        with stopping(), whole_output():
            app(words, prog_name="finetext")
    except BrokenPipeError:
        raise SystemExit(_UNREAD) from None
    except SystemExit as end:
        if end.code == STOPPED:
            print("finetext: stopped", file=sys.stderr)
        raise
    except Exception as error:
        if "--debug" in words:
            raise
        print(f"finetext: {_message(error)}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, _OF_USERS) else 1) from None


def _message(error: Exception) -> str:
    if isinstance(error, _OF_USERS):
        return str(error)
    first_line = f"{type(error).__name__}: {error}".split("\n")[0]
    return (
        f"{first_line} -- this is a fault of finetext: please report it with what the same "
        "command says with --debug"
    )


@app.command(epilog="Example: finetext train reviews.csv --methods tfidf,finetune --seed 1")
def train(
    data: options.OptionalData = None,
    validation: options.Validation = None,
    test: options.Test = None,
    text: options.Text = None,
    label: options.Label = None,
    group: options.Group = None,
    row_id: options.RowId = None,
    label_names: options.LabelNames = None,
    drop_unlabelled: options.DropUnlabelled = False,
    methods: options.Methods = None,
    encoder: options.Encoder = None,
    max_length: options.MaxLength = None,
    epochs: options.Epochs = None,
    precision: options.Precision = None,
    train_size: options.TrainSize = None,
    validation_size: options.ValidationSize = None,
    test_size: options.TestSize = None,
    metric: options.Metric = None,
    settings: options.Settings = None,
    recipe: options.RecipeFile = None,
    out: options.RunOut = None,
    resume: options.Resume = False,
    seeds: options.Seeds = None,
    track: options.Track = None,
    checkpoint_seconds: options.CheckpointSeconds = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Climb the ladder of methods on DATA; leave models and a report."""
    from finetext.core.contracts import Listener
    from finetext.runs.pipeline import train as climb

    reading = DataOptions(text, label, group, row_id, label_names, drop_unlabelled)
    parts, sizes = (data, validation, test), (train_size, validation_size, test_size)
    given = arguments.data_values(reading, parts, sizes) | {
        "seed": seed,
        "seeds": seeds,
        "device": device,
        "metric": metric,
        "track": arguments.names(track),
        "checkpoint_seconds": checkpoint_seconds,
    }
    chosen = MethodOptions(methods, encoder, max_length, epochs, precision)
    if resume and recipe is None:
        recipe = arguments.recipe_of_run(out, is_needed=data is None)
    values = arguments.recipe_values(recipe, given, chosen, settings)
    screen = Screen(quiet or as_json)
    listener = Listener(screen.say, screen.progress, screen.finding)
    with told_how_to_go_on(), screen.watching():
        run = climb(Recipe.from_values(values), out=out, resume=resume, listener=listener)
    _show_run(run, screen, as_json)


@app.command(epilog="Example: finetext demo")
def demo(
    out: options.RunOut = None,
    resume: options.Resume = False,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train on BBC News: the same as `finetext train bbc-news`."""
    train(
        "bbc-news", out=out, resume=resume, seed=seed, device=device, quiet=quiet,
        as_json=as_json, debug=debug,
    )  # fmt: skip


app.command(epilog="Example: finetext explore reviews.csv --tokens 3")(explore)


@app.command(epilog="Example: finetext evaluate runs/reviews/finetune/model new.csv")
def evaluate(
    model: options.Model,
    data: options.Data,
    text: options.Text = None,
    label: options.Label = None,
    group: options.Group = None,
    row_id: options.RowId = None,
    label_names: options.LabelNames = None,
    drop_unlabelled: options.DropUnlabelled = False,
    settings: options.DataSettings = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure MODEL on the labelled rows of DATA."""
    from finetext.cli.opened import count_if_test_rows
    from finetext.core.contracts import predict as predict_rows
    from finetext.evaluation.intervals import evaluate as measure
    from finetext.evaluation.intervals import per_class
    from finetext.report.scores import scores_json, show_scores
    from finetext.report.trust import decided_json, decided_lines
    from finetext.runs.run import load

    screen = Screen(quiet or as_json)
    classifier = load(model, device, precision=precision, say=screen.say)
    scheme = classifier.scheme
    known = {"classes": scheme.names, "multilabel": scheme.multilabel}
    reading = DataOptions(text, label, group, row_id, label_names, drop_unlabelled)
    dataset = arguments.read_data(data, known | reading.given(), settings)
    screen.say(dataset.description)
    for finding in dataset.findings:
        screen.finding(finding)
    predictions = predict_rows(classifier, dataset)
    scores = measure(predictions, seed or 0)
    classes = per_class(predictions, seed or 0)
    times = count_if_test_rows(model, dataset.texts, screen)
    if as_json:
        found = scores_json(scores, classes) | decided_json(predictions)
        screen.json(found | {"openings": times})
        return
    show_scores(scores, classes, screen.out)
    for line in decided_lines(predictions):
        print(f"\n{line}")


app.command(epilog='Example: finetext predict runs/reviews "What a film!"')(predict)
app.command(epilog='Example: finetext plot runs/reviews "What a film!"')(plot)


@app.command(epilog="Example: finetext models --json")
def models(as_json: options.Json = False, debug: options.Debug = False) -> None:
    """List the encoders that have an alias; any of the Hub works too."""
    from finetext.report.models import models_json, show_models

    screen = Screen()
    if as_json:
        screen.json(models_json())
    else:
        show_models(screen.out)


@app.command(epilog="Example: finetext show runs/reviews --results 10")
def show(
    run: options.RunFolder,
    results: options.Results = None,
    method: options.OneMethod = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show the leaderboard of RUN, or predictions beside truths."""
    from finetext.runs.reporting import results_rows, show_results
    from finetext.runs.run import Run, accesses_in_words, record_access

    screen = Screen(as_json)
    opened = Run.open(run)
    if results is None:
        _show_run(opened, screen, as_json)
        return
    rows = results_rows(opened, method, results)
    screen.say(accesses_in_words(run, record_access(run, "finetext show --results")))
    if as_json:
        screen.json(rows)
    else:
        show_results(rows, screen.out)


def _show_run(run: Run, screen: Screen, as_json: bool) -> None:
    """The leaderboard and where the report is."""
    from finetext.report.comparisons import paid_lines
    from finetext.report.leaderboard import leaderboard_lines, leaderboard_table, seed_lines
    from finetext.runs.finish import FAILED
    from finetext.runs.run import resume_command
    from finetext.storage.codec import finding_to_json, to_json

    if as_json:
        entries = [entry.to_json() for entry in run.leaderboard]
        verdict = {"best": run.best, "cheapest": run.cheapest, "metric": run.metric}
        compared = {name: to_json(of) for name, of in run.comparisons.items()}
        paid = [pair.to_json() for pair in run.paid]
        results = {"comparisons": compared, "paid": paid, "leaderboard": entries}
        noticed = {
            "unfinished": run.unfinished,
            "findings": list(map(finding_to_json, run.findings)),
        }
        screen.json({"run": str(run.folder)} | verdict | results | noticed)
        return
    board = (run.leaderboard, run.best, run.cheapest, run.metric, run.comparisons)
    if screen.out.is_terminal:
        screen.out.width = max(screen.out.width, _TABLE_WIDTH)
        screen.out.print(leaderboard_table(*board))
    else:
        print("\n".join(leaderboard_lines(*board)))
    for line in (*seed_lines(run.leaderboard, run.metric), *paid_lines(run.paid)):
        print(line)
    if run.unfinished:
        print(f"\nunfinished: {', '.join(run.unfinished)}")
        if all(finding.code != FAILED for finding in run.findings):
            print(f"to go on: {resume_command(run.folder)}")
    if run.report.is_file():
        print(f"\nreport: {run.report}")


app.command(epilog="Example: finetext compare runs/reviews --against tfidf")(compare)
app.command(epilog="Example: finetext errors runs/reviews --page errors.html")(errors)
app.command(epilog="Example: finetext slices runs/reviews --token not")(slices)
app.command(epilog="Example: finetext labels reviews.csv --out suspects.csv")(labels)
app.command(epilog='Example: finetext explain runs/reviews "What a film!"')(explain)
app.command("map", epilog="Example: finetext map runs/reviews --method tfidf")(map_texts)
app.command(epilog="Example: finetext curve reviews.csv --methods tfidf,probe")(curve)
app.command(epilog="Example: finetext decide runs/reviews --aim f1 --out balanced")(decide)
app.command(epilog="Example: finetext report runs/reviews")(report)
app.command(epilog="Example: finetext export runs/reviews --quantize int8")(export)
app.command(epilog="Example: finetext serve runs/reviews --port 8000")(serve)
app.command("find-lr", epilog="Example: finetext find-lr reviews.csv --out curve.png")(find_lr)
app.command(epilog="Example: finetext adapt reviews.csv --out adapted")(adapt)
app.command(epilog="Example: finetext pretrain reviews.csv --out own")(pretrain)
app.command(epilog='Example: finetext generate gpt2 "The film was" --words 30')(generate)
app.command(epilog="Example: finetext convert wt103.pth --vocabulary itos.pkl --out wt103")(convert)
app.command(epilog="Example: finetext info runs/reviews --json")(info)
app.command(epilog="Example: finetext push runs/reviews jane/reviews --private")(push)
app.command(epilog="Example: finetext pull jane/reviews --out reviews")(pull)
