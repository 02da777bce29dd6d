"""Names of labels: spellings that are the same, and what to say of a name that is not known."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from shlex import quote
from typing import Final

from finetext.core.errors import DataError, near

_INVISIBLE: Final = dict.fromkeys(
    [0xAD, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
)
_JOINERS: Final = re.compile("[\u200c\u200d]")
"""Invisible too, but letters of Persian or Hindi and emoji change with them."""
_SPACES: Final = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_WHOLE: Final = re.compile(r"([-+]?\d+)\.0+")
_COMMA_NUMBER: Final = re.compile(r"[-+]?\d+,\d{1,2}")
_INTEGER: Final = re.compile(r"[-+]?\d+")
_TRUTHS: Final = {"true", "false"}
_NO_CLASS: Final = {"oos", "ood", "outofscope", "outofdomain"}
_ALIKE: Final = {
    "a": "\u0430\u03b1",
    "c": "\u0441",
    "e": "\u0435",
    "o": "\u043e\u03bf",
    "p": "\u0440\u03c1",
    "x": "\u0445",
    "y": "\u0443",
    "i": "\u0456",
    "j": "\u0458",
    "s": "\u0455",
    "A": "\u0410\u0391",
    "B": "\u0412\u0392",
    "E": "\u0415\u0395",
    "K": "\u041a\u039a",
    "M": "\u041c\u039c",
    "H": "\u041d\u0397",
    "O": "\u041e\u039f",
    "P": "\u0420\u03a1",
    "C": "\u0421",
    "T": "\u0422\u03a4",
    "X": "\u0425\u03a7",
    "Y": "\u0423\u03a5",
    "I": "\u0406\u0399",
    "J": "\u0408",
    "v": "\u03bd",
    "Z": "\u0396",
    "N": "\u039d",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2212",
    "'": "\u2018\u2019\u00b4`",
    '"': "\u201c\u201d",
}
"""Cyrillic and Greek letters, dashes and quotes that look like a character of ASCII."""
_SHOWN: Final = 10
_LISTED: Final = 20
_LOOK: Final = str.maketrans({other: one for one, of in _ALIKE.items() for other in of})


def clean(name: str) -> str:
    """Return a name in NFC, without characters that have no width and without outer spaces.

    Spaces that do not break (U+00A0) and of special widths become plain ones. The joiners U+200C
    and U+200D stay where they are between characters that are not ASCII.
    """
    if name.isascii():
        return name.strip()
    name = _SPACES.sub(" ", name.translate(_INVISIBLE))
    bare = _JOINERS.sub("", name)
    name = bare if bare.isascii() else name.strip("\u200c\u200d \t\r\n")
    return unicodedata.normalize("NFC", name).strip()


def key(name: str) -> str:
    """Return what all spellings of a label share: `true` of True, `1` of 1.0, else it clean."""
    name = clean(name)
    if (lower := name.lower()) in _TRUTHS:
        return lower
    return whole[1] if (whole := _WHOLE.fullmatch(name)) else name


def is_whole(name: str) -> bool:
    """Whether a name is a whole number, such as 3 or -1."""
    return _INTEGER.fullmatch(clean(name)) is not None


def pointed(name: str) -> str:
    """Return a number with a decimal comma, such as 2,5, with a point; other names as they are."""
    bare = clean(name)
    return bare.replace(",", ".") if _COMMA_NUMBER.fullmatch(bare) else name


def find(name: str, known: Collection[str]) -> str | None:
    """Return the known name that is the same, or the only one that is spelled otherwise.

    A decimal comma is a spelling too: 1,0 is 1.0 and 1. Where a cell may join several labels, ask
    for its parts first.
    """
    if name in known:
        return name
    same = [other for other in known if key(other) == key(name)]
    if not same and (number := pointed(name)) != name:
        return find(number, known)
    return same[0] if len(same) == 1 else None


def same_spellings(names: Iterable[str]) -> dict[str, str]:
    """Return each of some names with the one spelling to use for it.

    Names become clean. True, TRUE and true become `true` if more than one of them occurs, and 1.0
    becomes 1 if all names are whole numbers.
    """
    cleaned = {name: clean(name) for name in names}
    wholes = {name: whole[1] for name in cleaned.values() if (whole := _WHOLE.fullmatch(name))}
    if wholes and all(name in wholes or _INTEGER.fullmatch(name) for name in cleaned.values()):
        return {name: wholes.get(own, own) for name, own in cleaned.items()}
    truths = {name for name in cleaned.values() if name.lower() in _TRUTHS}
    if len({(name.islower(), name.isupper()) for name in truths}) > 1:
        return {name: own.lower() if own in truths else own for name, own in cleaned.items()}
    return cleaned


def look(name: str) -> str:
    """Return what names that look alike share: no case, no spaces, letters of one alphabet."""
    plain = _JOINERS.sub("", unicodedata.normalize("NFKC", clean(name).translate(_LOOK)))
    return "".join(plain.split()).casefold()


def unknown(name: str, known: Collection[str]) -> str:
    """Return the message on a label that is none of the known ones, with the nearest of them."""
    shown = f"the label {name!r} is not one of: {', '.join(list(known)[:_LISTED])}"
    shown += " and more" if len(known) > _LISTED else ""
    if alike := [other for other in known if look(other) == look(name)]:
        other = alike[0]
        only_case = clean(other).casefold() == clean(name).casefold() != clean(name)
        if only_case:
            return f"{shown}; it differs from {other!r} in case only: write it the same"
        return (
            f"{shown}; it looks like {other!r}, but has other characters: {name!a} is not "
            f"{other!a}: write it the same"
        )
    if says_no_class(name):
        return f"{shown}; if it marks texts of no class: --out-of-scope-label {quote(name)}"
    return shown + near(name, list(known))


def says_no_class(name: str) -> bool:
    """Return whether a label sounds like that of texts that belong to no class."""
    return "".join(filter(str.isalpha, name)).casefold() in _NO_CLASS


def check_positive(label: str, names: Collection[str], multilabel: bool) -> None:
    """Raise a DataError if a label cannot be the positive class of two, with the labels there."""
    shown = ", ".join(map(repr, list(names)[:_SHOWN]))
    there = f"{shown}{', ...' if len(names) > _SHOWN else ''}"
    instead = "leave it out, and read the scores of each label instead"
    if multilabel:
        raise DataError(
            f"the positive class {label!r} has no meaning here: a row can have several labels "
            f"({there}); {instead}"
        )
    if len(names) != 2:
        raise DataError(
            f"the positive class {label!r} needs data with two labels, and these have {len(names)} "
            f"({there}); {instead}"
        )
    if label not in names:
        raise DataError(
            f"the positive class {label!r} is none of the labels, which are {there}"
            + (near(label, list(names)) or "; name one of them")
        )
