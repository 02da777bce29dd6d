"""Whether a tokenizer is the one that the weights of an encoder were trained with.

The row of an embedding means a token only with the vocabulary of the training. A folder that
finetext writes has a record of it in `config.json`, beside the weights and apart from the files of
the tokenizer. Folders without the record are compared by the number of tokens alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from finetext.core.errors import ModelError

RECORD: Final = "finetext_vocabulary"
_EXACT: Final = frozenset({"awd_lstm"})
"""Model types of finetext's own, which always have one row for each token."""
_FILES: Final = ("tokenizer", "vocab", "merges", "bpe", "dict", "spm", "sentencepiece")
"""How the names of tokenizer files begin, if they do not end as follows."""
_ENDINGS: Final = (".model", ".spm", ".tiktoken")
_PUT_BACK: Final = "copy the tokenizer files here that came with the weights"
MOST_UNUSED: Final = 0.1
"""Share of the rows of an embedding without a token from which a note says so."""


def check_files(encoder: str, path: str) -> None:
    """Raise a ModelError if a local folder has no file that could be one of a tokenizer."""
    folder = Path(path)
    if not folder.is_dir():
        return
    names = (file.name for file in folder.iterdir())
    if not any(name.startswith(_FILES) or name.endswith(_ENDINGS) for name in names):
        raise ModelError(
            f"{encoder}: the folder has no tokenizer, such as tokenizer.json or vocab.txt; "
            f"{_PUT_BACK}"
        )


def record_vocabulary(model: Any, tokenizer: Any) -> None:
    """Note in the configuration of a model which tokens its embedding stands for."""
    tokens = len(tokenizer)
    setattr(
        model.config, RECORD, {"tokens": tokens, "sha256": digest_of(tokenizer.get_vocab(), tokens)}
    )


def check_vocabulary(encoder: str, model: Any, tokenizer: Any) -> None:
    """Raise a ModelError if a tokenizer has other tokens than the embedding of a model.

    Tokens that were added to a tokenizer after training are fine: `extend_embedding` gives them
    rows. So are rows without a token, which many published encoders have.
    """
    rows, tokens = model.get_input_embeddings().num_embeddings, len(tokenizer)
    added = set(tokenizer.get_added_vocab().values())
    is_exact = model.config.model_type in _EXACT
    highest = max(tokenizer.get_vocab().values(), default=0)
    is_other = highest >= max(rows, tokens) or not added.issuperset(range(rows, tokens))
    if is_other or (is_exact and tokens < rows):
        raise ModelError(
            f"{encoder}: its tokenizer has {tokens:,} tokens and its embedding {rows:,} rows, so "
            f"they belong to different models; {_PUT_BACK}"
        )
    record = getattr(model.config, RECORD, None)
    if record is None:
        return
    try:
        known, digest = int(record["tokens"]), str(record["sha256"])
    except (KeyError, TypeError, ValueError):
        raise ModelError(
            f"{encoder}: {RECORD} in config.json is damaged; copy that file here again"
        ) from None
    if digest != digest_of(tokenizer.get_vocab(), known):
        raise ModelError(
            f"{encoder}: its tokenizer is not the one that its weights were trained with, so each "
            f"row of the embedding would mean another token; {_PUT_BACK}, or train an encoder for "
            "this tokenizer with `finetext pretrain`"
        )


def unused_rows(encoder: str, model: Any, tokenizer: Any) -> str | None:
    """Return a note if many rows of an embedding have no token; None otherwise."""
    rows, tokens = model.get_input_embeddings().num_embeddings, len(tokenizer)
    if rows - tokens <= MOST_UNUSED * rows or hasattr(model.config, RECORD):
        return None
    return (
        f"{encoder}: its embedding has {rows:,} rows, its tokenizer only {tokens:,} tokens; make "
        "sure that they belong together"
    )


def extend_embedding(encoder: str, model: Any, tokenizer: Any) -> None:
    """Give tokens that were added to the tokenizer an embedding of zeros.

    Raises:
        ModelError: the tokenizer is another one; see `check_vocabulary`.
    """
    import torch

    check_vocabulary(encoder, model, tokenizer)
    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        with torch.no_grad():
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            model.get_input_embeddings().weight[known:] = 0


def digest_of(vocabulary: Mapping[str, int], tokens: int) -> str:
    """Return the SHA-256 of the first tokens of a vocabulary with their ids, in hexadecimal."""
    ids = sorted((number, token) for token, number in vocabulary.items())
    text = "\n".join(f"{number} {token}" for number, token in ids if number < tokens)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
