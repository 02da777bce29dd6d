"""A large language model behind an endpoint of the OpenAI API, asked about each text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.contracts import (
    Classifier,
    FitContext,
    Method,
    ProgressEvent,
    batches_of,
    hyperparameters,
)
from finetext.core.decision import Decision
from finetext.core.errors import MissingExtraError, RecipeError
from finetext.core.settings import Count, NotNegative, NotNegativeCount, Positive, made
from finetext.core.types import Dataset, Finding, LabelScheme
from finetext.encoders.catalogue import is_random, resolve
from finetext.evaluation.calibration import tempered
from finetext.methods.answer_totals import Answered, Totals
from finetext.methods.answers import Answer
from finetext.methods.asking import Answers, Asking
from finetext.methods.endpoint import BudgetEnded, Endpoint, Question
from finetext.methods.endpoint_client import key
from finetext.methods.label_sentences import (
    Descriptions,
    check_clear,
    check_descriptions,
    several,
)
from finetext.methods.llm_address import address_for, check_address, name_endpoint
from finetext.methods.llm_examples import Examples
from finetext.methods.llm_probabilities import from_answers, from_tokens, shares_of
from finetext.methods.llm_prompt import (
    answer,
    columns_in,
    encodable,
    instruction,
    messages,
    schema,
    shortened,
)
from finetext.methods.token_budget import Limits
from finetext.storage.files import write_json
from finetext.storage.received import read_received_text

SAMPLING_TEMPERATURE: Final = 1.0
"""Temperature of several answers to one question; a single one has 0."""
CHARACTERS: Final = 3.5
"""Characters of a token, about."""
TURN: Final = 68
"""Characters of a text and its answer in a chat beside these, and those that a server adds."""
AT_ONCE: Final = 500
"""Texts whose examples are looked up before any of them is asked about."""
_ABOUT: Final = "llm.json"


@dataclass(frozen=True)
class Llm(Method):
    """Ask a language model for the label of each text, with similar training rows as examples.

    Every text goes to the endpoint that `url` names, with the names of the labels, their
    descriptions and the examples; nothing goes anywhere else. The text is a JSON string, marked as
    data. Where the server can, answers are restricted to the labels by a JSON schema, and
    probabilities come from the log-probabilities of the answer; else from the frequencies of
    `samples` answers, where the shares of the labels in the training rows count as one answer more.
    An invalid answer counts as these shares, or as no label where a text can have several, and is
    reported. In a run, validation rows scale the probabilities, as those of every method.

    Valid answers stay in the cache folder under a hash of what was asked, so that none of them is
    paid for twice.
    The environment variable OPENAI_API_KEY has the key, if the server needs one.

    Attributes:
        url: address of the endpoint, such as "http://127.0.0.1:11434/v1".
        model: name of the model there.
        examples: training rows in the prompt for each label, at most; 2 by default, 0 for none.
        most_examples: the same for all labels together, 20 by default.
        similarity: alias, Hub name or folder of the encoder that finds them, "minilm" by default.
        descriptions: label to a sentence or phrase, or to several, about its texts; none by
            default.
        task: what the labels are about, in a sentence, such as "The emotion of a tweet."; empty by
            default.
        samples: answers to each text where there are no log-probabilities, 1 by default.
        most_tokens: budget of all texts, sent and received tokens together; None (the default) for
            no limit. A run that cannot afford all rows scores a random sample. It is the budget of
            the run: the saved model has none.
        most_cost: the same in the currency of the prices, both of which it needs.
        sent_price: price of a million tokens sent, in any currency; None if unknown.
        received_price: price of a million tokens received.
        concurrency: requests at once, 4 by default.
        seconds: longest time of an answer, 120 by default.
        longest: characters of a text that are sent, 8,000 by default; of longer ones beginning and
            end. Examples have a quarter of that.
        answer_tokens: most tokens of an answer; None (the default) for what the labels need. A
            model that thinks before it answers needs more.
    """

    name: ClassVar[str] = "llm"
    needs_validation: ClassVar[bool] = False
    pays_per_text: ClassVar[bool] = True
    url: str = ""
    model: str = ""
    examples: NotNegativeCount = 2
    most_examples: Count = 20
    similarity: str = "minilm"
    descriptions: Descriptions | None = None
    task: str = ""
    samples: Count = 1
    most_tokens: Count | None = None
    most_cost: Positive | None = None
    sent_price: NotNegative | None = None
    received_price: NotNegative | None = None
    concurrency: Count = 4
    seconds: Positive = 120.0
    longest: Count = 8_000
    answer_tokens: Count | None = None

    def check(self, scheme: LabelScheme | None = None) -> None:
        """Refuse a missing address or model, a limit without prices, and labels that say nothing.

        Nothing is sent.
        """
        made(self.name, Llm, hyperparameters(self))
        if not self.url or not self.model:
            raise RecipeError(
                "llm: name the endpoint and the model, as --llm http://127.0.0.1:11434/v1 "
                "--llm-model NAME, or as url and model in [methods.llm]"
            )
        check_address(self.url)
        key()
        if find_spec("openai") is None:
            raise MissingExtraError("asking an LLM", "openai", "llm")
        if self.most_cost is not None and None in (self.sent_price, self.received_price):
            raise RecipeError(
                "llm: most_cost needs the prices of a million tokens, as sent_price = 0.15 and "
                "received_price = 0.6"
            )
        if self.examples and is_random(self.similarity):
            raise RecipeError(
                f"llm: {self.similarity} has random weights, which find no similar rows; name "
                "another encoder as similarity, or set examples = 0"
            )
        if self.examples:
            resolve(self.similarity)
        check_descriptions(self.name, self.descriptions or {}, scheme)
        if scheme is None:
            return
        if len(scheme) < 2:
            raise RecipeError("llm: it chooses between labels, so it needs two or more")
        if not self.examples:
            check_clear(self.name, scheme, self.described)

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> LlmClassifier:
        """Keep the rows that examples are chosen from; nothing is sent. See `Method.fit`."""
        assert train.scheme is not None
        return self._with(train, train.scheme, self._endpoint(context), context)

    def refit(self, rows: Dataset, fitted: Classifier, context: FitContext) -> Classifier:
        """Return the classifier with examples from all rows, and the rest of its budget."""
        assert isinstance(fitted, LlmClassifier)
        return self._with(rows, fitted.scheme, fitted.endpoint, context)

    def classifier(self, labels: Sequence[str] | LabelScheme) -> LlmClassifier:
        """Return a classifier of labels without any labeled row; raises a RecipeError."""
        scheme = labels if isinstance(labels, LabelScheme) else LabelScheme(tuple(labels))
        alone = replace(self, examples=0)
        alone.check(scheme)
        endpoint = alone._endpoint(FitContext())
        return LlmClassifier(scheme, Decision(), alone, endpoint, shares_of(None, scheme))

    def expected_tokens(self, train: Dataset, texts: Sequence[str]) -> int:
        """Return about how many tokens an answer to each text takes; nothing is sent.

        In English a token has three to four characters. Other scripts take more tokens.
        """
        assert train.scheme is not None
        shown = min(self.most_examples, self.examples * len(train.scheme), len(train))
        of_each = [min(len(text), self.longest) for text in texts]
        of_example = [min(len(text), self.longest // 4) for text in train.texts]
        turn = len(answer(train.scheme, train.labels[0])) + TURN if len(train) else TURN
        told = len(instruction(train.scheme, self.task, self.described)) + turn
        told += round(shown * (turn + sum(of_example) / max(1, len(of_example))))
        return round(self.samples * (sum(of_each) + told * len(texts)) / CHARACTERS)

    def _with(
        self, rows: Dataset, scheme: LabelScheme, endpoint: Endpoint, context: FitContext
    ) -> LlmClassifier:
        chosen = Examples.of(rows, self.similarity, context) if self.examples else None
        prior = shares_of(np.asarray(rows.targets, dtype=np.float64), scheme)
        return LlmClassifier(scheme, Decision(), self, endpoint, prior, chosen)

    def _endpoint(self, context: FitContext) -> Endpoint:
        """Return the endpoint with a budget: all folds of a cross-validation share one."""
        self.check()
        name_endpoint(self.url)

        def make() -> Endpoint:
            context.say(self.told)
            limits = self.limits
            return Endpoint(self.url, self.model, limits, self.seconds, context.progress)

        shared = context.shared
        return make() if shared is None else shared.once(("llm", repr(self)), make)

    @property
    def told(self) -> str:
        """What is said before anything is sent."""
        to = f"{self.url} (model {self.model})"
        return f"llm: texts are sent to {to}; budget: {self.limits.words()}"

    @property
    def limits(self) -> Limits:
        """The budget."""
        return Limits(self.most_tokens, self.most_cost, self.sent_price, self.received_price)

    @cached_property
    def described(self) -> dict[str, tuple[str, ...]]:
        """Label to its descriptions."""
        return {label: several(said) for label, said in (self.descriptions or {}).items()}


@dataclass(frozen=True, eq=False)
class LlmClassifier(Classifier):
    """Asks `endpoint` as `method` says, with `examples` if there are any.

    Attributes:
        prior: (k,) shares of the labels in the training rows.
    """

    kind: ClassVar[str] = "llm"
    scheme: LabelScheme
    decision: Decision
    method: Llm
    endpoint: Endpoint
    prior: Floats
    examples: Examples | None = None
    temperature: float = 1.0

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """See `Classifier.predict_proba`.

        Raises:
            BudgetEnded: the budget has no room for all texts.
        """
        found = self.answered(texts)
        if len(found.rows) < len(texts):
            raise BudgetEnded(
                f"llm: the budget of {self.endpoint.budget.limits.words()} ended after "
                f"{len(found.rows):,} of {len(texts):,} texts. Their answers are kept, and not "
                "paid for again with a larger budget (--llm-budget)"
            )
        return found.probabilities

    def answered(
        self, texts: Sequence[str], order: Sequence[int] | None = None, share: float = 1.0
    ) -> Answered:
        """Return the probabilities of as many texts as a share of the budget allows.

        They are asked in an order, by default that of the texts. Equal texts are asked once.
        """
        places: dict[str, list[int]] = {}
        for place in range(len(texts)) if order is None else order:
            places.setdefault(texts[place], []).append(place)
        rows, probabilities = list[int](), np.zeros((len(texts), len(self.scheme)))
        different = list(places)
        for part in batches_of(len(different), AT_ONCE):
            answers = self._ask(different[part], share, (part.start, len(different)))
            for text, found in zip(different[part], answers, strict=False):
                probabilities[places[text]] = self._probabilities(found)
                rows += places[text]
                self._count(text, found)
            if len(answers) < len(different[part]):
                break
        rows.sort()
        scaled = tempered(probabilities[rows], self.scheme.multilabel, self.temperature)
        return Answered(tuple(rows), scaled)

    def _ask(self, texts: Sequence[str], share: float, place: tuple[int, int]) -> list[Answers]:
        """Return the answers to the first texts, which come after others of so many in all."""
        before, total = place

        def progress(done: int) -> None:
            self.endpoint.progress(ProgressEvent("llm: answers", before + done, total))

        method = self.method
        how = method.samples, method.concurrency, progress, self._is_valid
        return Asking(self.endpoint, *how).all(self._questions(texts), share)

    def _is_valid(self, content: str) -> bool:
        return columns_in(content, self.scheme) is not None

    def _count(self, text: str, answers: Answers) -> None:
        """Count a text with its answers; one that the server refused has no content."""
        no_label = next((of.content for of in answers if not self._is_valid(of.content)), None)
        is_cut = len(encodable(text)) > self.method.longest
        self.endpoint.totals.add(no_label, is_cut, sum(of.seconds for of in answers))

    def answer_findings(self, before: Totals) -> list[Finding]:
        """Return warnings of invalid answers and shortened texts since an earlier count."""
        method, since = self.method, self.endpoint.totals.since(before)
        return since.findings(method.model, method.longest, self.scheme.multilabel)

    def _questions(self, texts: Sequence[str]) -> list[Question]:
        """Return what is asked about each text."""
        method, scheme = self.method, self.scheme
        near: list[list[tuple[str, Any]]] = [[] for _ in texts]
        if self.examples is not None:
            of_each, most = method.examples, method.most_examples
            near = self.examples.near(texts, of_each, most, scheme)
        length = max(1, method.longest // 4)
        shown = [[(shortened(encodable(of), length), is_) for of, is_ in row] for row in near]
        sent = [shortened(encodable(text), method.longest) for text in texts]
        return [
            Question(
                tuple(messages(scheme, self._said, examples, text)), schema(scheme),
                SAMPLING_TEMPERATURE if method.samples > 1 else 0.0, self._longest_answer,
                logprobs=not scheme.multilabel,
            )
            for text, examples in zip(sent, shown, strict=True)
        ]  # fmt: skip

    def _probabilities(self, answers: Sequence[Answer]) -> Floats:
        """Return (k,) probabilities of one text."""
        contents = [of.content for of in answers]
        if len(contents) == 1 and answers[0].tokens:
            found = from_tokens(contents[0], answers[0].tokens, self.prior, self.scheme)
            if found is not None:
                return found
        return from_answers(contents, self.prior, self.scheme)

    @property
    def told(self) -> str:
        """Where texts are sent, and within which budget."""
        asked, limits = self.endpoint, self.endpoint.budget.limits
        return f"texts are sent to {asked.url} (model {asked.model}); budget: {limits.words()}"

    @cached_property
    def _said(self) -> str:
        described = self.method.described
        return instruction(self.scheme, self.method.task, described)

    @property
    def _longest_answer(self) -> int:
        """Most tokens of an answer: no label has more of them than bytes."""
        sizes = [len(json.dumps(name)) + 4 for name in self.scheme.names]
        size = sum(sizes) if self.scheme.multilabel else max(sizes)
        return self.method.answer_tokens or 16 + size

    def with_temperature(self, temperature: float) -> Self:
        """See `Classifier.with_temperature`."""
        return replace(self, temperature=self.temperature * temperature)

    def save_weights(self, folder: Path) -> None:
        """Write address, model and prompt, and the rows that examples are chosen from.

        Neither the key nor the budget, which is of the run: the model that it made has none.
        """
        lasting = replace(self.method, most_tokens=None, most_cost=None)
        settings = {name: of for name, of in hyperparameters(lasting).items() if of is not None}
        about = {"prior": self.prior.tolist(), "temperature": self.temperature}
        write_json(folder / _ABOUT, {"settings": settings, **about})
        if self.examples is not None:
            self.examples.save(folder)

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> Self:
        """Read what `save_weights` wrote; raises a ModelError for an address nobody named here."""
        saved = json.loads(read_received_text(folder, _ABOUT))
        method = made(_ABOUT, Llm, saved["settings"])
        temperature, prior = float(saved["temperature"]), np.array(saved["prior"], dtype=np.float64)
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"{_ABOUT}: the temperature must be a positive number")
        if prior.shape != (len(scheme),) or not ((prior > 0) & (prior < 1)).all():
            raise ValueError(f"{_ABOUT} does not have a share of each label")
        method = replace(method, url=address_for(method.url))
        endpoint = Endpoint(method.url, method.model, method.limits, method.seconds)
        examples = Examples.load(folder, scheme, device)
        return cls(scheme, decision, method, endpoint, prior, examples, temperature)

    def provenance(self) -> dict[str, Any]:
        """Return where texts are sent, and how many rows examples are chosen from."""
        rows = 0 if self.examples is None else len(self.examples.texts)
        return {"endpoint": self.method.url, "llm": self.method.model, "example_rows": rows}
