"""The part that adapting and pretraining share: a model and a corpus in, an encoder folder out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np

from finetext.core.console import heard
from finetext.core.contracts import FitContext, Listener, batches_of
from finetext.core.display import ShownInNotebook
from finetext.core.environment import cache_folder
from finetext.core.errors import ModelError, RecipeError, RunError
from finetext.core.wording import counted
from finetext.encoders.language_models import (
    STREAMED,
    Objective,
    initialize_output_bias,
    save_language_model,
)
from finetext.encoders.load import quiet
from finetext.pretraining.corpus import Corpus, CorpusSettings, read_corpus
from finetext.pretraining.folder import (
    STATE,
    Origin,
    Workplace,
    held,
    is_finished,
    read_origin,
    workplace,
    write_corpus_hashes,
    write_origin,
)
from finetext.pretraining.objectives import CausalTask, MaskedTask, StreamTask
from finetext.pretraining.packing import (
    SPECIAL,
    TEXTS_AT_A_TIME,
    PackedTexts,
    kept_apart,
    pack,
    reads_ahead,
)
from finetext.storage.files import is_full
from finetext.storage.locks import check_folder
from finetext.storage.resume import CHECKPOINT, HOW_TO_RESUME, Attempts, check_same
from finetext.training.joining import join
from finetext.training.plan import AUTO, Hyperparameters, Stage, rows_per_step
from finetext.training.precision import choose_device
from finetext.training.record import check_installed, check_names
from finetext.training.task import Task
from finetext.training.tokens import encodable

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
    """A model in fp32, with its language-model head, that is about to be trained."""

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


@dataclass(frozen=True)
class Adapted(ShownInNotebook):
    """An encoder that was made: the folder that `--encoder` takes, and how it was made."""

    folder: Path
    origin: Origin


Making = Callable[[Corpus, Workplace, FitContext], LanguageModel]
"""Returns the model on the CPU, the same one each time; it may keep files in the workplace."""


def make_from(
    source: Any,
    read: CorpusSettings | None,
    make: Making,
    settings: LanguageSettings,
    context: FitContext,
    *,
    resume: bool,
    listener: Listener | None,
) -> Adapted:
    """Check what can be checked, read the corpus, and train in the folder of the checkpoints."""
    join()
    kept = context.checkpoints
    assert kept is not None
    if not kept.every_seconds > 0:
        raise RecipeError(f"checkpoint_seconds = {kept.every_seconds}: it must be above 0")
    check_folder(kept.folder, resume, held)
    check_names(context.trackers)
    check_installed(context.trackers)
    choose_device(context.device, settings.precision)
    with heard(listener) as hears:
        context = replace(
            context, cache=cache_folder(), progress=hears.progress, say=hears.say,
            find=hears.finding,
        )  # fmt: skip
        corpus = source
        if not isinstance(source, Corpus):
            corpus = read_corpus(source, read, context.seed)
            hears.say(corpus.description)
            for finding in corpus.findings:
                hears.finding(finding)
        hears.say(corpus.summary())
        try:
            return make_encoder(kept.folder, make, corpus, settings, context, resume)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped; the state of training is in {kept.folder}; {HOW_TO_RESUME}"
            ) from None
        except Exception as error:
            if not is_full(error):
                raise
            raise RunError(f"the disk is full: {error}\nMake room; {HOW_TO_RESUME}") from error


def make_encoder(
    out: Path,
    make: Making,
    corpus: Corpus,
    settings: LanguageSettings,
    context: FitContext,
    resume: bool = False,
) -> Adapted:
    """Train a language model and write its folder, whole or not at all; or resume or return it."""
    import torch

    asked = asked_of(settings, corpus, context.seed)
    if resume and is_finished(out):
        origin = read_origin(out)
        if origin is None:
            raise RunError(f"{out} has no record of how its encoder was made")
        was = _asked(origin.settings, origin.corpus, origin.seed)
        check_same(f"the encoder in {out}", was, asked)
        shutil.rmtree(out / STATE, ignore_errors=True)  # still there after a kill at the very end
        context.say(f"the encoder in {out} is finished already")
        return Adapted(out, origin)
    with workplace(out, resume, asked) as place:
        if context.checkpoints is not None:  # a checkpoint of another corpus is refused
            kept = replace(context.checkpoints, data=corpus.content_hash, keep=0)
            context = replace(context, checkpoints=kept)
        attempts = Attempts(place.state, context)
        try:
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                torch.manual_seed(context.seed)
                language = make(corpus, place, context)
                language.model.to(choose_device(context.device, settings.precision))
                hearing = replace(attempts.context(), log=out / "log.jsonl")
                learned = _learn(language, corpus, settings, place, hearing)
        except BaseException as error:
            attempts.keep()
            is_final = isinstance(error, Exception) and not is_full(error)
            if is_final and not (place.state / CHECKPOINT).is_dir():
                shutil.rmtree(place.state, ignore_errors=True)  # nothing to resume
            raise
        learned = replace(learned, seconds=attempts.seconds)
        return write_encoder(place, language, corpus, settings, learned)


@dataclass(frozen=True)
class Learned:
    """What a training did.

    Attributes:
        before: loss, accuracy and perplexity on held-out text before the first step.
        after: the same figures of the weights that are kept.
        tokens: tokens of an epoch.
        seconds: training time, evaluation included.
        batch_size: the batch size found for "auto"; None if it was given.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    tokens: int
    seconds: float
    batch_size: int | None = None


