"""Encoders and tokenizers from a folder or a Hub name, made fit for our purpose."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import LabelScheme
from finetext.encoders.auto import context_of, loading
from finetext.encoders.catalogue import resolve

TOKEN_TYPES: Final = "token_type_ids"
_TRIED: Final = "Which type?"
_LONGEST: Final = 512


def prepare_tokenizer(tokenizer: Any, model: Any) -> None:
    """Let a tokenizer give a classifier or a bare encoder what it can read; it is changed.

    Texts are padded on the right: a head that reads the first token, and positions counted from
    the left, as in GPT-2, would see padding on the left, so that a text would get other
    probabilities in a batch than alone. Only a head that reads the last place, such as that of
    XLNet, has padding on the left.

    Args:
        tokenizer: a transformers tokenizer with a padding token.
        model: what it is for, in evaluation mode.
    """
    reads_last = getattr(model.base_model.config, "summary_type", None) == "last"
    _settle(tokenizer, "padding_side", "left" if reads_last else "right")
    forgo_token_types(tokenizer, model)


def forgo_token_types(tokenizer: Any, model: Any) -> None:
    """Let a tokenizer give token types only to a model that has a use for them; it is changed.

    A model such as GPT-2 takes them to be words: with the type 0 everywhere it adds the embedding
    of the word 0 to each word, which is not what it was pretrained with. Where the tokenizer
    gives nothing but 0, as most do, the model must give the same without them.

    Args:
        tokenizer: a transformers tokenizer with a padding token.
        model: what it is for, in evaluation mode.
    """
    if TOKEN_TYPES in tokenizer.model_input_names and not _has_use(model.base_model, tokenizer):
        names = [name for name in tokenizer.model_input_names if name != TOKEN_TYPES]
        _settle(tokenizer, "model_input_names", names)


def _settle(tokenizer: Any, name: str, value: str | list[str]) -> None:
    """Set an attribute so that it is saved: transformers saves those that it was made with."""
    setattr(tokenizer, name, value)
    tokenizer.init_kwargs[name] = value


def _has_use(bare: Any, tokenizer: Any) -> bool:
    import torch

    from finetext.training.tokens import tokenize

    if TOKEN_TYPES not in inspect.signature(bare.forward).parameters:
        return False
    length = min(int(tokenizer.model_max_length), _LONGEST)
    batch = tokenize(tokenizer, [_TRIED], length).batch([0])
    if TOKEN_TYPES in batch:
        return True
    batch = {name: part.to(bare.device) for name, part in batch.items()}
    with torch.inference_mode():
        without = bare(**batch)[0]
        with_zeros = bare(**batch, **{TOKEN_TYPES: torch.zeros_like(batch["input_ids"])})[0]
    return torch.allclose(without, with_zeros, rtol=1e-4, atol=1e-4)


SHARE_THAT_MAY_BE_MISSING: Final = 0.1
ARE_CONCAT_POOLED: Final = frozenset({"awd_lstm", "finetext-concat-pooled"})
"""Model types whose classifier has concat pooling already."""


def load_tokenizer(encoder: str) -> Any:
    """The fast tokenizer of an encoder, with a padding token.

    A tokenizer without one pads with its end-of-text token, and one without either gets a new
    token `[PAD]`, for which the loaders below make room.

    Raises:
        ModelError: it cannot be loaded, or knows no word: transformers makes such a one of a folder
            whose tokenizer is missing.
    """
    from transformers import AutoTokenizer

    with loading(encoder), quiet():
        tokenizer = AutoTokenizer.from_pretrained(resolve(encoder).path, trust_remote_code=False)
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ModelError(
            f"the tokenizer of {encoder} knows no word: its vocabulary, such as tokenizer.json, is "
            "missing or damaged; copy it there again"
        )
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        else:
            tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def longest_input(encoder: str, max_length: int | None) -> int:
    """The number of tokens to cut texts to: what was asked for, at most the encoder's context.

    Raises:
        RecipeError: more tokens were asked for than the encoder can see, or fewer than 4.
    """
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
) -> Any:
    """An encoder with a fresh classification head of k outputs, in fp32.

    Args:
        encoder: alias, Hub name or folder.
        tokenizer: what `load_tokenizer` gave for it; it is made to suit the model.
        scheme: names and number of the outputs; kept in the model's configuration.
        dropout_multiplier: factor on every dropout probability of the configuration.
        head: "standard" is that of the architecture, "concat" is concat pooling (see
            `finetext.encoders.heads`), which an architecture that has it anyway keeps.

    Raises:
        ModelError: concat pooling is asked for on an encoder-decoder, or the weights do not fit.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    with loading(encoder), quiet():
        path = resolve(encoder).path
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        is_concat = head == "concat" and config.model_type not in ARE_CONCAT_POOLED
        if not is_concat:
            _name_outputs(config, scheme)
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
        _scale_dropout(config, dropout_multiplier)
        kind = AutoModel if is_concat else AutoModelForSequenceClassification
        model, report = kind.from_pretrained(
            path,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    _refuse_random(encoder, model.base_model, report)
    if is_concat:
        model = _with_concat_pooling(encoder, model, scheme, dropout_multiplier)
    _make_room(model, tokenizer)
    prepare_tokenizer(tokenizer, model)
    return model


def _with_concat_pooling(
    encoder: str, model: Any, scheme: LabelScheme, dropout_multiplier: float
) -> Any:
    """The bare model under a fresh head with concat pooling."""
    from finetext.encoders.heads import ConcatPooledConfig, ConcatPooledForSequenceClassification

    if model.config.is_encoder_decoder:
        raise ModelError(
            f'{encoder} has an encoder and a decoder; head = "concat" is for models that have one '
            "of them"
        )
    config = ConcatPooledConfig(encoder=model.config)
    config.head_dropout = min(config.head_dropout * dropout_multiplier, 1.0)
    _name_outputs(config, scheme)
    return ConcatPooledForSequenceClassification(config, model)


def _name_outputs(config: Any, scheme: LabelScheme) -> None:
    """Say in a configuration what the k outputs mean."""
    config.id2label = dict(enumerate(scheme.names))
    config.label2id = dict(scheme.index)
    config.num_labels = len(scheme)
    config.problem_type = problem_type(scheme)


def load_classifier(folder: str, scheme: LabelScheme) -> Any:
    """A model with its trained classification head, in fp32.

    Args:
        folder: where `save_pretrained` wrote it.
        scheme: names of the k outputs it must have.

    Raises:
        ModelError: weights are missing or of another shape, or the outputs are not k.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    with loading(folder), quiet():
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(f"the model in {folder} is damaged: it lacks the weights {missing}")
    if model.config.num_labels != len(scheme):
        raise ModelError(
            f"the model in {folder} is damaged: it has {model.config.num_labels} outputs for "
            f"{len(scheme)} labels"
        )
    return model


def load_encoder(encoder: str, tokenizer: Any) -> Any:
    """The bare encoder in fp32, in evaluation mode, without a classification head.

    Weights that the checkpoint lacks, as often those of a pooling layer, are the same each time.

    Args:
        encoder: alias, Hub name or folder.
        tokenizer: what `load_tokenizer` gave for it; it is made to suit the model.
    """
    import torch
    from transformers import AutoModel

    with loading(encoder), quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, report = AutoModel.from_pretrained(
            resolve(encoder).path,
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
        )
    _refuse_random(encoder, model, report)
    _make_room(model, tokenizer)
    prepare_tokenizer(tokenizer, model.eval())
    return model


def problem_type(scheme: LabelScheme) -> str:
    """The name transformers has for one label or several."""
    return "multi_label_classification" if scheme.multilabel else "single_label_classification"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing bars and reports on what it loads."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _refuse_random(encoder: str, base: Any, report: Any) -> None:
    """Refuse a checkpoint whose weights are not those of the architecture it names.

    A head or a pooling layer may be fresh, but not a tenth of the encoder.

    Raises:
        ModelError: so many weights would be random.
    """
    own = {name for name, _ in base.named_parameters() if "pooler" not in name}
    prefix = f"{base.base_model_prefix}."
    absent = {str(key).removeprefix(prefix) for key in report["missing_keys"]} & own
    if len(absent) > SHARE_THAT_MAY_BE_MISSING * len(own):
        example = sorted(absent)[0]
        raise ModelError(
            f"the weights of {encoder} do not fit its configuration: {len(absent)} of {len(own)} "
            f"are missing, such as {example}; training would start from random weights"
        )


def _make_room(model: Any, tokenizer: Any) -> None:
    """Give tokens that were added to the tokenizer an embedding, of zeros."""
    import torch

    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        with torch.no_grad():
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            model.get_input_embeddings().weight[known:] = 0


def restore_dropout(model: Any, encoder: str) -> None:
    """Put the dropout probabilities of the encoder back into the configuration that is saved."""
    from transformers import AutoConfig

    from finetext.encoders.heads import ConcatPooledConfig

    original = AutoConfig.from_pretrained(resolve(encoder).path, trust_remote_code=False)
    kinds = isinstance(model.config, ConcatPooledConfig), isinstance(original, ConcatPooledConfig)
    if kinds == (True, False):
        original = ConcatPooledConfig(encoder=original)
    for config, of_original in zip(_parts(model.config), _parts(original), strict=True):
        for name, value in _dropouts(of_original).items():
            setattr(config, name, value)


def _scale_dropout(config: Any, multiplier: float) -> None:
    for part in _parts(config):
        for name, value in _dropouts(part).items():
            setattr(part, name, min(value * multiplier, 1.0))


def _parts(config: Any) -> list[Any]:
    """A configuration and those that it holds."""
    inner = (getattr(config, name) for name in config.sub_configs)
    return [config, *(part for part in inner if part is not None)]


def _dropouts(config: Any) -> dict[str, float]:
    """The dropout probabilities of a configuration by name."""
    return {
        name: value
        for name, value in vars(config).items()
        if isinstance(value, float) and ("dropout" in name or name.endswith(("_pdrop", "_drop")))
    }
