"""The command `studio`: annotate, train, judge and use models on a local page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from finetext.cli.options import Output, argument, flag, option

if TYPE_CHECKING:
    from finetext.studio.server import Opened

_DATA = "File, folder, archive, URL, hub:NAME or sample for a new project; or a project."


def studio(
    data: Annotated[str | None, argument("DATA", _DATA)] = None,
    *,
    folder: Annotated[
        Path, option("FOLDER", "Folder of the projects, made if it is missing.")
    ] = Path("studio"),
    host: Annotated[
        str, option("ADDRESS", "Address; beyond this machine with --annotator only.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        option("NUMBER", "8765, or a free one if it is taken; 0: a free one.", min=0, max=65535),
    ] = None,
    annotator: Annotated[
        list[str] | None, option("NAME", "Print a new link for a person; the first is the owner.")
    ] = None,
    no_browser: Annotated[bool, flag("--no-browser", "Do not open the page in a browser.")] = False,
    output: Output,
) -> None:
    """Annotate, train and use models in the browser."""
    from finetext.studio import server

    def ready(opened: Opened) -> None:
        output.show(asdict(opened), opened.lines)

    screen = output.screen()
    server.studio(data, folder, host, port, annotator or (), not no_browser, ready, screen.say)
    screen.say("stopped; what was saved is in the folder of the projects")
