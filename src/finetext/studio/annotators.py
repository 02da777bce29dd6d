"""The people who may use a studio, each by a link with a token of their own.

The file `annotators.json` of a workspace has the SHA-256 of each token, never the token itself: who
reads the file cannot sign in. Tokens have 256 random bits, so a plain hash is enough.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, final

from finetext.core.errors import DataError
from finetext.storage.codec import from_json
from finetext.storage.files import write_json

FILE: Final = "annotators.json"
LONGEST_NAME: Final = 60
FILE_LABELS: Final = "file"
"""What stands in the place of an annotator for labels that a file has."""
_OWNER_ALONE: Final = 0o600


@final
@dataclass(frozen=True)
class Annotator:
    """A person with a token: `sha256` is its hash in hexadecimal, `made` seconds since 1970."""

    name: str
    sha256: str
    made: float
    is_owner: bool = False


@final
@dataclass(frozen=True)
class Person:
    """Who sends a request; the name is None as long as nobody has said it."""

    name: str | None
    is_owner: bool


def check_name(name: str) -> str:
    """Return the name of an annotator without spaces around it; raises a DataError."""
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise DataError(
            f"the name of an annotator has {len(name)} characters; give 1 to {LONGEST_NAME}"
        )
    if name.casefold() == FILE_LABELS:
        raise DataError(f"{name!r} stands for labels that files have; take another name")
    if not name.isprintable():
        raise DataError(
            f"the name of an annotator {name!r} has a character that cannot be shown; leave it out"
        )
    return name


def hashed(token: str) -> str:
    """Return the SHA-256 of a token in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


@final
class Annotators:
    """The annotators of a workspace; the first one is the owner."""

    def __init__(self, people: Iterable[Annotator] = ()) -> None:
        """Take the annotators."""
        self._people = tuple(people)
        self._of_run: dict[str, Person] = {}

    def __bool__(self) -> bool:
        return bool(self._people)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all annotators, the owner first."""
        return tuple(person.name for person in self._people)

    @property
    def owner(self) -> str:
        """The name of the owner."""
        return next((of.name for of in self._people if of.is_owner), self._people[0].name)

    @classmethod
    def read(cls, workspace: Path) -> Annotators:
        """Return the annotators of a workspace, none without the file; raises a DataError."""
        path = workspace / FILE
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}; restore or delete it") from None
        if not isinstance(listed, list):
            raise DataError(f"{path} is damaged: it is not a list; restore or delete it")
        return cls(from_json(Annotator, one, str(path), DataError) for one in listed)

    def with_links(
        self, workspace: Path, names: Iterable[str]
    ) -> tuple[Annotators, dict[str, str]]:
        """Return the annotators with a new token for each name, and the tokens by name.

        A name that is known gets another token, and its former one is void. The file is written.
        """
        tokens = {check_name(name): secrets.token_urlsafe(32) for name in names}
        people = {person.name: person for person in self._people}
        for name, token in tokens.items():
            is_owner = people[name].is_owner if name in people else not people
            people[name] = Annotator(name, hashed(token), round(time.time(), 3), is_owner)
        if tokens:
            path = workspace / FILE
            write_json(path, [asdict(person) for person in people.values()])
            path.chmod(_OWNER_ALONE)
        return Annotators(people.values()), tokens

    def owner_token(self) -> str:
        """Return a token of the owner that is valid as long as this object, and in no file."""
        token = secrets.token_urlsafe(32)
        self._of_run[hashed(token)] = Person(self.owner, True)
        return token

    def by_token(self, token: str) -> Person | None:
        """Return whose token it is; the time taken does not depend on the token."""
        return self._by_hash(hashed(token))

    def _by_hash(self, given: str) -> Person | None:
        stored: Mapping[str, Person] = {
            **{one.sha256: Person(one.name, one.is_owner) for one in self._people},
            **self._of_run,
        }
        found = None
        for own, person in stored.items():  # all of them, so that the place of one is not told
            if hmac.compare_digest(own.encode(), given.encode()):
                found = person
        return found
