"""Build the site of the manual from docs/, strictly: a broken link, anchor or page is an error.

    python tools/build_docs.py            # writes site/
    python tools/build_docs.py --links    # checks the links alone

The pages are copied into build/manual first, where notebooks become pages, and files of the
repository that pages link to come along. The navigation is the list of links in docs/index.md.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
STAGE: Final = Path("build/manual")
INDEX: Final = "docs/index.md"
BESIDE: Final = "repository"
"""Folder of the site for files of the repository that are no pages of the manual."""
CHECKED: Final = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
"""Files whose links are checked, although they are not in docs/."""
LINK: Final = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()([^()\s]+)(\))")
CODE: Final = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
FENCE: Final = re.compile(r"^ {0,3}(```+|~~~+)")


@dataclass
class Manual:
    """The pages by their path in the repository, and what else they link to.

    Attributes:
        root: the repository.
        pages: text of each page in Markdown by its path; notebooks are among them.
        pictures: pictures of notebooks by their path.
        files: files that are no pages, by their path.
    """

    root: Path
    pages: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, root: Path) -> Manual:
        """Read the pages of docs/, and all files that they or the README lead to."""
        manual = cls(root)
        for path in sorted((root / "docs").rglob("*.md")):
            manual.add(path.relative_to(root).as_posix())
        for path in sorted((root / "docs").rglob("*.ipynb")):
            if ".ipynb_checkpoints" not in path.parts:
                manual.add(path.relative_to(root).as_posix())
        for name in CHECKED:
            manual.add(name)
        return manual

    def add(self, path: str) -> None:
        """Read a file, if it is not there yet, and those that it links to."""
        if path in self.pages or path in self.files or not (self.root / path).is_file():
            return
        if path.endswith(".ipynb"):
            self.pages[path] = self._notebook(path)
            self.files.add(path)
        elif path.endswith(".md"):
            self.pages[path] = (self.root / path).read_text(encoding="utf-8")
        else:
            self.files.add(path)
            return
        for target, _ in links(path, self.pages[path]):
            self.add(target)

    def _notebook(self, path: str) -> str:
        """Return a notebook as Markdown, with a link to the file; keep its pictures."""
        from nbconvert import MarkdownExporter

        name = Path(path).stem
        text, resources = MarkdownExporter().from_filename(  # type: ignore[no-untyped-call]
            str(self.root / path), {"output_files_dir": f"{name}_files", "unique_key": name}
        )
        for picture, content in resources["outputs"].items():
            self.pictures[f"{Path(path).parent.as_posix()}/{picture}"] = content
        head, line, rest = text.strip().partition("\n")
        return f"{head}{line}\n[The notebook of this page]({name}.ipynb#file)\n{rest}\n"

    def problems(self) -> list[str]:
        """Return the links that lead nowhere, and the pages that no reader finds."""
        found = []
        for page, text in self.pages.items():
            for target, anchor in links(page, text):
                if target in self.pictures:
                    continue
                if target.startswith("../") or not (self.root / target).exists():
                    found.append(f"{page}: there is no {target}")
                elif anchor and target.endswith(".md") and anchor not in self.anchors(target):
                    found.append(f"{page}: {target} has no heading #{anchor}")
        listed = {path for _, entries in self.sections() for _, path in flat(entries)}
        found += [
            f"{page} is not linked in {INDEX}"
            for page in self.pages
            if page.startswith("docs/") and page not in listed | {INDEX}
        ]
        return found

    def anchors(self, page: str) -> set[str]:
        """Return the anchors of the headings of a page, as GitHub and the site make them."""
        found = set()
        for line in outside_code(self.pages[page]):
            if heading := re.match(r"#+ +(.+?) *#*$", line):
                text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
                found.add(re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-"))
        return found

    def sections(self) -> list[tuple[str, list[Any]]]:
        """Return the parts of the list in docs/index.md: title, and entries of title and path."""
        text = self.pages[INDEX].partition("\n## All pages\n")[2]
        found: list[tuple[str, list[Any]]] = []
        for line in re.sub(r"\n  +", " ", text).splitlines():
            if title := re.match(r"\*\*(.+?)\*\*", line):
                found.append((title[1], []))
            elif line.startswith("- "):
                entries = [(match[1][1:-2], self._path(match[2])) for match in LINK.finditer(line)]
                name, colon, _ = line[2:].partition(": [")
                found[-1][1].extend([(name, entries)] if colon and "[" not in name else entries)
        return found

    def _path(self, link: str) -> str:
        return os.path.normpath(f"docs/{link}")


def flat(entries: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield title and path of the entries of a part, those of groups included."""
    for title, of in entries:
        yield from flat(of) if isinstance(of, list) else ((title, of),)


