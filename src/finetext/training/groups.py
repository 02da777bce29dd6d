"""Layer groups: the embeddings, each layer of the encoder, and the head, from bottom to top."""

from __future__ import annotations

from typing import Any


def layer_groups(model: Any) -> list[list[str]]:
    """The names of all parameters in layer groups, as ULMFiT unfreezes them and sets their rates.

    The first group is what lies below the layers, the embeddings; then comes each layer; the last
    is everything above: pooling, normalisation after the last layer, head. An output layer that
    shares its weights with the embeddings takes them into the last group. A model without a list
    of layers is one group.

    Args:
        model: a `torch.nn.Module`; of a transformers model, the layers are the longest list of
            modules in its base model.

    Returns:
        a partition of the names that `named_parameters` gives.
    """
    layers = _layers(model)
    output = _output_weights(model)
    tables = _embedding_weights(model)
    groups: list[list[str]] = [[] for _ in range(len(layers) + 2)]
    above = not layers
    for name, weight in model.named_parameters():
        inside = next((k for k, prefix in enumerate(layers, 1) if name.startswith(prefix)), 0)
        above = above or inside > 0
        if inside:
            groups[inside].append(name)
        elif id(weight) in output or (above and id(weight) not in tables):
            groups[-1].append(name)
        else:
            groups[0].append(name)
    return [group for group in groups if group]


def _layers(model: Any) -> list[str]:
    """Prefixes of the layers' parameters, in order; empty if the model has no list of them."""
    import torch

    base = getattr(model, "base_model", model)
    prefix = next((f"{name}." for name, of in model.named_modules() if of is base and name), "")
    lists = [
        (name, of)
        for name, of in base.named_modules()
        if isinstance(of, torch.nn.ModuleList) and any(True for _ in of.parameters())
    ]
    if not lists:
        return []
    name, longest = max(lists, key=lambda pair: len(pair[1]))
    return [f"{prefix}{name}.{number}." for number in range(len(longest))]


def _output_weights(model: Any) -> set[int]:
    """The identities of the parameters of a language model's output layer."""
    find = getattr(model, "get_output_embeddings", None)
    output = find() if find is not None else None
    return set() if output is None else {id(weight) for weight in output.parameters()}


def _embedding_weights(model: Any) -> set[int]:
    """The identities of the parameters of embedding tables, those of positions among them."""
    import torch

    tables = [of for of in model.modules() if isinstance(of, torch.nn.Embedding)]
    return {id(weight) for table in tables for weight in table.parameters()}
