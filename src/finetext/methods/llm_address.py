"""The address that texts may be sent to: named by a person on this machine, and without secrets."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from finetext.core.addresses import public_address
from finetext.core.environment import cache_folder
from finetext.core.errors import ModelError, RecipeError
from finetext.storage.cache import keep_json, kept_json

KEY: Final = "OPENAI_API_KEY"
"""Environment variable with the key of an endpoint."""
VARIABLE: Final = "FINETEXT_LLM"
"""Environment variable with the address that saved models ask, in place of the one they have."""
_NAMED: Final = "llm-endpoints"
"""The kind of the addresses in the cache folder that were named on this machine."""


def check_address(url: str) -> None:
    """Raise a RecipeError for an address that is none, or that holds a secret."""
    if not url.startswith(("http://", "https://")) or not _has_host(url):
        raise RecipeError(
            f"llm: url = {url!r} is no address of an endpoint; write one such as "
            "http://127.0.0.1:11434/v1"
        )
    if public_address(url) != url:
        raise RecipeError(
            f"llm: the address {public_address(url)} must have no user, password or query, as it "
            f"is written into the run; put a key into the environment variable {KEY}"
        )


def _has_host(url: str) -> bool:
    """Return whether an address names a machine, and a port that can be if it names one."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    return False


def name_endpoint(url: str) -> None:
    """Record that a person named an address on this machine, so that saved models may ask it."""
    with suppress(OSError):  # a saved model then asks for the variable
        keep_json(cache_folder(), _NAMED, _hash(url), {"url": url})


def address_for(url: str) -> str:
    """Return the address that a saved model asks: its own, or that of FINETEXT_LLM.

    Raises a ModelError if nobody named an address on this machine: a model folder that comes from
    somebody else must not send texts and key wherever it likes.
    """
    if given := os.environ.get(VARIABLE):
        check_address(given)
        return given
    check_address(url)
    if kept_json(cache_folder(), _NAMED, _hash(url)) is None:
        raise ModelError(
            f"this model sends texts to {url}, which was not named on this machine. To allow it, "
            f"or to ask the same model elsewhere, set {VARIABLE}={url}"
        )
    return url


def _hash(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
