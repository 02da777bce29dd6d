"""`finetext models`, `tokens`, `features`, `adapt`, `pretrain`, `generate` and `convert`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from finetext.cli import options
from finetext.cli.options import Output, Reading, argument, flag, option
from finetext.core.errors import RecipeError
from finetext.core.settings import made

if TYPE_CHECKING:
    from finetext.pretraining.learning import Adapted

EncoderOut = Annotated[Path, option("FOLDER", "Folder of the encoder, new or empty.", "--out")]
LearningRate = Annotated[float | None, option("RATE", "Peak rate; by default from the width.")]


@dataclass(frozen=True)
class CorpusOptions:
    """Which texts are read, and where the encoder is written."""

    corpus: Annotated[
        list[str], argument("CORPUS", "Unlabeled text: as DATA, labels ignored; or a run folder.")
    ]
    out: EncoderOut
    text: options.Text = None
    header: options.Header = None
    sheet: options.Sheet = None
    validation: Annotated[
        str | None, option("DATA", "Held-out texts; by default part of CORPUS.")
    ] = None
    exclude: Annotated[
        list[str] | None, option("DATA", "Leave out texts that occur in DATA; repeatable.")
    ] = None
    with_test: Annotated[bool, flag("--with-test", "Use test rows of CORPUS, too.")] = False


@dataclass(frozen=True)
class Running:
    """How training runs, without effect on its result but by the seed and the device."""

    resume: Annotated[bool, flag("--resume", "Resume what was stopped in FOLDER.")] = False
    track: options.Track = None
    checkpoint_seconds: options.CheckpointSeconds = None
    seed: options.Seed = None
    device: options.Device = None


@dataclass(frozen=True)
class AdaptOptions:
    """The hyperparameters of adaptation."""

    encoder: options.Encoder = None
    max_length: Annotated[int | None, option("TOKENS", "Row length; by default up to 512.")] = None
    epochs: Annotated[int | None, option("NUMBER", "Passes over CORPUS; 1 by default.")] = None
    batch_size: Annotated[str | None, option("ROWS", "Rows per step, or auto; default 16.")] = None
    learning_rate: LearningRate = None
    precision: options.Precision = None
    settings: Annotated[
        list[str] | None, option("KEY=VALUE", "Any hyperparameter: adapt.masked_share=0.2", "--set")
    ] = None


@dataclass(frozen=True)
class PretrainOptions:
    """The hyperparameters of pretraining."""

    preset: Annotated[str | None, option("NAME", "tiny (the default), ..., awd-lstm.")] = None
    architecture: Annotated[str | None, option("NAME", "bert, roberta, ..., modernbert.")] = None
    tokenizer: Annotated[str | None, option("NAME", "wordpiece, bpe or unigram.")] = None
    pieces: Annotated[int | None, option("NUMBER", "Largest vocabulary of the tokenizer.")] = None
    max_length: Annotated[int | None, option("TOKENS", "Row length; default the context.")] = None
    epochs: Annotated[int | None, option("NUMBER", "Passes over CORPUS; 10 by default.")] = None
    batch_size: Annotated[str | None, option("ROWS", "Rows per step, or auto; default 32.")] = None
    learning_rate: LearningRate = None
    evaluate_every: Annotated[int | None, option("STEPS", "Steps between evaluations.")] = None
    precision: options.Precision = None
    settings: Annotated[
        list[str] | None, option("KEY=VALUE", "Any hyperparameter: pretrain.layers=4", "--set")
    ] = None


@dataclass(frozen=True)
class FeatureOptions:
    """Which states are written."""

    encoder: Annotated[str, option("NAME", "Alias, Hub name or folder of the encoder.")] = "minilm"
    pooling: Annotated[
        str, option("NAME", "mean, first, max, concat, or a layer's number: its mean.")
    ] = "mean"
    max_length: Annotated[
        int | None, option("TOKENS", "Truncate texts; by default they are read whole.")
    ] = None
    device: options.Device = None
    precision: options.Precision = None


def adapt(*, corpus: CorpusOptions, chosen: AdaptOptions, running: Running, output: Output) -> None:
    """Adapt an encoder to unlabeled text."""
    from finetext.pretraining.adapt import Adaptation
    from finetext.pretraining.adapt import adapt as learn

    values, arguments = _arguments("adapt", corpus, chosen, running)
    _show_encoder(partial(learn, settings=made("adapt", Adaptation, values), **arguments), output)


def pretrain(
    *, corpus: CorpusOptions, chosen: PretrainOptions, running: Running, output: Output
) -> None:
    """Pretrain a new encoder on unlabeled text."""
    from finetext.pretraining.pretrain import Pretraining
    from finetext.pretraining.pretrain import pretrain as learn

    values, arguments = _arguments("pretrain", corpus, chosen, running)
    _show_encoder(
        partial(learn, settings=made("pretrain", Pretraining, values), **arguments), output
    )


def _arguments(
    command: str, corpus: CorpusOptions, chosen: AdaptOptions | PretrainOptions, running: Running
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the given hyperparameters, and the other arguments of `adapt` and `pretrain`."""
    from finetext.cli.arguments import assigned, names, read_settings
    from finetext.pretraining.corpus import CorpusSettings

    values = options.given(chosen)
    if "batch_size" in values:
        values["batch_size"] = _number_or_name(values["batch_size"])
    sections = assigned(values.pop("settings", None))
    reading = Reading(corpus.text, header=corpus.header, sheet=corpus.sheet)
    read = read_settings(reading.given() | sections.pop("data", {}))
    values |= sections.pop(command, {})
    if sections:
        raise RecipeError(f"--set: only {command}.NAME=VALUE and data.NAME=VALUE can be set here")
    excluded = tuple(corpus.exclude or ())
    return values, {
        "corpus": tuple(corpus.corpus) if len(corpus.corpus) > 1 else corpus.corpus[0],
        "out": corpus.out,
        "read": CorpusSettings(
            read, corpus.validation, exclude=excluded, with_test=corpus.with_test
        ),
        **options.given(running),
        "track": tuple(names(running.track) or ()),
    }


