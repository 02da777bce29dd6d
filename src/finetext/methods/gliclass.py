"""Zero-shot classification with GLiClass models, which read a text and all labels at once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats, probabilities_of
from finetext.core.contracts import Classifier
from finetext.core.decision import Decision
from finetext.core.settings import Precision
from finetext.core.types import LabelScheme
from finetext.encoders.gliclass import (
    label_tokens,
    load_gliclass,
    logits_of,
    tokens_with_labels,
)
from finetext.encoders.load import quiet
from finetext.encoders.vocabulary import record_vocabulary
from finetext.methods.label_sentences import Descriptions, sentences_of
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text
from finetext.training.precision import choose_device, reading_copy, refuse_overflow

ABOUT: Final = "gliclass.json"


@dataclass(frozen=True, eq=False)
class GliclassClassifier(Classifier):
    """A GLiClass model that gives each label a logit in one pass over a text and all labels.

    With one label a text the probabilities are the softmax of the logits, with several the sigmoid
    of each, as in the pipeline of the library. A long text is truncated so that the labels fit.

    Attributes:
        context: tokens of a text with all labels and special tokens.
        label_texts: what the model reads of each label.
        about: what its provenance says of how it was made.
        known: text to logits computed before, without the temperature.
    """

    kind: ClassVar[str] = "gliclass"
    scheme: LabelScheme
    decision: Decision
    model: Any
    tokenizer: Any
    context: int
    label_texts: tuple[str, ...]
    precision: Precision = "auto"
    temperature: float = 1.0
    about: Mapping[str, Any] | None = None
    known: Mapping[str, Floats] | None = None

    @classmethod
    def pretrained(
        cls,
        encoder: str,
        scheme: LabelScheme,
        label_texts: Sequence[str],
        device: str,
        precision: Precision,
    ) -> GliclassClassifier:
        """Return the classifier with a published model.

        Raises:
            ModelError: the model cannot be loaded.
            RecipeError: it has no room for the labels.
        """
        model, tokenizer, context = load_gliclass(encoder)
        model.to(choose_device(device, precision))
        made = cls(scheme, Decision(), model, tokenizer, context, tuple(label_texts), precision)
        made.logits([])  # whether the labels fit
        return made

    def knowing(self, texts: Sequence[str]) -> GliclassClassifier:
        """Return the classifier with the logits of these texts, so that it reads each only once."""
        different = list(dict.fromkeys(texts))
        return replace(self, known=dict(zip(different, self._computed(different), strict=True)))

    def logits(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.logits`."""
        if self.known is not None and len(texts) and all(text in self.known for text in texts):
            return np.stack([self.known[text] for text in texts]) / self.temperature
        return self._computed(texts) / self.temperature

    def _computed(self, texts: Sequence[str]) -> Floats:
        """Return (n, k) logits without the temperature."""
        tokens = tokens_with_labels(
            self.model, self.tokenizer, self.label_texts, texts, self.context
        )
        found = logits_of(self._reader, tokens, len(self.scheme))
        refuse_overflow(found, self._reader)
        return found

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        return probabilities_of(self.logits(texts), self.scheme.multilabel)

    @cached_property
    def _reader(self) -> Any:
        """The model in the precision of prediction."""
        return reading_copy(self.model, self.precision)

    @property
    def number_format(self) -> Precision:
        """See `Classifier.number_format`."""
        return self.precision

    def with_precision(self, precision: Precision) -> Self:
        """See `Classifier.with_precision`."""
        return replace(self, precision=precision)

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        return replace(self, temperature=self.temperature * temperature)

    def save_weights(self, folder: Path) -> None:
        """Write the model and its tokenizer into `encoder/`, the rest beside it."""
        record_vocabulary(self.model, self.tokenizer)
        with quiet():
            self.model.save_pretrained(folder / "encoder")
            self.tokenizer.save_pretrained(folder / "encoder")
        about = {
            "context": self.context,
            "label_texts": list(self.label_texts),
            "temperature": self.temperature,
            "about": dict(self.about or {}),
        }
        write_json(folder / ABOUT, about)

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` wrote."""
        saved = json.loads(read_received_text(folder, ABOUT))
        label_texts, length = saved["label_texts"], saved["context"]
        is_list = isinstance(label_texts, list) and all(isinstance(of, str) for of in label_texts)
        if not is_list or len(label_texts) != len(scheme):
            raise ValueError(f"{ABOUT} does not have one text for each label")
        temperature = float(saved["temperature"])
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"{ABOUT}: temperature must be a positive number")
        if not isinstance(saved["about"], dict):
            raise ValueError(f"{ABOUT}: about is no table")
        model, tokenizer, context = load_gliclass(str(folder / "encoder"))
        if not (isinstance(length, int) and 0 < length <= context):
            raise ValueError(f"{ABOUT}: context must be a number from 1 to {context}")
        return cls(
            scheme, decision, model.to(choose_device(device)), tokenizer, length,
            tuple(label_texts), temperature=temperature, about=saved["about"],
        )  # fmt: skip

    def provenance(self) -> dict[str, Any]:
        """Return how it was made, what it reads of the labels, and the tokens read of a text."""
        taken = len(label_tokens(self.model, self.tokenizer, self.label_texts))
        read = {"label_texts": list(self.label_texts), "max_length": self.context - taken}
        return {**(self.about or {}), **read}


def label_text(label: str, described: Descriptions, template: str) -> str:
    """Return what a model reads of a label: its name, then its descriptions after a colon.

    The name is left out if it says nothing and there are descriptions.
    """
    names, descriptions = sentences_of(label, described, [template])
    return ": ".join([*names, *(["; ".join(descriptions)] if descriptions else [])])
