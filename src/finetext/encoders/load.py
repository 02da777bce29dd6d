"""Models and tokenizers from a folder or a Hub name, in fp32 and prepared for classification."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import LabelScheme
from finetext.encoders.auto import context_of, loading
from finetext.encoders.catalogue import resolve
from finetext.encoders.config_keys import HAVE_CONCAT_HEADS
from finetext.encoders.kept_heads import has_task_head, reorder, why_new, with_new_head
from finetext.encoders.vocabulary import check_files, extend_embedding, unused_rows
from finetext.storage.received import keep_private
from finetext.training.tokens import tokenize
from finetext.training.truncation import Truncation, set_saved, set_truncation

TOKEN_TYPES: Final = "token_type_ids"
MOST_LARGER: Final = 16
"""How many times the size of its weights a model may need; those in 4 bits need 8 times as much."""
MOST_MISSING: Final = 0.1
"""Share of the weights of an encoder that a checkpoint may lack."""


def load_tokenizer(
    encoder: str, truncation: Truncation | None = None, takes_gliclass: bool = False
) -> Any:
    """Return the tokenizer of an encoder, with a padding token; it truncates as before or so."""
    with loading(encoder, takes_gliclass=takes_gliclass) as path, quiet():
        tokenizer = read_tokenizer(encoder, path)
    if truncation is not None:
        set_truncation(tokenizer, truncation)
    return tokenizer


def read_tokenizer(encoder: str, path: str) -> Any:
    """Return the tokenizer in the private folder of an encoder, with a padding token."""
    from transformers import AutoTokenizer

    check_files(encoder, path)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    tokenizer.name_or_path = ""  # the folder is private, and gone soon
    if not tokenizer.is_fast:
        keep_private(Path(path), tokenizer)  # copies of it read their vocabulary again
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ModelError(
            f"the tokenizer of {encoder} has no vocabulary: a file such as tokenizer.json is "
            "missing or damaged; copy it there again"
        )
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        else:
            tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def longest_input(encoder: str, max_length: int | None) -> int:
    """Return the number of tokens to truncate texts to: `max_length`, or the encoder's context."""
    context = context_of(resolve(encoder).path)
    if max_length is None:
        return context
    if not 4 <= max_length <= context:
        raise RecipeError(
            f"max_length is {max_length}, but {encoder} takes from 4 to {context} tokens"
        )
    return max_length


