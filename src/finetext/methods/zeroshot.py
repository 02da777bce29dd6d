"""Zero-shot classification: the names and descriptions of the labels, and no labeled text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats, probabilities_of
from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import Decision
from finetext.core.display import labels_in_words
from finetext.core.errors import DataError, RecipeError, nearest
from finetext.core.settings import Precision
from finetext.core.text_columns import texts_of
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.catalogue import is_random, resolve
from finetext.encoders.states import FrozenEncoder
from finetext.methods.entailment import (
    ENTAILMENT_TEMPLATES,
    EntailmentClassifier,
    entailment_outputs,
)
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text
from finetext.training.precision import choose_device

TEMPLATES: Final = ("{}", "This text expresses {}.", "The topic is {}.")
MULTILINGUAL_TEMPLATES: Final = ("{}",)
SCALE: Final = 20.0
"""Factor on cosines, with which sentence encoders are trained (Reimers and Gurevych, the library
sentence-transformers, `MultipleNegativesRankingLoss`); it makes probabilities about right, too."""
OWN_SHARE: Final = 0.5
"""Share of the label itself in its vector, beside that of the texts that are near it."""
FEWEST_TEXTS: Final = 20
"""Texts for each label from which the label has half of that share; with fewer it has more."""
PASSES: Final = 5
MOST_LIKELY: Final = 4.0
"""With several labels a text and no unlabeled texts: how many times as likely as by chance."""
SCALES: Final = (0.01, 1_000.0)
MOST_TEXTS: Final = 2_000
"""Unlabeled texts that vectors of labels move toward."""
WEIGHTS: Final = "zeroshot.safetensors"
ABOUT: Final = "zeroshot.json"
Descriptions = Mapping[str, str | tuple[str, ...]]
_SAYS_NOTHING: Final = re.compile(
    r"[\W\d_]*|\w|(label|class|category|cat|c|l)[\W_]*\d+|yes|no|true|false|none", re.IGNORECASE
)


@dataclass(frozen=True)
class ZeroShot(Method):
    """Compare texts with the names of the labels, and their descriptions, in a sentence encoder.

    The vector of a label is the mean of its name in each template and of its descriptions. It then
    moves toward the texts that are near it, as in k-means with given centers (Basu, Banerjee and
    Mooney 2002, "Semi-supervised Clustering by Seeding"): of the rows to learn from the texts are
    read, never the labels. So a run with this method says what labels are worth.

    A model for natural language inference, such as "minilm-nli", reads each text with a statement
    of each label instead, and learns from no text; see `EntailmentClassifier`.

    Attributes:
        encoder: alias, Hub name or folder of a sentence encoder, or of a model for inference
            (`finetext models --task zero-shot`), "minilm" by default.
        descriptions: label to a sentence or phrase, or to several, that say what its texts are
            about or look like; none by default. Names alone suffice where they say what is meant.
        templates: sentences in which `{}` is replaced by the name of a label; None (the default) is
            three in English, but the bare name with a multilingual encoder, and "This example is
            {}." with a model for inference, where descriptions are statements of their own.
        precision: "fp32", "bf16", "fp16" (on a GPU), or "auto" (the default): bf16 where the
            hardware is fast at it, else fp32.
    """

    name: ClassVar[str] = "zeroshot"
    needs_validation: ClassVar[bool] = False
    encoder: str = "minilm"
    descriptions: Descriptions | None = None
    templates: tuple[str, ...] | None = None
    precision: Precision = "auto"

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Refuse random weights, templates without a place, and labels that say nothing."""
        if is_random(self.encoder):
            raise RecipeError(
                f"zeroshot: {self.encoder} has random weights, which know no word. Leave zeroshot "
                "out, or name a sentence encoder: finetext models"
            )
        resolve(self.encoder)
        if self.templates is not None and not self.templates:
            raise RecipeError('zeroshot: templates = []: give one or more, such as "{}"')
        for template in self.templates or ():
            if template.count("{}") != 1:
                raise RecipeError(
                    f'zeroshot: the template "{template}" needs {{}} once, where the name of a '
                    'label goes, as in "This text is about {}."'
                )
        for label, said in (self.descriptions or {}).items():
            if not all(one.strip() for one in _several(said)) or not _several(said):
                raise RecipeError(f"zeroshot: the description of {label!r} is empty; write it")
        if scheme is not None:
            self._check_labels(scheme)

    def _check_labels(self, scheme: LabelScheme) -> None:
        """Refuse descriptions of other labels, a single label, and labels that say nothing."""
        described = self.descriptions or {}
        for label in described:
            if label not in scheme.index:
                raise RecipeError(
                    f"zeroshot: there is a description of {label!r}, which is no label here"
                    f"{nearest(label, scheme.names)}"
                )
        if len(scheme) < 2:
            raise RecipeError("zeroshot: it compares labels, so it needs two or more")
        unclear = [of for of in scheme.names if of not in described and is_unclear(of)]
        if len(unclear) == len(scheme) - len(described) and unclear:
            raise RecipeError(
                f"zeroshot: nothing in {labels_in_words(unclear)} says what the texts are about. "
                "Describe the labels (--describe FILE, or descriptions in the recipe), or leave "
                "zeroshot out"
            )

    def fit(
        self, train: Dataset, validation: Dataset, context: FitContext
    ) -> ZeroShotClassifier | EntailmentClassifier:
        """Make the vectors of the labels; labels of rows are not looked at. See `Method.fit`."""
        assert train.scheme is not None
        made = self.classifier(train.scheme, train.texts, context)
        return made.with_decision(Decision())

    def classifier(
        self, scheme: LabelScheme, texts: Sequence[str], context: FitContext
    ) -> ZeroShotClassifier | EntailmentClassifier:
        """Return the classifier for labels, whose vectors are near unlabeled texts, if any."""
        self.check(scheme)
        if entailment_outputs(self.encoder) is not None:
            statements = [self._statements(label) for label in scheme.names]
            how = context.device, self.precision
            return EntailmentClassifier.pretrained(self.encoder, scheme, statements, *how)
        encoder = FrozenEncoder.for_fits(context, self.encoder, precision=self.precision)
        decision = Decision()
        if scheme.multilabel:
            decision = _same_for_all(min(0.5, MOST_LIKELY / len(scheme)), scheme)
        made = ZeroShotClassifier(scheme, decision, encoder, self._vectors(encoder, scheme))
        rows = np.random.default_rng(context.seed).permutation(len(texts))[:MOST_TEXTS]
        return made.near([texts[row] for row in np.sort(rows)], context)

    def _statements(self, label: str) -> tuple[str, ...]:
        """Return the descriptions of a label, or its name in the templates."""
        if label in (self.descriptions or {}):
            return _several((self.descriptions or {})[label])
        templates = self.templates or ENTAILMENT_TEMPLATES
        return tuple(template.replace("{}", in_words(label)) for template in templates)

    def _vectors(self, encoder: FrozenEncoder, scheme: LabelScheme) -> Floats:
        """Return (k, d) unit vectors of the labels alone."""
        templates = self.templates or templates_for(self.encoder)
        described = self.descriptions or {}

        def mean(sentences: Sequence[str]) -> Floats:
            found: Floats = _unit(encoder.states(list(sentences))).mean(axis=0)
            return found

        vectors = []
        for label in scheme.names:
            parts = [mean([template.replace("{}", in_words(label)) for template in templates])]
            if label in described:
                parts = [] if is_unclear(label) else parts
                parts.append(mean(_several(described[label])))
            vectors.append(np.mean(parts, axis=0))
        return _unit(np.array(vectors))


