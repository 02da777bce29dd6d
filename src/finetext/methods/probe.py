"""Linear probe: a linear head on the mean-pooled states of a frozen encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats, Integers, unit
from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import Decision
from finetext.core.errors import RecipeError
from finetext.core.settings import Positive, Precision, Tokens
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.encoders.catalogue import is_random, resolve
from finetext.encoders.load import longest_input
from finetext.encoders.states import FrozenEncoder
from finetext.methods.label_sentences import (
    TEXTS_OF_A_NAME,
    Descriptions,
    LabelSentences,
    check_descriptions,
    check_templates,
)
from finetext.methods.linear import (
    HeadFit,
    LinearHead,
    Prototypes,
    Regression,
    choose_head,
    fit_head,
)
from finetext.methods.zeroshot import SCALE
from finetext.storage.received import read_received_text
from finetext.training.precision import choose_device
from finetext.training.truncation import Truncation, truncation_of

REGRESSIONS: Final = tuple(Regression(value) for value in (0.1, 0.001, 0.01, 1.0, 10.0))
"""The first is taken where rows are too few for folds."""
FEW_ROWS: Final = 32
"""Rows up to which there are too few to choose a head by."""
FEW_ROWS_OF_LABEL: Final = 3
"""The same of each label on average."""
ROWS_FOR_PROTOTYPES: Final = 250
"""Most rows a label with which prototypes are tried: with more a regression is better."""


@dataclass(frozen=True)
class Probe(Method):
    """Fit a linear head on the mean-pooled states of a frozen encoder.

    It is a logistic regression on standardized states. With few rows it goes by prototypes: the
    logit of a label is the cosine with the mean of its rows, and of its name and descriptions,
    which count as nine rows. In between the two are averaged. With several labels a text, or an
    encoder that is known not to compare texts, it is always a regression.

    Attributes:
        encoder: alias, Hub name or folder of the encoder, "minilm" by default.
        max_length: tokens to truncate texts to; None (the default) reads whole texts, in windows
            of 256 tokens whose states are averaged.
        truncation: what is read of a truncated text: its "head", its "tail", or "head+tail", the
            first quarter of the tokens and the last three; without `max_length` texts are then
            truncated to the whole context. None (the default) is "head" with a `max_length`.
        inverse_regularisation: C of the logistic regression; None (the default) chooses among
            0.001, 0.01, 0.1, 1 and 10 by the log loss in cross-validation on the training rows
            (with several labels a text, by the metric), with and, up to 250 rows a label, without
            prototypes. With up to 32 rows, or 3 a label, prototypes are taken. A C that is given is
            that of a regression alone.
        descriptions: label to a sentence or phrase, or to several, that say what its texts are
            about or look like, for prototypes; none by default.
        templates: sentences in which `{}` is replaced by the name of a label, for prototypes. None
            (the default) is as in `ZeroShot`, but names are left out if the training texts are not
            nearer to the name of their own label than to others; an empty list leaves names out.
        precision: "fp32", "bf16", "fp16" (on a GPU), or "auto" (the default): bf16 where the
            hardware is fast at it, else fp32.
    """

    name: ClassVar[str] = "probe"
    needs_validation: ClassVar[bool] = False
    encoder: str = "minilm"
    max_length: Tokens | None = None
    truncation: Truncation | None = None
    inverse_regularisation: Positive | None = None
    descriptions: Descriptions | None = None
    templates: tuple[str, ...] | None = None
    precision: Precision = "auto"

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Refuse an encoder, lengths, templates or descriptions that cannot be used."""
        if is_random(self.encoder):
            raise RecipeError(
                f"probe: {self.encoder} has random weights, which are useless when frozen. Leave "
                "probe out: --methods finetune"
            )
        longest_input(self.encoder, self.max_length)
        check_templates(self.name, self.templates or ())
        check_descriptions(self.name, self.descriptions or {}, scheme)

    @property
    def reads_whole_texts(self) -> bool:
        """Whether texts are read in windows instead of truncated."""
        return self.max_length is None and self.truncation is None

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> ProbeClassifier:
        """Compute the states of `train` and fit the head on them; see `Method.fit`."""
        encoder = self.frozen(context)
        return self.fit_head(encoder.states(train.texts, context), encoder, train, context)

    def fit_head(
        self, states: Floats, encoder: FrozenEncoder, train: Dataset, context: FitContext
    ) -> ProbeClassifier:
        """Fit the head on the (n, d) states of `train`."""
        assert train.scheme is not None
        mean, scale = states.mean(axis=0), states.std(axis=0) + 1e-6
        standardized, rest = (states - mean) / scale, (train.targets, train.scheme)
        way: HeadFit | float | None = self.inverse_regularisation
        if way is None:
            ways: list[HeadFit] = [*REGRESSIONS]
            if self._tries_prototypes(train):
                known = self._known_of_labels(states, train, encoder, context)
                ways = _with_prototypes(Prototypes(SCALE, known, mean, scale), len(train))
            elif self.descriptions or self.templates:
                message = (
                    "probe: descriptions and templates are not used: they are for prototypes, of "
                    "few rows with one label each and an encoder that compares texts"
                )
                context.find(Finding("warning", "unused-setting", message))
            judging = context if train.scheme.multilabel else replace(context, metric="log_loss")
            way, _ = choose_head(standardized, *rest, ways, judging, train.groups)
        head = fit_head(standardized, *rest, way, context)
        by_prototypes = isinstance(way, Prototypes)
        fitted = encoder, head, mean, scale
        return ProbeClassifier(train.scheme, Decision(), *fitted, prototypes=by_prototypes)

    def _tries_prototypes(self, train: Dataset) -> bool:
        """Whether rows are few, have one label each, and the encoder compares texts."""
        assert train.scheme is not None
        entry = resolve(self.encoder).entry
        compares = entry is None or "zero-shot" in entry.tasks
        is_few = len(train) <= ROWS_FOR_PROTOTYPES * len(train.scheme)
        return is_few and compares and not train.scheme.multilabel

    def _known_of_labels(
        self, states: Floats, train: Dataset, encoder: FrozenEncoder, context: FitContext
    ) -> Floats:
        """Return (k, d): nine times the vector of what a label says, 0 where it says nothing."""
        assert train.scheme is not None
        says = LabelSentences(self.name, self.encoder, self.descriptions or {}, self.templates)
        one_hot: Integers = np.eye(len(train.scheme), dtype=np.int64)[train.targets]
        sentences = says.of(train.scheme, encoder, lambda rows: states[rows], one_hot, context)
        known = np.zeros((len(sentences), encoder.model.config.hidden_size))
        for column, some in enumerate(sentences):
            if some:
                vector = unit(encoder.states(list(some))).mean(axis=0)
                known[column] = TEXTS_OF_A_NAME * unit(vector)
        return known

    def frozen(self, context: FitContext) -> FrozenEncoder:
        """Return the encoder on the device of the context."""
        read = self.encoder, self.max_length, self.truncation
        return FrozenEncoder.for_fits(context, *read, precision=self.precision)


