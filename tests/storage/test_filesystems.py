"""Files by path or address."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from finetext.core.errors import DataError
from finetext.storage import filesystems
from finetext.storage.filesystems import Place, is_address, place_of


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("s3://bucket/key", True),
        ("gs://bucket/key", True),
        ("az://container/key", True),
        ("hf://datasets/a/b/c.parquet", True),
        ("memory://a/b", True),
        ("http://host/a.csv", False),
        ("https://host/a.csv", False),
        ("file:///a.csv", False),
        ("odd://a/b", False),
        ("s3://bucket/Q1 2026/new data.csv", True),
        ("memory://bucket/my out/", True),
        ("odd://a b", False),
        ("C://a/b", False),
        ("s3://bucket/a\nnext line", False),
        ("a.csv", False),
        (Path("a.csv"), False),
        (None, False),
    ],
)
def test_what_an_address_is(source: object, is_one: bool) -> None:
    assert is_address(source) is is_one


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("odd://a/out", r"odd://a/out is an address that cannot be used here; known are s3://, .*"),
        ("s4://a/my out", r"s4://a/my out is an address that cannot be used here; known are s3://"),
        ("https://u:p@h/out?sig=1", r"^https://h/out is an address .* here; name a file instead$"),
        ("file:///a.csv", r"file:///a.csv is an .* here; write the path alone"),
        ("S3://a/out", r"S3://a/out is an .* here; write s3:// in lower case"),
    ],
)
def test_an_address_is_no_local_path(source: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        place_of(source)


def fail_after(place: Place, data: bytes) -> None:
    with place.filled() as local:
        local.write_bytes(data)
        raise ZeroDivisionError


def test_a_local_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    place = place_of(str(tmp_path)) / "a.txt"
    assert (place.size(), place.is_local, place.name) == (None, True, "a.txt")
    place.write(b"one")
    assert ((tmp_path / "a.txt").read_bytes(), place.size(), place.read()) == (b"one", 3, b"one")
    with pytest.raises(ZeroDivisionError):
        fail_after(place, b"two")
    assert place.read() == b"one"
    assert place.sha256() == hashlib.sha256(b"one").hexdigest()
    assert place.sha256(1) == hashlib.sha256(b"oe").hexdigest()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_text("four")
    assert place_of(str(tmp_path)).files() == {"a.txt": 3, "b/c.txt": 4}
    assert place_of(str(tmp_path / "missing")).files() == {}


def test_what_fsspec_knows_is_written_and_read() -> None:
    place = place_of("memory://one/folder") / "a.txt"
    assert (place.size(), place.is_local, place.shown) == (None, False, "memory://one/folder/a.txt")
    with pytest.raises(ZeroDivisionError):
        fail_after(place, b"two")
    assert place.size() is None
    place.write(b"three")
    assert (place.size(), place.read()) == (5, b"three")
    assert place.sha256() == hashlib.sha256(b"three").hexdigest()
    assert place.sha256(2) == hashlib.sha256(b"thee").hexdigest()
    with place.open() as file:
        file.seek(1)
        assert file.read(2) == b"hr"
    assert place_of("memory://one/").files() == {"folder/a.txt": 5}
    assert place_of("memory:///").files()["one/folder/a.txt"] == 5  # also of the root
    assert fsspec.filesystem("memory").cat("/one/folder/a.txt") == b"three"


class Interrupted:
    """A stream whose second chunk is interrupted, as by Ctrl+C."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.chunks, self.close = stream, 0, stream.close

    def write(self, data: bytes) -> int:
        self.chunks += 1
        if self.chunks == 2:
            raise KeyboardInterrupt
        return int(self.stream.write(data))

    def __enter__(self) -> Interrupted:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class InterruptedSystem(SubTreeFileSystem):  # type: ignore[misc]
    def open_output_stream(self, path: str) -> Interrupted:
        return Interrupted(super().open_output_stream(path))


def test_an_interrupted_upload_leaves_no_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "_CHUNK", 4)
    system = InterruptedSystem(str(tmp_path), LocalFileSystem())
    with pytest.raises(KeyboardInterrupt):
        Place("s3://b/part", system, "part", False).write(b"three chunks")
    assert not list(tmp_path.iterdir())
    Place("s3://b/part", system, "part", False).write(b"one")  # of one chunk
    assert (tmp_path / "part").read_bytes() == b"one"


def test_an_interrupted_upload_by_fsspec_leaves_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    place, memory = place_of("memory://interrupted") / "part", fsspec.filesystem("memory")
    place.write(b"before")
    written, chunks = MemoryFile.write, itertools.count(1)

    def write(file: MemoryFile, data: bytes) -> int:
        if next(chunks) == 2:
            raise KeyboardInterrupt
        return int(written(file, data))

    monkeypatch.setattr(type(memory), "blocksize", 4)
    monkeypatch.setattr(MemoryFile, "write", write)
    with pytest.raises(KeyboardInterrupt):
        place.write(b"three chunks")
    assert place.read() == b"before"
    assert place_of("memory://interrupted").files() == {"part": 6}