@dataclass(frozen=True, eq=False)
class ZeroShotClassifier(Classifier):
    """Cosines of a text with (k, d) unit `vectors` of labels, times `scale`, as logits.

    With several labels a text, the odds of each are those against all others, and the threshold
    gives as many labels as there were unlabeled texts, one a text on average.
    """

    kind: ClassVar[str] = "zeroshot"
    scheme: LabelScheme
    decision: Decision
    encoder: FrozenEncoder
    vectors: Floats
    scale: float = SCALE
    temperature: float = 1.0
    texts: int = 0

    def logits(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.logits`."""
        if not len(texts):
            return np.zeros((0, len(self.scheme)))
        found = self.scale * _unit(self.encoder.states(texts)) @ self.vectors.T
        if self.scheme.multilabel:
            found = _against_the_others(found)
        return np.asarray(found / self.temperature)

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        return probabilities_of(self.logits(texts), self.scheme.multilabel)

    def near(self, texts: Sequence[str], context: FitContext | None = None) -> Self:
        """Return the classifier with vectors that moved toward unlabeled texts near them."""
        if not len(texts):
            return self
        states = _unit(self.encoder.states(texts, context))
        own = max(OWN_SHARE, FEWEST_TEXTS / (FEWEST_TEXTS + len(texts) / len(self.scheme)))
        vectors = self.vectors
        for _ in range(PASSES):
            shares = probabilities_of(SCALE * states @ vectors.T, False)
            vectors = _unit(own * self.vectors + (1 - own) * _unit(shares.T @ states))
        scale = _as_sure(states @ vectors.T, SCALE * states @ self.vectors.T)
        decision = self.decision
        if self.scheme.multilabel:
            given = np.sort(probabilities_of(scale * states @ vectors.T, False), axis=None)
            decision = _same_for_all(float(given[-len(texts)]), self.scheme)
        return replace(self, vectors=vectors, texts=len(texts), scale=scale, decision=decision)

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

        about = self.encoder.save(folder / "encoder")
        save_file({"vectors": np.ascontiguousarray(self.vectors)}, folder / WEIGHTS)
        about |= {"scale": self.scale, "temperature": self.temperature, "texts": self.texts}
        write_json(folder / ABOUT, about)

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` wrote."""
        from safetensors.numpy import load_file

        about = json.loads(read_received_text(folder, ABOUT))
        encoder = FrozenEncoder.saved(folder / "encoder", about, choose_device(device))
        vectors = load_file(folder / WEIGHTS)["vectors"]
        width = encoder.model.config.hidden_size
        if vectors.shape != (len(scheme), width) or not np.isfinite(vectors).all():
            raise ValueError(f"{WEIGHTS} does not have {len(scheme)} vectors of {width} numbers")
        factors = float(about["scale"]), float(about["temperature"])
        return cls(scheme, decision, encoder, vectors, *factors, int(about["texts"]))

    def provenance(self) -> dict[str, Any]:
        """Return how many unlabeled texts it read, and how."""
        return {"unlabeled_texts": self.texts, "window": self.encoder.max_length}


def zero_shot(
    labels: Sequence[str] | Descriptions,
    texts: Sequence[str] = (),
    *,
    encoder: str = "minilm",
    templates: Sequence[str] | None = None,
    multilabel: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> ZeroShotClassifier | EntailmentClassifier:
    """Make a classifier from the names of labels alone.

    It is a `Classifier` as any other: it predicts, is evaluated, saved and served. Its
    probabilities are not calibrated, as no labeled text says how often it is right.

    Args:
        labels: the names of two or more labels, or label to its description or descriptions, where
            an empty one stands for none.
        texts: unlabeled texts of the kind to classify, of which up to 2,000 are read; the more are
            like those, the better it becomes (see `ZeroShot`). None by default.
        encoder: alias, Hub name or folder of a sentence encoder, "minilm" by default.
        templates: sentences with `{}` for the name of a label; see `ZeroShot`.
        multilabel: whether a text can have several labels, False by default.
        seed: which texts are read of more, 0 by default.
        device: "auto" (the default), "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        DataError: a label occurs twice.
        RecipeError: there are less than two labels, or nothing says what they mean.
        UnknownNameError: there is no such encoder.
    """
    if isinstance(labels, str):
        raise DataError('labels must be a list, such as ["sports", "politics"], not one text')
    described = labels if isinstance(labels, Mapping) else {}
    kept = {of: said for of, said in described.items() if said}
    method = ZeroShot(encoder, kept or None, None if templates is None else tuple(templates))
    scheme = LabelScheme(tuple(labels), multilabel)
    method.check(scheme)
    return method.classifier(scheme, texts_of(texts), FitContext(seed, device))


def templates_for(encoder: str) -> tuple[str, ...]:
    """Return the templates for an encoder: English ones unless it knows several languages."""
    entry = resolve(encoder).entry
    is_english = entry is None or entry.language_codes == ("en",)
    return TEMPLATES if is_english else MULTILINGUAL_TEMPLATES


def in_words(label: str) -> str:
    """Return the name of a label as words: "card_not_working" is "card not working"."""
    return " ".join(label.replace("_", " ").split()) or label


def is_unclear(label: str) -> bool:
    """Return whether the name of a label says nothing of its texts, as "1", "LABEL_0" or "yes"."""
    return _SAYS_NOTHING.fullmatch(label.strip()) is not None


def _several(said: str | Sequence[str]) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else tuple(said)


def _same_for_all(threshold: float, scheme: LabelScheme) -> Decision:
    """Return the decision rule of one threshold for all labels."""
    return Decision(thresholds=(threshold,) * len(scheme))


def _as_sure(cosines: Floats, before: Floats) -> float:
    """Return the factor with which cosines are as sure on average as the logits `before`.

    Vectors near the texts are nearer than the labels were, which makes no label more certain.
    """
    wanted = probabilities_of(before, False).max(axis=1).mean()
    least, most = SCALES
    for _ in range(60):
        scale = (least * most) ** 0.5
        is_more = probabilities_of(scale * cosines, False).max(axis=1).mean() > wanted
        least, most = (least, scale) if is_more else (scale, most)
    return scale


def _against_the_others(logits: Floats) -> Floats:
    """Return (n, k) logarithms of the odds of each label against all others together."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows, likeliest = np.arange(len(shares)), shares.argmax(axis=1)
    others = shares.sum(axis=1, keepdims=True) - shares
    rest = shares.copy()
    rest[rows, likeliest] = 0
    others[rows, likeliest] = rest.sum(axis=1)  # a difference would lose its digits
    return np.asarray(np.log(shares) - np.log(others))


def _unit(vectors: Floats) -> Floats:
    """Return vectors with length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))
