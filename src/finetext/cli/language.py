"""`finetext pretrain`: grow a tokenizer and an encoder of one's own from unlabelled text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from finetext.cli import arguments, options
from finetext.cli.arguments import DataOptions
from finetext.core.console import Screen
from finetext.core.errors import RecipeError

if TYPE_CHECKING:
    from finetext.core.settings import ReadSettings
    from finetext.pretraining.learning import Adapted


def settings_of(
    kind: type[Any], given: Mapping[str, Any], text: str | None, settings: list[str] | None
) -> tuple[Any, ReadSettings]:
    """The hyperparameters, and how to read, from options and assignments.

    Args:
        kind: `Adaptation` or `Pretraining`.
        given: hyperparameters, None where an option was left out.
        text: column of the texts.
        settings: assignments `data.NAME=VALUE`, or with the name of the command before the dot.

    Raises:
        RecipeError: an assignment is none of these, or a value does not fit.
    """
    from finetext.core.settings import made
    from finetext.pretraining.adapt import Adaptation

    command = "adapt" if kind is Adaptation else "pretrain"
    assigned = arguments.assigned(settings)
    reading = arguments.read_settings(DataOptions(text).given() | assigned.pop("data", {}))
    chosen = {name: value for name, value in given.items() if value is not None}
    chosen |= assigned.pop(command, {})
    if assigned:
        raise RecipeError(f"--set: only {command}.NAME=VALUE and data.NAME=VALUE can be set here")
    return made(command, kind, chosen), reading


def show_made(encoder: Adapted, screen: Screen, as_json: bool) -> None:
    """The figures before and after, the seconds, and where the encoder is.

    Args:
        encoder: what was made.
        screen: where to write.
        as_json: whether for machines.
    """
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
    from finetext.core.console import told_how_to_go_on
    from finetext.core.contracts import Listener
    from finetext.pretraining.adapt import Adaptation
    from finetext.pretraining.adapt import adapt as make
    from finetext.pretraining.corpus import CorpusSettings

    given = {
        "encoder": encoder,
        "max_length": max_length,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "precision": precision,
    }
    adapting, reading = settings_of(Adaptation, given, text, settings)
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


def pretrain(
    corpus: options.Corpus,
    out: options.EncoderOut,
    text: options.Text = None,
    preset: options.Preset = None,
    architecture: options.Architecture = None,
    tokenizer: options.Subwords = None,
    pieces: options.Pieces = None,
    validation: options.HeldOut = None,
    exclude: options.Exclude = None,
    with_test: options.WithTest = False,
    max_length: options.OwnRowLength = None,
    epochs: options.OwnEpochs = None,
    batch_size: options.OwnBatchSize = None,
    learning_rate: options.LearningRate = None,
    evaluate_every: options.EvaluateEvery = None,
    precision: options.Precision = None,
    settings: options.OwnSettings = None,
    resume: options.ResumeEncoder = False,
    track: options.Track = None,
    checkpoint_seconds: options.CheckpointSeconds = None,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Grow an encoder from random weights on unlabelled text."""
    from finetext.core.console import told_how_to_go_on
    from finetext.core.contracts import Listener
    from finetext.pretraining.corpus import CorpusSettings
    from finetext.pretraining.pretrain import Pretraining
    from finetext.pretraining.pretrain import pretrain as grow

    given = {
        "preset": preset,
        "architecture": architecture,
        "tokenizer": tokenizer,
        "pieces": pieces,
        "max_length": max_length,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "evaluate_every": evaluate_every,
        "precision": precision,
    }
    growing, reading = settings_of(Pretraining, given, text, settings)
    screen = Screen(quiet or as_json)
    with told_how_to_go_on(), screen.watching():
        grown = grow(
            tuple(corpus) if len(corpus) > 1 else corpus[0], out, growing,
            read=CorpusSettings(reading, validation, exclude=tuple(exclude or ()),
                                with_test=with_test),
            seed=seed or 0, device=device or "auto", resume=resume,
            track=tuple(arguments.names(track) or ()),
            checkpoint_seconds=60.0 if checkpoint_seconds is None else checkpoint_seconds,
            listener=Listener(screen.say, screen.progress, screen.finding),
        )  # fmt: skip
    show_made(grown, screen, as_json)


LanguageModel = Annotated[
    str, Argument(metavar="MODEL", help="Folder, alias or Hub name of a language model.")
]
Prompt = Annotated[str, Argument(metavar="TEXT", help="How the text begins.")]
Words = Annotated[int, Option(metavar="NUMBER", help="Words to add.")]
Temperature = Annotated[
    float, Option(metavar="NUMBER", help="The higher the more surprising; 0 never surprises.")
]
Count = Annotated[int, Option(metavar="NUMBER", help="Texts to write.")]


def generate(
    model: LanguageModel,
    prompt: Prompt,
    words: Words = 30,
    temperature: Temperature = 0.75,
    count: Count = 1,
    seed: options.Seed = None,
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Let a language model go on with TEXT."""
    from finetext.pretraining.generate import generate as written

    screen = Screen(quiet or as_json)
    texts = written(model, prompt, words, temperature, seed or 0, count, device or "auto")
    if as_json:
        screen.json({"prompt": prompt, "texts": texts})
    else:
        print("\n\n".join(texts))


Weights = Annotated[Path, Argument(metavar="WEIGHTS", help="The file of weights, such as .pth.")]
Vocabulary = Annotated[
    Path, Option(metavar="FILE", help="The words by number: .pkl, .json, or one a line.")
]
EncoderOut = Annotated[Path, Option("--out", metavar="FOLDER", help="The new encoder folder.")]


def convert(
    weights: Weights,
    vocabulary: Vocabulary,
    out: EncoderOut,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make an encoder folder of published AWD-LSTM weights."""
    from finetext.encoders.convert import convert as written

    screen = Screen(quiet or as_json)
    config = written(weights, vocabulary, out).config
    sizes = {
        "words": config.vocab_size,
        "embedding_size": config.embedding_size,
        "inner_size": config.inner_size,
        "layers": config.num_hidden_layers,
    }
    if as_json:
        screen.json({"encoder": str(out), **sizes})
        return
    screen.say(", ".join(f"{name.replace('_', ' ')} {size:,}" for name, size in sizes.items()))
    print(out)
