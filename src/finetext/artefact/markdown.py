"""Words of users in Markdown: labels and names as they are, whatever signs they are made of."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

_LONGEST: Final = 200
_SIGNS: Final = re.compile(r"([\\`*_{}\[\]#|<>&~$@^]|:(?=\S))")
"""Those that mean something within a line; what means something at its start is never there."""
_HIDDEN: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS: Final = "\u200c\u200d"
"""What emoji and some scripts are joined by, which is hidden but harmless."""


def escaped(value: Any) -> str:
    """A value as Markdown that shows it, in one line of at most 200 characters.

    Signs that Markdown or HTML would take for their own are escaped, line breaks become spaces, and
    signs that cannot be seen, such as those that turn the direction of the text, are left out.
    """
    visible = "".join(map(_visible, str(value)))
    line = " ".join(visible.split())
    if len(line) > _LONGEST:
        line = line[: _LONGEST - 1] + "…"
    return _SIGNS.sub(r"\\\1", line)


def _visible(sign: str) -> str:
    if sign.isspace():
        return " "
    return sign if sign in _JOINERS or unicodedata.category(sign) not in _HIDDEN else ""
