"""How the live table gives way to the result: in one frame, and what is below does not jump."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from browser import Lab, Notebook
from playwright.sync_api import Browser, expect

LOAD = "%load_ext parallm_magics"
SECTIONS = "".join(f"%section s{n}\nprompt {n}\n" for n in range(4))
CELLS = {
    "fanout": f"%%fanout -m sim:?latency=1&scale=2\n{SECTIONS}",
    "vote": "%%vote -n 5 --choices safe,unsafe -m sim:?latency=1&scale=2\nSafe or unsafe?",
    "timed": f"%%time\n%%fanout -m sim:?latency=1&scale=2\n{SECTIONS}",
    "too few": f"%%fanout --min-success 4 -m sim:?latency=1&scale=2&fail=1\n{SECTIONS}",
}
MOST_DROP = 0.10
# Of every frame of the page: how high the output is, and how much of it each part takes.
WATCH = """cell => {
    const frames = window.parallmFrames = [];
    const output = cell.querySelector('.jp-Cell-outputArea');
    const height = element => element.getBoundingClientRect().height;
    const sum = (inside) => [...output.querySelectorAll('.jp-OutputArea-child')]
        .filter(child => child.querySelector(inside)).reduce((all, child) => all + height(child), 0);
    const look = () => {
        frames.push([height(output), sum('.parallm-live'), sum(':not(.parallm-live *).parallm-run')]);
        window.parallmWatch = requestAnimationFrame(look);
    };
    look();
}"""


@pytest.mark.parametrize("app", ["doc/tree", "notebooks"], ids=["lab", "notebook-7"])
def test_the_result_takes_the_place_of_the_live_table(
    lab: Lab, chromium: Browser, app: str
) -> None:
    """In no frame are both of them there, or neither, and what is below never jumps up."""
    lab.write("gives-way.ipynb", [LOAD, *CELLS.values()])
    notebook = Notebook.open(chromium, lab, "gives-way.ipynb", app=app)
    notebook.run(0)
    seen: dict[str, list[Any]] = {}
    for index, name in enumerate(CELLS, 1):
        notebook.cell(index).evaluate(WATCH)
        notebook.run(index)
        notebook.page.wait_for_timeout(200)
        seen[name] = notebook.page.evaluate("cancelAnimationFrame(parallmWatch), parallmFrames")
    notebook.save()
    saved = [c["outputs"] for c in lab.saved("gives-way.ipynb")["cells"][1:]]
    notebook.close()
    lab.shut_down_kernels()
    for name, frames in seen.items():
        shown = [at for at, (_, live, _) in enumerate(frames) if live > 0]
        assert shown, name
        since = frames[shown[0] :]
        assert all((live > 0) != (result > 0) for _, live, result in since), name
        heights = [height for height, *_ in since]
        # An error in place of a table is another thing than a table that jumps.
        falls = [after / before for before, after in pairwise(heights)] if name != "too few" else []
        assert min(falls, default=1.0) >= 1 - MOST_DROP, name
    kinds = [
        sorted({kind for output in outputs for kind in output.get("data", {})}) for outputs in saved
    ]
    assert kinds[: len(CELLS)] == [["text/html", "text/plain"]] * len(CELLS)


LOST = (
    "%%fanout -o {0} --min-success 0 --retries 0 -m sim:?latency={1}&scale=1&fail=1\n%section a\nx"
)
BESIDE = """import asyncio
async def again(run):
    display(await run.retry())
await asyncio.gather(again(quick), again(slow))"""


def test_a_table_stays_while_its_run_lasts(lab: Lab, chromium: Browser) -> None:
    """Also where the result of another run, which ended sooner, stands below it."""
    lab.write("beside.ipynb", [LOAD, LOST.format("quick", 1), LOST.format("slow", 5), BESIDE])
    notebook = Notebook.open(chromium, lab, "beside.ipynb")
    for index in range(3):
        notebook.run(index)
    notebook.start(3)
    output = notebook.output(3)
    live, results = ".parallm-live:visible", output.locator(":not(.parallm-live *).parallm-run")
    expect(output.locator(live)).to_have_count(2)
    expect(results).to_have_count(1)
    expect(output.locator(live)).to_have_count(1)
    notebook.wait(3)
    expect(results).to_have_count(2)
    expect(output.locator(live)).to_have_count(0)
    notebook.close()
    lab.shut_down_kernels()


def test_a_fold_that_is_opened_stays_open(lab: Lab, chromium: Browser) -> None:
    """A reader opens the votes of a vote under way, and later drawings move them and close nothing."""
    vote = "%%vote -n 3 --choices safe,unsafe -m sim:?latency=4&scale=1\nSafe or unsafe?"
    lab.write("opened.ipynb", [LOAD, vote])
    notebook = Notebook.open(chromium, lab, "opened.ipynb")
    notebook.run(0)
    notebook.start(1)
    output = notebook.output(1)
    expect(output.get_by_text("3 votes", exact=True)).to_be_visible()
    expect(output.locator(".parallm-live table").last).to_be_hidden()
    output.get_by_text("3 votes", exact=True).click()
    rows = output.locator(".parallm-live table").last
    expect(rows).to_contain_text("answering")
    expect(rows).to_contain_text(re.compile(r"3\.\d s"))  # a later drawing
    expect(rows).to_be_visible()
    notebook.wait(1)
    expect(output.locator(".parallm-live")).to_have_count(0)
    notebook.close()
    lab.shut_down_kernels()
