"""Texts as a terminal shows them: what would control it, or reorder what it shows, is escaped.

Escaped are the control characters but tab and line feed, line and paragraph separators, embeddings,
overrides and isolates of bidirectional text, invisible operators, tags, byte order marks and halves
of surrogate pairs. Joiners and zero-width spaces stay, since emoji and several scripts need them,
and so do the marks of direction, which reorder nothing but their neighbors.
"""

from __future__ import annotations

import codecs
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


_IN_ASCII: Final = {
    "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u2013": "-", "\u2014": "-",
    "\u2026": "...", "\u2192": "->", "\u00b7": "*", "\u00b1": "+-", "\u2713": "x",
    "\u2500": "-", "\u2501": "-", "\u2502": "|", "\u2503": "|", "\u2578": " ", "\u257a": " ",
}  # fmt: skip
"""What finetext itself shows beyond ASCII, as an encoding without it gets it."""
_IN_ASCII.update({chr(code): " " if code > 0x258C else "#" for code in range(0x2581, 0x2590)})
_PLAIN: Final = "finetext-plain"
"""The name of the way to encode that replaces these, and nothing else."""


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeEncodeError):
        text = error.object[error.start : error.end]
        if all(letter in _IN_ASCII for letter in text):
            return "".join(_IN_ASCII[letter] for letter in text), error.end
        if (letter := text[0]) in _IN_ASCII:
            return _IN_ASCII[letter], error.start + 1
    raise error


codecs.register_error(_PLAIN, _in_ascii)


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
        _encode(stream, "strict", _PLAIN)

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
    """Return the stream below an `EscapingStream`, for data; else the stream.

    Data that its encoding lacks are an error from then on, whatever they are.
    """
    if not isinstance(stream, EscapingStream):
        return stream
    _encode(stream.rich_proxied_file, _PLAIN, "strict")
    return stream.rich_proxied_file


def _encode(stream: Any, before: str, after: str) -> None:
    """Change how a stream treats what its encoding lacks, if it is as before."""
    if getattr(stream, "errors", None) == before and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=after)


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
