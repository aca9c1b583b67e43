"""The JupyterLite site of the course in a real browser: served from loopback, and nobody else is asked.

with Served(SITE) as site, lesson_of(chromium, site) as lesson:
    lesson.open("01_quickstart.ipynb")
    lesson.run_all()
    lesson.cells()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from paths import PROJECT
from playwright.sync_api import Browser, Page, Request, Route
from slack import with_slack

SITE = PROJECT / "build/lite"
SECONDS = 60
"""What a kernel that is made of 25 MB, or a whole lesson, is given on a quiet machine."""


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Served:
    """A folder on a free port of 127.0.0.1, as any web server would serve it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        handler = partial(_Quiet, directory=str(self._folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_NOTEBOOK = "window.jupyterapp.shell.currentWidget"
_IS_READY = """() => {
    const panel = window.jupyterapp?.shell?.currentWidget;
    const kernel = panel?.sessionContext?.session?.kernel;
    return Boolean(panel?.content?.model?.cells?.length && kernel && kernel.status === 'idle');
}"""
_RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
_RUN = f"""async source => {{
    const notebook = {_NOTEBOOK}.content;
    notebook.activeCellIndex = notebook.widgets.length - 1;
    await window.jupyterapp.commands.execute('notebook:insert-cell-below');
    notebook.activeCell.model.sharedModel.setSource(source);
    await window.jupyterapp.commands.execute('notebook:run-cell');
    return notebook.activeCell.model.toJSON().outputs;
}}"""
_CELLS = f"() => {_NOTEBOOK}.content.model.toJSON().cells"


class Lesson:
    """A page with a lesson.

    Attributes:
        hosts: every host that the page, its worker or its kernel asked for anything.
        said: what the page said in its console.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self._url = page, url
        self.hosts: set[str] = set()
        self.said: list[str] = []
        page.context.on("request", self._requested)
        page.on("console", lambda message: self.said.append(message.text))
        page.set_default_timeout(with_slack(SECONDS) * 1000)

    def _requested(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname or request.url)

    def open(self, name: str) -> None:
        """Open a lesson, and wait for its kernel."""
        self.page.goto(f"{self._url}lab/index.html?path={name}")
        self.page.wait_for_function(_IS_READY)

    def run_all(self) -> None:
        """Run all cells, as the menu does, to the end."""
        self.page.evaluate(_RUN_ALL)

    def run(self, source: str) -> list[dict[str, Any]]:
        """Run this as a new last cell, and give back what it shows, as it would be saved."""
        found: list[dict[str, Any]] = self.page.evaluate(_RUN, source)
        return found

    def start(self, source: str) -> None:
        """Run this as a new last cell, without waiting for it; `ended` does."""
        self.page.evaluate(f"source => {{ window.parallmRun = ({_RUN})(source); }}", source)

    def ended(self) -> list[dict[str, Any]]:
        """Wait for the cell that was started, and give back what it shows."""
        found: list[dict[str, Any]] = self.page.evaluate("window.parallmRun")
        return found

    def cells(self) -> list[dict[str, Any]]:
        """The notebook's cells as they would be saved."""
        found: list[dict[str, Any]] = self.page.evaluate(_CELLS)
        return found


@contextmanager
def lesson_of(chromium: Browser, site: Served) -> Iterator[Lesson]:
    """A page of its own, in which every address but the site's is refused."""
    own = urlsplit(site.url).netloc
    context = chromium.new_context(viewport={"width": 1200, "height": 900})

    def elsewhere(url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme.startswith(("http", "ws")) and parts.netloc != own

    refuse: Callable[[Route], None] = Route.abort
    context.route(elsewhere, refuse)
    try:
        yield Lesson(context.new_page(), site.url)
    finally:
        context.close()
