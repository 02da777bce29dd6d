"""GLiClass models: loading, and the tokens and logits of texts that are read with all labels.

Before or after each text goes `<<LABEL>>first<<LABEL>>second<<SEP>>`, and one pass gives a logit
for each label (Stepanov et al. 2025, "GLiClass: Generalist Lightweight Model for Sequence
Classification Tasks"). The library `gliclass` has the architecture. Unlike its pipeline, this lets
a long text lose its own end, never the labels, keeps texts from the padding of others, which the
pooling of some models reads, and takes no marker from a text.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.budget import native
from finetext.core.contracts import batches_of
from finetext.core.errors import MissingExtraError, ModelError, RecipeError
from finetext.encoders.auto import context_from, loading
from finetext.encoders.catalogue import resolve
from finetext.encoders.config_keys import GLICLASS
from finetext.encoders.encoder_files import CONFIG
from finetext.encoders.load import check_memory, quiet, read_tokenizer
from finetext.encoders.vocabulary import check_vocabulary
from finetext.training.batches import in_parts, positions_a_batch
from finetext.training.tokens import TEXTS_AT_A_TIME, Row, TokenTable, arrays_of, encodable
from finetext.training.truncation import special_ends

LABEL: Final = "<<LABEL>>"
SEPARATOR: Final = "<<SEP>>"
_MARKERS: Final = (LABEL, SEPARATOR, "<<EXAMPLE>>")
_NEEDED: Final = {
    "architecture_type": "uni-encoder",
    "squeeze_layers": False,
    "encoder_layer_id": -1,
}
"""What a configuration must say: of other models some need the Hub or texts of examples, and with
other layers than the last the library cannot compute."""
MOST_LABELS: Final = 10_000
"""Labels that a configuration may ask to have room for, as their memory is not checked."""
LARGEST_SHARE: Final = 0.5
"""Share of the tokens of an input that labels may take."""


def is_gliclass(encoder: str) -> bool:
    """Return whether an encoder is a GLiClass model."""
    with loading(encoder, takes_gliclass=True) as path:
        config = json.loads((Path(path) / CONFIG).read_text(encoding="utf-8"))
    return bool(config["model_type"] == GLICLASS)


def check_installed(encoder: str) -> None:
    """Raise a MissingExtraError if an encoder on this machine is a model that nothing here reads.

    One that is not on it is looked at when it is fetched.
    """
    if find_spec("gliclass") is None and resolve(encoder).on_machine and is_gliclass(encoder):
        raise _missing(encoder)


def _missing(encoder: str) -> MissingExtraError:
    return MissingExtraError(f"the GLiClass model {encoder}", "gliclass", "gliclass")


def load_gliclass(encoder: str) -> tuple[Any, Any, int]:
    """Return a model in fp32 and evaluation mode, its tokenizer, and its context in tokens.

    Raises:
        MissingExtraError: the library is not installed.
        ModelError: the model is damaged, or of an architecture that finetext does not run.
    """
    if find_spec("gliclass") is None:
        raise _missing(encoder)
    with loading(encoder, with_weights=True, takes_gliclass=True) as path, quiet():
        tokenizer = read_tokenizer(encoder, path)
        model = _read_model(encoder, path)
        _check_tokenizer(encoder, model, tokenizer)
        context = context_from(model.config.encoder_config, tokenizer.model_max_length)
        probe = tokens_with_labels(model, tokenizer, ["a"], ["a"], context)
        logits_of(model, probe, 1)  # an error of parts that do not fit together is told here
    return model, tokenizer, context


def _read_model(encoder: str, path: str) -> Any:
    """Return the model in a private folder, from which alone the library can read."""
    import torch
    from gliclass import GLiClassModel, GLiClassModelConfig

    config = GLiClassModelConfig.from_pretrained(path, trust_remote_code=False)
    for key, needed in _NEEDED.items():
        if getattr(config, key) != needed:
            raise ModelError(
                f"{encoder}: {CONFIG} has {key} = {getattr(config, key)!r}; of GLiClass models "
                f"finetext runs those with {key} = {needed!r}, such as gliclass-base"
            )
    if (most := _allocated(config, 1)) > MOST_LABELS:
        raise ModelError(f"{encoder}: {CONFIG} asks for room for {most:,} labels; it is damaged")
    config.encoder_config.get_text_config().vocab_size = config.vocab_size  # else it is resized
    published, config.encoder_model_name = config.encoder_model_name, path
    check_memory(encoder, Path(path), lambda: GLiClassModel(copy.deepcopy(config)))
    model, report = GLiClassModel.from_pretrained(
        path, config=config, dtype=torch.float32, trust_remote_code=False, use_safetensors=True,
        output_loading_info=True,
    )  # fmt: skip
    if report["missing_keys"]:
        missing = ", ".join(sorted(map(str, report["missing_keys"]))[:3])
        raise ModelError(f"the model in {encoder} is damaged: it lacks the weights {missing}")
    model.config.encoder_model_name = published
    model.config.name_or_path = model.name_or_path = ""  # the folder is private, and gone soon
    return model.eval()


def _check_tokenizer(encoder: str, model: Any, tokenizer: Any) -> None:
    """Raise a ModelError for a tokenizer of another model, or without the markers."""
    check_vocabulary(encoder, model, tokenizer)
    config, known = model.config, tokenizer.get_vocab()
    wanted = {LABEL: config.class_token_index, SEPARATOR: config.text_token_index}
    rows = model.get_input_embeddings().num_embeddings
    if any(known.get(of) != wanted[of] for of in wanted) or len(tokenizer) > rows:
        raise ModelError(
            f"{encoder}: its tokenizer does not have the tokens {LABEL} and {SEPARATOR} of its "
            "configuration, so they belong to different models; copy the tokenizer files here "
            "that came with the weights"
        )


def tokens_with_labels(
    model: Any, tokenizer: Any, labels: Sequence[str], texts: Sequence[str], context: int
) -> TokenTable:
    """Tokenize texts, each with all labels; a text is truncated so that `context` tokens remain.

    Raises:
        RecipeError: there are too many labels, or they are too long.
    """
    prompt = label_tokens(model, tokenizer, labels)
    before, after = _ends(tokenizer)
    _check_prompt(model, labels, len(prompt), context)
    room = context - len(prompt) - len(before) - len(after)
    is_first = model.config.prompt_first

    def rows() -> Iterator[Row]:
        for part in batches_of(len(texts), TEXTS_AT_A_TIME):
            sides = (SEPARATOR, "") if is_first else ("", LABEL)
            for text in _without_markers(tokenizer, texts[part], *sides):
                kept = text[:room]
                yield ([*before, *(prompt + kept if is_first else kept + prompt), *after],)

    arrays = arrays_of(rows(), tokenizer.pad_token_id)
    return TokenTable(arrays["ids"], None, arrays["starts"], (tokenizer.pad_token_id, 0, "right"))


def label_tokens(model: Any, tokenizer: Any, labels: Sequence[str]) -> list[int]:
    """Return the tokens of the labels with their markers, and of the end of the labels."""
    ids: list[int] = []
    for label in _without_markers(tokenizer, labels, LABEL, SEPARATOR):
        ids += [model.config.class_token_index, *label]
    return [*ids, model.config.text_token_index]


def _without_markers(
    tokenizer: Any, texts: Sequence[str], before: str, after: str
) -> Iterator[list[int]]:
    """Yield the tokens of texts between two markers, without any marker, in them or around them."""
    markers = set(tokenizer.convert_tokens_to_ids(list(_MARKERS))) - {tokenizer.unk_token_id}
    given = [f"{before}{encodable(text)}{after}" for text in texts]
    with native("the tokenizer"):
        encoded = tokenizer(
            given, add_special_tokens=False, padding=False, truncation=False, verbose=False,
            return_attention_mask=False,
        )  # fmt: skip
    for ids in encoded["input_ids"]:
        yield [of for of in ids if of not in markers]


def _ends(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the special tokens that go before and after each input."""
    whole, ends = tokenizer("a text")["input_ids"], special_ends(tokenizer)
    if ends is None:
        raise ModelError("a tokenizer that puts special tokens inside texts fits no GLiClass model")
    return whole[: ends[0]], whole[len(whole) - ends[1] :]


