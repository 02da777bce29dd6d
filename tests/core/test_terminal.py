"""No text controls a terminal: what would is shown escaped."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import finetext
from finetext.core.console import json_text
from finetext.core.display import html_text
from finetext.core.terminal import (
    EscapingStream,
    escaped,
    escaping_output,
    json_escaped,
    one_line,
    unescaped,
)
from finetext.core.text_columns import join
from finetext.core.wording import short

UNSAFE = (
    *map(chr, (*range(9), *range(11, 32), *range(0x7F, 0xA0))),
    *map(chr, (*range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0xD800, 0xE0041)),
)


@pytest.mark.parametrize("character", UNSAFE)
def test_what_controls_a_terminal_is_escaped(character: str) -> None:
    assert escaped(f"a{character}b") == f"a{ascii(character)[1:-1]}b"
    assert character not in short(f"a{character}b")
    assert character not in html_text(character)
    assert json.loads(json_escaped(json.dumps([character]))) == [character]
    assert json.loads(json_text({character: character})) == {character: character}


def test_other_texts_stay() -> None:
    family, persian = "\N{MAN}\u200d\N{WOMAN}", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    text = f"Größe\t1\n[red]:smile: {family} {persian} \u05d0\u200f \\x1b"
    assert escaped(text) == text
    assert one_line("a\tb\nc") == "a\\tb\\nc"


def test_texts_of_several_columns_have_a_line_each() -> None:
    assert escaped(join(["title", "bo\x1bdy"])) == "title\n bo\\x1bdy"


@given(st.text())
def test_escaping_twice_changes_nothing(text: str) -> None:
    assert escaped(escaped(text)) == escaped(text)
    assert not set(escaped(text)) & set(UNSAFE)


def test_everything_that_is_printed_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    with escaping_output():
        print("a\x1b[31mb")
        sys.stderr.writelines(["\u202ea\n", "b\n"])
        sys.stderr.write(warnings.formatwarning("c\x9b", UserWarning, "x\x07.py", 1))
        handler = logging.StreamHandler()
        handler.emit(logging.LogRecord("x", logging.ERROR, "", 1, "d\x1b]0;%s", ("\x07",), None))
        print("raw\x1b", file=unescaped(sys.stdout))
    seen = capsys.readouterr()
    assert seen.out == "a\\x1b[31mb\nraw\x1b\n"
    assert "\\u202ea\nb\n" in seen.err
    assert "x\\x07.py:1: UserWarning: c\\x9b" in seen.err
    assert "d\\x1b]0;\\x07\n" in seen.err
    print("\x1b", end="")
    assert capsys.readouterr().out == "\x1b"


def test_the_stream_has_what_it_wraps_has() -> None:
    stream = io.StringIO()
    wrapped = EscapingStream(stream)
    assert wrapped.write("\x1b") == 1
    assert wrapped.getvalue() == "\\x1b"
    assert not wrapped.isatty()


@pytest.mark.parametrize(
    "words",
    [
        ("tr\x1b[31main",), ("train", "--no\x1b[31m"), ("train", "no\x1b[31m.csv"),
        ("train", "no\x1b[31m.csv", "--debug"), ("train", "x", "--set", "split.\x1b[31m=1"),
        ("explore", "http://127.0.0.1:9/\x1b[31m", "--set", "data.private_addresses=true"),
        ("predict", "no\x1b[31m", "a \x9b text"), ("models", "--json", "\u202e"),
    ],
)  # fmt: skip
def test_a_process_escapes_its_errors(tmp_path: Path, words: tuple[str, ...]) -> None:
    source = str(Path(finetext.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "finetext", *words], cwd=tmp_path, capture_output=True,
        env={"PATH": "/usr/bin", "PYTHONPATH": source, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    said = done.stderr.decode()
    assert done.returncode == (1 if "--debug" in words else 2)
    assert "\\x1b[31m" in said or "\\u202e" in said
    assert not set(said + done.stdout.decode()) & set(UNSAFE)


def test_texts_of_rich_come_from_one_place() -> None:
    package = Path(finetext.__file__).parent
    for path in package.rglob("*.py"):
        source = path.read_text("utf-8")
        if path.name != "styled.py":
            assert "from rich.text" not in source, path
            assert "Console(" not in source or "core.styled import" in source, path


def printed(text: str, encoding: str) -> bytes:
    """What a stream of an encoding gets of a text that finetext prints."""
    file = io.BytesIO()
    stream = io.TextIOWrapper(file, encoding=encoding, newline="\n")
    print(text, end="", file=EscapingStream(stream), flush=True)
    return file.getvalue()


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii", "cp932", "latin-1"])
def test_what_finetext_shows_itself_fits_every_encoding(encoding: str) -> None:
    shown = printed("“good” → bad … ✓ ██ ──", encoding).decode(encoding)
    assert shown.isascii() or encoding != "ascii"
    assert "good" in shown
    assert "bad" in shown
    assert printed("“good” …", "ascii") == b'"good" ...'
    assert printed("“good” → …", "utf-8").decode() == "“good” → …"


def test_data_that_an_encoding_lacks_are_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        printed("caf\u00e9 “x”", "ascii")
    stream = EscapingStream(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    stream.write("“")
    with pytest.raises(UnicodeEncodeError):
        unescaped(stream).write("“")  # rows of a table are written as they are, or not at all


def test_a_way_to_encode_that_the_user_chose_stays() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    EscapingStream(stream)
    assert stream.errors == "backslashreplace"


def test_every_character_of_messages_has_a_plain_form() -> None:
    """Those of finetext's sources that are not words of other languages or for pages."""
    source = Path(finetext.__file__).parent
    places = [*source.glob("cli/*.py"), *source.glob("report/*.py"), *source.glob("core/*.py")]
    shown = {c for path in places for c in path.read_text(encoding="utf-8") if not c.isascii()}
    for letter in shown:
        assert letter.isalpha() or printed(letter, "ascii"), letter
