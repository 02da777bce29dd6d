"""`finetext curve`: what more labels would be worth, and which rung is right at which size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from finetext.cli import arguments, options
from finetext.cli.arguments import DataOptions, MethodOptions
from finetext.core.console import Screen, told_how_to_go_on
from finetext.core.errors import DataError, RecipeError
from finetext.runs.recipe import BASELINES

if TYPE_CHECKING:
    from finetext.training.rate_finder import RateCurve


def curve(
    data: options.OptionalData = None,
    validation: options.Validation = None,
    test: options.Test = None,
    text: options.Text = None,
    label: options.Label = None,
    group: options.Group = None,
    row_id: options.RowId = None,
    label_names: options.LabelNames = None,
    drop_unlabelled: options.DropUnlabelled = False,
    methods: options.CurveMethods = None,
    encoder: options.Encoder = None,
    max_length: options.MaxLength = None,
    epochs: options.Epochs = None,
    sizes: options.ShareSizes = None,
    steps: options.ShareSteps = 6,
    seeds: options.ShareSeeds = 3,
    train_size: options.TrainSize = None,
    validation_size: options.ValidationSize = None,
    test_size: options.TestSize = None,
    metric: options.CurveMetric = None,
    settings: options.Settings = None,
    recipe: options.RecipeFile = None,
    out: options.CurveOut = None,
    resume: options.ResumeCurve = False,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Say what more labelled rows of DATA would be worth."""
    from finetext.core.contracts import Listener
    from finetext.report.learning_curve import curve_lines
    from finetext.runs.learning_curve import CurveSettings, Place, grow
    from finetext.runs.recipe import Recipe

    reading = DataOptions(text, label, group, row_id, label_names, drop_unlabelled)
    parts, shares = (data, validation, test), (train_size, validation_size, test_size)
    given = arguments.data_values(reading, parts, shares) | {
        "metric": metric,
        "seed": seed,
        "device": device,
    }
    names = ",".join(BASELINES) if methods is None and recipe is None else methods
    chosen = MethodOptions(names, encoder, max_length, epochs)
    asked = Recipe.from_values(arguments.recipe_values(recipe, given, chosen, settings))
    wanted = CurveSettings(_sizes(sizes), steps, seeds)
    screen = Screen(quiet or as_json)
    with told_how_to_go_on(), screen.watching():
        listener = Listener(screen.say, screen.progress, screen.finding)
        folder, grown = grow(None, asked, wanted, Place(out, resume), listener)
    if as_json:
        screen.json({"folder": str(folder)} | grown.to_json())
        return
    print("\n".join(curve_lines(grown)))
    print(f"\npicture: {folder / 'curve.svg'}")


def _sizes(text: str | None) -> tuple[int, ...] | None:
    """Sizes joined by commas.

    Raises:
        RecipeError: one is not a number of rows.
    """
    listed = arguments.names(text)
    if listed is None:
        return None
    for size in listed:
        if not size.isdecimal():
            raise RecipeError(
                f"--sizes {text}: {size!r} is not a number of rows; write 100,200,400"
            )
    return tuple(map(int, listed))


def find_lr(
    data: options.OptionalData = None,
    validation: options.Validation = None,
    test: options.Test = None,
    text: options.Text = None,
    label: options.Label = None,
    group: options.Group = None,
    row_id: options.RowId = None,
    label_names: options.LabelNames = None,
    drop_unlabelled: options.DropUnlabelled = False,
    encoder: options.Encoder = None,
    max_length: options.MaxLength = None,
    train_size: options.TrainSize = None,
    validation_size: options.ValidationSize = None,
    test_size: options.TestSize = None,
    settings: options.Settings = None,
    recipe: options.RecipeFile = None,
    lowest: options.LowestRate = 1e-7,
    highest: options.HighestRate = 1.0,
    steps: options.RangeSteps = 100,
    out: options.PictureOut = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Suggest a learning rate for fine-tuning on DATA."""
    from finetext.core.contracts import Listener
    from finetext.report.pictures import check_picture, write_rate_curve
    from finetext.runs.find_lr import RangeTest, finetune_rung
    from finetext.runs.find_lr import find_lr as find
    from finetext.runs.recipe import Recipe

    if out is not None:
        arguments.check_place(out)
        check_picture(out)
    reading = DataOptions(text, label, group, row_id, label_names, drop_unlabelled)
    parts, shares = (data, validation, test), (train_size, validation_size, test_size)
    given = arguments.data_values(reading, parts, shares) | {"seed": seed, "device": device}
    chosen = MethodOptions("finetune" if recipe is None else None, encoder, max_length)
    asked = Recipe.from_values(arguments.recipe_values(recipe, given, chosen, settings))
    rung, method = finetune_rung(asked)
    screen = Screen(quiet or as_json)
    with screen.watching():
        listener = Listener(screen.say, screen.progress, screen.finding)
        curve = find(asked, method, RangeTest(lowest, highest, steps), listener=listener)
    if out is not None:
        try:
            write_rate_curve(curve, out)
        except DataError:
            _show(curve, rung, None, screen, as_json)
            raise
    _show(curve, rung, out, screen, as_json)


def _show(curve: RateCurve, rung: str, out: Path | None, screen: Screen, as_json: bool) -> None:
    """The number, and how to use it."""
    from dataclasses import asdict

    if as_json:
        screen.json(asdict(curve) | {"rung": rung, "picture": None if out is None else str(out)})
        return
    rate = f"{curve.suggestion:.2g}"
    print(f"learning rate: {rate} (more careful: {curve.valley:.2g})")
    print(f"to train with it: finetext train ... --set {rung}.learning_rate={rate}")
    if out is not None:
        print(f"picture: {out}")