def _check_prompt(model: Any, labels: Sequence[str], tokens: int, context: int) -> None:
    """Raise a RecipeError if a model has no place for labels, or texts would have none."""
    if len(labels) > (most := _allocated(model.config, len(labels))):
        raise RecipeError(
            f"zeroshot: the model takes at most {most} labels, and there are {len(labels)}; use "
            "fewer, or a sentence encoder"
        )
    if tokens > LARGEST_SHARE * context:
        raise RecipeError(
            f"zeroshot: the {len(labels)} labels take {tokens} of the {context} tokens that the "
            "model reads at a time, more than half, which leaves too little of long texts; use "
            "fewer labels, shorter names and descriptions, or a sentence encoder"
        )


def _allocated(config: Any, labels: int) -> int:
    """Return for how many labels the library gives logits; any beyond would get none."""
    if config.max_labels_alloc == "dynamic":
        return labels
    fixed = config.max_labels_alloc
    return int(fixed if isinstance(fixed, int) else config.max_num_classes)


def logits_of(model: Any, tokens: TokenTable, labels: int) -> Floats:
    """Return the (n, labels) logits of n texts, in the number format of the weights.

    A batch has inputs of the same length only: with padding, the pooling of some models would give
    a text other logits among other texts.
    """
    import torch

    logits = np.zeros((len(tokens), labels))
    allocated = _allocated(model.config, labels)

    def forward(rows: Integers) -> None:
        batch = {name: part.to(model.device) for name, part in tokens.batch(rows).items()}
        found = model(**batch, max_num_classes=allocated).logits[:, :labels]
        logits[rows] = found.float().cpu().numpy()

    with torch.inference_mode():
        for rows in _equally_long(tokens.lengths, positions_a_batch(model.device)):
            in_parts(forward, rows)
    return logits


def _equally_long(lengths: Integers, most_positions: int) -> Iterator[Integers]:
    """Yield all rows once, longest first, in batches of one length."""
    order = np.argsort(-lengths, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        size = max(1, most_positions // int(lengths[rows[0]])) if len(rows) else 1
        yield from (rows[part] for part in batches_of(len(rows), size))
