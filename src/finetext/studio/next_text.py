"""Which text a person gets next: of which stream, a first or a second judgement, and one at most.

A claim keeps others from a text while somebody looks at it.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from finetext.core.errors import DataError
from finetext.storage.codec import Jsonable
from finetext.studio.database import CURRENT
from finetext.studio.project import Project, stored_settings

CLAIM_SECONDS: Final = 900.0
"""Time after which a text that somebody got, and did not judge, is given to others."""
Stream = Literal["random", "chosen"]
_FREE: Final = (
    "NOT EXISTS (SELECT 1 FROM judgements WHERE judgements.text = texts.id AND annotator = "
    f":annotator AND kind != 'decision' AND {CURRENT}) "
    "AND NOT EXISTS (SELECT 1 FROM claims WHERE claims.text = texts.id)"
)
"""Condition for texts that a person has not judged and nobody looks at."""
_OTHERS: Final = (
    "SELECT 1 FROM judgements WHERE annotator < :annotator AND kind = 'label' "
    f"AND {CURRENT} UNION ALL SELECT 1 FROM judgements WHERE annotator > :annotator "
    f"AND kind = 'label' AND {CURRENT} LIMIT 1"
)
"""Whether anybody else has labeled texts; "other than" would read all judgements."""
_BEGUN: Final = (
    "SELECT id FROM texts INDEXED BY texts_begun WHERE stream = :stream AND needed > 0 "
    f"AND needed < coders AND {_FREE} ORDER BY draw LIMIT 1"
)
_RANKED: Final = (
    f"SELECT id FROM texts WHERE id = :text AND stream = 'chosen' AND needed = coders AND {_FREE}"
)
_NEW: Final = (
    "SELECT id FROM texts INDEXED BY texts_new WHERE stream = :stream AND needed = coders "
    f"AND {_FREE} ORDER BY draw LIMIT 1"
)


@dataclass(frozen=True)
class GivenText(Jsonable):
    """A text for somebody to judge.

    Attributes:
        id: its number.
        name: id of its row in the file that it came from.
        columns: the other columns of that file.
        stream: "random", the sample that tests, or "chosen".
        can_suggest: whether a suggestion may be shown.
        is_ranked: whether the model chose it.
    """

    id: int
    name: str
    text: str
    columns: dict[str, Any]
    stream: Stream
    can_suggest: bool
    is_ranked: bool


@dataclass(frozen=True)
class NoText(Jsonable):
    """Why there is no text: no labels yet, all are labeled, or those left are for others."""

    why: Literal["no-labels", "no-texts", "all", "none-left-for-you"]


def next_text(
    project: Project, annotator: str, tab: str = "", ranked: Sequence[int] = ()
) -> GivenText | NoText:
    """Return the text that a person gets next in a browser tab, and claim it.

    It is the same one until it is judged. Of a person's texts the share of the project is of the
    random stream, in the order of its draw. Texts that wait for a second judgement come first.

    Args:
        project: the project.
        annotator: name of the person.
        tab: which tab of the browser asks; texts that another tab shows are not given again.
        ranked: numbers of texts of the stream "chosen", those to label first before others.
    """
    with project.database.write() as db:
        if db.execute("SELECT 1 FROM labels WHERE NOT retired LIMIT 1").fetchone() is None:
            return NoText("no-labels")
        now, who = time.time(), {"annotator": annotator, "tab": tab}
        db.execute("DELETE FROM claims WHERE time < ?", (now - CLAIM_SECONDS,))
        found = _claimed(db, who)
        if found is None:
            db.execute("DELETE FROM claims WHERE annotator = :annotator AND tab = :tab", who)
            found = next(_candidates(db, annotator, ranked), None)
        if found is None:
            return NoText(_why_none(db))
        db.execute(
            "INSERT OR REPLACE INTO claims VALUES (:annotator, :tab, :text, :time)",
            who | {"text": found, "time": now},
        )
        return _given(db, found, found in ranked)


def claim(project: Project, annotator: str, tab: str, text: int) -> GivenText:
    """Return a text for a person to judge it again, as after an undo, and claim it."""
    with project.database.write() as db:
        if db.execute("SELECT 1 FROM texts WHERE id = ?", (text,)).fetchone() is None:
            raise DataError(f"the project has no text {text}")
        db.execute(
            "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?)", (annotator, tab, text, time.time())
        )
        return _given(db, text, is_ranked=False)


def _claimed(db: sqlite3.Connection, who: dict[str, str]) -> int | None:
    """Return the text that the tab shows already, if its person is still to judge it."""
    row = db.execute(
        "SELECT claims.text FROM claims JOIN texts ON texts.id = claims.text "
        "WHERE annotator = :annotator AND tab = :tab AND needed > 0 "
        "AND NOT EXISTS (SELECT 1 FROM judgements WHERE "
        "judgements.text = claims.text AND judgements.annotator = :annotator "
        f"AND kind != 'decision' AND {CURRENT})",
        who,
    ).fetchone()
    return None if row is None else int(row["text"])


def _candidates(db: sqlite3.Connection, annotator: str, ranked: Sequence[int]) -> Iterator[int]:
    """Yield texts that a person can get, the best first."""
    done = db.execute(
        f"SELECT count(*) FROM judgements WHERE annotator = ? AND kind = 'label' AND {CURRENT}",
        (annotator,),
    ).fetchone()[0]
    share = stored_settings(db).random_share
    # Exactly the share in the long run: of five texts the fifth, if it is one in five.
    is_random = math.floor((done + 1) * share + 1e-9) > math.floor(done * share + 1e-9)
    streams: tuple[Stream, ...] = ("random", "chosen") if is_random else ("chosen", "random")
    # Alone, a person has begun all texts that wait for somebody else, which can be many.
    has_others = db.execute(_OTHERS, {"annotator": annotator}).fetchone() is not None
    for stream in streams:
        given = {"annotator": annotator, "stream": stream}
        if has_others:
            yield from (row["id"] for row in db.execute(_BEGUN, given))
        if stream == "chosen":
            for text in ranked:
                yield from (row["id"] for row in db.execute(_RANKED, given | {"text": text}))
        yield from (row["id"] for row in db.execute(_NEW, given))


def _why_none(db: sqlite3.Connection) -> Literal["no-texts", "all", "none-left-for-you"]:
    if db.execute("SELECT 1 FROM texts LIMIT 1").fetchone() is None:
        return "no-texts"
    is_left = any(
        db.execute(f"SELECT 1 FROM texts INDEXED BY {condition} LIMIT 1").fetchone()
        for condition in (
            "texts_new WHERE needed = coders",
            "texts_begun WHERE needed > 0 AND needed < coders",
        )
    )
    return "none-left-for-you" if is_left else "all"


def _given(db: sqlite3.Connection, text: int, is_ranked: bool) -> GivenText:
    row = db.execute("SELECT * FROM texts WHERE id = ?", (text,)).fetchone()
    settings = stored_settings(db)
    blind = row["stream"] == "random" or row["coders"] > 1
    can_suggest = settings.suggestions != "none" and (settings.suggest_everywhere or not blind)
    columns = json.loads(row["columns"])
    return GivenText(text, row["name"], row["text"], columns, row["stream"], can_suggest, is_ranked)
