"""Linear probe: logistic regression on the mean-pooled states of a frozen encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import Decision
from finetext.core.errors import RecipeError
from finetext.core.settings import Positive, Precision, Tokens
from finetext.core.types import Dataset, LabelScheme
from finetext.encoders.catalogue import is_random
from finetext.encoders.load import longest_input
from finetext.encoders.states import FrozenEncoder
from finetext.methods.linear import LinearHead, fit_head
from finetext.storage.received import read_received_text
from finetext.training.precision import choose_device
from finetext.training.truncation import Truncation, truncation_of


@dataclass(frozen=True)
class Probe(Method):
    """Standardize the mean-pooled states of a frozen encoder, then fit a logistic regression.

    Attributes:
        encoder: alias, Hub name or folder of the encoder, "minilm" by default.
        max_length: tokens to truncate texts to; None (the default) reads whole texts, in windows
            of 256 tokens whose states are averaged.
        truncation: what is read of a truncated text: its "head", its "tail", or "head+tail", the
            first quarter of the tokens and the last three; without `max_length` texts are then
            truncated to the whole context. None (the default) is "head" with a `max_length`.
        inverse_regularisation: C of the logistic regression; None (the default) chooses among
            0.1, 1, 10 and 100 by cross-validation on the training rows.
        precision: "fp32", "bf16", "fp16" (on a GPU), or "auto" (the default): bf16 where the
            hardware is fast at it, else fp32.
    """

    name: ClassVar[str] = "probe"
    needs_validation: ClassVar[bool] = False
    encoder: str = "minilm"
    max_length: Tokens | None = None
    truncation: Truncation | None = None
    inverse_regularisation: Positive | None = None
    precision: Precision = "auto"

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Refuse an unknown encoder, random weights, or more tokens than its context."""
        if is_random(self.encoder):
            raise RecipeError(
                f"probe: {self.encoder} has random weights, which are useless when frozen. Leave "
                "probe out: --methods finetune"
            )
        longest_input(self.encoder, self.max_length)

    @property
    def reads_whole_texts(self) -> bool:
        """Whether texts are read in windows instead of truncated."""
        return self.max_length is None and self.truncation is None

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> ProbeClassifier:
        """Compute the states of `train` and fit the head on them; see `Method.fit`."""
        assert train.scheme is not None
        encoder = self.frozen(context)
        states = encoder.states(train.texts, context)
        mean, scale = states.mean(axis=0), states.std(axis=0) + 1e-6
        standardized, chosen = (states - mean) / scale, self.inverse_regularisation
        head = fit_head(standardized, train.targets, train.scheme, chosen, context, train.groups)
        return ProbeClassifier(train.scheme, Decision(), encoder, head, mean, scale)

    def frozen(self, context: FitContext) -> FrozenEncoder:
        """Return the encoder on the device of the context."""
        read = self.encoder, self.max_length, self.truncation
        return FrozenEncoder.for_fits(context, *read, precision=self.precision)


@dataclass(frozen=True, eq=False)
class ProbeClassifier(Classifier):
    """A fitted `Probe` or `FewShot`; `mean` and `scale` (hidden size,) are of training states.

    `trained_with` says how the encoder was trained; None if it was not.
    """

    kind: ClassVar[str] = "probe"
    scheme: LabelScheme
    decision: Decision
    encoder: FrozenEncoder
    head: LinearHead
    mean: Floats
    scale: Floats
    trained_with: Mapping[str, Any] | None = None

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
        trained = about.get("trained_with")
        if not isinstance(trained, dict | None):
            raise ValueError("probe.json: trained_with is no table")
        return cls(scheme, decision, encoder, head, extra["mean"], extra["scale"], trained)

    def provenance(self) -> dict[str, Any]:
        """Return the chosen C and what is read of a text."""
        chosen, length = self.head.inverse_regularisation, self.encoder.max_length
        read: dict[str, Any] = {"window": length}
        if not self.encoder.in_windows:
            read = {"max_length": length, "truncation": truncation_of(self.encoder.tokenizer)}
        trained = {} if self.trained_with is None else {"trained_with": dict(self.trained_with)}
        return {"inverse_regularisation": chosen, **read, **trained}
