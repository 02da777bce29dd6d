"""`finetext adapt`: go on training the language model of an encoder on unlabelled text."""

from __future__ import annotations

from finetext import arguments, options
from finetext.commands.language import settings_of, show_made
from finetext.console import Screen


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
    from finetext.pretraining.adapt import Adaptation
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
