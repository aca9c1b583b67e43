"""What a run costs the page that shows it live, how large it is saved, and how high it stands there.

Measures any checkout, all or a part: PYTHONPATH=CHECKOUT python tests/benchmarks/page.py [ends] [heights] …
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import Figure, table
from board import cost

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from browser import Lab, Notebook, browser
from playwright.sync_api import Browser, Page

ROUNDS = 3
MANY = 10_000
WORKERS, LENGTH = 20, 2_000
WIDTHS = (1_200, 600)
STUDY = 120
BOARD = 50_000
SETUP = f"""
%load_ext parallm_magics
def answer(task, index):
    return f"Two faults, and the first is the worse one: line {{index + 12}} loses what it was given."
words = "The quick brown fox jumps over the lazy dog; **this** is `code`, and *that* is not.\\n\\n"
def long_answer(task, index):
    return (f"{{task.name}}: " + words * 40)[:{LENGTH}]
get_ipython().run_line_magic("parallm", "provider given --sim answer")
get_ipython().run_line_magic("parallm", "provider long --sim long_answer")
items = range({MANY})
labelled = [{{"text": f"item {{at}}", "label": "AB"[at % 2]}} for at in range({STUDY})]
"""
TIMED = """
import time
from parallm_magics.display import Board
from parallm_magics.notebook.widget import Table
spent, inside = [], []
def timed(kind, name):
    inner = getattr(kind, name)
    def outer(*args):
        if inside:
            return inner(*args)
        inside.append(name)
        began = time.thread_time()
        try:
            return inner(*args)
        finally:
            inside.clear()
            spent.append(time.thread_time() - began)
    setattr(kind, name, outer)
