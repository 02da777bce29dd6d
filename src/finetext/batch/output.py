"""The files of one prediction: the output, the rows set aside, and how far both have come."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from finetext.batch.files import APPENDED, Part, TextPart, check_output, form_of, made_part
from finetext.batch.state import Claim, Identity, State, claimed, state_path
from finetext.core.console import blaming
from finetext.core.errors import DataError, FinetextError
from finetext.data.rows import BadRow
from finetext.data.write import Table

EVERY: Final = 5.0
"""Seconds between two times that what is done is kept for `--resume`."""


@dataclass(frozen=True)
class Files:
    """Where a prediction is to be written.

    Attributes:
        out: the table, or None.
        aside: the rows that cannot be predicted, or None.
        source: what is predicted; see `read_input`.
        resume: whether to go on with what was stopped or killed.
    """

    out: Path | None
    aside: Path | None = None
    source: str = "-"
    resume: bool = False

    @property
    def can_resume(self) -> bool:
        """Whether it could be gone on with: a file is read, and its output is appended to."""
        is_appended = self.out is not None and form_of(self.out) in APPENDED
        return is_appended and self.source != "-" and os.path.isfile(self.source)

    def check(self) -> None:
        """Refuse what cannot be written, or not gone on with, before any work is done.

        Raises:
            DataError: see `check_output`; or there is nothing that could be gone on with.
        """
        if self.out is not None:
            check_output(self.out, self.source)
        if self.aside is not None:
            check_output(self.aside, self.source)
            if form_of(self.aside) not in APPENDED:
                raise DataError(f"{self.aside}: rows are set aside as .csv, .tsv or .jsonl")
            if self.out is not None and os.path.realpath(self.aside) == os.path.realpath(self.out):
                raise DataError(f"{self.aside} is the output itself; name another file")
        if not self.resume or self.can_resume:
            return
        if self.out is None:
            raise DataError("--resume goes on with a file; name it with --out")
        if form_of(self.out) not in APPENDED:
            raise DataError(
                f"{self.out} cannot be gone on with, since nothing can be appended to Parquet; "
                "write .csv or .jsonl"
            )
        raise DataError("--resume needs a file as input, which can be read again")


@final
class Output:
    """The files of one prediction.

    Attributes:
        rows: rows of the input that are done, bad ones too.
        bad: how many of them were set aside.
    """

    def __init__(self, files: Files, claim: Claim | None) -> None:
        """See `opened`."""
        self._files = files
        self._claim = claim
        self._out: Part | None = None
        self._aside: TextPart | None = None
        self._state: State | None = None
        self._kept_at = time.monotonic()
        self._is_kept = False
        self.rows = 0
        self.bad = 0

    @property
    def needs_identity(self) -> bool:
        """Whether it can be gone on with when it is stopped, if it is known what it is of."""
        return self._claim is not None and self._claim.is_lasting

    def begin(self, identity: Identity | None, kinds: Mapping[str, Any]) -> int:
        """Go on where the files end, or at the beginning.

        Args:
            identity: of what is predicted, or None if it cannot be gone on with.
            kinds: of the columns; see `ParquetPart`.

        Returns:
            the number of rows that are done.

        Raises:
            DataError: something else was predicted before, or a prediction that could be gone on
                with would be lost.
        """
        claim, files = self._claim, self._files
        before = None
        if claim is not None and identity is not None:
            before = _to_go_on_with(claim, identity, files)
        if files.aside is not None:
            with blaming(str(files.aside)):
                lasts = self.needs_identity
                size = 0 if before is None or before.aside is None else before.aside_size
                self._aside = _aside_part(files.aside, lasts, size)
        if claim is not None:
            with blaming(str(files.out)):
                if before is None:
                    claim.forget()
                    self._out = made_part(claim.path, claim.file, claim.place, kinds)
                else:
                    self._out = TextPart(claim.path, claim.file, claim.place, before.size)
        if before is not None:
            self.rows, self.bad, self._is_kept = before.rows, before.bad, True
        if identity is not None and self.needs_identity:
            self._state = replace(before or State(identity), aside=_real(files.aside))
        self._kept_at = time.monotonic()
        return self.rows

    def write(self, table: Table, bad: Sequence[BadRow]) -> None:
        """Append rows, and set others aside.

        Raises:
            DataError: they cannot be written.
        """
        if self._out is not None:
            with blaming(str(self._files.out)):
                self._out.write(table)
        if self._aside is not None:
            with blaming(str(self._files.aside)):
                self._aside.write(_bad_table(bad))
        self.rows += len(table["prediction"]) + len(bad)
        self.bad += len(bad)
        if self._state is not None and isinstance(self._out, TextPart):
            size = 0 if self._aside is None else self._aside.size
            self._state = replace(
                self._state, rows=self.rows, bad=self.bad, size=self._out.size, aside_size=size
            )
            if time.monotonic() - self._kept_at >= EVERY:
                self._keep(self._state, self._out)

    def _keep(self, state: State, out: TextPart) -> None:
        """Bring what was written whole down to the disk, to go on with it."""
        with blaming(str(self._files.out)):
            out.keep()
            if self._aside is not None:
                self._aside.keep()
            state.write(state_path(out.path))
        self._is_kept = True
        self._kept_at = time.monotonic()

    def finish(self) -> None:
        """Give the files their names.

        Raises:
            DataError: they cannot be written.
        """
        for part, place in ((self._out, self._files.out), (self._aside, self._files.aside)):
            if part is not None and place is not None:
                with blaming(str(place)):
                    part.finish(Path(os.path.realpath(place)))
        self._is_kept = False

    def stop(self) -> str:
        """Keep what is done, if it is worth that, and close the files.

        Returns:
            what to say of it; nothing if nothing is kept.
        """
        if self._is_kept and self._state is not None and isinstance(self._out, TextPart):
            with suppress(DataError, OSError):
                self._keep(self._state, self._out)
            return (
                f"{self._state.rows:,} rows are kept; to go on, give the same command with --resume"
            )
        return ""

    def close(self) -> None:
        """Close the files, and remove them unless they are kept to go on with."""
        for part in (self._out, self._aside):
            if part is not None and not self._is_kept:
                part.discard()
            elif part is not None:
                with suppress(OSError):
                    part.file.close()
        if self._claim is not None and not self._is_kept:
            if self._out is not None:
                self._claim.forget()
            self._claim.close()


@contextmanager
def opened(files: Files) -> Iterator[Output]:
    """The files of one prediction, which have their names when the body has ended without error.

    Those of a prediction that took longer than some seconds are kept otherwise, to go on with it.

    Raises:
        DataError: they cannot or should not be written, or another process is writing them.
        KeyboardInterrupt: it was stopped; the message says how to go on.
    """
    files.check()
    claim = None
    if files.out is not None:
        with blaming(str(files.out)):
            claim = claimed(files.out, files.can_resume, files.resume)
    output = Output(files, claim)
    try:
        yield output
        output.finish()
    except KeyboardInterrupt:
        if said := output.stop():
            raise KeyboardInterrupt(said) from None
        raise
    except FinetextError as error:
        if said := output.stop():
            aside = "" if files.aside else " (--set-aside FILE leaves bad rows out)"
            raise DataError(f"{error}\n{said}{aside}") from None
        raise
    finally:
        output.close()


def _to_go_on_with(claim: Claim, identity: Identity, files: Files) -> State | None:
    """The state to go on with, if that is asked for and there is one.

    Raises:
        DataError: see `Output.begin`.
    """
    found = claim.state()
    if found is None:
        return None
    changed = identity.changed(found.identity)
    if found.aside is not None and _real(files.aside) != found.aside:
        changed.append(f"rows were set aside in {found.aside}")
    if files.resume and changed:
        raise DataError(
            f"{files.out} cannot be gone on with: {'; '.join(changed)}. To begin again, leave "
            "--resume out"
        )
    if not files.resume and not changed:
        raise DataError(
            f"{files.out}: this prediction was stopped after {found.rows:,} rows; go on with it by "
            f"--resume, or delete {claim.path} to begin again"
        )
    return found if files.resume else None


def _aside_part(path: Path, lasts: bool, size: int) -> TextPart:
    """The file of bad rows, of which so many bytes are there.

    Raises:
        DataError: they are gone.
    """
    claim = claimed(path, lasts, is_needed=True)
    if os.fstat(claim.file.fileno()).st_size < size:
        claim.close()
        raise DataError(f"the rows that were set aside are gone: {claim.path}; leave --resume out")
    return TextPart(claim.path, claim.file, claim.place, size)


def _bad_table(bad: Sequence[BadRow]) -> Table:
    return {
        "line": [row.line for row in bad],
        "reason": [row.reason for row in bad],
        "content": [row.content for row in bad],
    }


def _real(path: Path | None) -> str | None:
    return None if path is None else os.path.realpath(path)
