"""`pretrain`: a tokenizer and an encoder, trained from scratch on unlabeled text."""

from __future__ import annotations

import copy
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from finetext.core.budget import within_memory
from finetext.core.contracts import Checkpoints, FitContext, Listener
from finetext.core.errors import FinetextError, RecipeError
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
from finetext.encoders.auto import loading
from finetext.encoders.catalogue import Architecture, Preset, preset
from finetext.encoders.load import dropouts, load_tokenizer, quiet, scale_dropout
from finetext.encoders.scratch import (
    BYTES,
    SPECIAL,
    TokenizerKind,
    check_sizes,
    configuration,
    random_model,
    train_tokenizer,
)
from finetext.pretraining.corpus import Corpus, CorpusSettings
from finetext.pretraining.folder import Workplace
from finetext.pretraining.learning import Adapted, LanguageModel, make_from
from finetext.storage.files import replaced_folder
from finetext.training.plan import BatchSize, ScheduleName, learning_rate_for

AWD_LSTM: Final = "awd-lstm"
USUAL_RATE: Final = 5e-4
"""The highest learning rate for a width of 384."""
RATE_OF_STREAMS: Final = 3e-3
BLANK: Final = "blank"


@dataclass(frozen=True)
class Pretraining:
    """How an encoder is trained from random weights.

    Fields that are not listed are those of `Adaptation`, with the same defaults. Sizes that are
    None (the default) are those of the preset.

    Attributes:
        preset: "tiny" by default: 6 layers of 8 heads, 128 wide, context 128, up to 25,000 tokens;
            see `finetext.encoders.catalogue`.
        architecture: "bert", "roberta", "distilbert", "electra", "modernbert" or "awd-lstm".
        width: size of the embeddings, and of the states that a classifier reads.
        feed_forward: size of the inner layer of the feed-forward blocks, or of the states of all
            layers but the last of AWD-LSTM.
        context: longest input in tokens.
        tokenizer: "wordpiece", "bpe" or "unigram"; None (the default) is WordPiece. AWD-LSTM has
            whole words.
        pieces: most entries of the vocabulary; at least the special tokens and the characters of
            the corpus, 261 for "bpe", and 8 words for AWD-LSTM.
        lower_case: whether the tokenizer ignores case, True by default. The words of AWD-LSTM
            always are in lower case, with markers for capitals.
        epochs: passes over the corpus, 10 by default.
        batch_size: rows per step, 32 by default; the number of streams of an AWD-LSTM. "auto"
            takes the largest that fits into memory, as in `Finetune`.
        learning_rate: highest learning rate; None (the default) is 1e-3 for widths up to 192,
            decreases in proportion for wider encoders, and is 3e-3 for AWD-LSTM.
        max_length: tokens of a row; None (the default) is the context.
        dropout_multiplier: factor on every dropout probability of the architecture; None (the
            default) is 0, as masks differ in each epoch, and 1 for AWD-LSTM. The saved encoder has
            the whole ones.
    """

    preset: str = "tiny"
    architecture: Architecture | None = None
    layers: Count | None = None
    heads: Count | None = None
    width: Count | None = None
    feed_forward: Count | None = None
    context: Tokens | None = None
    tokenizer: TokenizerKind | None = None
    pieces: Count | None = None
    lower_case: bool = True
    epochs: Count = 10
    batch_size: BatchSize = 32
    learning_rate: Positive | None = None
    max_length: Tokens | None = None
    masked_share: ProperShare = 0.15
    schedule: ScheduleName = "linear"
    warmup_share: Share | None = None
    weight_decay: NotNegative = 0.01
    largest_gradient: Positive = 1.0
    dropout_multiplier: NotNegative | None = None
    evaluate_every: Count | None = None
    patience: Count | None = None
    precision: Precision = "auto"

    @property
    def discriminative(self) -> None:
        """All layers have the same learning rate."""

    @property
    def head_rate(self) -> None:
        """All layers have the same learning rate."""

    @property
    def sizes(self) -> Preset:
        """The preset with its changes; raises a RecipeError if they do not go together."""
        names = ("architecture", "layers", "heads", "width", "feed_forward", "context", "pieces")
        changed = {name: of for name in names if (of := getattr(self, name)) is not None}
        sizes = replace(preset(self.preset), **changed)
        check_sizes(sizes)
        return sizes


