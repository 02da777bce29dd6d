"""Code blocks of the manual, and the marks that say why some are not run.

A mark is an HTML comment on the line before the block; a blank line may be between the two:

    <!-- not run: REASON -->         REASON is one of `REASONS`
    <!-- syntax -->                  commands with placeholders; their options are checked
    <!-- run by: tests/test_x.py --> another test runs it
    <!-- output -->                  shown output of some other run
    <!-- output of the above -->     what the block before prints, which is checked
    <!-- file: NAME -->              written to that file before the blocks of the page run
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
REASONS = (
    "network", "GPU", "two machines", "another library", "docker", "a server that stays",
    "a cluster", "changes the shell",
)  # fmt: skip
"""Why a block cannot run in a test."""
WHOLE_PAGES = {
    "README.md": "tests/test_readme.py",
    "docs/tutorials/five-ways.md": "tests/test_five_ways.py",
    "docs/how-to/troubleshooting.md": "tests/docs/test_troubleshooting.py",
}
"""Pages whose commands, Python and texts (```text) a test of their own runs."""
SHELL = {"bash", "sh", "console"}
PYTHON = {"python", "py"}
DATA = {"toml", "json", "yaml"}
PROGRAMS = (
    "finetext", "make", "pip", "printf", ".venv/bin/python", ".venv/bin/pre-commit", "torchrun",
    "curl", "docker", "sbatch", "serve", "python", "accelerate",
)  # fmt: skip
"""First words of blocks of commands that name no language."""
_FENCE = re.compile(r"^( *)(`{3,}|~{3,}) *([\w+-]*)[^`]*$")
_CONTAINER = re.compile(r"^ {0,3}(?:[-*+]|\d+[.)]) |^(?:!!!|\?\?\?\+?|===) ")
_COMMENT = re.compile(r"^ *<!-- (.+?) -->$")
_MARK = re.compile(r"not run: |run by: |file: |output$|output of the above$|syntax$")


@dataclass(frozen=True)
class Block:
    """A block of code: its page and line, its language ("" if it names none), text and mark."""

    page: Path
    line: int
    language: str
    text: str
    mark: str = ""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def kind(self) -> str:
        """Return "shell", "python", "data", or "" for what can only be shown."""
        if self.language in PYTHON:
            return "python"
        if self.language in DATA:
            return "data"
        words = self.text.split()
        is_command = not self.language and words and words[0] in PROGRAMS
        return "shell" if self.language in SHELL or is_command else ""

    @property
    def other_test(self) -> str:
        """The file of the test that runs it; "" if this one does."""
        if self.mark.startswith("run by: "):
            return self.mark.removeprefix("run by: ")
        whole = WHOLE_PAGES.get(str(self.page.relative_to(ROOT)), "")
        return whole if self.kind in ("shell", "python") or self.language == "text" else ""

    @property
    def is_run(self) -> bool:
        """Whether the test of the pages runs it."""
        known = not self.mark or self.mark.startswith("file: ")
        return bool(self.kind) and known and not self.other_test

    @property
    def file(self) -> str:
        """The file that it is written to; "" for none."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else ""

    def problem(self) -> str:
        """Return what is wrong with its mark, or with its lack of one; "" if nothing is."""
        if (test := self.other_test) and not (ROOT / test).is_file():
            return f"there is no test {test}"
        if self.mark.startswith("not run: ") and self.mark.removeprefix("not run: ") not in REASONS:
            return f"{self.mark!r} is no reason; use one of {', '.join(REASONS)}"
        if self.mark == "syntax" and self.kind != "shell":
            return "only commands have a syntax to check"
        if not self.mark and not self.kind and not self.other_test:
            return "no test runs it, and no mark says why"
        return ""

    def lines(self) -> list[str]:
        """Return the commands of a shell block, without comments, continued lines joined."""
        joined = self.text.replace("\\\n", " ").splitlines()
        return [line for line in joined if shlex.split(line, comments=True)]

    def commands(self) -> list[list[str]]:
        """Return the words of each line that begins with `finetext`."""
        lines = self.lines() if self.kind == "shell" else []
        found = [shlex.split(line, comments=True) for line in lines]
        return [words[1:] for words in found if words[0] == "finetext"]


def pages() -> list[Path]:
    """Return the README, CONTRIBUTING, and all pages of the manual."""
    manual = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *manual]


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced and the indented blocks of a page, in order."""
    return list(_blocks(page, page.read_text(encoding="utf-8").splitlines()))


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    number, inside = 0, False
    while number < len(lines):
        line = lines[number]
        if fence := _FENCE.match(line):
            ends = (n for n in range(number + 1, len(lines)) if lines[n].strip() == fence[2])
            end = next(ends, len(lines))
            text = "\n".join(of.removeprefix(fence[1]) for of in lines[number + 1 : end])
            yield Block(page, number + 1, fence[3], text, _mark(lines, number))
            number = end + 1
            continue
        before = lines[number - 1].strip() if number else ""
        if _CONTAINER.match(line) and (inside or not before):
            inside = True
        elif line[:1].strip() and not before:
            inside = False
        if line.startswith("    ") and line.strip() and not inside and not _text(before):
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or _goes_on(lines, end)):
                end += 1
            text = "\n".join(of[4:] for of in lines[number:end])
            yield Block(page, number + 1, "", text, _mark(lines, number))
            number = end
            continue
        number += 1


def _goes_on(lines: list[str], number: int) -> bool:
    """Whether a blank line is within an indented block."""
    return (
        not lines[number].strip()
        and lines[number + 1 : number + 2] != []
        and (lines[number + 1].startswith("    "))
    )


def _text(line: str) -> bool:
    """Whether a line is one of a paragraph, which an indented line would continue."""
    return bool(line) and not _COMMENT.match(line) and not line.startswith("```")


def _mark(lines: list[str], number: int) -> str:
    """Return the mark on the line before, or the one before that if that is blank; "" if none."""
    for line in reversed(lines[max(0, number - 2) : number]):
        if found := _COMMENT.match(line):
            return found[1] if _MARK.match(found[1]) else ""
        if line.strip():
            return ""
    return ""
