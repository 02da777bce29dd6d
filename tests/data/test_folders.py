"""Folders and archives: one folder for each class, ready-made splits, and what must be refused."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.read import read

TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=40)
FILES = {"pos/1.txt": "a fine film", "pos/2.txt": "good", "neg/1.txt": "a dull film"}


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    return folder


def make_tar(path: Path, files: dict[str, str], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
    return path


def make_zip(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("root", ["", "films/", "a/b/"])
@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.tar", "x.zip"])
def test_archives_read_as_folders(tmp_path: Path, root: str, name: str) -> None:
    files = {root + path: content for path, content in FILES.items()}
    mode = "w" if name.endswith(".tar") else "w:gz"
    zipped = name.endswith(".zip")
    path = make_zip(tmp_path / name, files) if zipped else make_tar(tmp_path / name, files, mode)
    data = read(path)
    assert data.ids == ["neg/1.txt", "pos/1.txt", "pos/2.txt"]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("validation", ["valid", "val", "dev", "Validation"])
def test_splits_above_classes(tmp_path: Path, validation: str) -> None:
    files = {
        f"{split}/{path}": text for split in ("train", validation) for path, text in FILES.items()
    }
    files |= {"train/unsup/1.txt": "no label", "README": "about", "train/urls.txt": "x"}
    data = read(fill(tmp_path, files))
    assert data.column("split") == ["train"] * 3 + ["validation"] * 3
    assert data.scheme is not None
    assert data.scheme.names == ("neg", "pos")
    assert len(set(data.ids)) == 6
    assert "unlabelled-folder" in {finding.code for finding in data.findings}


@settings(max_examples=25)
@given(
    st.lists(st.tuples(TEXTS, st.booleans()), min_size=2, max_size=8).filter(
        lambda rows: len({label for _, label in rows}) == 2
    )
)
def test_folder_round_trip(rows: list[tuple[str, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {
            f"{label}/{place}.txt": f"a text {text}" for place, (text, label) in enumerate(rows)
        }
        data = read(fill(Path(folder), files))
    assert dict(zip(data.ids, data.texts, strict=True)) == files
    assert data.labels == [name.split("/")[0] for name in data.ids]


TABLE = "text,label\none text,0\ntwo texts,1\n"


def test_files_named_as_splits(tmp_path: Path) -> None:
    files = {"train.csv": TABLE, "valid.csv": TABLE, "test.csv": TABLE, "labels.txt": "no\nyes\n"}
    data = read(fill(tmp_path, files | {"README.md": "# about", "more/train.csv": TABLE}))
    assert data.labels == ["no", "yes"] * 3
    assert data.ids[:3] == ["train/1", "train/2", "validation/1"]
    assert read(make_zip(tmp_path / "x.zip", files)).labels == ["no", "yes"] * 3


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"train_a.csv": TABLE, "train_b.csv": TABLE})
    with pytest.raises(DataError, match=r"several files could be the train split: train_a.csv"):
        read(tmp_path)


@pytest.mark.parametrize(
    "names",
    [("train.tsv", "dev.tsv"), ("sst.train", "sst.test"), ("train.txt", "a.csv"), ("a.csv",)],
)
def test_a_folder_of_data_sets_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    files = {f"{folder}/{name}": TABLE for folder in ("glue", "other") for name in names}
    with pytest.raises(DataError, match=r"give one of these folders.*: glue, other$"):
        read(fill(tmp_path, files | {"README.md": "about", "glue/readme.txt": "about"}))


def test_documents_may_be_called_as_splits(tmp_path: Path) -> None:
    files = {"bus/train.txt": "by bus", "bus/car.txt": "by car", "exam/test.txt": "an exam"}
    assert read(fill(tmp_path, files)).labels == ["bus", "bus", "exam"]


def test_documents_without_classes_can_be_predicted(tmp_path: Path) -> None:
    fill(tmp_path, {"a.txt": "one\ntext", "b.txt": "two"})
    data = read(tmp_path, settings=ReadSettings(labelled=False))
    assert dict(zip(data.ids, data.texts, strict=True)) == {"a.txt": "one\ntext", "b.txt": "two"}
    with pytest.raises(DataError, match="neither one folder for each class"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "pos/../../out.txt", "C:\\out.txt"])
def test_members_outside_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    for path in (
        make_tar(tmp_path / "x.tar.gz", FILES | {name: "x"}),
        make_zip(tmp_path / "x.zip", FILES | {name: "x"}),
    ):
        with pytest.raises(DataError, match="leads out of the archive"):
            read(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = make_tar(tmp_path / "x.tar", FILES, "w")
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("pos/3.txt")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match="link or device"):
        read(path)


def test_links_in_zip_are_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo("pos/3.txt")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        read(path)


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar", "x.zip"])
def test_broken_archives_are_refused(tmp_path: Path, name: str) -> None:
    files = {f"{label}/{n}.txt": f"text {n} " * 50 for label in "ab" for n in range(30)}
    mode = "w" if name == "x.tar" else "w:gz"
    path = tmp_path / name
    make_zip(path, files) if name == "x.zip" else make_tar(path, files, mode)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"no archive at all, just words"):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="broken"):
            read(path)


def test_one_class_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no files that can be read"):
        read(tmp_path)
    fill(tmp_path, {"pos/1.txt": "a text", "pos/2.txt": "another text"})
    with pytest.raises(DataError, match="one class only, 'pos'"):
        read(tmp_path)


def test_a_binary_document_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, FILES)
    (tmp_path / "neg" / "2.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)
    with pytest.raises(DataError, match=r"neg/2\.txt is not a text file"):
        read(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows read every file")
def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(TABLE)
    path.chmod(0)
    with pytest.raises(DataError, match="cannot read"):
        read(path)
