"""What is in a corpus, and which texts it leaves out."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.pretraining.corpus import Corpus, CorpusSettings, read_corpus

LINES = [f"line {number} of a long text" for number in range(50)]
CLASSES = ["good", "bad", "good"]


def everything(corpus: Corpus) -> set[str]:
    return {*corpus.texts, *corpus.held_out}


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """60 rows with a label each, two of them with the same text."""
    rows = [f"film {number} was seen,{CLASSES[number % 3]}" for number in range(58)]
    rows += ["film 0  was seen,good", "film 1 was seen,bad"]
    path = tmp_path / "labelled.csv"
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def test_plain_lines_zipped_lines_lists_and_folders_are_read(tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("\n\n".join(LINES))
    zipped = tmp_path / "zipped.txt.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, line in enumerate(LINES):
        (folder / f"{number}.txt").write_text(line)
    for source in (plain, str(zipped), folder, LINES):
        assert everything(read_corpus(source)) == set(LINES)
    for source in (plain, zipped, (plain, str(zipped))):
        corpus = read_corpus(source, CorpusSettings(validation=["another"]))
        assert corpus.texts == LINES
        assert corpus.in_order
    for source in (folder, LINES, (plain, folder)):
        assert not read_corpus(source).in_order


def test_several_sources_are_joined(tmp_path: Path) -> None:
    parts = (tmp_path / "one.txt", tmp_path / "two.txt")
    for path, lines in zip(parts, (LINES[:30], LINES[20:]), strict=True):
        path.write_text("\n".join(lines))
    corpus = read_corpus(parts)
    assert everything(corpus) == set(LINES)
    assert len(corpus.texts) + len(corpus.held_out) == 60  # each file is a running text
    assert not {*corpus.texts} & {*corpus.held_out}
    assert corpus.source == [str(path) for path in parts]


def test_blank_and_repeated_texts_are_left_out_and_counted() -> None:
    corpus = read_corpus([*LINES, " ", "\t\n", LINES[0], f" {LINES[1]}  "])
    assert everything(corpus) == set(LINES)
    assert corpus.excluded == {"blank": 2, "repeated": 2}
    assert "left out: 2 blank, 2 repeated" in corpus.summary()


def song(tmp_path: Path) -> Path:
    """A file of running text: 50 verses, a refrain after each and a heading before every tenth."""
    path = tmp_path / "song.txt"
    path.write_text("\n".join(song_lines()))
    return path


def song_lines() -> list[str]:
    return [
        line
        for number, verse in enumerate(LINES)
        for line in ([] if number % 10 else ["= = ="]) + [verse, "and so on"]
    ]


def test_running_text_keeps_the_lines_that_it_repeats(tmp_path: Path) -> None:
    corpus = read_corpus(song(tmp_path), CorpusSettings(validation=["another"]))
    assert corpus.texts == song_lines()
    assert corpus.excluded == {}
    chosen = read_corpus(song(tmp_path), CorpusSettings(held_out=0.5))
    assert {*chosen.held_out} <= set(LINES)  # of what is repeated, nothing is held out
    assert [line for line in song_lines() if line not in chosen.held_out] == chosen.texts


def test_a_whole_running_text_that_repeats_is_left_out(tmp_path: Path) -> None:
    again = tmp_path / "copy.txt"
    again.write_text(song(tmp_path).read_text())
    whole = CorpusSettings(validation=["another"])
    corpus = read_corpus((song(tmp_path), again), whole)
    assert corpus.texts == song_lines()
    assert corpus.excluded == {"repeated": len(song_lines())}
    documents = tmp_path / "documents"
    documents.mkdir()
    for number in range(3):
        (documents / f"{number}.txt").write_text("a refrain\n" * 3 + str(number % 2))
    corpus = read_corpus(documents, whole)
    assert [text.count("refrain") for text in corpus.texts] == [3, 3]
    assert corpus.excluded == {"repeated": 1}


def test_a_document_that_is_a_line_of_running_text_is_left_out(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("text\nand so on\nof its own\n")
    whole = CorpusSettings(validation=["another"])
    for sources, count in (((song(tmp_path), table), 1), ((table, song(tmp_path)), 0)):
        corpus = read_corpus(sources, whole)
        assert corpus.excluded.get("repeated", 0) == count
        assert [line for line in corpus.texts if line in song_lines()][-105:] == song_lines()


def test_what_is_measured_on_is_no_line_that_running_text_repeats(tmp_path: Path) -> None:
    validation = tmp_path / "validation.txt"
    validation.write_text("\n".join(["= = =", LINES[3], "da capo", "= = =", "da capo", "end"]))
    corpus = read_corpus(song(tmp_path), CorpusSettings(validation=validation))
    assert corpus.held_out == [LINES[3], "da capo", "da capo", "end"]
    assert corpus.texts == [line for line in song_lines() if line != LINES[3]]
    validation.write_text("= = =\n")
    with pytest.raises(DataError, match="no text can be held out"):
        read_corpus(song(tmp_path), CorpusSettings(validation=validation))
    validation.write_text("la\nla\nla\n")
    with pytest.raises(DataError, match="no text can be held out"):
        read_corpus(validation)


FEW = ["HAMLET", "OPHELIA", "GHOST"]


@pytest.mark.parametrize(
    ("form", "warned"),
    [
        ("{0} {1}", True),
        ("{1}; {0}", True),
        ("{0}, {1}", True),
        ("{0}; {1}", True),
        ("{0} | {1}", True),
        ("{1}\t{1} again", False),
        ("\t{0} {1}", False),
        ("{0}: {1}, {1}", False),
    ],
)
def test_plain_lines_are_never_cut(tmp_path: Path, form: str, warned: bool) -> None:
    lines = [form.format(FEW[n % 3], f"words that number {n} has") for n in range(90)]
    path = tmp_path / "play.txt"
    path.write_text("\n".join(lines))
    corpus = read_corpus(path, CorpusSettings(validation=["another"]))
    assert corpus.texts == lines
    assert corpus.excluded == {}
    assert [finding.code for finding in corpus.findings] == ["whole-lines"] * warned
    if warned:
        assert "'HAMLET', 'OPHELIA', 'GHOST'" in corpus.findings[0].message


@pytest.mark.parametrize("form", ["{0}\t{1}", "{1}\t{0}", "__label__{0} {1}"])
def test_a_clear_label_is_taken_off_and_that_is_said(tmp_path: Path, form: str) -> None:
    texts = [f"words that number {n} has" for n in range(90)]
    path = tmp_path / "labelled.txt"
    path.write_text("\n".join(form.format(FEW[n % 3], text) for n, text in enumerate(texts)))
    corpus = read_corpus(path)
    test = finetext.split(finetext.read(path)).test.texts
    assert everything(corpus) == {*texts} - {*test}
    assert corpus.excluded == {"test": len(test)}
    (finding,) = corpus.findings
    assert finding.code == "label-taken-off"
    assert "no part of the texts: 'HAMLET', 'OPHELIA', 'GHOST'" in finding.message


def test_who_says_that_lines_have_labels_gets_them_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "labelled.txt"
    path.write_text("\n".join(f"{FEW[n % 3]} words number {n}" for n in range(90)))
    named = read_corpus(path).findings[0].message.rpartition("data.label=")[2]
    corpus = read_corpus(path, CorpusSettings(ReadSettings(label=named)))
    assert all(text.startswith("words") for text in everything(corpus))
    assert corpus.excluded == {"test": len(finetext.split(finetext.read(path)).test)}


@pytest.mark.parametrize("header", ["", "label text\n"])
def test_whole_lines_are_known_by_their_texts(tmp_path: Path, header: str) -> None:
    lines = [f"{FEW[n % 3]} words number {n}" for n in range(90)]
    path = tmp_path / "labelled.txt"
    path.write_text(header + "\n".join(lines))
    test = [f"words number {n}" for n in range(5)]
    kept = [*header.splitlines(), *lines[5:]]
    measured = ["another"]
    assert read_corpus(path, CorpusSettings(test=tuple(test), validation=measured)).texts == kept
    assert read_corpus(path, CorpusSettings(exclude=(test,), validation=measured)).texts == kept
    excluded = tmp_path / "excluded.txt"
    excluded.write_text("\n".join(lines))
    plain = [f"words number {n}" for n in range(80, 100)]
    corpus = read_corpus(plain, CorpusSettings(exclude=(excluded,), validation=measured))
    assert corpus.texts == plain[10:]


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        (CorpusSettings(), 2),
        (CorpusSettings(held_out=0.5), 25),
        (CorpusSettings(held_out=0.5, most_held_out=3), 3),
        (CorpusSettings(held_out=0.0), 1),
    ],
)
def test_whole_texts_are_held_out_by_the_seed(settings: CorpusSettings, count: int) -> None:
    corpus = read_corpus(LINES, settings, seed=4)
    assert len(corpus.held_out) == count
    assert sorted(corpus.texts + corpus.held_out) == sorted(LINES)
    assert corpus.held_out == read_corpus(LINES, settings, seed=4).held_out
    others = [read_corpus(LINES, settings, seed=seed).held_out for seed in range(5, 10)]
    assert corpus.held_out not in others or count == 1


def test_ready_made_held_out_texts_are_taken_and_not_learnt_from() -> None:
    corpus = read_corpus(LINES, CorpusSettings(validation=[*LINES[:5], "another", "another"]))
    assert corpus.held_out == [*LINES[:5], "another"]
    assert corpus.texts == LINES[5:]
    assert corpus.excluded == {"held out": 5}


def test_a_ready_made_test_part_is_left_out(tmp_path: Path) -> None:
    for name, lines in (("train", LINES[:40]), ("valid", LINES[35:45]), ("test", LINES[39:])):
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    corpus = read_corpus(tmp_path)
    assert everything(corpus) == set(LINES[:39])
    # 40 to 44 stand in the validation part, too, and 39 in all three.
    assert corpus.excluded["test"] == 11 + 5 + 2
    assert "18 that occur in test rows (the ready-made test split)" in corpus.summary()
    assert not corpus.with_test
    whole = read_corpus(tmp_path, CorpusSettings(with_test=True))
    assert everything(whole) == set(LINES)
    assert whole.with_test
    assert "test rows are in it" in whole.summary()


@pytest.mark.parametrize("seed", [0, 3])
def test_labeled_data_lose_the_test_rows_that_train_would_have(labeled: Path, seed: int) -> None:
    dataset = finetext.read(labeled)
    parts = finetext.split(dataset, seed=seed)
    corpus = read_corpus(labeled, seed=seed)
    test = {" ".join(text.split()) for text in parts.test.texts}
    kept = [text for text in dataset.texts if " ".join(text.split()) not in test]
    assert everything(corpus) <= set(kept)
    assert len(everything(corpus)) == len({" ".join(text.split()) for text in kept})
    assert corpus.excluded["test"] == len(dataset) - len(kept)


def test_rows_without_a_label_stay_and_the_test_rows_of_the_others_go(labeled: Path) -> None:
    rows = labeled.read_text() + "".join(f"unseen {number},\n" for number in range(20))
    path = labeled.with_name("some.csv")
    path.write_text(rows)
    test = finetext.split(finetext.read(path, settings=ReadSettings(drop_unlabelled=True))).test
    found = everything(read_corpus(path))
    assert {f"unseen {number}" for number in range(20)} <= found
    assert not found & set(test.texts)


def test_data_that_cannot_be_split_are_taken_whole(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    rows = [f"text {n},{'ab'[n % 2]}" for n in range(20)] + ["the only one,c"]
    path.write_text("\n".join(["text,label", *rows]))
    assert len(everything(read_corpus(path))) == 21


def test_a_run_loses_its_own_test_rows(finished: Path) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(finished / "splits.parquet").to_pydict()
    test = {row for row, part in zip(table["id"], table["split"], strict=True) if part == "test"}
    assert len(test) == 9
    corpus = read_corpus(finished, seed=7)
    assert corpus.excluded == {"test": 9}
    assert len(everything(corpus)) == 51
    assert not everything(corpus) & set(finetext.Run.open(finished).texts(split="test"))


def test_a_run_of_changed_data_is_refused(
    command: Callable[..., Any], reviews: Path, workplace: Path
) -> None:
    path = workplace / "mine.csv"
    path.write_text(reviews.read_text())
    assert command("train", path, "--methods", "majority", "--out", "run").status == 0
    path.write_text(reviews.read_text().replace("number 3", "number three"))
    with pytest.raises(DataError, match="not the ones it started with"):
        read_corpus(workplace / "run")


def test_texts_of_other_data_are_excluded(labeled: Path) -> None:
    texts = [*LINES, "film  3 was seen", "film 4 was seen"]
    corpus = read_corpus(texts, CorpusSettings(exclude=(labeled, LINES[:3])))
    assert everything(corpus) == set(LINES[3:])
    assert corpus.excluded == {f"that occur in {labeled}": 2, "that occur in texts": 3}


def test_test_rows_known_from_elsewhere_are_left_out() -> None:
    for with_test in (False, True):
        settings = CorpusSettings(test=tuple(LINES[:4]), with_test=with_test)
        corpus = read_corpus(LINES, settings)
        assert corpus.excluded == {"test": 4}
        assert everything(corpus) == set(LINES[4:])


@pytest.mark.parametrize("texts", [["one text", "one text"], ["one text", " "], [" "]])
def test_too_few_texts_are_refused(texts: list[str]) -> None:
    with pytest.raises(DataError, match="at least two texts"):
        read_corpus(texts)


def test_the_hash_tells_contents_and_parts_apart() -> None:
    hashes = {
        Corpus(["a", "b"], ["c"]).content_hash,
        Corpus(["a"], ["b", "c"]).content_hash,
        Corpus(["b", "a"], ["c"]).content_hash,
    }
    assert len(hashes) == 3
    assert Corpus(["a"], ["\ud800"]).content_hash
