"""Two classifiers as one: a cheap one answers where it is confident, an expensive one elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import Classifier
from finetext.core.decision import Decision
from finetext.core.errors import ModelError
from finetext.core.settings import Precision
from finetext.core.types import LabelScheme
from finetext.core.wording import counted
from finetext.evaluation.calibration import tempered
from finetext.evaluation.cascading import Certificate, confidence_of
from finetext.methods.members import (
    MADE_FROM,
    MEMBERS,
    LoadKind,
    load_kind,
    load_member,
    read_description,
    save_members,
)
from finetext.storage.codec import from_json

DESCRIPTION: Final = "cascade.json"
_BEFORE: Final = "original_certificate"
_ASKING: Final = "llm"
"""The classifier that asks an endpoint, which a cascade would do without saying so."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A classifier of a cascade and its name, such as that of its method in the run."""

    name: str
    classifier: Classifier

    def provenance(self) -> dict[str, Any]:
        """Return name, type of classifier, and how it was trained."""
        of = self.classifier
        return {"name": self.name, "classifier": of.kind, **of.provenance()}


@dataclass(eq=False)
class Routed:
    """How many texts a cascade has predicted since it was loaded, and how many it sent on."""

    texts: int = 0
    sent: int = 0

    def minus(self, before: Routed) -> Routed:
        """Return what was predicted since then."""
        return Routed(self.texts - before.texts, self.sent - before.sent)


