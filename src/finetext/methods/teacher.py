"""The teacher: a saved model that gave other methods their labels, and is scored beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.errors import RecipeError
from finetext.core.types import Dataset, LabelScheme
from finetext.core.wording import counted
from finetext.methods.llm import LlmClassifier


@final
@dataclass(frozen=True)
class Teacher(Method):
    """Load a saved model, which learns nothing; see `finetext.distill`.

    It is scored as it is, with its own probabilities and decision rule.

    Attributes:
        model: model folder, run folder (its best model) or "hub:owner/name"; it must have the
            labels of the data.
    """

    name: ClassVar[str] = "teacher"
    needs_validation: ClassVar[bool] = False
    learns: ClassVar[bool] = False
    model: str = ""

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Refuse a teacher without a model."""
        if not self.model:
            raise RecipeError('teacher: name the folder of a model, as in model = "FOLDER"')

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> Classifier:
        """Load the model; rows are not looked at. See `Method.fit`."""
        assert train.scheme is not None
        loaded = Classifier.load(self.model, context.device)
        if loaded.scheme != train.scheme:
            theirs, ours = set(loaded.scheme.names), set(train.scheme.names)
            odd = sorted(theirs ^ ours)
            what = f"{odd[0]!r} is a label of one only" if odd else "they are in another order"
            raise RecipeError(
                f"teacher: the model {self.model} has {counted(len(theirs), 'label')}, and the "
                f"data have {len(ours)}: {what}; name the model that gave the labels"
            )
        if isinstance(loaded, LlmClassifier):
            context.say(f"teacher: {loaded.told}")
        return loaded
