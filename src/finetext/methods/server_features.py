"""What a server can do of the OpenAI API, found out by the requests that it refuses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from threading import Lock
from typing import Final, final

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "logprobs": ("logprob",),
    "schema": ("response_format", "json_schema", "schema", "grammar", "guided", "enum"),
    "seed": ("seed",),
    "temperature": ("temperature",),
    "max_tokens": ("max_tokens", "max_completion_tokens"),
}
"""What a server may lack, with the words of an error that says so; the first are tried first."""
_GUESSED: Final = ("logprobs", "schema", "seed")
"""What is left out, one after the other, where an error names nothing."""


@final
class Features:
    """What a server was found to lack, and to have, for several threads.

    What a request was answered with is not taken to be lacking any more, whatever an error says:
    then it is the text that is refused.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.lacking: frozenset[str] = frozenset()
        self._had: frozenset[str] = frozenset()
        self._tried: frozenset[str] = frozenset()
        self._lock = Lock()

    def had(self, used: Collection[str]) -> None:
        """Record that a request was answered that used so much."""
        with self._lock:
            self._had |= frozenset(used)
            self._tried = frozenset()

    def refused(self, said: str, used: Collection[str]) -> bool:
        """Record that a request which used so much was refused; return whether to send it again.

        That is, without what the server is found to lack, by this error or meanwhile by another.
        If the request is refused whatever is left out, nothing is known to be lacking.
        """
        with self._lock:
            if self.lacking & frozenset(used):
                return True
            unsure = [name for name in WORDS if name in used and name not in self._had]
            named = [name for name in unsure if any(word in said.lower() for word in WORDS[name])]
            guessed = [name for name in _GUESSED if name in unsure]
            chosen = frozenset((named or guessed)[:1])
            if not chosen:
                self.lacking -= self._tried
            self._tried = self._tried | chosen if chosen else chosen
            self.lacking |= chosen
            return bool(chosen)
