"""Bytes to text: UTF-8, and a stated fallback for the lines that are not."""

from __future__ import annotations

import codecs
from typing import Final

from finetext.data.words import counted
from finetext.errors import DataError
from finetext.types import Finding

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
    given = encoding or next((codec for mark, codec in _BOMS if data.startswith(mark)), None)
    if given:
        return _decode_as(data, name, given), ()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        _refuse_binary(data, name)
        return _decode_lines(data, name)
    if "\0" in text:
        _refuse_binary(data, name)
    return text, ()


def _decode_as(data: bytes, name: str, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise DataError(f"there is no encoding named {encoding!r}") from None
    except UnicodeError as error:
        raise DataError(f"{name} is not {encoding} text: {error}") from None


def _refuse_binary(data: bytes, name: str) -> None:
    """Raise DataError if too many bytes are ones that no text has."""
    sample = data[:65536]
    if len(sample) - len(sample.translate(None, _CONTROL_BYTES)) > 0.02 * len(sample):
        raise DataError(
            f"{name} is not a text file, nor a format known by its ending "
            "(.csv .tsv .txt .json .jsonl .parquet .xlsx .zip .tar .tar.gz, and .gz of these); "
            "if it is text, state its encoding"
        )


def _decode_lines(data: bytes, name: str) -> tuple[str, tuple[Finding, ...]]:
    lines, wrong = [], []
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line.decode("latin-1").translate(_WINDOWS_1252))
            wrong.append(number)
    places = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
    total = len(lines) - data.endswith(b"\n")
    are = "is" if len(wrong) == 1 else "are"
    message = (
        f"{name}: {len(wrong):,} of {counted(total, 'line')} {are} not UTF-8 (line {places}), read "
        "as Windows-1252; state the encoding if that is wrong"
    )
    return "\n".join(lines), (Finding("warning", "not-utf8", message),)
