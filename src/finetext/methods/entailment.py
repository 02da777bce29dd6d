"""Zero-shot classification by inference: does a text entail a hypothesis about its label?"""

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
from finetext.core.contracts import Classifier, batches_of
from finetext.core.decision import Decision
from finetext.core.errors import ModelError
from finetext.core.settings import Precision
from finetext.core.text_columns import as_one, join
from finetext.core.types import LabelScheme
from finetext.encoders.auto import loading
from finetext.encoders.load import (
    load_tokenizer,
    load_weights,
    longest_input,
    prepare_tokenizer,
    quiet,
)
from finetext.encoders.vocabulary import extend_embedding, record_vocabulary
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text
from finetext.training.classification import predict_logits
from finetext.training.precision import choose_device, reading_copy, refuse_overflow
from finetext.training.tokens import tokenize

ENTAILMENT_TEMPLATES: Final = ("This example is {}.",)
"""As in the zero-shot pipeline of transformers."""
ABOUT: Final = "entailment.json"
CONTRARY: Final = ("contradiction", "not_entailment", "neutral")
"""Outputs that stand for the contrary of entailment, the clearest first."""
_PAIRS: Final = 4_000
"""Texts times hypotheses that are tokenized at a time."""


@dataclass(frozen=True, eq=False)
class EntailmentClassifier(Classifier):
    """A model for natural language inference that judges each text with hypotheses of each label.

    The logit of a label is that of "the text entails the hypothesis", the mean of several; with
    several labels a text, that less the logit of the contradiction, or of not entailing it (Yin,
    Hay and Roth 2019, "Benchmarking Zero-shot Text Classification"). A text costs as much as there
    are hypotheses, and a long one is truncated so that each pair fits into the context.

    Attributes:
        hypotheses: one or more of each label.
        entails: the output that stands for entailment.
        contradicts: the one that stands for contradiction, or for no entailment.
        about: what its provenance says of how it was made.
        known: text to logits computed before, without the temperature.
    """

    kind: ClassVar[str] = "entailment"
    scheme: LabelScheme
    decision: Decision
    model: Any
    tokenizer: Any
    max_length: int
    hypotheses: tuple[tuple[str, ...], ...]
    entails: int
    contradicts: int
    precision: Precision = "auto"
    temperature: float = 1.0
    about: Mapping[str, Any] | None = None
    known: Mapping[str, Floats] | None = None

    @classmethod
    def pretrained(
        cls,
        encoder: str,
        scheme: LabelScheme,
        hypotheses: Sequence[Sequence[str]],
        device: str,
        precision: Precision,
    ) -> EntailmentClassifier:
        """Return the classifier with a published model; raises a ModelError if it is none."""
        model, tokenizer = _loaded(encoder)
        found = outputs_of(model.config.id2label)
        if found is None:
            raise ModelError(f"{encoder} is no model for natural language inference")
        return cls(
            scheme, Decision(), model.to(choose_device(device, precision)), tokenizer,
            longest_input(encoder, None), tuple(map(tuple, hypotheses)), *found, precision,
        )  # fmt: skip

    def knowing(self, texts: Sequence[str]) -> EntailmentClassifier:
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
        of_label = np.repeat(range(len(self.scheme)), [len(some) for some in self.hypotheses])
        flat = [one for some in self.hypotheses for one in some]
        logits = np.zeros((len(texts), len(self.scheme)))
        for part in batches_of(len(texts), max(1, _PAIRS // len(flat))):
            pairs = [join((as_one(text), one)) for text in texts[part] for one in flat]
            found = predict_logits(
                self._reader, tokenize(self.tokenizer, pairs, self.max_length)
            ).reshape(-1, len(flat), self.model.config.num_labels)
            refuse_overflow(found, self._reader)
            scores = found[:, :, self.entails]
            if self.scheme.multilabel:
                scores = scores - found[:, :, self.contradicts]
            for label in range(len(self.scheme)):
                logits[part, label] = scores[:, of_label == label].mean(axis=1)
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
        """See `Classifier.with_temperature`."""
        return replace(self, temperature=self.temperature * temperature)

    def save_weights(self, folder: Path) -> None:
        """Write the model and its tokenizer into `encoder/`, the rest beside it."""
        record_vocabulary(self.model, self.tokenizer)
        with quiet():
            self.model.save_pretrained(folder / "encoder")
            self.tokenizer.save_pretrained(folder / "encoder")
        about = {
            "max_length": self.max_length,
            "hypotheses": [list(some) for some in self.hypotheses],
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
        model, tokenizer = _loaded(str(folder / "encoder"))
        hypotheses, length = saved["hypotheses"], saved["max_length"]
        found, temperature = outputs_of(model.config.id2label), float(saved["temperature"])
        is_list = isinstance(hypotheses, list) and all(
            isinstance(some, list) and some and all(isinstance(one, str) for one in some)
            for some in hypotheses
        )
        if found is None or not is_list or len(hypotheses) != len(scheme):
            raise ValueError(f"{ABOUT} does not fit the model and its labels")
        if not (math.isfinite(temperature) and temperature > 0 and isinstance(length, int)):
            raise ValueError(f"{ABOUT}: temperature and max_length must be positive numbers")
        if not isinstance(saved["about"], dict):
            raise ValueError(f"{ABOUT}: about is no table")
        return cls(
            scheme, decision, model.to(choose_device(device)), tokenizer, length,
            tuple(map(tuple, hypotheses)), *found, temperature=temperature, about=saved["about"],
        )  # fmt: skip

    def provenance(self) -> dict[str, Any]:
        """Return how it was made, the hypotheses of the labels, and the tokens read of a pair."""
        hypotheses = [list(some) for some in self.hypotheses]
        return {**(self.about or {}), "hypotheses": hypotheses, "max_length": self.max_length}


def entailment_outputs(encoder: str) -> tuple[int, int] | None:
    """Return the outputs of a model for inference; None if an encoder is none."""
    with loading(encoder) as path:
        config = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    names = config.get("id2label")
    return outputs_of(names) if isinstance(names, dict) else None


def outputs_of(names: Mapping[Any, Any]) -> tuple[int, int] | None:
    """Return which outputs stand for entailment and for its contrary; None if none do.

    The first is the one whose name begins with "entail", as in the pipeline of transformers.
    """
    known: dict[str, int] = {}
    for output, name in names.items():
        if str(output).isdecimal() and int(output) < len(names):
            known[str(name).strip().lower().replace("-", "_")] = int(output)
    entails = [known[name] for name in known if name.startswith("entail")]
    contrary = [known[name] for name in CONTRARY if name in known]
    return (entails[0], contrary[0]) if len(entails) == 1 and contrary else None


def _loaded(encoder: str) -> tuple[Any, Any]:
    """Return a model with its head, in evaluation mode, and its tokenizer."""
    from transformers import AutoModelForSequenceClassification

    tokenizer = load_tokenizer(encoder)
    model, report = load_weights(AutoModelForSequenceClassification, encoder)
    if report["missing_keys"]:
        missing = ", ".join(sorted(map(str, report["missing_keys"]))[:3])
        raise ModelError(f"the model in {encoder} is damaged: it lacks the weights {missing}")
    extend_embedding(encoder, model.eval(), tokenizer)
    prepare_tokenizer(tokenizer, model)
    return model, tokenizer
