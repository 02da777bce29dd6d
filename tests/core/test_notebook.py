"""What a call shows below a cell: one output, updated in place."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from finetext.core.console import heard
from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.notebook import NotebookOutput, notebook_output
from finetext.core.types import Finding


class Cell:
    """Keeps what was shown, and what replaced it."""

    def __init__(self) -> None:
        self.outputs: list[list[dict[str, str]]] = []

    def __call__(self, content: dict[str, str], **how: Any) -> Any:
        assert how in ({}, {"raw": True, "display_id": True})
        versions = [content]
        self.outputs.append(versions)
        return versions.append


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("finetext.core.notebook.time.monotonic", lambda: clock.seconds)
    return clock


def test_progress_is_one_output_that_is_updated_twice_a_second(clock: SimpleNamespace) -> None:
    cell = Cell()
    with notebook_output(cell) as output:
        for done in range(1000):
            clock.seconds += 0.01
            output.progress(f"finetune: {done} of 1,000", done, 1000)
    [versions] = cell.outputs
    assert 18 <= len(versions) <= 20
    assert (
        '<progress value="999" max="1000"></progress> finetune: 999 of' in versions[-2]["text/html"]
    )
    assert versions[-1] == {"text/html": "<div>10 s</div>", "text/plain": "10 s"}


def test_a_moment_of_work_shows_nothing(clock: SimpleNamespace) -> None:
    cell = Cell()
    with notebook_output(cell) as output:
        for _ in range(90):
            clock.seconds += 0.01
            output.progress("reading", 1, 0)
    assert cell.outputs == []


def test_warnings_are_seen_and_messages_are_folded(clock: SimpleNamespace) -> None:
    cell = Cell()
    with notebook_output(cell) as output:
        output.say("a <b>line</b>")
        output.warn("warning: look & see")
        output.progress("map: layout", 0, 0)
        clock.seconds += 2
        output.say("another\x1b line")
        assert "<progress></progress> map: layout" in cell.outputs[0][-1]["text/html"]
    [versions] = cell.outputs
    shown = versions[-1]["text/html"]
    assert shown.startswith("<div>warning: look &amp; see</div>\n<details><summary>2 messages, 2 s")
    assert "a &lt;b&gt;line&lt;/b&gt;\nanother\\x1b line</pre>" in shown
    assert "<progress" not in shown
    assert versions[-1]["text/plain"] == "warning: look & see\n2 messages, 2 s"


def test_the_output_ends_where_the_body_fails() -> None:
    cell = Cell()

    def fail(output: NotebookOutput) -> None:
        output.progress("fit", 1, 2)
        output.say("begun")
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"), notebook_output(cell) as output:
        fail(output)
    assert "<progress" in cell.outputs[0][0]["text/html"]
    assert "<progress" not in cell.outputs[0][-1]["text/html"]


def test_a_call_in_a_notebook_has_one_output(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, ipython = Cell(), ModuleType("IPython.display")

    def display(content: dict[str, str], **how: Any) -> Any:
        add = cell(content, **how)
        return SimpleNamespace(update=lambda newer, raw: add(newer))

    ipython.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with heard(None) as hears:
        hears.say("read 9 rows")
        hears.finding(Finding("warning", "few", "few rows"))
        hears.finding(Finding("note", "none", "not shown"))
        hears.progress(ProgressEvent("fit", 1, 2))
    [versions] = cell.outputs
    assert versions[-1]["text/plain"].startswith("warning: few rows\n1 message")
    with heard(Listener()) as silent:
        silent.say("nothing")
    assert len(cell.outputs) == 1


def test_a_text_is_made_in_a_notebook_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from finetext.report.rendering import printed

    ipython = ModuleType("IPython.display")
    ipython.display = pytest.fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert printed(lambda console: console.print("some words")) == "some words"
