"""Combine the methods that were fitted before: a weighted sum of their logits, and no new model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats, probabilities_of
from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.errors import RecipeError
from finetext.core.settings import Positive, Precision
from finetext.core.types import Dataset, LabelScheme, Predictions
from finetext.evaluation.blending import PRIOR_ROWS, Gain, Weighing, bounded_logits
from finetext.methods.members import (
    MADE_FROM,
    MEMBERS,
    LoadKind,
    load_kind,
    load_member,
    read_description,
    save_members,
)

FEWEST_MEMBERS: Final = 2
_DESCRIPTION: Final = "blend.json"


@dataclass(frozen=True)
class Blend(Method):
    """Combine the methods that a run fitted before, which costs next to nothing.

    The logits are a weighted sum of the calibrated logits of the members: all methods of the run
    but the majority class and those that ask an endpoint. There is one weight a member, fitted by
    log loss on validation rows, or out of fold in a cross-validated run. A run leaves the blend out
    unless it is shown to be better than its best member.

    Fewer than 50 such rows are too few to choose a method by. Then the prior for the weights is
    that all methods with a pretrained encoder have the same, and the blend is taken unless it is
    shown to be worse than its best member. Source: equal weights are hard to beat where few
    observations could tell better ones (Clemen, "Combining forecasts: A review and annotated
    bibliography", International Journal of Forecasting, 1989).

    Attributes:
        prior_rows: rows that the prior is worth, 10 by default. It is for the best member alone,
            or for equal weights; with more, it takes more validation rows to find others.
        always: whether to keep the blend even if it is not shown to be better, or with few rows is
            shown to be worse; False by default.
    """

    name: ClassVar[str] = "blend"
    needs_validation: ClassVar[bool] = False
    combines: ClassVar[bool] = True
    prior_rows: Positive = PRIOR_ROWS
    always: bool = False

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> BlendClassifier:
        """Fit the weights on what the members of the context predicted; see `Method.fit`."""
        assert train.scheme is not None
        members = context.members
        check_members(self.name, list(members))
        predictions = {name: of.predictions for name, of in members.items()}
        pretrained = [name for name, of in members.items() if of.is_pretrained]
        weights = self.weighing(predictions, pretrained).weights(predictions)
        classifiers = {name: members[name].classifier for name in weights}
        return BlendClassifier.of(train.scheme, weights, classifiers)

    def weighing(self, members: Mapping[str, Predictions], pretrained: Sequence[str]) -> Weighing:
        """Return how to weigh members by these predictions; some have a pretrained encoder."""
        return Weighing.of(pretrained, len(next(iter(members.values()))), self.prior_rows)

    def is_worth_it(self, weights: Sized, gain: Gain, weighing: Weighing) -> bool:
        """Return whether to keep a blend with these weights, which has that gain."""
        is_kept = not gain.is_loss if weighing.equal else gain.is_supported
        return len(weights) >= FEWEST_MEMBERS and (self.always or is_kept)


def check_members(name: str, members: Sequence[str]) -> None:
    """Raise a RecipeError unless there are enough methods for another one, `name`, to combine."""
    if len(members) >= FEWEST_MEMBERS:
        return
    there = f"there is only {members[0]}" if members else "there is none"
    raise RecipeError(
        f"{name} combines two or more fitted methods besides the majority class, and {there}; add "
        f"another method, such as probe, or leave {name} out"
    )


@dataclass(frozen=True, eq=False)
class Part:
    """A member of a blend: its name, the weight of its logits, and the classifier."""

    name: str
    weight: float
    classifier: Classifier


@dataclass(frozen=True, eq=False)
class BlendClassifier(Classifier):
    """Classifiers of the same labels whose weighted logits are summed.

    `made_from` is the name of the original if members are exports, else None.
    """

    kind: ClassVar[str] = "blend"
    has_members: ClassVar[bool] = True
    scheme: LabelScheme
    decision: Decision
    parts: tuple[Part, ...]
    made_from: str | None = None

    @classmethod
    def of(
        cls, scheme: LabelScheme, weights: Mapping[str, float], members: Mapping[str, Classifier]
    ) -> Self:
        """Return the classifier of calibrated members with these weights."""
        parts = (Part(name, weight, members[name]) for name, weight in weights.items())
        return cls(scheme, AS_LIKELY, tuple(parts))

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return the weighted sum of the members' logits; they are finite."""
        several = self.scheme.multilabel
        sums = np.zeros((len(texts), len(self.scheme)))
        for part in self.parts:
            sums += part.weight * bounded_logits(part.classifier.predict_proba(texts), several)
        return sums

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        return probabilities_of(self.logits(texts), self.scheme.multilabel)

    @property
    def number_format(self) -> Precision | None:
        """That of all members with a choice; None if they differ."""
        formats = {part.classifier.number_format for part in self.parts} - {None}
        return formats.pop() if len(formats) == 1 else None

    def with_precision(self, precision: Precision) -> Self:
        """See `Classifier.with_precision`."""
        return self._with_parts(
            replace(part, classifier=part.classifier.with_precision(precision))
            for part in self.parts
        )

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        return self._with_parts(
            replace(part, weight=part.weight / temperature) for part in self.parts
        )

    def _with_parts(self, parts: Iterable[Part]) -> Self:
        return replace(self, parts=tuple(parts))

    def save_weights(self, folder: Path) -> None:
        """Write `blend.json`, and each member into `members/NAME`."""
        members = {part.name: (part.classifier, {"weight": part.weight}) for part in self.parts}
        save_members(folder, _DESCRIPTION, members, self._origin)

    @property
    def _origin(self) -> dict[str, Any]:
        return {} if self.made_from is None else {MADE_FROM: self.made_from}

    @classmethod
    def load_weights(
        cls,
        folder: Path,
        scheme: LabelScheme,
        decision: Decision,
        device: str,
        load: LoadKind = load_kind,
    ) -> Self:
        """Read what `save_weights` wrote."""
        content = read_description(folder, _DESCRIPTION)
        described = content[MEMBERS]
        _check(described)
        parts = (
            Part(of["name"], float(of["weight"]), load_member(folder, of, scheme, device, load))
            for of in described
        )
        return cls(scheme, decision, tuple(parts), content.get(MADE_FROM))

    def provenance(self) -> dict[str, Any]:
        """Return the members: weight, type of classifier, and how each was trained."""
        return {
            **self._origin,
            "members": {
                part.name: {
                    "weight": round(part.weight, 4),
                    "classifier": part.classifier.kind,
                    **part.classifier.provenance(),
                }
                for part in self.parts
            },
        }


def _check(described: Sequence[Mapping[str, Any]]) -> None:
    """Raise a ValueError if a member has no weight, or consists of members itself."""
    for of in described:
        weight, kind = of["weight"], of["classifier"]
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ValueError(f"the weight of {of['name']} is {weight!r}, no number")
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"the weight of {of['name']} is {weight!r}; it must be 0 or more")
        if kind in (BlendClassifier.kind, "cascade"):
            raise ValueError(f"its member {of['name']} is a {kind} itself")
