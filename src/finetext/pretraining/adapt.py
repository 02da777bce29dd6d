"""`adapt`: an encoder learns language from unlabeled text of the domain.

Gururangan et al. 2020, "Don't Stop Pretraining: Adapt Language Models to Domains and Tasks".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from finetext.core.budget import within_memory
from finetext.core.contracts import Checkpoints, FitContext, Listener
from finetext.core.environment import absolute
from finetext.core.settings import (
    Count,
    NotNegative,
    Positive,
    Precision,
    ProperShare,
    Share,
    Tokens,
    made,
)
from finetext.encoders.catalogue import is_alias
from finetext.encoders.language_models import STREAMED, load_for_language_model, objective_of
from finetext.encoders.load import load_tokenizer, longest_input
from finetext.pretraining.corpus import Corpus, CorpusSettings
from finetext.pretraining.folder import Workplace
from finetext.pretraining.learning import Adapted, LanguageModel, make_encoder, make_from
from finetext.training.plan import BatchSize, ScheduleName, learning_rate_for

__all__ = ["Adaptation", "Adapted", "adapt", "adapt_to"]

LONGEST_ROW: Final = 512
USUAL_RATE: Final = 5e-5
"""The highest learning rate for a hidden size of 384: higher ones learn the language better and
classify worse afterwards (benchmarks/LOG.md)."""
RATE_OF_STREAMS: Final = 2e-3


@dataclass(frozen=True)
class Adaptation:
    """How an encoder is adapted.

    Attributes:
        encoder: alias, Hub name or folder of the encoder to start from, "minilm" by default.
        epochs: passes over the corpus, 1 by default.
        batch_size: rows per step, 16 by default; the number of streams of an AWD-LSTM. "auto"
            takes the largest that fits into memory, as in `Finetune`.
        learning_rate: highest learning rate; None (the default) is 5e-5 for a hidden size of 384,
            decreases in proportion for wider encoders, and is 2e-3 for AWD-LSTM.
        max_length: tokens of a row; None (the default) is the encoder's context, 512 at most.
        masked_share: share of the tokens to predict, above 0 and below 1; 0.15 by default.
        schedule: "linear" (the default), "one-cycle" or "slanted-triangular".
        warmup_share: share of the steps; None (the default) is that of the schedule.
        discriminative: learning rate of a layer group over that of the one above, 1.0 by default.
        weight_decay: decoupled decay of the matrices, 0.01 by default.
        largest_gradient: norm to which gradients are clipped, 1.0 by default.
        dropout_multiplier: factor on every dropout probability of the encoder; None (the default)
            is 0, since one pass over much text hardly overfits, and 1 for AWD-LSTM.
        evaluate_every: steps between evaluations; None (the default) evaluates after each epoch.
        patience: evaluations without improvement after which training stops; by default it never
            stops early. The weights of the best evaluation are kept.
        precision: "fp32", "bf16", "fp16" or "auto" (the default); see `Finetune`.
    """

    encoder: str = "minilm"
    epochs: Count = 1
    batch_size: BatchSize = 16
    learning_rate: Positive | None = None
    max_length: Tokens | None = None
    masked_share: ProperShare = 0.15
    schedule: ScheduleName = "linear"
    warmup_share: Share | None = None
    discriminative: Positive = 1.0
    weight_decay: NotNegative = 0.01
    largest_gradient: Positive = 1.0
    dropout_multiplier: NotNegative | None = None
    evaluate_every: Count | None = None
    patience: Count | None = None
    precision: Precision = "auto"

    @property
    def head_rate(self) -> None:
        """The head learns as the top layer does."""


@within_memory
def adapt(
    corpus: Any,
    out: str | Path,
    settings: Adaptation | None = None,
    *,
    read: CorpusSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    track: tuple[str, ...] = (),
    checkpoint_seconds: float = 60.0,
    listener: Listener | None = None,
) -> Adapted:
    """Train an encoder on unlabeled text and save it as an encoder folder.

    Masked language modeling of whole words, or the next token for models that read from left to
    right. Loss, accuracy and perplexity are measured on held-out text before, during and after.

    Args:
        corpus: whatever `finetext.read` takes, labels ignored; lines of text; a list of texts; a
            run folder; a tuple of several of these by path; or a `Corpus`. Test rows are left
            out; see `finetext.pretraining.corpus.read_corpus`.
        out: the encoder folder, which must not exist or be empty.
        settings: the encoder to start from, and the hyperparameters.
        read: how to read the corpus, and what to leave out of it.
        seed: seed of every random choice, 0 by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        resume: resume what was stopped or killed in `out`; the result is that of a training that
            was never stopped. A finished encoder with the same settings is returned as it is.
        track: trackers that receive the scalars of training, such as "tensorboard".
        checkpoint_seconds: seconds between two checkpoints for `resume`, 60 by default.
        listener: receives progress; by default it is shown on a terminal or in a notebook.

    Raises:
        FinetextError: the corpus, the folder or a setting cannot be used, or training failed.
        KeyboardInterrupt: it was stopped; the message says how to resume.
    """
    settings = checked(settings or Adaptation())
    checkpoints = Checkpoints(Path(out), every_seconds=checkpoint_seconds)
    context = FitContext(seed, device, checkpoints=checkpoints, trackers=track)
    make = partial(starting_model, settings)
    return make_from(corpus, read, make, settings, context, resume=resume, listener=listener)


def adapt_to(
    corpus: Corpus, out: Path, settings: Adaptation, context: FitContext, resume: bool = False
) -> Adapted:
    """Adapt an encoder to a corpus that was read; see `adapt`."""
    settings = checked(settings)
    return make_encoder(out, partial(starting_model, settings), corpus, settings, context, resume)


def checked(settings: Adaptation) -> Adaptation:
    """Return the settings with types and ranges checked, and the path of an encoder folder."""
    encoder = settings.encoder if is_alias(settings.encoder) else absolute(settings.encoder)
    settings = made("adapt", Adaptation, asdict(settings) | {"encoder": encoder})
    objective_of(settings.encoder)
    longest_input(settings.encoder, settings.max_length)
    return settings


def starting_model(
    settings: Adaptation, corpus: Corpus, place: Workplace, context: FitContext
) -> LanguageModel:
    """Return the model to start from."""
    from transformers import AutoConfig

    from finetext.encoders.auto import loading

    encoder = settings.encoder
    with loading(encoder) as path:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    is_streamed = config.model_type == STREAMED
    dropout = settings.dropout_multiplier
    tokenizer = load_tokenizer(encoder)
    model, is_fresh = load_for_language_model(
        encoder, tokenizer, float(is_streamed) if dropout is None else dropout
    )
    width = model.config.hidden_size
    rate = RATE_OF_STREAMS if is_streamed else learning_rate_for(USUAL_RATE, width)
    length = longest_input(encoder, settings.max_length)
    return LanguageModel(
        kind="adapted",
        base=encoder,
        model=model,
        tokenizer=tokenizer,
        objective=objective_of(encoder),
        max_length=length if settings.max_length else min(length, LONGEST_ROW),
        learning_rate=settings.learning_rate or rate,
        head_is_fresh=is_fresh,
    )
