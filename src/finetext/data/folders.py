"""What a folder or archive holds: split files, one folder per class, or a single table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from operator import or_
from pathlib import PurePosixPath
from typing import Final

from finetext.core.errors import DataError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.core.types import SPLIT_NAMES, Finding, SplitName
from finetext.core.wording import counted
from finetext.data.archives import gunzipped, is_archive, is_litter, members
from finetext.data.formats import TABLE_SUFFIXES, parse_table
from finetext.data.rows import SPLIT_WORDS, Batch, File, Source
from finetext.data.sources import decode
from finetext.storage.filesystems import Place

_NAME_STEMS: Final = {
    *("labels", "label_names", "labelnames", "classes", "class_names", "categories"),
    *("label_map", "label_mapping", "id2label", "label2id"),
}
_NAME_SUFFIXES: Final = {".txt", ".json", ".csv", ".tsv"}
_NOT_DATA: Final = re.compile(r"(read[-_ ]?me|licen[cs]e|copying|citation|changelog)\b.*", re.I)
_UNLABELED: Final = {"unsup", "unsupervised", "unlabelled", "unlabeled"}
_TABLES: Final = TABLE_SUFFIXES - {".txt"}
_SHARD: Final = re.compile(r"-\d+-of-\d+$")


def read_file(file: File, settings: ReadSettings, beside: Sequence[File] = ()) -> Source:
    """Read one file, a table or an archive of files, gzipped or not."""
    plain = gunzipped(file)
    if is_archive(plain):
        return read_tree(members(plain), file.path.name, settings)
    return Source(file.path.name, (parse_table(plain, settings),), tuple(beside))


def read_place(place: Place, settings: ReadSettings) -> Source:
    """Read a file or folder of another file system into memory; raises a DataError if missing."""
    if place.size() is not None:
        return read_file(File(place.shown, PurePosixPath(place.name), place.read), settings)
    files = [
        File((place / name).shown, PurePosixPath(name), (place / name).read)
        for name in place.files()
        if not is_litter(PurePosixPath(name))
    ]
    if not files:
        raise DataError(f"there is no file or folder {place.shown}")
    return read_tree(files, place.name, settings)


def read_tree(files: Sequence[File], title: str, settings: ReadSettings) -> Source:
    """Read a folder or an unpacked archive."""
    files = _without_shared_folders(files)
    top = [file for file in files if len(file.path.parts) == 1]
    beside = label_name_files(top)
    of_split = _split_files([file for file in top if file not in beside], title)
    if "train" in of_split or (of_split and len(files) == len(top)):
        batches = tuple(
            replace(parse_table(gunzipped(file), settings), split=split)
            for split, several in of_split.items()
            for file in several
        )
        used = [*beside, *(file for several in of_split.values() for file in several)]
        other = [str(file.path) for file in _data_files(files, used)]
        more = f" and {len(other) - 5:,} more" if len(other) > 5 else ""
        message = f"{title}: not read, as no split: {', '.join(other[:5])}{more}"
        note = Finding("note", "files-left-out", message)
        return Source(title, batches, beside, (note,) if other else ())
    if deep := [file for file in files if len(file.path.parts) > 1]:
        return _read_classes(deep, title, settings)
    return _read_flat(_data_files(top, beside), title, beside, settings)


def _data_files(files: Sequence[File], other: Sequence[File]) -> list[File]:
    """The files that are neither among the others nor read-me files and the like."""
    return [f for f in files if f not in other and not _NOT_DATA.fullmatch(f.path.name)]


def label_name_files(files: Sequence[File]) -> tuple[File, ...]:
    """Return the files that by their name may list the names of the labels."""
    paths = [PurePosixPath(file.path.name.lower()) for file in files]
    named = [path.stem in _NAME_STEMS and path.suffix in _NAME_SUFFIXES for path in paths]
    return tuple(compress(files, named))


def _without_shared_folders(files: Sequence[File]) -> list[File]:
    """The files without a folder around all that holds only folders, one table, or splits."""
    kept = list(files)
    while len({file.path.parts[0] for file in kept}) == 1:
        if not all(len(file.path.parts) > 1 for file in kept):
            return kept
        inner = [file.path for file in kept if len(file.path.parts) == 2]
        one_table = len(kept) == 1 and inner and inner[0].suffix.lower() in _TABLES
        if inner and not one_table and all(_split_of(path) != "train" for path in inner):
            return kept
        kept = [replace(file, path=PurePosixPath(*file.path.parts[1:])) for file in kept]
    return kept


def _split_of(path: PurePosixPath) -> SplitName | None:
    """The split in a file's name: train.csv, imdb_test.csv.gz, stsa.binary.dev."""
    name = path.name.lower()
    if _NOT_DATA.fullmatch(name):
        return None
    words = {SPLIT_WORDS[word] for word in re.split(r"[._\-\s]+", name) if word in SPLIT_WORDS}
    return words.pop() if len(words) == 1 else None


