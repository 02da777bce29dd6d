"""What is to be predicted: a text, lines of standard input, or anything that can be read."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetext.cli.arguments import read_settings
from finetext.core.errors import DataError
from finetext.data.rows import ONLY_TEXTS, Rows, Texts, Wanted
from finetext.data.stream import lines_of, open_stream


def read_input(
    source: str,
    given: Mapping[str, Any],
    settings: list[str] | None,
    wanted: Wanted = ONLY_TEXTS,
) -> Texts:
    """The texts to predict: a file or anything else `read` takes, lines of standard input, a text.

    Args:
        source: "-" for standard input, something that can be read, or else the text itself.
        given: options of reading.
        settings: assignments `data.NAME=VALUE`.
        wanted: what beside ids and texts; lines of standard input and a text have nothing else.

    Raises:
        DataError: the source looks like a file that is not there, cannot be read, is empty or
            closed, or has no columns that an option could concern.
    """
    if _is_readable(source):
        return _read(source, given, settings, wanted)
    if given or settings:
        what = "standard input has one text a line" if source == "-" else "this is one text"
        raise DataError(f"{what}: --text, --id and --set are for files; leave them out")
    if source == "-" and sys.stdin is None:
        raise DataError("standard input is closed; give one text a line")
    if source == "-":
        return lines_of(sys.stdin.buffer, "standard input")
    return Texts(iter([Rows(["1"], [one_text(source)], 1.0)]))


def one_text(source: str) -> str:
    """The text that a source is itself; bytes in it that are no characters are replaced.

    Raises:
        DataError: it looks like a file that is not there.
    """
    if Path(source).suffix[1:].isalnum() and not set(source) & set(" \n"):
        raise DataError(f"there is no file {source}; a text that looks like one needs a space")
    return source.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read(
    source: str, given: Mapping[str, Any], settings: list[str] | None, wanted: Wanted
) -> Texts:
    """The rows of a large file as they come, of anything else as a whole."""
    return open_stream(source, read_settings({"labelled": False, **given}, settings), wanted)


def is_text(source: str) -> bool:
    """Whether the source is itself the text to predict."""
    return source != "-" and not _is_readable(source)


def exists(source: str) -> bool:
    """Whether the source is a file or folder."""
    try:
        return bool(source) and Path(source).exists()
    except (OSError, ValueError):
        return False


def _is_readable(source: str) -> bool:
    """Whether the source is there, or an address: a text may begin with one, but has spaces."""
    is_address = source.startswith(("http://", "https://", "hub:")) and len(source.split()) == 1
    return is_address or exists(source)
