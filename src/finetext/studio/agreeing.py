"""How far the annotators of a project agree, by class and by pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from finetext.core.annotations import AnnotatedText, Annotations
from finetext.core.types import Score
from finetext.core.wording import capitalize_first, counted
from finetext.evaluation.agreement import (
    Agreement,
    agreement_of,
    cohen_kappa,
    krippendorff_alpha,
)
from finetext.report.agreement import agreement_sentence, alpha_sentence, people_line
from finetext.storage.codec import Jsonable
from finetext.studio.judgements import current_answers
from finetext.studio.label_set import stored_labels
from finetext.studio.project import Project, stored_settings


@dataclass(frozen=True)
class ClassReliability:
    """Agreement on one label against all others.

    Attributes:
        agreed: where one annotator gives it, how often another gives it too.
        alpha: Krippendorff's alpha.
        kappa: Cohen's kappa of the pair with most texts in common.
    """

    name: str
    agreed: Score
    alpha: Score
    kappa: Score


@dataclass(frozen=True)
class AnnotatorConfusion:
    """How often `a` gave the label of the row where `b` gave that of the column.

    `a` and `b` are None where all pairs are summed; then the matrix is symmetric.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    a: str | None = None
    b: str | None = None


@dataclass(frozen=True)
class ProjectAgreement(Jsonable):
    """The agreement, or `why_not`; `lines` say it in words."""

    agreement: Agreement | None
    classes: tuple[ClassReliability, ...] = ()
    confusion: tuple[AnnotatorConfusion, ...] = ()
    lines: tuple[str, ...] = ()
    why_not: str | None = None


def agreement_in(project: Project) -> ProjectAgreement:
    """Return how far annotators agree on the texts that two or more of them labeled."""
    with project.database.read() as db:
        answers = current_answers(db)
        several = stored_settings(db).multilabel
        texts = dict(db.execute("SELECT id, name FROM texts"))
        labels = stored_labels(db)
    shared = {text: of for text, of in answers.items() if len(of) > 1}
    if not shared:
        return ProjectAgreement(None, why_not="no text has been labeled by two people yet")
    found = Annotations(
        "annotator",
        tuple(
            AnnotatedText(
                texts[text], "", tuple((name, tuple(sorted(given))) for name, given in of)
            )
            for text, of in shared.items()
        ),
        len(answers),
    )
    used = {name for of in shared.values() for _, given in of for name in given}
    names = [of.name for of in labels if not of.retired or of.name in used]
    agreement = agreement_of(found, names, several)
    pair = (agreement.pairs[0].a, agreement.pairs[0].b) if agreement.pairs else None
    return ProjectAgreement(
        agreement,
        tuple(_reliability(of.name, of.agreed, found.texts, pair) for of in agreement.classes),
        () if several else tuple(_confusions(found.texts, names, pair)),
        tuple(_sentences(agreement)),
    )


def _sentences(found: Agreement) -> Iterator[str]:
    """Yield the agreement in sentences."""
    yield f"{agreement_sentence(found)}."
    yield f"{alpha_sentence(found.alpha)}."
    yield f"{capitalize_first(people_line(found))}."
    if found.without_majority:
        tied = counted(found.without_majority, "text")
        yield f"{tied} without a majority: no label to train on until decided."


def _reliability(
    name: str, agreed: Score, texts: Sequence[AnnotatedText], pair: tuple[str, str] | None
) -> ClassReliability:
    """Return the coefficients of one label against the rest."""

    def has(given: tuple[str, ...]) -> tuple[str, ...]:
        return ("yes",) if name in given else ("no",)

    alpha = krippendorff_alpha([[has(given) for _, given in of.answers] for of in texts])
    kappa = Score(np.nan, np.nan, np.nan, 0)
    if pair is not None:
        both = [
            (name in by[pair[0]], name in by[pair[1]])
            for by in (dict(of.answers) for of in texts)
            if pair[0] in by and pair[1] in by
        ]
        one, other = np.array(both, dtype=np.int64).T
        kappa = cohen_kappa(one, other)
    return ClassReliability(name, agreed, alpha, kappa)


def _confusions(
    texts: Sequence[AnnotatedText], names: Sequence[str], pair: tuple[str, str] | None
) -> list[AnnotatorConfusion]:
    """Return the confusion of the pair with most texts in common, and that of all pairs."""
    column = {name: place for place, name in enumerate(names)}
    every, of_pair = (np.zeros((len(names), len(names)), dtype=np.int64) for _ in range(2))
    for of in texts:
        for at, (one, (mine,)) in enumerate(of.answers):
            for two, (other,) in of.answers[at + 1 :]:
                every[column[mine], column[other]] += 1
                every[column[other], column[mine]] += 1
                if (one, two) == pair:
                    of_pair[column[mine], column[other]] += 1
                elif (two, one) == pair:
                    of_pair[column[other], column[mine]] += 1
    found = []
    if pair is not None:
        found.append(AnnotatorConfusion(tuple(names), _rows(of_pair), *pair))
    if pair is None or len({name for of in texts for name, _ in of.answers}) > 2:
        found.append(AnnotatorConfusion(tuple(names), _rows(every)))
    return found


def _rows(counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, row)) for row in counts)
