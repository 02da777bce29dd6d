"""The language of texts, and encoders that were trained on other languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np

from finetext.core.errors import FinetextError
from finetext.core.types import Finding
from finetext.core.wording import size
from finetext.diagnosis.data_checks import Material
from finetext.encoders.catalogue import (
    ENTRIES,
    EncoderEntry,
    Task,
    is_random,
    language_name,
    resolve,
)

NOT_SURE: Final = "not sure"
NO_LETTERS: Final = "no letters"
CONFIDENT_FROM: Final = 0.5
"""Least probability of a language: above it, 99.8% of 2,900 tweets were right."""
FEWEST_BYTES: Final = 20
"""Least UTF-8 bytes of letters to identify: 20 letters of English, 7 of Chinese."""
LONGEST: Final = 1_000
SAMPLED: Final = 200
"""Texts whose language is identified before training."""
FEWEST_SAMPLED: Final = 20
MOST_OTHER: Final = 0.5
"""Share of the sample in languages that an encoder does not know, above which it is a warning."""
LEAST_SHARE: Final = 0.25
"""Least share of the most frequent of these languages: errors of identification are scattered."""
_SAME: Final = {"nb": "no", "nn": "no"}
_NO_LANGUAGE: Final = "zxx"
_FIRST: Final = ("multilingual-e5-small", "multilingual-minilm", "mbert")
"""Encoders for many languages to recommend, the first that knows the language."""
_UNAFFECTED: Final = (
    "The methods majority and tfidf are not affected: they count the words of the texts themselves."
)


def languages_of(texts: Sequence[str]) -> list[str]:
    """Return the language of each text, by its first 1,000 characters: ISO 639 or "not sure"."""
    model = _py3langid_model()
    found = {text: _language(model, text[:LONGEST]) for text in dict.fromkeys(texts)}
    return [found[text] for text in texts]


@cache
def _py3langid_model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _language(model: Any, text: str) -> str:
    letters = "".join(filter(str.isalpha, text))
    if not letters:
        return NO_LETTERS
    if len(letters.encode("utf-8", "replace")) < FEWEST_BYTES:
        return NOT_SURE
    code, probability = model.classify(text)
    return NOT_SURE if probability < CONFIDENT_FROM or code == _NO_LANGUAGE else str(code)


def languages_in(texts: Sequence[str]) -> Counter[str]:
    """Return how many texts of an even sample of at most 200 are in each language, by code.

    Texts that are too short for their language to be identified are left out.
    """
    places = np.unique(np.linspace(0, max(len(texts) - 1, 0), 10 * SAMPLED).astype(int))
    counts: Counter[str] = Counter()
    for place in np.random.default_rng(0).permutation(places) if len(texts) else ():
        if counts.total() == SAMPLED:
            break
        [code] = languages_of([texts[place]])
        counts.update([] if code in (NOT_SURE, NO_LETTERS) else [_SAME.get(code, code)])
    return counts


def language_findings(
    counts: Counter[str], encoders: Sequence[str], task: Task | None = None
) -> list[Finding]:
    """Return a warning on each encoder of the catalogue that most texts are no text for.

    Encoders that are not in the catalogue, with random weights or in a folder, are not judged, nor
    are samples of fewer than 20 texts.

    Args:
        counts: number of texts in each language; see `languages_in`.
        encoders: names of encoders.
        task: what an encoder that is recommended instead must be for, if anything.
    """
    findings, total = [], counts.total()
    for name in dict.fromkeys(encoders) if total >= FEWEST_SAMPLED else ():
        entry = _entry_of(name)
        if entry is None:
            continue
        others = [(code, n) for code, n in counts.most_common() if code not in entry.language_codes]
        foreign = sum(n for _, n in others)
        if foreign <= MOST_OTHER * total or others[0][1] < LEAST_SHARE * total:
            continue
        languages = [(code, n) for code, n in others if n >= LEAST_SHARE * total]
        named = " and ".join(f"{language_name(code)} ({n:,})" for code, n in languages)
        what = f"{named} of {total:,} sampled"
        if len(languages) == 1:
            what = f"{language_name(others[0][0])} ({others[0][1]:,} of {total:,} sampled)"
        message = (
            f"The texts are {what}; the encoder {name} was trained on {trained_on(entry)}. "
            f"{recommended([code for code, _ in languages], task)}"
        )
        findings.append(Finding("warning", "language-mismatch", message))
    return findings


def language_mismatch(material: Material) -> list[Finding]:
    """Return the encoders of methods that were trained on other languages than the texts."""
    if not any(map(_entry_of, material.encoders)):
        return []
    found = language_findings(languages_in(material.texts), material.encoders)
    return [replace(one, message=f"{one.message} {_UNAFFECTED}") for one in found]


def trained_on(entry: EncoderEntry) -> str:
    """Return the languages of an encoder in words: "English", "100 languages"."""
    return entry.languages if entry.languages[0].isupper() else f"{entry.languages} languages"


def recommended(codes: Sequence[str], task: Task | None = None) -> str:
    """Return what to use for texts in some languages, as options of a command."""
    able = {entry.alias: entry for entry in ENTRIES if task is None or task in entry.tasks}
    several = [able[name] for name in _FIRST if name in able]
    many = [entry for entry in several if set(codes) <= set(entry.language_codes)]
    own = [one for one in able.values() if len(codes) == 1 and one.language_codes == tuple(codes)]
    parts = [f"one for many languages: {_shown(many[0])}"] if many else []
    if own:
        parts.append(f"one for {language_name(codes[0])}: {_shown(own[0])}")
    if not parts:
        return "No encoder of the catalogue is known for it: look on the Hugging Face Hub."
    return f"Take {', or '.join(parts)}."


def _shown(entry: EncoderEntry) -> str:
    return f"--encoder {entry.alias} ({size(round(4e6 * entry.parameters))})"


def _entry_of(name: str) -> EncoderEntry | None:
    try:
        return None if is_random(name) else resolve(name).entry
    except FinetextError:  # reported where it is loaded
        return None
