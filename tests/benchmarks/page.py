"""What a map of 10,000 items costs the page that shows it live, and how large a saved run is."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import Figure, table

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from browser import Lab, Notebook, browser
from playwright.sync_api import Browser, Page

ITEMS = 10_000
ROUNDS = 3
WORKERS, LENGTH = 20, 2000
ABOUT = (
    f"A map of {ITEMS:,} simulated items in about 10 s, live in JupyterLab in headless Chromium on the "
    "same machine. A frame is the time between two of the page's own animation frames, from the cell's "
    "start until a second after its end; the bare one is that of a cell that only sleeps as long. "
    "Messages and bytes are those of the kernel's socket that go to widgets. The display's CPU is the "
    "thread time within the calls that take events in and draw, over the run's seconds. The size is that "
    f"of the saved outputs of {WORKERS} workers with {LENGTH:,} characters each over those characters."
)
SETUP = f"""
%load_ext parallm_magics
%parallm provider given --sim answers
import time
from parallm_magics.display import Board
from parallm_magics.notebook.widget import Table
items = range({ITEMS})
spent = []
def timed(kind, name):
    inner = getattr(kind, name)
    def outer(*args):
        began = time.thread_time()
        try:
            return inner(*args)
        finally:
            spent.append(time.thread_time() - began)
    setattr(kind, name, outer)
timed(Board, "tell"); timed(Board, "live_html"); timed(Table, "draw")
"""
MAP = "%%fanout --each items -m sim:?latency=0.2 -c 200 -o run\nRead {{item}}."
TOLD = "import json\nprint(json.dumps([sum(spent), run.seconds, len(run)]))\nspent.clear()"
SLEEP = "import asyncio\nawait asyncio.sleep(10)"
ANSWERS = f"""
words = "The quick brown fox jumps over the lazy dog; **this** is `code`, and *that* is not.\\n\\n"
def answers(task, index):
    return (f"{{task.name}}: " + words * 40)[:{LENGTH}]
"""
FANOUT = "%%fanout -m given:?latency=1\n" + "".join(
    f"%section s{at}\nwrite\n" for at in range(WORKERS)
)
SET_UP, MAPPED, TELLS, SLEPT, FANNED = 1, 2, 3, 4, 5
FRAMES = """() => {
    window.frames_ = []; let last = performance.now();
    const next = now => { window.frames_.push(now - last); last = now; window.at_ = requestAnimationFrame(next); };
    window.at_ = requestAnimationFrame(next);
}"""


def longest(notebook: Notebook, index: int) -> float:
    """Milliseconds of the longest frame while the cell runs and a second after."""
    notebook.page.evaluate(FRAMES)
    notebook.run(index)
    notebook.page.wait_for_timeout(1000)
    return float(notebook.page.evaluate("cancelAnimationFrame(at_); Math.max(...frames_)"))


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


def measure(lab: Lab, chromium: Browser) -> tuple[list[list[float]], float]:
    """The figures of each round: frame, bare frame, messages, megabytes, CPU; and the saved size."""
    lab.write("page.ipynb", [ANSWERS, SETUP, MAP, TOLD, SLEEP, FANOUT])
    notebook = Heard.open(chromium, lab, "page.ipynb")
    notebook.run(0, SET_UP, FANNED)  # with the first widget a page loads what it needs for any
    rounds = []
    for _ in range(ROUNDS):
        notebook.sizes.clear()
        frame = longest(notebook, MAPPED)
        sizes = list(notebook.sizes)
        notebook.run(TELLS)
        cpu, seconds, done = json.loads(notebook.output(TELLS).inner_text())
        assert done == ITEMS
        bare = longest(notebook, SLEPT)
        rounds.append([frame, bare, len(sizes), sum(sizes) / 1e6, 100 * cpu / seconds, seconds])
    notebook.run(FANNED)
    notebook.save()
    outputs: Any = lab.saved("page.ipynb")["cells"][FANNED]["outputs"]
    return rounds, len(json.dumps(outputs, ensure_ascii=False)) / (WORKERS * LENGTH)


def main() -> str:
    """Measure and give out the table."""
    with tempfile.TemporaryDirectory() as home, Lab(Path(home)) as lab, browser() as chromium:
        rounds, size = measure(lab, chromium)
    frame, bare, messages, megabytes, cpu, seconds = zip(*rounds, strict=True)
    figures = [
        Figure("longest frame, ms", frame, 100, whole=True, digits=0),
        Figure("same, a cell that sleeps", bare, digits=0),
        Figure("messages to widgets", messages, 60, whole=True, digits=0),
        Figure("megabytes to widgets", megabytes, 5, whole=True, digits=2),
        Figure("the display's CPU, % of the run", cpu, 5, whole=True, digits=1),
        Figure("seconds of the run", seconds, digits=1),
        Figure("saved outputs / text", [size], 4),
    ]
    return table("The page", ABOUT, figures)


if __name__ == "__main__":
    print(main())
