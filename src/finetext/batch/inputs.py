"""What is predicted: a text, lines of standard input, or anything that can be read."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from glob import glob
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings, made
from finetext.core.text_columns import text_in_json
from finetext.core.types import LabelScheme
from finetext.data.formats import TABLE_SUFFIXES
from finetext.data.rows import ONLY_TEXTS, Rows, Texts, Wanted
from finetext.data.stream import lines_of, open_stream
from finetext.data.write import form_of
from finetext.storage.filesystems import is_address

Reading = ReadSettings | Mapping[str, Any] | None  # some by name; labels are not required


def read_input(
    source: str,
    read: Reading = None,
    wanted: Wanted = ONLY_TEXTS,
    scheme: LabelScheme | None = None,
) -> Texts:
    """Return the texts to predict, from the text columns of a model's scheme; raises a DataError.

    For a model of several text columns a text, and each line of standard input, is a JSON object of
    them.
    """
    columns = () if scheme is None else scheme.text_columns
    if _is_readable(source):
        if isinstance(read, ReadSettings):
            how = replace(read, labelled=False)
        else:
            how = made("[data]", ReadSettings, {"labelled": False, **(read or {})})
        return open_stream(source, how.with_texts_of(scheme) if scheme else how, wanted)
    if read:
        what = "standard input has one text per line" if source == "-" else "this is one text"
        raise DataError(
            f"{what}: --text, --id, --header, --sheet and --set are for files; leave them out"
        )
    if source == "-" and sys.stdin is None:
        raise DataError("standard input is closed; give one text per line")
    if source == "-":
        return lines_of(sys.stdin.buffer, "standard input", columns, wanted.bad)
    return Texts(iter([Rows(["1"], [one_text(source, columns)], 1.0)]))


def refuse_missing(source: str) -> None:
    """Raise a DataError, before any work, for what looks like a file that is not there."""
    if is_text(source):
        one_text(source)


def sample_of(source: str, read: Reading, most: int, seed: int) -> list[str]:
    """Return up to `most` texts of a file, drawn at random from all of it, in their order.

    It is read whole, but no more than that is kept; rows that cannot be predicted are left out. Of
    what cannot be read twice, such as standard input, and of a single text there are none.
    """
    if not (os.path.isfile(source) or os.path.isdir(source)):
        return []
    generator, kept, seen = np.random.default_rng(seed), dict[int, str](), 0
    # Vitter 1985, "Random Sampling with a Reservoir", algorithm R.
    slots: list[int] = []
    for rows in read_input(source, read, replace(ONLY_TEXTS, bad=True)).batches:
        for text in rows.texts:
            if not text.strip():
                continue
            if len(slots) < most:
                slots.append(seen)
                kept[seen] = text
            elif (place := int(generator.integers(seen + 1))) < most:
                del kept[slots[place]]
                slots[place] = seen
                kept[seen] = text
            seen += 1
    return [kept[place] for place in sorted(kept)]


def one_text(source: str, columns: Sequence[str] = ()) -> str:
    """Return the text that a source is; raises a DataError if it looks like a missing file.

    For a model of several text `columns` it is a JSON object of them.
    """
    if Path(source).suffix[1:].isalnum() and not set(source) & set(" \n"):
        if glob(source):
            raise DataError(
                f"{source} is a pattern of several files, which are predicted into a folder: write "
                "--out FOLDER/"
            )
        raise DataError(f"there is no file {source}; a text that looks like one needs a space")
    text = source.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        return text_in_json(text, columns)
    except DataError as error:
        raise DataError(f"{error}, or name a file with these columns") from None


def is_text(source: str) -> bool:
    """Return whether the source is itself the text to predict."""
    return source != "-" and not _is_readable(source)


def exists(source: str) -> bool:
    """Return whether the source is a file or folder."""
    try:
        return bool(source) and Path(source).exists()
    except (OSError, ValueError):
        return False


def _is_readable(source: str) -> bool:
    # A text may begin with an address, but then has spaces, and does not end as a table's name.
    is_one_word = len(source.split()) == 1
    is_url = source.startswith(("http://", "https://", "hub:")) and is_one_word
    is_named = source.endswith("/") or form_of(PurePosixPath(source)) in TABLE_SUFFIXES
    return is_url or (is_address(source) and (is_one_word or is_named)) or exists(source)
