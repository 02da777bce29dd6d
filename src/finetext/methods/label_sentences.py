"""What the names and descriptions of labels say of their texts, as sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.core.arrays import Floats, Integers, unit
from finetext.core.contracts import FitContext
from finetext.core.display import labels_in_words
from finetext.core.errors import RecipeError, nearest
from finetext.core.types import LabelScheme
from finetext.encoders.catalogue import resolve
from finetext.encoders.states import FrozenEncoder

TEMPLATES: Final = ("{}", "This text expresses {}.", "The topic is {}.")
BARE_TEMPLATES: Final = ("{}",)
TEXTS_OF_A_NAME: Final = 9
"""As how many texts a label's name and descriptions count together."""
TEXTS_COMPARED: Final = 500
"""Training texts by which it is judged whether names of labels say what is meant."""
Descriptions = Mapping[str, str | tuple[str, ...]]
StatesOf = Callable[[Integers], Floats]
"""From positions of rows to the states of their texts."""
_UNCLEAR: Final = re.compile(
    r"[\W\d_]*|[a-z]|(label|class|category|cat|c|l)[\W_]*\d+|yes|no|true|false|none", re.IGNORECASE
)


@dataclass(frozen=True)
class LabelSentences:
    """What names and descriptions of labels add to the rows that a method learns from.

    Attributes:
        method: its name, for messages.
        encoder: alias, Hub name or folder.
        descriptions: label to its description or descriptions.
        templates: sentences for names; None is as in `ZeroShot`, but names that do not fit the rows
            are left out (see `names_fit`); an empty tuple leaves names out.
    """

    method: str
    encoder: str
    descriptions: Descriptions
    templates: tuple[str, ...] | None

    def of(
        self,
        scheme: LabelScheme,
        encoder: FrozenEncoder,
        states_of: StatesOf,
        labels: Integers,
        context: FitContext,
    ) -> list[tuple[str, ...]]:
        """Return the sentences of each of k labels, given the (n, k) labels of 0 and 1 of n rows.

        `states_of` returns the states of rows, of which it is asked for 500 at most.
        """
        templates = templates_for(self.encoder) if self.templates is None else self.templates
        parts = [sentences_of(label, self.descriptions, templates) for label in scheme.names]
        clear = [not is_unclear(label) and bool(templates) for label in scheme.names]
        if self.templates is None and any(clear):
            named = [of for (of, _), is_clear in zip(parts, clear, strict=True) if is_clear]
            if not names_fit(encoder, named, states_of, labels[:, clear], context):
                context.say(
                    f"{self.method}: names of labels are left out, as texts are not nearer to the "
                    "name of their own label"
                )
                clear = [False] * len(clear)
        return [
            (*(of_name if is_clear else ()), *descriptions)
            for (of_name, descriptions), is_clear in zip(parts, clear, strict=True)
        ]


def repeated(known: Sequence[Sequence[str]]) -> list[tuple[str, int]]:
    """Return the sentences of each label as often as to count as 9 texts, with its column."""
    found = list[tuple[str, int]]()
    for column, sentences in enumerate(known):
        copies = max(1, round(TEXTS_OF_A_NAME / max(1, len(sentences))))
        found += [(sentence, column) for sentence in [*sentences] * copies]
    return found


def templates_for(encoder: str) -> tuple[str, ...]:
    """Return the templates for an encoder: English ones if that is the language it is known for."""
    entry = resolve(encoder).entry
    is_english = entry is not None and entry.language_codes == ("en",)
    return TEMPLATES if is_english else BARE_TEMPLATES


