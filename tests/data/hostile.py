"""Hostile inputs: what users and other programs write into text files, tables and archives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from typing import Any


def csv_of(rows: list[str], header: str = "text,label") -> str:
    return "\n".join([header, *rows]) + "\n"


def many(form: str, rows: int = 12) -> list[str]:
    return [form.format(n=n, label="good" if n % 3 else "bad", half=n % 2) for n in range(rows)]


def json_lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table_bytes(suffix: str, columns: dict[str, list[Any]]) -> bytes:
    """A Parquet file or an Excel workbook."""
    file = io.BytesIO()
    if suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(columns), file)
    else:
        import openpyxl

        book = openpyxl.Workbook()
        for row in zip(*columns.values(), strict=True):
            book.active.append(row)
        book.save(file)
    return file.getvalue()


def archive(suffix: str, files: dict[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    if suffix == ".zip":
        with zipfile.ZipFile(file, "w") as out:
            for name, content in files.items():
                out.writestr(name, content)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w:gz") as out:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return file.getvalue()


PLAIN = many("a text of {n},{label}")
DOCUMENTS: dict[str, str | bytes] = {
    f"{label}/{n}.txt": f"text {n} of {label}" for n in range(4) for label in ("good", "bad")
}
IDS = [*range(8), 3, *range(9, 12)]
SPLIT_FILES: dict[str, str | bytes] = {
    "train.csv": csv_of(PLAIN),
    "dev.csv": csv_of(PLAIN[:4]),
    "labels.txt": "x\ny\n",
    "README.md": "about",
    "other.csv": csv_of(PLAIN),
}

CASES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    # Text tables
    "csv": ("x.csv", csv_of(PLAIN), {}),
    "no header": ("x.csv", "\n".join(PLAIN), {}),
    "semicolons": ("x.csv", csv_of(many("{n} a; b,{n};{label}"), "nr text;label"), {}),
    "bars in txt": ("x.txt", csv_of(many("a | {n}"), "text|nr"), {}),
    "quoted": ("x.csv", csv_of(many('"a ""quoted"", text\n of {n}",{label}')), {}),
    "quote stays open": ("x.csv", csv_of([*PLAIN, '"open, text,good', *PLAIN]), {}),
    "text after quote": ("x.csv", csv_of([*PLAIN, '"a" b, c,good', *PLAIN]), {}),
    "stray quotes, even": ("x.csv", csv_of([*PLAIN, 'a "fine" one,good', '"x" y,bad']), {}),
    "quotes in tsv": ("x.tsv", csv_of(many('"a text" {n}\t{label}'), "text\tlabel"), {}),
    "all quoted tsv": ("x.tsv", csv_of(many('"a\ttext {n}"\t"{label}"'), '"text"\t"label"'), {}),
    "doubled quotes in tsv": ("x.tsv", csv_of(many('"a ""b"" {n}"\t{label}\tz'), "text\tk\tz"), {}),
    "lone returns end lines": ("x.csv", csv_of(PLAIN).replace("\n", "\r"), {}),
    "lone return in a field": ("x.csv", csv_of([*PLAIN, "a\rb,good", '"c"\r,bad']), {}),
    "windows ends": ("x.csv", csv_of(PLAIN).replace("\n", "\r\n"), {}),
    "blank lines": ("x.csv", csv_of([*PLAIN, "", "  ", "\r", *PLAIN, "", ""]), {}),
    "leading blanks": ("x.csv", "\n\n  \n" + csv_of(PLAIN), {}),
    "byte order mark": ("x.csv", b"\xef\xbb\xbf" + csv_of(PLAIN).encode(), {}),
    "utf-16": ("x.csv", csv_of([*PLAIN, "caf\xe9 \u20ac,good"]).encode("utf-16"), {}),
    "latin-1 bytes": ("x.csv", csv_of([*PLAIN, "caf\xe9,bad", "\xdf,good"]).encode("latin-1"), {}),
    "windows-1252": ("x.txt", b"\n".join([b"one \x80 of \x81", "zw\xf6lf".encode()] * 6), {}),
    "wrong encoding": ("x.csv", csv_of([*PLAIN, "caf\xe9,bad"]).encode("latin-1"),
                       {"encoding": "utf-8"}),
    "ragged": ("x.csv", csv_of([*PLAIN, "a, b,good", "c", *PLAIN]), {}),
    "ragged tsv": ("x.tsv", csv_of([*many("a {n}\t{label}"), "b", "a\tb\tc"], "text\tlabel"), {}),
    "repeated names": ("x.csv", csv_of(many("a {n},b {n},,{label}"), "text,text,,label"), {}),
    "header only": ("x.csv", "text,label\n", {}),
    "empty": ("x.csv", " \n \n", {}),
    "binary": ("x.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3, {}),
    "delimiter given": ("x.txt", csv_of(many("{label}#a text {n}"), "label#said"),
                        {"delimiter": "#", "text": "said"}),
    "delimiter too long": ("x.csv", csv_of(PLAIN), {"delimiter": "::"}),
    "header denied": ("x.csv", csv_of(PLAIN), {"header": False, "text": "1"}),
    "half surrogate": ("x.jsonl", json_lines([{"text": "a \ud83d b", "label": n % 2}
                                              for n in range(9)]), {}),
    "gzip": ("x.csv.gz", gzip.compress(csv_of(PLAIN).encode(), mtime=0), {}),
    "broken gzip": ("x.csv.gz", gzip.compress(csv_of(PLAIN * 9).encode(), mtime=0)[:-12], {}),
    "long field": ("x.csv", csv_of([*PLAIN, '"' + "word " * 40_000 + '",good']), {}),
    # Ids, groups, splits, texts
    "ids": ("x.csv", csv_of(many("r{n},a text {n},{label}"), "id,text,label"), {}),
    "repeated ids": ("x.csv", csv_of([f"{i},a text,{'xy'[i % 2]}" for i in IDS], "id,text,label"),
                     {}),
    "repeated ids, named": ("x.csv", csv_of([f"{i},a text,{'xy'[i % 2]}" for i in IDS],
                                            "nr,text,label"), {"id": "nr"}),
    "empty id": ("x.csv", csv_of([*many("r{n},a text,{label}"), ",b c,good"], "id,text,label"), {}),
    "empty id, named": ("x.csv", csv_of([*many("r{n},a text,{label}"), " ,b c,good"],
                                        "key,text,label"), {"id": "key"}),
    "float ids": ("x.parquet", table_bytes(".parquet", {
        "id": [n + 0.0 for n in range(9)], "text": [f"a text {n}" for n in range(9)],
        "label": ["x", "y", "z"] * 3}), {}),
    "late float ids": ("x.jsonl", json_lines([{"id": n if n < 9 else n + 0.5, "text": f"a text {n}",
                                               "label": n % 2} for n in range(12)]), {}),
    "groups": ("x.csv", csv_of([*many("a text {n},{label},f{half}"), "b c,good,"],
                               "text,label,film"), {"group": "film"}),
    "split column": ("x.csv", csv_of([f"{line},{s}" for line, s in
                                      zip(PLAIN, ["train", "Dev", "test"] * 4, strict=True)],
                                     "text,label,subset"), {}),
    "missing texts": ("x.jsonl", json_lines([{"text": [f"a {n}", None, "", float("nan")][n % 4],
                                              "label": n % 2} for n in range(16)]), {}),
    "no key": ("x.jsonl", json_lines([{"text": f"a {n}", "n": n} if n % 5 else {"n": 0.5}
                                      for n in range(16)]), {}),
    "list as text": ("x.jsonl", json_lines([{"text": f"a {n}", "label": n % 2} for n in range(11)]
                                           + [{"text": ["a"], "label": 1}, {"text": {"a": 1}},
                                              {"text": "z", "label": 0}]), {}),
    "numbers as texts": ("x.csv", csv_of(many("{n}.5,{label}")), {}),
    "codes as texts": ("x.csv", csv_of(many("u00{n},{label}", 30)), {}),
    "text column named": ("x.csv", csv_of(many("a {n},b {n},{label}"), "text,other,label"),
                          {"text": "Other"}),
    "text column by number": ("x.csv", csv_of(many("a {n},b {n},{label}"), "text,other,label"),
                              {"text": "2"}),
    "no such column": ("x.csv", csv_of(PLAIN), {"text": "txet"}),
    "text is label": ("x.csv", csv_of(PLAIN), {"text": "text", "label": "text"}),
    "columns by content": ("x.csv", csv_of(many("{n},the {n} words are here,{label}", 30),
                                           "nr,klump,zap"), {}),
    # Labels
    "joined labels": ("x.csv", csv_of([f"a {n},{['joy|love', 'joy', 'love', 'fear'][n % 4]}"
                                       for n in range(12)]), {}),
    "joined, commas": ("x.csv", csv_of([f'a {n},"{["joy, love", "joy", "love", "fear"][n % 4]}"'
                                        for n in range(12)]), {}),
    "parts never alone": ("x.tsv", csv_of([f"a {n}\t{['up, now', 'up, then', 'down, now'][n % 3]}"
                                           for n in range(12)], "text\tlabel"), {}),
    "place names": ("x.tsv", csv_of([f"a {n}\t{['Albany, NY', 'Boston, MA'][n % 2]}"
                                     for n in range(12)], "text\tlabel"), {}),
    "written lists": ("x.tsv", csv_of([f"a {n}\t{['[]', str(['a', 'b']), str(['b'])][n % 3]}"
                                       for n in range(9)], "text\tlabel"), {}),
    "lists": ("x.jsonl", json_lines([{"text": f"a {n}", "label": [["a", "b"], ["b"], []][n % 3]}
                                     for n in range(9)]), {}),
    "multilabel denied": ("x.csv", csv_of([f"a {n},{['joy|love', 'joy', 'love'][n % 3]}"
                                           for n in range(9)]), {"multilabel": False}),
    "multilabel with blanks": ("x.csv", csv_of([f"a {n},{['joy', '', 'love'][n % 3]}"
                                                for n in range(9)]), {"multilabel": True}),
    "label delimiter": ("x.csv", csv_of([f"a {n},{['joy love', 'joy', 'love'][n % 3]}"
                                         for n in range(9)]), {"label_delimiter": " "}),
    "indicators": ("x.csv", csv_of(many("a {n},{half},1"), "text,joy,fear"),
                   {"label": ("joy", "fear")}),
    "indicators unnamed": ("x.csv", csv_of([f"a {n},{n % 2},{n // 2 % 2}" for n in range(30)],
                                           "text,joy,fear"), {}),
    "odd indicator": ("x.csv", csv_of([*many("a {n},{half},1"), "b,3,0"], "text,joy,fear"),
                      {"label": ("joy", "fear")}),
    "missing labels": ("x.csv", csv_of([*PLAIN, "b c,", "d e, "]), {}),
    "dropped labels": ("x.csv", csv_of([*PLAIN, "b c,", "d e, "]), {"drop_unlabelled": True}),
    "one class": ("x.csv", csv_of(many("a {n},same")), {}),
    "as many labels as rows": ("x.csv", csv_of(many("a {n},v{n}", 24)), {}),
    "label names": ("x.csv", csv_of(many("a {n},{half}")), {"label_names": ("no", "yes", "never")}),
    "label names short": ("x.csv", csv_of(many("a {n},{half}")), {"label_names": {"0": "no"}}),
    "label ids from 1": ("x.csv", csv_of([*many("a {n},1"), "b,2"]), {"label_names": ("u", "v")}),
    "number labels": ("x.csv", csv_of([f"a {n},{[10, 9, -1][n % 3]}" for n in range(9)]), {}),
    "known classes": ("x.csv", csv_of(many("a {n},same")), {"classes": ("same", "other")}),
    # Lines
    "plain lines": ("x.txt", "\n".join(many("line {n}, with a comma")), {}),
    "whole lines": ("x.txt", "\n".join(many("{label} line {n}", 40)), {"whole_lines": True}),
    "whole lines, tab": ("x.txt", "\n".join(many("{label}\tline {n}")), {"whole_lines": True}),
    "whole fasttext": ("x.txt", "\n".join(many("__label__{label} t {n}")), {"whole_lines": True}),
    "lines, lone returns": ("x.txt", "\r".join(many("line {n}")), {}),
    "one line": ("x.txt", "one line, with a comma", {}),
    "fasttext": ("x.txt", "\n".join(many("__label__{label} text {n}")), {}),
    "fasttext, several": ("x.txt", "\n".join([*many("__label__{label} text {n}"),
                                              "__label__a, __label__b two", "", "x"]), {}),
    "fasttext, only": ("x.txt", "\n".join([*many("__label__{label} text {n}"),
                                           "__label__a, __label__b two"]), {}),
    "edge tab first": ("x", "\n".join([*many("{label}\tword {n}\tx"), "bad\ty"]), {}),
    "edge tab last": ("x.txt", "\n".join([*many("word\t{n}\t{label}"), "y\tbad"]), {}),
    "edge semicolon": ("x.txt", "\n".join([*many("word; {n};{label}"), "y;bad"]), {}),
    "edge space": ("x.train", "\n".join([*many("{half} word {n}, and more", 30), "1 x"]), {}),
    "edge headed": ("x.txt", "\n".join(["label\ttext", *many("{label}\ta {n}"), "bad\tb\tc"]), {}),
    "edge, late misfit": ("x.txt", "\n".join([*many("word; {n};{label}", 20), "no label", ";"]),
                          {}),
    "tab in every line": ("x.txt", "\n".join(many("word {n}\t{label}\t{half}")), {}),
    "uneven commas": ("x.txt", "\n".join([*many("word {n}, {label}", 19), "a, b, c"]), {}),
    "commas with header": ("x.txt", csv_of(many("{n},a word"), "id,text"), {}),
    # JSON
    "json list": ("x.json", json.dumps([{"text": f"a {n}", "label": n % 2} for n in range(9)]), {}),
    "json lists": ("x.json", json.dumps({"text": ["a b"] * 4, "label": [0, 1, 1, 0]}), {}),
    "json envelope": ("x.json", json.dumps({"version": 1, "data": [{"text": "a b", "label": n % 2}
                                                                  for n in range(5)]}), {}),
    "json object": ("x.json", json.dumps({"text": "a b", "label": 1}), {}),
    "json two lists": ("x.json", json.dumps({"a": [1], "b": [2], "c": 3}), {}),
    "uneven lists": ("x.json", json.dumps({"text": ["a"], "label": []}), {}),
    "json of a number": ("x.json", "3", {}),
    "broken json": ("x.json", '{"text": [', {}),
    "lines in json": ("x.json", json_lines([{"text": f"a {n}", "label": n % 2} for n in range(9)]),
                      {}),
    "json lines in txt": ("x.txt", json_lines([{"text": f"a {n}", "label": n % 2}
                                               for n in range(9)]), {}),
    "json lines, blanks": ("x.jsonl", json_lines([{"text": f"a {n}", "label": n % 2}
                                                  for n in range(9)]).replace("\n", "\n \n"), {}),
    "broken json line": ("x.jsonl", json_lines([{"text": f"a {n}", "label": n % 2}
                                                for n in range(9)]) + '{"text": \n[1]\n', {}),
    "mixed kinds": ("x.jsonl", json_lines([{"text": f"a {n}", "label": n % 2, "x": v, "z": v == 1,
                                            "y": n * 2**60} for n, v in
                                           enumerate([1, 2.5, None, "a", [1], {"b": True}])]), {}),
    "deep json": ("x.jsonl", "[" * 100_000 + "\n", {}),
    # Parquet and Excel
    "parquet": ("x.parquet", table_bytes(".parquet", {
        "text": [f"a {n}" for n in range(9)], "label": ["x", None, "y"] * 3, "n": list(range(9)),
        "tags": [["a"], [], None] * 3}), {}),
    "parquet, missing texts": ("x.parquet", table_bytes(".parquet", {
        "key": [f"k{n}" for n in range(9)], "text": ["a b", None, "c"] * 3,
        "label": [1.0, 0.0, 1.0] * 3}), {"id": "key"}),
    "broken parquet": ("x.parquet", "no parquet", {}),
    "excel": ("x.xlsx", table_bytes(".xlsx", {
        "a": [None, "Text", "a b\nc", None, "d", " ", "e f"],
        "b": [None, "Code", 1, None, 2.0, None, 1], "c": [None] * 5 + [" ", None]}), {}),
    "excel, no header": ("x.xlsx", table_bytes(".xlsx", {
        "a": [f"a longer text {n}" for n in range(6)], "b": [0, 1] * 3}), {}),
    "broken excel": ("x.xlsx", "no excel", {}),
    "old excel": ("x.xls", "no excel", {}),
    # Folders and archives
    "classes": ("d", DOCUMENTS | {".DS_Store": "x", "good/.hidden": "x"}, {}),
    "classes, latin-1": ("d", DOCUMENTS | {"bad/x.txt": b"caf\xe9"}, {}),
    "splits above classes": ("d", {f"{s}/{k}": v for s in ("train", "valid")
                                   for k, v in DOCUMENTS.items()}
                             | {"train/unsup/1.txt": "x", "README": "x", "train/u.txt": "x"}, {}),
    "split files": ("d", SPLIT_FILES, {}),
    "split files, hidden test": ("d", {"train.csv": csv_of(PLAIN),
                                       "test.csv": csv_of(many("b {n},{n}"), "text,nr")}, {}),
    "split files, ids": ("d", {f"{s}.csv": csv_of(many("{n},a text,{label}"), "id,text,label")
                               for s in ("train", "test")}, {}),
    "shards": ("d", {f"train-0000{n}-of-00002.csv": csv_of(PLAIN) for n in range(2)}, {}),
    "two trains": ("d", {"train_a.csv": csv_of(PLAIN), "train_b.csv": csv_of(PLAIN)}, {}),
    "data sets": ("d", {f"{f}/{n}.tsv": csv_of(PLAIN) for f in "ab" for n in ("train", "dev")}, {}),
    "one table": ("d", {"reviews.csv": csv_of(PLAIN), "readme.txt": "x", "LICENSE": "x"}, {}),
    "documents": ("d", {"a.txt": "one\ntext", "b.txt": "two", "c.txt": ""}, {}),
    "no files": ("d", {".hidden": "x"}, {}),
    "zip": ("x.zip", archive(".zip", DOCUMENTS), {}),
    "tar.gz": ("x.tar.gz", archive(".tar.gz", SPLIT_FILES), {}),
    "wrapped": ("x.zip", archive(".zip", {f"a/b/{k}": v for k, v in DOCUMENTS.items()}), {}),
    "zip of a table": ("x.zip", archive(".zip", {"folder/x.csv": csv_of(PLAIN)}), {}),
    "zip leads out": ("x.zip", archive(".zip", DOCUMENTS | {"../x.txt": "x"}), {}),
    "broken zip": ("x.zip", archive(".zip", DOCUMENTS)[:200], {}),
    "broken tar": ("x.tar.gz", gzip.compress(b"no archive" * 60), {}),
}  # fmt: skip
