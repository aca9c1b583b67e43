"""What a user sees in JupyterLab, in a real browser: live, saved, reopened, dark, attacked."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from browser import Frame, Lab, Listener, Notebook
from display_samples import bad_inputs
from playwright.sync_api import Browser, Locator, expect

LOAD = """
%load_ext parallm_magics
tickets = [{"text": f"t{n}", "topic": ["safe", "unsafe"][n % 2]} for n in range(40)]
"""
FANOUT = """
%%fanout -m sim:?latency=uniform(1,2) -o review
Review this code for one concern only.

%section security --system "You are a security expert."
Report injection and secrets.

%section style
Report naming and structure.

%section speed
Report slow loops.

%synthesis
Merge the reviews into one list, most serious first.
"""
VOTE = """
%%vote -n 5 --choices safe,unsafe -m sim:?accuracy=1&scale=0.5
Is this content safe or unsafe?
"""
MISTAKE = """
%%vote --chioces safe,unsafe
Is this content safe or unsafe?
"""
STUDY = """
%%vote -n 5 --each tickets --truth topic --choices safe,unsafe --compare stop=clinch -m sim:?rho=0.5&scale=0.1
Is this safe?

{{item.text}}
"""
LONG = """
%%fanout -m sim:?latency=600 --timeout 1000 --deadline 1000 -o kept
%section patient
Think for ten minutes.
%section quick -m sim:?latency=0
Answer at once.
"""
FANNED, VOTED, MISTAKEN, STUDIED = 1, 2, 3, 4
RESULT = ".jp-RenderedHTML"
UNDER_WAY = {"running", "answering"}
LOOPBACK = {"127.0.0.1"}
# The texts of an output that lie below its button.
COVERED = """output => {
    const button = output.querySelector('button'), a = button.getBoundingClientRect();
    const texts = document.createTreeWalker(output, NodeFilter.SHOW_TEXT), found = [];
    const range = document.createRange();
    while (texts.nextNode()) {
        if (button.contains(texts.currentNode)) continue;
        range.selectNodeContents(texts.currentNode);
        const hit = b => b.left < a.right && a.left < b.right && b.top < a.bottom && a.top < b.bottom;
        if ([...range.getClientRects()].some(hit)) found.push(texts.currentNode.data);
    }
    return found;
}"""
READABLE = 4.5
"""WCAG 2's least contrast of normal text, level AA."""


@pytest.fixture
def opened(lab: Lab, chromium: Browser) -> Iterator[Callable[..., Notebook]]:
    """Open notebooks of the server; whatever they did, they asked no other machine."""
    notebooks: list[Notebook] = []

    def open_one(name: str, kernel: bool = True) -> Notebook:
        notebooks.append(Notebook.open(chromium, lab, name, kernel))
        return notebooks[-1]

    yield open_one
    for notebook in notebooks:
        notebook.close()
    lab.shut_down_kernels()
    assert set().union(*(notebook.hosts for notebook in notebooks)) <= LOOPBACK


@dataclass(frozen=True)
class Ran:
    """A notebook after its run: the live table's states, what each cell showed, its file."""

    frames: list[Frame]
    texts: list[str]
    heights: list[float]
    results: list[int]
    widgets: list[int]
    file: dict[str, Any]
    trusted: bool
    hosts: set[str]


@pytest.fixture(scope="module")
def ran(lab: Lab, chromium: Browser) -> Ran:
    """A notebook that a user ran, saved and closed; its kernel is gone."""
    lab.write("ran.ipynb", [LOAD, FANOUT, VOTE, MISTAKE, STUDY])
    notebook = Notebook.open(chromium, lab, "ran.ipynb")
    notebook.run(0)
    notebook.watch(FANNED)
    notebook.run(FANNED, VOTED, MISTAKEN, STUDIED)
    outputs = [notebook.output(index) for index in range(5)]
    for output in outputs:
        expect(output.locator(".widget-html")).to_have_count(0)
    notebook.save()
    ran = Ran(
        frames=notebook.seen(),
        texts=[output.inner_text() for output in outputs],
        heights=[height(output) for output in outputs],
        results=[output.locator(RESULT).count() for output in outputs],
        widgets=[output.locator(".jupyter-widgets").count() for output in outputs],
        file=lab.saved("ran.ipynb"),
        trusted=lab.trusts("ran.ipynb"),
        hosts=notebook.hosts,
    )
    notebook.close()
    lab.shut_down_kernels()
    return ran


def height(shown: Locator) -> float:
    """How high it is on the page."""
    box = shown.bounding_box()
    assert box is not None
    return box["height"]