def sentences_of(
    label: str, described: Descriptions, templates: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the name of a label in the templates, and its descriptions.

    The name is left out if it says nothing (see `is_unclear`) and there are descriptions.
    """
    descriptions = several(described[label]) if label in described else ()
    if descriptions and is_unclear(label):
        return (), descriptions
    return tuple(template.replace("{}", in_words(label)) for template in templates), descriptions


def check_templates(method: str, templates: Sequence[str]) -> None:
    """Raise a RecipeError for a template without one place for a name."""
    for template in templates:
        if template.count("{}") != 1:
            raise RecipeError(
                f'{method}: the template "{template}" needs {{}} once, where the name of a '
                'label goes, as in "This text is about {}."'
            )


def check_clear(method: str, scheme: LabelScheme, described: Mapping[str, object]) -> None:
    """Raise a RecipeError if nothing says what two labels or more mean."""
    unclear = [of for of in scheme.names if is_unclear(of) and of not in described]
    if len(unclear) > 1:
        raise RecipeError(
            f"{method}: without examples nothing says what {unclear[0]!r} and {unclear[1]!r} mean; "
            f"describe them ([methods.{method}.descriptions] in the recipe), or leave examples "
            "alone"
        )


def check_descriptions(method: str, described: Descriptions, scheme: LabelScheme | None) -> None:
    """Raise a RecipeError for a description that is empty, or of what is no label of a scheme."""
    for label, said in described.items():
        if not all(one.strip() for one in several(said)) or not several(said):
            raise RecipeError(f"{method}: the description of {label!r} is empty; write it")
        if scheme is not None and label not in scheme.index:
            raise RecipeError(
                f"{method}: there is a description of {label!r}, which is no label here"
                f"{nearest(label, list(scheme.names))}"
            )


def check_labels(scheme: LabelScheme, described: Descriptions) -> None:
    """Raise a RecipeError for labels that cannot be compared by their names and descriptions."""
    if len(scheme) < 2:
        raise RecipeError("zeroshot: it compares labels, so it needs two or more")
    read: dict[str, str] = {}
    for label in scheme.names:
        same = read.setdefault(in_words(label).casefold(), label)
        if same != label and label not in described and same not in described:
            raise RecipeError(f"zeroshot: {same!r} and {label!r} read the same; describe them")
    unclear = [of for of in scheme.names if of not in described and is_unclear(of)]
    if len(unclear) > 1 or len(scheme) - len(unclear) < 2:
        raise RecipeError(
            f"zeroshot: nothing in {labels_in_words(unclear)} says what the texts are about. "
            "Describe such labels (classify: --describe FILE; train: "
            "[methods.zeroshot.descriptions] in the recipe), or leave zeroshot out"
        )


def in_words(label: str) -> str:
    """Return the name of a label as words: "card_not_working" is "card not working"."""
    return " ".join(label.replace("_", " ").split()) or label


def is_unclear(label: str) -> bool:
    """Return whether the name of a label says nothing of its texts, as "1", "LABEL_0" or "yes"."""
    return _UNCLEAR.fullmatch(label.strip()) is not None


def several(said: str | Sequence[str]) -> tuple[str, ...]:
    """Return one description or several as a tuple."""
    return (said,) if isinstance(said, str) else tuple(said)


def names_fit(
    encoder: FrozenEncoder,
    named: Sequence[Sequence[str]],
    states_of: StatesOf,
    labels: Integers,
    context: FitContext,
) -> bool:
    """Return whether texts are nearer to the name of their own label than to other names.

    The gap of a text is its cosine with the sentences of its own label less the mean of those with
    other labels, each cosine less the mean of its label over all texts. The mean gap must exceed
    its standard error.

    Args:
        encoder: before its training.
        named: k sentences or more of each label.
        states_of: returns the states of rows, of which it is asked for 500 at most.
        labels: (n, k) of 0 and 1, of n rows.
        context: of the fit, whose seed draws the texts.
    """
    order = np.random.default_rng(context.seed).permutation(len(labels))[:TEXTS_COMPARED]
    having = labels[order] > 0
    means = np.array([unit(encoder.states(list(of))).mean(axis=0) for of in named])
    cosines = unit(states_of(order)) @ unit(means).T
    cosines -= cosines.mean(axis=0)
    both = having.any(axis=1) & ~having.all(axis=1)
    having, cosines = having[both], cosines[both]
    if len(cosines) < 2:
        return True  # nothing speaks against them
    own = np.where(having, cosines, 0).sum(axis=1) / having.sum(axis=1)
    others = np.where(having, 0, cosines).sum(axis=1) / (~having).sum(axis=1)
    gaps = own - others
    return bool(gaps.mean() > gaps.std(ddof=1) / math.sqrt(len(gaps)))
