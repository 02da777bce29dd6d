"""The served model: what it is, its predictions, and their JSON.

JSON is written directly: dictionaries of a thousand labels a text would block for seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.arrays import Floats, finite, probabilities_of
from finetext.core.contracts import Classifier, decided
from finetext.core.decision import Decision
from finetext.core.errors import FinetextError
from finetext.core.text_columns import join
from finetext.core.types import LabelScheme
from finetext.methods.cascade import routing_of
from finetext.methods.llm import LlmClassifier
from finetext.models.card import without_path
from finetext.models.engines import GraphClassifier
from finetext.models.folder import best_model, card_of, provenance
from finetext.models.hub import model_folder
from finetext.runs.asked import answers_watched
from finetext.serving.batching import Ask
from finetext.serving.logs import LOG

if TYPE_CHECKING:
    from finetext.diagnosis.explain import Explainer, Explanation


LONGEST_CARD: Final = 200_000
_BYTES_OF_ENTRY: Final = 400
"""Of a text's hash and the objects around its numbers."""


def about(model: str | Path) -> dict[str, Any]:
    """Return name, provenance, run and model card of a model folder, a run folder or a Hub name."""
    folder = model_folder(model).resolve()
    run, method = _run_of(folder)
    place = folder
    if run is not None and method is None:
        method, place = run.best, best_model(folder)
    name = folder.name if run is None else f"{run.folder.name}/{method}"
    told: dict[str, Any] = {"name": name, "provenance": {}, "run": None, "card": None}
    with suppress(FinetextError):
        told["provenance"] = without_path(provenance(place))
    if (card := card_of(place)) is not None:
        told["card"] = card[:LONGEST_CARD]
    if run is not None:
        leaderboard = [without_path(entry.to_json()) for entry in run.leaderboard]
        told["run"] = {"name": run.folder.name, "method": method, "metric": run.metric}
        told["run"] |= {"best": run.best, "leaderboard": leaderboard}
    return dict(finite(told))


def _run_of(folder: Path) -> tuple[Any, str | None]:
    """Return the run that a folder is or belongs to, and the method in the second case."""
    from finetext.runs.run import Run

    with suppress(FinetextError):
        if Run.is_at(folder):
            return Run.open(folder), None
        if folder.name == "model" and Run.is_at(folder.parent.parent):
            run, method = Run.open(folder.parent.parent), folder.parent.name
            if method in {entry.method for entry in run.leaderboard}:
                return run, method
    return None, None


_LARGEST_LOGIT: Final = 745.0
"""Stands for an infinite logit, which JSON lacks: the logit of the smallest double."""
_OWN: Final = {False: "softmax", True: "sigmoid"}


def wants_logits(function: str | None, multilabel: bool) -> bool:
    """Return whether a function to apply needs the logits."""
    return function not in (None, _OWN[multilabel])


