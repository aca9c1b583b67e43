"""Hostile text in every field, live, saved, trusted or not, converted: it does nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser import Lab, Listener, Notebook, browser
from display_samples import bad_inputs, static_html
from hostile import hostile_report, hostile_view, live
from nbconvert import HTMLExporter
from paths import SUPPORT
from playwright.sync_api import Browser, Page, expect

from parallm_magics.display import html

BEACON = "http://127.0.0.1:9/beacon"
HOSTILE = bad_inputs("markup", "beacon", "redress", "control", "math", browser=True)
SETUP = """
import sys
sys.path.insert(0, {tests!r})
from display_samples import static_html, static_plain
from hostile import hostile_report, hostile_view, live
from parallm_magics import display
from parallm_magics.notebook.widget import Table
payloads = {payloads!r}
class Shown:
    def _repr_mimebundle_(self, include=None, exclude=None):
        views = [hostile_view(payload) for payload in payloads.values()]
        return {{
            "text/plain": "\\n".join(map(static_plain, views)),
            "text/html": "".join(
                [
                    *map(static_html, views),
                    *(display.html(hostile_report(each)) for each in payloads.values()),
                ]
            ),
        }}
"""
LIVE = "table = Table()\ntable.show(''.join(map(live, payloads.values())))"
CONTROL = """
from IPython.display import HTML
HTML('''<img src="data:," onerror="alert('heard'); (new Image).src='{url}/heard'">
<div style="position:fixed;top:0;left:0">redress</div><table><tr><th scope="row">a row</th></tr></table>''')
"""
DRAWN, SAVED, CONTROLLED = 1, 3, 4
ROOT = ".jp-OutputArea-output"
ACTIVE = (
    # The live table's own sheet is in a widget of its own, and no foreign word with it.
    "script, img, svg, iframe, object, embed, form, input, button, link, meta, base, video, "
    "style:not(.parallm-live-sheet style), audio, picture, [onerror], [onload], [onclick], "
    "[data-commandlinker-command], [id], [name]"
)
# What is painted outside the output's own box, as far as nothing clips it, or out of the page's flow.
STRAYS = """output => {
    const box = output.getBoundingClientRect(), strays = [];
    for (const element of output.querySelectorAll('*')) {
        if (element.matches('.parallm-live [role=status]')) continue;  // ours, for screen readers
        const style = getComputedStyle(element);
        let {left, top, right, bottom} = element.getBoundingClientRect();
        for (let at = element.parentElement; at && at !== output.parentElement; at = at.parentElement) {
            if (getComputedStyle(at).overflowX === 'visible') continue;
            const clip = at.getBoundingClientRect();
            left = Math.max(left, clip.left); right = Math.min(right, clip.right);
            top = Math.max(top, clip.top); bottom = Math.min(bottom, clip.bottom);
        }
        const seen = right - left > 0.5 && bottom - top > 0.5;
        const inside = left >= box.left - 1 && right <= box.right + 1 && top >= box.top - 1
            && bottom <= box.bottom + 1;
        if ((seen && !inside) || !['static', 'relative'].includes(style.position))
            strays.push(element.outerHTML.slice(0, 80));
    }
    return strays;
}"""


@dataclass(frozen=True)
class Seen:
    """What one state of the page did, and what it shows.

    Attributes:
        heard: the paths that the listener was asked for.
        dialogs: what scripts said.
        active: elements and attributes that could act.
        strays: elements outside the output.
        rows: how many rows the tables have.
        text: all that can be read.
    """

    heard: list[str]
    dialogs: list[str]
    active: int
    strays: list[str]
    rows: int
    text: str


def seen(page: Page, listener: Listener, dialogs: list[str], index: int = 0) -> Seen:
    """Open all that can be opened, and look; what the listener heard is forgotten after it."""
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    # Two frames: what an image or a style would ask for is asked for by then.
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    output = page.locator(ROOT).nth(index)
    found = Seen(
        heard=list(listener.paths),
        dialogs=list(dialogs),
        active=output.locator(ACTIVE).count(),
        strays=output.evaluate(STRAYS),
        rows=output.locator("th[scope=row]").count(),
        text=output.inner_text(),
    )
    listener.paths.clear()
    dialogs.clear()
    return found


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Seen]]:
    """The page in all its states, by name, and a control whose html is shown as it is."""
    home = tmp_path_factory.mktemp("hostile")
    with Listener() as listener, Lab(home) as lab, browser() as chromium:
        yield dict(visited(home, lab, chromium, listener))


def visited(
    home: Path, lab: Lab, chromium: Browser, listener: Listener
) -> Iterator[tuple[str, Seen]]:
    """Each state in turn: drawn by a widget, saved, reopened, converted, and the control."""
    payloads = {name: text.replace(BEACON, listener.url) for name, text in HOSTILE.items()}
    setup = SETUP.format(tests=str(SUPPORT), payloads=payloads)
    control = CONTROL.format(url=listener.url)
    lab.write("hostile.ipynb", [setup, LIVE, "table.take_down()", "Shown()", control])
    notebook = Notebook.open(chromium, lab, "hostile.ipynb")
    notebook.run(0, DRAWN)
    expect(notebook.output(DRAWN).locator(".widget-html table").first).to_be_visible()
    yield "live", seen(notebook.page, listener, notebook.dialogs)
    notebook.run(2, SAVED)
    notebook.save()
    notebook.close()
    lab.shut_down_kernels()
    file = lab.saved("hostile.ipynb")
    yield "trusted", reopened(chromium, lab, "hostile.ipynb", listener)
    lab.put("received.ipynb", file | {"metadata": file["metadata"] | {"from": "a mail"}})
    assert not lab.trusts("received.ipynb")
    yield "untrusted", reopened(chromium, lab, "received.ipynb", listener)
    yield "converted", converted(home, chromium, file, listener)
    notebook = Notebook.open(chromium, lab, "hostile.ipynb")
    with notebook.page.expect_event("dialog"):
        notebook.start(CONTROLLED)
    assert listener.wait_for("/heard")
    last = notebook.page.locator(ROOT).count() - 1
    yield "control", seen(notebook.page, listener, notebook.dialogs, last)
    notebook.close()


def reopened(chromium: Browser, lab: Lab, name: str, listener: Listener) -> Seen:
    """The saved notebook as somebody opens it who has no kernel."""
    notebook = Notebook.open(chromium, lab, name, kernel=False)
    expect(notebook.output(SAVED)).to_contain_text("SIMULATED")
    found = seen(notebook.page, listener, notebook.dialogs)
    notebook.close()
    return found


def converted(home: Path, chromium: Browser, file: dict[str, Any], listener: Listener) -> Seen:
    """The notebook as nbconvert writes it."""
    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="")
    # Of the live table's slot, which is empty after the run.
    with pytest.warns(UserWarning, match="not able to be represented"):
        html, _ = exporter.from_notebook_node(nbformat.reads(json.dumps(file), 4))
    (home / "hostile.html").write_text(html, "utf-8")
    page = chromium.new_page()
    notebook = Notebook(page)
    page.goto((home / "hostile.html").as_uri())
    found = seen(page, listener, notebook.dialogs)
    page.close()
    return found


STATES = ["live", "trusted", "untrusted", "converted"]


@pytest.mark.parametrize("state", STATES)
def test_hostile_text_does_nothing(states: Mapping[str, Seen], state: str) -> None:
    """No script runs, nothing is asked for, nothing that could act is there, nothing strays."""
    found = states[state]
    assert (found.heard, found.dialogs, found.active, found.strays) == ([], [], 0, [])


@pytest.mark.parametrize("state", STATES)
def test_hostile_text_adds_no_row(states: Mapping[str, Seen], state: str) -> None:
    """Every run has as many rows as one of harmless words, and the payloads can be read."""
    found = states[state]
    saved = static_html(hostile_view("words")) + html(hostile_report("words"))
    harmless = live("words") if state == "live" else saved
    assert found.rows == harmless.count('scope="row"') * len(HOSTILE)
    assert "<script" in found.text
    assert "onerror" in found.text


def test_what_acts_would_be_noticed(states: Mapping[str, Seen]) -> None:
    """Html that is shown as it is runs, reports, leaves its place and makes a row."""
    found = states["control"]
    assert "/heard" in found.heard
    assert found.dialogs == ["heard"]
    assert found.active > 0
    assert any("redress" in each for each in found.strays)
    assert found.rows == 1
