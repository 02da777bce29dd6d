"""`finetext models`, `adapt`, `pretrain`, `generate` and `convert`: encoders without labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from finetext.cli import options
from finetext.cli.options import Output, Reading, argument, flag, option
from finetext.core.errors import RecipeError

if TYPE_CHECKING:
    from finetext.pretraining.corpus import CorpusSettings
    from finetext.pretraining.learning import Adapted

Corpus = Annotated[
    list[str], argument("CORPUS", "Unlabeled text: as DATA, labels ignored; or a run folder.")
]
EncoderOut = Annotated[Path, option("FOLDER", "Folder of the encoder, new or empty.", "--out")]
LearningRate = Annotated[float | None, option("RATE", "The highest; from the width by default.")]


@dataclass(frozen=True)
class CorpusOptions:
    """Which texts of the corpus are read."""

    text: options.Text = None
    validation: Annotated[str | None, option("DATA", "Held-out texts; from CORPUS by default.")] = (
        None
    )
    exclude: Annotated[
        list[str] | None, option("DATA", "Leave out texts that occur in DATA; repeatable.")
    ] = None
    with_test: Annotated[bool, flag("--with-test", "Use test rows of CORPUS, too.")] = False


@dataclass(frozen=True)
class Running:
    """How training runs, without effect on its result but by the seed and the device."""

    resume: Annotated[bool, flag("--resume", "Resume what was stopped or killed in FOLDER.")] = (
        False
    )
    track: options.Track = None
    checkpoint_seconds: options.CheckpointSeconds = None
    seed: options.Seed = None
    device: options.Device = None

    def given(self) -> dict[str, Any]:
        """Return the arguments of `adapt` and `pretrain`."""
        from finetext.cli.arguments import names

        seconds = self.checkpoint_seconds
        return {
            "seed": self.seed or 0,
            "device": self.device or "auto",
            "resume": self.resume,
            "track": tuple(names(self.track) or ()),
            "checkpoint_seconds": 60.0 if seconds is None else seconds,
        }


@dataclass(frozen=True)
class AdaptOptions:
    """The hyperparameters of adaptation."""

    encoder: options.Encoder = None
    max_length: Annotated[
        int | None, option("TOKENS", "Tokens of a row; the context, at most 512.")
    ] = None
    epochs: Annotated[int | None, option("NUMBER", "Passes over CORPUS; 1 by default.")] = None
    batch_size: Annotated[int | None, option("ROWS", "Rows of a step; 16 by default.")] = None
    learning_rate: LearningRate = None
    precision: options.Precision = None


@dataclass(frozen=True)
class PretrainOptions:
    """The hyperparameters of pretraining."""

    preset: Annotated[str | None, option("NAME", "tiny (the default), ..., awd-lstm.")] = None
    architecture: Annotated[str | None, option("NAME", "bert, roberta, ..., modernbert.")] = None
    tokenizer: Annotated[str | None, option("NAME", "wordpiece, bpe or unigram.")] = None
    pieces: Annotated[int | None, option("NUMBER", "Largest vocabulary of the tokenizer.")] = None
    max_length: Annotated[int | None, option("TOKENS", "Tokens of a row; the context.")] = None
    epochs: Annotated[int | None, option("NUMBER", "Passes over CORPUS; 10 by default.")] = None
    batch_size: Annotated[int | None, option("ROWS", "Rows of a step; 32 by default.")] = None
    learning_rate: LearningRate = None
    evaluate_every: Annotated[int | None, option("STEPS", "Steps between evaluations.")] = None
    precision: options.Precision = None


def adapt(
    corpus: Corpus,
    out: EncoderOut,
    *,
    reading: CorpusOptions,
    chosen: AdaptOptions,
    settings: Annotated[
        list[str] | None, option("KEY=VALUE", "Any hyperparameter: adapt.masked_share=0.2", "--set")
    ] = None,
    running: Running,
    output: Output,
) -> None:
    """Adapt an encoder to unlabeled text."""
    from finetext.pretraining.adapt import Adaptation
    from finetext.pretraining.adapt import adapt as make

    wanted, read = _hyperparameters("adapt", Adaptation, chosen, reading, settings)
    screen = output.screen()
    with screen.watching():
        adapted = make(
            tuple(corpus) if len(corpus) > 1 else corpus[0], out, wanted,
            read=read, listener=screen.listener, **running.given(),
        )  # fmt: skip
    _show_encoder(adapted, output)


def pretrain(
    corpus: Corpus,
    out: EncoderOut,
    *,
    reading: CorpusOptions,
    chosen: PretrainOptions,
    settings: Annotated[
        list[str] | None, option("KEY=VALUE", "Any hyperparameter: pretrain.layers=4", "--set")
    ] = None,
    running: Running,
    output: Output,
) -> None:
    """Pretrain an encoder from random weights on unlabeled text."""
    from finetext.pretraining.pretrain import Pretraining
    from finetext.pretraining.pretrain import pretrain as make

    wanted, read = _hyperparameters("pretrain", Pretraining, chosen, reading, settings)
    screen = output.screen()
    with screen.watching():
        pretrained = make(
            tuple(corpus) if len(corpus) > 1 else corpus[0], out, wanted,
            read=read, listener=screen.listener, **running.given(),
        )  # fmt: skip
    _show_encoder(pretrained, output)


def _hyperparameters(
    command: str,
    kind: type[Any],
    chosen: AdaptOptions | PretrainOptions,
    corpus: CorpusOptions,
    settings: list[str] | None,
) -> tuple[Any, CorpusSettings]:
    """Return the hyperparameters, and how to read, from options and assignments."""
    from finetext.cli import arguments
    from finetext.core.settings import made
    from finetext.pretraining.corpus import CorpusSettings

    assigned = arguments.assigned(settings)
    read = arguments.read_settings(Reading(corpus.text).given() | assigned.pop("data", {}))
    values = options.given(chosen) | assigned.pop(command, {})
    if assigned:
        raise RecipeError(f"--set: only {command}.NAME=VALUE and data.NAME=VALUE can be set here")
    exclude = tuple(corpus.exclude or ())
    settings_of_corpus = CorpusSettings(
        read, corpus.validation, exclude=exclude, with_test=corpus.with_test
    )
    return made(command, kind, values), settings_of_corpus


def _show_encoder(encoder: Adapted, output: Output) -> None:
    """Print the scores on held-out text before and after, the seconds, and the folder."""
    origin = encoder.origin
    if output.as_json:
        output.screen().json({"folder": str(encoder.folder), **asdict(origin)})
        return
    print(f"{'held-out text':<14}{'before':>12}{'after':>12}")
    for name, form in (("loss", ",.3f"), ("accuracy", ",.3f"), ("perplexity", ",.1f")):
        print(f"{name:<14}{origin.before[name]:>12{form}}{origin.after[name]:>12{form}}")
    if origin.head_is_fresh and origin.kind == "adapted":
        print(
            f"before, the language-model head had random weights: {origin.base} comes without one"
        )
    print(f"{origin.seconds:,.0f} seconds")
    print(f"encoder: {encoder.folder}")


def models(*, output: Output) -> None:
    """List the encoders that have an alias."""
    from finetext.report.models import models_json, show_models

    screen = output.screen()
    if output.as_json:
        screen.json(models_json())
    else:
        show_models(screen.out)


def generate(
    model: Annotated[str, argument("MODEL", "Folder, alias or Hub name of a language model.")],
    prompt: Annotated[str, argument("TEXT", "How the text begins.")],
    words: Annotated[int, option("NUMBER", "Words to add.")] = 30,
    temperature: Annotated[float, option("NUMBER", "Higher is more random; 0 is greedy.")] = 0.75,
    count: Annotated[int, option("NUMBER", "Texts to write.")] = 1,
    seed: options.Seed = None,
    device: options.Device = None,
    *,
    output: Output,
) -> None:
    """Continue TEXT with a language model."""
    from finetext.pretraining.generate import generate as written

    texts = written(model, prompt, words, temperature, seed or 0, count, device or "auto")
    if output.as_json:
        output.screen().json({"prompt": prompt, "texts": texts})
    else:
        print("\n\n".join(texts))


def convert(
    weights: Annotated[Path, argument("WEIGHTS", "The file of weights, such as .pth.")],
    vocabulary: Annotated[Path, option("FILE", "The words in order: .pkl, .json, or one a line.")],
    out: EncoderOut,
    *,
    output: Output,
) -> None:
    """Make an encoder folder from published AWD-LSTM weights."""
    from finetext.encoders.convert import convert as written

    screen = output.screen()
    config = written(weights, vocabulary, out).config
    sizes = {
        "words": config.vocab_size,
        "embedding_size": config.embedding_size,
        "inner_size": config.inner_size,
        "layers": config.num_hidden_layers,
    }
    if output.as_json:
        screen.json({"encoder": str(out), **sizes})
        return
    screen.say(", ".join(f"{name.replace('_', ' ')} {size:,}" for name, size in sizes.items()))
    print(out)
