"""Training with an embedding of the tokens that occur, instead of the whole vocabulary.

Half of the weights of a small encoder are embeddings, and most texts use a part of them. A token
that never occurs gets no gradient, so its embedding need not pass through the optimiser, the norm
of the gradient or a checkpoint. It keeps its pretrained value (AdamW would only let it decay).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from finetext.training.tokens import TokenTable
from finetext.types import Integers


@contextmanager
def vocabulary_in_use(model: Any, tables: Sequence[TokenTable]) -> Iterator[list[TokenTable]]:
    """While the body runs, the model knows only the tokens of the tables, under new numbers.

    Args:
        model: a transformers model; if its embedding is shared with another part, or is more
            than a table, nothing is changed.
        tables: all texts that the model will see in the body.

    Yields:
        the same texts in the new numbers.
    """
    import torch

    whole = model.get_input_embeddings()
    used = _used(model, tables)
    if not _can_be_cut(model, whole) or len(used) >= whole.num_embeddings:
        yield list(tables)
        return
    numbers = np.zeros(whole.num_embeddings, dtype=np.int32)
    numbers[used] = np.arange(len(used))
    rows = torch.from_numpy(used).to(whole.weight.device)
    size = (len(used), whole.embedding_dim, whole.padding_idx)
    cut = torch.nn.Embedding(*size, device="meta")  # draws no random numbers
    cut.weight = torch.nn.Parameter(whole.weight.detach()[rows], whole.weight.requires_grad)
    model.set_input_embeddings(cut)
    try:
        yield [
            replace(
                table,
                ids=numbers[table.ids],
                padding=(int(numbers[table.padding[0]]), *table.padding[1:]),
            )
            for table in tables
        ]
    finally:
        with torch.no_grad():
            whole.weight[rows] = cut.weight.detach().to(whole.weight)
        model.set_input_embeddings(whole)


def _used(model: Any, tables: Sequence[TokenTable]) -> Integers:
    """The ids that occur, and all up to the largest that the model itself may compare with.

    Some models look for the padding or the end of a text among the ids, so those keep their
    numbers.
    """
    size = model.get_input_embeddings().num_embeddings
    there = np.zeros(size, dtype=bool)
    for table in tables:
        there[table.ids] = True
    named = [
        value
        for name, value in vars(model.config.get_text_config()).items()
        if name.endswith("_token_id") and isinstance(value, int)
    ]
    there[: max([table.padding[0] for table in tables] + named, default=0) + 1] = True
    return np.flatnonzero(there)


def _can_be_cut(model: Any, embedding: Any) -> bool:
    """Whether it is a plain table that no other part of the model shares."""
    import torch

    if type(embedding) is not torch.nn.Embedding:
        return False
    users = [
        module for module in model.modules() if getattr(module, "weight", None) is embedding.weight
    ]
    return len(users) == 1