timed(Board, "tell"); timed(Board, "draw_ahead"); timed(Table, "draw")
"""


def sections(count: int, line: str) -> str:
    """A fan-out of so many sections."""
    return f"%%fanout {line}\n" + "".join(f"%section s{at}\nwrite\n" for at in range(count))


def mapped(count: int, line: str) -> str:
    """A fan-out over so many items."""
    return (
        f"items = range({count})\n"
        f"get_ipython().run_cell_magic('fanout', '--each items {line}', 'Read {{{{item}}}}.')"
    )


TELLS = (
    "import json\nlast = globals().get('run')\n"
    "print(json.dumps([sum(spent), last.seconds, len(last)] if last is not None else None))\nspent.clear()"
)
MAPPED = mapped(200, "-m given:")
HIGH = {
    "4 sections": sections(4, "-m given:"),
    "4 sections and a synthesis": sections(4, "-m given:") + "%synthesis\nMost serious first.\n",
    "12 sections": sections(12, "-m given:"),
    "a map of 200 items": MAPPED,
    "a vote of 5": "%%vote -n 5 --choices yes,no --seed 1 -m sim:?accuracy=0.8&scale=0\nIs it?",
    f"a study of {STUDY} items": (
        "%%vote --each labelled --truth label --choices A,B -n 3 --seed 1 "
        "-m sim:?accuracy=0.8&rho=0.3&scale=0\nWhich is it? {{item.text}}"
    ),
}
LIVE = {
    "20 workers": mapped(20, "-m sim:?latency=5 -c 20"),
    "100 workers": mapped(100, "-m sim:?latency=1 -c 20"),
    f"{MANY:,} workers": mapped(MANY, "-m sim:?latency=0.2 -c 200 -o run"),
}
ENDS = {
    "4 sections": sections(4, "-m given:?latency=1.5"),
    "20 items": mapped(20, "-m sim:?latency=1.5 -c 20"),
}
MOST = f"{MANY:,} workers"
HIGHEST = {
    ("4 sections", 1_200): 360,
    ("12 sections", 1_200): 700,
    ("a map of 200 items", 1_200): 900,
}
WARM = sections(2, "-m given:?latency=1")
SLEEP = "import asyncio\nawait asyncio.sleep(10)"
SAVED = sections(WORKERS, "-m long:?scale=0")
FRAMES = """cell => {
    const shown = cell.querySelector('.jp-Cell-outputArea');
    window.frames_ = []; window.heights_ = []; let last = performance.now();
    const next = now => {
        window.frames_.push(now - last); last = now;
        window.heights_.push(shown.getBoundingClientRect().height);
        window.at_ = requestAnimationFrame(next);
    };
    window.at_ = requestAnimationFrame(next);
}"""
ABOUT = (
    "Simulated runs, live in JupyterLab in headless Chromium on the same machine. A frame is the time "
    "between two of the page's own animation frames, from the cell's start until a second after its end; "
    "the bare one is that of a cell that only sleeps as long. Messages and bytes are those of the "
    "kernel's socket that go to widgets: 20 workers of 5 s at once, 100 of 1 s and 20 at once, "
    f"{MANY:,} of 0.2 s and 200 at once. The display's CPU is the thread time within the calls that take "
    "events in and draw, over the run's seconds. The drop is by how much the output's height falls from "
    "one animation frame to the next, while the run lasts and when its result takes the live table's "
    f"place, in percent of it. Sizes are those of the saved outputs of {WORKERS} workers with {LENGTH:,} "
    "characters each over those characters. Heights are those of a finished cell's output, in pixels, in "
    f"windows that are {WIDTHS[0]:,} and {WIDTHS[1]} pixels wide; answers have one line. A board of "
    f"{BOARD:,} is the live table's own work without a page."
)


class Heard(Notebook):
    """A notebook that notes how large each message is that its widgets get."""

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.sizes: list[int] = []
        page.on("websocket", lambda socket: socket.on("framereceived", self._received))

    def _received(self, payload: str | bytes) -> None:
        frame = payload.encode() if isinstance(payload, str) else payload
        if b'"comm_' in frame[:3000]:
            self.sizes.append(len(frame))

    def framed(self, index: int) -> tuple[list[float], list[float]]:
        """The milliseconds of each frame while the cell runs and a second after, and its heights."""
        self.cell(index).evaluate(FRAMES)
        self.run(index)
        self.page.wait_for_timeout(1000)
        found = self.page.evaluate("cancelAnimationFrame(at_); [frames_, heights_]")
        return found[0], found[1]

    def height(self, index: int) -> float:
        """Of what a cell shows."""
        box = self.output(index).bounding_box()
        assert box is not None
        return box["height"]


def drop(heights: Sequence[float]) -> float:
    """By how much a height falls at most from one frame to the next, in percent."""
    falls = (100 * (old - new) / old for old, new in pairwise(heights) if old > 0)
    return max(falls, default=0.0)


def opened(chromium: Browser, lab: Lab, *cells: str) -> Heard:
    """A notebook of a setup and these cells, the first of which is number 2; the setup has run."""
    lab.write("page.ipynb", [SETUP, TIMED, *cells, WARM])
    notebook = Heard.open(chromium, lab, "page.ipynb")
    # With the first widget a page loads what it needs for any.
    notebook.run(0, 1, 2 + len(cells))
    return notebook


def live(chromium: Browser, lab: Lab) -> list[Figure]:
    """What goes to the page, and how it keeps up."""
    notebook = opened(chromium, lab, *LIVE.values(), TELLS, SLEEP)
    sizes: dict[str, list[tuple[int, int]]] = {name: [] for name in LIVE}
    rounds = []
    tells, sleep = 2 + len(LIVE), 3 + len(LIVE)
    for _ in range(ROUNDS):
        for at, found in enumerate(sizes.values(), 2):
            notebook.run(tells)  # forgets what the display has spent
            notebook.sizes.clear()
            frame = max(notebook.framed(at)[0])
            found.append((len(notebook.sizes), sum(notebook.sizes)))
        notebook.run(tells)
        cpu, seconds, done = json.loads(notebook.output(tells).inner_text())
        assert done == MANY
        bare = max(notebook.framed(sleep)[0])
        rounds.append((frame, bare, 100 * cpu / seconds, seconds))
    notebook.close()
    frames, bares, cpus, lasted = zip(*rounds, strict=True)
    return [
        Figure(f"{MOST}: longest frame, ms", frames, 100, whole=True, digits=0),
        Figure("same, a cell that sleeps", bares, digits=0),
        *(figure for name, each in sizes.items() for figure in sent(name, each)),
        Figure(f"{MOST}: the display's CPU, % of the run", cpus, 5, whole=True, digits=1),
        Figure(f"{MOST}: seconds of the run", lasted, digits=1),
    ]


def sent(name: str, found: Sequence[tuple[int, int]]) -> list[Figure]:
    """The messages and bytes of one run in each round."""
    messages, sizes = zip(*found, strict=True)
    megabytes = [size / 1e6 for size in sizes]
    bounds = (60, 5) if name == MOST else (None, None)
    return [
        Figure(f"{name}: messages to widgets", messages, bounds[0], whole=True, digits=0),
        Figure(f"{name}: megabytes to widgets", megabytes, bounds[1], whole=True, digits=2),
    ]


def ends(chromium: Browser, lab: Lab) -> list[Figure]:
    """How the live table gives way to the result; each in a cell of its own that shows nothing yet."""
    cells = [code for code in ENDS.values() for _ in range(ROUNDS)]
    notebook = opened(chromium, lab, *cells)
    drops = [drop(notebook.framed(at)[1]) for at in range(2, 2 + len(cells))]
    notebook.close()
    return [
        Figure(
            f"{name}: largest drop, %",
            drops[at * ROUNDS : (at + 1) * ROUNDS],
            10,
            whole=True,
            digits=0,
        )
        for at, name in enumerate(ENDS)
    ]


def heights(chromium: Browser, lab: Lab) -> list[Figure]:
    """How high finished runs stand."""
    notebook = opened(chromium, lab, *HIGH.values())
    notebook.run(*range(2, 2 + len(HIGH)))
    found = []
    for width in WIDTHS:
        notebook.page.set_viewport_size({"width": width, "height": 900})
        notebook.page.wait_for_timeout(500)
        for at, name in enumerate(HIGH, 2):
            bound = HIGHEST.get((name, width))
            found.append(Figure(f"{name}: px at {width:,}", [notebook.height(at)], bound, digits=0))
    notebook.close()
    return found


def saved(chromium: Browser, lab: Lab) -> list[Figure]:
    """How large a run is in the notebook's file."""
    notebook = opened(chromium, lab, SAVED, MAPPED)
    notebook.run(2, 3)
    notebook.save()
    notebook.close()
    cells = lab.saved("page.ipynb")["cells"]
    long, many = cells[2]["outputs"], cells[3]["outputs"]
    text = WORKERS * LENGTH
    bundles = [each["data"] for each in long if "data" in each]
    plain = sum(len("".join(bundle.get("text/plain", ""))) for bundle in bundles)
    return [
        Figure("saved outputs / text", [size(long) / text], 5),
        Figure("saved text/plain / text", [plain / text]),
        Figure("a map of 200 items: saved kB", [size(many) / 1000], digits=0),
    ]


def size(outputs: Sequence[Any]) -> int:
    """The characters of a cell's outputs in the notebook's file."""
    return len(json.dumps(outputs, ensure_ascii=False))


def board() -> list[Figure]:
    """What the live table's own work costs, without a page."""
    events, pictures = cost(BOARD)
    return [
        Figure(f"a board of {BOARD:,}: µs an event", events, 3, digits=2),
        Figure(f"a board of {BOARD:,}: ms a picture", pictures, 10, digits=1),
    ]


def main(*parts: str) -> str:
    """Measure all parts, or those that are named, and give out the table."""
    figures = []
    with tempfile.TemporaryDirectory() as home, Lab(Path(home)) as lab, browser() as chromium:
        for part in PARTS:
            if not parts or part.__name__ in parts:
                figures += part(chromium, lab)
    return table("The page", ABOUT, [*figures, *([] if parts else board())])


PARTS = (live, ends, heights, saved)

if __name__ == "__main__":
    print(main(*sys.argv[1:]))
