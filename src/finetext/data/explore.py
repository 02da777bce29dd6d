"""A look at the data before training: classes, lengths, findings, tokens, a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from finetext.data.check import check_material, counting_pieces
from finetext.data.checks.material import Material
from finetext.methods.base import ProgressEvent, silent
from finetext.types import Dataset, Finding, Integers, Splits

ALL: Final = "all rows"
_SHARES: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Spread:
    """How long the texts of a class are: all that a box plot shows.

    Attributes:
        rows: number of texts.
        mean: mean length.
        least: smallest length.
        low: 5th percentile, the lower whisker.
        quarter: 25th percentile.
        median: 50th percentile.
        three_quarters: 75th percentile.
        high: 95th percentile, the upper whisker.
        most: greatest length.
        cut: share of the texts that are longer than the context, or None without one.
    """

    rows: int
    mean: float
    least: float
    low: float
    quarter: float
    median: float
    three_quarters: float
    high: float
    most: float
    cut: float | None = None


@dataclass(frozen=True)
class Lengths:
    """Lengths of texts by class.

    Attributes:
        unit: "words" or "word pieces".
        spreads: of "all rows" first, then of each class that has rows.
        context: the most the model is given of a text, or None.
        encoder: the encoder whose word pieces were counted, or None for words.
    """

    unit: str
    spreads: Mapping[str, Spread]
    context: int | None = None
    encoder: str | None = None


def lengths_from_json(values: Mapping[str, Any]) -> Lengths:
    """The inverse of `dataclasses.asdict` after a way through JSON.

    Raises:
        KeyError, TypeError: a value is missing, or there is one too many.
    """
    spreads = {name: Spread(**of) for name, of in values["spreads"].items()}
    return Lengths(**{**values, "spreads": spreads})


@dataclass(frozen=True)
class Exploration:
    """What `explore` saw.

    Attributes:
        description: one line on where the data came from.
        rows: number of rows of each part; of "all" if the data are not split.
        multilabel: whether a row can have several labels, so that counts add up to more.
        classes: class -> part -> rows, in the order of the scheme; empty for unlabelled text.
        words: words per text, divided at spaces.
        pieces: word pieces per text, special ones included, or None without an encoder.
        encoder: the encoder whose word pieces were counted, or None.
        findings: what the checks found, worst first.
    """

    description: str
    rows: Mapping[str, int]
    multilabel: bool
    classes: Mapping[str, Mapping[str, int]]
    words: Lengths
    pieces: Lengths | None
    encoder: str | None
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists, strings and numbers."""
        return asdict(self)


def explore(
    data: Dataset | Splits,
    encoder: str | None = None,
    progress: Callable[[ProgressEvent], None] = silent,
) -> Exploration:
    """Count classes and lengths, and run all checks.

    Args:
        data: rows, with ready-made parts or without, or parts that were split already.
        encoder: alias, Hub name or folder of the encoder whose word pieces and context count;
            by default word pieces are left out.
        progress: told how far the slow steps are.

    Returns:
        tables that `finetext.report.explore_text` and `explore_page` show.

    Raises:
        ModelError: the encoder's tokenizer cannot be loaded.
    """
    inputs = [] if encoder is None else [(encoder, None)]
    with counting_pieces(Material.of(data), inputs, progress) as material:
        findings = check_material(material)
        words, *pieces = length_tables(material)
    scheme = material.scheme
    return Exploration(
        description=material.parts[0][1].description if material.parts else "",
        rows={name: len(part) for name, part in material.parts},
        multilabel=scheme is not None and scheme.multilabel,
        classes=_class_table(material),
        words=words,
        pieces=pieces[0] if pieces else None,
        encoder=encoder,
        findings=tuple(findings),
    )


def length_tables(material: Material) -> tuple[Lengths, ...]:
    """Words of the texts by class, then word pieces for each of the material's inputs."""
    words = np.array([len(text.split()) for text in material.texts], dtype=np.int64)
    return (
        Lengths("words", _spreads(words, material)),
        *(
            Lengths(
                "word pieces",
                _spreads(each.pieces, material, each.limit),
                each.limit,
                each.encoder,
            )
            for each in material.inputs
        ),
    )


def _class_table(material: Material) -> dict[str, dict[str, int]]:
    if material.scheme is None:
        return {}
    parts = [name for name, _ in material.parts]
    return {
        name: dict(zip(parts, map(int, material.counts[:, column]), strict=True))
        for column, name in enumerate(material.scheme.names)
    }


def _spreads(
    lengths: Integers, material: Material, context: int | None = None
) -> dict[str, Spread]:
    spreads = {ALL: _spread(lengths, context)} if len(lengths) else {}
    for column, name in enumerate(material.scheme.names if material.scheme else ()):
        own = lengths[material.indicators[:, column] == 1]
        if len(own):
            spreads[name] = _spread(own, context)
    return spreads


def _spread(lengths: Integers, context: int | None) -> Spread:
    least, low, quarter, median, three_quarters, high, most = np.quantile(lengths, _SHARES).tolist()
    cut = None if context is None else float((lengths > context).mean())
    return Spread(
        rows=len(lengths),
        mean=float(lengths.mean()),
        least=least,
        low=low,
        quarter=quarter,
        median=median,
        three_quarters=three_quarters,
        high=high,
        most=most,
        cut=cut,
    )