def test_the_live_table_appears_and_moves(ran: Ran) -> None:
    """While a run lasts its table shows workers under way, then done, never a traceback."""
    begun = next(at for at, frame in enumerate(ran.frames) if frame.state("style") in UNDER_WAY)
    done = next(at for at, frame in enumerate(ran.frames) if frame.state("style") == "ok")
    assert begun < done
    assert len(ran.frames) > 3
    assert all("Traceback" not in frame.text and "Error" not in frame.text for frame in ran.frames)


def test_the_live_table_is_a_table(ran: Ran) -> None:
    """It has headings and a row for each worker and the synthesis, and says that it is simulated."""
    for frame in ran.frames:
        assert frame.rows[0][:2] == ["Worker", "State"]
        assert [row[0] for row in frame.rows[1:]] == ["security", "style", "speed", "synthesis"]
        assert "SIMULATED" in frame.text


def test_the_live_table_shows_several_workers_under_way_at_once(ran: Ran) -> None:
    """A user sees that the workers run in parallel."""
    workers = ("security", "style", "speed")
    assert any(all(frame.state(w) in UNDER_WAY for w in workers) for frame in ran.frames)


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(FANNED, id="fanout"),
        pytest.param(VOTED, id="vote"),
        pytest.param(STUDIED, id="study"),
    ],
)
def test_one_final_table_stays(ran: Ran, index: int) -> None:
    """After the run the live table is gone and one marked result is left."""
    assert ran.results[index] == 1
    assert ran.widgets[index] == 0
    assert ran.texts[index].count("SIMULATED\n") == 1


def test_the_fanout_shows_its_synthesis_and_its_workers(ran: Ran) -> None:
    """The final fan-out counts its successes, shows the merged text and names each worker."""
    assert ran.texts[FANNED].count("3 of 3 sections succeeded") == 1
    assert "Synthesis\n" in ran.texts[FANNED]
    for worker in ("security", "style", "speed"):
        assert re.search(rf"^{worker}\s", ran.texts[FANNED], re.MULTILINE)


def test_the_vote_shows_its_winner_and_its_tally(ran: Ran) -> None:
    """The final vote leads with the winner and counts every vote."""
    assert "safe: 5 of 5 votes" in ran.texts[VOTED]
    assert "5 of 5 winner" in ran.texts[VOTED]


def test_the_study_answers_first_and_folds_the_rest(ran: Ran) -> None:
    """Whether voting pays comes first, then the systems; comparisons, numbers and errors open on a click."""
    shown = ran.texts[STUDIED]
    places = [
        shown.index(heading)
        for heading in (
            "of 40 right",
            "System",
            "How sure is this? The same items compared",
            "Each system in numbers",
            "What the vote got wrong",
            "Do the shares tell which answers are right?",
            "Do the voters make the same mistakes?",
        )
    ]
    assert places == sorted(places)


def test_a_mistake_is_one_line(ran: Ran) -> None:
    """A cell with an unknown option ends with one line that tools see as an error."""
    (line,) = ran.texts[MISTAKEN].strip().splitlines()
    assert line.startswith("OptionError: line 1: %%vote has no option --chioces")
    assert [output["output_type"] for output in ran.file["cells"][MISTAKEN]["outputs"]] == ["error"]


def test_no_state_of_a_widget_is_saved(ran: Ran) -> None:
    """The file holds no widget and no view of one: it shows the same without a kernel."""
    saved = [output for cell in ran.file["cells"] for output in cell["outputs"]]
    assert all("widget" not in kind for output in saved for kind in output.get("data", {}))
    assert "widgets" not in ran.file["metadata"]


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "untrusted"])
def test_a_reopened_notebook_shows_the_same(
    lab: Lab, ran: Ran, opened: Callable[..., Notebook], trusted: bool
) -> None:
    """Without a kernel, trusted or not, every cell shows what it showed, as high as it was."""
    name = "ran.ipynb"
    if not trusted:
        name = "received.ipynb"
        lab.put(name, ran.file | {"metadata": ran.file["metadata"] | {"from": "a mail"}})
    assert lab.trusts(name) is trusted
    notebook = opened(name, kernel=False)
    expect(notebook.output(MISTAKEN)).to_contain_text("OptionError")
    for index in (FANNED, VOTED, MISTAKEN, STUDIED):
        shown = notebook.output(index)
        assert shown.inner_text() == ran.texts[index]
        assert height(shown) == pytest.approx(ran.heights[index], abs=1)
        assert shown.locator(f".jupyter-widgets, :is({RESULT}) :is(script, svg)").count() == 0
    assert "Error displaying widget" not in notebook.page.locator("body").inner_text()
    assert lab.api("kernels") == []


