"""A large table of predictions as a folder of Parquet files, one for each piece of the input.

Any number of processes on any machines fill one folder. A part appears whole or not at all, under a
name that its piece and the prediction alone decide, so that whoever is killed loses the part at
hand, and whoever does a part twice writes the same rows to the same place.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, final

from finetext.batch.arrow_tables import TablePredictor
from finetext.batch.output import Identity, model_hash
from finetext.batch.tables import ROWS, Shown
from finetext.core import STATE_VERSION
from finetext.core.addresses import public_address
from finetext.core.contracts import Classifier
from finetext.core.errors import DataError, FinetextError, ModelError
from finetext.core.settings import ReadSettings
from finetext.core.types import Finding
from finetext.core.wording import listed
from finetext.data.piece_tables import CommonColumns, tables_of
from finetext.data.pieces import (
    InputFile,
    Piece,
    changed_error,
    input_files,
    partition_findings,
    pieces_of,
    share_at,
    share_of,
)
from finetext.storage.codec import from_json, to_json
from finetext.storage.filesystems import Place, is_address, place_of
from finetext.storage.locks import check_writable
from finetext.storage.resume import differences
from finetext.storage.unfinished import settle

# Readers of folders of Parquet pass over names that begin so.
IDENTITY: Final = "_finetext.json"
COMPLETE: Final = "_SUCCESS"
FORMAT: Final = 2
"""Of the identity. Before 2, other facts of the input showed that it had not changed."""
ROWS_A_GROUP: Final = 20_000
_BYTES_A_GROUP: Final = 1 << 26
_COPIED: Final = (
    ". In a table of this size a file counts as changed if its time differs: copies must keep it, "
    "as those of cp -p do"
)
_PART: Final = re.compile(r"part-\d{7,}-\d{12,}-([0-9a-f]{8})\.parquet")


@dataclass(frozen=True)
class Progress:
    """How far a table in parts has come.

    Attributes:
        done: parts that are there.
        parts: all parts.
        missing: the pieces whose parts are not.
    """

    done: int
    parts: int
    missing: tuple[Piece, ...]

    @property
    def is_complete(self) -> bool:
        """Whether all parts are there."""
        return not self.missing


@final
@dataclass(frozen=True)
class PartsPlan:
    """What is predicted, into which folder, and in which pieces; it can be sent to other processes.

    Attributes:
        model: absolute path of a model or run folder, or "hub:owner/name".
        out: absolute path, or address, of the folder.
        named: the folder as it was given.
        files: the files of the input, by absolute paths or addresses.
        identity: what must be the same in all processes that fill the folder.
        read: how to read the input.
    """

    model: str
    out: str
    named: str
    files: tuple[InputFile, ...]
    identity: Identity
    read: ReadSettings
    shown: Shown
    precision: str | None = None
    device: str | None = None

    @property
    def place(self) -> Place:
        """The folder."""
        return replace(place_of(self.out), shown=public_address(self.named))

    @cached_property
    def pieces(self) -> list[Piece]:
        """All pieces in the order of the rows."""
        return pieces_of(self.files)

    @cached_property
    def mark(self) -> str:
        """Eight hexadecimal digits that stand for the prediction in the names of its parts."""
        values = json.dumps(self.identity.values(), sort_keys=True, default=str)
        return hashlib.sha256(values.encode()).hexdigest()[:8]

    def part_of(self, piece: Piece) -> Place:
        """Return where the part of a piece is, or is to be."""
        return self.place / self._name_of(piece)

    def _name_of(self, piece: Piece) -> str:
        return f"{piece.name}-{self.mark}.parquet"

    def share(self, number: int, count: int) -> Sequence[Piece]:
        """Return the pieces of one of `count` shares, done or not."""
        return share_of(self.pieces, number, count)

    def shares_missing(self, progress: Progress, count: int, most: int) -> list[int]:
        """Return the first `most` of `count` shares that have pieces whose parts are missing."""
        missing, found = set(progress.missing), dict[int, None]()
        for place, piece in enumerate(self.pieces):
            if piece in missing:
                found[share_at(place, len(self.pieces), count)] = None
            if len(found) == most:
                break
        return list(found)

    def progress(self) -> Progress:
        """Return which parts are there, by their names; raises a DataError."""
        names, pieces = self.place.files(), self.pieces
        missing = tuple(piece for piece in pieces if self._name_of(piece) not in names)
        return Progress(len(pieces) - len(missing), len(pieces), missing)

    def is_done(self, piece: Piece) -> bool:
        """Return whether a part is there."""
        return self.part_of(piece).size() is not None

    def check(self) -> None:
        """Raise a DataError if the folder cannot be written, or has something else in it."""
        place = self.place
        if place.is_local:
            check_writable(Path(place.path))
        else:
            place.check_writable()
        found = [name for name in place.files() if not name.startswith((".", f"_{IDENTITY}-"))]
        if found and IDENTITY not in found:
            raise DataError(
                f"{place.shown} is not empty, and what it holds is no table in parts; name another "
                "folder"
            )
        if any(map(_PART.fullmatch, found)):
            self.check_identity()
        self._refuse_others(found)

    def _refuse_others(self, names: Iterable[str]) -> None:
        """Refuse parts of a prediction that began at the same moment: a claim came too late."""
        marks = ((name, _PART.fullmatch(name)) for name in names)
        others = [name for name, found in marks if found and found[1] != self.mark]
        if others:
            raise DataError(
                f"{self.place.shown} has parts of another prediction, which was begun at the same "
                f"moment: {listed(others, 3)}. Delete them, or name another folder"
            )

    def check_identity(self) -> None:
        """Raise a DataError if the folder is that of another prediction, or is gone."""
        place, now = self.place, self.identity.values()
        try:
            values = json.loads((place / IDENTITY).read())
            is_other = values["format"] != FORMAT
            was = {} if is_other else from_json(Identity, values, "the parts").values()
        except (ValueError, KeyError, TypeError, FinetextError) as error:
            raise DataError(f"{place.shown}: {IDENTITY} cannot be read: {error}") from None
        if is_other:
            raise DataError(
                f"{place.shown} was begun by another version of finetext, which tells changed "
                "files in another way. Complete it with that version, or name another folder"
            )
        if changed := differences(was, now):
            is_timed = "the input changed" in changed and any(of.version for of in self.files)
            raise DataError(
                f"{place.shown} has parts of another prediction: {'; '.join(changed)}. Repeat the "
                "command that it was begun with, or name another folder" + _COPIED * is_timed
            )

    def claim(self) -> None:
        """Write down whose folder it is, before its first part; raises a DataError."""
        place = self.place
        if place.is_local:
            Path(place.path).mkdir(parents=True, exist_ok=True)
        self.check()
        self._withdraw()
        if not any(map(_PART.fullmatch, place.files())):
            text = json.dumps(to_json(self.identity) | {"format": FORMAT}, indent=2)
            (place / IDENTITY).write(f"{text}\n".encode())

    def finish(self) -> Progress:
        """Return which parts are there; `_SUCCESS` says whether all are."""
        place, progress = self.place, self.progress()
        if progress.is_complete:
            self.check_identity()
            self._refuse_others(place.files())
            if place.is_local:
                settle(Path(place.path))
            (place / COMPLETE).write(f'{{"parts": {progress.parts}}}\n'.encode())
        else:
            self._withdraw()
        return progress

    def _withdraw(self) -> None:
        """Remove `_SUCCESS` if a part was deleted since."""
        complete = self.place / COMPLETE
        # In this order: what is listed once the file was seen has all parts that it stands for.
        if complete.size() is not None and not self.progress().is_complete:
            self.check_identity()
            complete.remove()


def plan_parts(
    model: str | Path,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    read: ReadSettings | None = None,
    shown: Shown | None = None,
    precision: str | None = None,
    device: str | None = None,
) -> PartsPlan:
    """Return the plan of a table of predictions in parts, without loading the model.

    Every process that plans the same sees the same pieces. Nothing is written.

    Args:
        model: model folder, run folder or "hub:owner/name".
        sources: paths, addresses, folders or patterns of .parquet, .csv, .tsv and .jsonl files.
        out: the folder, or its address.
        read: how to read the sources.
        shown: which labels have their probabilities in the table.
        precision: "fp32", "bf16", "fp16" or "auto"; that of the model by default.
        device: where each process predicts; it may be another one in each.

    Raises:
        DataError: a source is missing or has other columns, or the folder has something else in it.
        ModelError: the model is no folder and no name of one.
    """
    if not isinstance(model, str | Path):
        kind = type(model).__name__
        raise ModelError(f"give the folder or name of the model, not a {kind}: save it first")
    given = [sources] if isinstance(sources, str | Path) else sources
    if not isinstance(given, Sequence) or not all(isinstance(of, str | Path) for of in given):
        kind = type(sources).__name__
        raise DataError(f"a table in parts is made of files: give their paths, not a {kind}")
    named = [str(of).rstrip("/") for of in given]
    files, folder = input_files(named), str(out).rstrip("/")
    _refuse_inside(named, files, folder)
    read, shown = replace(read or ReadSettings(), labelled=False), shown or Shown()
    usual = vars(ReadSettings())
    options: dict[str, Any] = {"--precision": precision, "--top": shown.top, "--all": shown.every}
    options |= {f"--set data.{name}": of for name, of in vars(read).items() if of != usual[name]}
    options = {n: of for n, of in options.items() if of is not None and "labelled" not in n}
    facts = json.dumps([file.facts for file in files]).encode()
    source = {"files": len(files), "sha256": hashlib.sha256(facts).hexdigest()}
    options = json.loads(json.dumps(options, default=str))
    identity = Identity(STATE_VERSION, model_hash(model), source, options)
    # Other processes, such as actors, work in other folders.
    files = tuple(replace(file, source=_absolute(file.source)) for file in files)
    where = _absolute(str(model)), _absolute(folder), folder
    plan = PartsPlan(*where, files, identity, read, shown, precision=precision, device=device)
    plan.check()
    return plan


def _absolute(source: str) -> str:
    """Return a path of this machine as an absolute one, an address or a name of the hub as is."""
    is_path = not (is_address(source) or source.startswith("hub:"))
    return os.path.abspath(os.path.expanduser(source)) if is_path else source


def _refuse_inside(sources: Sequence[str], files: Sequence[InputFile], out: str) -> None:
    folder = place_of(out)
    for source in [*sources, *(file.source for file in files)]:
        place = place_of(source)
        if place.holds(folder) or folder.holds(place):
            raise DataError(
                f"{folder.shown} would be among the data in {place.shown}; name another folder"
            )


@final
class PartWriter:
    """Predicts pieces of a plan and writes their parts, with one classifier in one process.

    Attributes:
        schema: the Arrow schema of every part: the columns of the input, then those of predictions.
        findings: what was noticed in the input.
    """

    def __init__(self, plan: PartsPlan, classifier: Classifier) -> None:
        """Find the columns of the texts, as in the first rows; raises a DataError."""
        self.plan = plan
        read = plan.read.with_texts_of(classifier.scheme)
        self._columns = CommonColumns.of(plan.files, read)
        self.texts = self._columns.texts
        self._read = replace(read, text=self.texts)
        schema = self._columns.schema
        self._predictor = TablePredictor(classifier, schema, self.texts, plan.shown)
        self.schema = self._predictor.schema
        self.findings: list[Finding] = list(self._predictor.findings)
        self.findings += partition_findings(plan.files)

    def check(self, pieces: Sequence[Piece]) -> None:
        """Raise a DataError if one of the files that say so only when read has other columns.

        It is worth reading them twice: otherwise it is said after hours, in a folder half filled.
        """
        for piece in pieces:
            if piece.stop is None:
                self._columns.check(piece, self._read)

    def write(self, piece: Piece, progress: Callable[[int], None] = lambda rows: None) -> int:
        """Predict a piece and write its part; return its rows.

        Args:
            piece: one of the plan's; its part is replaced if it is there, by the same rows.
            progress: called with the number of rows after each batch.

        Raises:
            DataError: the piece cannot be read or the part not be written, the file is another
                one by now, or the folder is that of another prediction.
        """
        import pyarrow.parquet

        rows = 0

        def noted(table: Any) -> Any:
            progress(len(table))
            return table

        with self.plan.part_of(piece).filled() as local:
            with pyarrow.parquet.ParquetWriter(local, self.schema) as writer:
                for table in _grouped(map(noted, self.tables(piece))):
                    writer.write_table(table, ROWS_A_GROUP)
                    rows += len(table)
            if piece.stop is not None and rows != piece.stop - piece.start:
                raise changed_error(piece.source)
            self.plan.files[piece.number].check_unchanged()
            self.plan.check_identity()
        return rows

    def tables(self, piece: Piece) -> Iterator[Any]:
        """Yield the rows of a piece with their predictions, as Arrow tables of 2,000 rows."""
        for table in tables_of(piece, self._read, ROWS, self.findings):
            yield self.predicted(self._columns.fitted(table, piece.source), piece.source)

    def predicted(self, table: Any, source: str = "the table") -> Any:
        """Return an Arrow table of the input with the columns of its predictions.

        See `TablePredictor.predicted`.
        """
        return self._predictor.predicted(table, source)

    @property
    def rejected(self) -> int:
        """Rows so far without a text, which have no prediction."""
        return self._predictor.rejected


def _grouped(tables: Iterator[Any]) -> Iterator[Any]:
    """Yield tables of as many rows as a row group has, or of fewer if these are large."""
    import pyarrow

    held: list[Any] = []
    for table in tables:
        held.append(table)
        is_large = sum(of.nbytes for of in held) >= _BYTES_A_GROUP
        if is_large or sum(map(len, held)) >= ROWS_A_GROUP:
            yield pyarrow.concat_tables(held)
            held = []
    if held:
        yield pyarrow.concat_tables(held)
