"""Run the HTTP service: bind, announce the address, answer until Ctrl-C, drain, stop."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
import string
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from finetext.core.errors import MissingExtraError, RecipeError
from finetext.core.settings import ServeSettings
from finetext.core.text_columns import join

if TYPE_CHECKING:
    import uvicorn

    from finetext.core.contracts import Classifier


TOKEN: Final = "FINETEXT_TOKEN"
HOST: Final = "127.0.0.1"
PORT: Final = 8000
_print_url: Final = partial(print, flush=True)
_OF_TOKENS: Final = frozenset(string.ascii_letters + string.digits + string.punctuation)


def serve(
    model: str | Path | Classifier,
    host: str = HOST,
    port: int = PORT,
    token: str | None = None,
    settings: ServeSettings | None = None,
    ready: Callable[[str], None] = _print_url,
) -> None:
    """Serve a model over HTTP until Ctrl-C or SIGTERM; accepted requests are finished.

    Args:
        model: a model folder, a run folder for its best model, "hub:owner/name", or a classifier.
        host: address to listen on; the default, 127.0.0.1, is reachable from this machine only.
        port: 8000 by default; 0 takes a free one.
        token: what clients must send as `Authorization: Bearer TOKEN`; none by default.
        settings: limits; see `ServeSettings`.
        ready: called with the URL when clients can connect; prints it by default.

    Raises:
        MissingExtraError: fastapi, uvicorn or prometheus-client is not installed.
        ModelError: there is no such model, or it is damaged.
        RunError: the run is damaged.
        RecipeError: it cannot listen there, or the token is not valid.
    """
    from finetext.core.contracts import Classifier
    from finetext.serving.model import about

    check_installed()
    if token is not None:
        check_token(token)
    with bound(host, port) as listening:
        if isinstance(model, Classifier):
            answer(listening, model, {"name": model.kind}, token, settings, ready)
        else:
            answer(listening, Classifier.load(model), about(model), token, settings, ready)


def answer(
    listening: socket.socket,
    classifier: Classifier,
    about: Mapping[str, Any],
    token: str | None,
    settings: ServeSettings | None,
    ready: Callable[[str], None],
) -> None:
    """Answer on a bound socket; see `serve`."""
    from finetext.serving.app import make_app
    from finetext.serving.batching import Ask
    from finetext.serving.model import ServedModel

    settings = settings or ServeSettings()
    served = ServedModel(classifier)
    text = join(["Warm-up."] * max(1, len(classifier.scheme.text_columns)))
    served.scores([Ask(text), Ask(text, logits=True)])  # a broken model fails now
    is_local = not is_open_to_others(listening)
    server = make_server(make_app(served, settings, token, about, is_local), settings)
    try:
        listening.listen(settings.connections)
    except OSError as error:  # another server bound the port at the same time
        host, port = listening.getsockname()[:2]
        raise RecipeError(_unbound(host, port, error)) from None
    ready(address(listening))
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        if server.force_exit:
            raise


def make_server(app: Any, settings: ServeSettings) -> uvicorn.Server:
    """Return uvicorn with the limits that the app cannot enforce."""
    import uvicorn

    from finetext.serving.protocol import LARGEST_HEAD, PatientProtocol

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    protocol = cast(Any, partial(PatientProtocol, settings=settings))
    config = uvicorn.Config(
        app, http=protocol, ws="none", loop="asyncio", lifespan="on", log_config=None,
        access_log=False, server_header=False, proxy_headers=False,
        timeout_keep_alive=settings.idle_seconds,
        timeout_graceful_shutdown=settings.stop_seconds,
        h11_max_incomplete_event_size=LARGEST_HEAD,
    )  # fmt: skip
    return uvicorn.Server(config)


def check_installed() -> None:
    """Raise a `MissingExtraError` if a package of the extra `serve` is missing."""
    from importlib.util import find_spec

    for package in ("fastapi", "uvicorn", "prometheus-client"):
        if find_spec(package.replace("-", "_")) is None:
            raise MissingExtraError("serving a model", package, "serve")


def bound(host: str, port: int) -> socket.socket:
    """A socket with its address, which nobody can connect to yet."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise RecipeError(f"--host {host}: no such address on this machine") from None
    family, kind, protocol, _, place = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
    except OSError as error:
        listening.close()
        raise RecipeError(_unbound(host, port, error)) from None
    return listening


def _unbound(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken. Choose another with --port, or 0 for a free one"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} needs privileges. Choose one from 1024 up with --port"
    return f"--host {host}: cannot listen: {error.strerror}"


def address(listening: socket.socket) -> str:
    """Return the URL of a bound socket, as this machine reaches it."""
    place, port = _ip(listening), listening.getsockname()[1]
    local, form = ("127.0.0.1", "http://{}:{}") if place.version == 4 else ("::1", "http://[{}]:{}")
    return form.format(local if place.is_unspecified else place, port)


def is_open_to_others(listening: socket.socket) -> bool:
    """Return whether other machines can connect."""
    return not _ip(listening).is_loopback


def _ip(listening: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0])


def find_token(path: Path | None) -> str | None:
    """The token in a file, or else in the environment variable FINETEXT_TOKEN; None without."""
    if path is None:
        given = os.environ.get(TOKEN)
        return None if given is None else check_token(given.strip(), TOKEN)
    where = f"--token-file {path}"
    try:
        return check_token(path.read_text(encoding="utf-8").strip(), where)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{where} cannot be read: {error}") from None


def check_token(token: str, where: str = "token") -> str:
    """Return the token; raises a RecipeError if no header can hold it."""
    if not token or not set(token) <= _OF_TOKENS:
        form = "one line of letters, digits and punctuation, without spaces"
        raise RecipeError(f"{where}: a token is {form}")
    return token
