"""`finetext generate`: a language model goes on with a text."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from finetext import options
from finetext.console import Screen

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
    from finetext.generating import generate as written

    screen = Screen(quiet or as_json)
    texts = written(model, prompt, words, temperature, seed or 0, count, device or "auto")
    if as_json:
        screen.json({"prompt": prompt, "texts": texts})
    else:
        print("\n\n".join(texts))
