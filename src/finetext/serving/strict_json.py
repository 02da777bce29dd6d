"""JSON as the standard has it, and nothing that two readers could take for two things."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from finetext.serving.refusals import Refusal

MOST_KEYS: Final = 100
"""Of one object; each one that is not known would be an error of its own."""
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(raw: bytes) -> Any:
    """Read JSON in UTF-8.

    Raises:
        Refusal: it is not that, has a key twice or very many keys, a number that is none, lone
            surrogates, or is nested too deeply.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        with _uncollected():
            value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Refusal(400, f"the body is not JSON: {error.msg} ({place})") from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
    except UnicodeEncodeError:
        raise Refusal(400, r"the body has half of a surrogate pair, such as \ud800") from None
    except ValueError:
        raise Refusal(400, "the body is not JSON that can be read: a number is too long") from None
    return value


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no cycles, which JSON has not; among many lists that takes longer than reading."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_KEYS:
        raise Refusal(400, f"the body has an object with more than {MOST_KEYS} keys")
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Refusal(400, "the body has an object with the same key twice")
    return made


def _no_number(name: str) -> NoReturn:
    raise Refusal(400, f"the body is not JSON: {name} is no number in JSON")
