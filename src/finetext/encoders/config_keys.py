"""Keys of configurations that make transformers run or fetch code, refused before it sees them.

Architectures and classes of tokenizers are allowed by name. Other keys are refused by name, at any
depth: transformers sets every key of `config.json` as an attribute, whatever it means later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from finetext.core.errors import ModelError

_TEXT_TASKS: Final = (
    "SEQUENCE_CLASSIFICATION", "MASKED_LM", "CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM",
    "TOKEN_CLASSIFICATION", "QUESTION_ANSWERING", "MULTIPLE_CHOICE", "NEXT_SENTENCE_PREDICTION",
    "TEXT_ENCODING",
)  # fmt: skip
_FETCHING: Final = frozenset({"timm_wrapper", "timm_backbone", "rag", "musicgen", "encodec"})
"""Architectures that load another model by name, or packages beside transformers."""
HAVE_CONCAT_HEADS: Final = frozenset({"finetext-concat-pooled", "awd_lstm"})
OWN_MODEL_TYPES: Final = HAVE_CONCAT_HEADS | {"finetext-transformer"}
GLICLASS: Final = "GLiClass"
"""The architecture of the library `gliclass`, whose encoder is one of transformers."""
_LABELS: Final = frozenset({"id2label", "label2id"})
"""Their keys are labels, which may be any word."""
_ATTENTION: Final = (None, "eager", "sdpa", "")
_EXPERTS: Final = (None, "eager", "grouped_mm", "batched_mm", "")
_DTYPES: Final = (None, "auto", "float32", "float16", "bfloat16", "float64", "half", "float")
_MOST_LAYERS: Final = 1_000
_MOST_LABELS: Final = 1_000_000
_COUNTS: Final = (
    r"\w*(layers?|blocks?|depths?|stacks?|networks)|\w*_per_(block|stack|layer)|inner_group_num"
    r"|num_(hidden_groups|hash_functions)|attention_types"
)
"""Keys that say how many parts transformers builds one after the other."""
_DEEPEST: Final = 50
_WORD: Final = re.compile(r"[A-Za-z][\w-]{0,99}")
_TOKENIZER_CLASS: Final = re.compile(
    r"(?!Auto|Rag)[A-Za-z]\w*Tokenizer(Fast)?|TokenizersBackend|SentencePieceBackend|PythonBackend"
)
_PATHS: Final = re.compile(r"\w+_(file|path|dir|spm)|name_or_path")
_PATH: Final = re.compile(r"~|\.{0,2}[/\\]|[A-Za-z]:[/\\]|.*\.\.[/\\]", re.DOTALL)
_TOKENS: Final = re.compile(r"\w+_tokens?")
_UNKNOWN: Final = "is no architecture of text models in transformers"


def _is_number(value: Any) -> bool:
    plain = value if isinstance(value, list) else [value]
    return all(of is None or isinstance(of, int | float) for of in plain)


def _is_among(*allowed: Any) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        values = value.values() if isinstance(value, dict) else [value]
        return all(isinstance(of, str | None) and of in allowed for of in values)

    return check


def _is_empty(value: Any) -> bool:
    return value in (None, False, "", [], {})


def _is_architecture(value: Any) -> bool:
    return isinstance(value, str) and value in _architectures()


def _is_at_most(most: int) -> Callable[[Any], bool]:
    """Return a check that no number of a value, also of lists inside it, is larger."""

    def check(value: Any) -> bool:
        values = value if isinstance(value, list) else ()
        return all(map(check, values)) and not (isinstance(value, int | float) and value > most)

    return check


def _is_tokenizer(value: Any) -> bool:
    is_name = isinstance(value, str) and _TOKENIZER_CLASS.fullmatch(value) is not None
    return value is None or is_name


_RULES: Final[tuple[tuple[re.Pattern[str], Callable[[Any], bool], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), is_allowed, why)
    for pattern, is_allowed, why in (
        (r"_?auto_map|trust_remote_code|code_revision|custom_\w+", _is_empty, "names code to run"),
        (r"\w*attn_implementation_autoset", _is_number, "names a kernel to fetch and run"),
        (r"(?!\w*attn_implementation_autoset$)\w*attn_implementation\w*", _is_among(*_ATTENTION),
         "names a kernel to fetch and run"),
        (r"\w*experts_implementation\w*", _is_among(*_EXPERTS), "names a kernel to run"),
        (r"use_(hub_)?kernels?|kernel_(config|mapping)", _is_empty, "names kernels to run"),
        (r"(\w+_)?kernels?(_\w+)?", _is_number, "names a kernel to run"),
        (r"quantization_config|compression_config", _is_empty, "names a plugin to load"),
        (r"transformers_weights|base_model_name_or_path|\w+_files|backbone|init_inputs", _is_empty,
         "names other files to load"),
        (r"distributed_config|sub_configs\w*|__\w+", _is_empty, "changes how code runs"),
        (r"(torch_)?dtype", _is_among(*_DTYPES), "is no format of numbers"),
        (r"model_type", _is_architecture, _UNKNOWN),
        (_COUNTS, _is_at_most(_MOST_LAYERS), f"is more than {_MOST_LAYERS:,} layers or parts"),
        (r"_?num_labels", _is_at_most(_MOST_LABELS), f"is more than {_MOST_LABELS:,} labels"),
        (r"tokenizer_class", _is_tokenizer, "is no class of tokenizers in transformers"),
    )
)  # fmt: skip


def check_config(
    encoder: str, name: str, config: Any, is_model: bool = False, takes_gliclass: bool = False
) -> None:
    """Raise a ModelError that names a key of a configuration that is not allowed, if any."""
    if not isinstance(config, dict):
        raise ModelError(f"{encoder}: {name} is damaged: it is no JSON object; copy it there again")
    keys = list(_keys(encoder, name, config))
    is_gliclass = is_model and config.get("model_type") == GLICLASS
    if is_gliclass and not takes_gliclass:
        raise ModelError(
            f"{encoder} is a GLiClass model, which classifies by the names of labels alone: use it "
            "with finetext classify, zero_shot or the method zeroshot, and another encoder here"
        )
    if is_gliclass:
        keys.remove(("model_type", GLICLASS))
    for pattern, is_allowed, why in _RULES:
        for key, value in keys:
            if pattern.fullmatch(key) and not is_allowed(value):
                raise _refused(encoder, name, key, value, why)
    if is_gliclass:
        _check_inner(encoder, f"{name} (encoder_config)", config.get("encoder_config"))
        return
    if is_model and not config.get("model_type"):
        raise ModelError(f"{encoder}: {name} has no model_type, so its architecture is unknown")
    if is_model and config["model_type"] not in _text_architectures():
        raise _refused(encoder, name, "model_type", config["model_type"], _UNKNOWN)


def _check_inner(encoder: str, name: str, config: Any) -> None:
    """Raise a ModelError unless the encoder in a GLiClass model is one of transformers itself.

    The library would fetch the code of any other from the Hub and run it.
    """
    check_config(encoder, name, config, True)
    if config["model_type"] not in _of_text():
        raise _refused(encoder, name, "model_type", config["model_type"], _UNKNOWN)


def check_tokenizer_config(
    encoder: str, name: str, config: Any, only_tokens: bool = False
) -> dict[str, Any]:
    """Return the configuration of a tokenizer without the paths in it; see `check_config`.

    Published ones hold paths of the machine that they were saved on, which say nothing here, and
    transformers would open some. `only_tokens` leaves special tokens alone.
    """
    if isinstance(config, dict):
        config = {
            key: of
            for key, of in config.items()
            if _TOKENS.fullmatch(key) or not (only_tokens or _names_path(key, of))
        }
    check_config(encoder, name, config)
    for part, options in config.items():
        if str(part).endswith("_kwargs") and isinstance(options, dict):
            _check_word_options(encoder, name, part, options)
    return dict(config)


def _names_path(key: str, value: Any) -> bool:
    if key == "chat_template" or not isinstance(value, str):
        return False
    return (
        key in ("vocab", "merges") or _PATHS.fullmatch(key) is not None or bool(_PATH.match(value))
    )


def _check_word_options(encoder: str, name: str, part: str, options: dict[str, Any]) -> None:
    """Refuse options of the programs that split Japanese words, which load dictionaries by path."""
    for key, value in options.items():
        is_plain = value is None or isinstance(value, int | float) or _WORD.fullmatch(str(value))
        if "option" in key or _PATHS.fullmatch(key) or not is_plain:
            raise _refused(encoder, name, f"{part}.{key}", value, "names files to load")


def _refused(encoder: str, name: str, key: str, value: Any, why: str) -> ModelError:
    shown = repr(value)
    shown = shown if len(shown) <= 100 else f"{shown[:99]}…"
    return ModelError(
        f"{encoder}: {name} has {key} = {shown}, which {why}; finetext runs only what transformers "
        "itself holds: remove the key if you trust the weights without it, or choose another model"
    )


def _keys(encoder: str, name: str, config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every key at any depth with its value, but for labels."""
    waiting: list[tuple[Any, int]] = [(config, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ModelError(f"{encoder}: {name} is nested more than {_DEEPEST} deep")
        if isinstance(value, list):
            waiting.extend((of, depth + 1) for of in value if isinstance(of, list | dict))
        elif isinstance(value, dict):
            yield from ((str(key), of) for key, of in value.items())
            inner = (of for key, of in value.items() if key not in _LABELS)
            waiting.extend((of, depth + 1) for of in inner if isinstance(of, list | dict))


def _registered() -> frozenset[str]:
    """Return the architectures that this program, or finetext, registered with transformers."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return frozenset(getattr(CONFIG_MAPPING, "_extra_content", ())) | OWN_MODEL_TYPES


@cache
def _of_transformers() -> frozenset[str]:
    from transformers.models.auto import configuration_auto

    return frozenset(vars(configuration_auto)["CONFIG_MAPPING_NAMES"]) - _FETCHING


@cache
def _of_text() -> frozenset[str]:
    from transformers.models.auto import modeling_auto

    tables = (f"MODEL_FOR_{task}_MAPPING_NAMES" for task in _TEXT_TASKS)
    names = {name for table in tables for name in getattr(modeling_auto, table, ())}
    return frozenset(names) - _FETCHING


def _architectures() -> frozenset[str]:
    return _of_transformers() | _registered()


def _text_architectures() -> frozenset[str]:
    return _of_text() | _registered()
