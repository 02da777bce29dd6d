"""The built site of the manual in a browser: no other server, a search that finds, no overflow."""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and writes no log."""

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def build_docs() -> ModuleType:
    for needed in ("nbconvert", "zensical"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    spec = importlib.util.spec_from_file_location("build_docs", ROOT / "tools" / "build_docs.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_docs"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(build_docs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manual")
    assert build_docs.build(build_docs.Manual.of(ROOT), folder, folder / "out") == 0
    return folder / "out"


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_pages_need_no_other_server_and_fit(
    browser: Browser, site: Path, address: str, width: int, scheme: Any
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked, failed = set[str](), list[str]()
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.on("response", lambda of: failed.append(of.url) if of.status >= 400 else None)
    page.on("pageerror", lambda error: failed.append(str(error)))
    manual = [path for path in site.rglob("*.html") if "repository" not in path.parts]
    assert len(manual) > 25
    for path in manual:
        page.goto(f"{address}/{path.relative_to(site).as_posix()}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path.name} is {wide} pixels wide"
    page.close()
    assert asked == {urlsplit(address).netloc}
    assert failed == []


def test_the_search_finds_a_page(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}/index.html")
    page.wait_for_timeout(1_000)
    page.keyboard.press("Control+k")
    page.wait_for_timeout(1_000)
    page.keyboard.type("label errors", delay=20)
    for _ in range(40):  # the index is read first
        page.wait_for_timeout(500)
        page.keyboard.press("Enter")
        if not page.url.endswith("/index.html"):
            break
    assert page.url.startswith(address)
    assert not page.url.endswith("/index.html")
    assert re.search("label[-_ ]errors", page.locator("article").inner_text())
    page.close()


def test_a_name_that_does_not_exist_fails(build_docs: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    index = "# T\n\n::: finetext.nothing_of_this_name\n\n## All pages\n"
    (tmp_path / "docs" / "index.md").write_text(index)
    assert build_docs.build(build_docs.Manual.of(tmp_path), tmp_path / "b", tmp_path / "out") != 0
    assert not (tmp_path / "out").exists()
