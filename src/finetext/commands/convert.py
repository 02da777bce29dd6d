"""`finetext convert`: published AWD-LSTM weights as an encoder folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from finetext import options
from finetext.console import Screen

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
    from finetext.encoders.converting import convert as written

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
