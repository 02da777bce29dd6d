"""Files by path or address."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile
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
        ("s3://bucket/key is where it was", False),
        ("a.csv", False),
        (Path("a.csv"), False),
        (None, False),
    ],
)
def test_what_an_address_is(source: object, is_one: bool) -> None:
    assert is_address(source) is is_one


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