def test_notebook_7_shows_the_same(lab: Lab, ran: Ran, chromium: Browser) -> None:
    """The saved results read as in JupyterLab, and fit a narrow page."""
    notebook = Notebook.open(
        chromium, lab, "ran.ipynb", kernel=False, size=(600, 900), app="notebooks"
    )
    expect(notebook.page.locator("body[data-notebook=notebooks]")).to_have_count(1)
    for index in (FANNED, VOTED):
        shown = notebook.output(index).locator(RESULT)
        assert shown.inner_text() in ran.texts[index]
        wide = shown.evaluate("output => [output.scrollWidth, output.clientWidth]")
        assert wide[0] <= wide[1]
        assert shown.locator("table").count() >= 1
    notebook.close()


def test_tab_completes_an_option(lab: Lab, opened: Callable[..., Notebook]) -> None:
    """A user types the beginning of an option, Tab, and has the option."""
    lab.write("typed.ipynb", [LOAD, ""])
    notebook = opened("typed.ipynb")
    notebook.run(0)
    editor = notebook.cell(1).locator(".cm-content")
    editor.click()
    offered = notebook.page.locator(".jp-Completer")
    for typed, option in (("%%vote --cho", "--choices"), (" a,b --quo", "--quorum")):
        notebook.page.keyboard.type(typed)
        notebook.page.keyboard.press("Tab")
        expect(offered).to_contain_text(option)
        notebook.page.keyboard.press("Enter")
        expect(offered).to_be_hidden()
    expect(editor).to_have_text("%%vote --choices a,b --quorum")


def under_way(lab: Lab, opened: Callable[..., Notebook]) -> tuple[Notebook, Locator]:
    """A notebook whose second cell has one worker done and one that never will be; its live table."""
    lab.write("long.ipynb", [LOAD, LONG, "[record.status for record in kept.results]"])
    notebook = opened("long.ipynb")
    notebook.run(0)
    notebook.start(1)
    live = notebook.output(1).locator(".widget-html table")
    expect(live).to_contain_text("ok")
    return notebook, live


def test_an_interrupt_ends_the_cell_and_keeps_the_kernel(
    lab: Lab, opened: Callable[..., Notebook]
) -> None:
    """I, I during a long run: one line, the records are kept, the next cell runs."""
    notebook, live = under_way(lab, opened)
    notebook.page.keyboard.press("i")
    notebook.page.keyboard.press("i")
    notebook.wait(1)
    expect(live).to_have_count(0)
    assert notebook.output(1).inner_text().strip().splitlines()[-1] == (
        "KeyboardInterrupt: interrupted; 1 of 2 workers were done; kept holds the records"
    )
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("['cancelled', 'ok']")


def test_ten_thousand_items_are_shown_in_a_page(lab: Lab, opened: Callable[..., Notebook]) -> None:
    """Live: counters, few rows, what is left out; saved: the count, and rows that can be read."""
    cell = (
        "%%fanout --each items -m sim:?latency=0.05&fail=0.01 -c 200 --min-success 1 -o run\n"
        "Read {{item}}."
    )
    lab.write("map.ipynb", [f"{LOAD}\nitems = range(10_000)", cell, "len(run.results)"])
    notebook = opened("map.ipynb")
    notebook.run(0)
    notebook.watch(1)
    notebook.run(1, 2)
    frames = [frame for frame in notebook.seen() if "of 10,000 done" in frame.text]
    assert len(frames) > 3
    assert max(len(frame.rows) for frame in frames) < 60
    # The last picture may be of a run of which all is done.
    last = next(f.text for f in reversed(frames) if "10,000 of 10,000 done" not in f.text)
    assert "more workers not shown" in last
    # Between two rounds of calls none is running.
    counts = re.compile(r"\d+ failed · \d+ running · [\d,.]+ calls")
    assert any(counts.search(frame.text) for frame in frames)
    result = notebook.output(1).locator(RESULT)
    expect(result).to_contain_text("of 10,000 items succeeded")
    assert result.locator("tr").count() < 200
    expect(notebook.output(2)).to_have_text(re.compile("10000"))