def write_encoder(
    place: Workplace,
    language: LanguageModel,
    corpus: Corpus,
    settings: LanguageSettings,
    learned: Learned,
) -> Adapted:
    """Write the folder of a trained language model with the record of how it was made."""
    origin = Origin(
        kind=language.kind,
        base=language.base,
        corpus=corpus.described() | {"tokens": learned.tokens},
        seconds=learned.seconds,
        before=learned.before,
        after=learned.after,
        settings=asdict(settings),  # type: ignore[call-overload]
        chosen={
            "learning_rate": language.learning_rate,
            "max_length": language.max_length,
            **({} if learned.batch_size is None else {"batch_size": learned.batch_size}),
        },
        seed=place.begun()["asked"]["seed"],
        versions={name: version(name) for name in PACKAGES},
        head_is_fresh=language.head_is_fresh,
    )
    with place.result() as folder:
        language.model.to("cpu")
        save_language_model(language.model, language.tokenizer, folder, language.base)
        write_corpus_hashes(folder, corpus.texts)
        write_origin(folder, origin)
    return Adapted(place.folder, origin)


def asked_of(settings: LanguageSettings, corpus: Corpus, seed: int) -> dict[str, Any]:
    """Return what determines an encoder made from a corpus, in the types of JSON."""
    return _asked(asdict(settings), corpus.described(), seed)  # type: ignore[call-overload]


