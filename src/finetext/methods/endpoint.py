"""An endpoint of the OpenAI API: requests with retries, a budget, and answers kept on the disk."""

from __future__ import annotations

import email.utils
import hashlib
import json
import math
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
from finetext.core.wording import counted, short
from finetext.methods.answer_totals import Totals
from finetext.methods.answers import Answer, NoAnswer, answer_of
from finetext.methods.endpoint_client import (
    MOST_BYTES,
    UNFIT,
    AnswerTooLargeError,
    AnswerTooLateError,
    client_of,
    key,
    reason,
    redirected,
    without_key,
)
from finetext.methods.llm_address import KEY
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
        self.has_answered, self._was_known, self._is_there = False, False, False
        self._not_before = 0.0
        self._lock = Lock()
        self._made: Any = None

    def known(self, question: Question) -> Answer | None:
        """Return the answer to a question that was asked before, or None."""
        values = kept_json(self._cache, ANSWERS, self._key(question))
        try:
            return None if values is None else Answer.from_json(values)
        except (KeyError, TypeError, ValueError):
            return None

    def ask(
        self,
        question: Question,
        reserved: Tokens,
        is_valid: Callable[[str], bool] = lambda content: True,
    ) -> Answer:
        """Return an answer, for which the most that it can take is reserved in the budget.

        Only an answer whose content is valid is kept, so that another one is asked for again.

        Raises:
            ModelError: nothing answers, the key or the model is refused, or errors do not end.
            BudgetEnded: an attempt was lost, and there is no room for another one.
            MissingExtraError: the package `openai` is not installed.
        """
        if (known := self.known(question)) is not None and is_valid(known.content):
            self._was_known = True
            return known
        self._client()
        for attempt in range(1, ATTEMPTS + 1):
            self._wait()
            if self.stop.is_set():
                raise ModelError(f"{self.url} was to be asked, but all asking was stopped")
            started = time.perf_counter()
            try:
                raw = self._send(question)
                answer = answer_of(raw, time.perf_counter() - started, reserved)
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
            if is_valid(answer.content):
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
                found = self._client().chat.completions.with_raw_response.create(**sent)
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
            self._is_there = True
            return self._after_refusal(error, attempt)
        if isinstance(error, (openai.APIConnectionError, *UNFIT)):
            return self._after_silence(error, attempt), True
        if isinstance(error, NoAnswer):
            self._is_there = True
            if error.is_page or attempt == ATTEMPTS:
                raise ModelError(
                    f"{self.url} does not answer as the OpenAI API does. Check the address, which "
                    f"mostly ends in /v1. It says: {without_key(error.begins)}"
                ) from None
            return _pause_after(attempt), True
        raise error

    def _after_refusal(self, error: Any, attempt: int) -> tuple[float | None, bool]:
        """Do as `_judged` for a status that is an error."""
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
            raise ModelError(
                f"{self.url} asks to wait {_in_words(asked)} before the next request ({status}). "
                "Try again then; answers so far are kept and not paid for again"
            ) from OSError(str(status))
        return max(asked, _pause_after(attempt)), False

    def _after_silence(self, error: Any, attempt: int) -> float:
        """Do as `_judged` for a request without an answer, or without a whole one in time."""
        import openai

        reasons = error, error.__cause__  # the client may wrap what is raised while it reads
        if any(isinstance(of, AnswerTooLargeError) for of in reasons):
            raise ModelError(
                f"{self.url} answers with more than {MOST_BYTES // 2**20} MB to one request, "
                "which is no answer of the OpenAI API. Check the address"
            ) from None
        if any(isinstance(of, (openai.APITimeoutError, AnswerTooLateError)) for of in reasons):
            if attempt == ATTEMPTS:
                late = f"no whole answer within {self._seconds:g} s"
                raise ModelError(self._given_up(late)) from OSError("time-out")
        elif not (self.has_answered or self._is_there) or attempt == ATTEMPTS:
            raise ModelError(
                f"nothing answers at {self.url} ({reason(error)}). Start the server, or "
                "correct the address; answers so far are kept"
            ) from OSError("no connection")
        return _pause_after(attempt)

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


def _asked_pause(value: str | None) -> float:
    """Return the seconds of a header Retry-After: a number, or a time; 0 without one."""
    if not value:
        return 0.0
    with suppress(ValueError):
        return max(0.0, float(value)) if math.isfinite(float(value)) else 0.0
    with suppress(TypeError, ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return 0.0


def _pause_after(attempt: int) -> float:
    """Return a random pause that doubles with each attempt."""
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**attempt)


def _in_words(seconds: float) -> str:
    """Return a long pause in whole minutes, or in hours from two on."""
    hours = seconds / 3600
    return counted(round(seconds / 60), "minute") if hours < 2 else counted(round(hours), "hour")
