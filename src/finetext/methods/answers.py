"""Answers of an endpoint: what is read of a response, and what is none of its API."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from finetext.core.wording import short
from finetext.methods.llm_probabilities import Token
from finetext.methods.token_budget import Tokens

SHOWN: Final = 80
"""Characters of an answer that a message shows."""
_NO_ANSWER: Final = (AttributeError, IndexError, TypeError, ValueError, OverflowError)
"""What comes of an answer that is not JSON, or not of the form that it should have."""
_PAGE: Final = ("<!doctype html", "<html")


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


class NoAnswer(Exception):
    """A response that is none of the OpenAI API.

    Attributes:
        begins: its beginning, as one line.
        is_page: whether it is a page for a browser, such as a login, which asking again won't
            change.
    """

    def __init__(self, text: str) -> None:
        """Take the body of the response."""
        super().__init__("no answer of the OpenAI API")
        self.begins = short(text[: 10 * SHOWN], SHOWN) or "nothing"
        self.is_page = text[: 10 * SHOWN].lstrip().lower().startswith(_PAGE)


def answer_of(raw: Any, seconds: float, reserved: Tokens) -> Answer:
    """Return the answer in a response of the client; without a usable usage `reserved` counts.

    Raises a NoAnswer if there is none.
    """
    try:
        found = raw.parse()
        choice = found.choices[0]
        content = choice.message.content or ""
    except _NO_ANSWER:
        raise NoAnswer(raw.http_response.text) from None
    if not isinstance(content, str):
        raise NoAnswer(raw.http_response.text)
    used = _used(found, reserved)
    return Answer(content, used.sent, used.received, seconds, _tokens(choice))


def _used(found: Any, reserved: Tokens) -> Tokens:
    """Return the tokens that a response says it took, if these are numbers that can be."""
    try:
        usage = found.usage.prompt_tokens, found.usage.completion_tokens
        sent, received = (0 if of is None else int(of) for of in usage)
    except _NO_ANSWER:
        return reserved
    return Tokens(sent, received) if sent >= 0 and received >= 0 else reserved


def _tokens(choice: Any) -> tuple[Token, ...]:
    """Return the tokens of an answer; none if their log-probabilities are missing or odd."""
    try:
        found = tuple(
            Token(
                str(of.token),
                float(of.logprob),
                tuple((str(a.token), float(a.logprob)) for a in of.top_logprobs or ()),
            )
            for of in choice.logprobs.content
        )
    except _NO_ANSWER:
        return ()
    logprobs = [p for of in found for p in (of.logprob, *(p for _, p in of.others))]
    return () if any(math.isnan(p) or p > 1 for p in logprobs) else found
