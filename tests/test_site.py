"""The site of the manual: every page is found, links lead somewhere, every name has a page."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import finetext
from finetext.core import registry

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def build_docs() -> ModuleType:
    return tool("build_docs")


@pytest.fixture(scope="module")
def recipe_tables() -> ModuleType:
    return tool("recipe_tables")


def write(root: Path, **pages: str) -> None:
    """A repository with these pages; `a__b` is the page a/b.md of docs/."""
    (root / "docs").mkdir(exist_ok=True)
    for name, text in pages.items():
        path = root / "docs" / f"{name.replace('__', '/')}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


INDEX = "# T\n\n## All pages\n\n**Guides** solve.\n\n- [One](how-to/one.md): text\n"


def test_only_a_site_is_replaced(build_docs: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert build_docs.main(["--out", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_every_link_leads_somewhere_and_every_page_is_in_the_index(build_docs: ModuleType) -> None:
    pytest.importorskip("nbconvert", reason="nbconvert is not installed")
    assert build_docs.Manual.of(ROOT).problems() == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[x](two.md)", "docs/how-to/one.md: there is no docs/how-to/two.md"),
        ("[x](#none)", "docs/how-to/one.md: docs/how-to/one.md has no heading #none"),
        ("[x](../../no.py)", "docs/how-to/one.md: there is no no.py"),
        ("[x](../../../away.md)", "docs/how-to/one.md: there is no ../away.md"),
        ("![x](no.png)", "docs/how-to/one.md: there is no docs/how-to/no.png"),
        ("[x](../index.md#gone)", "docs/how-to/one.md: docs/index.md has no heading #gone"),
    ],
)
def test_a_broken_link_is_named(
    build_docs: ModuleType, tmp_path: Path, line: str, problem: str
) -> None:
    write(tmp_path, index=INDEX, **{"how-to__one": f"# One\n\nsome text, {line}\n"})
    assert build_docs.Manual.of(tmp_path).problems() == [problem]


def test_links_in_code_and_to_addresses_are_none(build_docs: ModuleType, tmp_path: Path) -> None:
    text = "# One\n\n```\n[x](no.md)\n```\n\n`[x](no.md)` [x](https://example.org/no.md)\n"
    text += "\n## What `a` is: 1, 2\n\n[x](#what-a-is-1-2) and [x](../index.md#all-pages)\n"
    write(tmp_path, index=INDEX, **{"how-to__one": text})
    assert build_docs.Manual.of(tmp_path).problems() == []


def test_a_page_that_the_index_lacks_is_named(build_docs: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, index=INDEX, **{"how-to__one": "# One\n", "how-to__two": "# Two\n"})
    [problem] = build_docs.Manual.of(tmp_path).problems()
    assert problem == "docs/how-to/two.md is not linked in docs/index.md"


def test_the_navigation_is_the_index(build_docs: ModuleType, tmp_path: Path) -> None:
    text = f"{INDEX}- Python: [A](api/a.md),\n  and [B](api/b.md)\n"
    write(tmp_path, index=text, **{"how-to__one": "# One\n", "api__a": "# A\n", "api__b": "# B\n"})
    [part] = build_docs.Manual.of(tmp_path).sections()
    group = ("Python", [("A", "docs/api/a.md"), ("B", "docs/api/b.md")])
    assert part == ("Guides", [("One", "docs/how-to/one.md"), group])


def test_files_of_the_repository_come_along(build_docs: ModuleType, tmp_path: Path) -> None:
    one = "# One\n\n[all](../../NOTES.md#here), [part](../index.md), [script](../../run.py)\n"
    write(tmp_path, index=INDEX, **{"how-to__one": one})
    (tmp_path / "NOTES.md").write_text("# Notes\n\n## Here\n\n[one](docs/how-to/one.md)\n")
    (tmp_path / "run.py").write_text("print()\n")
    manual = build_docs.Manual.of(tmp_path)
    assert manual.problems() == []
    build_docs.stage(manual, tmp_path / "out")
    page = (tmp_path / "out" / "how-to" / "one.md").read_text()
    assert "(../repository/NOTES.md#here), [part](../index.md), [script](../repository" in page
    assert "(../how-to/one.md)" in (tmp_path / "out" / "repository" / "NOTES.md").read_text()
    assert (tmp_path / "out" / "repository" / "run.py").read_text() == "print()\n"


def test_a_bar_in_code_of_a_table_has_no_backslash(build_docs: ModuleType) -> None:
    text = "| a | b |\n|---|---|\n| `x \\| y` | c \\| d |\n\n`e \\| f`\n"
    shown = build_docs.rewritten("docs/one.md", text, {})
    assert shown == text.replace("`x \\| y`", "`x | y`")


def test_a_notebook_becomes_a_page_with_its_pictures(
    build_docs: ModuleType, tmp_path: Path
) -> None:
    pytest.importorskip("nbconvert", reason="nbconvert is not installed")
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "metadata": {}, "source": "# Reviews\n\n[one](../how-to/one.md)"},
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "source": "run.plot()",
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": "Right on 98 of 100\n"},
                {"output_type": "display_data", "metadata": {}, "data": {"image/png": "aGVsbG8="}},
            ],
        },
    ]
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    index = f"{INDEX}- [Reviews](tutorials/01-reviews.ipynb)\n"
    write(tmp_path, index=index, **{"how-to__one": "# One\n"})
    (tmp_path / "docs" / "tutorials").mkdir()
    (tmp_path / "docs" / "tutorials" / "01-reviews.ipynb").write_text(json.dumps(book))
    manual = build_docs.Manual.of(tmp_path)
    assert manual.problems() == []
    build_docs.stage(manual, tmp_path / "out")
    page = (tmp_path / "out" / "tutorials" / "01-reviews.md").read_text()
    assert page.startswith("# Reviews\n\n[The notebook of this page](01-reviews.ipynb)\n")
    assert "Right on 98 of 100" in page
    picture = re.search(r"!\[\w*\]\((.*png)\)", page)
    assert picture
    assert (tmp_path / "out" / "tutorials" / picture[1]).read_bytes() == b"hello"
    assert (tmp_path / "out" / "tutorials" / "01-reviews.ipynb").is_file()
    assert "(tutorials/01-reviews.md)" in (tmp_path / "out" / "index.md").read_text()


def test_every_public_name_is_on_one_page() -> None:
    named = [
        name
        for page in sorted((DOCS / "reference" / "api").glob("*.md"))
        for name in re.findall(r"^::: finetext\.(\w+)$", page.read_text(), re.MULTILINE)
    ]
    assert sorted(named) == sorted(finetext.__all__)


def test_the_recipe_page_has_every_table_and_key(recipe_tables: ModuleType) -> None:
    text = recipe_tables.recipe_tables()
    assert text in (DOCS / "reference" / "recipe.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## \[?\[?([\w.]+).*?\n(.*?)(?=^## |\Z)", text, re.S | re.M))
    for method in registry.names("methods"):
        assert f"methods.{method}" in parts
    keys = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| ", parts["methods.finetune"], re.M
    )
    assert ("epochs", "integer, above 0", "passes", "") in keys
    assert ("max_length", "integer, from 4", "tokens", "") in keys
    assert ("encoder", "string", "", '`"minilm"`') in keys
    assert "`checkpoint_seconds` | float, above 0 | seconds | `60.0`" in text


def test_a_key_without_a_description_is_an_error(recipe_tables: ModuleType) -> None:
    import dataclasses

    @dataclasses.dataclass
    class Undescribed:
        """Have one key.

        Attributes:
            known: what it is.
        """

        known: int = 1
        unknown: int = 2

    Undescribed.__annotations__ = {"known": int, "unknown": int}
    with pytest.raises(ValueError, match="does not describe unknown"):
        recipe_tables.rows(Undescribed)


def test_the_picture_of_a_report_can_be_made_again(
    finished: Path, browser: Browser, tmp_path: Path
) -> None:
    from PIL import Image

    made = tmp_path / "report.png"
    shown = tool("picture_of_report").draw(browser, finished, made)
    for part in ("How often it is right", "The weakest class", "What to do next", "all texts"):
        assert part in shown
    with Image.open(made) as picture, Image.open(DOCS / "pictures" / "report.png") as kept:
        assert picture.size == kept.size
        colors = picture.convert("RGB").getcolors(maxcolors=2**20)
        assert colors
        assert len(colors) > 100  # text and bars, not an empty page


def test_the_pictures_of_the_manual_are_those_that_are_shown(build_docs: ModuleType) -> None:
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md"]
    shown = {
        target
        for page in pages
        for target, _ in build_docs.links(page.relative_to(ROOT).as_posix(), page.read_text())
    }
    for picture in (DOCS / "pictures").iterdir():
        assert f"docs/pictures/{picture.name}" in shown
        assert picture.name in (ROOT / "CONTRIBUTING.md").read_text(), "say how it is made"