def _split_files(files: Sequence[File], title: str) -> dict[SplitName, list[File]]:
    """The files of each ready-made split; several only if they are numbered shards of one."""
    found: dict[SplitName, list[File]] = {}
    for split in SPLIT_NAMES:
        claims = [file for file in files if _split_of(file.path) == split]
        exact = [file for file in claims if file.path.name.split(".")[0].lower() in SPLIT_WORDS]
        chosen = exact if len(exact) == 1 else claims
        if len(chosen) > 1 and not all(_SHARD.search(file.path.stem) for file in chosen):
            names = ", ".join(file.path.name for file in claims)
            raise DataError(
                f"{title}: several files could be the {split} split: {names}; give the files "
                "of each split by name"
            )
        if chosen:
            found[split] = chosen
    return found


def _read_flat(
    data: Sequence[File], title: str, beside: tuple[File, ...], settings: ReadSettings
) -> Source:
    """Read a folder without folders in it: its only data file, or texts without labels."""
    if len(data) == 1:
        title = f"{title}/{data[0].path}"
        return replace(read_file(data[0], settings), beside=beside, title=title)
    if not data:
        raise DataError(f"{title} has no files that can be read")
    if not settings.labelled and all(file.path.suffix.lower() == ".txt" for file in data):
        return Source(title, (_documents(data, [], title, settings),))
    names = ", ".join(file.path.name for file in data[:10])
    raise UnlabeledError(
        f"{title} has neither one folder for each class nor files named train, validation and "
        f"test; it has: {names}; give one of these files"
    )


def _read_classes(files: Sequence[File], title: str, settings: ReadSettings) -> Source:
    """Read one folder for each class, or such folders inside train, valid and test."""
    kept = [f for f in files if not _UNLABELED & {part.lower() for part in f.path.parts[:-1]}]
    number = counted(len(files) - len(kept), "file")
    message = f"{title}: {number} in folders without a class left out"
    note = Finding("note", "unlabelled-folder", message)
    findings = (note,) if len(kept) < len(files) else ()
    of_split = [SPLIT_WORDS.get(file.path.parts[0].lower()) for file in kept]
    deep = [len(file.path.parts) > 2 for file in kept]
    if "train" not in of_split or not any(deep):
        _refuse_data_sets(kept, title)
        classes = [file.path.parts[0] for file in kept]
        return Source(title, (_documents(kept, classes, title, settings),), findings=findings)
    batches = []
    for split in SPLIT_NAMES:
        if own := [kept[n] for n, inside in enumerate(deep) if inside and of_split[n] == split]:
            classes = [file.path.parts[1] for file in own]
            documents = _documents(own, classes, f"{title}/{split}", settings)
            batches.append(replace(documents, split=split))
    return Source(title, tuple(batches), findings=findings)


def _refuse_data_sets(files: Sequence[File], title: str) -> None:
    """Check that folders hold documents of a class, not data sets."""
    inside: dict[PurePosixPath, list[PurePosixPath]] = {}
    for file in _data_files(files, label_name_files(files)):
        inside.setdefault(file.path.parent, []).append(file.path)
    found = []
    for folder, paths in inside.items():
        plain = [PurePosixPath(path.name.lower().removesuffix(".gz")) for path in paths]
        tables = [path.suffix in _TABLES for path in plain]
        words = [path.stem in SPLIT_WORDS or path.suffix[1:] in SPLIT_WORDS for path in plain]
        if all(map(or_, tables, words)) and (all(tables) or "train" in map(_split_of, plain)):
            found.append(folder)
    if found:
        shown = ", ".join(map(str, found[:10])) + (" and more" if len(found) > 10 else "")
        raise DataError(
            f"{title} has folders of tables, not of documents of one class (such as "
            f"{inside[found[0]][0]}); give one of these folders, or a file in it: {shown}"
        )


def _documents(
    files: Sequence[File], classes: Sequence[str], title: str, settings: ReadSettings
) -> Batch:
    """One row for each file: its relative path, its text and, unless there are none, its class."""
    decoded = [decode(gunzipped(file).load(), file.name, settings.encoding) for file in files]
    columns = {"id": [str(file.path) for file in files], "text": [text for text, _ in decoded]}
    columns |= {"label": list(classes)} if classes else {}
    form = "one folder for each class" if classes else "one text for each file"
    findings = tuple(finding for _, noticed in decoded for finding in noticed)
    return Batch(title, columns, form, findings=findings)
