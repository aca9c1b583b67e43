"""Make the pictures of the README and the documentation, in notebooks/images: `python tests/screenshots.py`.

Every cell in them runs on a simulated model.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))

from browser import Lab, Notebook, browser
from playwright.sync_api import Browser, expect

IMAGES = Path(__file__).parent.parent / "notebooks" / "images"

SETUP = '''
%load_ext parallm_magics

TEXTS = {
    "security": [
        """**Injection**: `owner` is put into the SQL text; a quote in it changes the query.
Use a parameter: `db.execute("... WHERE owner = ?", [owner])`."""
    ],
    "style": ["`f` and `r` say nothing; `find_notes` and `rows` would. One function does two things."],
    "speed": ["Every call opens a connection and reads all columns of all notes."],
    "synthesis": [
        """1. **Security**: pass `owner` as a parameter, not inside the SQL text.
2. **Speed**: open the connection once; read the columns that are shown.
3. **Style**: names that say what they hold."""
    ],
}
%parallm provider demo --sim TEXTS
%config ParallmMagics.model = "demo:reviewer?latency=lognormal(4,0.4)"

reviews = range(1, 4001)
SMALL, BIG = "sim:small?rho=0.6&scale=0", "sim:big?accuracy=0.95&rho=0.6&scale=0"
TOPICS = ["delivery", "damage", "invoice"]
tickets = [
    {"text": f"{said} (order {order})", "topic": topic}
    for order in range(101, 141)
    for topic, said in {
        "delivery": "where is my parcel?",
        "damage": "it came broken",
        "invoice": "billed twice",
    }.items()
]
code = """
def f(owner):
    r = connect("notes.db").execute(f"SELECT * FROM notes WHERE owner = '{owner}'")
    return [dict(row) for row in r]
"""
'''
FANOUT = """
%%fanout -o review
Review this code for one concern only.

{{code}}

%section security --system "You are a security expert."
Report injection and secrets.

%section style
Report naming and structure.

%section speed
Report needless work.

%synthesis
Merge the reviews into one list, most serious first.
"""
VOTE = """
%%vote -n 7 --choices unsafe,safe -m sim -o verdict
Is this code unsafe or safe?

{{code}}
"""
ERROR = """
%%vote -n 7 --chioces unsafe,safe
Is this code unsafe or safe?
"""
MAP = """
%%fanout --each reviews --choices positive,negative -m sim:?fail=0.02&latency=lognormal(2,0.4) -o run
Is review number {{item}} positive or negative?
"""
STUDY = """
%%vote -n 5 -m {{SMALL}} --each tickets --truth topic --choices {{TOPICS}} --compare stop=clinch,{{BIG}}
What is this ticket about?

{{item.text}}
"""
SET_UP, FANNED, VOTED, MISTAKEN, MAPPED, STUDIED = range(6)
MAP_SECONDS = 9
MAP_HEIGHT = 420
STUDY_HEIGHT = 900
_ROW_ENDS = """cell => [...cell.querySelectorAll("tr")].map(
    row => row.getBoundingClientRect().bottom - cell.getBoundingClientRect().top)"""


def main() -> None:
    """Run one notebook in light and once more in dark, and picture its cells."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, Lab(Path(home)) as lab, browser() as chromium:
        lab.write("review.ipynb", [SETUP, FANOUT, VOTE, ERROR, MAP, STUDY])
        light(opened(chromium, lab, "Light"))
        lab.shut_down_kernels()
        dark(opened(chromium, lab, "Dark"))
    for image in sorted(IMAGES.glob("*.png")):
        print(f"{image.name}: {image.stat().st_size / 1000:.0f} kB")


def opened(chromium: Browser, lab: Lab, theme: str) -> Notebook:
    """The notebook in that theme, set up."""
    lab.theme(theme)
    # High enough for every cell to be in sight.
    notebook = Notebook.open(chromium, lab, "review.ipynb", size=(1000, 4000))
    notebook.run(SET_UP)
    return notebook


def light(notebook: Notebook) -> None:
    """The fan-out while it runs and after, the vote, the mistake, a study, a map while it runs."""
    under_way(notebook)
    picture(notebook, FANNED, "live")
    notebook.wait(FANNED)
    notebook.run(VOTED, MISTAKEN, STUDIED)
    picture(notebook, STUDIED, "study", STUDY_HEIGHT)
    picture(notebook, FANNED, "fanout")
    picture(notebook, VOTED, "vote")
    picture(notebook, MISTAKEN, "error")
    notebook.start(MAPPED)
    notebook.page.wait_for_timeout(MAP_SECONDS * 1000)
    picture(notebook, MAPPED, "map", MAP_HEIGHT)
    notebook.close()


def dark(notebook: Notebook) -> None:
    """The fan-out in the dark theme."""
    notebook.run(FANNED)
    picture(notebook, FANNED, "dark")
    notebook.close()


def under_way(notebook: Notebook) -> None:
    """Start the fan-out and wait until one worker is done while another one answers."""
    notebook.start(FANNED)
    live = notebook.output(FANNED).locator(".widget-html tbody")
    expect(live.locator("tr", has_text="ok")).to_have_count(1)
    expect(live.locator("tr", has_text="answering")).not_to_have_count(0)


def picture(notebook: Notebook, index: int, name: str, most: float = math.inf) -> None:
    """Picture one cell or its upper rows, with the selection's frame out of the picture."""
    notebook.cell(SET_UP).locator(".jp-InputPrompt").click()
    box = notebook.cell(index).bounding_box()
    assert box is not None
    height = box["height"] - 2
    if height > most:  # down to the last row that is whole
        ends = notebook.cell(index).evaluate(_ROW_ENDS)
        height = max(end for end in ends if end <= most)
    clip = {"x": box["x"], "y": box["y"] + 2, "width": box["width"], "height": height}
    notebook.page.screenshot(path=IMAGES / f"{name}.png", clip=clip)


if __name__ == "__main__":
    main()
