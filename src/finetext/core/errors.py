"""The exceptions of finetext; each message says what is wrong, where, and what to do.

The command line prints the message alone and exits with status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from finetext.core.addresses import without_secrets

MOST_HOLDING: Final = 6
"""How many names that hold the one given, as macro_f1 holds f1, an error offers at most."""


class FinetextError(Exception):
    """Base of every error that a user can cause and fix; no message has secrets of addresses."""

    def __init__(self, *parts: object) -> None:
        """Compose the message."""
        super().__init__(*(without_secrets(of) if isinstance(of, str) else of for of in parts))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error be sent to another process: most are made of other parts than a message."""
        return _as_it_was, (type(self), self.args, self.__dict__)


def _as_it_was(kind: type[FinetextError], parts: tuple[Any, ...], more: Mapping[str, Any]) -> Any:
    error = kind.__new__(kind, *parts)
    error.__dict__.update(more)
    return error


class DataError(FinetextError):
    """The data cannot be read, or cannot be used as asked."""


class UnclearError(DataError):
    """The data can be read in several ways, and a setting of reading chooses one.

    Attributes:
        problem: what is unclear and where, without the option of the command line that chooses.
        setting: the field of `ReadSettings`.
        readings: value of the setting to examples of what it would read.
    """

    def __init__(
        self, problem: str, advice: str, setting: str, readings: Mapping[str, Sequence[str]]
    ) -> None:
        """Compose the message of problem and advice."""
        super().__init__(problem + advice)
        self.problem, self.setting = without_secrets(problem), setting
        self.readings = {str(value): tuple(of) for value, of in readings.items()}
        self._advice = advice

    def noting(self, more: str) -> UnclearError:
        """Return the error with something more about the problem."""
        return UnclearError(f"{self.problem}; {more}", self._advice, self.setting, self.readings)


class NoRowsError(DataError):
    """A table has no rows."""


class UnlabeledError(DataError):
    """The data lack labels, or all have the same one."""


class TooLargeError(FinetextError):
    """Reading would take more memory than it may, or than there is, or is nested too deeply.

    Attributes:
        problem: what is too large, without advice.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        """Compose the message of problem and advice."""
        super().__init__(problem + advice)
        self.problem = problem


class RecipeError(FinetextError):
    """A setting is wrong or contradicts another one."""


class UnknownNameError(FinetextError):
    """A name that is unknown; the message offers the nearest names."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], answer: str | None = None
    ) -> None:
        """Compose the message; with an answer, all of `known` are near, and it is for none."""
        end = nearest(name, sorted(known)) if answer is None else meant(known) or f"; {answer}"
        super().__init__(f"there is no {kind} named {name!r}{end}")


class MissingExtraError(FinetextError):
    """An optional package is not installed; the message has the command that installs it here."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        """Compose the message."""
        from finetext.core.installation import install_command

        super().__init__(
            f"{purpose} needs the package {package}, which is not installed; "
            f"run: {install_command(extra)}"
        )


class ModelError(FinetextError):
    """A model or encoder folder cannot be loaded or saved."""


class RunError(FinetextError):
    """A run folder is missing, incomplete or in the way."""


def nearest(name: str, known: list[str]) -> str:
    """Return the end of a sentence that offers the nearest names, or lists the known ones."""
    more = " and more" if len(known) > 20 else ""
    listed = f"; there are: {', '.join(known[:20])}{more}" if known else ""
    return near(name, known) or listed


def near(name: str, known: list[str]) -> str:
    """Return the end of a sentence that offers the nearest names; empty if none is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.6)
    if close:
        return meant(by_lower[match] for match in close)
    holding = [full for full in known if set(_parts(name)) <= set(_parts(full))]
    return meant(holding) if len(holding) <= MOST_HOLDING else ""


def _parts(name: str) -> list[str]:
    return name.lower().replace("-", "_").split("_")


def meant(names: Iterable[str]) -> str:
    """Return the end of a sentence that offers names; empty without any."""
    offered = list(map(repr, names))
    one_of = " or ".join(filter(None, (", ".join(offered[:-1]), *offered[-1:])))
    return f"; did you mean {one_of}?" if offered else ""
