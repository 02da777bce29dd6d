"""The command line: one thin function per verb, each over a function of the library."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from finetext import options
from finetext.console import Screen
from finetext.errors import FinetextError

app = typer.Typer(
    help="From a file of labelled text to a classifier one can trust.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's mistake prints one message and exits with status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        app(arguments)
    except FinetextError as error:
        if debug:
            raise
        print(f"finetext: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("finetext: stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None


@app.command(epilog="Example: finetext train reviews.csv --methods tfidf,finetune --seed 1")
def train(
    data: options.OptionalData = None,
    validation: Annotated[str | None, typer.Option(help="Ready-made validation rows.")] = None,
    test: Annotated[str | None, typer.Option(help="Ready-made test rows.")] = None,
    text: options.Text = None,
    label: options.Label = None,
    group: options.Group = None,
    row_id: options.RowId = None,
    label_names: options.LabelNames = None,
    drop_unlabelled: options.DropUnlabelled = False,
    methods: Annotated[
        str | None, typer.Option(help="Rungs, joined by commas; the whole ladder by default.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Alias, Hub name or folder (see: finetext models).")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens to cut texts to.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes of finetune over train.")] = None,
    train_size: options.TrainSize = None,
    validation_size: options.ValidationSize = None,
    test_size: options.TestSize = None,
    metric: Annotated[
        str | None, typer.Option(help="Chooses on validation; macro_f1 by default.")
    ] = None,
    settings: options.Settings = None,
    recipe: Annotated[Path | None, typer.Option(help="Start from this recipe (TOML).")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/NAME by default.")] = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Climb the ladder of methods on DATA and write a run folder with models and a report."""
    from finetext.pipeline import Listener
    from finetext.pipeline import train as climb
    from finetext.recipe import Recipe

    source: Any = data
    if validation or test:
        named = {"train": data, "validation": validation, "test": test}
        source = {name: path for name, path in named.items() if path}
    values = options.recipe_values(
        recipe,
        {
            "data": {
                "source": source, "text": text, "label": options.columns(label), "group": group,
                "id": row_id, "label_names": label_names,
                "drop_unlabelled": drop_unlabelled or None,
            },
            "split": {
                "train": options.size(train_size),
                "validation": options.size(validation_size),
                "test": options.size(test_size),
            },
            "seed": seed,
            "device": device,
            "metric": metric,
        },
        options.MethodOptions(methods, encoder, max_length, epochs),
        settings,
    )  # fmt: skip
    screen = Screen(quiet or as_json)
    with screen.watching():
        run = climb(
            Recipe.from_values(values),
            out=out,
            listener=Listener(screen.say, screen.progress, screen.finding),
        )
    _show_run(run, screen, as_json)