def outside_code(text: str) -> Iterator[str]:
    """Yield the lines of a page; those in fences are empty, and so are spans of code."""
    fence = None
    for line in text.splitlines():
        mark = FENCE.match(line)
        if fence is None and mark:
            fence = mark[1]
        elif fence is not None:
            if mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = None
        else:
            yield line
            continue
        yield ""


def links(page: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield path in the repository and anchor of each link of a page that is no address."""
    for line in outside_code(text):
        for match in LINK.finditer(CODE.sub("", line)):
            yield from resolved(page, match[2])


def resolved(page: str, link: str) -> Iterator[tuple[str, str]]:
    """Yield path in the repository and anchor of a link, or nothing for an address."""
    path, _, anchor = link.partition("#")
    if not re.match(r"[a-z]+:", link):
        yield (os.path.normpath(f"{Path(page).parent}/{path}") if path else page), anchor


def place(path: str) -> str:
    """Return where the site has a file of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{BESIDE}/{path}"


def page_of(path: str) -> str:
    """Return where the site has a page."""
    return re.sub(r"\.ipynb$", ".md", place(path))


def rewritten(page: str, text: str, pages: Mapping[str, str]) -> str:
    """Return a page whose links lead to the places of the site."""

    def put(match: re.Match[str]) -> str:
        for target, anchor in resolved(page, match[2]):
            is_file = target not in pages or anchor == "file"
            to = place(target) if is_file else page_of(target)
            there = os.path.relpath(to, Path(page_of(page)).parent)
            return f"{match[1]}{there}{f'#{anchor}' if anchor and not is_file else ''}{match[3]}"
        return match[0]

    lines = text.splitlines()
    for number, shown in enumerate(outside_code(text)):
        if shown:
            lines[number] = LINK.sub(put, lines[number])
        if shown.startswith("|"):  # GitHub wants bars in code escaped, Python-Markdown does not
            lines[number] = CODE.sub(lambda code: code[0].replace(r"\|", "|"), lines[number])
    return "\n".join(lines) + "\n"


def stage(manual: Manual, folder: Path) -> None:
    """Write the pages and files for the site into a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for page, text in manual.pages.items():
        path = folder / page_of(page)
        path.parent.mkdir(parents=True, exist_ok=True)
        # What is beside the manual is long: the search finds the pages of the manual alone.
        head = "" if page.startswith("docs/") else "---\nsearch:\n  exclude: true\n---\n\n"
        path.write_text(head + rewritten(page, text, manual.pages), encoding="utf-8")
    for file in manual.files:
        path = folder / place(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manual.root / file, path)
    for picture, content in manual.pictures.items():
        path = folder / place(picture)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def configuration(manual: Manual) -> str:
    """Return zensical.toml with the navigation, for a folder that has the pages in docs/."""
    import tomli_w

    def entries(of: list[Any]) -> list[dict[str, Any]]:
        return [{title: entries(to) if isinstance(to, list) else page_of(to)} for title, to in of]

    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    beside = [
        (re.sub(r"#+ ", "", text.partition("\n")[0]), page)
        for page, text in manual.pages.items()
        if not page.startswith("docs/")
    ]
    nav: list[dict[str, Any]] = [{"Start": "index.md"}]
    nav += [{title: entries(of)} for title, of in [*manual.sections(), ("Repository", beside)]]
    config["project"] |= {"docs_dir": "docs", "site_dir": "site", "nav": nav}
    config["project"]["plugins"]["mkdocstrings"]["handlers"]["python"]["paths"] = [
        str(ROOT / "src")
    ]
    return tomli_w.dumps(config)


def build(manual: Manual, folder: Path, out: Path) -> int:
    """Build the site of a manual by way of a folder; return the exit status.

    A warning of the program that builds it is a failure, and leaves the site as it was.
    """
    stage(manual, folder / "docs")
    config = folder / "zensical.toml"
    config.write_text(configuration(manual), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(config)]
    status = subprocess.run(command, cwd=folder, check=False).returncode
    if status == 0:
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(folder / "site", out)
    return status


def main(words: list[str] | None = None) -> int:
    """Check the links, then build the site; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--links", action="store_true", help="check the links alone")
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder of the site")
    asked = parser.parse_args(words)
    if asked.out.exists() and not (asked.out / "search.json").is_file():
        print(f"{asked.out} is no site that was built before; remove it, or name another folder",
              file=sys.stderr)  # fmt: skip
        return 1
    manual = Manual.of(ROOT)
    if problems := manual.problems():
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    if asked.links:
        return 0
    return build(manual, ROOT / STAGE, asked.out)


if __name__ == "__main__":
    sys.exit(main())
