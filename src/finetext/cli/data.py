"""`finetext explore`: look at the data before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetext.cli import arguments, options
from finetext.cli.arguments import DataOptions
from finetext.core.console import Screen
from finetext.core.errors import UnlabelledError

if TYPE_CHECKING:
    from finetext.core.types import Dataset


def explore(
    data: options.Data,
    text: options.Text = None,
    label: options.Label = None,
    group: options.Group = None,
    row_id: options.RowId = None,
    label_names: options.LabelNames = None,
    drop_unlabelled: options.DropUnlabelled = False,
    settings: options.DataSettings = None,
    encoder: options.ExploredEncoder = "minilm",
    tokens: options.Tokens = None,
    batch: options.Batch = False,
    page: options.Page = None,
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Look at the data: classes, lengths, duplicates, tokens."""
    from finetext.diagnosis.explore import explore as look
    from finetext.report.exploration import show_exploration, write_explore_page

    screen = Screen(quiet or as_json)
    if page is not None:
        arguments.check_place(page)
    reading = DataOptions(text, label, group, row_id, label_names, drop_unlabelled)
    try:
        dataset = arguments.read_data(data, reading.given(), settings)
    except UnlabelledError:
        if label is not None:
            raise
        dataset = arguments.read_data(data, {"labelled": False} | reading.given(), settings)
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


def _show_tokens(
    dataset: Dataset, encoder: str, row: int | None, seed: int, screen: Screen, as_json: bool
) -> None:
    """One row as the model sees it, or a batch."""
    from dataclasses import asdict

    from finetext.diagnosis.explore import example_batch, tokenized_text
    from finetext.encoders.load import load_tokenizer, longest_input
    from finetext.report.exploration import show_batch, show_tokens

    tokenizer, context = load_tokenizer(encoder), longest_input(encoder, None)
    if row is not None:
        tokens = tokenized_text(dataset, row, tokenizer, context)
        screen.json(asdict(tokens)) if as_json else show_tokens(tokens, screen.out)
    else:
        batch = example_batch(dataset, tokenizer, context, seed=seed)
        screen.json(asdict(batch)) if as_json else show_batch(batch, screen.out)
