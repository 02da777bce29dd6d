"""Bytes to text: UTF-8, and a stated fallback for the lines that are not."""

from __future__ import annotations

import codecs
from typing import Final, final

from finetext.core.errors import DataError
from finetext.core.types import Finding
from finetext.core.wording import counted

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL_BYTES: Final = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b")) + b"\x7f"


def _windows_1252() -> dict[int, str]:
    """The characters by which Windows-1252 differs from Latin-1."""
    decoded = {byte: bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0)}
    return {byte: character for byte, character in decoded.items() if character}


_WINDOWS_1252: Final = _windows_1252()


def decode(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Finding, ...]]:
    """Turn the bytes of a text file into text.

    Args:
        data: the whole file.
        name: what messages call the file.
        encoding: the encoding to insist on; None takes UTF-8 or what a byte order mark says, and
            Windows-1252 (Latin-1 for the bytes it lacks) for each line that is not UTF-8.

    Returns:
        the text, its line ends untouched, and a warning if any line was not UTF-8.

    Raises:
        DataError: the file is binary, or not in the encoding that was given.
    """
    decoder = Decoder(name, encoding)
    return decoder.decode(data, last=True), decoder.findings


@final
class Decoder:
    """What `decode` does, for a file that comes piece by piece."""

    def __init__(self, name: str, encoding: str | None = None, lenient: bool = False) -> None:
        """See `decode`.

        Args:
            name: what messages call the file.
            encoding: the encoding to insist on, or None.
            lenient: whether bytes that are no text in an encoding to insist on become halves of
                surrogate pairs (PEP 383) instead of an error.
        """
        self._name = name
        self._errors = "surrogateescape" if lenient else "strict"
        self._encoding = encoding
        self._beginning: bytes | None = None
        self._incremental: codecs.IncrementalDecoder | None = None
        self._rest = b""
        self._lines = 0
        self._unended = False
        self._odd: list[int] = []
        self._odd_lines = 0

    def decode(self, data: bytes, last: bool) -> str:
        """The text of the next piece, as far as it is complete.

        Args:
            data: bytes; the first piece has four or more, unless it is the last one.
            last: whether no more bytes follow.

        Raises:
            DataError: see `decode`.
        """
        first = self._beginning is None
        if first:
            self._begin(data)
        if self._incremental is not None:
            return self._as_given(data, last).removeprefix("\ufeff" if first else "")
        data = self._rest + data
        end = len(data) if last else data.rfind(b"\n") + 1
        data, self._rest = data[:end], data[end:]
        text = self._plain(data)
        self._lines += data.count(b"\n")
        self._unended = self._unended if not data else not data.endswith(b"\n")
        return text

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning if any line so far was not UTF-8."""
        if not self._odd_lines:
            return ()
        places = ", ".join(map(str, self._odd)) + (", ..." if self._odd_lines > 5 else "")
        are = "is" if self._odd_lines == 1 else "are"
        message = (
            f"{self._name}: {self._odd_lines:,} of "
            f"{counted(self._lines + self._unended, 'line')} {are} not UTF-8 (line {places}), read "
            "as Windows-1252; state the encoding if that is wrong"
        )
        return (Finding("warning", "not-utf8", message),)

    def _begin(self, data: bytes) -> None:
        self._beginning = data[:65536]
        marked = next((codec for mark, codec in _BOMS if data.startswith(mark)), None)
        given = self._encoding or marked
        if given:
            try:
                b"".decode(given)
                self._incremental = codecs.getincrementaldecoder(given)(self._errors)
            except LookupError:
                raise DataError(f"there is no encoding named {given!r}") from None
            self._encoding = given

    def _as_given(self, data: bytes, last: bool) -> str:
        assert self._incremental is not None
        try:
            return self._incremental.decode(data, last)
        except UnicodeError as error:
            raise DataError(f"{self._name} is not {self._encoding} text: {error}") from None

    def _plain(self, data: bytes) -> str:
        """Whole lines of UTF-8, or of Windows-1252 where they are not."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            _refuse_binary(self._beginning or b"", self._name)
            return self._line_by_line(data)
        if "\0" in text:
            _refuse_binary(self._beginning or b"", self._name)
        return text

    def _line_by_line(self, data: bytes) -> str:
        lines = []
        for number, line in enumerate(data.split(b"\n"), start=self._lines + 1):
            try:
                lines.append(line.decode("utf-8"))
            except UnicodeDecodeError:
                lines.append(line.decode("latin-1").translate(_WINDOWS_1252))
                self._odd_lines += 1
                self._odd += [number] if self._odd_lines <= 5 else []
        return "\n".join(lines)


def _refuse_binary(data: bytes, name: str) -> None:
    """Raise DataError if too many bytes are ones that no text has."""
    if len(data) - len(data.translate(None, _CONTROL_BYTES)) > 0.02 * len(data):
        raise DataError(
            f"{name} is not a text file, nor a format known by its ending "
            "(.csv .tsv .txt .json .jsonl .parquet .xlsx .zip .tar .tar.gz, and .gz of these); "
            "if it is text, state its encoding"
        )