def load_for_classification(
    encoder: str,
    tokenizer: Any,
    scheme: LabelScheme,
    dropout_multiplier: float,
    head: Literal["standard", "concat"] = "standard",
    say: Callable[[str], None] = lambda line: None,
) -> Any:
    """Return an encoder with a classification head for the labels of a scheme.

    The head is new, drawn from torch's generator, unless the folder has one for the same labels,
    in any order, and of the same kind: then it is kept, its outputs in the order of the scheme
    (see `finetext.encoders.kept_heads`). `say` is told what became of the head of a folder.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    with loading(encoder) as path, quiet():
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    was = copy.deepcopy(config)
    is_concat = head == "concat" and config.model_type not in HAVE_CONCAT_HEADS
    if not is_concat:
        _set_labels(config, scheme)
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    scale_dropout(config, dropout_multiplier)
    generator = torch.random.get_rng_state()
    model, report = load_weights(
        AutoModel if is_concat else AutoModelForSequenceClassification,
        encoder, config=config, ignore_mismatched_sizes=True,
    )  # fmt: skip
    refuse_random_weights(encoder, model.base_model, report)
    if is_concat:
        model = _concat_pooled(encoder, model, scheme, dropout_multiplier)
    extend_embedding(encoder, model, tokenizer)
    prepare_tokenizer(tokenizer, model)
    if note := unused_rows(encoder, model, tokenizer):
        say(note)
    if not has_task_head(was):
        return model
    inputs = tokenize(tokenizer, ["Which layer is the last?"], 16).batch([0])
    reason = 'head = "concat" needs a new one' if is_concat else why_new(was, scheme, model, report)
    if reason is None and not reorder(model, was, scheme, inputs):
        reason = "its outputs cannot be put in the order of these labels"
    if reason is None:
        say(f"{encoder} has a classification head for the same labels, which is kept")
        return model
    say(f"the head of {encoder} is not used, training starts with a new one: {reason}")
    if is_concat:
        return model
    torch.random.set_rng_state(generator)
    with quiet():
        return with_new_head(model, report)


def _concat_pooled(encoder: str, bare: Any, scheme: LabelScheme, dropout_multiplier: float) -> Any:
    """A bare encoder with concat pooling and a new head."""
    from finetext.encoders.heads import ConcatPooledConfig, ConcatPooledForSequenceClassification

    if bare.config.is_encoder_decoder:
        raise ModelError(
            f'{encoder} has an encoder and a decoder; head = "concat" is for models with only '
            "one of them"
        )
    config = ConcatPooledConfig(encoder=bare.config)
    config.head_dropout = min(config.head_dropout * dropout_multiplier, 1.0)
    _set_labels(config, scheme)
    return ConcatPooledForSequenceClassification(config, bare)


def _set_labels(config: Any, scheme: LabelScheme) -> None:
    config.id2label = dict(enumerate(scheme.names))
    config.label2id = dict(scheme.index)
    config.num_labels = len(scheme)
    config.problem_type = problem_type(scheme)


def problem_type(scheme: LabelScheme) -> str:
    """Return the name that transformers has for one label or several."""
    return "multi_label_classification" if scheme.multilabel else "single_label_classification"


def load_classifier(folder: str, scheme: LabelScheme) -> Any:
    """Return a model with its trained classification head from a folder."""
    from transformers import AutoModelForSequenceClassification

    model, report = load_weights(AutoModelForSequenceClassification, folder)
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(f"the model in {folder} is damaged: it lacks the weights {missing}")
    if model.config.num_labels != len(scheme):
        raise ModelError(
            f"the model in {folder} is damaged: it has {model.config.num_labels} outputs for "
            f"{len(scheme)} labels"
        )
    return model


def load_encoder(encoder: str, tokenizer: Any, dropout_multiplier: float = 1.0) -> Any:
    """Return the bare encoder in evaluation mode, without a classification head."""
    import torch
    from transformers import AutoConfig, AutoModel

    with loading(encoder) as path, quiet():
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    scale_dropout(config, dropout_multiplier)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, report = load_weights(AutoModel, encoder, config=config)
    refuse_random_weights(encoder, model, report)
    extend_embedding(encoder, model, tokenizer)
    prepare_tokenizer(tokenizer, model.eval())
    return model


def load_weights(auto_class: Any, encoder: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a model in fp32 and transformers' report on missing and unexpected weights."""
    import torch
    from transformers import AutoConfig

    def build() -> Any:
        config = options.get("config")
        if config is None:
            config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        return auto_class.from_config(copy.deepcopy(config), trust_remote_code=False)

    with loading(encoder, with_weights=True) as path, quiet():
        check_memory(encoder, Path(path), build)
        model, report = auto_class.from_pretrained(
            path, dtype=torch.float32, trust_remote_code=False, use_safetensors=True,
            output_loading_info=True, **options,
        )  # fmt: skip
    model.config.name_or_path = model.name_or_path = ""  # the folder is private, and gone soon
    return model, report


def check_memory(encoder: str, folder: Path, build: Callable[[], Any]) -> None:
    """Raise a ModelError if the model that is built is far larger than the weights in a folder."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = build()
    wanted = sum(of.numel() * 4 for of in (*model.parameters(), *model.buffers()))
    there = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if wanted > MOST_LARGER * there + (1 << 30):
        raise ModelError(
            f"{encoder}: its configuration needs {wanted / 2**30:,.0f} GiB, and its weights have "
            f"{there / 2**20:,.0f} MiB: they belong to different models; copy config.json here "
            "again"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing progress bars and reports on what it loads."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def refuse_random_weights(encoder: str, base: Any, report: dict[str, Any]) -> None:
    """Raise a ModelError if a checkpoint lacks more than a tenth of its encoder's weights."""
    own = {name for name, _ in base.named_parameters() if "pooler" not in name}
    prefix = f"{base.base_model_prefix}."
    absent = {str(key).removeprefix(prefix) for key in report["missing_keys"]} & own
    if len(absent) > MOST_MISSING * len(own):
        raise ModelError(
            f"the weights of {encoder} do not fit its configuration: {len(absent)} of {len(own)} "
            f"are missing, such as {min(absent)}; training would start from random weights"
        )


