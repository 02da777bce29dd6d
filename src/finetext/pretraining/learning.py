"""The part that adapting and pretraining share: a model and a corpus in, an encoder folder out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np

from finetext.core.contracts import FitContext, batches_of
from finetext.core.errors import ModelError, RunError
from finetext.core.wording import counted
from finetext.encoders.language_models import (
    STREAMED,
    Objective,
    initialize_output_bias,
    save_language_model,
)
from finetext.encoders.load import quiet
from finetext.pretraining.corpus import Corpus
from finetext.pretraining.folder import (
    STATE,
    Origin,
    Workplace,
    is_finished,
    read_origin,
    workplace,
    write_corpus_hashes,
    write_origin,
)
from finetext.pretraining.objectives import CausalTask, MaskedTask
from finetext.pretraining.packing import (
    SPECIAL,
    TEXTS_AT_A_TIME,
    PackedTexts,
    kept_apart,
    pack,
    reads_ahead,
)
from finetext.pretraining.streams import StreamTask
from finetext.storage.files import is_full
from finetext.storage.resume import CHECKPOINT, Attempts, check_same
from finetext.training.loop import train_model
from finetext.training.plan import Hyperparameters, Stage, Task
from finetext.training.precision import choose_device

FIGURES: Final = {
    "loss": "validation loss", "accuracy": "validation accuracy", "perplexity": "perplexity"
}  # fmt: skip
PACKAGES: Final = ("finetext", "torch", "transformers", "tokenizers")


class LanguageSettings(Hyperparameters, Protocol):
    """The hyperparameters of language-model training, as `Adaptation` documents them."""

    @property
    def epochs(self) -> int:
        """Passes over the corpus."""

    @property
    def masked_share(self) -> float:
        """Share of the tokens to predict."""


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model that is about to be trained.

    Attributes:
        kind: "adapted" from another encoder, or "pretrained" from random weights.
        base: the encoder it comes from; "" for random weights.
        model: with its language-model head, in fp32.
        tokenizer: its tokenizer.
        objective: what it predicts.
        max_length: most tokens of a row.
        learning_rate: the highest one.
        head_is_fresh: whether its head has random weights.
    """

    kind: Literal["adapted", "pretrained"]
    base: str
    model: Any
    tokenizer: Any
    objective: Objective
    max_length: int
    learning_rate: float
    head_is_fresh: bool = False

    @property
    def name(self) -> str:
        """What messages call its training."""
        return "adapt" if self.kind == "adapted" else "pretrain"

    @cached_property
    def is_streamed(self) -> bool:
        """Whether it carries a state from window to window."""
        return bool(self.model.config.model_type == STREAMED)


@dataclass(frozen=True)
class Adapted:
    """An encoder that was made.

    Attributes:
        folder: what `--encoder` and `Finetune(encoder=...)` take.
        origin: how it was made, and its figures on held-out text.
    """

    folder: Path
    origin: Origin


def make_encoder(
    out: Path,
    make: Callable[[Workplace], LanguageModel],
    corpus: Corpus,
    settings: LanguageSettings,
    context: FitContext,
    resume: bool = False,
) -> Adapted:
    """Train a language model and write an encoder folder, whole or not at all.

    Args:
        out: the folder.
        make: returns the model, on the CPU and the same one each time it is called. What takes
            long or differs each time it may keep in the `state` of the workplace.
        corpus: what to learn from and to measure on.
        settings: the hyperparameters.
        context: seed, device, cache, trackers and listeners; of its checkpoints, the interval.
        resume: whether to resume an unfinished encoder with the same settings in the folder, or
            to return a finished one as it is.
    """
    import torch

    asked = _asked(asdict(settings), corpus.described(), context.seed)  # type: ignore[call-overload]
    if resume and is_finished(out):
        return _finished(out, asked, context)
    with workplace(out, resume, asked) as place:
        kept = context.checkpoints
        if kept is not None:  # a checkpoint of another corpus is refused
            context = replace(context, checkpoints=replace(kept, data=corpus.content_hash))
        attempts = Attempts(place.state, context)
        try:
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                torch.manual_seed(context.seed)
                language = make(place)
                language.model.to(choose_device(context.device))
                heard = replace(attempts.context(), log=out / "log.jsonl")
                before, after, tokens = _learn(language, corpus, settings, place, heard)
        except BaseException as error:
            attempts.keep()
            is_final = isinstance(error, Exception) and not is_full(error)
            if is_final and not (place.state / CHECKPOINT).is_dir():
                shutil.rmtree(place.state, ignore_errors=True)  # nothing to resume
            raise
        origin = Origin(
            kind=language.kind,
            base=language.base,
            corpus=corpus.described() | {"tokens": tokens},
            seconds=attempts.seconds,
            before=before,
            after=after,
            settings=asdict(settings),  # type: ignore[call-overload]
            chosen={"learning_rate": language.learning_rate, "max_length": language.max_length},
            seed=context.seed,
            versions={name: version(name) for name in PACKAGES},
            head_is_fresh=language.head_is_fresh,
        )
        place.finish(lambda folder: _write(folder, language, corpus, origin))
    return Adapted(out, origin)


def _write(folder: Path, language: LanguageModel, corpus: Corpus, origin: Origin) -> None:
    """Write all files of an encoder."""
    language.model.to("cpu")
    save_language_model(language.model, language.tokenizer, folder, language.base)
    write_corpus_hashes(folder, corpus.texts)
    write_origin(folder, origin)


