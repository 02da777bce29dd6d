"""The classifier that fine-tuning makes: a model in the layout of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from finetext.core.arrays import Floats, probabilities_of
from finetext.core.contracts import Classifier
from finetext.core.decision import Decision
from finetext.core.settings import Precision
from finetext.core.types import LabelScheme
from finetext.encoders.load import (
    load_classifier,
    load_tokenizer,
    prepare_tokenizer,
    problem_type,
    quiet,
)
from finetext.encoders.vocabulary import extend_embedding, record_vocabulary
from finetext.training.classification import predict_logits
from finetext.training.precision import choose_device, reading_copy, refuse_overflow
from finetext.training.tokens import tokenize
from finetext.training.truncation import truncation_of


@dataclass(frozen=True, eq=False)
class TransformerClassifier(Classifier):
    """A transformers model with a head of k outputs, its tokenizer, and how it was trained."""

    kind: ClassVar[str] = "transformer"
    scheme: LabelScheme
    decision: Decision
    model: Any
    tokenizer: Any
    max_length: int
    precision: Precision = "auto"
    trained_with: Mapping[str, Any] = field(default_factory=dict)

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return the outputs before softmax or sigmoid."""
        reader = self._reader
        logits = predict_logits(reader, tokenize(self.tokenizer, texts, self.max_length))
        refuse_overflow(logits, reader)
        return logits

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
        """Return the classifier with scaled logits, or itself if its head cannot be scaled."""
        from finetext.encoders.heads import with_temperature

        inputs = tokenize(self.tokenizer, ["Which layer is the last?"], self.max_length).batch([0])
        model = with_temperature(self.model, len(self.scheme), temperature, inputs)
        return self if model is None else replace(self, model=model)

    def save_weights(self, folder: Path) -> None:
        """Write the layout of transformers, so that `pipeline` loads the folder."""
        self.tokenizer.model_max_length = self.max_length
        record_vocabulary(self.model, self.tokenizer)
        with quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read a folder in the layout of transformers."""
        tokenizer = load_tokenizer(str(folder))
        model = load_classifier(str(folder), scheme).eval()
        extend_embedding(str(folder), model, tokenizer)
        prepare_tokenizer(tokenizer, model)
        length = int(tokenizer.model_max_length)
        return cls(scheme, decision, model.to(choose_device(device)), tokenizer, length)

    def provenance(self) -> dict[str, Any]:
        """Return architecture, parameters, input length, and how it was trained."""
        return {
            "architecture": type(self.model).__name__,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "max_length": self.max_length,
            "truncation": truncation_of(self.tokenizer),
            "problem_type": problem_type(self.scheme),
            "trained_with": dict(self.trained_with),
        }
