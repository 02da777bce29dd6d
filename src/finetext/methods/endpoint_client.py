"""The client of an endpoint: its key, the way to it, and errors that do not show the key."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from finetext.core.addresses import public_address
from finetext.core.errors import MissingExtraError, ModelError, RecipeError
from finetext.core.wording import short
from finetext.methods.llm_address import KEY

REACHED_WITHIN: Final = 10.0
"""Seconds in which an address that nothing listens at says so."""
MOST_BYTES: Final = 32 * 2**20
"""Size of an answer, at most."""
_ABOUT_THIS_MACHINE: Final = "x-stainless-"
"""Beginning of the headers in which the client tells operating system and version of Python."""
_ENDS: Final = "finetext.ends"
_UNSENT: Final = "finetext.unsent"


class AnswerTooLargeError(Exception):
    """An answer has more bytes than any that is meant."""


class AnswerTooLateError(Exception):
    """An answer was not complete in time."""


UNFIT: Final = AnswerTooLargeError, AnswerTooLateError


def key() -> str:
    """Return the key in the environment, without space around it; "" if there is none.

    Raises a RecipeError for one that no header can hold, which does not show it.
    """
    given = os.environ.get(KEY, "").strip()
    if not all("!" <= letter <= "~" for letter in given):
        raise RecipeError(
            f"{KEY} has a space, a line break or a letter outside ASCII, which no key has; copy "
            "the key again"
        )
    return given


def without_key(said: str) -> str:
    """Return what a server or a package says without the key."""
    given = os.environ.get(KEY, "")
    for one in (given, repr(given)[1:-1], given.strip()):
        said = said.replace(one, "...") if one.strip() else said
    return said


def reason(error: BaseException) -> str:
    """Return in a few words why there was no connection."""
    cause = error.__cause__ or error
    return short(without_key(str(cause) or type(cause).__name__), 100)


def redirected(response: Any) -> str:
    """Return where an answer sends a request on to, in words; "" if it does not."""
    target = str(response.headers.get("location", ""))
    if not 300 <= response.status_code < 400 or not target:
        return ""
    return (
        f"it sends requests on to {short(public_address(target), 200)}, where no text is sent; "
        "name that address, if texts may go there"
    )


def client_of(url: str, seconds: float) -> Any:
    """Return a client that sends texts to an address and nowhere else, and waits so many seconds.

    The seconds are those of a whole answer, which may not be larger than `MOST_BYTES`.
    Redirects are not followed. An address of this machine is asked without a proxy; others are
    asked through the proxy that the environment names.
    """
    try:
        import openai
    except ImportError:
        raise MissingExtraError("asking an LLM", "openai", "llm") from None
    http = openai.DefaultHttpxClient(
        follow_redirects=False, trust_env=not _is_here(url),
        event_hooks={"request": [lambda of: _prepare(of, seconds)], "response": [_bound]},
    )  # fmt: skip
    # A key must be given, also to servers that need none.
    given = key() or "none"
    return openai.OpenAI(
        base_url=url, api_key=given, timeout=seconds, max_retries=0, http_client=http
    )


def check_reachable(url: str) -> None:
    """Raise a ModelError if nothing answers at an address, before any text is sent there."""
    import openai

    with client_of(url, REACHED_WITHIN) as client:
        try:
            client.models.list()
        except openai.APITimeoutError:
            return
        except openai.APIConnectionError as error:
            raise ModelError(
                f"nothing answers at {url} ({reason(error)}). Start the server, or correct the "
                "address"
            ) from OSError("no connection")
        except (openai.OpenAIError, AttributeError, TypeError, ValueError, *UNFIT):
            return  # what it lists does not matter


def _prepare(request: Any, seconds: float) -> None:
    """Note when an answer must be there, and leave out what the client tells of this machine."""
    request.extensions[_ENDS] = time.monotonic() + seconds
    unsent = {
        n: of for n, of in request.headers.items() if n.lower().startswith(_ABOUT_THIS_MACHINE)
    }
    request.extensions[_UNSENT] = unsent
    for name in unsent:
        del request.headers[name]


def _bound(response: Any) -> None:
    """Bound the size of an answer, also of what it is decompressed to, and the time it takes.

    The time-out of the client is one of each part of an answer.
    """
    ends = response.request.extensions[_ENDS]
    response.request.headers.update(response.request.extensions[_UNSENT])  # the client reads them
    response.iter_raw = _bounded(response.iter_raw, ends)
    response.iter_bytes = _bounded(response.iter_bytes, ends)


def _bounded(parts: Callable[..., Iterator[bytes]], ends: float) -> Callable[..., Iterator[bytes]]:
    def within(*given: Any, **how: Any) -> Iterator[bytes]:
        size = 0
        for part in parts(*given, **how):
            size += len(part)
            if size > MOST_BYTES:
                raise AnswerTooLargeError
            if time.monotonic() > ends:
                raise AnswerTooLateError
            yield part

    return within


def _is_here(url: str) -> bool:
    """Return whether an address is of this machine."""
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")
