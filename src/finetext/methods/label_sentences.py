"""What the names and descriptions of labels say of their texts, as sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from finetext.core.display import labels_in_words
from finetext.core.errors import RecipeError, nearest
from finetext.core.types import LabelScheme
from finetext.encoders.catalogue import resolve

TEMPLATES: Final = ("{}", "This text expresses {}.", "The topic is {}.")
BARE_TEMPLATES: Final = ("{}",)
Descriptions = Mapping[str, str | tuple[str, ...]]
_UNCLEAR: Final = re.compile(
    r"[\W\d_]*|[a-z]|(label|class|category|cat|c|l)[\W_]*\d+|yes|no|true|false|none", re.IGNORECASE
)


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
