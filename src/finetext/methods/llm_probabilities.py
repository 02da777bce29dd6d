"""Probabilities of labels from the answers of a language model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.types import LabelScheme
from finetext.methods.llm_prompt import AROUND_A_LABEL, ONE, columns_in, thought

PRIOR_ANSWERS: Final = 1.0
"""Answers that the shares of the labels are worth beside those of the model."""
PRIOR_SHARE: Final = 0.001
"""Share of those shares in probabilities from log-probabilities, so that none is 0."""
_VALUE: Final = re.compile(rf'"{ONE}"\s*:\s*"')


@dataclass(frozen=True)
class Token:
    """A token of an answer, its log-probability, and tokens that could be there with theirs."""

    text: str
    logprob: float
    others: tuple[tuple[str, float], ...] = ()


def shares_of(targets: Floats | None, scheme: LabelScheme) -> Floats:
    """Return (k,) shares of the labels in rows, as if each label had one row more.

    Without rows all labels are equally likely, and when multi-label each is as likely as not.
    """
    k = len(scheme)
    if targets is None:
        return np.full(k, 0.5 if scheme.multilabel else 1 / k)
    if scheme.multilabel:
        return np.asarray((targets.sum(axis=0) + 1) / (len(targets) + 2))
    counts = np.bincount(targets.astype(np.int64), minlength=k)
    return np.asarray((counts + 1) / (counts.sum() + k))


def from_answers(contents: Sequence[str], prior: Floats, scheme: LabelScheme) -> Floats:
    """Return (k,) frequencies of the labels in one answer or several, smoothed.

    The prior counts as one answer more, and stands for each invalid one; with several labels a
    text an invalid answer gives none. So a single answer gives its label 1/2 plus half of the share
    that the label has anyway.
    """
    total = PRIOR_ANSWERS * prior
    for content in contents:
        columns = columns_in(content, scheme)
        if columns is None and not scheme.multilabel:
            total = total + prior
        else:
            given = np.zeros(len(scheme))
            given[columns or []] = 1
            total = total + given
    return np.asarray(total / (PRIOR_ANSWERS + len(contents)))


def from_tokens(
    content: str, tokens: Sequence[Token], prior: Floats, scheme: LabelScheme
) -> Floats | None:
    """Return (k,) probabilities from the log-probabilities of an answer that is one label.

    The tokens of the label are followed from its beginning. Where other tokens could have led to
    other labels, these get the probability of that way; labels that share a way divide it equally.
    What none of the listed tokens leads to is left out, and the rest sums to 1. What a model thinks
    before it answers is not looked at.

    None if the answer is invalid, if the tokens are not those of the answer, or if another label
    than that of the answer is the most probable one, which is then the better witness.
    """
    columns = columns_in(content, scheme)
    if columns is None or "".join(token.text for token in tokens) != content:
        return None
    start, spelled = _label_in(content, scheme)
    found, alive, way, at, before = np.zeros(len(scheme)), list(range(len(scheme))), 1.0, 0, ""
    for token in tokens:
        first, at = at, at + len(token.text)
        if at <= start:
            continue
        lead = token.text[: max(0, start - first)]
        for other, logprob in token.others:
            if other != token.text and other.startswith(lead):
                led = _leading_to(before + other[len(lead) :], alive, spelled)
                for column in led:
                    found[column] += way * math.exp(logprob) / len(led)
        before += token.text[len(lead) :]
        way *= math.exp(token.logprob)
        alive = _leading_to(before, alive, spelled)
        if len(alive) < 2:
            break
    if len(alive) > 1:  # the answer ends with one of them
        alive = [column for column in alive if column in columns]
    for column in alive:
        found[column] += way / len(alive)
    total = found.sum()
    if not (alive and math.isfinite(total) and total > 0):
        return None
    likely = np.asarray((1 - PRIOR_SHARE) * found / total + PRIOR_SHARE * prior)
    return likely if [int(likely.argmax())] == columns else None


def _label_in(content: str, scheme: LabelScheme) -> tuple[int, list[str]]:
    """Return where the label begins in an answer, and all labels as they would be spelled there."""
    begin = thought(content)
    if (found := _VALUE.search(content, begin)) is None:
        rest = content[begin:]
        start = begin + len(rest) - len(rest.lstrip(AROUND_A_LABEL))
        return start, list(scheme.names)
    spelled = [json.dumps(name, ensure_ascii=False)[1:] for name in scheme.names]
    return found.end(), spelled


def _leading_to(text: str, alive: Sequence[int], spelled: Sequence[str]) -> list[int]:
    """Return the labels that a text begins, or that the text is with marks after it."""
    return [
        column
        for column in alive
        if text and (spelled[column].startswith(text) or _is_ended(text, spelled[column]))
    ]


def _is_ended(text: str, label: str) -> bool:
    """Return whether a text is a label and what may follow one: "sports" is not "sport".

    In JSON a quotation mark ends the label, and anything may follow.
    """
    rest = text.removeprefix(label).strip(AROUND_A_LABEL + ".")
    return text.startswith(label) and (label.endswith('"') or not rest)
