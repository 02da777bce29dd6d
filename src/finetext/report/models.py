"""The list of encoders that have an alias, and of those to be grown from random weights."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from finetext.encoders.catalogue import on_this_machine
from finetext.encoders.entries import ENTRIES
from finetext.encoders.presets import PRESETS, Preset

if TYPE_CHECKING:
    from rich.console import Console


def models_json() -> list[dict[str, Any]]:
    """Every entry of the catalogue, and whether it can be used without a network."""
    return [
        dataclasses.asdict(entry) | {"on_this_machine": on_this_machine(entry)} for entry in ENTRIES
    ]


def show_models(console: Console) -> None:
    """Print the catalogue, some lines an encoder, and the presets."""
    for entry in ENTRIES:
        here = "on this machine" if on_this_machine(entry) else "fetched from the Hub when used"
        tuned = "finetunable" if entry.finetunable else "probe only"
        console.print(f"{entry.alias}  {entry.source}", style="bold", markup=False)
        console.print(
            f"    {entry.description}\n"
            f"    {entry.parameters:,} M parameters, context {entry.context:,}, "
            f"{entry.languages}, {entry.licence}\n"
            f"    {', '.join(entry.tasks)}; {tuned}; {here}",
            markup=False,
        )
    for sizes in PRESETS:
        console.print(f"random:{sizes.name}", style="bold", markup=False)
        console.print(f"    {_sizes(sizes)}", markup=False)


def _sizes(sizes: Preset) -> str:
    """What a preset grows into."""
    kind = "AWD-LSTM" if sizes.architecture == "awd-lstm" else "BERT"
    return (
        f"{kind} with random weights: {sizes.layers} layers, {sizes.width} wide, context "
        f"{sizes.context:,}, up to {sizes.pieces:,} pieces; for finetune, and pretrain --preset "
        f"{sizes.name}"
    )
