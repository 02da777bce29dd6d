"""Files and folders by path or address: this machine, object storage, and what fsspec knows.

`s3://` and `gs://` are read and written by pyarrow, all other addresses by fsspec. Credentials come
from where these libraries look for them: environment, configuration files, the machine's role.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from finetext.core.addresses import has_password, public_address, without_secrets
from finetext.core.budget import read_all
from finetext.core.errors import DataError, FinetextError
from finetext.core.paths import expanded
from finetext.core.wording import short
from finetext.storage.files import replaced_file

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://[^\r\n]+")
"""A scheme has two letters or more: one is a drive."""
_OF_PYARROW: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
_ELSEWHERE: Final = {"http", "https", "data", "file", "local"}
"""Schemes that are read in another way, or not at all."""
_OF_BUCKETS: Final = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Schemes of object storage whose paths begin with a bucket, which is not created by writing."""
_VERSIONS: Final = ("generation", "etag", "blob_id", "xet_hash", "sha")
_TIMES: Final = ("mtime", "modify", "lastmodified", "last_modified", "last-modified", "modified")
"""What file systems call the version of an object, and the time when it was written."""
_ANONYMOUS: Final = "anonymous@"
_CONNECTED: Final = 5.0
_ANSWERED: Final = 30.0
"""Seconds after which a server counts as gone: without a connection, without a byte."""
_ATTEMPTS: Final = 3
_CHUNK: Final = 1 << 23
_HASHED: Final = 1 << 20
_NOT_WHOLE: Final = "it was not written whole"
_ADVICE: Final = {
    "s3": "; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL, or "
    "the files in ~/.aws",
    "gs": "; check GOOGLE_APPLICATION_CREDENTIALS",
}


def is_address(source: object) -> bool:
    """Return whether a source is an address in a file system other than that of this machine.

    It may have spaces. Where it could be a text as well, the caller must tell them apart.
    """
    found = _ADDRESS.fullmatch(source) if isinstance(source, str) else None
    return found is not None and found[1] not in _ELSEWHERE and found[1] in _schemes()


def refuse_other_address(source: str | Path) -> None:
    """Raise a DataError for an address of a file system that is not known: it is no local path."""
    address = str(source)
    found = _ADDRESS.fullmatch(address)
    if found is None or is_address(address):
        return
    scheme = found[1].lower()
    if scheme in _ELSEWHERE:
        advice = "write the path alone" if scheme in ("file", "local") else "name a file instead"
    elif scheme in _schemes():
        advice = f"write {scheme}:// in lower case"
    else:
        advice = "known are s3://, gs://, az://, hf:// and the other file systems of fsspec"
    raise DataError(f"{public_address(address)} is an address that cannot be used here; {advice}")


@cache
def _schemes() -> frozenset[str]:
    from fsspec import available_protocols

    return frozenset({*available_protocols(), *_OF_PYARROW})