@app.command(epilog="Example: finetext demo")
def demo(
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train on the sample bbc-news: the same as `finetext train bbc-news`."""
    train("bbc-news", seed=seed, quiet=quiet, as_json=as_json, debug=debug)


@app.command(epilog="Example: finetext explore reviews.csv --tokens 3")
def explore(
    data: options.Data,
    text: options.Text = None,
    label: options.Label = None,
    group: options.Group = None,
    row_id: options.RowId = None,
    label_names: options.LabelNames = None,
    drop_unlabelled: options.DropUnlabelled = False,
    settings: options.Settings = None,
    encoder: Annotated[str, typer.Option(help="Whose tokens are counted.")] = "minilm",
    tokens: Annotated[int | None, typer.Option(help="Show how this row is tokenised.")] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Show a training batch.")] = False,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page with plots.")] = None,
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Look for what would spoil the result: classes, lengths, duplicates, giveaways, tokens."""
    from finetext.data.explore import explore as look
    from finetext.report.explore_page import write_explore_page
    from finetext.report.explore_text import show_exploration

    screen = Screen(quiet or as_json)
    dataset = options.read_data(
        data,
        {
            "text": text, "label": options.columns(label), "group": group, "id": row_id,
            "label_names": label_names, "drop_unlabelled": drop_unlabelled or None,
        },
        settings,
    )  # fmt: skip
    if tokens is not None or batch:
        _show_tokens(dataset, encoder, tokens, seed or 0, screen, as_json)
        return
    with screen.watching():
        seen = look(dataset, encoder, screen.progress)
    if page is not None:
        write_explore_page(seen, page)
        screen.say(f"page: {page}")
    if as_json:
        screen.json(seen.to_json())
    else:
        show_exploration(seen, screen.out)


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
    settings: options.Settings = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure MODEL (a model or run folder) on the labelled rows of DATA."""
    from finetext.evaluation.intervals import evaluate as measure
    from finetext.evaluation.intervals import per_class
    from finetext.methods.base import predict as predict_rows
    from finetext.report.scores import scores_json, show_scores

    screen = Screen(quiet or as_json)
    dataset = options.read_data(
        data,
        {
            "text": text, "label": options.columns(label), "group": group, "id": row_id,
            "label_names": label_names, "drop_unlabelled": drop_unlabelled or None,
        },
        settings,
    )  # fmt: skip
    screen.say(dataset.description)
    predictions = predict_rows(options.open_model(model, device), dataset)
    scores = measure(predictions, seed or 0)
    classes = per_class(predictions, seed or 0)
    if as_json:
        screen.json(scores_json(scores, classes))
    else:
        show_scores(scores, classes, screen.out)


@app.command(epilog='Example: finetext predict runs/reviews "What a film!"')
def predict(
    model: options.Model,
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A text, a file, or - for lines.")],
    text: options.Text = None,
    row_id: options.RowId = None,
    settings: options.Settings = None,
    out: Annotated[
        Path | None, typer.Option(help="Write .csv, .tsv, .jsonl or .parquet here.")
    ] = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Predict a text, the rows of a file, or lines of standard input with MODEL."""
    from finetext.predicting import (
        check_output,
        predict_table,
        print_table,
        read_input,
        write_table,
    )

    screen = Screen(quiet or as_json)
    if out is not None:
        check_output(out)
    dataset = read_input(source, {"text": text, "id": row_id}, settings)
    table = predict_table(options.open_model(model, device), dataset)
    if out is not None:
        write_table(table, out)
        screen.say(f"{len(table['id']):,} predictions: {out}")
    elif as_json:
        screen.json(
            [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        )
    else:
        print_table(table, sys.stdout)


@app.command(epilog="Example: finetext models --json")
def models(as_json: options.Json = False, debug: options.Debug = False) -> None:
    """List the encoders that have an alias; any encoder of the Hub works by its name."""
    from finetext.report.models import models_json, show_models

    screen = Screen()
    if as_json:
        screen.json(models_json())
    else:
        show_models(screen.out)


@app.command(epilog="Example: finetext show runs/reviews --results 10")
def show(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    results: Annotated[
        int | None, typer.Option(help="Show so many predictions beside truths.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Whose predictions; the best by default.")
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show the leaderboard of RUN, or predictions beside truths."""
    from finetext.report.results import results_rows, show_results
    from finetext.run import Run

    screen = Screen()
    opened = Run.open(run)
    if results is None:
        _show_run(opened, screen, as_json)
        return
    rows = results_rows(opened, method, results)
    if as_json:
        screen.json(rows)
    else:
        show_results(rows, screen.out)


def _show_run(run: Any, screen: Screen, as_json: bool) -> None:
    """The leaderboard and where the report is."""
    from finetext.report.terminal import leaderboard_lines, leaderboard_table

    if as_json:
        entries = [entry.to_json() for entry in run.leaderboard]
        verdict: Mapping[str, Any] = {"best": run.best, "cheapest": run.cheapest}
        screen.json({"run": str(run.folder), **verdict, "leaderboard": entries})
        return
    if screen.out.is_terminal:
        screen.out.print(leaderboard_table(run.leaderboard, run.best, run.cheapest, run.metric))
    else:
        print("\n".join(leaderboard_lines(run.leaderboard, run.best, run.cheapest, run.metric)))
    print(f"\nreport: {run.report}")


def _show_tokens(
    dataset: Any, encoder: str, row: int | None, seed: int, screen: Screen, as_json: bool
) -> None:
    """One row as the model sees it, or a batch."""
    from dataclasses import asdict

    from finetext.data.look import look_at_batch, look_at_tokens
    from finetext.encoders.load import load_tokenizer, longest_input
    from finetext.report.explore_text import show_batch, show_tokens

    tokenizer, context = load_tokenizer(encoder), longest_input(encoder, None)
    if row is not None:
        tokens = look_at_tokens(dataset, row, tokenizer, context)
        screen.json(asdict(tokens)) if as_json else show_tokens(tokens, screen.out)
    else:
        batch = look_at_batch(dataset, tokenizer, context, seed=seed)
        screen.json(asdict(batch)) if as_json else show_batch(batch, screen.out)