def test_a_click_on_cancel_ends_the_cell(lab: Lab, opened: Callable[..., Notebook]) -> None:
    """The mouse and the keyboard reach the button; it stops the run, and goes with the table."""
    notebook, _ = under_way(lab, opened)
    button = notebook.output(1).get_by_role("button", name="Cancel")
    for width in (1200, 600, 334):  # of which 244 are left for the output
        notebook.page.set_viewport_size({"width": width, "height": 900})
        assert notebook.output(1).evaluate(COVERED) == [], width
        expect(button).to_be_in_viewport()
        button.click(trial=True)
    notebook.page.set_viewport_size({"width": 1200, "height": 900})
    button.focus()
    notebook.page.keyboard.press("Enter")
    notebook.wait(1)
    expect(notebook.output(1).locator(".jupyter-widgets")).to_have_count(0)
    assert notebook.output(1).inner_text().strip().splitlines()[-1] == (
        "KeyboardInterrupt: cancelled; 1 of 2 workers were done; kept holds the records"
    )
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("['cancelled', 'ok']")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_text_is_readable_in_light_and_dark(
    lab: Lab, ran: Ran, opened: Callable[..., Notebook], theme: str
) -> None:
    """Every piece of text, live and saved, stands out from its background."""
    extra = [LOAD, LONG]
    lab.write(f"{theme}.ipynb", extra)
    fresh = lab.saved(f"{theme}.ipynb")
    lab.put(f"{theme}.ipynb", ran.file | {"cells": fresh["cells"] + ran.file["cells"][1:]})
    lab.theme(theme)
    notebook = opened(f"{theme}.ipynb")
    named = notebook.page.locator(f'body[data-jp-theme-name="JupyterLab {theme}"]')
    expect(named).to_have_count(1)
    notebook.run(0)
    notebook.start(1)
    expect(notebook.output(1).locator(".widget-html table")).to_contain_text("running")
    notebook.unfold()
    found = notebook.contrasts(1, 2, 3, 5)
    assert {"Worker", "SIMULATED", "patient", "safe", "Statistics", "System"} <= found.keys()
    assert {text: ratio for text, ratio in found.items() if ratio < READABLE} == {}


def test_nothing_is_asked_of_another_machine(ran: Ran, opened: Callable[..., Notebook]) -> None:
    """A whole run asks this machine alone; a request to another one would have been seen."""
    assert ran.hosts == LOOPBACK
    notebook = opened("ran.ipynb", kernel=False)
    notebook.page.route("http://elsewhere.invalid/*", lambda route: route.abort())
    notebook.page.evaluate("fetch('http://elsewhere.invalid/x').catch(() => null)")
    assert notebook.hosts == LOOPBACK | {"elsewhere.invalid"}
    notebook.hosts.clear()


HOSTILE = {f"p{at}": payload for at, payload in enumerate(bad_inputs("markup", "beacon").values())}
ACTIVE = {
    "a", "audio", "base", "button", "embed", "form", "iframe", "img", "input", "link", "meta",
    "object", "picture", "script", "style", "svg", "video",
}  # fmt: skip


def hostile_cells(listener: Listener) -> list[str]:
    """Workers that answer, fail and vote with hostile text; then html that shows it can be heard."""
    answers = """
def answers(task, sample):
    if task.name.startswith("fails"):
        raise ValueError(payloads[task.name.removeprefix("fails-")])
    return payloads.get(task.name, payloads["p0"])

%load_ext parallm_magics
%parallm provider evil --sim answers
"""
    sections = "".join(f"%section {name}\nx\n%section fails-{name}\nx\n" for name in HOSTILE)
    control = (
        f"<img src='data:,' onerror=\"alert('heard'); (new Image).src='{listener.url}/heard'\">"
    )
    return [
        f"payloads = {told(listener)!r}\n{answers}",
        f"%%fanout -m evil:x?latency=uniform(1,2) -c 99 --min-success 1\n{sections}",
        "%%vote -n 3 --open -m evil:x?scale=0\nx",
        f"from IPython.display import HTML\nHTML({control!r})",
    ]


def told(listener: Listener) -> dict[str, str]:
    """The payloads, made to report to the listener."""
    there = "http://127.0.0.1:9/beacon"
    return {name: payload.replace(there, listener.url) for name, payload in HOSTILE.items()}


def test_hostile_text_does_nothing_and_can_be_read(
    lab: Lab, opened: Callable[..., Notebook]
) -> None:
    """Markup in answers, errors and votes stays text, live and saved; plain html would be heard."""
    with Listener() as listener:
        lab.write("hostile.ipynb", hostile_cells(listener))
        notebook = opened("hostile.ipynb")
        notebook.run(0)
        notebook.watch(1)
        notebook.run(1, 2)
        notebook.unfold()
        shown = " ".join(notebook.output(1).inner_text().split())
        for payload in told(listener).values():
            # Markdown writes an entity as its character.
            assert " ".join(html.unescape(payload).split()) in shown
        assert any("<script>" in frame.text for frame in notebook.seen())
        assert not [tag for frame in notebook.seen() for tag in frame.tags if tag in ACTIVE]
        for result in (notebook.output(1).locator(RESULT), notebook.output(2).locator(RESULT)):
            expect(result).to_have_count(1)
            assert result.locator(", ".join(ACTIVE - {"a"})).count() == 0
            assert result.locator("a:not([href^='http://127.0.0.1:'])").count() == 0
        assert (listener.paths, notebook.dialogs) == ([], [])
        with notebook.page.expect_event("dialog"):
            notebook.start(3)
        assert listener.wait_for("/heard")
        assert (listener.paths, notebook.dialogs) == (["/heard"], ["heard"])