def _with_prototypes(alone: Prototypes, rows: int) -> list[HeadFit]:
    """Return what to choose among where prototypes are tried."""
    if rows <= max(FEW_ROWS, FEW_ROWS_OF_LABEL * len(alone.known)):
        return [alone]
    return [alone, *(replace(alone, averaged_with=of) for of in REGRESSIONS), *REGRESSIONS]


@dataclass(frozen=True, eq=False)
class ProbeClassifier(Classifier):
    """A fitted `Probe` or `FewShot`; `mean` and `scale` (hidden size,) are of training states.

    `trained_with` says how the encoder was trained; None if it was not. `prototypes` says whether
    the head goes by prototypes, alone or beside a regression.
    """

    kind: ClassVar[str] = "probe"
    scheme: LabelScheme
    decision: Decision
    encoder: FrozenEncoder
    head: LinearHead
    mean: Floats
    scale: Floats
    trained_with: Mapping[str, Any] | None = None
    prototypes: bool = False

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        if not len(texts):
            return np.zeros((0, len(self.scheme)))
        states = (self.encoder.states(texts) - self.mean) / self.scale
        return self.head.probabilities(states, self.scheme)

    @property
    def number_format(self) -> Precision:
        """See `Classifier.number_format`."""
        return self.encoder.precision

    def with_precision(self, precision: Precision) -> Self:
        """See `Classifier.with_precision`."""
        return replace(self, encoder=replace(self.encoder, precision=precision))

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        return replace(self, head=self.head.with_temperature(temperature))

    def save_weights(self, folder: Path) -> None:
        """Write the encoder and its tokenizer into `encoder/`, the rest beside it."""
        about = self.encoder.save(folder / "encoder")
        if self.trained_with is not None:
            about["trained_with"] = dict(self.trained_with)
        if self.prototypes:
            about["prototypes"] = True
        self.head.save(folder / "head.safetensors", mean=self.mean, scale=self.scale)
        (folder / "probe.json").write_text(json.dumps(about))

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` wrote."""
        about = json.loads(read_received_text(folder, "probe.json"))
        encoder = FrozenEncoder.saved(folder / "encoder", about, choose_device(device))
        head, extra = LinearHead.load(folder / "head.safetensors", scheme)
        trained, prototypes = about.get("trained_with"), about.get("prototypes", False)
        if not isinstance(trained, dict | None) or not isinstance(prototypes, bool):
            raise ValueError("probe.json: trained_with is no table, or prototypes no truth value")
        fitted = encoder, head, extra["mean"], extra["scale"]
        return cls(scheme, decision, *fitted, trained, prototypes)

    def provenance(self) -> dict[str, Any]:
        """Return the head, with the C of a regression, and what is read of a text."""
        chosen, length = self.head.inverse_regularisation, self.encoder.max_length
        head: dict[str, Any] = {"prototypes": True} if self.prototypes else {}
        if chosen:
            head["inverse_regularisation"] = chosen
        read: dict[str, Any] = {"window": length}
        if not self.encoder.in_windows:
            read = {"max_length": length, "truncation": truncation_of(self.encoder.tokenizer)}
        trained = {} if self.trained_with is None else {"trained_with": dict(self.trained_with)}
        return {**head, **read, **trained}
