"""The model of a server: what its one thread does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np

from finetext.methods.base import Classifier
from finetext.serving.batching import Ask
from finetext.types import Floats

if TYPE_CHECKING:
    from finetext.diagnosis.explain import Explanation
    from finetext.diagnosis.explainer import Explainer

BYTES_A_TOKEN: Final = 3
_NO_LIMIT: Final = 10**9


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A classifier with what a server asks of it. Its methods are for one thread.

    Attributes:
        classifier: any rung.
    """

    classifier: Classifier

    def warm_up(self) -> None:
        """Predict once, so that the first client does not wait and a broken model shows now."""
        self.scores([Ask("What a film!"), Ask("What a film!", logits=True)])

    def scores(self, asks: Sequence[Ask]) -> Floats:
        """Probabilities, or logits where they are asked for, (n, k) in the order of the texts."""
        rows = np.empty((len(asks), len(self.classifier.scheme)))
        for logits in (False, True):
            places = [place for place, ask in enumerate(asks) if ask.logits is logits]
            texts = [asks[place].text for place in places]
            if logits and texts:
                rows[places] = self.classifier.logits(texts)
            elif texts:
                rows[places] = self.classifier.predict_proba(texts)
        return rows

    def tokens(self, text: str) -> int:
        """About how many tokens of a text are read: one for every three bytes."""
        return min(self._longest, len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN + 2)

    @cached_property
    def _longest(self) -> int:
        """Tokens that the classifier reads of a text, as far as it says so."""
        longest: int | None = getattr(self.classifier, "max_length", None)
        cut = getattr(getattr(self.classifier, "tokenizer", None), "truncation", None)
        return longest or (cut["max_length"] if isinstance(cut, dict) else _NO_LIMIT)

    def explain(self, text: str, label: str | None) -> Explanation:
        """Which words of a text mattered; see `finetext.explain`.

        Raises:
            UnknownNameError: there is no such label.
        """
        from finetext.diagnosis.explain import explanations

        return next(explanations(self.explainer, [text], label))

    @cached_property
    def explainer(self) -> Explainer:
        """The usual way of the classifier, or occlusion where a package is missing for that."""
        from finetext.diagnosis.explainer import GRADIENTS, choose_way

        usual = choose_way(self.classifier)
        if usual.way != GRADIENTS or find_spec("captum") is not None:
            return usual
        without = "no integrated gradients: the package captum is not installed"
        return replace(choose_way(self.classifier, "occlusion"), remark=without)
