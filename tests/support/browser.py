"""A real JupyterLab in a real browser: a server of its own, notebooks in it, and a listener.

with Lab(tmp_path) as lab, browser() as chromium:
    lab.write("a.ipynb", ["1 + 1"])
    notebook = Notebook.open(chromium, lab, "a.ipynb")
    notebook.run(0)
    notebook.output(0)              # a locator of what the cell shows
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from chromium import executable
from paths import LABEXTENSION
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect, sync_playwright
from slack import with_slack

import parallm_magics

TOKEN = "a-token-for-tests"
SECONDS = 30
"""What a page is given on a quiet machine to come to the state that is awaited."""

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_KERNEL = {"name": "here", "display_name": "here", "language": "python"}
_SETTINGS = {
    # Every cell is in the page, whatever is scrolled into view.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


class Lab:
    """A JupyterLab server on a free port of 127.0.0.1 that knows nothing of this machine's user."""

    def __init__(self, home: Path, extension: bool = True) -> None:
        """Take the directory where its notebooks and all its state lie, and whether ours is in it."""
        self.root = home / "notebooks"
        self._home = home
        self._extension = extension
        self.url = ""

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True)
        _put(self._home / "data/kernels/here/kernel.json", self._kernelspec())
        disabled = {"@jupyterlab/apputils-extension:announcements": True}
        if not self._extension:
            disabled["parallm_magics:editor"] = True
        _put(self._home / "config/labconfig/page_config.json", {"disabledExtensions": disabled})
        # The sources, whatever copy the environment holds; a link would need the server's leave.
        shutil.copytree(LABEXTENSION, self._home / "share/labextensions/parallm_magics")
        for name, settings in _SETTINGS.items():
            self.set(name, settings)
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={self.root}"]
        command += [f"--IdentityProvider.token={TOKEN}", "--LabApp.extension_manager=readonly"]
        self._log = (self._home / "server.log").open("w")
        self._server = subprocess.Popen(
            command, env=self._environment(), stdout=self._log, stderr=self._log
        )
        try:
            self.url = self._announced()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._server.terminate()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._log.close()

    def _kernelspec(self) -> dict[str, Any]:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        package = Path(parallm_magics.__file__).parent.parent
        env = {"PYTHONPATH": str(package), "PARALLM_LIVE": "1"}
        return {"argv": argv, "env": env, **_KERNEL}

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        own = {
            "HOME": "home",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        for directory in own.values():
            (self._home / directory).mkdir(exist_ok=True)
        own["JUPYTER_PATH"] = "share"
        return kept | {name: str(self._home / directory) for name, directory in own.items()}

    def _announced(self) -> str:
        """The address that the server says it has, once it answers there."""
        until = time.monotonic() + with_slack(SECONDS)
        while time.monotonic() < until and self._server.poll() is None:
            for path in (self._home / "runtime").glob("jpserver-*.json"):
                try:
                    self.url = json.loads(path.read_text())["url"]
                    self.api("status")
                except (ValueError, OSError):  # half written, or not listening yet
                    continue
                return self.url
            time.sleep(0.05)
        raise RuntimeError(
            f"JupyterLab did not start: {(self._home / 'server.log').read_text()[-2000:]}"
        )

    def api(self, path: str, method: str = "GET") -> Any:
        """What the server's REST interface answers."""
        request = urllib.request.Request(f"{self.url}api/{path}", method=method)
        request.add_header("Authorization", f"token {TOKEN}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=with_slack(SECONDS)) as answer:
            return json.loads(answer.read() or "null")

    def set(self, plugin: str, settings: dict[str, Any]) -> None:
        """Set a plugin's settings, for pages that are opened from now on."""
        _put(self._home / f"settings/@jupyterlab/{plugin}.jupyterlab-settings", settings)

    def theme(self, name: str) -> None:
        """Use the theme, `Light` or `Dark`."""
        self.set("apputils-extension/themes", {"theme": f"JupyterLab {name}"})

    def write(self, name: str, cells: Sequence[str]) -> None:
        """Write a notebook of code cells that have not run."""
        code = [
            {
                "cell_type": "code",
                "id": f"cell-{index}",
                "source": source.strip("\n"),
                "metadata": {},
                "outputs": [],
                "execution_count": None,
            }
            for index, source in enumerate(cells)
        ]
        self.put(
            name,
            {
                "cells": code,
                "metadata": {"kernelspec": _KERNEL},
                "nbformat": 4,
                "nbformat_minor": 5,
            },
        )

    def put(self, name: str, notebook: dict[str, Any]) -> None:
        """Put a notebook's file there, unsigned, as a mail or a download would."""
        _put(self.root / name, notebook)

    def saved(self, name: str) -> dict[str, Any]:
        """The notebook as its file holds it."""
        found: dict[str, Any] = json.loads((self.root / name).read_text("utf-8"))
        return found

    def trusts(self, name: str) -> bool:
        """Whether the server trusts what the notebook's cells show."""
        cells = self.api(f"contents/{name}")["content"]["cells"]
        return all(cell["metadata"].get("trusted", False) for cell in cells)

    def shut_down_kernels(self) -> None:
        """End all sessions and their kernels."""
        for session in self.api("sessions"):
            self.api(f"sessions/{session['id']}", "DELETE")


def _put(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window; it is installed where there is none.

    Raises:
        RuntimeError: there is none and none can be installed.
    """
    path = executable()
    expect.set_options(timeout=with_slack(SECONDS) * 1000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield chromium
        chromium.close()


class Frame(NamedTuple):
    """One state of a live table: all that it said, its cells, headings first, its elements."""

    text: str
    rows: list[list[str]]
    tags: list[str]

    def state(self, worker: str) -> str:
        """The word for the state of a worker."""
        return next(row[1] for row in self.rows if row[0] == worker)


_WATCH = """cell => {
    window.parallmSeen = [];
    const look = () => {
        const table = [...cell.querySelectorAll('.jp-OutputArea .widget-html table')].pop();
        if (!table) return;
        const live = table.closest('.widget-html');
        const rows = [...table.rows].map(row => [...row.cells].map(cell => cell.innerText.trim()));
        const last = window.parallmSeen.at(-1);
        const tags = [...live.querySelectorAll('*')].map(element => element.localName);
        const frame = {text: live.innerText, rows, tags: [...new Set(tags)]};
        if (!last || last.text !== frame.text) window.parallmSeen.push(frame);
    };
    new MutationObserver(look).observe(cell, {childList: true, subtree: true, characterData: true});
}"""

# WCAG 2's contrast of what is painted: backgrounds, translucent colours and opacity included.
_CONTRASTS = r"""output => {
    const parse = text => {
        const parts = text.match(/^rgba?\(([^)]*)\)$/);
        if (!parts) throw new Error('not understood: ' + text);
        const [r, g, b, a = 1] = parts[1].split(/[ ,/]+/).map(Number);
        return [[r, g, b], a];
    };
    const over = ([colour, alpha], behind) =>
        colour.map((part, at) => part * alpha + behind[at] * (1 - alpha));
    const painted = (path, behind) => {
        const style = getComputedStyle(path[0]);
        const back = over(parse(style.backgroundColor), behind);
        const inner = path.length > 1
            ? painted(path.slice(1), back)
            : [over(parse(style.color), back), back];
        return inner.map(colour => over([colour, Number(style.opacity)], behind));
    };
    const luminance = colour => colour
        .map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const found = [];
    const texts = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.data.trim();
        const path = [];
        for (let at = texts.currentNode.parentElement; at; at = at.parentElement) path.unshift(at);
        if (!text || !path.at(-1).getClientRects().length) continue;
        const [light, dark] = painted(path, [255, 255, 255]).map(luminance).sort((a, b) => b - a);
        found.push([text, (light + 0.05) / (dark + 0.05)]);
    }
    return found;
}"""


_COLOURS = """code => [...code.querySelectorAll('.cm-line span')]
    .map(span => [span.textContent, getComputedStyle(span).color])
    .filter(([, colour]) => colour !== getComputedStyle(code).color)"""


def contrasts(*shown: Locator) -> dict[str, float]:
    """The contrast of every piece of text in these elements, the lowest where it repeats."""
    found: dict[str, float] = {}
    for element in shown:
        for text, ratio in element.evaluate(_CONTRASTS):
            found[text] = min(ratio, found.get(text, ratio))
    return found


def _starts_none(route: Route) -> None:
    """Leave the wish for a kernel without an answer, as a reader does who never gets one."""
    if route.request.method != "POST":
        route.continue_()


class Notebook:
    """A notebook that is open in a page of its own.

    Attributes:
        page: the page.
        hosts: every host that the page asked for anything.
        dialogs: the messages of dialogs that scripts opened.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.hosts: set[str] = set()
        self.dialogs: list[str] = []
        page.on("request", self._requested)
        page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).hostname or ""))
        page.on("dialog", self._asked)

    @classmethod
    def open(
        cls,
        chromium: Browser,
        lab: Lab,
        name: str,
        kernel: bool = True,
        size: tuple[int, int] = (1200, 900),
        app: str = "doc/tree",
    ) -> Self:
        """Open a notebook and wait for its cells, and for its kernel where one is wanted.

        `app` is the page that shows it: JupyterLab's, or `notebooks` for Notebook 7's.
        """
        page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
        page.set_default_timeout(with_slack(SECONDS) * 1000)
        notebook = cls(page)
        if not kernel:
            page.route("**/api/sessions*", _starts_none)
        address = f"{lab.url}{app}/{name}?token={TOKEN}"
        if kernel and app == "notebooks":
            # It says "idle" before it has a kernel, and has no status bar.
            with page.expect_websocket(lambda socket: "/channels" in socket.url):
                page.goto(address)
            idle = ".jp-NotebookKernelStatus-fade:not(.jp-NotebookKernelStatus-info)"
            expect(page.locator(idle)).to_have_count(1)
        else:
            page.goto(address)
            if kernel:
                expect(page.locator("#jp-main-statusbar")).to_contain_text("here | Idle")
        expect(notebook.cell(0)).to_be_visible()
        return notebook

    def _requested(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname or request.url)

    def _asked(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def cell(self, index: int) -> Locator:
        """A cell: its code and what it shows."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def code(self, index: int) -> Locator:
        """The lines of a cell's editor."""
        return self.cell(index).locator(".cm-content")

    def typed(self, index: int) -> list[str]:
        """A cell's text, line by line, as its editor holds it."""
        return self.code(index).locator(".cm-line").all_text_contents()

    def colours(self, index: int) -> dict[str, str]:
        """Every piece of a cell's code that has a style of its own, with its colour."""
        return dict(self.code(index).evaluate(_COLOURS))

    def output(self, index: int) -> Locator:
        """What a cell shows."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def type(self, index: int, source: str) -> None:
        """Type into an empty cell as a user does, key by key, Enter at each line's end."""
        editor = self.cell(index).locator(".cm-content")
        expect(editor).to_have_attribute("data-language", "python")
        editor.click()
        self.page.keyboard.type(source)
        expect(editor).to_contain_text(source.split("\n")[-1].strip())
        self.page.keyboard.press("Escape")

    def start(self, index: int) -> None:
        """Run a cell as a user does: select it, Shift+Enter."""
        self.cell(index).locator(".jp-InputPrompt").click()
        self.page.keyboard.press("Shift+Enter")

    def wait(self, index: int) -> None:
        """Wait until the cell has run."""
        prompt = self.cell(index).locator(".jp-InputPrompt")
        expect(prompt).to_have_text(re.compile(r"\[\d+\]:"))

    def run(self, *indices: int) -> None:
        """Run these cells, one after another."""
        for index in indices:
            self.start(index)
            self.wait(index)

    def watch(self, index: int) -> None:
        """Note from now on every state of the cell's live table; `seen` tells them."""
        self.cell(index).evaluate(_WATCH)

    def seen(self) -> list[Frame]:
        """The live table's states so far, one for each change."""
        return [Frame(**frame) for frame in self.page.evaluate("window.parallmSeen")]

    def unfold(self) -> None:
        """Open everything that can be opened in what the cells show."""
        folded = self.page.locator(".jp-OutputArea details")
        folded.evaluate_all("all => all.forEach(each => { each.open = true; })")

    def contrasts(self, *indices: int) -> dict[str, float]:
        """The contrast of every piece of text that these cells show, the lowest where it repeats."""
        shown = (self.output(index).locator(".jp-OutputArea-output").all() for index in indices)
        return contrasts(*(output for outputs in shown for output in outputs))

    def save(self) -> None:
        """Save as a user does, and wait for the server's word."""
        with self.page.expect_response(
            lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url
        ) as saved:
            self.page.keyboard.press("Control+s")
        assert saved.value.ok

    def close(self) -> None:
        """Close the page."""
        self.page.close()


class Listener:
    """Notes every path that is asked for at a port of 127.0.0.1: where hostile text would report."""

    def __enter__(self) -> Self:
        self.paths: list[str] = []
        self._came = threading.Condition()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with listener._came:
                    listener.paths.append(self.path)
                    listener._came.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, path: str) -> bool:
        """Whether the path is asked for in time."""
        with self._came:
            return self._came.wait_for(lambda: path in self.paths, with_slack(SECONDS))