def _asked(settings: Mapping[str, Any], corpus: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return what determines an encoder, in the types of JSON; precision may change."""
    known = {"seed": seed, "corpus": corpus["content_hash"], "in_order": corpus["in_order"]}
    asked = {name: of for name, of in settings.items() if name != "precision"} | known
    plain: dict[str, Any] = json.loads(json.dumps(asked))
    return plain


def _finished(out: Path, asked: Mapping[str, Any], context: FitContext) -> Adapted:
    """Return the finished encoder in a folder; raises a RecipeError if it has other settings."""
    origin = read_origin(out)
    if origin is None:
        raise RunError(f"{out} has no record of how its encoder was made")
    was = _asked(origin.settings, origin.corpus, origin.seed)
    check_same(f"the encoder in {out}", was, asked)
    shutil.rmtree(out / STATE, ignore_errors=True)  # still there after a kill at the very end
    context.say(f"the encoder in {out} is finished already")
    return Adapted(out, origin)


def _learn(
    language: LanguageModel,
    corpus: Corpus,
    settings: LanguageSettings,
    place: Workplace,
    context: FitContext,
) -> tuple[dict[str, float], dict[str, float], int]:
    """Measure, train, and measure again; returns both figures, and the tokens of an epoch."""
    task, tokens = _task(language, corpus, settings, context)
    context.say(_summary(language, settings, tokens))

    def figures() -> dict[str, float]:
        found = task.evaluate(language.model.eval()).figures
        return {name: found[figure] for name, figure in FIGURES.items()}

    before: dict[str, float] | None = place.recalled("before")
    if before is None:
        before = figures()
        place.remember("before", before)
    context.say(f"{language.name}: before, {shown(before)}")
    stages = [Stage(settings.epochs, language.learning_rate)]
    train_model(language.model, task, settings, stages, context)
    after = figures()
    context.say(f"{language.name}: after, {shown(after)}")
    return before, after, tokens


def _task(
    language: LanguageModel, corpus: Corpus, settings: LanguageSettings, context: FitContext
) -> tuple[Task, int]:
    """Return the task of a model on a corpus, and the tokens of an epoch."""
    named: dict[str, Any] = {"name": language.name, "seed": context.seed}
    if language.is_streamed:
        documents, held_out = (
            _token_ids(language.tokenizer, texts) for texts in (corpus.texts, corpus.held_out)
        )
        stream = StreamTask(
            documents, held_out, streams=settings.batch_size, epochs=settings.epochs,
            bptt=language.model.config.bptt, shuffle=not corpus.in_order, **named,
        )  # fmt: skip
        return stream, sum(map(len, documents))
    packed, held = _packed(language, corpus, context)
    if language.head_is_fresh:
        ordinary = packed.ids[packed.words != SPECIAL]
        counts = np.bincount(ordinary, minlength=len(language.tokenizer))
        initialize_output_bias(language.model, counts)
    if language.objective == "masked":
        task: Task = MaskedTask.of(language.tokenizer, packed, held, settings.masked_share, **named)
    else:
        task = CausalTask(packed, held, **named)
    return task, len(packed.ids)


def _token_ids(tokenizer: Any, texts: Sequence[str]) -> list[Any]:
    """Return all token ids of each text."""
    with quiet():
        return [
            np.asarray(ids, dtype=np.int32)
            for part in batches_of(len(texts), TEXTS_AT_A_TIME)
            for ids in tokenizer(texts[part])["input_ids"]
        ]


def _packed(
    language: LanguageModel, corpus: Corpus, context: FitContext
) -> tuple[PackedTexts, PackedTexts]:
    """Return the texts of a corpus and the held-out ones, as the model can read them."""
    model, causal = language.model.eval(), language.objective == "causal"
    packed, held = (
        pack(language.tokenizer, texts, language.max_length)
        for texts in (corpus.texts, corpus.held_out)
    )
    if not len(packed) or not len(held):
        raise ModelError("the tokenizer finds no word in the corpus, or none in its held-out texts")
    if causal and reads_ahead(model, packed):
        raise ModelError(
            f"{language.base} reads in both directions and cannot predict the next word; choose "
            "another encoder"
        )
    rows = len(packed)
    packed = kept_apart(model, packed, causal)
    apart = len(packed) == rows
    held = replace(held, first_position=packed.first_position) if apart else held.alone()
    how = "packed" if apart else "not packed, since the model would mix them"
    chunks = counted(len(packed.chunks) - 1, "chunk")
    context.say(
        f"{language.name}: {chunks} in {len(packed):,} rows of up to {language.max_length} tokens, "
        f"{how}"
    )
    return packed, held


def shown(figures: Mapping[str, float]) -> str:
    """Return figures on held-out text in words."""
    return (
        f"on held-out text: loss {figures['loss']:.3f}, accuracy {figures['accuracy']:.3f}, "
        f"perplexity {figures['perplexity']:,.1f}"
    )


def _summary(language: LanguageModel, settings: LanguageSettings, tokens: int) -> str:
    """Return one line on the model and its training."""
    parameters = sum(of.numel() for of in language.model.parameters())
    head = ", its head fresh" if language.head_is_fresh else ""
    return (
        f"{language.name}: {language.base or 'random weights'} ({type(language.model).__name__}"
        f"{head}), {parameters / 1e6:.1f} M parameters; {tokens:,} tokens, "
        f"{counted(settings.epochs, 'epoch')}, learning rate {language.learning_rate:.2g}, "
        f"{language.model.device.type}"
    )
