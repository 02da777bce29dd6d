"""An endpoint of the OpenAI API: requests with retries, a budget, and answers kept on the disk."""

from __future__ import annotations

import email.utils
import hashlib
import json
import random
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from threading import Event, Lock
from typing import Any, Final, final

from finetext.core.contracts import ProgressEvent, silent
from finetext.core.environment import cache_folder
from finetext.core.errors import ModelError, RecipeError
from finetext.core.wording import short
from finetext.methods.endpoint_client import client_of, key, reason, redirected, without_key
from finetext.methods.llm_address import KEY
from finetext.methods.llm_probabilities import Token
from finetext.methods.server_features import Features
from finetext.methods.token_budget import Limits, TokenBudget, Tokens
from finetext.storage.cache import keep_json, kept_json

ANSWERS: Final = "llm"
"""The kind of the answers in the cache folder."""
ATTEMPTS: Final = 6
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
LONGEST_ASKED_PAUSE: Final = 300.0
"""Seconds between attempts: the first, the longest, and the longest that a server may ask for."""
ALTERNATIVES: Final = 20
_RETRIED: Final = {408, 409, 425, 429}
_IMPOSSIBLE: Final = {400, 404, 413, 415, 422, 501}
_OVERHEAD: Final = 64
"""Tokens of a template around messages that a server may add to a request."""
_EACH: Final = 8
"""Tokens around each message, at most."""
_NO_ANSWER: Final = (AttributeError, IndexError, TypeError, ValueError)
"""What comes of an answer that is not JSON, or not of the form that it should have."""
clock: Callable[[], float] = time.monotonic
pause: Callable[[Event, float], object] = Event.wait
"""How a request waits for seconds, or for the event that ends all waiting."""


@dataclass(frozen=True)
class Question:
    """A request: a chat, and how it is to be answered.

    Attributes:
        schema: JSON schema of the answer.
        number: which of several samples it is, from 0.
        most: tokens that the answer may have.
        logprobs: whether log-probabilities of tokens are of use.
    """

    messages: tuple[Mapping[str, str], ...]
    schema: Mapping[str, Any]
    temperature: float
    most: int
    number: int = 0
    logprobs: bool = True

    @property
    def most_tokens(self) -> Tokens:
        """The most tokens that it can take: no tokenizer has more of them than a text has bytes."""
        sizes = [len(of["content"].encode()) + len(of["role"]) + _EACH for of in self.messages]
        schema = len(json.dumps(self.schema))  # some servers put it into the prompt
        return Tokens(sum(sizes) + schema + _OVERHEAD, self.most)


@dataclass(frozen=True)
class Answer:
    """What came back, the tokens that it took, and the seconds.

    Attributes:
        refused: whether the server refused the text; then there is no content, and no cost.
    """

    content: str
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    tokens: tuple[Token, ...] = ()
    refused: bool = False

    @property
    def used(self) -> Tokens:
        """The tokens that it took."""
        return Tokens(self.sent, self.received)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Answer:
        """Return what `asdict` and JSON made of an answer; raises a ValueError or the like."""
        tokens = tuple(
            Token(
                str(of["text"]),
                float(of["logprob"]),
                tuple((str(a), float(b)) for a, b in of["others"]),
            )
            for of in values["tokens"]
        )
        numbers = int(values["sent"]), int(values["received"]), float(values["seconds"])
        return cls(str(values["content"]), *numbers, tokens)


@dataclass
class Totals:
    """Texts that were asked about, how many had an invalid answer, and seconds of the answers."""

    texts: int = 0
    invalid: int = 0
    seconds: float = 0.0

    def add(self, is_valid: bool, seconds: float) -> None:
        """Count a text."""
        self.texts += 1
        self.invalid += not is_valid
        self.seconds += seconds


