"""The tokens and the money that requests to a language model may take: a limit that holds."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Condition
from typing import Final, final

from finetext.core.wording import counted

MILLION: Final = 1_000_000


@dataclass(frozen=True)
class Tokens:
    """Tokens of a request, or of several: those sent, and those of the answer."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.sent + other.sent, self.received + other.received)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.sent - other.sent, self.received - other.received)

    def __mul__(self, times: int) -> Tokens:
        return Tokens(self.sent * times, self.received * times)

    @property
    def total(self) -> int:
        """All tokens."""
        return self.sent + self.received


@dataclass(frozen=True)
class Limits:
    """Most tokens and most money, and prices for a million tokens; None where there is none.

    Money and prices are in one currency, whichever it is.
    """

    tokens: int | None = None
    cost: float | None = None
    sent_price: float | None = None
    received_price: float | None = None

    def cost_of(self, used: Tokens) -> float | None:
        """Return what tokens cost; None without prices."""
        if self.sent_price is None or self.received_price is None:
            return None
        paid = used.sent * self.sent_price + used.received * self.received_price
        return paid / MILLION

    def allow(self, used: Tokens, share: float = 1.0) -> bool:
        """Return whether tokens are within a share of the limits."""
        if self.tokens is not None and used.total > share * self.tokens:
            return False
        return self.cost is None or (self.cost_of(used) or 0.0) <= share * self.cost

    def words(self) -> str:
        """Return the limits: "200,000 tokens"; "no limit" without any."""
        parts = [] if self.tokens is None else [counted(self.tokens, "token")]
        parts += [] if self.cost is None else [f"{self.cost:g} in your currency"]
        return " and ".join(parts) or "no limit"


@final
class TokenBudget:
    """What requests have used and may use, for several threads.

    The most that a request can take is reserved before it is sent, so the limits hold. An answer
    counts in full wherever it comes from, so that a resumed run stops where the first one would.
    """

    def __init__(self, limits: Limits) -> None:
        """Begin with nothing used."""
        self.limits = limits
        self.used = Tokens()
        self._reserved = Tokens()
        self._changed = Condition()

    def reserve(self, most: Tokens, share: float = 1.0, wait: bool = True) -> bool:
        """Reserve tokens within a share of the limits; return whether there was room.

        Where there is none, it waits for requests that are under way, which mostly take less than
        was reserved for them. So what fits depends on the order of the calls, not on the threads.
        """
        with self._changed:
            while not self.limits.allow(self.used + self._reserved + most, share):
                if not wait or not self._reserved.total:
                    return False
                self._changed.wait()
            self._reserved += most
            return True

    def settle(self, reserved: Tokens, used: Tokens) -> None:
        """Put what a request used in the place of what was reserved for it."""
        with self._changed:
            self._reserved -= reserved
            self.used += used
            self._changed.notify_all()
