"""`finetext labels`: find labels that look wrong, and apply what a reviewer decided."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.cli import arguments, options
from finetext.cli.arguments import DataOptions, MethodOptions
from finetext.core.console import Screen
from finetext.core.errors import DataError, RecipeError, RunError

if TYPE_CHECKING:
    from finetext.diagnosis.label_errors import Suspects
    from finetext.runs.recipe import Recipe


_SHOWN: Final = 10
_MISTAKES_SHOWN: Final = 5
_TEXT_SHOWN: Final = 160


def labels(
    data: options.OptionalData = None,
    validation: options.Validation = None,
    test: options.Test = None,
    text: options.Text = None,
    label: options.Label = None,
    group: options.Group = None,
    row_id: options.RowId = None,
    label_names: options.LabelNames = None,
    drop_unlabelled: options.DropUnlabelled = False,
    method: options.FoldMethod = None,
    encoder: options.Encoder = None,
    max_length: options.MaxLength = None,
    epochs: options.Epochs = None,
    folds: options.Folds = None,
    settings: options.Settings = None,
    recipe: options.RecipeFile = None,
    out: options.ListOut = None,
    apply: options.Reviewed = None,
    new_label: options.NewLabels = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Find labels of DATA that look wrong, or correct them."""
    if apply is None and new_label:
        raise RecipeError("--new-label goes with --apply")
    if apply is not None and (method, encoder, max_length, epochs, folds) != (None,) * 5:
        raise RecipeError("--apply trains nothing: leave the options of the method out")
    if apply is not None and out is None:
        raise RecipeError("--apply needs --out, the file for the corrected data")
    reading = DataOptions(text, label, group, row_id, label_names, drop_unlabelled)
    run = _run_at(data, recipe)
    parts = (None if run else data, validation, test)
    given = arguments.data_values(reading, parts) | {"seed": seed, "device": device}
    chosen = MethodOptions(method or "tfidf", encoder, max_length, epochs)
    asked = _asked(run / "recipe.toml" if run else recipe, given, chosen, settings)
    screen = Screen(quiet or as_json)
    if apply is None:
        _find(
            _Search(asked, chosen.names or "", 5 if folds is None else folds, run),
            out,
            screen,
            as_json,
        )
        return
    assert out is not None
    _apply(asked, apply, new_label or [], out, screen, as_json)


@dataclass(frozen=True)
class _Search:
    """What is asked for: the recipe, its rung, the folds, and the run whose data are searched."""

    recipe: Recipe
    rung: str
    folds: int
    run: Path | None


def _run_at(data: str | None, recipe: Path | None) -> Path | None:
    """The run folder that DATA is, if it is one."""
    from finetext.storage.locks import is_started

    if data is None or not (os.path.isdir(data) and is_started(Path(data))):
        return None
    if recipe is not None:
        raise RecipeError(f"{data} is a run, which has a recipe of its own; leave --recipe out")
    return Path(data)


def _asked(
    path: Path | None, given: dict[str, Any], chosen: MethodOptions, settings: list[str] | None
) -> Recipe:
    """The recipe; an encoder that the run adapted is that in its folder."""
    from finetext.runs.adapting import adapted_in, with_encoder
    from finetext.runs.recipe import Recipe

    if chosen.names is not None and "," in chosen.names:
        raise RecipeError(f"--method {chosen.names}: name one method")
    asked = Recipe.from_values(arguments.recipe_values(path, given, chosen, settings))
    if path is None or asked.adapt is None:
        return asked
    return replace(asked, methods=with_encoder(asked, adapted_in(path.parent)), adapt=None)


def _find(search: _Search, out: Path | None, screen: Screen, as_json: bool) -> None:
    """Search, show the first, and write the list for a reviewer."""
    from finetext.core.contracts import Listener
    from finetext.data.write import check_new
    from finetext.diagnosis.corrections import write_suspects
    from finetext.runs.diagnosing import keep
    from finetext.runs.label_errors import find_label_errors

    if out is not None:
        check_new(out, search.recipe.source)
    with screen.watching():
        listener = Listener(screen.say, screen.progress, screen.finding)
        found = find_label_errors(search.recipe, search.rung, folds=search.folds, listener=listener)
    if search.run is not None:
        with suppress(RunError):  # a run that one may only read
            keep(search.run, "suspects", found)
    if out is not None:
        try:
            write_suspects(found, out)
        except DataError:
            _show(found, None)
            raise
    if as_json:
        screen.json(found.to_json() | {"out": None if out is None else str(out)})
    else:
        _show(found, out)


def _show(found: Suspects, out: Path | None) -> None:
    """The result in words, then the likeliest."""
    count = len(found.suspects)
    share = f"{count / found.rows:.1%}"
    are = "looks" if count == 1 else "look"
    print(f"{count:,} of {found.rows:,} rows {are} wrongly labelled ({share}).")
    if not count:
        return
    if found.too_many:
        print(
            f"These are so many that {found.method} has learnt too little here to tell wrong "
            "labels from hard texts: believe the first at most, or try a better --method."
        )
    most = [f"{what} ({times:,})" for what, times in found.mistakes[:_MISTAKES_SHOWN]]
    print(f"Most frequent: {', '.join(most)}.")
    print(f"\nThe first {min(count, _SHOWN)}, the likeliest to be wrong first:\n")
    for one in found.suspects[:_SHOWN]:
        text = " ".join(one.text.split())
        text = text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 3]}..."
        print(
            f"{one.id}: {one.label} ({one.probability_of_label:.2f}) -> "
            f"{one.suggested} ({one.probability_of_suggested:.2f})\n    {text}"
        )
    if out is None:
        print("\nTo review them: --out suspects.csv")
        return
    print(
        f"\nAll are in {out}. Write into its column correct the right label, (drop) to remove a "
        f"row, or (ok) or nothing to leave it as it is. Then: the same data with --apply {out} "
        "--out corrected.csv"
    )


def _apply(
    asked: Recipe, reviewed: Path, new_labels: list[str], out: Path, screen: Screen, as_json: bool
) -> None:
    """Write the corrected data set."""
    from finetext.core.wording import counted
    from finetext.data.write import check_new
    from finetext.diagnosis.corrections import apply_labels, write_dataset

    check_new(out, asked.source)
    done = apply_labels(asked.source, reviewed, read=asked.read, new_labels=new_labels)
    for finding in done.dataset.findings:
        screen.finding(finding)
    columns = write_dataset(done.dataset, out)
    if as_json:
        said = {"changed": done.changed, "dropped": done.dropped, "kept": done.kept}
        written = {"out": str(out), "rows": len(done.dataset), "columns": columns}
        screen.json(written | said | {"unreviewed": done.unreviewed})
        return
    print(
        f"{counted(len(done.changed), 'label')} changed, {counted(len(done.dropped), 'row')} "
        f"dropped, {done.kept:,} found right, {done.unreviewed:,} without a word left as they are."
    )
    print(f"{out}: {counted(len(done.dataset), 'row')}, columns {', '.join(columns)}")