@final
class Endpoint:
    """A model behind an address; answers come from the disk where the same was asked before."""

    def __init__(
        self,
        url: str,
        model: str,
        limits: Limits,
        seconds: float,
        progress: Callable[[ProgressEvent], None] = silent,
    ) -> None:
        """Take address and name, a budget, and the longest time of an answer in seconds."""
        self.url, self.model, self.progress = url, model, progress
        self.budget, self.totals, self.stop = TokenBudget(limits), Totals(), Event()
        self.features = Features()
        self._cache, self._seconds = cache_folder(), seconds
        self.has_answered, self._was_known, self._not_before = False, False, 0.0
        self._lock = Lock()
        self._made: Any = None

    def known(self, question: Question) -> Answer | None:
        """Return the answer to a question that was asked before, or None."""
        values = kept_json(self._cache, ANSWERS, self._key(question))
        try:
            return None if values is None else Answer.from_json(values)
        except (KeyError, TypeError, ValueError):
            return None

    def ask(self, question: Question, reserved: Tokens) -> Answer:
        """Return an answer, for which the most that it can take is reserved in the budget.

        Raises:
            ModelError: nothing answers, the key or the model is refused, or errors do not end.
            BudgetEnded: an attempt was lost, and there is no room for another one.
            MissingExtraError: the package `openai` is not installed.
        """
        if (known := self.known(question)) is not None:
            self._was_known = True
            return known
        self._client()
        for attempt in range(1, ATTEMPTS + 1):
            self._wait()
            if self.stop.is_set():
                raise ModelError(f"{self.url} was to be asked, but all asking was stopped")
            started = time.perf_counter()
            try:
                found = self._send(question)
                answer = _answer(found, time.perf_counter() - started, reserved)
            except Exception as error:
                retry, lost = self._judged(error, attempt)
                if retry is None:
                    return Answer("", refused=True)
                if lost and not self.budget.reserve(reserved, wait=False):
                    raise BudgetEnded from error
                if lost:  # it may be answered, and paid for
                    self.budget.settle(reserved, reserved)
                with self._lock:
                    self._not_before = max(self._not_before, clock() + retry)
                continue
            self.has_answered = True
            self._keep(question, answer)
            return answer
        raise AssertionError("the last attempt ends in an answer or an error")

    def _keep(self, question: Question, answer: Answer) -> None:
        values = {name: of for name, of in asdict(answer).items() if name != "refused"}
        try:
            keep_json(self._cache, ANSWERS, self._key(question), values)
        except OSError as error:
            raise ModelError(
                f"the answers of {self.url} cannot be kept in {self._cache}: {error.strerror}; "
                "make room, or name another folder with FINETEXT_CACHE"
            ) from error

    def _key(self, question: Question) -> str:
        said = json.dumps([self.url, self.model, asdict(question)], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def _wait(self) -> None:
        """Wait until the server may be asked again, whichever request it was that was refused."""
        if (left := self._not_before - clock()) > 0:
            pause(self.stop, left)

    def _send(self, question: Question) -> Any:
        """Send a request without what the server was found to lack, which is found out here."""
        import openai

        while True:
            sent, used = self._sent(question, self.features.lacking)
            try:
                found = self._client().chat.completions.create(**sent)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if not self.features.refused(str(error), used):
                    raise
                continue
            self.features.had(used)
            return found

    def _sent(
        self, question: Question, lacking: frozenset[str]
    ) -> tuple[dict[str, Any], frozenset[str]]:
        """Return the arguments of a request, and what the server must have for them."""
        schema = {"name": "answer", "strict": True, "schema": dict(question.schema)}
        every: dict[str, dict[str, Any]] = {
            "max_tokens": {"max_tokens": question.most},
            "temperature": {"temperature": question.temperature},
            "schema": {"response_format": {"type": "json_schema", "json_schema": schema}},
        }
        if question.number:
            every["seed"] = {"seed": question.number}
        if question.logprobs:
            every["logprobs"] = {"logprobs": True, "top_logprobs": ALTERNATIVES}
        sent: dict[str, Any] = {"model": self.model, "messages": list(question.messages)}
        if "max_tokens" in lacking:
            sent["max_completion_tokens"] = question.most
        used = frozenset(every) - lacking
        for name in used:
            sent |= every[name]
        return sent, used

    def _judged(self, error: Exception, attempt: int) -> tuple[float | None, bool]:
        """Return after how many seconds to ask again, and whether the attempt may be paid for.

        The seconds are None for a text that is refused by a server which answered before. Raises a
        ModelError for what does not get better.
        """
        import openai

        if isinstance(error, openai.APIStatusError):
            status = error.status_code
            others = self.has_answered or self._was_known
            if status in _IMPOSSIBLE and status != 404 and others:
                return None, False
            if (status not in _RETRIED and status < 500) or "insufficient_quota" in str(error):
                raise ModelError(self._refusal(error)) from None
            if attempt == ATTEMPTS:
                raise ModelError(self._given_up(f"status {status}")) from OSError(str(status))
            asked = _asked_pause(error.response.headers.get("retry-after"))
            if asked > LONGEST_ASKED_PAUSE:
                raise ModelError(self._given_up(f"wait {asked:,.0f} s")) from OSError(str(status))
            return max(asked, _pause_after(attempt)), False
        if isinstance(error, openai.APITimeoutError):
            if attempt == ATTEMPTS:
                late = f"nothing within {self._seconds:g} s"
                raise ModelError(self._given_up(late)) from OSError("time-out")
            return _pause_after(attempt), True
        if isinstance(error, openai.APIConnectionError):
            if not self.has_answered or attempt == ATTEMPTS:
                raise ModelError(
                    f"nothing answers at {self.url} ({reason(error)}). Start the server, or "
                    "correct the address; answers so far are kept"
                ) from OSError("no connection")
            return _pause_after(attempt), True
        if isinstance(error, (openai.OpenAIError, *_NO_ANSWER)):
            if attempt == ATTEMPTS:
                raise ModelError(self._given_up("what is no answer")) from None
            return _pause_after(attempt), True
        raise error

    def _refusal(self, error: Any) -> str:
        """Return what to do about a request that is refused."""
        status = error.status_code
        if said := redirected(error.response):
            return f"{self.url} refuses the request ({status}): {said}"
        said = short(without_key(" ".join(str(error).split())), 300)
        if status in (401, 403):
            has = "is set" if key() else "is not set"
            return f"{self.url} refuses access ({status}). {KEY} {has}; set it to a valid key"
        if status == 404:
            return (
                f"{self.url} has no model {self.model!r}, or is no address of the OpenAI API, "
                f"which mostly ends in /v1. It says: {said}"
            )
        if "insufficient_quota" in said:
            return f"the account at {self.url} has no credit left. It says: {said}"
        return f"{self.url} refuses the request ({status}). It says: {said}"

    def _given_up(self, said: str) -> str:
        return (
            f"{self.url} answers with {said} after {ATTEMPTS} attempts. Wait, or ask less at once "
            "(concurrency); answers so far are kept and not paid for again"
        )

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = client_of(self.url, self._seconds)
                weakref.finalize(self, self._made.close)
            return self._made


class BudgetEnded(RecipeError):
    """The budget has no room for a request, or for as many as are needed."""


def _answer(found: Any, seconds: float, reserved: Tokens) -> Answer:
    """Return an answer as it is kept; without a usage all that was reserved counts."""
    choice, usage = found.choices[0], found.usage
    used = reserved
    if usage is not None:
        used = Tokens(int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0))
    listed = (choice.logprobs.content if choice.logprobs is not None else None) or ()
    tokens = tuple(
        Token(of.token, of.logprob, tuple((a.token, a.logprob) for a in of.top_logprobs or ()))
        for of in listed
    )
    return Answer(choice.message.content or "", used.sent, used.received, seconds, tokens)


def _asked_pause(value: str | None) -> float:
    """Return the seconds of a header Retry-After: a number, or a time; 0 without one."""
    if not value:
        return 0.0
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(TypeError, ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return 0.0


def _pause_after(attempt: int) -> float:
    """Return a random pause that doubles with each attempt."""
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**attempt)
