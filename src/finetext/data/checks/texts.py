"""Is there a readable text in every row, and does the model see all of it?"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from finetext.data.checks.material import Material, ModelInput
from finetext.data.words import counted
from finetext.types import Finding

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
MANY_CUT: Final = 0.1


def blank_texts(material: Material) -> list[Finding]:
    """Rows whose text is empty or spaces alone; an error if there is nothing else."""
    if not len(material):
        return [Finding("error", "no-rows", "There are no rows.")]
    rows = [i for i, text in enumerate(material.texts) if not text or text.isspace()]
    if not rows:
        return []
    if len(rows) == len(material):
        message = "Every text is blank; is it the right column?"
        return [Finding("error", "blank-texts", message, material.name(rows))]
    message = f"Blank texts in {counted(len(rows), 'row')}; leave them out, or fill them in."
    return [Finding("warning", "blank-texts", message, material.name(rows))]


def control_characters(material: Material) -> list[Finding]:
    """Characters that no one sees, mostly from text decoded with the wrong encoding."""
    rows = [i for i, text in enumerate(material.texts) if _CONTROL.search(text)]
    if not rows:
        return []
    found = sum(len(_CONTROL.findall(material.texts[i])) for i in rows)
    text = material.texts[rows[0]]
    match = _CONTROL.search(text)
    start = max(match.start() - 20, 0) if match else 0
    message = (
        f"Control characters in {counted(len(rows), 'text')} ({found:,} in all), such as "
        f"{text[start : start + 40]!r}. They are kept as they are; if they come from a "
        "wrong encoding, save the file as UTF-8 anew."
    )
    return [Finding("warning", "control-characters", message, material.name(rows))]


def cut_texts(material: Material) -> list[Finding]:
    """Texts longer than a model is given, of which the end is not seen."""
    return [
        finding for each in material.inputs for finding in _cut(each, material) if len(material)
    ]


def _cut(given: ModelInput, material: Material) -> list[Finding]:
    rows = np.flatnonzero(given.pieces > given.limit)
    if not len(rows):
        return []
    share = len(rows) / len(material)
    lost = 1 - np.minimum(given.pieces, given.limit).sum() / given.pieces.sum()
    verb = "is" if len(rows) == 1 else "are"
    message = (
        f"Longer than the {given.limit:,} word pieces that {given.encoder} is given of a text: "
        f"{counted(len(rows), 'text')} ({share:.1%}), which {verb} cut; {lost:.1%} of all pieces "
        "are not seen. If what matters stands at the end, shorten the texts, raise max_length, "
        "or take an encoder with a longer context."
    )
    many = share > MANY_CUT
    return [Finding("warning" if many else "note", "cut-texts", message, material.name(rows))]
