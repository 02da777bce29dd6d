"""Pickles are found without unpacking what is around them, however large it says that it is."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest

from finetext.models.pickles import holds_pickle

resource = pytest.importorskip("resource")

LARGE = 300_000_000


def grown(folder: Path, name: str) -> tuple[bool, int]:
    """Whether a file holds a pickle, and by how many bytes the peak of memory grew meanwhile."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = holds_pickle(folder, name)
    return found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_of_archives_are_not_unpacked(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.bin", "w", method) as packed:
        packed.writestr("weights", bytes(30_000_000))
    found, memory = grown(tmp_path, "a.bin")
    assert not found
    assert memory < 25_000_000
    with zipfile.ZipFile(tmp_path / "a.bin", "a", method) as packed:
        packed.writestr("data.pkl", pickle.dumps([1, 2, "a" * 1_000_000]))
    assert holds_pickle(tmp_path, "a.bin")


def test_a_long_instruction_counts_as_a_pickle_and_is_not_read(tmp_path: Path) -> None:
    data = b"\x80\x04B" + LARGE.to_bytes(4, "little")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("a.npy", data + bytes(LARGE))
    found, memory = grown(tmp_path, "a.npz")
    assert found
    assert memory < 100_000_000


def test_compressions_inside_each_other_end(tmp_path: Path) -> None:
    data = pickle.dumps({"a": 1})
    for _ in range(300):
        data = gzip.compress(data)
    (tmp_path / "a.gz").write_bytes(data)
    assert holds_pickle(tmp_path, "a.gz")
    (tmp_path / "b.gz").write_bytes(gzip.compress(gzip.compress(b"a text that is no pickle")))
    assert not holds_pickle(tmp_path, "b.gz")


def test_a_dictionary_of_lzma_is_not_allocated(tmp_path: Path) -> None:
    data = bytearray(lzma.compress(b"a text" * 9, lzma.FORMAT_ALONE))
    data[1:5] = (3 << 30).to_bytes(4, "little")
    (tmp_path / "a.lzma").write_bytes(bytes(data))
    found, memory = grown(tmp_path, "a.lzma")
    assert not found
    assert memory < 25_000_000
    (tmp_path / "b.xz").write_bytes(lzma.compress(pickle.dumps({"a": [1, 2, 3]})))
    assert holds_pickle(tmp_path, "b.xz")


def test_a_sparse_member_counts_as_a_pickle(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        member = tarfile.TarInfo("weights")
        member.pax_headers = {"GNU.sparse.realsize": "99999999999"}
        packed.addfile(member)
    (tmp_path / "a.tar").write_bytes(file.getvalue())
    assert holds_pickle(tmp_path, "a.tar")
