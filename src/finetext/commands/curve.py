"""`finetext curve`: what more labels would be worth, and which rung is right at which size."""

from __future__ import annotations

from finetext import arguments, options
from finetext.arguments import DataOptions, MethodOptions
from finetext.console import Screen
from finetext.errors import RecipeError
from finetext.recipe import BASELINES
from finetext.stopping import told_how_to_go_on


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
    from finetext.diagnosis.learning import CurveSettings, Place, grow
    from finetext.pipeline import Listener
    from finetext.recipe import Recipe
    from finetext.report.learning_curve_text import curve_lines

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