def _show_encoder(learn: Callable[..., Adapted], output: Output) -> None:
    """Train the encoder; print scores on held-out text before and after, seconds, and folder."""
    screen = output.screen()
    with screen.watching():
        encoder = learn(listener=screen.listener)
    origin = encoder.origin
    lines = [f"{'held-out text':<14}{'before':>12}{'after':>12}"]
    for name, form in (("loss", ",.3f"), ("accuracy", ",.3f"), ("perplexity", ",.1f")):
        lines.append(f"{name:<14}{origin.before[name]:>12{form}}{origin.after[name]:>12{form}}")
    if origin.head_is_fresh and origin.kind == "adapted":
        lines.append(
            f"before, the language-model head had random weights: {origin.base} comes without one"
        )
    lines += [f"{origin.seconds:,.0f} seconds", f"encoder: {encoder.folder}"]
    output.show({"folder": str(encoder.folder), **asdict(origin)}, lines)


def models(
    task: Annotated[str | None, option("NAME", "For a task: zero-shot, fill-mask, ...")] = None,
    finetunable: Annotated[bool, flag("--finetunable", "Only what finetune can train.")] = False,
    language: Annotated[
        str | None, option("NAME", "Trained on a language: German, de, ...")
    ] = None,
    here: Annotated[bool, flag("--here", "Only what is on this machine.")] = False,
    *,
    output: Output,
) -> None:
    """List the encoders that have an alias."""
    from finetext.encoders.model_table import models as listed

    table = listed(
        task, finetunable=finetunable or None, language=language, on_this_machine=here or None
    )
    output.show(table.to_json(), [str(table)])


def tokens(
    text: Annotated[str, argument("TEXT", "The text itself.")],
    encoder: Annotated[str, option("NAME", "Alias, Hub name or folder of the encoder.")] = "minilm",
    *,
    output: Output,
) -> None:
    """Show how the tokenizer of an encoder divides TEXT."""
    from finetext.batch.inputs import is_text
    from finetext.encoders.tokenized_text import tokens as divided

    if not is_text(text):
        output.screen().say(
            f"{text} is taken as the text itself; for the rows of a file: finetext explore "
            f"{shlex.quote(text)} --tokens 1"
        )
    look = divided(text, encoder)
    output.show(look.to_json(), look.lines())


