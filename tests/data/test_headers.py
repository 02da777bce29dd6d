"""Headers of tables as survey tools, spreadsheets and statistics programs write them.

Each case is a file in the style of one tool: the names and the number of rows that must come out,
or the words of the error where a header and a first row are as likely.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data import stream
from finetext.data.formats import parse_table
from finetext.data.read import read
from finetext.data.rows import Batch, File
from finetext.data.stream import open_stream

THINGS = ["room", "bus", "meal", "desk clerk", "tram", "soup", "breakfast", "pool", "Straße"]
VERBS = ["felt", "was", "seemed to us", "looked", "turned out to be", "is, I think,"]
WORDS = ["clean", "dirty and loud", "so-so", "slow", "warm", "rather stale", "kind", "new", "fine"]
ENDS = ["this year", "in the rain", "near the park", "again!", "", "after dinner, sadly", "at noon"]


def sentences(number: int, seed: int = 0) -> list[str]:
    """Return texts of 4 to 12 words."""
    chance = random.Random(seed)
    return [" ".join(["The", *map(chance.choice, (THINGS, VERBS, WORDS, ENDS))]).strip()
            for _ in range(number)]  # fmt: skip


def table(
    row: Callable[[int, str], Sequence[str]], *heads: Sequence[str], delimiter: str = ",",
    rows: int = 24, quote: bool = True,
) -> str:  # fmt: skip
    """Return a text table of header rows and `rows` rows, made from a number and a text."""
    records = [*heads, *(row(n, text) for n, text in enumerate(sentences(rows)))]
    sign = '"' if quote else ""
    return "".join(
        delimiter.join(f"{sign}{c}{sign}" if c else c for c in r) + "\n" for r in records
    )


def parsed(name: str, content: str | bytes, **settings: Any) -> Batch:
    data = content if isinstance(content, bytes) else content.encode()
    file = File(name, PurePosixPath(name), lambda: data)
    return parse_table(file, ReadSettings(**{"labelled": False, **settings}))


def grade(n: int) -> str:
    return ["Ja", "Nein", "Vielleicht"][n % 3]


def stamp(n: int) -> str:
    return f"2024/05/{n + 1:02d} {n % 12}:{n:02d}:07 PM MEZ"


IMPORT_IDS = ['{""ImportId"":""startDate""}', '{""ImportId"":""QID1""}',
              '{""ImportId"":""QID2_TEXT""}']  # fmt: skip
QUALTRICS = table(
    lambda n, text: [f"2024-05-0{n % 9 + 1} 10:00:00", grade(n), text],
    ["StartDate", "Q1", "Q2_4_TEXT"], ["Start Date", "How was it?", "What went wrong? - Text"],
    IMPORT_IDS,
)  # fmt: skip
LEGACY = table(
    lambda n, text: [f"R_{n}a{n * 7}Xq", f"2024-05-0{n % 9 + 1}", str(n % 2), str(n % 5), text],
    ["V1", "V8", "Finished", "Q3", "Q4"],
    ["ResponseID", "StartDate", "Finished", "How many stars do you give?", "Why?"],
)
MONKEY = table(
    lambda n, text: [str(11000 + n), f"0{n % 9 + 1}/05/2024 10:00:00 AM", grade(n), "", text],
    ["Respondent ID", "Start Date", "Was it good?", "", "Tell us why"],
    ["", "", "Response", "Other (please specify)", "Open-Ended Response"],
)
LIME = table(
    lambda n, text: [str(n + 1), f"2024-05-0{n % 9 + 1} 10:00:00", "3", "de", grade(n), text],
    ["Antwort ID", "Datum Abgeschickt", "Letzte Seite", "Start-Sprache",
     "Sind Sie mit dem Kurs insgesamt zufrieden?", "Was hat Ihnen an dem Kurs nicht gefallen?"],
    delimiter=";",
)  # fmt: skip
JOINED = table(lambda n, text: [text, grade(n)], ["Aeusserung", "Urteil"], rows=9)
ALONE = "".join(f"{text}, all in all\n" for text in sentences(30))

FOUND: dict[str, tuple[str, str | bytes, list[str], int]] = {
    "Google Forms, German": ("f.csv", table(
        lambda n, text: [stamp(n), grade(n), text],
        ["Zeitstempel", "Würden Sie wieder bei uns buchen?", "Was sollten wir besser machen?"]),
        ["Zeitstempel", "Würden Sie wieder bei uns buchen?", "Was sollten wir besser machen?"], 24),
    "Google Forms, no time stamp": ("f.csv", table(
        lambda n, text: [grade(n), text], ["Would you come again?", "Is there anything else?"]),
        ["Would you come again?", "Is there anything else?"], 24),
    "Google Forms, two short names": ("f.csv", table(
        lambda n, text: [text, grade(n)], ["Feedback from the customer", "Department"]),
        ["Feedback from the customer", "Department"], 24),
    "Qualtrics": ("q.csv", QUALTRICS, ["StartDate", "Q1", "Q2_4_TEXT"], 24),
    "Qualtrics, tabs in UTF-16": ("q.tsv", table(
        lambda n, text: [f"2024-05-0{n % 9 + 1} 10:00:00", grade(n), text],
        ["StartDate", "Q1", "Q2"], ["Start Date", "How was it?", "And why?"],
        [cell.replace('""', '"') for cell in IMPORT_IDS],
        delimiter="\t", quote=False).encode("utf-16"), ["StartDate", "Q1", "Q2"], 24),
    "Qualtrics, legacy": ("q.csv", LEGACY, ["V1", "V8", "Finished", "Q3", "Q4"], 24),
    "SurveyMonkey": ("m.csv", MONKEY, [
        "Respondent ID", "Start Date", "Was it good?", "Other (please specify)", "Tell us why"],
        24),
    "LimeSurvey": ("l.csv", LIME, [
        "Antwort ID", "Datum Abgeschickt", "Letzte Seite", "Start-Sprache",
        "Sind Sie mit dem Kurs insgesamt zufrieden?", "Was hat Ihnen an dem Kurs nicht gefallen?"],
        24),
    "LimeSurvey, codes": ("l.csv", table(
        lambda n, text: [str(n), "", "N/A", grade(n), text],
        ["id", "submitdate", "lastpage", "G01Q02[SQ001]", "G01Q03"]),
        ["id", "submitdate", "lastpage", "G01Q02[SQ001]", "G01Q03"], 24),
    "Microsoft Forms as CSV": ("f.csv", table(
        lambda n, text: [str(n + 1), f"5/{n + 1}/2024 9:00", "anonymous", "", text, grade(n)],
        ["ID", "Start time", "Email", "Name", "How did we do?", "Recommend"], delimiter=";"),
        ["ID", "Start time", "Email", "Name", "How did we do?", "Recommend"], 24),
    "SPSS, decimal commas": ("s.csv", table(
        lambda n, text: [f"{n},00", f"{n % 3},00", text], ["v_1", "v_2", "v_3"], delimiter=";",
        quote=False), ["v_1", "v_2", "v_3"], 24),
    "Stata": ("s.csv", table(
        lambda n, text: [str(n * 3), grade(n), text], ["caseid", "q7", "q8_open"]),
        ["caseid", "q7", "q8_open"], 24),
    "R write.csv, row names": ("r.csv", table(
        lambda n, text: [str(n + 1), text, grade(n)], ["", "utter", "zap"]), ["1", "utter", "zap"],
        24),
    "R write.table, one name short": ("r.csv", table(
        lambda n, text: [str(n + 1), text, grade(n)], ["utter", "zap"], delimiter=";"),
        ["1", "utter", "zap"], 24),
    "pandas, index": ("p.csv", table(
        lambda n, text: [str(n), text, ["A1", "B2"][n % 2]], ["", "utter", "zap"]),
        ["1", "utter", "zap"], 24),
    "pandas, numbers as names": ("p.csv", table(
        lambda n, text: [str(n), text, grade(n)], ["", "0", "1"]), ["1", "0", "1 (3)"], 24),
    "Excel, sep= and a tab": ("e.csv", "sep=\t\n" + table(
        lambda n, text: [text, grade(n)], ["Satz A", "Kode"], delimiter="\t", quote=False),
        ["Satz A", "Kode"], 24),
    "Excel, quoted sep=": ("e.csv", '"sep=|"\r\n' + table(
        lambda n, text: [text, grade(n)], ["text", "label"], delimiter="|"),
        ["text", "label"], 24),
    "title and a blank line": ("t.csv", "\ufeffUmfrage 2024\n\n" + table(
        lambda n, text: [text, grade(n), str(n)], ["Aussage A", "Urteil", "Nr"], delimiter=";"),
        ["Aussage A", "Urteil", "Nr"], 24),
    "titles of a spreadsheet": ("t.csv", "Customer survey;;;\nExport;2024-05-01;;\n;;;\n" + table(
        lambda n, text: [str(n), text, grade(n), "x"], ["nr", "Remark", "Mark", "z"],
        delimiter=";", quote=False), ["nr", "Remark", "Mark", "z"], 24),
    "a title alone": ("t.csv", "Report of May\n" + table(
        lambda n, text: [str(n), text, grade(n)], ["nr", "Remark", "Mark"]),
        ["nr", "Remark", "Mark"], 24),
    "joined files": ("j.csv", JOINED * 3, ["Aeusserung", "Urteil"], 27),
    "joined exports of Qualtrics": ("j.csv", QUALTRICS * 2, ["StartDate", "Q1", "Q2_4_TEXT"], 48),
    "spaces after commas": ("s.csv", '"Said", "Mark", "Nr"\n' + "".join(
        f'"{text}", "{grade(n)}", "{n}"\n' for n, text in enumerate(sentences(24))),
        ["Said", "Mark", "Nr"], 24),
    "one column, customer feedback": ("o.csv", "Customer feedback\n" + ALONE.replace(",", ""),
                                      ["Customer feedback"], 30),
    "one column, a question": ("o.csv", "What did you like?\n" + ALONE.replace(",", ""),
                               ["What did you like?"], 30),
    "one column, open answer": ("o.csv", "Open answer\n" + ALONE.replace(",", ""),
                                ["Open answer"], 30),
    "one column, German": ("o.csv", "Ihre Anmerkungen zum Seminar\n" + ALONE.replace(",", ""),
                           ["Ihre Anmerkungen zum Seminar"], 30),
    "no header, labels": ("n.csv", table(lambda n, text: [text, grade(n)]), ["1", "2"], 24),
    "no header, numbers": ("n.csv", table(lambda n, text: [str(n % 5), text]), ["1", "2"], 24),
    "no header, dates": ("n.csv", table(lambda n, text: [stamp(n), text]), ["1", "2"], 24),
    "no header, codes": ("n.csv", table(lambda n, text: [f"doc{n * 13}", text]), ["1", "2"], 24),
    "no header, a label like a name": ("n.csv", table(
        lambda n, text: [["news", "text", "review"][n % 3], text]), ["1", "2"], 24),
    "no header, one column": ("n.csv", ALONE.replace(",", ""), ["1"], 30),
    "no header, questions": ("n.csv", "".join(f"Where is my {t} now, please?\n".replace(",", "")
                                              for t in THINGS), ["1"], 9),
    "lines stay lines": ("n.txt", "Customer feedback\n" + ALONE, ["text"], 31),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_names_and_rows(case: str) -> None:
    name, content, names, rows = FOUND[case]
    batch = parsed(name, content)
    assert list(batch.columns) == names
    assert len(batch) == rows
    assert {len(values) for values in batch.columns.values()} == {rows}


UNCLEAR = {
    "one column": ("o.csv", "Great rooms\n" + ALONE.replace(",", "")),
    "one column of few": ("o.csv", "Rooms and beds\nThey were clean\n"),
    "a sentence and a new value": ("u.csv", table(
        lambda n, text: [text, grade(n) if n else "Weiß nicht"])),
    "names in two columns, two rows": ("u.csv", "Blick,Fach\nIch sehe viel,Bio\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNCLEAR)
def test_a_header_that_may_be_a_row_is_refused_unless_stated(case: str) -> None:
    name, content = UNCLEAR[case]
    with pytest.raises(DataError, match=r"line 1.*--header or --no-header.*data\.header=true"):
        parsed(name, content)
    rows = len(parsed(name, content, header=False))
    assert len(parsed(name, content, header=True)) == rows - 1


def test_the_number_of_header_rows_can_be_stated() -> None:
    odd = table(lambda n, text: [str(n), text], ["v1", "v2"], ["How old are you?", "Kommentar B"])
    with pytest.raises(DataError, match=r"data\.header=2 or =1"):
        parsed("x.csv", odd)
    assert len(parsed("x.csv", odd, header=2)) == 24
    assert len(parsed("x.csv", odd, header=1)) == 25
    assert len(parsed("q.csv", QUALTRICS, header=1)) == 26
    assert len(parsed("q.csv", QUALTRICS, header=True)) == 24


def test_findings_name_what_is_no_row() -> None:
    (found,) = parsed("j.csv", JOINED * 3).findings
    assert (found.severity, found.code) == ("warning", "repeated-header")
    assert "2 rows repeat the header (lines 11, 21)" in found.message
    (found,) = parsed("q.csv", QUALTRICS).findings
    assert "3 header rows" in found.message
    assert parsed("q.csv", QUALTRICS).form == "comma-separated, with 3 header rows"
    titles = parsed(*FOUND["titles of a spreadsheet"][:2])
    assert titles.form == "semicolon-separated, with header below 2 title rows"
    assert "Start Date" in found.message
    (title, blank) = parsed(*FOUND["title and a blank line"][:2]).findings
    assert "1 row above the header passed over: 'Umfrage 2024'" in title.message
    assert blank.code == "blank-lines"
    assert parsed(*FOUND["Excel, quoted sep="][:2]).findings == ()


def test_lines_are_those_of_the_file() -> None:
    assert list(parsed(*FOUND["Excel, quoted sep="][:2]).lines or ())[:2] == [3, 4]
    assert list(parsed(*FOUND["titles of a spreadsheet"][:2]).lines or ())[:2] == [5, 6]
    assert list(parsed("q.csv", QUALTRICS).lines or ())[:1] == [4]


def test_quotes_after_a_space_are_quotes() -> None:
    padded = parsed("p.csv", 'text, label\n"Well, so", "a"\n"No, ""x""", "b, c"\n')
    assert padded.columns == {"text": ["Well, so", 'No, "x"'], "label": ["a", "b, c"]}
    mixed = parsed("p.csv", 'text, label\n"Well, so", a\nNo, "b, c"\n"Yes, so", a\n')
    assert mixed.columns["label"] == ["a", "b, c", "a"]
    plain = parsed("p.csv", " text , label\nWell, a\nNo, b\n")
    assert plain.columns == {"text": ["Well", "No"], "label": ["a", "b"]}
    some = parsed("p.csv", 'text,label\nWell, "a"\nNo,b\n')
    assert some.columns["label"] == [' "a"', "b"], "not consistent"


