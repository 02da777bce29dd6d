"""Run the HTTP service: bind, announce the address, answer until Ctrl-C, drain, stop."""

from __future__ import annotations

import errno
import faulthandler
import ipaddress
import logging
import math
import os
import socket
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from finetext.core.errors import FinetextError, MissingExtraError, ModelError, RecipeError
from finetext.core.settings import ServeSettings
from finetext.core.wording import counted, short

if TYPE_CHECKING:
    import uvicorn

    from finetext.core.contracts import Classifier
    from finetext.serving.model import ServedModel


TOKEN: Final = "FINETEXT_TOKEN"
HOST: Final = "127.0.0.1"
PORT: Final = 8000
_print_url: Final = partial(print, flush=True)
SHORTEST_TOKEN: Final = 16
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
        settings: limits, workers and the form of the log; see `ServeSettings`.
        ready: called with the URL when clients can connect; prints it by default.

    Raises:
        MissingExtraError: fastapi, uvicorn or prometheus-client is not installed.
        ModelError: there is no such model, it is damaged, or it hangs or fails on everything while
            it is served.
        RunError: the run is damaged.
        RecipeError: it cannot listen there, or the token is not valid.
    """
    from finetext.core.contracts import Classifier

    check_installed()
    from finetext.runs.load import load_for
    from finetext.serving.model import about
    from finetext.serving.workers import Task, supervise

    if token is not None:
        check_token(token)
    settings = settings or ServeSettings()
    if settings.workers and isinstance(model, Classifier):
        raise RecipeError("serve.workers: workers load a model folder; save the classifier first")
    with bound(host, port) as listening:
        if settings.workers:
            task = Task(str(model), settings, token)
            supervise(listening, task, lambda address, *facts: ready(address))
        elif isinstance(model, Classifier):
            answer(listening, model, {"name": model.kind}, token, settings, ready)
        else:
            classifier = load_for("latency", model)
            answer(listening, classifier, about(model), token, settings, ready)


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
    from finetext.serving.model import ServedModel
    from finetext.serving.tracing import tracer_from_environment

    settings, tracer = settings or ServeSettings(), tracer_from_environment()
    served, is_local = ServedModel(classifier), not is_open_to_others(listening)
    app = make_app(served, settings, token, about, is_local, tracer)
    server, batcher = make_server(app, settings), app.state.batcher
    with ending_if_silent(batcher.longest) as batcher.beat:
        _check(served)
        try:
            listening.listen(settings.connections)
        except OSError as error:  # another server bound the port at the same time
            host, port = listening.getsockname()[:2]
            raise RecipeError(_unbound(host, port, error)) from None
        batcher.ended = partial(setattr, server, "should_exit", True)
        ready(address(listening))
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            if server.force_exit:
                raise
    if batcher.fault is not None:
        raise ModelError(f"{batcher.fault}, so the server has ended; start it again")


def _check(served: ServedModel) -> None:
    """Raise a ModelError if a model fails on every text."""
    try:
        served.check()
    except (FinetextError, MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also the panic of a native library
        reason = short(f"{type(error).__name__}: {error}", 200)
        raise ModelError(f"the model cannot predict, so it is not served: {reason}") from error


@contextmanager
def ending_if_silent(seconds: float) -> Iterator[Callable[[], None]]:
    """End the process if what is yielded is not called again within seconds and a few more.

    This holds even if native code keeps all Python threads from running. The process ends with
    status 1 and prints where each thread is, as it does if native code aborts. On macOS nothing
    ends it, as time goes on there while the machine sleeps.
    """
    later, output, begun = seconds * 1.1 + 1, sys.__stderr__, -math.inf

    def beat() -> None:
        nonlocal begun
        is_new = monotonic() - begun < seconds / 20  # starting the clock again costs a thread
        if output is None or is_new or sys.platform == "darwin":
            return
        begun = monotonic()
        with suppress(OSError, ValueError, RuntimeError):
            faulthandler.dump_traceback_later(later, exit=True, file=output)

    was_enabled = faulthandler.is_enabled()
    if output is not None and not was_enabled:
        with suppress(OSError, ValueError):
            faulthandler.enable(output)
    beat()
    try:
        yield beat
    finally:
        faulthandler.cancel_dump_traceback_later()
        if not was_enabled:
            faulthandler.disable()


def make_server(app: Any, settings: ServeSettings) -> uvicorn.Server:
    """Return uvicorn with the limits that the app cannot enforce."""
    import uvicorn

    from finetext.serving.protocol import LARGEST_HEAD, OneServer, PatientProtocol

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    server: uvicorn.Server
    is_stopping = lambda: server.should_exit  # noqa: E731
    protocol = partial(
        PatientProtocol, settings=settings, clients=Counter(), is_stopping=is_stopping
    )
    config = uvicorn.Config(
        app, http=cast(Any, protocol), ws="none", loop="asyncio", lifespan="on", log_config=None,
        access_log=False, server_header=False, proxy_headers=False,
        timeout_keep_alive=settings.idle_seconds,
        timeout_graceful_shutdown=settings.stop_seconds,
        h11_max_incomplete_event_size=LARGEST_HEAD,
    )  # fmt: skip
    server = uvicorn.Server(config) if settings.workers else OneServer(config)
    app.state.service.is_stopping = is_stopping
    return server


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
    """Return the token; raises a RecipeError if no header can hold it or if it can be guessed."""
    if not token or not set(token) <= _OF_TOKENS:
        form = "one line of letters, digits and punctuation, without spaces"
        raise RecipeError(f"{where}: a token is {form}")
    if len(token) < SHORTEST_TOKEN:
        make = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        raise RecipeError(
            f"{where}: a token of {counted(len(token), 'character')} can be guessed; it needs at "
            f"least {SHORTEST_TOKEN}. Make one with: {make}"
        )
    return token
