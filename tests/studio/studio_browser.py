"""A studio at a real address, and a browser in front of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio_clients import toy_learner

from finetext.serving.server import address, bound, make_server
from finetext.studio.access import LIMITS, Access
from finetext.studio.app import make_app
from finetext.studio.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZES = ((1280, 900), (390, 844))
SCHEMES: tuple[Any, ...] = ("light", "dark")
GRAVE = ("serious", "critical")


@dataclass
class ToyStudio:
    """A studio with a toy in place of the encoder, which can stop and come back."""

    folder: Path
    access: Access | None = None
    port: int = 0
    _running: Any = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Answer, at the same address as before if it did."""
        server = make_server(make_app(Workspace(self.folder, toy_learner), self.access), LIMITS)
        listening = bound("127.0.0.1", self.port)
        listening.listen(64)
        self.port = int(address(listening).rpartition(":")[2])
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        self._running = server, thread

    def stop(self) -> None:
        """End it; what is on the disk stays."""
        if self._running is not None:
            server, thread = self._running
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
            self._running = None


@dataclass
class Visit:
    """A page of a studio, with what went wrong in it and what it asked for."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    @classmethod
    def begin(cls, browser: Browser, url: str, name: str | None, path: str = "/") -> Visit:
        """Open the page as a person of some name."""
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        visit = cls(context.new_page(), url)
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        visit.page.on("console", visit._hear)
        visit.page.on("request", lambda request: visit.asked.add(request.url))
        if name is not None:  # the frame of a report has no storage
            stored = f"localStorage.setItem('finetext-studio-annotator', {json.dumps(name)})"
            context.add_init_script(f"if (self === top) {stored}")
        visit.page.goto(url + path)
        return visit

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, view: str) -> None:
        """Open a view of the project."""
        link = self.page.get_by_role("navigation").get_by_role("link", name=re.compile(f"^{view}"))
        link.click()
        self.page.get_by_role("heading", name=re.compile(f"^{view}"), level=1).wait_for()

    def ready(self) -> None:
        """Wait for a text, or for the end."""
        self.page.wait_for_function(
            "() => document.querySelector('.end:not([hidden])') || "
            "document.querySelector('.work:not([hidden])[aria-busy=false]')"
        )

    def text(self) -> str:
        """The text that is to be labeled."""
        return self.page.locator(".reader").inner_text()

    def press(self, key: str) -> None:
        """Press a key, and wait for another text or the end."""
        self.ready()
        before = self.text()
        self.page.keyboard.press(key)
        self.page.wait_for_function(
            "before => document.querySelector('.end:not([hidden])') || "
            "document.querySelector('.reader').textContent !== before",
            arg=before,
        )
        self.ready()

    @property
    def is_done(self) -> bool:
        """Whether there is no text left."""
        return self.page.locator(".end:not([hidden])").count() > 0

    def faults(self) -> list[str]:
        """Faults of accessibility that axe-core finds grave, in each size and color scheme."""
        found = []
        for width, height in SIZES:
            for scheme in SCHEMES:
                self.page.set_viewport_size({"width": width, "height": height})
                self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                self.page.evaluate(axe_core())
                answer = self.page.evaluate("() => axe.run()")
                found += [
                    f"{self.page.url} {width} {scheme}: {of['id']}: {of['nodes'][0]['html'][:200]}"
                    for of in answer["violations"]
                    if of["impact"] in GRAVE
                ]
                assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.page.emulate_media(color_scheme="light")
        return found

    def end(self) -> None:
        """Close it; nothing went wrong, and nothing was asked of anybody else."""
        self.page.context.close()
        assert self.complaints == []
        own = (self.url, f"blob:{self.url}", "data:")
        assert [url for url in self.asked if not url.startswith(own)] == []


def axe_core() -> str:
    """The program of axe-core, which the package for Playwright brings."""
    found = find_spec("axe_playwright_python")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@contextmanager
def studio_process(folder: Path, *words: str) -> Iterator[str]:
    """Run `finetext studio` in a process of its own while the body runs; yields its address."""
    command = [sys.executable, "-m", "finetext", "studio", "--folder", str(folder), *words]
    process = subprocess.Popen(
        [*command, "--no-browser", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        found = (re.search(r"http://[^/\s]+", line) for line in process.stdout)
        yield next(of[0] for of in found if of)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
    assert process.returncode == 0