@final
@dataclass(frozen=True)
class Place:
    """A file or folder, or where one is to be, in the file system that holds it.

    Every method raises a DataError in words if the file system does not answer or refuses.

    Attributes:
        shown: its path or address as messages may show it.
        path: its path in the file system.
        is_local: whether it is on this machine.
    """

    shown: str
    system: FileSystem
    path: str
    is_local: bool

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    def __truediv__(self, name: str) -> Place:
        """Return the place of a name below this folder."""
        shown, path = f"{self.shown.rstrip('/')}/{name}", f"{self.path.rstrip('/')}/{name}"
        return Place(shown, self.system, path, self.is_local)

    def size(self) -> int | None:
        """Return the size of a file in bytes; None if there is no file here."""
        from pyarrow.fs import FileType

        with self._told("read"):
            about = self.system.get_file_info(self.path)
        return about.size if about.type == FileType.File else None

    def files(self) -> dict[str, int]:
        """Return the files below a folder: path within it to size, in order; none without one."""
        from pyarrow.fs import FileSelector, FileType

        with self._told("read"):
            self._forget(self.path)
            selector = FileSelector(self.path, allow_not_found=True, recursive=True)
            found = self.system.get_file_info(selector)
        files = (of for of in found if of.type == FileType.File)
        root = self.path.strip("/")
        start = len(root) + 1 if root else 0
        return dict(sorted((of.path.strip("/")[start:], of.size or 0) for of in files))

    def open(self) -> Any:
        """Return the file open for reading at any place, as Arrow and Python read it."""
        with self._told("read"):
            return self.system.open_input_file(self.path)

    def read(self) -> bytes:
        """Return the content of the file, counted against the budget of reading."""
        with self._told("read"), self.system.open_input_stream(self.path) as file:
            return read_all(file, self.shown, _CHUNK)

    def about(self, again: bool = False) -> tuple[int, str | None] | None:
        """Return the size of the file, and its version; None if there is no file here.

        The version changes with the content: what object storage calls ETag, generation or the
        like, else the time of the last change. It is None where the file system tells neither.

        Args:
            again: whether to ask anew where the library remembers what a folder has.
        """
        with self._told("read"):
            if again:
                self._forget(self.path.rpartition("/")[0])
            try:
                return self._about()
            except FileNotFoundError:
                return None

    def _about(self) -> tuple[int, str | None] | None:
        from pyarrow.fs import FileType

        handler, facts = getattr(self.system, "handler", None), dict[str, Any]()
        if self.is_local or handler is not None:
            found = self.system.get_file_info(self.path)
            if found.type != FileType.File:
                return None
            size, facts = found.size, {"mtime": found.mtime_ns}
            facts |= {} if handler is None else handler.fs.info(self.path)
        else:  # one request tells all of it
            with self.system.open_input_file(self.path) as file:
                size, about = file.size(), file.metadata().items()
            facts = {_text(name): _text(of) for name, of in about}
        facts = {name.lower(): of for name, of in facts.items() if of}
        version = next((facts[name] for name in (*_VERSIONS, *_TIMES) if name in facts), None)
        if version is None and handler is not None:
            with suppress(NotImplementedError):
                version = handler.fs.modified(self.path)
        return size, None if version is None else str(version)

    def _forget(self, folder: str) -> None:
        """Let the library ask anew what a folder has, to which other processes may have written."""
        handler = getattr(self.system, "handler", None)
        if handler is not None:
            handler.fs.invalidate_cache(folder)

    def sha256(self, ends: int | None = None) -> str:
        """Return the SHA-256 of the file, or of so many bytes at its start and at its end."""
        digest = hashlib.sha256()
        with self._told("read"), self.system.open_input_file(self.path) as file:
            if ends is None:
                while data := file.read(_HASHED):
                    digest.update(data)
                return digest.hexdigest()
            digest.update(file.read(ends))
            file.seek(max(0, file.size() - ends))
            digest.update(file.read(ends))
        return digest.hexdigest()

    def holds(self, other: Place) -> bool:
        """Return whether another place is here or below, in the same file system."""
        kinds = self.system.type_name, other.system.type_name
        is_other = kinds[0] != kinds[1] or (
            kinds[0].startswith("py") and not self.system.equals(other.system)
        )
        paths = (os.path.realpath(of.path) if of.is_local else of.path for of in (self, other))
        here, there = (f"{path.rstrip('/')}/" for path in paths)
        return not is_other and there.startswith(here)

    def check_writable(self) -> None:
        """Raise a DataError, before any work, if the bucket or the like does not exist."""
        from pyarrow.fs import FileType

        bucket = self.path.partition("/")[0]
        if self.shown.partition("://")[0] not in _OF_BUCKETS:
            return  # of other systems the first part of a path may be no folder, as in hf://
        with self._told("write"):
            about = self.system.get_file_info(bucket)
        if about.type == FileType.NotFound and bucket != self.path:
            raise DataError(f"cannot write {self.shown}: there is no {bucket}; create it first")

    @contextmanager
    def filled(self) -> Iterator[Path]:
        """Yield an empty local file to fill, which appears here whole when the body ends well."""
        if self.is_local:
            with replaced_file(Path(self.path)) as beside:
                yield beside
            return
        with tempfile.TemporaryDirectory(prefix="finetext-") as folder:
            local = Path(folder, self.name)
            local.touch()
            yield local
            with self._told("write"):
                self._upload(local)

    def write(self, data: bytes) -> None:
        """Write a file whole or not at all."""
        with self.filled() as local:
            local.write_bytes(data)

    def remove(self) -> None:
        """Remove the file, if another process has not."""
        with self._told("remove"), suppress(FileNotFoundError):
            self.system.delete_file(self.path)

    def _upload(self, local: Path) -> None:
        handler = getattr(self.system, "handler", None)
        if handler is not None:
            _put(handler.fs, local, self.path)
            return
        out = self.system.open_output_stream(self.path)
        try:
            with local.open("rb") as file:
                while data := file.read(_CHUNK):
                    out.write(data)
            out.close()
            if self.system.get_file_info(self.path).size != local.stat().st_size:
                raise OSError(_NOT_WHOLE)
        except BaseException:
            # A stream cannot be dropped: closing it makes the object appear, also after an error.
            with suppress(Exception):
                out.close()
            with suppress(Exception):
                self.system.delete_file(self.path)
            raise

    @contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        """Turn what a file system raises, which has no common class, into a DataError."""
        try:
            yield
        except FinetextError:
            raise
        except Exception as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            scheme = _OF_PYARROW.get(self.shown.partition("://")[0], "")
            if isinstance(error, FileNotFoundError):
                said = "there is no such file or bucket" if not self.is_local else said
                scheme = ""
            said = short(without_secrets(said), 200) + _ADVICE.get(scheme, "")
            raise DataError(f"cannot {verb} {self.shown}: {said}") from None


