"""Look for what would spoil the result, before time is spent on training.

The checks are the table "checks" of `finetext.registry`. Each takes a `Material` and returns
findings; an error makes training impossible, a warning makes its result doubtful.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from finetext import registry
from finetext.data.checks.material import Material
from finetext.methods.base import ProgressEvent, silent
from finetext.types import Dataset, Finding, Splits

_ORDER: Final = {"error": 0, "warning": 1, "note": 2}


def check(data: Dataset | Splits, encoder: str | None = None) -> list[Finding]:
    """Everything that is wrong with the data, worst first.

    Args:
        data: rows, or parts that were split already; only parts can be checked for leakage.
        encoder: alias, Hub name or folder of the encoder whose context limits the texts; by
            default word pieces are not counted.

    Returns:
        findings, those of reading included.

    Raises:
        ModelError: the encoder's tokenizer cannot be loaded.
    """
    with counting_pieces(Material.of(data), encoder) as material:
        return check_material(material)


@contextmanager
def counting_pieces(
    material: Material,
    encoder: str | None,
    progress: Callable[[ProgressEvent], None] = silent,
) -> Iterator[Material]:
    """The material with word pieces, which are counted in a thread while other checks run.

    Args:
        material: what to count in.
        encoder: alias, Hub name or folder; None leaves the material as it is.
        progress: told how many texts are done.
    """
    if encoder is None:
        yield material
        return
    from finetext.data.pieces import count_pieces
    from finetext.encoders.catalogue import context_of
    from finetext.encoders.load import load_tokenizer

    tokenizer, context = load_tokenizer(encoder), context_of(encoder)
    with ThreadPoolExecutor(max_workers=1) as pool:
        counted = pool.submit(count_pieces, tokenizer, material.texts, progress)
        yield replace(material, context=context, counting=counted.result)


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
