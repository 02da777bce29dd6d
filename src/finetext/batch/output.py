"""The files of one prediction: the table, the rejected rows, and how far both have come."""

from __future__ import annotations

import hashlib
import json
import os
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from finetext.batch.files import Part, TextPart, part_at, state_path_of, unfinished_path
from finetext.core.console import blaming
from finetext.core.errors import DataError, FinetextError, RecipeError
from finetext.core.types import Finding
from finetext.data.rows import BadRow
from finetext.data.write import APPENDED, Table, check_table, form_of
from finetext.storage.codec import from_json, to_json
from finetext.storage.files import write_text
from finetext.storage.received import names_received, sha256_received
from finetext.storage.resume import HOW_TO_RESUME, differences

EVERY: Final = 5.0  # seconds between two times that the state for `--resume` is written
FORMAT: Final = 1
_ENDS: Final = 1 << 20


@dataclass(frozen=True)
class Identity:
    """What must be the same to resume a prediction: version, hash of the model, input, options."""

    finetext: str
    model: str
    source: dict[str, Any]
    options: dict[str, Any]

    def values(self) -> dict[str, Any]:
        """Return names and values to compare, assignments of `--set` as TOML reads them."""
        found = {"finetext": self.finetext, "the model": self.model, "the input": self.source}
        found |= {name: of for name, of in self.options.items() if name != "--set"}
        for assignment in self.options.get("--set", ()):
            name, _, value = assignment.partition("=")
            with suppress(tomllib.TOMLDecodeError):
                value = tomllib.loads(f"value = {value}")["value"]
            found[f"--set {name.strip()}"] = value
        return found


@dataclass(frozen=True)
class State:
    """How far a prediction has come: rows done, `bad` ones too, and the bytes that hold them."""

    identity: Identity
    rows: int = 0
    bad: int = 0
    size: int = 0
    aside: str | None = None
    aside_size: int = 0


def state_of(part: Part) -> State | None:
    """Return how far a file has come; None if that is unknown or some of it is gone."""
    try:
        values = json.loads(part.state_path.read_text(encoding="utf-8"))
        state = from_json(State, values, "the state") if values["format"] == FORMAT else None
        return None if state is None or state.size > part.path.stat().st_size else state
    except (OSError, ValueError, KeyError, TypeError, FinetextError):
        return None


def model_hash(model: str | Path) -> str:
    """Return the SHA-256 of the files of a model folder, or of the best model of a run folder."""
    from finetext.models.folder import best_model
    from finetext.models.hub import model_folder

    folder = best_model(model_folder(model))
    digest = hashlib.sha256()
    try:
        # In the order of paths, not of names, as earlier versions hashed them.
        for name in sorted(names_received(folder)[0], key=Path):
            digest.update(f"{name}\0".encode())
            digest.update(bytes.fromhex(sha256_received(folder, name)))
    except OSError as error:
        raise DataError(f"cannot read the files of {folder}: {error}") from None
    return digest.hexdigest()


def source_of(path: Path) -> dict[str, Any]:
    """Return where a file is, and what shows that it has not changed; raises a DataError."""
    try:
        about = path.stat()
        with path.open("rb") as file:
            start = file.read(_ENDS)
            file.seek(max(0, about.st_size - _ENDS))
            end = file.read(_ENDS)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    return {
        "path": os.path.realpath(path),
        "size": about.st_size,
        "changed": about.st_mtime_ns,
        "ends": hashlib.sha256(start + end).hexdigest(),
    }


