"""What a server lacks, by the requests that it refuses."""

from __future__ import annotations

from finetext.methods.server_features import Features

ALL = frozenset({"logprobs", "schema", "temperature", "max_tokens"})


def test_what_an_error_names_is_left_out_else_what_is_most_often_missing() -> None:
    of = Features()
    assert of.refused("unknown field: temperature", ALL)
    assert of.lacking == {"temperature"}
    assert of.refused("no", ALL - of.lacking)
    assert of.refused("no", ALL - of.lacking)
    assert of.lacking == {"temperature", "logprobs", "schema"}


def test_what_was_answered_once_is_not_lacking() -> None:
    of = Features()
    of.had(ALL)
    assert not of.refused("the schema of logprobs", ALL)
    assert of.refused("no", ALL | {"seed"})
    assert of.lacking == {"seed"}


def test_a_request_is_sent_again_without_what_another_one_found_to_be_lacking() -> None:
    of = Features()
    assert of.refused("no", ALL)
    of.had(ALL - of.lacking)
    assert of.refused("no", ALL)
    assert not of.refused("no", ALL - of.lacking)
    assert of.lacking == {"logprobs"}


def test_nothing_is_lacking_where_a_request_is_refused_anyway() -> None:
    of = Features()
    while of.refused("too long", ALL - of.lacking):
        pass
    assert of.lacking == frozenset()
