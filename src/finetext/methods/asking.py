"""Ask an endpoint many questions: several at once, within a budget, and stopped at an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from itertools import takewhile
from threading import Event
from typing import final

from finetext.methods.answers import Answer
from finetext.methods.endpoint import BudgetEnded, Endpoint, Question
from finetext.methods.token_budget import Tokens

Answers = tuple[Answer, ...]


@final
@dataclass(frozen=True, eq=False)
class Asking:
    """How questions are asked.

    Attributes:
        samples: answers to each question; one with log-probabilities is enough.
        concurrency: requests at once.
        progress: called with the number of questions that are answered.
        is_valid: whether the content of an answer is worth keeping.
    """

    endpoint: Endpoint
    samples: int
    concurrency: int
    progress: Callable[[int], None] = lambda done: None
    is_valid: Callable[[str], bool] = lambda content: True
    _failed: Event = field(default_factory=Event)

    def all(self, questions: Sequence[Question], share: float = 1.0) -> list[Answers]:
        """Return the answers to the first questions, as many as a share of the budget allows.

        Questions are asked in their order, the first one that is not known alone: it shows what
        the server can do.

        Raises as `Endpoint.ask` does, when the answers under way have come.
        """
        asked, most = list[Future[Answers]](), [of.most_tokens * self.samples for of in questions]
        self.endpoint.stop.clear()
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                for question, reserved in zip(questions, most, strict=True):
                    if not self.endpoint.budget.reserve(reserved, share):
                        break
                    asked.append(pool.submit(self._answers, question, reserved))
                    if not self.endpoint.has_answered:
                        asked[-1].exception()
                    if self._failed.is_set():
                        break
                for done, of in enumerate(as_completed(asked), start=1):
                    if not isinstance(of.exception(), BudgetEnded):
                        of.result()
                    self.progress(done)
            except BaseException:
                self.endpoint.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)  # what was sent is paid for
                for reserved, of in zip(most, asked, strict=False):
                    if of.cancelled():
                        self.endpoint.budget.settle(reserved, Tokens())
                raise
        return [of.result() for of in takewhile(lambda of: of.exception() is None, asked)]

    def _answers(self, question: Question, reserved: Tokens) -> Answers:
        used, found, each = Tokens(), list[Answer](), question.most_tokens
        try:
            for number in range(self.samples):
                one = replace(question, number=number)
                found.append(self.endpoint.ask(one, each, self.is_valid))
                used += found[-1].used
                if found[-1].tokens or found[-1].refused:
                    break
            return tuple(found)
        except BaseException:
            self._failed.set()
            raise
        finally:
            self.endpoint.budget.settle(reserved, used)