@dataclass(frozen=True)
class Files:
    """Where a prediction is written.

    Attributes:
        out: the table.
        rejected: the rejected rows.
        source: what is predicted.
        resume: whether it continues an unfinished one.
        is_known: whether its model can be told from another.
        force: whether files that exist are replaced.
        locale: the language of the spreadsheet that opens the table; see `text_of`.
        keep_formulas: whether cells stay as they are that a spreadsheet would run.
        address: where the table goes when it is complete, if that is not on this machine.
    """

    out: Path | None
    rejected: Path | None = None
    source: str = "-"
    resume: bool = False
    is_known: bool = True
    force: bool = False
    locale: str | None = None
    keep_formulas: bool = False
    address: str | None = None

    @property
    def can_resume(self) -> bool:
        """Whether it can be resumed: the input is a file, and the output is appended to."""
        is_appended = self.out is not None and form_of(self.out) in APPENDED
        return self.is_known and is_appended and self.source != "-" and os.path.isfile(self.source)

    @property
    def _are_own(self) -> bool:
        """Whether files that exist are those of the prediction to resume.

        It was killed while it gave them their names: the state is there, but no unfinished table.
        """
        if self.out is None or not self.resume or not self.can_resume:
            return False
        unfinished = unfinished_path(self.out)
        with suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads(state_path_of(unfinished).read_text(encoding="utf-8"))
            is_same = state["identity"]["source"]["path"] == os.path.realpath(self.source)
            return not unfinished.exists() and is_same and state["aside"] == _real(self.rejected)
        return False

    def check(self) -> None:
        """Raise a DataError for what cannot be written or resumed, before any work is done."""
        if self.resume and not self.is_known:
            raise RecipeError(
                "a prediction with a classifier in memory cannot be resumed; give its model folder"
            )
        force = self.force or self._are_own
        if self.out is not None:
            check_table(
                self.out, force, [self.source],
                locale=self.locale, keep_formulas=self.keep_formulas,
            )  # fmt: skip
        elif self.locale is not None:
            raise DataError(f"--locale {self.locale} needs an output file; name it with --out")
        if self.rejected is not None:
            check_table(self.rejected, force, [self.source], suffixes=APPENDED)
            if _real(self.rejected) == _real(self.out):
                raise DataError(f"{self.rejected} is the output itself; name another file")
        if not self.resume or self.can_resume:
            return
        if self.out is None:
            raise DataError("--resume needs an output file; name it with --out")
        if form_of(self.out) not in APPENDED:
            raise DataError(
                f"{self.out} cannot be resumed: Parquet and Excel files cannot be appended to; "
                "write .csv or .jsonl"
            )
        raise DataError("--resume needs a file as input, which can be read again")