@dataclass(frozen=True, eq=False)
class CascadeClassifier(Classifier):
    """A cheap classifier that sends the texts that it is less sure of on to an expensive one.

    The probabilities of a text are those of the classifier that decides it, and one decision rule
    makes labels of them.

    Attributes:
        cheap: it reads all texts.
        expensive: it reads those of which the cheap one has a confidence below the threshold.
        threshold: of `finetext.evaluation.cascading.confidence_of`; 0 sends nothing on.
        cuts: k thresholds of labels from which that confidence is measured, of multi-label data.
        certificate: what its threshold is certified for; None if it is not, as of an export.
        temperature: by which all logits are divided once it is decided which classifier decides.
        routed: how many texts were sent on; copies with other settings count in the same place.
        made_from: the name of the original, if the expensive classifier is an export.
        original_certificate: that of the original, which is about the classifier before the export.
    """

    kind: ClassVar[str] = "cascade"
    has_members: ClassVar[bool] = True
    scheme: LabelScheme
    decision: Decision
    cheap: Stage
    expensive: Stage
    threshold: float
    cuts: tuple[float, ...] | None = None
    certificate: Certificate | None = None
    temperature: float = 1.0
    routed: Routed = field(default_factory=Routed)
    made_from: str | None = None
    original_certificate: Certificate | None = None

    @property
    def stages(self) -> tuple[Stage, Stage]:
        """The cheap classifier and the expensive one."""
        return self.cheap, self.expensive

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`."""
        several = self.scheme.multilabel
        found = self.cheap.classifier.predict_proba(texts)
        places = self.sent_on(found)
        if len(places):
            sent = [texts[place] for place in places]
            found = found.copy()
            found[places] = self.expensive.classifier.predict_proba(sent)
        self.routed.texts += len(texts)
        self.routed.sent += len(places)
        return found if self.temperature == 1 else tempered(found, several, self.temperature)

    def sent_on(self, cheap: Floats) -> Integers:
        """Return the rows that are sent on, by the (n, k) probabilities of the cheap classifier."""
        confidence = confidence_of(cheap, self.scheme.multilabel, self.cuts)
        return np.flatnonzero(confidence < self.threshold)

    @property
    def number_format(self) -> Precision | None:
        """That of both members where they have a choice; None if they differ."""
        formats = {of.classifier.number_format for of in self.stages} - {None}
        return formats.pop() if len(formats) == 1 else None

    def with_precision(self, precision: Precision) -> Self:
        """See `Classifier.with_precision`."""
        cheap, expensive = (
            replace(of, classifier=of.classifier.with_precision(precision)) for of in self.stages
        )
        return replace(self, cheap=cheap, expensive=expensive)

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`; which texts are sent on stays as it is."""
        return replace(self, temperature=self.temperature * temperature)

    def save_weights(self, folder: Path) -> None:
        """Write `cascade.json`, and both classifiers into `members/NAME`."""
        more = {
            "threshold": self.threshold,
            "cuts": self.cuts,
            "temperature": self.temperature,
            "certificate": None if self.certificate is None else self.certificate.to_json(),
            **self._origin,
        }
        members = {of.name: (of.classifier, dict[str, Any]()) for of in self.stages}
        if len(members) < 2:
            raise ModelError(f"both classifiers of the cascade have the name {self.cheap.name}")
        save_members(folder, DESCRIPTION, members, more)

    @property
    def _origin(self) -> dict[str, Any]:
        """What an export says of its original; nothing if it is none."""
        if self.made_from is None:
            return {}
        known = self.original_certificate
        return {MADE_FROM: self.made_from, _BEFORE: None if known is None else known.to_json()}

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
        described = read_description(folder, DESCRIPTION)
        cuts = _checked(described, len(scheme))
        cheap, expensive = (
            Stage(of["name"], load_member(folder, of, scheme, device, load))
            for of in described[MEMBERS]
        )
        certificate, before = (
            None if (known := described.get(name)) is None
            else from_json(Certificate, known, f"the {name} in {DESCRIPTION}", ModelError)
            for name in ("certificate", _BEFORE)
        )  # fmt: skip
        return cls(
            scheme, decision, cheap, expensive, float(described["threshold"]), cuts, certificate,
            float(described["temperature"]), Routed(), described.get(MADE_FROM), before,
        )  # fmt: skip

    def provenance(self) -> dict[str, Any]:
        """Return both classifiers, the threshold, and what it is certified for."""
        certificate = self.certificate
        return {
            **self._origin,
            "cascade": {
                "cheap": self.cheap.provenance(),
                "expensive": self.expensive.provenance(),
                "threshold": self.threshold,
                "certificate": None if certificate is None else certificate.to_json(),
            },
        }


def routing_of(classifier: Classifier) -> Callable[[], Routed | None]:
    """Return what counts the texts that a cascade sends on from now on; None of other models."""
    if not isinstance(classifier, CascadeClassifier):
        return lambda: None
    routed, before = classifier.routed, replace(classifier.routed)
    return lambda: routed.minus(before)


def routing_in_words(classifier: Classifier, routed: Routed) -> str:
    """Return which share of texts a cascade sent on."""
    assert isinstance(classifier, CascadeClassifier)
    share = routed.sent / max(1, routed.texts)
    return (
        f"{classifier.cheap.name} sent {routed.sent:,} of {counted(routed.texts, 'text')} "
        f"({share:.1%}) on to {classifier.expensive.name}"
    )


def _checked(described: Mapping[str, Any], labels: int) -> tuple[float, ...] | None:
    """Return the thresholds of labels; raise a ValueError if the file describes no cascade."""
    members = described[MEMBERS]
    if len(members) != 2:
        raise ValueError(f"{DESCRIPTION} has {len(members)} members, and a cascade has two")
    for of in members:
        if of["classifier"] == CascadeClassifier.kind:
            raise ValueError(f"its member {of['name']} is a cascade itself")
        if of["classifier"] == _ASKING:
            raise ValueError(f"its member {of['name']} sends texts to an endpoint")
    for name in ("threshold", "temperature"):
        _check_number(name, described[name])
    if described["temperature"] == 0:
        raise ValueError("the temperature is 0; it must be above that")
    cuts = described.get("cuts")
    if cuts is None:
        return None
    if not isinstance(cuts, list) or len(cuts) != labels:
        raise ValueError(f"{DESCRIPTION} has no list of {labels} cuts")
    for cut in cuts:
        _check_number("a cut", cut)
    return tuple(map(float, cuts))


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is {value!r}, no number")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value!r}; it must be 0 or more")