def test_a_place_holds_what_is_below_it_in_the_same_file_system(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    real, link = (place_of(str(tmp_path / name)) for name in ("real", "link"))
    assert real.holds(real)
    assert real.holds(link / "a")
    assert not real.holds(place_of(str(tmp_path)))
    memory = place_of(f"memory:/{tmp_path}/real/a")
    assert memory.path == (real / "a").path
    assert not real.holds(memory)
    assert place_of(f"memory:/{tmp_path}").holds(memory)


def test_a_file_that_is_gone_needs_no_removal(tmp_path: Path) -> None:
    (place_of(str(tmp_path)) / "a").remove()
    (place_of("memory://gone") / "a").remove()


def test_errors_say_what_and_where() -> None:
    with pytest.raises(DataError, match="cannot read memory://one/none: there is no such file"):
        place_of("memory://one/none").read()
    with pytest.raises(DataError, match=r"cannot read az://box/a.csv: Install adlfs"):
        place_of("az://box/a.csv")


def test_credentials_do_not_belong_into_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")  # nobody is asked where the bucket is
    with pytest.raises(DataError, match="set them in the environment") as caught:
        place_of("s3://key:secret@bucket/a.csv")
    assert "secret" not in str(caught.value)
    with pytest.raises(
        DataError, match=r"sftp://h/a.csv was given with a user or a pass"
    ) as caught:
        place_of("sftp://u:secret@h/a.csv")
    assert "secret" not in str(caught.value)
    place = place_of("s3://anonymous@bucket/a.csv")
    assert (place.shown, place.path) == ("s3://bucket/a.csv", "bucket/a.csv")


class OwnMemory(MemoryFileSystem):
    """Memory under another scheme."""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return f"/{path.rpartition('://')[2].strip('/')}"


class Uncreated(OwnMemory):
    """A system in which the first part of a path is no folder, as that of hf:// is not."""

    protocol = "uncreated"

    def info(self, path: str, **how: Any) -> Any:
        if "/" not in path.strip("/"):
            raise ValueError(f"Repository id must be 'namespace/name', got {path!r}")
        return super().info(path, **how)


class Remembering(OwnMemory):
    """A system that remembers what it was asked, as s3fs, adlfs and hf:// do."""

    protocol = "remembering"
    seen: ClassVar[dict[tuple[str, str], Any]] = {}

    def find(self, path: str, *given: Any, **how: Any) -> Any:
        if ("find", path) not in self.seen:
            self.seen["find", path] = super().find(path, *given, **how)
        return self.seen["find", path]

    def info(self, path: str, **how: Any) -> Any:
        if ("info", path) not in self.seen:
            found = super().info(path, **how)
            facts = {"ETag": str(self.modified(path))} if found["type"] == "file" else {}
            self.seen["info", path] = found | facts
        return self.seen["info", path]

    def invalidate_cache(self, path: str | None = None) -> None:
        for one in [one for one in self.seen if one[1].startswith(path or "")]:
            del self.seen[one]


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> None:
    for system in (Uncreated, Remembering):
        fsspec.register_implementation(system.protocol, system, clobber=True)
    monkeypatch.setattr(filesystems, "_schemes", lambda: {"uncreated", "remembering"})


def test_only_buckets_are_looked_for_before_the_work(systems: None) -> None:
    place = place_of("uncreated://datasets/me/set/out")
    place.check_writable()
    (place / "a.txt").write(b"one")
    assert place.files() == {"a.txt": 3}


def test_what_others_write_meanwhile_is_seen(systems: None) -> None:
    place = place_of("remembering://shared/folder")
    (place / "a").write(b"one")
    assert place.files() == {"a": 3}
    before = (place / "a").about()
    MemoryFileSystem().pipe("/shared/folder/b", b"four")
    MemoryFileSystem().pipe("/shared/folder/a", b"two")
    assert place.files() == {"a": 3, "b": 4}
    (place / "a").about()
    MemoryFileSystem().pipe("/shared/folder/a", b"six")
    after = (place / "a").about(again=True)
    assert before != after
    assert after is not None
    assert after[0] == 3


def test_a_version_changes_with_the_content(tmp_path: Path) -> None:
    for folder in (str(tmp_path), "memory://versions"):
        place = place_of(folder) / "a.txt"
        assert place.about() is None
        assert place_of(folder).about() is None
        place.write(b"one")
        first = place.about()
        assert place.about() == first
        place.write(b"two")
        second = place.about()
        assert first is not None
        assert second is not None
        assert (first[0], second[0]) == (3, 3)
        assert first[1] != second[1]