@final
class Output:
    """The files of one prediction; see `opened`."""

    def __init__(self, files: Files) -> None:
        """Open the output; raises a DataError."""
        self._files = files
        self._out: Part | None = None
        if files.out is not None:
            self._out = part_at(files.out, files.can_resume, files.resume)
            self._out.locale, self._out.keep_formulas = files.locale, files.keep_formulas
        self._rejected: TextPart | None = None
        self._state: State | None = None
        self._kept_at = time.monotonic()
        self._is_begun = self._is_kept = False
        self.rows = self.rejected = 0
        self.findings: tuple[Finding, ...] = ()

    @property
    def needs_identity(self) -> bool:
        """Whether it can be resumed once it is known of what it is."""
        return self._out is not None and self._out.lock is not None

    def begin(self, identity: Identity | None, kinds: Mapping[str, Any]) -> int:
        """Begin, or continue after the returned number of rows; raises a DataError."""
        files, out, before = self._files, self._out, None
        if out is not None and identity is not None:
            before = _to_resume(out, identity, files)
        if files.rejected is not None:
            self._rejected = _rejected_part(files, files.rejected, self.needs_identity, before)
        if out is not None:
            with blaming(str(files.out)):
                if before is None and self.needs_identity:
                    out.state_path.unlink(missing_ok=True)
                out.begin(0 if before is None else before.size, kinds)
        self._is_begun = True
        if before is not None:
            self.rows, self.rejected, self._is_kept = before.rows, before.bad, True
        if identity is not None and self.needs_identity:
            self._state = replace(before or State(identity), aside=_real(files.rejected))
        self._kept_at = time.monotonic()
        return self.rows

    def write(self, table: Table, bad: Sequence[BadRow] = ()) -> None:
        """Append rows to the table and to the rejected ones; raises a DataError."""
        if self._out is not None:
            self._out.write(table)
        if self._rejected is not None:
            names = ("line", "reason", "content")
            self._rejected.write({name: [getattr(row, name) for row in bad] for name in names})
        self.rows += len(next(iter(table.values()))) + len(bad)
        self.rejected += len(bad)
        if self._state is not None and self._out is not None:
            sizes = self._out.size, 0 if self._rejected is None else self._rejected.size
            self._state = replace(
                self._state, rows=self.rows, bad=self.rejected, size=sizes[0], aside_size=sizes[1]
            )
            if time.monotonic() - self._kept_at >= EVERY:
                self._keep(self._state, self._out)

    def _keep(self, state: State, out: Part) -> None:
        """Bring all whole tables down to the disk, then the state that says so."""
        with blaming(str(self._files.out)):
            for part in filter(None, (out, self._rejected)):
                part.keep()
            write_text(out.state_path, json.dumps({"format": FORMAT} | to_json(state)) + "\n")
        self._is_kept = True
        self._kept_at = time.monotonic()

    def finish(self) -> None:
        """Give the files their names; raises a DataError."""
        for part in filter(None, (self._out, self._rejected)):
            part.finish()
        self._is_kept = False
        self.findings = () if self._out is None else self._out.findings

    def stop(self) -> str:
        """Keep what is done if that is worth it; returns what to say of it."""
        if not self._is_kept or self._state is None or self._out is None:
            return ""
        with suppress(DataError, OSError):
            self._keep(self._state, self._out)
        return f"{self._state.rows:,} rows are kept; {HOW_TO_RESUME}"

    def close(self) -> None:
        """Close the files, and remove those of this prediction unless they are kept."""
        for part in filter(None, (self._out, self._rejected)):
            part.release(remove=self._is_begun and not self._is_kept)


@contextmanager
def opened(files: Files) -> Iterator[Output]:
    """Open the files of one prediction; they get their names when the body ends without error."""
    files.check()
    output = Output(files)
    try:
        yield output
        output.finish()
    except KeyboardInterrupt:
        if said := output.stop():
            raise KeyboardInterrupt(said) from None
        raise
    except FinetextError as error:
        if said := output.stop():
            advice = "" if files.rejected else " (--set-aside FILE leaves rejected rows out)"
            raise DataError(f"{error}\n{said}{advice}") from None
        raise
    finally:
        output.close()


def _to_resume(out: Part, identity: Identity, files: Files) -> State | None:
    found = state_of(out) if out.lock is not None else None
    if found is None:
        return None
    changed = differences(found.identity.values(), identity.values())
    if found.aside is not None and _real(files.rejected) != found.aside:
        changed.append(f"rejected rows were written to {found.aside}")
    if files.resume and changed:
        raise DataError(
            f"{files.out} cannot be resumed: {'; '.join(changed)}. To start over, leave out "
            "--resume"
        )
    if not files.resume and not changed:
        raise DataError(
            f"{files.out}: this prediction was stopped after {found.rows:,} rows; resume it with "
            f"--resume, or delete {out.path} to start over"
        )
    return found if files.resume else None


def _rejected_part(files: Files, path: Path, lasting: bool, before: State | None) -> TextPart:
    size = 0 if before is None or before.aside is None else before.aside_size
    part = TextPart(path, lasting, is_needed=True)
    if form_of(path) == ".csv":
        part.locale, part.keep_formulas = files.locale, files.keep_formulas
    if part.path.stat().st_size < size:
        part.release(remove=False)
        raise DataError(
            f"the rejected rows are gone: {part.path}; to start over, leave out --resume"
        )
    with blaming(str(path)):
        part.begin(size, {})
    return part


def _real(path: Path | None) -> str | None:
    return None if path is None else os.path.realpath(path)
