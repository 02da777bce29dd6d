"""Run the studio: bind, say where it is, open the browser, answer until Ctrl-C, stop."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Final, final
from urllib.parse import quote

from finetext.core.errors import MissingExtraError, RecipeError, RunError
from finetext.serving.server import HOST, address, bound, is_open_to_others, make_server
from finetext.storage.locks import LOCK, check_writable, try_lock
from finetext.studio.access import LIMITS, Access
from finetext.studio.annotators import Annotators
from finetext.studio.project import DATABASE

PORT: Final = 8765
WORKSPACE: Final = "studio"
_PACKAGES: Final = ("fastapi", "uvicorn", "prometheus-client", "openpyxl")
_say: Final = partial(print, file=sys.stderr, flush=True)


@final
@dataclass(frozen=True)
class Opened:
    """Where a studio is: its URL, whether that has the port asked for, and links by annotator."""

    url: str
    is_usual_port: bool = True
    links: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """What a person reads: where the page is, or the link of each annotator."""
        lines = [] if self.is_usual_port else [f"port {PORT} is taken, so this is a free one"]
        if not self.links:
            return [*lines, f"finetext studio is at {self.url}", "Ctrl-C stops it"]
        lines += [f"finetext studio is at {self.url}; links, each for one person alone:"]
        lines += [f"  {name}: {link}" for name, link in self.links.items()]
        return [*lines, "Ctrl-C stops it"]


@final
@dataclass(frozen=True)
class Wanted:
    """What `studio` is asked for; see there."""

    workspace: Path
    project: str | None = None
    source: str | None = None

    @property
    def fragment(self) -> str:
        """What the page opens: a project, a new one of the source, or the list of projects."""
        if self.project is not None:
            return f"#/p/{quote(self.project, safe='')}"
        return "" if self.source is None else "#/new"


def wanted(data: str | None, workspace: Path) -> Wanted:
    """Return what to open: DATA names a project of the workspace, its folder, or what to read.

    Raises:
        DataError: there is no file, folder or sample of the name.
    """
    from finetext.data.read import refuse_missing

    if data is None:
        return Wanted(workspace)
    if "/" not in data and "\\" not in data and (workspace / data / DATABASE).is_file():
        return Wanted(workspace, project=data)
    folder = Path(data).expanduser()
    if (folder / DATABASE).is_file():
        folder = folder.resolve()
        return Wanted(folder.parent, project=folder.name)
    refuse_missing(data)
    return Wanted(workspace, source=str(folder.resolve()) if folder.exists() else data)


def studio(
    data: str | None = None,
    workspace: Path = Path(WORKSPACE),
    host: str = HOST,
    port: int | None = None,
    annotators: Sequence[str] = (),
    open_browser: bool = True,
    ready: Callable[[Opened], None] | None = None,
    say: Callable[[str], None] = _say,
) -> None:
    """Run the studio until Ctrl-C or SIGTERM.

    Args:
        data: a project of the workspace, by name or folder, or the source of a new project.
        workspace: the folder of the projects, made if it is missing.
        host: address to listen on; the default, 127.0.0.1, is reachable from this machine only.
        port: 8765 by default, or a free one if that is taken; 0 takes a free one.
        annotators: people who get a new link each. The first of a workspace is its owner. As soon
            as there is one, every request needs a token.
        open_browser: whether to open the page, which needs a display and no token.
        ready: called when the page can be opened; prints the links by default.
        say: called with messages, such as what is stopped.

    Raises:
        MissingExtraError: a package of the extra `studio` is not installed.
        DataError: there is no such data, or the name of an annotator is not valid.
        RunError: another studio has the workspace open, or it cannot be written.
        RecipeError: it cannot listen there, or others could connect and there is no annotator.
    """
    check_installed()
    asked = wanted(data, workspace)
    with _held(asked.workspace), _listening(host, port) as listening:
        people, tokens = Annotators.read(asked.workspace), dict[str, str]()
        if annotators:
            people, tokens = people.with_links(asked.workspace, annotators)
        if is_open_to_others(listening) and not people:
            raise RecipeError(
                f"--host {host} lets other machines connect, so everyone needs a link; add "
                "--annotator NAME for each person, the owner first"
            )
        if people and people.owner not in tokens:
            tokens = {people.owner: people.owner_token(), **tokens}
        opened = _opened(listening, port, tokens, asked)
        _run(listening, people, asked, say, lambda: _begin(opened, open_browser, ready))


def check_installed() -> None:
    """Raise a `MissingExtraError` if a package of the extra `studio` is missing."""
    for package in _PACKAGES:
        if find_spec(package.replace("-", "_")) is None:
            raise MissingExtraError("finetext studio", package, "studio")


def can_open_browser() -> bool:
    """Return whether a browser would open where the user sees it; not so over SSH."""
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def _held(workspace: Path) -> Iterator[None]:
    """Lock the workspace while the body runs; raises a RunError."""
    check_writable(workspace)
    try:
        lock = try_lock(workspace / LOCK)
    except OSError as error:
        raise RunError(f"the folder {workspace} cannot be written: {error}") from None
    if lock is None:
        raise RunError(
            f"another studio has {workspace} open; use its page, stop it, or choose another "
            "folder with --folder"
        )
    try:
        yield
    finally:
        lock.release()


def _listening(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens; without a port on the usual one, or on a free one."""
    if port is not None:
        return _listen(host, port)
    try:
        return _listen(host, PORT)
    except RecipeError:
        return _listen(host, 0)  # which raises the same error if the host is wrong


def _listen(host: str, port: int) -> socket.socket:
    listening = bound(host, port)
    try:
        listening.listen(LIMITS.connections)
    except OSError as error:  # another server bound the port at the same time
        listening.close()
        raise RecipeError(f"port {port} of {host} cannot be used: {error.strerror}") from None
    return listening


def _opened(
    listening: socket.socket, port: int | None, tokens: Mapping[str, str], asked: Wanted
) -> Opened:
    url, own = address(listening), listening.getsockname()
    if ipaddress.ip_address(own[0].partition("%")[0]).is_unspecified:
        url = f"http://{socket.gethostname()}:{own[1]}"
    links = {name: f"{url}/#token={token}" for name, token in tokens.items()}
    return Opened(f"{url}/{asked.fragment}", port is not None or own[1] == PORT, links)


def _begin(opened: Opened, open_browser: bool, ready: Callable[[Opened], None] | None) -> None:
    """Say where the studio is, and open it in a browser: not a link with a token.

    Other users of the machine see the command lines of programs, and so a token in them.
    """
    if ready is None:
        print("\n".join(opened.lines), flush=True)
    else:
        ready(opened)
    if open_browser and not opened.links and can_open_browser():
        # A browser in the terminal would keep the server waiting.
        Thread(target=webbrowser.open, args=(opened.url,), daemon=True).start()


def _run(
    listening: socket.socket,
    people: Annotators,
    asked: Wanted,
    say: Callable[[str], None],
    begin: Callable[[], None],
) -> None:
    from finetext.serving.logs import log_to_stderr
    from finetext.studio.app import make_app
    from finetext.studio.workspace import Workspace

    log_to_stderr()
    app = make_app(Workspace(asked.workspace), Access(people), asked.source)
    server = make_server(app, LIMITS)
    begin()
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        if server.force_exit:
            raise
    for run in app.state.service.stopped:
        say(f"cancelled {run}; it can be resumed on the page")
