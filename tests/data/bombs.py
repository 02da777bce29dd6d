"""Small files that would take much memory if what they say about themselves were believed."""

from __future__ import annotations

import copy
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

TABLE = b"text,label\none text,x\ntwo texts,y\nthree texts,x\nfour texts,y\n"
LARGE = 200_000_000
SHEET = "xl/worksheets/sheet1.xml"
_STRINGS = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
_START = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'


def packed(*parts: bytes) -> bytes:
    """Gzip bytes, each part of which is given with how often it is repeated before it."""
    return gzip.compress(b"".join(parts), 1)


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return file.getvalue()


def overlapping() -> bytes:
    """A zip archive whose members are all the same bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        out.writestr("a/t.txt", bytes(10_000_000))
        out.filelist += [copy.copy(out.filelist[0]) for _ in range(30)]
    return file.getvalue()


def nested() -> bytes:
    data = TABLE
    for name in ("t.csv", "a.zip", "b.zip", "c.zip", "d.zip"):
        data = zipped({name: data})
    return data


def tar(*headers: tuple[str, bytes, bytes], data: bytes = TABLE) -> bytes:
    """A tar archive of headers (name, type, content), and a table."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        for name, kind, content in (*headers, ("t.csv", tarfile.REGTYPE, data)):
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content)
            out.addfile(member, io.BytesIO(content))
    return file.getvalue()


def old_sparse() -> bytes:
    """A sparse member that says that it has a terabyte."""
    member = tarfile.TarInfo("t.csv")
    member.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % 8**11
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n"
    length = next(n for n in range(3, 10_000) if len(rest) + len(str(n)) == n)
    return f"{length}{rest}".encode()


def workbook(rows: str, more: str = "", dimension: str = "A1:B3", **parts: bytes) -> bytes:
    """A workbook with some rows in XML, and with parts instead of its own."""
    import openpyxl

    whole = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(["text", "label"])
    book.save(whole)
    own = {"styles": "xl/styles.xml", "strings": "xl/sharedStrings.xml"}
    sheet = f'{_START}<dimension ref="{dimension}"/><sheetData>{rows}</sheetData>{more}</worksheet>'
    with zipfile.ZipFile(whole) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    found |= {SHEET: sheet.encode(), **{own[name]: data for name, data in parts.items()}}
    about = f'<Override PartName="/{own["strings"]}" ContentType="{_STRINGS}" /></Types>'
    if "strings" in parts:
        types = found["[Content_Types].xml"].replace(b"</Types>", about.encode())
        found["[Content_Types].xml"] = types
    return zipped(found)


def row(number: int, *cells: tuple[str, str]) -> str:
    inner = "".join(
        f'<c r="{column}{number}" t="inlineStr"><is><t>{text}</t></is></c>'
        for column, text in cells
    )
    return f'<row r="{number}">{inner}</row>'


PLAIN_ROWS = "".join(
    row(n, ("A", f"a text {n}" if n > 1 else "text"), ("B", "xy"[n % 2] if n > 1 else "label"))
    for n in range(1, 9)
)


def entities() -> bytes:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    head = f'<?xml version="1.0"?><!DOCTYPE sst [<!ENTITY e0 "long text">{levels}]>'
    sst = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    return workbook(PLAIN_ROWS, strings=f"{head}<sst {sst}><si><t>&e11;</t></si></sst>".encode())


def shared_strings() -> bytes:
    sst = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings = f"<sst {sst}><si><t>{'long ' * 100_000}</t></si></sst>".encode()
    rows = "".join(f'<row r="{n}"><c t="s"><v>0</v></c></row>' for n in range(1, 5_000))
    return workbook(rows, strings=strings)


def parquet(make: Callable[[Any], Any], **how: Any) -> bytes:
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": make(pyarrow)}), file, **how)
    return file.getvalue()


def dictionary(pa: Any) -> Any:
    import numpy as np

    return pa.DictionaryArray.from_arrays(np.zeros(200_000, np.int8), ["long text " * 50_000])


