"""What the client of the Hub raises, in words for people."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from finetext.core.errors import FinetextError, ModelError

_NO_NETWORK: Final = frozenset(
    {
        "NetworkError",
        "TimeoutException",
        "RemoteProtocolError",
        "ProxyError",
        "OfflineModeIsEnabled",
    }
)
_AGAIN: Final = "; run it again to go on: what has arrived is not sent twice"


@contextmanager
def explained(name: str, revision: str | None, is_push: bool = False) -> Iterator[None]:
    """Turn the errors of `huggingface_hub` into a `ModelError` that says what to do.

    Args:
        name: the model on the Hub.
        revision: of it, or None.
        is_push: whether it is being sent there.

    Raises:
        ModelError: the body failed.
        KeyboardInterrupt: it was stopped; the message says how to go on.
    """
    try:
        yield
    except FinetextError:
        raise
    except KeyboardInterrupt:
        if is_push:
            raise KeyboardInterrupt(f"sending {name} was stopped{_AGAIN}") from None
        raise
    except Exception as error:  # the client raises errors of several packages
        doing = f"{name} cannot be sent to the Hub" if is_push else f"{name} cannot be fetched"
        raise ModelError(f"{doing}: {_reason(error, name, revision, is_push)}") from error


@contextmanager
def without_noise() -> Iterator[None]:
    """Keep the client from logging, and from showing bars where nobody looks."""
    from huggingface_hub.utils import logging as log
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    verbosity, hidden = log.get_verbosity(), are_progress_bars_disabled()
    log.set_verbosity(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if not hidden:
            enable_progress_bars()


def _reason(error: BaseException, name: str, revision: str | None, is_push: bool) -> str:
    """Why, and what to do."""
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import (
        GatedRepoError,
        IncompleteSnapshotError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, GatedRepoError):
        return f"it is gated: ask for access on {ENDPOINT}/{name}"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {revision or 'main'!r}"
    if isinstance(error, RepositoryNotFoundError) and not is_push:
        return (
            "there is no such model, or it is private: check the name, and log in with "
            "`hf auth login` (or set HF_TOKEN) if it is private"
        )
    if is_network(error) or isinstance(error, LocalEntryNotFoundError):
        if is_push:
            return f"the Hub at {ENDPOINT} cannot be reached, or hung up; check the network{_AGAIN}"
        partly = "only partly" if isinstance(error, IncompleteSnapshotError) else "not"
        return f"it is {partly} on this machine, and the Hub at {ENDPOINT} cannot be reached"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return _of_status(status, str(error), name, ENDPOINT) + (
            _AGAIN if is_push and status in (409, 412, 429, 500, 502, 503, 504) else ""
        )
    return f"{type(error).__name__}: {_first_line(error)}" + (_AGAIN if is_push else "")


def _of_status(status: int, text: str, name: str, endpoint: str) -> str:
    """What a status of HTTP means here."""
    if status == 401:
        return (
            "the Hub does not accept the token: log in again with `hf auth login`, or set HF_TOKEN "
            f"to one of {endpoint}/settings/tokens"
        )
    if status == 403:
        return (
            f"the token may not write to {name}: take one with write permission "
            f"({endpoint}/settings/tokens), and a name that begins with your user name or an "
            "organisation of yours"
        )
    if status == 404:
        return "the Hub does not know it, or the token may not see it; check the name"
    if status in (409, 412):
        return "somebody else is changing it at this moment"
    if status == 429:
        return "the Hub has had too many requests of this address; wait some minutes"
    if status >= 500:
        return f"the Hub has trouble of its own (status {status})"
    return f"the Hub refuses it (status {status}): {text.strip().splitlines()[-1][:300]}"


def is_network(error: BaseException) -> bool:
    """Whether the Hub was not reached, or hung up; the client's package has had several names."""
    return any(kind.__name__ in _NO_NETWORK for kind in type(error).__mro__)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:300]