def test_stated_columns_and_settings_are_obeyed() -> None:
    tiny = "Blick,Fach\nIch sehe viel,Bio\n"
    assert list(parsed("x.csv", tiny, text="blick").columns) == ["Blick", "Fach"]
    with pytest.raises(DataError, match="--header"):
        parsed("x.csv", tiny, text="1")
    assert len(parsed("e.csv", "sep=;\ntext,label\na b,x\n", delimiter=",")) == 1
    with pytest.raises(DataError, match=r"x\.csv has no sheet 'A'"):
        parsed("x.csv", tiny, header=True, sheet="A")


@pytest.mark.parametrize("case", ["joined files", "Qualtrics", "titles of a spreadsheet",
                                  "Excel, sep= and a tab", "R write.table, one name short",
                                  "spaces after commas", "joined exports of Qualtrics",
                                  "one column, a question"])  # fmt: skip
def test_a_stream_reads_the_same(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, content, names, rows = FOUND[case]
    how = ReadSettings(labelled=False, text=next(n for n in reversed(names) if len(n) > 2))
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    whole = read(path, settings=how)
    for size in (len(path.read_bytes()) // 2, 1 << 23):
        monkeypatch.setattr(stream, "BYTES", size)
        texts = open_stream(path, how)
        chunks = list(texts.batches)
        assert [text for chunk in chunks for text in chunk.texts] == whole.texts
        assert [one for chunk in chunks for one in chunk.ids] == whole.ids
        assert sum(map(len, chunks)) == rows
        seen = {one.message for one in texts.findings if one.code != "missing-texts"}
        assert seen == {one.message for one in whole.findings if one.code != "missing-texts"}