def prepare_tokenizer(tokenizer: Any, model: Any) -> None:
    """Set the padding side and the inputs of a tokenizer to suit a model in evaluation mode."""
    # On the left, a head that reads the first token, and positions counted from the left, as in
    # GPT-2, would see the padding. Only heads that read the last position, as in XLNet, need it.
    reads_last = getattr(model.base_model.config, "summary_type", None) == "last"
    set_saved(tokenizer, "padding_side", "left" if reads_last else "right")
    if model.config.is_encoder_decoder:  # BART reads the state at </s>, and each text has just one
        set_saved(tokenizer, "split_special_tokens", True)
    drop_unused_token_types(tokenizer, model)


def drop_unused_token_types(tokenizer: Any, model: Any) -> None:
    """Keep token type ids only for a model in evaluation mode that uses them.

    GPT-2 treats them as tokens: type 0 would add the embedding of token 0 to each token.
    """
    if TOKEN_TYPES in tokenizer.model_input_names and not _uses_types(model.base_model, tokenizer):
        names = [name for name in tokenizer.model_input_names if name != TOKEN_TYPES]
        set_saved(tokenizer, "model_input_names", names)


def _uses_types(bare: Any, tokenizer: Any) -> bool:
    """Whether types other than 0 occur, or the output is the same with and without zeros."""
    import torch

    if TOKEN_TYPES not in inspect.signature(bare.forward).parameters:
        return False
    length = min(int(tokenizer.model_max_length), 512)
    batch = tokenize(tokenizer, ["Which type?"], length).batch([0])
    if TOKEN_TYPES in batch:
        return True
    batch = {name: part.to(bare.device) for name, part in batch.items()}
    with torch.inference_mode():
        without = bare(**batch)[0]
        with_zeros = bare(**batch, **{TOKEN_TYPES: torch.zeros_like(batch["input_ids"])})[0]
    return torch.allclose(without, with_zeros, rtol=1e-4, atol=1e-4)


def restore_dropout(model: Any, encoder: str) -> None:
    """Put the dropout probabilities of the encoder back into the model's configuration."""
    from transformers import AutoConfig

    from finetext.encoders.heads import ConcatPooledConfig

    with loading(encoder) as path:
        original = AutoConfig.from_pretrained(path, trust_remote_code=False)
    was_wrapped = isinstance(original, ConcatPooledConfig)
    if isinstance(model.config, ConcatPooledConfig) and not was_wrapped:
        original = ConcatPooledConfig(encoder=original)
    copy_dropouts(original, model.config)


def copy_dropouts(source: Any, config: Any) -> None:
    """Set the dropout probabilities of a configuration to those of another of its kind."""
    for part, before in zip(_nested(config), _nested(source), strict=True):
        for name, value in dropouts(before).items():
            setattr(part, name, value)


def scale_dropout(config: Any, multiplier: float) -> None:
    """Multiply every dropout probability of a configuration; at most 1."""
    for part in _nested(config):
        for name, value in dropouts(part).items():
            setattr(part, name, min(value * multiplier, 1.0))


def _nested(config: Any) -> list[Any]:
    """A configuration and those that it contains."""
    inner = (getattr(config, name) for name in config.sub_configs)
    return [config, *(part for part in inner if part is not None)]


def dropouts(config: Any) -> dict[str, float]:
    """Return the dropout probabilities of a configuration by name."""
    return {
        name: value
        for name, value in vars(config).items()
        if isinstance(value, float) and ("dropout" in name or name.endswith(("_pdrop", "_drop")))
    }
