"""Where a table names its columns: title rows, header rows, and headers that occur again.

All formats that may have a header ask `find_header`. It decides by evidence over all records that
are there, see `looks_headed`, and raises where a header and a row are as likely.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Final

from finetext.core.errors import UnclearError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import counted, short
from finetext.data.column_traits import at_least
from finetext.data.columns import KNOWN_NAMES, is_number, plain_name
from finetext.data.rows import column_names

Record = Sequence[str]
_SAMPLE: Final = 5000
_FEW: Final = 200
_MOST_TITLES: Final = 20
_NO_VALUE: Final = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--", "."))
_IMPORT_ID: Final = re.compile(r'\{\s*"ImportId"\s*:')
_RESPONSE: Final = {"response", "open-ended response", "other (please specify)"}
"""The second row of SurveyMonkey below a question."""
_DIGITS: Final = re.compile(r"\d+")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_CODE: Final = re.compile(r"\S*[\d@]\S*")
_ASKED: Final = re.compile(
    r"\b(you|your|sie|ihnen|ihre?[mnr]?|du|dir|dein\w*|vous|votre|vos|usted\w*|su|sus|te|tu|lei|"
    r"voi|u|uw|je|jij|jouw|ni|er|din|ditt|pan\w*|twoj\w*|você\w*|seu|sua|we|us|our|wir|uns|nous|"
    r"nos|nosotros|noi|wij|ons|vi|nós)\b",
    re.I,
)
_PLEASE: Final = re.compile(r"(please|bitte|merci de|por favor|per favore|prosimy)\b", re.I)
_TOPIC: Final = re.compile(
    r"\b(texts?|comments?|feedback|answers?|responses?|reviews?|remarks?|opinions?|suggestions?|"
    r"statements?|verbatims?|questions?|messages?|tweets?|sentences?|descriptions?|describe|"
    r"kommentare?|antwort(en)?|freitext\w*|rückmeldung(en)?|bemerkung(en)?|anmerkung(en)?|"
    r"meinung(en)?|sätze?|aussagen?|bewertung(en)?|fragen?|nachricht(en)?|vorschläge|beschreib\w*|"
    r"commentaires?|réponses?|avis|remarques?|phrases?|messages?|comentarios?|respuestas?|"
    r"opinión|opiniones|frases?|mensajes?|sugerencias?|comentários?|respostas?|opinião|textos?|"
    r"commenti|commento|risposte?|opinion[ei]|frasi|testo|testi|opmerking(en)?|reacties?|"
    r"antwoord(en)?|tekst(en)?|zin(nen)?|svar|kommentar(er)?|komentarze?|odpowiedzi?|opinie)\b",
    re.I,
)
SAY_WHICH: Final = "say which with --header or --no-header (--set data.header=true or =false)"


@dataclass(frozen=True)
class Header:
    """The names of the columns, and the records that hold them, if any do."""

    names: list[str]
    records: tuple[list[str], ...]
    titles: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def shown(self) -> str:
        """The header in words."""
        if not self.records:
            return "no header"
        rows = len(self.records)
        shown = "with header" if rows == 1 else f"with {rows} header rows"
        return shown + (f" below {counted(self.titles, 'title row')}" if self.titles else "")

    def repeats(self, records: Sequence[Record]) -> list[int]:
        """Return which records are the header once more, as where files were joined."""
        again = [head for head in self.records if head in records]
        return [at for at, record in enumerate(records) if record in again] if again else []


def find_header(
    records: Sequence[list[str]],
    settings: ReadSettings,
    where: str,
    titles: Sequence[Record] = (),
) -> Header:
    """Return the header of a table, as stated or found.

    Args:
        records: all records, or those at the beginning of a large file, of equal length.
        settings: whether there is a header, if that is stated, and columns that are requested.
        where: the file and line of the first of them.
        titles: what stands above them, see `title_rows`.

    Raises:
        UnclearError: the first row may be a header or data.
    """
    heads = tuple(records[: _header_rows(records, settings, where)])
    findings: list[Finding] = []
    if titles:
        shown = short("; ".join(" ".join(filter(None, row)) for row in titles), 80)
        rows = counted(len(titles), "row")
        message = f"{where}: {rows} above the header passed over: {shown!r}"
        findings.append(Finding("note", "title-rows", message))
    if len(heads) > 1:
        below = short("; ".join(next(filter(None, row), "") for row in heads[1:]), 80)
        message = (
            f"{where}: {len(heads)} header rows; the first names the columns, and the others "
            f"are not read as data ({below!r}); to read them as data: --set data.header=1"
        )
        findings.append(Finding("note", "header-rows", message))
    names = column_names(_joined(heads) if heads else range(1, len(records[0]) + 1))
    return Header(names, heads, len(titles), tuple(findings))


def _joined(heads: Sequence[Record]) -> list[str]:
    """The first header row, and where it is blank the first one below that is not."""
    return [
        next((cell for cell in cells if cell.strip()), "") for cells in zip(*heads, strict=True)
    ]


def _filled(record: Record) -> int:
    return sum(bool(cell.strip()) for cell in record)


def title_rows(records: Sequence[list[str]], lines: Sequence[int], settings: ReadSettings) -> int:
    """Return the number of rows above the header.

    They have one or two filled cells, fewer than the header. A blank row or line follows them, or
    each has one cell only; and below is a header.
    """
    if len(records) < 3 or _filled(records[0]) > 2:
        return 0
    width = Counter(map(len, records)).most_common(1)[0][0]
    after_gap, after_title = [], []
    for at in range(1, min(len(records) - 1, _MOST_TITLES)):
        above, own = records[:at], _filled(records[at])
        most = max(map(_filled, above))
        if most > 2:
            break
        if len(records[at]) != width or own <= most:
            continue
        if lines[at] - lines[at - 1] > 1 or not _filled(above[-1]):
            after_gap.append(at)
        elif most <= 1 and own == width:
            after_title.append(at)
    for at in [*reversed(after_gap), *after_title]:
        table = [record for record in records[at:] if len(record) == width]
        if settings.header or looks_headed(table, settings.columns):
            return at
    return 0


def _header_rows(table: Sequence[list[str]], settings: ReadSettings, where: str) -> int:
    """The number of rows that hold names."""
    stated = settings.header
    if stated is not None and (not isinstance(stated, bool) or not stated):
        return min(int(stated), len(table))
    for at, record in enumerate(table[:4]):
        if 2 * sum(bool(_IMPORT_ID.match(cell)) for cell in record) > _filled(record):
            return at + 1
    if len(table) > 2 and _is_second(table, where, stated):
        return 2
    headed = stated if stated is not None else looks_headed(table, settings.columns)
    if headed is None:
        shown = short(", ".join(table[0]), 80)
        problem = f"{where}: this row may be a header or the first row of data: {shown!r}"
        readings = {"true": table[0], "false": table[0]}
        raise UnclearError(problem, f"; {SAY_WHICH}", "header", readings)
    return int(headed)


def _is_second(table: Sequence[list[str]], where: str, stated: bool | None) -> bool:
    """Whether the second row belongs to the header, as survey tools write question texts.

    It does below blank cells of a question with SurveyMonkey's words, and if neither row fits two
    or more columns that hold numbers, dates and the like, nor any value recurs.
    """
    first, second, body = table[0], table[1], table[2 : 2 + _FEW]
    filled = {cell.strip().lower() for cell in second if cell.strip()}
    if filled & _RESPONSE and _filled(second) < _filled(body[0]) and first[0].strip():
        return True
    columns = [[cell for row in body if (cell := row[at].strip())] for at in range(len(second))]
    typed = {at: kind for at, of in enumerate(columns) if of and (kind := _kind(of))}
    cells = {at: second[at].strip() for at in typed if second[at].strip().lower() not in _NO_VALUE}
    if not cells or any(_is_kind(cell, typed[at]) for at, cell in cells.items()):
        return False
    if any(_points(cells_of[at].strip(), of) <= -3 for cells_of in (first, second)
           for at, of in enumerate(columns)):  # fmt: skip
        return False
    pairs = [(_points(first[at].strip(), columns[at]), _points(cell, columns[at]))
             for at, cell in cells.items()]  # fmt: skip
    misfits = sum(min(pair) >= 2 for pair in pairs)
    asks = [cell for cell in second if cell.strip().endswith("?") and cell not in first]
    if misfits > 1 and len(body) > 2 and (asks or _share_equal(first, second)):
        return True
    if misfits and asks and stated is None and looks_headed([first, *body]):
        problem = (
            f"{where}: the row below may be a second row of names, or the first row of data: "
            f"{short(', '.join(second), 80)!r}"
        )
        advice = "; say which with --set data.header=2 or =1"
        raise UnclearError(problem, advice, "header", {"2": second, "1": second})
    return False


def _share_equal(first: Record, second: Record) -> bool:
    """Whether a second row says again, or at more length, what the first does."""
    return any(one.strip() and one == other for one, other in zip(first, second, strict=True))


def looks_headed(records: Sequence[Record], asked: Collection[str] = ()) -> bool | None:
    """Return whether the first record holds column names; None if that is not clear.

    It does if it holds an `asked` name, or a known one that is no value of its column. Else each
    column gives points, see `_points`; short cells that all differ give one more. A header needs 3
    points, 4 in a column alone of less than 20 values, and no column whose values the first cell is
    like. A row needs such a column, or less than 1 point with evidence against names. The rest is
    unclear.
    """
    first = [cell.strip() for cell in records[0]]
    wanted = {plain_name(name) for name in asked if not name.isdecimal()}
    plain = [plain_name(cell) for cell in first]
    if wanted.intersection(plain):
        return True
    if not any(first):
        return False
    brief = all(len(cell) <= 40 and cell.count(" ") <= 2 for cell in first)
    numbers = any(map(is_number, first))
    known = [place for place, name in enumerate(plain) if name in KNOWN_NAMES]
    if (len(records) == 1 and not brief) or (numbers and len(known) == 1):
        known = []
    if known and not all(map(partial(_recurs, records[: 1 + _SAMPLE]), known)):
        return True
    rest = [record for record in islice(records, 1, None) if record != records[0]]
    if known and not all(map(partial(_recurs, [records[0], *rest]), known)):
        return True
    if not rest:
        return False
    if first == [str(number) for number in range(len(first))] or (
        not first[0] and first[1:] == [str(number) for number in range(len(first) - 1)]
    ):
        texts = [record[-1] for record in rest[:_SAMPLE]]
        return True if len(first) > 1 and not all(map(is_number, texts)) else None
    points = [
        _points(cell, _cells(rest, place), len(first) == 1) for place, cell in enumerate(first)
    ]
    if not first[0] and len(first) > 1 and _are_counted([record[0] for record in rest]):
        points.append(3)
    distinct = len({cell for cell in first if cell}) == sum(map(bool, first))
    total = sum(points) + (brief and distinct and not numbers)
    if min(points) <= -3:
        return None if max(points) >= 3 and total > -2 else False
    if total >= (4 if len(first) == 1 and len(rest) < 20 else 3):
        return True
    return False if total <= 0 and min(points) < 0 else None


def _cells(records: Sequence[Record], place: int) -> list[str]:
    """The cells of a column that are not blank."""
    return list(filter(None, map(str.strip, map(itemgetter(place), records))))


def _recurs(records: Sequence[Record], place: int) -> bool:
    """Whether a cell of the first record stands in its column again."""
    return records[0][place] in map(itemgetter(place), islice(records, 1, None))


def _are_counted(values: Sequence[str]) -> bool:
    """Whether the values count the rows, from 0 or 1."""
    return any(list(values) == [str(at + one) for at in range(len(values))] for one in (0, 1))


def _points(cell: str, values: Sequence[str], alone: bool = False) -> int:
    """The evidence of one column that its first cell is a name: above 0, or a value: below.

    3: all values are numbers, dates or truth values and the cell is not, or they recur, 20 or more
    of them. 2: they are codes of one form, or nearly all of 8 or more recur. -4: the cell is one of
    them, or a number, date or code as they are. See `_points_of_words` for the rest.
    """
    if cell.lower() in _NO_VALUE or not values:
        return 0
    sample = values[:_SAMPLE]
    if kind := _kind(sample):
        if _is_kind(cell, kind):
            return -4
        if kind in ("number", "truth"):
            return 3
        return 0 if len(values) < 5 else 3 if kind == "date" else 2
    counts = Counter(values)
    lengths = [value.count(" ") + 1 for value in sample]
    is_prose = sum(lengths) >= 4 * len(lengths)
    if cell in counts:
        return -2 if is_prose else -4
    if is_number(cell):
        return -3
    once = list(counts.values()).count(1)
    if len(values) >= 8 and (4 * len(counts) <= len(values) or 20 * once <= len(values)):
        return 3 if len(values) >= 20 and not once else 2
    points = _points_of_words(cell, sample)
    if is_prose:
        asks = points > 0 or _PLEASE.match(cell) is not None
        points += _points_of_length(cell, sample, sorted(lengths)[len(lengths) // 2], alone, asks)
    return points


def _points_of_words(cell: str, values: Sequence[str]) -> int:
    """2 for a question among other values, 3 if it asks a reader; 2 for "comments" or the like.

    Among questions, 1 for one to a reader whose "you" or "we" stands in few of them.
    """
    points = 0
    if cell.endswith("?"):
        asks = [value for value in values if value.endswith("?")]
        to_reader = _ASKED.search(cell)
        if 10 * len(asks) < len(values):
            points += 2 + (to_reader is not None)
        elif to_reader and 20 * _count_with(to_reader[0], asks) < len(values):
            points += 1
    own = cell.count(" ") + 1
    if own <= 8 and _TOPIC.search(cell) and 10 * sum(map(_is_topic, values)) < len(values):
        points += 2
    return points


def _is_topic(value: str) -> bool:
    return _TOPIC.search(value) is not None


def _count_with(word: str, values: Sequence[str]) -> int:
    """The number of values with a word, in upper or lower case."""
    return sum(word.lower() in re.findall(r"\w+", value.lower()) for value in values)


def _points_of_length(
    cell: str, values: Sequence[str], median: int, alone: bool, asks: bool
) -> int:
    """The evidence of a column of texts with that many words: 1 if the cell is shorter than all.

    -2 if it ends as a sentence, or is about as long as they are, unless it asks something; -1 if it
    stands alone and a twentieth of them are as short.
    """
    own, points = cell.count(" ") + 1, 0
    if cell.endswith((".", "!", "\u2026")):
        points -= 2
    if own >= 6 and own >= 0.7 * median and not asks:
        points -= 2
    as_short = sum(map(len(cell).__ge__, map(len, values)))
    if not as_short and len(values) >= 8:
        points += 1
    elif alone and as_short > len(values) / 20 and not asks:
        points -= 1
    return points


def _kind(values: Sequence[str]) -> str:
    """What all values are: number, truth, date, or a form of codes; empty for other values."""
    if at_least(0.95 * len(values), is_number, values):
        return "number"
    if {value.lower() for value in values[:100]} <= {"true", "false"}:
        return "truth"
    form = _form(values[0])
    if "0" in form and form.count("a") <= 3 and all(_form(value) == form for value in values):
        return "date" if form.count("0") > 1 else form
    return "code" if len(values) > 2 and all(map(_CODE.fullmatch, values)) else ""


def _is_kind(cell: str, kind: str) -> bool:
    if kind == "number":
        return is_number(cell)
    if kind == "truth":
        return cell.lower() in ("true", "false")
    if kind == "date":
        return _form(cell).count("0") > 1
    return _CODE.fullmatch(cell) is not None if kind == "code" else _form(cell) == kind


def _form(value: str) -> str:
    """A value with its digits as 0 and its words as a: "May 3, 2024" -> "a 0, 0"."""
    return _LETTERS.sub("a", _DIGITS.sub("0", value[:60]))
