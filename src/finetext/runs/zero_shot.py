"""`zero_shot`: a classifier from the names and descriptions of labels, without a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from finetext.core.console import heard
from finetext.core.contracts import Classifier, FitContext, Listener
from finetext.core.errors import DataError
from finetext.core.settings import made
from finetext.core.text_columns import texts_of
from finetext.core.types import LabelScheme
from finetext.diagnosis.languages import language_findings, languages_in
from finetext.methods.label_sentences import Descriptions
from finetext.methods.llm import Llm
from finetext.methods.zeroshot import AnyZeroShot, ZeroShot


def zero_shot(
    labels: Sequence[str] | Descriptions,
    texts: Sequence[str] = (),
    *,
    encoder: str = "minilm",
    templates: Sequence[str] | None = None,
    multilabel: bool = False,
    text_columns: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    listener: Listener | None = None,
) -> AnyZeroShot:
    """Make a classifier from the names of labels alone.

    It is a `Classifier` as any other: it predicts, is evaluated, saved and served. Its
    probabilities are not calibrated, as no labeled text says how often it is right.

    Args:
        labels: the names of two or more labels, or label to its description or descriptions, where
            an empty one stands for none.
        texts: unlabeled texts of the kind to classify, of which up to 2,000 are read (see
            `ZeroShot`). None by default.
        encoder: alias, Hub name or folder of a sentence encoder, of a model for natural language
            inference, or of a GLiClass model; "minilm" by default.
        templates: sentences with `{}` for the name of a label; see `ZeroShot`.
        multilabel: whether a text can have several labels, False by default.
        text_columns: columns that the texts are from, of which the model then takes new ones.
        seed: which texts are read of more, 0 by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".
        listener: receives progress; by default it is shown on a terminal or in a notebook.

    Raises:
        DataError: labels or texts are no lists of strings, or a label occurs twice.
        RecipeError: there are fewer than two labels, nothing says what they mean, or a setting is
            invalid.
        ModelError: the encoder cannot be loaded.
        UnknownNameError: there is no such encoder.
    """
    method, scheme = prepared(labels, encoder, templates, multilabel, text_columns)
    read = partial(texts_of, texts, scheme.text_columns)
    with heard(listener) as hears:
        found = classifier_of(method, scheme, read, hears, seed, device)
        assert isinstance(found, AnyZeroShot)
        return found


def classifier_of(
    method: ZeroShot | Llm,
    scheme: LabelScheme,
    texts: Callable[[], Sequence[str]],
    hears: Listener,
    seed: int,
    device: str,
) -> Classifier:
    """Return the classifier of labels alone; a sentence encoder reads some texts beforehand.

    A finding says if most of them are in a language that the encoder was not trained on.
    """
    if isinstance(method, Llm):
        hears.say(method.told)
        return method.classifier(scheme)
    read = texts()
    for finding in language_findings(languages_in(read), [method.encoder], "zero-shot"):
        hears.finding(finding)
    context = FitContext(seed, device, progress=hears.progress, find=hears.finding)
    return method.classifier(scheme, read, context)


def prepared(
    labels: Sequence[str] | Descriptions,
    by: str | Llm,
    templates: Sequence[str] | None,
    multilabel: bool,
    text_columns: Sequence[str] = (),
) -> tuple[ZeroShot | Llm, LabelScheme]:
    """Return the method and the labels that `zero_shot` was asked for; raises the same.

    `by` is an encoder, or a language model, which is asked without examples.
    """
    described, scheme = _scheme_of(labels, multilabel, text_columns)
    method: ZeroShot | Llm
    if isinstance(by, Llm):
        method = replace(by, descriptions=described or by.descriptions, examples=0)
    else:
        settings = {"encoder": by, "templates": templates, "descriptions": described}
        method = made("zeroshot", ZeroShot, settings)
    method.check(scheme)
    return method, scheme


def _scheme_of(
    labels: Sequence[str] | Descriptions, multilabel: bool, text_columns: Sequence[str]
) -> tuple[Descriptions | None, LabelScheme]:
    """Return the descriptions that are not empty, if any, and the labels."""
    names = [] if isinstance(labels, str) else list(labels)
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError('labels must be a list of texts, such as ["sports", "politics"]')
    given = labels if isinstance(labels, Mapping) else {}
    several = tuple(text_columns) if len(text_columns) > 1 else ()
    one = text_columns[0] if len(text_columns) == 1 else None
    scheme = LabelScheme(tuple(names), multilabel, text_columns=several, text_column=one)
    return {of: said for of, said in given.items() if said} or None, scheme