def keys(rows: int) -> bytes:
    return packed("\n".join(json.dumps({f"k{n}": "a"}) for n in range(rows)).encode())


def label_studio() -> bytes:
    def task(n: int) -> dict[str, Any]:
        found = {"from_name": f"q{n}", "type": "choices", "value": {"choices": ["a"]}}
        return {"data": {"text": "a b"}, "annotations": [{"result": [found]}]}

    return json.dumps([task(n) for n in range(4_000)]).encode()


def webanno() -> bytes:
    features = "|".join(f"f{n}" for n in range(20_000))
    sentences = "\n#Text=a\n1-1\t0-1\ta\n" * 5_000
    return f"#FORMAT=WebAnno TSV 3.3\n#T_SP=layer|{features}\n{sentences}".encode()


ATTRIBUTES = " ".join(f'a{n:x}=""' for n in range(1_000_000))
FEWER = ATTRIBUTES[: ATTRIBUTES.index(" a1000")]
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "lines.csv.gz": (lambda: packed(b"a text,x\n" * (LARGE // 9)), "most_bytes"),
    "cell.csv.gz": (lambda: packed(b"text,label\n", b"a" * LARGE, b",x\n"), "most_bytes"),
    "commas.csv.gz": (lambda: packed(b"," * 20_000_000), "most_bytes"),
    "columns.csv": (lambda: b"c," * 1_000_000 + b"\n" + b"a," * 1_000_000, "most_bytes"),
    "wide.csv": (lambda: b"c," * 60_000 + b"\n" + b"a," * 60_000, "60,001 columns"),
    "emoji.txt.gz": (lambda: packed("\U0001f600\n".encode(), b"a" * 30_000_000), "most_bytes"),
    "folder.zip": (lambda: zipped({f"{n}/t.txt": bytes(LARGE // 4) for n in "abcd"}), "most_bytes"),
    "bzip2.zip": (lambda: zipped({"t.csv": bytes(LARGE)}, zipfile.ZIP_BZIP2), "most_bytes"),
    "overlapping.zip": (overlapping, "most_bytes"),
    "nested.zip": (nested, "archives inside each other"),
    "sparse.tar": (old_sparse, "sparse"),
    "new-sparse.tar": (
        lambda: tar(("p", b"x", record("GNU.sparse.realsize", "99999999999"))),
        "sparse",
    ),
    "records.tar.gz": (lambda: packed(tar(("p", b"x", b"1 a=" * 100_000))), "another length"),
    "headers.tar": (lambda: tar(*[("p", b"x", record("a", "b"))] * 500), "too many headers"),
    "long-header.tar.gz": (
        lambda: packed(tar(("p", b"g", record("abcd", "e") * 2_000_000))),
        "a header of",
    ),
    "global.tar.gz": (
        lambda: packed(
            tar(
                *[("p", b"g", b"".join(record(f"k{n:06}", "e") for n in range(60_000)))],
                *[(f"{n}.txt", b"0", b"a") for n in range(1_000)],
            )
        ),
        "most_bytes",
    ),
    "wide.xlsx": (
        lambda: workbook("".join(row(n, ("XFD", "a")) for n in range(1, 3_000))),
        "most_bytes",
    ),
    "merged.xlsx": (
        lambda: workbook(
            row(1, ("A", "long " * 5_000)),
            '<mergeCells><mergeCell ref="A1:A1048576"/></mergeCells>',
            "A1:A1048576",
        ),
        "most_bytes",
    ),
    "overlapping.xlsx": (
        lambda: workbook(
            PLAIN_ROWS,
            "<mergeCells>" + '<mergeCell ref="A1:A1048576"/>' * 5_000 + "</mergeCells>",
        ),
        "overlap",
    ),
    "shared.xlsx": (shared_strings, "most_bytes"),
    "entities.xlsx": (entities, "defines entities"),
    "styles.xlsx": (lambda: workbook("", styles=b"<a>" + b"<b/>" * 1_000_000), "most_bytes"),
    "zeros.xlsx": (lambda: workbook(PLAIN_ROWS, strings=b"<a>" + bytes(LARGE)), "Excel file|most_"),
    "cells.xlsx": (lambda: workbook(f"<row>{'<c/>' * 1_100_000}</row>"), "too many cells|most_"),
    "attributes.xlsx": (lambda: workbook(f"<row {ATTRIBUTES}/>"), "more than 1 MB"),
    "styles-attributes.xlsx": (
        lambda: workbook("", styles=f"<a>{f'<b {FEWER}/>' * 1_500}</a>".encode()),
        "most_bytes",
    ),
    "comment.xlsx": (lambda: workbook(f"<!-- <? ?>{'<' * 30_000_000}-->"), "more than 1 MB"),
    "runs.xlsx": (
        lambda: workbook(row(1, ("A", "</t></is></c>" + "<c><is>" + "<r><t>a</t></r>" * 400_000))),
        "too many cells",
    ),
    "dictionary.parquet": (lambda: parquet(dictionary), "most_bytes"),
    "numbers.parquet": (lambda: parquet(lambda pa: pa.repeat(7, 10_000_000)), "most_bytes"),
    "list.parquet": (
        lambda: parquet(
            lambda pa: pa.ListArray.from_arrays([0, 5_000_000], pa.repeat(7, 5_000_000))
        ),
        "most_bytes",
    ),
    "texts.parquet": (
        lambda: parquet(
            lambda pa: pa.ListArray.from_arrays(
                [0, 2_000], pa.array(["long text " * 10_000]).take(pa.repeat(0, 2_000))
            )
        ),
        "most_bytes",
    ),
    "delta.parquet": (
        lambda: parquet(
            lambda pa: pa.array(["long text " * 20_000] * 400),
            use_dictionary=False,
            column_encoding={"text": "DELTA_BYTE_ARRAY"},
        ),
        "most_bytes",
    ),
    "fixed.parquet": (
        lambda: parquet(lambda pa: pa.nulls(90, pa.binary(1_000_000))),
        "most_bytes",
    ),
    "zstd.parquet": (
        lambda: parquet(
            lambda pa: pa.array(["a" * LARGE]),
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
        ),
        "most_bytes",
    ),
    "lists.json.gz": (lambda: packed(b"[" + b"[]," * 3_000_000 + b"[]]"), "most_bytes"),
    "objects.json.gz": (lambda: packed(b"[" + b'{"a":{}},' * 1_000_000 + b"{}]"), "most_bytes"),
    "deep.json": (lambda: b"[" * 100_000, "too deeply"),
    "deep-lines.jsonl": (lambda: b'{"a":' * 50_000, "too deeply"),
    "objects-deep.json": (lambda: b'{"a":' * 900 + b"1" + b"}" * 900, "deeply|neither|columns"),
    "digits.json": (lambda: b'[{"text": "a", "label": ' + b"9" * 1_000_000 + b"}]", "digits"),
    "keys.jsonl.gz": (lambda: keys(20_000), "most_bytes"),
    "label-studio.json": (label_studio, "most_bytes"),
    "webanno.tsv": (webanno, "most_bytes"),
}
"""Name to what makes a file, and what its error says."""

HARMLESS: dict[str, Callable[[], bytes]] = {
    "hidden.zip": lambda: zipped({".hidden.csv": bytes(LARGE), "t.csv": TABLE}),
    "hidden.tar.gz": lambda: packed(tar((".hidden", b"0", bytes(30_000_000)))),
    "dimension.xlsx": lambda: workbook(PLAIN_ROWS, dimension="A1:XFD1048576"),
    "far.xlsx": lambda: workbook(PLAIN_ROWS + row(1_048_576, ("A", "far away"), ("B", "x"))),
}
"""Name to what makes a file that says that it is large, or has a bomb in what is not read."""
