"""`finetext adapt`: go on training the language model of an encoder on unlabelled text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from finetext import arguments, options
from finetext.arguments import DataOptions
from finetext.console import Screen
from finetext.errors import RecipeError

if TYPE_CHECKING:
    from finetext.data.settings import ReadSettings
    from finetext.pretraining.adapt import Adaptation


def adapt(
    corpus: options.Corpus,
    out: options.EncoderOut,
    text: options.Text = None,
    encoder: options.Encoder = None,
    validation: options.HeldOut = None,
    exclude: options.Exclude = None,
    with_test: options.WithTest = False,
    max_length: options.RowLength = None,
    epochs: options.CorpusEpochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    precision: options.Precision = None,
    settings: options.LanguageSettings = None,
    resume: options.ResumeEncoder = False,
    track: options.Track = None,
    checkpoint_seconds: options.CheckpointSeconds = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Adapt an encoder to unlabelled text; leave it in a folder."""
    from finetext.pipeline import Listener
    from finetext.pretraining.adapt import adapt as make
    from finetext.pretraining.corpus import CorpusSettings
    from finetext.stopping import told_how_to_go_on

    given = {
        "encoder": encoder,
        "max_length": max_length,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "precision": precision,
    }
    adapting, reading = _settings(given, text, settings)
    screen = Screen(quiet or as_json)
    with told_how_to_go_on(), screen.watching():
        adapted = make(
            tuple(corpus) if len(corpus) > 1 else corpus[0], out, adapting,
            read=CorpusSettings(reading, validation, exclude=tuple(exclude or ()),
                                with_test=with_test),
            seed=seed or 0, device=device or "auto", resume=resume,
            track=tuple(arguments.names(track) or ()),
            checkpoint_seconds=60.0 if checkpoint_seconds is None else checkpoint_seconds,
            listener=Listener(screen.say, screen.progress, screen.finding),
        )  # fmt: skip
    show_made(adapted, screen, as_json)


def _settings(
    given: Mapping[str, Any], text: str | None, settings: list[str] | None
) -> tuple[Adaptation, ReadSettings]:
    """The hyperparameters, and how to read, from options and assignments.

    Raises:
        RecipeError: an assignment is none of these, or a value does not fit.
    """
    from finetext.pretraining.adapt import Adaptation
    from finetext.recipe import made

    assigned = arguments.assigned(settings)
    reading = arguments.read_settings(DataOptions(text).given() | assigned.pop("data", {}))
    chosen = {name: value for name, value in given.items() if value is not None}
    chosen |= assigned.pop("adapt", {})
    if assigned:
        raise RecipeError("--set: only adapt.NAME=VALUE and data.NAME=VALUE can be set here")
    return made("adapt", Adaptation, chosen), reading


def show_made(encoder: Any, screen: Screen, as_json: bool) -> None:
    """The figures before and after, the seconds, and where the encoder is.

    Args:
        encoder: a `finetext.pretraining.learning.Adapted`.
        screen: where to write.
        as_json: whether for machines.
    """
    from dataclasses import asdict

    origin = encoder.origin
    if as_json:
        screen.json({"folder": str(encoder.folder), **asdict(origin)})
        return
    print(f"{'held-out text':<14}{'before':>12}{'after':>12}")
    for name, form in (("loss", ",.3f"), ("accuracy", ",.3f"), ("perplexity", ",.1f")):
        print(f"{name:<14}{origin.before[name]:>12{form}}{origin.after[name]:>12{form}}")
    if origin.head_is_fresh and origin.kind == "adapted":
        print(f"before, the head that predicts words was fresh: {origin.base} comes without one")
    print(f"{origin.seconds:,.0f} seconds")
    print(f"encoder: {encoder.folder}")
