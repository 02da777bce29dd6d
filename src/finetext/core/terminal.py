"""Texts as a terminal shows them: what would control it, or reorder what it shows, is escaped.

Escaped are the control characters but tab and line feed, line and paragraph separators, embeddings,
overrides and isolates of bidirectional text, invisible operators, tags, byte order marks and halves
of surrogate pairs. Joiners and zero-width spaces stay, since emoji and several scripts need them,
and so do the marks of direction, which reorder nothing but their neighbors.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO, final

from finetext.core.text_columns import as_one

_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def escaped(text: str) -> str:
    r"""Return a text with unsafe characters as `\x1b` or `\u202e`; line ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_python_escape, as_one(text))


def one_line(text: str) -> str:
    r"""Return a text for one line: as `escaped`, line ends and tabs as `\n` and `\t`, too."""
    return escaped(text).replace("\n", "\\n").replace("\t", "\\t")


def json_escaped(text: str) -> str:
    """Return JSON text of the same value, in which unsafe characters are escaped as JSON does."""
    return _UNSAFE.sub(_json_escape, text)


def _python_escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


@final
class EscapingStream:
    """A text stream that escapes what is written to it.

    Consoles of `rich` write to the stream itself: they escape texts before they add their codes.
    """

    def __init__(self, stream: TextIO) -> None:
        """Wrap a stream."""
        self.rich_proxied_file = self._stream = stream

    def __getattr__(self, name: str) -> Any:
        """Return what the stream has."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, escaped."""
        self._stream.write(escaped(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write texts, escaped."""
        for line in lines:
            self.write(line)


def unescaped(stream: TextIO) -> TextIO:
    """Return the stream below an `EscapingStream`, for data; else the stream."""
    return stream.rich_proxied_file if isinstance(stream, EscapingStream) else stream


def escape_output() -> None:
    """Let standard output and standard error escape from now on all that is written."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, EscapingStream):
            setattr(sys, name, EscapingStream(stream))


@contextmanager
def escaping_output() -> Iterator[None]:
    """Let standard output and standard error escape what is written while the body runs."""
    before = sys.stdout, sys.stderr
    escape_output()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
