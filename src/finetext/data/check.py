"""Look for what would spoil the result, before time is spent on training.

The checks are the table "checks" of `finetext.registry`. Each takes a `Material` and returns
findings; an error makes training impossible, a warning makes its result doubtful.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from finetext import registry
from finetext.data.checks.material import Material, ModelInput
from finetext.encoders.random import original
from finetext.methods.base import ProgressEvent, silent
from finetext.types import Dataset, Finding, Splits

_ORDER: Final = {"error": 0, "warning": 1, "note": 2}


def check(
    data: Dataset | Splits, encoder: str | None = None, max_length: int | None = None
) -> list[Finding]:
    """Everything that is wrong with the data, worst first.

    Args:
        data: rows, or parts that were split already; only parts can be checked for leakage.
        encoder: alias, Hub name or folder of the encoder that is to read the texts; by default
            word pieces are not counted.
        max_length: word pieces of a text that it is given; its whole context by default.

    Returns:
        findings, those of reading included.

    Raises:
        ModelError: the encoder's tokenizer cannot be loaded.
        RecipeError: the encoder cannot see `max_length` word pieces.
    """
    inputs = [] if encoder is None else [(encoder, max_length)]
    with counting_pieces(Material.of(data), inputs) as material:
        return check_material(material)


@contextmanager
def counting_pieces(
    material: Material,
    inputs: Iterable[tuple[str, int | None]],
    progress: Callable[[ProgressEvent], None] = silent,
) -> Iterator[Material]:
    """The material with word pieces, which are counted in a thread while other checks run.

    Args:
        material: what to count in.
        inputs: encoders (alias, Hub name or folder), each with the word pieces of a text that
            it is given, None for its whole context; none leaves the material as it is. Texts
            are cut into pieces once for each encoder, however many lengths it is asked with,
            and not at all for one that has no tokenizer before it is trained.
        progress: told how many texts are done.
    """
    inputs = [(name, most) for encoder, most in inputs if (name := original(encoder)) is not None]
    if not inputs:
        yield material
        return
    from finetext.data.pieces import count_pieces
    from finetext.encoders.catalogue import resolve
    from finetext.encoders.load import load_tokenizer, longest_input

    limits = {(resolve(name).path, longest_input(name, most)): name for name, most in inputs}
    tokenizers = {path: load_tokenizer(name) for (path, _), name in limits.items()}
    with ThreadPoolExecutor(max_workers=1) as pool:
        counting = {
            path: pool.submit(count_pieces, tokenizer, material.texts, progress).result
            for path, tokenizer in tokenizers.items()
        }
        yield replace(
            material,
            inputs=tuple(
                ModelInput(name, limit, counting[path]) for (path, limit), name in limits.items()
            ),
        )


def check_material(material: Material) -> list[Finding]:
    """The findings of every check in the table, and those of reading, worst first."""
    found = [
        finding
        for name in registry.names("checks")
        for finding in registry.load("checks", name)(material)
    ]
    codes = {finding.code for finding in found}
    read = {f: None for _, part in material.parts for f in part.findings if f.code not in codes}
    return sorted([*read, *found], key=lambda finding: _ORDER[finding.severity])