def scored(scheme: LabelScheme, rows: Floats, function: str | None, top: int | None) -> str:
    """Return label and score, best first, in the format of Hugging Face's inference API."""
    if wants_logits(function, scheme.multilabel):
        rows = np.clip(rows, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        rows = rows if function == "none" else probabilities_of(rows, function == "sigmoid")
    _check(rows)
    order = np.argsort(-rows, axis=1, kind="stable")[:, :top]
    heads = [f'{{"label":{_json(name)},"score":' for name in scheme.names]
    answers = (
        f"[{_listed(heads, row, columns, '}')}]"
        for row, columns in zip(rows.tolist(), order.tolist(), strict=True)
    )
    return f"[{','.join(answers)}]"


def decisions(scheme: LabelScheme, decision: Decision, rows: Floats) -> str:
    """Return the decision on each text, with its prediction set and all probabilities."""
    _check(rows)
    labels = decided(scheme, decision, rows)
    given = decision.labels(rows, scheme.multilabel)
    highest = rows.max(axis=1) if scheme.multilabel else rows[np.arange(len(rows)), given]
    order = np.argsort(-rows, axis=1, kind="stable")
    among, refused = decision.sets(rows), decision.out_of_scope(rows).tolist()
    heads = [f"{_json(name)}:" for name in scheme.names]
    answers: list[str] = []
    for number, (row, columns) in enumerate(zip(rows.tolist(), order.tolist(), strict=True)):
        chosen = None
        if among is not None:
            chosen = [scheme.names[column] for column in columns if among[number, column]]
        told = {"prediction": labels[number], "probability": float(highest[number]), "set": chosen}
        if decision.in_scope_up_to is not None:
            told["out_of_scope"] = refused[number]
        probabilities = f'"probabilities":{{{_listed(heads, row, columns)}}}'
        answers.append(f"{_json(told)[:-1]},{probabilities}}}")
    return f"[{','.join(answers)}]"


def _listed(
    heads: Sequence[str], row: Sequence[float], columns: Sequence[int], end: str = ""
) -> str:
    return ",".join([f"{heads[column]}{row[column]!r}{end}" for column in columns])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _check(rows: Floats) -> None:
    if not np.isfinite(rows).all():
        raise ValueError("the model returned something that is not a number")


class KnownRows:
    """The rows of numbers of the texts that were asked last, so that none is predicted again soon.

    It keeps hashes, no texts.
    """

    def __init__(self, most_bytes: int, labels: int) -> None:
        """Keep so many bytes of them."""
        self._most = most_bytes // (_BYTES_OF_ENTRY + 8 * labels)
        self._rows: OrderedDict[tuple[bytes, bool], Floats] = OrderedDict()

    def get(self, ask: Ask) -> Floats | None:
        """Return the (k,) numbers of a text, or None."""
        if (row := self._rows.get(key := _key(ask))) is not None:
            self._rows.move_to_end(key)
        return row

    def add(self, ask: Ask, row: Floats) -> None:
        """Keep the (k,) numbers of a text, and forget those that were not asked for the longest."""
        if self._most and not np.isnan(row).any():
            self._rows[_key(ask)] = row.copy()  # a view would keep its whole batch
        while len(self._rows) > self._most:
            self._rows.popitem(last=False)


def _key(ask: Ask) -> tuple[bytes, bool]:
    text = ask.text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest(), ask.logits


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A classifier as the server uses it, from one thread."""

    classifier: Classifier

    def check(self) -> None:
        """Predict a text in both ways, to see whether the model works at all."""
        text = join(["Warm-up."] * max(1, len(self.classifier.scheme.text_columns)))
        self.scores([Ask(text), Ask(text, logits=True)])

    def scores(
        self, asks: Sequence[Ask], sent_on: Callable[[int], None] = lambda texts: None
    ) -> Floats:
        """Return (n, k) probabilities, or logits where asked for, in the order of the texts.

        `sent_on` is called with the number of texts that a cascade sends on.
        """
        routed = routing_of(self.classifier)
        rows = np.empty((len(asks), len(self.classifier.scheme)))
        works = {False: self.classifier.predict_proba, True: self.classifier.logits}
        with answers_watched(self.classifier, lambda finding: LOG.warning("%s", finding.message)):
            for logits, work in works.items():
                places = [place for place, ask in enumerate(asks) if ask.logits is logits]
                if not places:
                    continue
                found = work([asks[place].text for place in places])
                if found.shape != (len(places), rows.shape[1]):
                    raise ValueError(f"the model returned {found.shape} for {len(places)} texts")
                rows[places] = found
        if (routing := routed()) is not None:
            sent_on(routing.sent)
        return rows

    def tokens(self, text: str) -> int:
        """Estimate the tokens of a text: one for every three bytes."""
        return min(self._longest, len(text.encode("utf-8", "replace")) // 3 + 2)

    @cached_property
    def _longest(self) -> int:
        longest: int | None = getattr(self.classifier, "max_length", None)
        cut = getattr(getattr(self.classifier, "tokenizer", None), "truncation", None)
        return longest or (cut["max_length"] if isinstance(cut, dict) else 10**9)

    def prepare_explaining(self) -> None:
        """Load what `explain` needs, where ONNX Runtime predicts torch and the model, in seconds.

        Raises a ModelError if the model cannot be loaded. It may run beside predictions.
        """
        from finetext.diagnosis.explain import GRADIENTS

        if self.explainer.way == GRADIENTS:
            import_module("captum.attr")

    def explain(self, text: str, label: str | None) -> Explanation:
        """Return which words of a text mattered.

        Raises an UnknownNameError for the label, and a RecipeError where texts are not explained.
        """
        from finetext.diagnosis.explain import explanations

        return next(explanations(self.explainer, [text], label))

    @property
    def unexplained(self) -> str:
        """Why no text is explained; "" if texts are."""
        if not isinstance(self.classifier, LlmClassifier):
            return ""
        return (
            f"texts are not explained here: {self.classifier.endpoint.url} would be asked once for "
            "each word; finetext explain --way occlusion does that"
        )

    @property
    def way(self) -> str:
        """The name of the attribution method; "" if no text is explained."""
        from finetext.diagnosis.explain import GRADIENTS, OCCLUSION

        if isinstance(self.classifier, GraphClassifier):  # to say it takes no torch
            has_gradients = self.classifier.kind == "transformer" and find_spec("captum")
            return GRADIENTS if has_gradients else OCCLUSION
        return "" if self.unexplained else self.explainer.way

    @cached_property
    def explainer(self) -> Explainer:
        """The default attribution method; occlusion if a package is missing."""
        from finetext.diagnosis.explain import GRADIENTS, choose_explainer

        usual = choose_explainer(self.classifier)
        if usual.way != GRADIENTS or find_spec("captum") is not None:
            return usual
        without = "no integrated gradients: the package captum is not installed"
        return replace(choose_explainer(self.classifier, "occlusion"), remark=without)
