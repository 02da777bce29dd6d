"""Which way of attribution a classifier gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from finetext.diagnosis.attributions.attributed import Attributed
from finetext.diagnosis.attributions.exact import contribute
from finetext.diagnosis.attributions.gradients import integrate, unsuited
from finetext.diagnosis.attributions.occlusion import occlude
from finetext.diagnosis.words import Span, seen_span
from finetext.errors import RecipeError
from finetext.methods.base import Classifier
from finetext.methods.finetune import TransformerClassifier
from finetext.methods.probe import ProbeClassifier
from finetext.methods.tfidf import TfidfClassifier

Way = Literal["auto", "gradients", "exact", "occlusion"]
GRADIENTS: Final = "integrated gradients"
EXACT: Final = "exact contributions"
OCCLUSION: Final = "occlusion"


@dataclass(frozen=True, eq=False)
class Explainer:
    """A classifier with the way in which it is explained.

    Attributes:
        classifier: any rung.
        way: see `Explanation.way`.
        remark: why it is not the usual one; "" if it is.
    """

    classifier: Classifier
    way: str
    remark: str = ""

    def attribute(self, text: str, column: int) -> Attributed:
        """What each word of a text, as far as it is read, adds to the score of a label."""
        if self.way == EXACT:
            return contribute(cast(TfidfClassifier, self.classifier), text, column)
        if self.way == GRADIENTS:
            return integrate(cast(TransformerClassifier, self.classifier), text, column)
        return occlude(self.classifier, text, column)

    def read(self, text: str) -> Span:
        """The part of a text that the classifier reads."""
        if isinstance(self.classifier, TransformerClassifier):
            return seen_span(self.classifier.tokenizer, self.classifier.max_length, text)
        if isinstance(self.classifier, ProbeClassifier):
            encoder = self.classifier.encoder
            return seen_span(encoder.tokenizer, encoder.max_length, text)
        return 0, len(text)


def choose_way(classifier: Classifier, way: str = "auto") -> Explainer:
    """The classifier with the way asked for, or with its own; see `explain` for what it raises."""
    if way not in get_args(Way):
        raise RecipeError(f"{way!r} is no way to explain; use {', '.join(get_args(Way))}")
    if way in ("auto", "exact") and isinstance(classifier, TfidfClassifier):
        return Explainer(classifier, EXACT)
    if way == "exact":
        raise RecipeError("exact contributions are for tfidf models; leave --way out")
    if way == "occlusion" or (way == "auto" and not isinstance(classifier, TransformerClassifier)):
        return Explainer(classifier, OCCLUSION)
    if not (reason := unsuited(classifier)):
        return Explainer(classifier, GRADIENTS)
    if way == "gradients":
        raise RecipeError(f"there are no integrated gradients: {reason}; use --way occlusion")
    return Explainer(classifier, OCCLUSION, f"no integrated gradients: {reason}")
