"""Addresses are shown and recorded without what is secret in them."""

from __future__ import annotations

import pytest

from finetext.core.addresses import (
    has_password,
    public_address,
    recorded,
    was_shortened,
    without_secrets,
)
from finetext.core.errors import DataError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/x.csv", "https://h/x.csv"),
        ("https://h:81/a/x.csv?sig=1#f", "https://h:81/a/x.csv"),
        ("https://u:p@h/x.csv", "https://h/x.csv"),
        ("https://u:p@q@h/x.csv#f", "https://h/x.csv"),
        ("https://u:p/q?r#s@h/x.csv?t", "https://h/x.csv"),
        ("https://h?x=1", "https://h"),
        ("https://h/a@b/x.csv", "https://h/a@b/x.csv"),
        ("s3://key:secret@b/x", "s3://b/x"),
        ("reviews.csv?x", "reviews.csv?x"),
        ("sftp://u:p/q@h/x", "sftp://h/x"),
        ("abfs://container@account/x?sig=1", "abfs://container@account/x"),
        ("github://owner:name@main/x.csv", "github://owner:name@main/x.csv"),
        ("s3://b/part-?.parquet", "s3://b/part-?.parquet"),
        ("gs://b/year=20??/no#1.csv", "gs://b/year=20??/no#1.csv"),
        ("memory://a/?/day=1/x.csv", "memory://a/?/day=1/x.csv"),
        ("s3://key:secret@b/part-?.parquet", "s3://b/part-?.parquet"),
        ("s3://b/x.csv?X-Amz-Signature=1", "s3://b/x.csv"),
        ("az://c/x.csv#access_token=1", "az://c/x.csv"),
        ("odd://h/x?y", "odd://h/x"),
    ],
)
def test_an_address_is_shown_without_secrets(url: str, shown: str) -> None:
    assert public_address(url) == shown
    assert without_secrets(f"cannot fetch {url}") == f"cannot fetch {shown}"
    assert str(DataError(f"'{url}' is gone")) == f"'{shown}' is gone"


def test_a_long_word_before_an_address_takes_no_time() -> None:
    assert without_secrets("a" * 1_000_000 + " x://h?y") == "a" * 1_000_000 + " x://h"


def test_a_recorded_address_says_that_it_is_not_whole() -> None:
    sources = {"train": "https://h/x?s=1", "test": "https://h/y", "validation": "z.csv"}
    assert recorded(sources) == {
        "train": "https://h/x?...", "test": "https://h/y", "validation": "z.csv",
    }  # fmt: skip
    assert recorded(("http://u@h/x", "y")) == ("http://h/x?...", "y")
    assert recorded(recorded("https://h/x?s")) == "https://h/x?..."
    assert was_shortened("https://h/x?...")
    assert recorded("sftp://u:secret@h/x") == "sftp://h/x?..."
    assert recorded("ftp://u@h/x") == "ftp://h/x?..."
    for same in (
        "s3://b/part-?.csv",
        "s3://anonymous@b/x",
        "abfs://container@account/x",
        "s3://b/x",
        "a?b.csv",
        "a@b",
    ):
        assert recorded(same) == same
    assert not was_shortened("https://h/x")


@pytest.mark.parametrize(
    ("url", "has"),
    [
        ("sftp://u:p@h/x", True),
        ("sftp://u:p/q@h/x", True),
        ("sftp://u@h:22/x", False),
        ("sftp://h:22/a@b", False),
        ("abfs://container@account/x", False),
        ("github://owner:name@main/x.csv", False),
        ("x.csv", False),
    ],
)
def test_a_password_is_told_from_a_container(url: str, has: bool) -> None:
    assert has_password(url) is has
