"""Zero-shot classification: the names and descriptions of the labels, and no labeled text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypeVar

import numpy as np

from finetext.core.arrays import Floats, probabilities_of, unit
from finetext.core.contracts import Classifier, FitContext, Method, hyperparameters
from finetext.core.decision import Decision
from finetext.core.errors import RecipeError
from finetext.core.settings import Precision
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.encoders.catalogue import is_random, resolve
from finetext.encoders.gliclass import check_installed, is_gliclass
from finetext.encoders.states import FrozenEncoder
from finetext.methods.entailment import (
    ENTAILMENT_TEMPLATES,
    EntailmentClassifier,
    entailment_outputs,
)
from finetext.methods.gliclass import GliclassClassifier, label_text
from finetext.methods.label_sentences import (
    BARE_TEMPLATES,
    Descriptions,
    check_descriptions,
    check_labels,
    check_templates,
    in_words,
    sentences_of,
    several,
    templates_for,
)
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text
from finetext.training.precision import choose_device

SCALE: Final = 20.0
"""Factor on cosines with which MiniLM was trained; its probabilities are about right with it."""
LABEL_WEIGHT: Final = 0.5
"""Weight of the label itself in its vector, beside the texts that are near it."""
FEWEST_TEXTS: Final = 20
"""Texts for each label from which that is its weight; with fewer texts it is higher."""
PASSES: Final = 5
MOST_TEXTS: Final = 2_000
"""Unlabeled texts that vectors of labels move toward."""
TIMES_CHANCE: Final = 2.0
"""With several labels a text and no unlabeled texts, the threshold in multiples of 1 / labels."""
SCALES: Final = (0.01, 1_000.0)
WEIGHTS: Final = "zeroshot.safetensors"
ABOUT: Final = "zeroshot.json"
_Pretrained = TypeVar("_Pretrained", EntailmentClassifier, GliclassClassifier)


@dataclass(frozen=True)
class ZeroShot(Method):
    """Compare texts with the names of the labels, and their descriptions, in a sentence encoder.

    The vector of a label is the mean of its name in the templates or, halfway between, of that and
    its descriptions. It then moves toward the texts that are near it, as in k-means with given
    centers (Basu, Banerjee and Mooney 2002, "Semi-supervised Clustering by Seeding"): of the rows
    to learn from the texts are read, once each, never the labels. In a run its temperature and
    thresholds come from validation rows, as those of every method.

    A model for natural language inference, such as "minilm-nli", reads each text with a hypothesis
    for each label instead, and learns from no text; see `EntailmentClassifier`. Nor does a GLiClass
    model, such as "gliclass-base", which reads a text and all labels at once; see
    `GliclassClassifier`.

    Attributes:
        encoder: alias, Hub name or folder of a sentence encoder, of a model for inference, or of a
            GLiClass model (`finetext models --task zero-shot`), "minilm" by default.
        descriptions: label to a sentence or phrase, or to several, that say what its texts are
            about or look like; none by default. Names alone suffice where they say what is meant.
        templates: sentences in which `{}` is replaced by the name of a label. None (the default) is
            three in English with an English encoder that has an alias, the bare name with any
            other, and "This example is {}." with a model for inference, where descriptions are
            hypotheses of their own. A GLiClass model reads the name, bare or in one template, and
            after a colon the descriptions.
        precision: "fp32", "bf16", "fp16" (on a GPU), or "auto" (the default): bf16 where the
            hardware is fast at it, else fp32.
    """

    name: ClassVar[str] = "zeroshot"
    needs_validation: ClassVar[bool] = False
    is_baseline: ClassVar[bool] = True
    encoder: str = "minilm"
    descriptions: Descriptions | None = None
    templates: tuple[str, ...] | None = None
    precision: Precision = "auto"

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Refuse random weights, templates without a place, and labels that say nothing."""
        if is_random(self.encoder):
            raise RecipeError(
                f"zeroshot: {self.encoder} has random weights, which know no word. Leave zeroshot "
                "out, or name a sentence encoder: finetext models --task zero-shot"
            )
        resolve(self.encoder)
        check_installed(self.encoder)
        if self.templates is not None and not self.templates:
            raise RecipeError('zeroshot: templates = []: give one or more, such as "{}"')
        check_templates(self.name, self.templates or ())
        check_descriptions(self.name, self.descriptions or {}, scheme)
        if scheme is not None:
            check_labels(scheme, self.descriptions or {})

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> AnyZeroShot:
        """Make the vectors of the labels; labels of rows are not looked at. See `Method.fit`."""
        assert train.scheme is not None
        made = self.classifier(train.scheme, train.texts, context)
        return made.with_decision(Decision())

    def classifier(
        self, scheme: LabelScheme, texts: Sequence[str], context: FitContext
    ) -> AnyZeroShot:
        """Return the classifier for labels, whose vectors are near unlabeled texts, if any."""
        self.check(scheme)
        if is_gliclass(self.encoder):
            return self._pretrained(GliclassClassifier, scheme, self._label_texts(scheme), context)
        if entailment_outputs(self.encoder) is not None:
            hypotheses = tuple(self._hypotheses(label) for label in scheme.names)
            return self._pretrained(EntailmentClassifier, scheme, hypotheses, context)
        entry = resolve(self.encoder).entry
        if entry is not None and "zero-shot" not in entry.tasks:
            message = (
                f"zeroshot: {self.encoder} was not trained to compare texts, so it hardly tells "
                "labels apart; finetext models --task zero-shot lists encoders that were"
            )
            context.find(Finding("warning", "zero-shot-encoder", message))
        shared = context.shared
        if shared is not None and len(shared.texts) > 2 * MOST_TEXTS:  # far more than are needed
            context = replace(context, shared=None)
        encoder = FrozenEncoder.for_fits(context, self.encoder, precision=self.precision)
        decision, vectors = Decision(), self._vectors(encoder, scheme)
        if scheme.multilabel:
            decision = _same_for_all(min(0.5, TIMES_CHANCE / len(scheme)), scheme)
        made = ZeroShotClassifier(scheme, decision, encoder, vectors, about=self._about())
        once = list(dict.fromkeys(texts))  # a text that was copied would pull vectors toward itself
        rows = np.random.default_rng(context.seed).permutation(len(once))[:MOST_TEXTS]
        return made.adapted_to([once[row] for row in np.sort(rows)], context)

    def _pretrained(
        self, kind: type[_Pretrained], scheme: LabelScheme, said: Any, context: FitContext
    ) -> _Pretrained:
        """Return the classifier of a model that learns nothing; all folds share one that knows all.

        `said` is what the model reads of each label.
        """
        shared = context.shared

        def make() -> _Pretrained:
            how = context.device, self.precision
            made = kind.pretrained(self.encoder, scheme, said, *how)
            made = replace(made, about=self._about())
            return made if shared is None else made.knowing(shared.texts)

        key = (kind.kind, self.encoder, said, self.precision, context.device)
        found: _Pretrained = make() if shared is None else shared.once(key, make)
        return found

    def _about(self) -> dict[str, Any]:
        """What the provenance of the classifier says of the method."""
        return {name: of for name, of in hyperparameters(self).items() if of is not None}

    def _hypotheses(self, label: str) -> tuple[str, ...]:
        """Return the descriptions of a label, or its name in the templates."""
        if label in (self.descriptions or {}):
            return several((self.descriptions or {})[label])
        templates = self.templates or ENTAILMENT_TEMPLATES
        return tuple(template.replace("{}", in_words(label)) for template in templates)

    def _label_texts(self, scheme: LabelScheme) -> tuple[str, ...]:
        """Return what a GLiClass model reads of each label."""
        templates = self.templates or BARE_TEMPLATES
        if len(templates) > 1:
            raise RecipeError(
                f"zeroshot: {self.encoder} is a GLiClass model, which reads each label once: give "
                f"one template, not {len(templates)}"
            )
        return tuple(label_text(of, self.descriptions or {}, templates[0]) for of in scheme.names)

    def _vectors(self, encoder: FrozenEncoder, scheme: LabelScheme) -> Floats:
        """Return (k, d) unit vectors of the labels alone."""
        templates = self.templates or templates_for(self.encoder)

        def mean(sentences: Sequence[str]) -> Floats:
            found: Floats = unit(encoder.states(list(sentences))).mean(axis=0)
            return found

        vectors = []
        for label in scheme.names:
            parts = sentences_of(label, self.descriptions or {}, templates)
            vectors.append(np.mean([mean(part) for part in parts if part], axis=0))
        return unit(np.array(vectors))