def _asked(settings: Mapping[str, Any], corpus: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return what determines an encoder, in the types of JSON; precision may change."""
    known = {"seed": seed, "corpus": corpus["content_hash"], "in_order": corpus["in_order"]}
    asked = {name: of for name, of in settings.items() if name != "precision"} | known
    return dict(json.loads(json.dumps(asked)))


def _learn(
    language: LanguageModel,
    corpus: Corpus,
    settings: LanguageSettings,
    place: Workplace,
    context: FitContext,
) -> Learned:
    """Measure, train, and measure again; the seconds are left for the caller to set."""
    from finetext.training.loop import train_model

    model, name, rate = language.model, language.name, language.learning_rate
    job = job_of(language, corpus, settings, context)
    task, tokens = job.task, job.tokens
    parameters = sum(of.numel() for of in model.parameters())
    head = ", its head fresh" if language.head_is_fresh else ""
    context.say(
        f"{name}: {language.base or 'random weights'} ({type(model).__name__}{head}), "
        f"{parameters / 1e6:.1f} M parameters; {tokens:,} tokens, "
        f"{counted(settings.epochs, 'epoch')}, learning rate {rate:.2g}, {model.device.type}"
    )

    def tell(when: str, found: Mapping[str, float]) -> None:
        context.say(
            f"{name}: {when}, on held-out text: loss {found['loss']:.3f}, accuracy "
            f"{found['accuracy']:.3f}, perplexity {found['perplexity']:,.1f}"
        )

    before: dict[str, float] | None = place.begun()["facts"].get("before")
    if before is None:
        before = figures_of(task, model)
        place.remember("before", before)
    tell("before", before)
    train_model(model, task, job.settings, [Stage(settings.epochs, rate)], context)
    after = figures_of(task, model)
    tell("after", after)
    return Learned(before, after, tokens, 0.0, job.batch_size_found)


def figures_of(task: Task, model: Any) -> dict[str, float]:
    """Return loss, accuracy and perplexity on held-out text."""
    found = task.evaluate(model.eval())
    assert found is not None, "a corpus has held-out text"
    return {figure.removeprefix("validation "): of for figure, of in found.figures.items()}


@dataclass(frozen=True, eq=False)
class Job:
    """What to train: a task, the tokens of an epoch, and settings with a number as batch size."""

    task: Task
    tokens: int
    settings: LanguageSettings
    batch_size_found: int | None = None

    def with_batch_size(self, size: int) -> Job:
        """Return the job with the number that was found for "auto"."""
        settings: LanguageSettings = replace(self.settings, batch_size=size)  # type: ignore[type-var]
        task = self.task
        if isinstance(task, StreamTask):
            task = task.in_streams(size, settings.epochs)
        return Job(task, self.tokens, settings, size)


def job_of(
    language: LanguageModel, corpus: Corpus, settings: LanguageSettings, context: FitContext
) -> Job:
    """Return the task of a model on a corpus; for "auto" with the largest batch that fits."""
    from finetext.training.batch_size import with_batch_size

    task, tokens = _task_of(language, corpus, settings, context)
    job = Job(task, tokens, settings)
    if settings.batch_size != AUTO:
        return job
    found = with_batch_size(settings, language.model, task, context)
    return job.with_batch_size(rows_per_step(found))


def _task_of(
    language: LanguageModel, corpus: Corpus, settings: LanguageSettings, context: FitContext
) -> tuple[Task, int]:
    """Return the task of a model on a corpus, and the tokens of an epoch.

    For "auto" it is an epoch in as many streams as the text allows.
    """
    from finetext.training.batch_size import LARGEST

    named: dict[str, Any] = {"name": language.name, "seed": context.seed}
    config = language.model.config
    if config.model_type == STREAMED:
        with quiet():
            documents, others = (
                [
                    np.asarray(ids, dtype=np.int32)
                    for part in batches_of(len(texts), TEXTS_AT_A_TIME)
                    for ids in language.tokenizer(list(map(encodable, texts[part])))["input_ids"]
                ]
                for texts in (corpus.texts, corpus.held_out)
            )
        is_auto = settings.batch_size == AUTO
        streams = LARGEST if is_auto else rows_per_step(settings)
        stream = StreamTask(
            documents, others, streams=streams, epochs=1 if is_auto else settings.epochs,
            bptt=config.bptt, shuffle=not corpus.in_order, **named,
        )  # fmt: skip
        return stream, sum(map(len, documents))
    packed, held_out = _packed(language, corpus, context)
    if language.head_is_fresh:
        ordinary = packed.ids[packed.words != SPECIAL]
        counts = np.bincount(ordinary, minlength=len(language.tokenizer))
        initialize_output_bias(language.model, counts)
    if language.objective == "causal":
        return CausalTask(packed, held_out, **named), len(packed.ids)
    share = settings.masked_share
    return MaskedTask.of(language.tokenizer, packed, held_out, share, **named), len(packed.ids)


def _packed(
    language: LanguageModel, corpus: Corpus, context: FitContext
) -> tuple[PackedTexts, PackedTexts]:
    """Return the texts of a corpus and the held-out ones, as the model can read them."""
    model, causal = language.model.eval(), language.objective == "causal"
    packed, held_out = (
        pack(language.tokenizer, texts, language.max_length)
        for texts in (corpus.texts, corpus.held_out)
    )
    if not len(packed) or not len(held_out):
        raise ModelError("the tokenizer finds no word in the corpus, or none in its held-out texts")
    if causal and reads_ahead(model, packed):
        raise ModelError(
            f"{language.base} reads in both directions and cannot predict the next word; choose "
            "another encoder"
        )
    rows = len(packed)
    packed = kept_apart(model, packed, causal)
    if len(packed) == rows:
        how, held_out = "packed", replace(held_out, first_position=packed.first_position)
    else:
        how, held_out = "not packed, since the model would mix them", held_out.alone()
    context.say(
        f"{language.name}: {counted(len(packed.chunks) - 1, 'chunk')} in {len(packed):,} rows of "
        f"up to {language.max_length} tokens, {how}"
    )
    return packed, held_out
