"""What a server takes on: the limits that keep it answering, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass

from finetext.errors import RecipeError
from finetext.methods.ranges import Count, NotNegative, Positive

MEBIBYTE = 2**20


@dataclass(frozen=True)
class ServeSettings:
    """Limits of `finetext serve`; the defaults suit one machine and short texts.

    Attributes:
        batch_texts: most texts that the model gets at once, 64 by default.
        batch_tokens: most tokens that it gets at once, estimated as one for every three bytes of
            a text, up to as many as the model reads; 8,192 by default. A text with more goes alone.
        batch_milliseconds: longest time that a text waits for others, 5 by default. A client that
            is alone never waits.
        queue_texts: texts that may wait for the model, 1,024 by default; who comes then is asked
            to come back later (429).
        queue_explanations: explanations that may wait, 8 by default (429).
        request_texts: most texts of a request, 256 by default (422).
        request_bytes: most bytes of a request, 2 MiB by default (413).
        text_characters: most characters of a text, 50,000 by default (422). Longer ones are
            refused rather than cut, as a model that reads all of a text would then say something
            else here than elsewhere.
        explained_characters: most characters of a text that is explained, 2,000 by default (422).
        request_seconds: longest time from a whole request to its answer, 30 by default (504).
        arrival_seconds: longest time in which the head of a request, and then its body, must
            arrive, and in which a client must go on reading its answer; 20 by default (408).
        idle_seconds: time after which a connection without a request is closed, 5 by default.
        stop_seconds: time that accepted requests have to be finished after Ctrl-C or SIGTERM,
            20 by default (503).
        connections: most open connections, 512 by default (503).
        held_bytes: most bytes of requests in memory at once, 64 MiB by default (503).
        hosts: names under which clients reach the server, such as that of a proxy before it; none
            by default. Other names are refused (403) where there are some here, and where only
            this machine can connect and there is no token; numbers and `localhost` never are.
    """

    batch_texts: Count = 64
    batch_tokens: Count = 8_192
    batch_milliseconds: NotNegative = 5.0
    queue_texts: Count = 1_024
    queue_explanations: Count = 8
    request_texts: Count = 256
    request_bytes: Count = 2 * MEBIBYTE
    text_characters: Count = 50_000
    explained_characters: Count = 2_000
    request_seconds: Positive = 30.0
    arrival_seconds: Positive = 20.0
    idle_seconds: Count = 5
    stop_seconds: Count = 20
    connections: Count = 512
    held_bytes: Count = 64 * MEBIBYTE
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pairs = (("request_texts", "queue_texts"), ("request_bytes", "held_bytes"))
        for less, more in pairs:
            if getattr(self, less) > getattr(self, more):
                raise RecipeError(
                    f"serve: {less} ({getattr(self, less):,}) is above {more} "
                    f"({getattr(self, more):,}), so that such a request could never be taken"
                )
