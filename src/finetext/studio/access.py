"""Who may ask the studio for what: hosts, origins, tokens, and the size of what is sent.

A page of another site can make a browser send requests to this machine. Three checks stop it: the
name of the host (DNS rebinding), the origin of the page that sends a request (CSRF), and JSON as
the only type of a body, which no form of another site can send.

A frame and a link for a download cannot send a token. For them a browser gets a cookie that opens
GET alone, so that no other site can change anything by it.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final
from urllib.parse import unquote, urlsplit

from finetext.core.errors import DataError
from finetext.core.settings import MEBIBYTE, ServeSettings
from finetext.serving.requests import Refusal
from finetext.studio.annotators import Annotators, Person, check_name

if TYPE_CHECKING:
    from starlette.types import Scope

API: Final = "/api/"
PERSON: Final = "finetext.person"
"""The key of a request's scope with the `Person` who sent it."""
COOKIE: Final = "finetext-studio"
LIMITS: Final = ServeSettings(
    request_bytes=20 * MEBIBYTE, table_bytes=64 * MEBIBYTE, held_bytes=256 * MEBIBYTE,
    request_seconds=1800.0, arrival_seconds=60.0, stop_seconds=5,
)  # fmt: skip
"""The limits of a request; those with a file may have `table_bytes`."""
_WITH_FILE: Final = re.compile(
    r"/api/read|/api/projects|/api/projects/[^/]+/texts|/api/projects/[^/]+/runs/[^/]+/predict-file"
)
_METHODS: Final = ("GET", "POST", "PUT", "PATCH")
_MOST_SESSIONS: Final = 1_000
_NAME_AND_PORT: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^:@\[\]/]+))(?::[0-9]+)?")


def holds_file(path: str) -> bool:
    """Return whether the body of a request to a path may have a file in it."""
    return _WITH_FILE.fullmatch(path) is not None


def person_of(scope: Scope) -> Person:
    """Return who sent a request that `Access` has let through."""
    person: Person = scope[PERSON]
    return person


@final
class Access:
    """Lets requests through, and says who sends them; without annotators everyone is the owner."""

    def __init__(self, annotators: Annotators | None = None) -> None:
        """Take the annotators; if there are none, only names of this machine are answered."""
        self.annotators = annotators or Annotators()
        self._sessions: OrderedDict[str, Person] = OrderedDict()

    @property
    def needs_token(self) -> bool:
        """Whether requests need a token."""
        return bool(self.annotators)

    def check(self, scope: Scope) -> None:
        """Put who sends a request into its scope; raises a Refusal."""
        headers = _Headers(scope)
        if scope["method"] not in _METHODS:
            raise Refusal(405, "the studio takes GET, POST, PUT and PATCH", {"allow": _ALLOW})
        if not self.needs_token:
            _check_local(headers)
        is_asked = scope["path"].startswith(API)
        if scope["method"] != "GET":
            _check_origin(headers)
            _check_type(headers)
        elif is_asked:
            _check_site(headers)
        if is_asked:
            scope[PERSON] = self._person(scope, headers)

    def session_for(self, person: Person) -> str | None:
        """Return the header Set-Cookie for a person with a token; None if nobody needs one."""
        if not self.needs_token or person.name is None:
            return None
        session = secrets.token_urlsafe(32)
        self._sessions[session] = person
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return f"{COOKIE}={session}; Path=/api/; HttpOnly; SameSite=Strict"

    def _person(self, scope: Scope, headers: _Headers) -> Person:
        if not self.needs_token:
            return Person(headers.annotator, True)
        person, token = None, headers.token
        if token is not None:
            person = self.annotators.by_token(token)
        elif scope["method"] == "GET":
            person = self._sessions.get(headers.session)
        if person is None and scope["path"] == "/api/studio" and token is None:
            return Person(None, False)  # the page asks whether it needs a token
        if person is None:
            why = "there is no token" if token is None else "the token is not valid"
            challenge = {"www-authenticate": 'Bearer realm="finetext studio"'}
            ask = "open the link that you got from the owner of this studio, or ask for a new one"
            raise Refusal(401, f"{why}: {ask}", challenge)
        return person


_ALLOW: Final = ", ".join((*_METHODS, "HEAD"))


@final
class _Headers:
    """The headers of a request that access depends on; one that is sent twice is refused."""

    def __init__(self, scope: Scope) -> None:
        self._all: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            if name in _ONCE and name in self._all:
                raise Refusal(400, f"the header {name.decode()} is sent twice; send it once")
            self._all[name] = value.decode("latin-1").strip()

    def __getitem__(self, name: bytes) -> str | None:
        return self._all.get(name)

    @property
    def host(self) -> str:
        return (self[b"host"] or "").lower()

    @property
    def token(self) -> str | None:
        kind, _, token = (self[b"authorization"] or "").partition(" ")
        return token.strip() if kind.lower() == "bearer" and token.strip() else None

    @property
    def session(self) -> str:
        for pair in (self[b"cookie"] or "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == COOKIE:
                return value
        return ""

    @property
    def annotator(self) -> str | None:
        given = self[b"x-annotator"]
        if not given:
            return None
        try:
            return check_name(unquote(given, errors="strict"))
        except UnicodeDecodeError:
            raise Refusal(400, "the header X-Annotator is not percent-encoded UTF-8") from None
        except DataError as error:
            raise Refusal(400, str(error)) from None


_ONCE: Final = frozenset({
    b"host", b"origin", b"authorization", b"cookie", b"content-type", b"sec-fetch-site",
    b"x-annotator",
})  # fmt: skip


def _check_local(headers: _Headers) -> None:
    """Refuse names that are not of this machine; the port may be that of a tunnel or container."""
    form = _NAME_AND_PORT.fullmatch(headers.host)
    name = (form[1] or form[2]).rstrip(".") if form else ""
    if name == "localhost" or name.endswith(".localhost"):
        return
    try:
        if ipaddress.ip_address(name).is_loopback:
            return
    except ValueError:
        pass
    raise Refusal(
        403,
        f"this studio answers to localhost alone, not to the host {headers.host[:60]!r}; for "
        "others start it with --annotator NAME, so that it has tokens",
    )


def _check_origin(headers: _Headers) -> None:
    """Refuse what a page of another origin sends; programs other than browsers name none.

    The scheme is not compared: behind a proxy for TLS it is another one here.
    """
    _check_site(headers)
    origin = headers[b"origin"]
    if origin is not None and (not headers.host or _place(origin) != headers.host):
        raise _foreign(f"its Origin is {origin[:60]!r}, and the host is {headers.host[:60]!r}")


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _check_site(headers: _Headers) -> None:
    site = headers[b"sec-fetch-site"]
    if site not in (None, "same-origin", "none"):
        raise _foreign(f"Sec-Fetch-Site is {site[:60]!r}")


def _foreign(why: str) -> Refusal:
    return Refusal(403, f"another site sent this request ({why}); use the page of the studio")


def _check_type(headers: _Headers) -> None:
    kind = (headers[b"content-type"] or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "send JSON with the header Content-Type: application/json")
    if (headers[b"content-encoding"] or "identity").lower() != "identity":
        raise Refusal(415, "send the body as it is, without Content-Encoding")