@within_memory
def pretrain(
    corpus: Any,
    out: str | Path,
    settings: Pretraining | None = None,
    *,
    read: CorpusSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    track: tuple[str, ...] = (),
    checkpoint_seconds: float = 60.0,
    listener: Listener | None = None,
) -> Adapted:
    """Train a tokenizer on unlabeled text, then an encoder from random weights.

    Masked language modeling of whole words (Devlin et al. 2019), or the next word for AWD-LSTM.
    Loss, accuracy and perplexity are measured on held-out text before, during and after.
    `finetext.train` measures the gain: it compares with the same encoder with random weights.

    Arguments, result and errors are those of `finetext.adapt`; `settings` are the sizes of the
    encoder and the hyperparameters.
    """
    settings = checked(settings or Pretraining())
    checkpoints = Checkpoints(Path(out), every_seconds=checkpoint_seconds)
    context = FitContext(seed, device, checkpoints=checkpoints, trackers=track)
    make = partial(starting_model, settings)
    return make_from(corpus, read, make, settings, context, resume=resume, listener=listener)


def checked(settings: Pretraining) -> Pretraining:
    """Return the settings with types and ranges checked; raises a RecipeError."""
    settings = made("pretrain", Pretraining, asdict(settings))
    sizes = settings.sizes
    has_words = sizes.architecture == AWD_LSTM
    if has_words:
        from finetext.encoders.word_rules import MARKERS

        for name, why in (("tokenizer", "reads whole words"), ("heads", "has no attention")):
            if getattr(settings, name) is not None:
                raise RecipeError(f"pretrain: AWD-LSTM {why}; leave the {name} out")
        least, of_them = len(MARKERS) + 1, f"{len(MARKERS)} are markers"
    else:
        is_bytes = settings.tokenizer == "bpe"
        least = len(SPECIAL) + (BYTES if is_bytes else 1)
        of_them = f"{len(SPECIAL)} are special tokens{f', {BYTES} bytes' if is_bytes else ''}"
    if sizes.pieces < least:
        raise RecipeError(f"pretrain: pieces = {sizes.pieces}: ask for {least} or more; {of_them}")
    if settings.max_length is not None and settings.max_length > sizes.context:
        raise RecipeError(
            f"pretrain: max_length is {settings.max_length}, but the context {sizes.context}"
        )
    return settings


def usual_rate(sizes: Preset) -> float:
    """Return the learning rate for random weights, in inverse proportion to the width."""
    if sizes.architecture == AWD_LSTM:
        return RATE_OF_STREAMS
    return learning_rate_for(USUAL_RATE, sizes.width)


def starting_model(
    settings: Pretraining, corpus: Corpus, place: Workplace, context: FitContext
) -> LanguageModel:
    """Return the model with random weights, and its tokenizer, trained once."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    sizes = settings.sizes
    blank = place.state / BLANK
    if not blank.is_dir():
        try:
            tokenizer = train_tokenizer(
                sizes, corpus.texts, context.say, settings.tokenizer or "wordpiece",
                settings.lower_case,
            )  # fmt: skip
        except FinetextError:  # no step is done yet, so the folder is free again
            shutil.rmtree(place.state, ignore_errors=True)
            raise
        with quiet(), replaced_folder(blank) as unfinished:
            configuration(sizes, tokenizer).save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
    tokenizer = load_tokenizer(str(blank))  # first, since it registers AWD-LSTM
    with loading(str(blank)) as path:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    is_streamed = sizes.architecture == AWD_LSTM
    kind = AutoModelForCausalLM if is_streamed else AutoModelForMaskedLM
    dropout = settings.dropout_multiplier
    multiplier = float(is_streamed) if dropout is None else dropout
    return LanguageModel(
        kind="pretrained",
        base="",
        model=_with_dropout(config, kind, multiplier, context.seed),
        tokenizer=tokenizer,
        objective="causal" if is_streamed else "masked",
        max_length=settings.max_length or sizes.context,
        learning_rate=settings.learning_rate or usual_rate(sizes),
    )


def _with_dropout(config: Any, kind: Any, multiplier: float, seed: int) -> Any:
    """Return a model with random weights and multiplied dropouts, but the given configuration."""
    scaled = copy.deepcopy(config)  # modules take their dropout from it when they are made
    scale_dropout(scaled, multiplier)
    model = random_model(scaled, kind, seed)
    for name, value in dropouts(config).items():
        setattr(model.config, name, value)
    return model
