"""The parts of an Excel file, each byte of which is counted and checked while openpyxl reads it.

A workbook is a zip archive of XML. Parts are not read if they define entities, which can multiply,
and the rows of a sheet are parsed one at a time, so that the size it states does not matter.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import IO, Any, Final, final
from xml.etree.ElementTree import Element, iterparse

from finetext.core.budget import take
from finetext.core.errors import DataError
from finetext.data.archives import open_zip

_TREE: Final = 500
"""Bytes of memory for a tag of a part that becomes objects, such as the styles."""
_TABLE: Final = 32
"""Bytes of memory for a tag of the table of texts, the texts aside."""
_QUOTE: Final = 64
"""Bytes of memory for a quote in such parts; an attribute has two."""
_ENTITIES: Final = (b"<!DOCTYPE", b"<!ENTITY")
_UTF_16: Final = (b"\xfe\xff", b"\xff\xfe", b"<\0", b"\0<")
_ENCODING: Final = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"']([^\"']*)")
_ENCODINGS: Final = {b"utf-8", b"utf8", b"us-ascii", b"ascii"}
_STEP: Final = 1 << 20
_MOST_TAGS: Final = 1 << 18
"""Tags and attributes in a row of a sheet, which has 16,384 cells at most."""
_LONGEST: Final = 1 << 20
"""Bytes of a tag, text or comment, which the parser looks through again with every piece of it."""
_PIECE: Final = 1 << 18
_MARK: Final = re.compile(rb"<!--|<\?|-->|\?>")
_CLOSING: Final = {b"<!--": b"-->", b"<?": b"?>"}
_MERGED: Final = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7}):\$?[A-Z]{1,3}\$?(\d{1,7})")
_PLAIN: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def opened_book(data: bytes, name: str) -> tuple[Any, Package]:
    """Return a workbook of openpyxl, whose sheets are not read yet, and its parts."""
    from openpyxl.reader.excel import ExcelReader

    reader = ExcelReader(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    reader.archive = package = Package(data, name)
    reader.read()
    return reader.wb, package


@final
class Package:
    """The archive of a workbook, as far as openpyxl needs it."""

    def __init__(self, data: bytes, name: str) -> None:
        """Open it; raises a BadZipFile."""
        self._packed = open_zip(io.BytesIO(data), name)
        self.filename = name
        self.uncomputed = 0

    def namelist(self) -> list[str]:
        """Return the names of the parts."""
        return self._packed.namelist()

    def open(self, part: str, mode: str = "r") -> _Checked:
        """Return a part as a stream that is counted and checked."""
        return self._checked(part, _TABLE)

    def read(self, part: str) -> bytes:
        """Return the content of a part."""
        with self._checked(part, _TREE) as stream:
            return stream.read()

    def _checked(self, part: str, tag: int) -> _Checked:
        member = self._packed.getinfo(part)
        if member.compress_type not in _PLAIN:
            raise DataError(f"{self.filename}: {part} is compressed as in no Excel file")
        return _Checked(self._packed.open(member), self.filename, tag)

    def rows(
        self, sheet: Any, merged: list[tuple[int, int, int]]
    ) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Yield the number and the cells of each row of a sheet, in the order of the numbers.

        First row, last row and column of merged cells that span rows are added to `merged`.
        `uncomputed` is then the number of formulas without a stored result.
        """
        from openpyxl.utils import column_index_from_string
        from openpyxl.worksheet._reader import ROW_TAG, WorkSheetParser

        book, last = sheet.parent, 0
        parser = WorkSheetParser(
            None, sheet._shared_strings, data_only=True, epoch=book.epoch,
            date_formats=book._date_formats, timedelta_formats=book._timedelta_formats,
        )  # fmt: skip
        merge_tag, formula, result = (
            ROW_TAG.replace("}row", f"}}{name}") for name in ("mergeCell", "f", "v")
        )
        self.uncomputed = 0
        with self._checked(sheet._worksheet_path, 0) as stream:
            for element in _parts_of(stream, self.filename):
                if element.tag == ROW_TAG:
                    if next(element.iter(formula), None) is not None:
                        self.uncomputed += sum(
                            cell.find(formula) is not None and not cell.findtext(result)
                            for cell in element
                        )
                    number, cells = parser.parse_row(element)
                    parser.row_dimensions.clear()
                    if number > last:
                        last = number
                        yield number, cells
                elif element.tag == merge_tag and (
                    found := _MERGED.fullmatch(element.get("ref", ""))
                ):
                    top, bottom = int(found[2]), int(found[3])
                    if top != bottom:
                        take(_TREE, self.filename)
                        merged.append((top, bottom, column_index_from_string(found[1])))


def _parts_of(stream: _Checked, name: str) -> Iterator[Element]:
    """Yield the rows of a sheet, and other elements as deep in it; none is kept afterward."""
    parents: list[Element] = []
    tags = 0
    for event, element in iterparse(stream, ("start", "end")):
        if event == "start":
            parents.append(element)
            tags += 1 + len(element.attrib)
            if tags > _MOST_TAGS:
                raise DataError(f"{name} is not a readable Excel file: a row has too many cells")
            continue
        parents.pop()
        if len(parents) == 2:
            yield element
        if len(parents) <= 2:
            tags = 0
            if parents:
                parents[-1].clear()


@final
class _Checked(io.RawIOBase):
    """A part that is read, counted, and refused if it defines entities."""

    def __init__(self, stream: IO[bytes], name: str, tag: int) -> None:
        self._stream, self._name, self._tag = stream, name, tag
        self._end: bytes | None = None
        self._closing: bytes | None = None
        self._length = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def close(self) -> None:
        """Close the part as well."""
        self._stream.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, all of them by default."""
        if size is not None and size >= 0:
            return self._next(max(size, _PIECE) if size else 0)  # parsers take more than they ask
        found = io.BytesIO()
        while data := self._next(_STEP):
            found.write(data)
        return found.getvalue()

    def _next(self, size: int) -> bytes:
        data = self._stream.read(size)
        if self._end is None:
            self._check_encoding(data)
        seen = (self._end or b"") + data
        if any(mark in seen for mark in _ENTITIES):
            self._refuse("defines entities")
        self._measure(seen, data)
        self._end = seen[-16:]
        quotes = data.count(b'"') + data.count(b"'") if self._tag else 0
        take(len(data) + self._tag * data.count(b"<") + _QUOTE * quotes, self._name)
        return data

    def _measure(self, seen: bytes, data: bytes) -> None:
        """Refuse a tag, text, comment or instruction that is longer than in any workbook."""
        if self._closing or any(mark in seen for mark in _CLOSING):
            for found in _MARK.finditer(seen):
                if found.end() <= len(seen) - len(data):
                    continue
                if self._closing is None:
                    self._closing = _CLOSING.get(found[0])
                elif found[0] == self._closing:
                    self._closing = None
        goes_on = self._closing is not None or b"<" not in data
        self._length = self._length + len(data) if goes_on else 0
        if self._length > _LONGEST:
            self._refuse("has a tag, text or comment of more than 1 MB")

    def _check_encoding(self, beginning: bytes) -> None:
        found = _ENCODING.match(beginning.removeprefix(b"\xef\xbb\xbf"))
        is_odd = found is not None and found[1].lower() not in _ENCODINGS
        if is_odd or beginning.startswith(_UTF_16):
            self._refuse("is not in UTF-8")

    def _refuse(self, why: str) -> None:
        raise DataError(f"{self._name} is not a readable Excel file: a part of it {why}")