@dataclass(frozen=True, eq=False)
class ZeroShotClassifier(Classifier):
    """Cosines of a text with (k, d) unit `vectors` of labels, times `scale`, as logits.

    With several labels a text, the odds of each are those against all others, and the threshold
    gives as many labels as there were unlabeled texts, one a text on average.

    Attributes:
        unlabeled_texts: how many texts the vectors moved toward.
        about: what its provenance says of how it was made.
    """

    kind: ClassVar[str] = "zeroshot"
    scheme: LabelScheme
    decision: Decision
    encoder: FrozenEncoder
    vectors: Floats
    scale: float = SCALE
    temperature: float = 1.0
    unlabeled_texts: int = 0
    about: Mapping[str, Any] | None = None

    def logits(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.logits`."""
        if not len(texts):
            return np.zeros((0, len(self.scheme)))
        found = self.scale * unit(self.encoder.states(texts)) @ self.vectors.T
        if self.scheme.multilabel:
            found = _against_the_others(found)
        return np.asarray(found / self.temperature)

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        return probabilities_of(self.logits(texts), self.scheme.multilabel)

    def adapted_to(self, texts: Sequence[str], context: FitContext | None = None) -> Self:
        """Return the classifier with vectors that moved toward unlabeled texts near them."""
        if not len(texts):
            return self
        states = unit(self.encoder.states(texts, context))
        weight = max(LABEL_WEIGHT, FEWEST_TEXTS / (FEWEST_TEXTS + len(texts) / len(self.scheme)))
        vectors = self.vectors
        for _ in range(PASSES):
            shares = probabilities_of(SCALE * states @ vectors.T, False)
            vectors = unit(weight * self.vectors + (1 - weight) * unit(shares.T @ states))
        cosines = states @ vectors.T
        scale = _matching_confidence(cosines, SCALE * states @ self.vectors.T)
        made = replace(self, vectors=vectors, scale=scale, unlabeled_texts=len(texts))
        if not self.scheme.multilabel:
            return made
        found = np.sort(probabilities_of(_against_the_others(scale * cosines), True), axis=None)
        between = float(found[-len(texts)] + found[-len(texts) - 1]) / 2
        return made.with_decision(_same_for_all(between, self.scheme))

    @property
    def number_format(self) -> Precision:
        """See `Classifier.number_format`."""
        return self.encoder.precision

    def with_precision(self, precision: Precision) -> Self:
        """See `Classifier.with_precision`."""
        return replace(self, encoder=replace(self.encoder, precision=precision))

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        return replace(self, temperature=self.temperature * temperature)

    def save_weights(self, folder: Path) -> None:
        """Write the encoder and its tokenizer into `encoder/`, the rest beside it."""
        from safetensors.numpy import save_file

        saved = self.encoder.save(folder / "encoder")
        save_file({"vectors": np.ascontiguousarray(self.vectors)}, folder / WEIGHTS)
        saved |= {"scale": self.scale, "temperature": self.temperature}
        saved |= {"unlabeled_texts": self.unlabeled_texts, "about": dict(self.about or {})}
        write_json(folder / ABOUT, saved)

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` wrote."""
        from safetensors.numpy import load_file

        saved = json.loads(read_received_text(folder, ABOUT))
        encoder = FrozenEncoder.saved(folder / "encoder", saved, choose_device(device))
        vectors = load_file(folder / WEIGHTS)["vectors"]
        width = encoder.model.config.hidden_size
        if vectors.shape != (len(scheme), width) or not np.isfinite(vectors).all():
            raise ValueError(f"{WEIGHTS} does not have {len(scheme)} vectors of {width} numbers")
        factors = float(saved["scale"]), float(saved["temperature"])
        if not all(math.isfinite(factor) and factor > 0 for factor in factors):
            raise ValueError(f"{ABOUT}: scale and temperature must be positive numbers")
        count = saved["unlabeled_texts"]
        if not isinstance(count, int) or not isinstance(saved["about"], dict):
            raise ValueError(f"{ABOUT}: unlabeled_texts is no number, or about no table")
        return cls(scheme, decision, encoder, vectors, *factors, count, saved["about"])

    def provenance(self) -> dict[str, Any]:
        """Return how it was made, how many unlabeled texts it read, and how."""
        read = {"unlabeled_texts": self.unlabeled_texts, "window": self.encoder.max_length}
        return {**(self.about or {}), **read}


AnyZeroShot = ZeroShotClassifier | EntailmentClassifier | GliclassClassifier


def _same_for_all(threshold: float, scheme: LabelScheme) -> Decision:
    """Return the decision rule of one threshold for all labels."""
    return Decision(thresholds=(threshold,) * len(scheme))


def _matching_confidence(cosines: Floats, before: Floats) -> float:
    """Return the factor with which cosines are as sure on average as the logits `before`.

    Vectors near the texts are nearer than the labels were, which makes no label more certain.
    """
    wanted = probabilities_of(before, False).max(axis=1).mean()
    least, most = SCALES
    for _ in range(60):
        scale = float(np.sqrt(least * most))
        is_more = probabilities_of(scale * cosines, False).max(axis=1).mean() > wanted
        least, most = (least, scale) if is_more else (scale, most)
    return most


def _against_the_others(logits: Floats) -> Floats:
    """Return (n, k) logarithms of the odds of each label against all others together."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows, likeliest = np.arange(len(shares)), shares.argmax(axis=1)
    others = shares.sum(axis=1, keepdims=True) - shares
    rest = shares.copy()
    rest[rows, likeliest] = 0
    others[rows, likeliest] = rest.sum(axis=1)  # a difference would lose its digits
    return np.asarray(np.log(shares) - np.log(others))