def features(
    data: Annotated[str, argument("DATA", "As for train; or a run folder, for its splits.")],
    out: Annotated[Path, option("FILE", "Write the features here, as .npz.", "--out")],
    force: options.Force = False,
    *,
    reading: Reading,
    settings: options.DataSettings = None,
    chosen: FeatureOptions,
    output: Output,
) -> None:
    """Write the states of a frozen encoder as features."""
    from finetext.cli import arguments
    from finetext.data.write import check_table
    from finetext.diagnosis.languages import language_findings, languages_in
    from finetext.encoders.features import SUFFIX, feature_matrix
    from finetext.runs.stored_splits import stored_splits

    check_table(out, force, [data], suffixes=(SUFFIX,))
    screen = output.screen()
    run = arguments.run_folder_at(data)
    rows: Any
    if run is None:
        rows = arguments.read_with_or_without_labels(data, reading, settings)
        screen.say(rows.description)
    else:
        if reading.given() or settings:
            raise RecipeError(
                f"{run} is a run folder, which says how its data are read; leave out the options "
                "of reading"
            )
        rows = stored_splits(run)
        screen.say(rows.train.description)
        arguments.count_access(run, "test", "finetext features", screen)
    texts = rows.texts if run is None else rows.train.texts
    screen.findings(language_findings(languages_in(texts), [chosen.encoder]))
    values = options.given(chosen) | {"pooling": _number_or_name(chosen.pooling)}
    with screen.watching():
        matrix = feature_matrix(rows, **values, listener=screen.listener)
    matrix.save(out)
    facts = {
        "out": str(out),
        "rows": len(matrix),
        "features": matrix.X.shape[1],
        "labels": list(matrix.label_names),
        "encoder": matrix.encoder,
        "pooling": matrix.pooling,
        "max_length": matrix.max_length,
    }
    output.show(facts, [f"{out}: {matrix.summary()}"])


def _number_or_name(text: str) -> str | int:
    return int(text) if text.removeprefix("-").isdecimal() else text


def generate(
    model: Annotated[
        str, argument("MODEL", "Folder, alias or Hub name of a language model; or a run folder.")
    ],
    prompt: Annotated[str, argument("TEXT", "How the text begins.")],
    words: Annotated[int, option("NUMBER", "Words to add.")] = 30,
    temperature: Annotated[float, option("NUMBER", "Higher is more random; 0 is greedy.")] = 0.75,
    count: Annotated[int, option("NUMBER", "Texts to write.", "--count", "-n", min=1)] = 1,
    seed: options.Seed = None,
    device: options.Device = None,
    *,
    output: Output,
) -> None:
    """Continue TEXT with a language model."""
    from finetext.pretraining.generate import generate as written

    texts = written(model, prompt, words, temperature, count, seed or 0, device or "auto")
    output.show({"prompt": prompt, "texts": texts}, ["\n\n".join(texts)])


@dataclass(frozen=True)
class ConvertOptions:
    """What the arrays of a transformer do not say."""

    mapping: Annotated[
        str | None, option("NAME", "Names of a transformer's arrays: haiku, or a .json or .toml.")
    ] = None
    heads: Annotated[int | None, option("NUMBER", "Attention heads; needed with a mapping.")] = None
    positions: Annotated[
        str | None, option("NAME", "sinusoidal, learned or none; needed with a mapping.")
    ] = None
    activation: Annotated[
        str | None, option("NAME", "relu (the default), gelu, gelu-tanh (JAX) or silu.")
    ] = None
    context: Annotated[
        int | None, option("TOKENS", "Longest input; 512, or the number of learned positions.")
    ] = None


def convert(
    weights: Annotated[Path, argument("WEIGHTS", "The weights: .npz, .safetensors, or .pth.")],
    vocabulary: Annotated[
        Path, option("FILE", "tokenizer.json; or the words: .pkl, .json, or one a line.")
    ],
    out: EncoderOut,
    *,
    chosen: ConvertOptions,
    output: Output,
) -> None:
    """Make an encoder folder from weights of another program."""
    from finetext.encoders.convert import convert as written
    from finetext.encoders.name_mapping import some

    converted = written(weights, vocabulary, out, **asdict(chosen))
    found = {name: of for name, of in asdict(converted).items() if name != "folder"}
    told = [
        f"{name.replace('_', ' ')} {of:,}" if isinstance(of, int) else f"{name} {of}"
        for name, of in found.items()
        if of is not None and name not in ("left_out", "note")
    ]
    output.screen().say(", ".join(told))
    if converted.left_out:
        output.screen().say(f"left out, without a use: {some(converted.left_out, 10)}")
    if converted.note:
        output.screen().say(converted.note)
    output.show({"encoder": str(out), **found}, [str(out)])