def _put(system: Any, local: Path, path: str) -> None:
    """Write a file by fsspec, beside its place first, as some systems show what is half written."""
    folder, slash, name = path.rpartition("/")
    beside = f"{folder}{slash}_{name}-{secrets.token_hex(4)}"
    try:
        system.put_file(str(local), beside)
        if system.size(beside) != local.stat().st_size:
            raise OSError(_NOT_WHOLE)
        system.mv(beside, path)
    except BaseException:
        with suppress(Exception):
            system.rm_file(beside)
        raise


def place_of(source: str | Path) -> Place:
    """Return the place of a path or address; raises a DataError for an unknown file system."""
    from pyarrow.fs import LocalFileSystem

    address = str(source)
    refuse_other_address(source)
    if not is_address(address):
        path = expanded(address)
        return Place(address, LocalFileSystem(), path.absolute().as_posix(), True)
    shown = public_address(address)
    scheme, _, rest = address.partition("://")
    is_anonymous = rest.startswith(_ANONYMOUS)
    rest = rest.removeprefix(_ANONYMOUS)
    is_user = scheme in _OF_PYARROW and "@" in rest.partition("/")[0]
    if is_user or has_password(address):
        raise DataError(
            f"{shown} was given with a user or a password, which others could read in the list of "
            "processes; set them in the environment"
        )
    if scheme not in _OF_PYARROW:
        return _of_fsspec(address, shown)
    try:
        if _OF_PYARROW[scheme] == "s3":
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
            system = _s3(rest.partition("/")[0], is_anonymous, endpoint or None, region or None)
        else:
            system = _gcs(is_anonymous)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {shown}: {error}") from None
    return Place(shown, system, rest.rstrip("/"), False)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


@cache
def _s3(bucket: str, is_anonymous: bool, endpoint: str | None, region: str | None) -> FileSystem:
    """Return S3 at the endpoint of the environment, which pyarrow does not read by itself."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    if not (endpoint or region):
        try:
            region = resolve_s3_region(bucket)
        except (OSError, ValueError):  # a bucket that is private, missing or out of reach
            region = None
    return S3FileSystem(
        anonymous=is_anonymous,
        endpoint_override=endpoint,
        region=region,
        connect_timeout=_CONNECTED,
        request_timeout=_ANSWERED,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )


@cache
def _gcs(is_anonymous: bool) -> FileSystem:
    from pyarrow.fs import GcsFileSystem

    limit = timedelta(seconds=_ATTEMPTS * _ANSWERED)
    return GcsFileSystem(anonymous=is_anonymous, retry_time_limit=limit)


def _of_fsspec(address: str, shown: str) -> Place:
    from fsspec.core import url_to_fs
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    try:
        system, path = url_to_fs(address)
    except ImportError as error:  # it says what to install
        raise DataError(f"cannot read {shown}: {error}") from None
    except Exception as error:  # of any library
        raise DataError(f"cannot read {shown}: {short(without_secrets(str(error)), 300)}") from None
    return Place(shown, PyFileSystem(FSSpecHandler(system)), path.rstrip("/"), False)
