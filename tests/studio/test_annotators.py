"""The file of annotators: who has a token, and that no token is in it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from finetext.core.errors import DataError
from finetext.studio.annotators import FILE, Annotators, Person, check_name


def test_without_a_file_there_are_no_annotators(tmp_path: Path) -> None:
    people = Annotators.read(tmp_path)
    assert not people
    assert people.by_token("") is None
    assert not (tmp_path / FILE).exists()


def test_the_first_annotator_is_the_owner_and_stays_so(tmp_path: Path) -> None:
    people, tokens = Annotators.read(tmp_path).with_links(tmp_path, ["Ann", "Bo"])
    _, more = people.with_links(tmp_path, ["Cy"])
    people = Annotators.read(tmp_path)
    assert people.names == ("Ann", "Bo", "Cy")
    assert people.owner == "Ann"
    assert people.by_token(tokens["Ann"]) == Person("Ann", True)
    assert people.by_token(tokens["Bo"]) == Person("Bo", False)
    assert people.by_token(more["Cy"]) == Person("Cy", False)


def test_the_file_has_hashes_and_is_its_owners_alone(tmp_path: Path) -> None:
    _, tokens = Annotators().with_links(tmp_path, ["Ann"])
    written = (tmp_path / FILE).read_text()
    assert tokens["Ann"] not in written
    assert len(json.loads(written)[0]["sha256"]) == 64
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_new_link_makes_the_former_one_void(tmp_path: Path) -> None:
    people, former = Annotators().with_links(tmp_path, ["Ann", "Bo"])
    people, new = people.with_links(tmp_path, [" Ann "])
    assert people.by_token(former["Ann"]) is None
    assert people.by_token(new["Ann"]) == Person("Ann", True)
    assert people.by_token(former["Bo"]) == Person("Bo", False)


@pytest.mark.parametrize("token", ["", "x", "ä" * 43, "\udc80"])
def test_other_tokens_are_nobodys(tmp_path: Path, token: str) -> None:
    people, _ = Annotators().with_links(tmp_path, ["Ann"])
    assert people.by_token(token) is None
    assert people.by_token(json.loads((tmp_path / FILE).read_text())[0]["sha256"]) is None


def test_a_token_of_a_run_is_the_owners_and_in_no_file(tmp_path: Path) -> None:
    people, _ = Annotators().with_links(tmp_path, ["Ann", "Bo"])
    before = (tmp_path / FILE).read_bytes()
    token = people.owner_token()
    assert people.by_token(token) == Person("Ann", True)
    assert (tmp_path / FILE).read_bytes() == before
    assert Annotators.read(tmp_path).by_token(token) is None


@pytest.mark.parametrize("name", ["", "   ", "a" * 61, "a\nb", "a\x00", "a\u202eb"])
def test_names_that_cannot_be_shown_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="the name of an annotator"):
        Annotators().with_links(tmp_path, ["Ann", name])
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("name", ["a" * 60, "Zoë Ångström", "王芳", "O'Neil"])
def test_names_of_people_are_taken(name: str) -> None:
    assert check_name(f" {name} ") == name


@pytest.mark.parametrize("written", ["{", "{}", "[1]", '[{"name": "Ann"}]', "\udcff"])
def test_a_damaged_file_is_refused(tmp_path: Path, written: str) -> None:
    (tmp_path / FILE).write_text(written, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match=r"annotators\.json"):
        Annotators.read(tmp_path)
