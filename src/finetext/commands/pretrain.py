"""`finetext pretrain`: grow a tokenizer and an encoder of one's own from unlabelled text."""

from __future__ import annotations

from finetext import arguments, options
from finetext.commands.language import settings_of, show_made
from finetext.console import Screen


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
    from finetext.pipeline import Listener
    from finetext.pretraining.corpus import CorpusSettings
    from finetext.pretraining.pretrain import Pretraining
    from finetext.pretraining.pretrain import pretrain as grow
    from finetext.stopping import told_how_to_go_on

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
