"""In a real kernel, the live table is a guest: it shows, it goes, and its failures harm no run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kernel import WIDGET_VIEW, Cell, Kernel

WORKERS = "".join(f"%section s{n}\nprompt {n}\n" for n in range(6))
SECOND = "-m sim:?latency=1&scale=1"
COMMS = ("comm_open", "comm_msg", "comm_close")


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """The kernel of this module."""
    with Kernel() as kernel:
        kernel.run("%load_ext parallm_magics")
        # The first use imports ipywidgets.
        kernel.run(f"%%fanout -m sim:?latency=1&scale=0.4\n{WORKERS}")
        yield kernel


def updates(cell: Cell) -> list[tuple[Any, str]]:
    """When each drawing came, and its html."""
    found = []
    for message in cell.messages:
        if message["msg_type"] in ("comm_open", "comm_msg"):
            html = message["content"]["data"].get("state", {}).get("value")
            # Its style sheet and what a screen reader is told are widgets of their own.
            if html is not None and not html.startswith(("<style>", '<span role="status"')):
                found.append((message["header"]["date"], html))
    return found


@pytest.mark.parametrize("head", ["", "%%time\n"], ids=["awaited", "nested"])
def test_the_table_shows_and_goes(kernel: Kernel, head: str) -> None:
    """One slot, filled by a widget and nothing else; emptied at the end, the widgets closed."""
    cell = kernel.run(f"{head}%%fanout {SECOND}\n{WORKERS}")
    [slot] = cell.of("display_data")
    assert set(slot["data"]) == {WIDGET_VIEW}
    [emptied] = cell.of("update_display_data")
    assert emptied["data"] == {}
    assert emptied["transient"] == slot["transient"]
    opened = {c["comm_id"] for c in cell.of("comm_open")}
    assert slot["data"][WIDGET_VIEW]["model_id"] in opened
    assert {c["comm_id"] for c in cell.of("comm_close")} == opened
    assert "6 of 6 sections succeeded" in cell.plain
    kinds = [m["msg_type"] for m in cell.messages]
    assert kinds.index("execute_result") < kinds.index("update_display_data"), (
        "never neither of them"
    )


FAILS = "%section bad -m sim:?fail=1&latency=0.4&scale=1\nx\n"
RUN = f"get_ipython().run_cell_magic('fanout', {SECOND!r}, {WORKERS!r})"
AGAIN = """
import asyncio
async def again(): return await kept.retry()
await asyncio.create_task(again())
"""
OUTPUTS = ("stream", "display_data", "execute_result", "error")
ENDS = {
    "result": (f"%%fanout {SECOND}\n{WORKERS}", 1, ["execute_result"]),
    "hidden-result": (f"%%fanout {SECOND} -o kept\n{WORKERS};", 1, []),
    "too-few": (f"%%fanout {SECOND} --min-success 7\n{WORKERS}{FAILS}", 1, ["display_data", "error"]),
    "interrupted": (
        "%%fanout -m sim:?latency=600 --deadline 1000\n%section a\nx\n", 1, ["display_data", "error"]
    ),
    "timed": (f"%%time\n%%fanout {SECOND}\n{WORKERS}", 1, ["stream", "execute_result"]),
    "captured": (f"%%capture kept\n%%fanout {SECOND}\n{WORKERS}", 0, []),
    "two-in-a-cell": (f"{RUN}\n{RUN}", 2, ["execute_result"]),
    "in-a-cell-in-a-cell": (f"get_ipython().run_cell({RUN!r}); 1", 1, ["execute_result"] * 2),
    "one-fails": (f"%%fanout {SECOND} -o kept\n{WORKERS}{FAILS}", 1, ["execute_result"]),
    "in-a-task": (AGAIN, 1, ["execute_result"]),
}  # fmt: skip
"""By name: a cell, how many tables it shows one after the other, and what stays of it."""


@pytest.mark.parametrize("name", ENDS)
def test_however_a_cell_ends_nothing_live_stays(kernel: Kernel, name: str) -> None:
    """Each table has gone when the cell is over, and the next comes after the one before has gone."""
    code, tables, stays = ENDS[name]
    number = kernel.send(code)
    if name == "interrupted":
        kernel.until(lambda: bool(kernel._cells[number].of("display_data")), "the table")
        kernel.interrupt()
    cell = kernel.cell(number)
    told = [m["content"] for m in cell.messages]
    slots = [c for c in told if WIDGET_VIEW in c.get("data", {})]
    gone = cell.of("update_display_data")
    assert len(slots) == tables
    assert [c["transient"] for c in slots] == [c["transient"] for c in gone]
    assert all(c["data"] == {} for c in gone)
    assert all(told.index(a) < told.index(b) for a, b in zip(gone, slots[1:], strict=False))
    closed = {c["comm_id"] for c in cell.of("comm_close")}
    assert {c["comm_id"] for c in cell.of("comm_open")} == closed
    shown = [
        m for m in cell.messages if m["msg_type"] in cell.outputs and m["content"] not in slots
    ]
    assert [m["msg_type"] for m in shown if m["msg_type"] in {"stream", *stays}] == stays


LONG = """%%fanout -m sim:?latency=600 --timeout 1000 --deadline 1000 -o kept
%section patient
x
%section quick -m sim:?latency=0
x
"""


def buttons(cell: Cell) -> list[dict[str, Any]]:
    """The buttons that a cell has put beside its table."""
    opened = cell.of("comm_open")
    return [c for c in opened if c["data"]["state"]["_model_name"] == "ButtonModel"]


def test_a_click_on_cancel_ends_the_run(kernel: Kernel) -> None:
    """The button stops the workers, what is done is kept, one line says so; the next cell runs."""
    number = kernel.send(LONG)
    kernel.until(lambda: bool(buttons(kernel._cells[number])), "the button")
    [button] = buttons(kernel._cells[number])
    kernel.tell(button["comm_id"], {"method": "custom", "content": {"event": "click"}})
    cell = kernel.cell(number)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert cell.error == (
        "KeyboardInterrupt: cancelled; 1 of 2 workers were done; kept holds the records"
    )
    assert kernel.value("[record.status for record in kept.results]") == ["cancelled", "ok"]
    said = [m["content"] for m in kernel.everything if m["msg_type"] == "comm_msg"]
    told = [c["data"].get("state") for c in said if c["comm_id"] == button["comm_id"]]
    assert told == [{"disabled": True}, {"description": "Cancelling…"}]


def test_no_button_where_no_click_is_heard(kernel: Kernel) -> None:
    """A nested run shows its table alone: the kernel would take in the click after its end."""
    cell = kernel.run(f"%%time\n%%fanout {SECOND}\n{WORKERS}")
    assert cell.of("comm_open")
    assert buttons(cell) == []


FUZZED = """
import random
from parallm_magics.notebook.widget import Table
chance, clicks = random.Random(7), []
table = Table(lambda: clicks.append(1))
table.show("<b>drawn</b>")
words = ["method", "content", "data", "event", "click", "custom", "update", "state", "value", "echo_update",
         "disabled", "description", "_model_name", "layout", "__class__", None, 1, -0.5, True, "", "request_state"]
def value(depth=0):
    kind = chance.randrange(3 if depth < 4 else 1)
    if kind == 0: return chance.choice(words)
    if kind == 1: return [value(depth + 1) for _ in range(chance.randrange(3))]
    return {str(chance.choice(words)): value(depth + 1) for _ in range(chance.randrange(4))}
def state(): return [part.get_state() for part in table._parts]
before = state()
CLICK = {"event": "click"}
"""

FUZZ = """
for _ in range(1_000):
    part, content = chance.choice(table._parts), value()
    data = chance.choice([
        content,
        {"method": "update", "state": {"value": "<script>", "disabled": content}},
        {"method": "custom", "content": content if content != CLICK else None},
        {"method": "request_state", "state": content},
    ])
    part.comm.handle_msg(data if chance.random() < 0.2 else {"content": {"data": data}})
"""

AFTER_FUZZ = """
heard = (len(clicks), state() == before)
other = next(part for part in table._parts if part is not table._button)
other.comm.handle_msg({"content": {"data": {"method": "custom", "content": CLICK}}})
heard += (len(clicks),)
table._button.comm.handle_msg({"content": {"data": {"method": "custom", "content": {"event": "click", "x": 1}}}})
heard += (len(clicks), state() == before)
table.take_down()
"""


def test_the_page_can_say_nothing_but_cancel(kernel: Kernel) -> None:
    """Ten thousand other messages set no trait, run nothing and raise nothing."""
    # A few cells: of more answers than a thousand at once, ZeroMQ drops some, and with them a cell's end.
    for code in (FUZZED, *[FUZZ] * 10, AFTER_FUZZ):
        cell = kernel.run(code)
        assert cell.error == ""
        assert "error" not in cell.stream("stderr").lower()
    assert kernel.value("heard") == (0, True, 0, 1, False)


def test_no_widget_stays(kernel: Kernel) -> None:
    """After a run no model is left that a saved notebook would hold."""
    kernel.run("import ipywidgets.widgets.widget as w; before = len(w._instances)")
    kernel.run(f"%%fanout -m sim:?latency=1&scale=0.4\n{WORKERS}")
    assert kernel.value("len(w._instances) - before") == 0


def test_at_most_five_drawings_a_second(kernel: Kernel) -> None:
    """However much happens, the front end gets five updates a second, with no more rows than are drawn.

    The last one comes whenever the cell ends: the empty one.
    """
    many = "".join(f"%section s{n}\nprompt {n}\n" for n in range(60))
    cell = kernel.run(f"%%fanout -m sim:?latency=lognormal(0.3,0.5)&scale=1 -c 60\n{many}")
    drawn = updates(cell)
    assert len(drawn) >= 3
    for n, (at, _) in enumerate(drawn[5:-1]):
        assert (at - drawn[n][0]).total_seconds() > 0.9
    assert all(html.count("<tr") <= 1 + 30 for _, html in drawn)
    assert drawn[-1][1] == ""


def test_where_code_follows_the_last_picture_shows_the_end(kernel: Kernel) -> None:
    """It stands until the cell is over, while a result would take its place at once."""
    cell = kernel.run(f"{RUN}\nimport time; time.sleep(0.1)")
    assert "6 of 6 done" in updates(cell)[-2][1]


def test_a_quick_run_shows_no_table(kernel: Kernel) -> None:
    """A run that ends at once sends no widget message."""
    cell = kernel.run(f"%%fanout -m sim:?scale=0\n{WORKERS}")
    assert cell.of("display_data", "update_display_data", *COMMS) == []


def test_live_can_be_switched_off(kernel: Kernel) -> None:
    """With PARALLM_LIVE=0 no run sends a widget message."""
    kernel.run("import os; os.environ['PARALLM_LIVE'] = '0'")
    cell = kernel.run(f"%%fanout -m sim:?latency=1&scale=0.5\n{WORKERS}")
    kernel.run("del os.environ['PARALLM_LIVE']")
    assert cell.of("display_data", "update_display_data", *COMMS) == []
    assert "6 of 6" in cell.plain


FLAKY = """
import random
from ipykernel.comm.comm import BaseComm
chance, before = random.Random(1), BaseComm.publish_msg
failed = []
def flaky(self, *args, **kwargs):
    if chance.random() < SHARE:
        failed.append(1)
        raise RuntimeError("the front end is gone")
    return before(self, *args, **kwargs)
BaseComm.publish_msg = flaky
"""


@pytest.mark.parametrize("share", [0.3, 1.0], ids=["at-random", "always"])
def test_a_failing_front_end_fails_no_worker(kernel: Kernel, share: float) -> None:
    """Messages that cannot be sent cost the table, said in one line, and no answer."""
    kernel.run(FLAKY.replace("SHARE", str(share)))
    cells = [kernel.run(f"%%fanout -m sim:?latency=1&scale=0.6\n{WORKERS}") for _ in range(4)]
    kernel.run("BaseComm.publish_msg = before")
    assert kernel.value("len(failed) > 0")
    assert all("6 of 6 sections succeeded" in cell.plain for cell in cells)
    said = "".join(cell.stream("stderr") for cell in cells)
    assert said.count("\n") <= 1
    assert "Traceback" not in said


@pytest.mark.parametrize("n", range(4))
def test_a_failing_drawing_loses_no_answer(kernel: Kernel, n: int) -> None:
    """A bug in what draws the table ends the table, not the run."""
    kernel.run(
        "from parallm_magics.display import Board\n"
        f"before, name = None, {['tell', 'live_parts', 'tell', 'live_parts'][n]!r}\n"
        "before = getattr(Board, name)\n"
        "calls = []\n"
        "def failing(self, *args):\n"
        "    calls.append(1)\n"
        f"    if len(calls) == {[1, 1, 9, 2][n]}: raise ValueError('a bug')\n"
        "    return before(self, *args)\n"
        "setattr(Board, name, failing)"
    )
    cell = kernel.run(f"%%fanout -m sim:?latency=1&scale=0.6\n{WORKERS}")
    kernel.run("setattr(Board, name, before)")
    assert kernel.value(f"len(calls) >= {[1, 1, 9, 2][n]}")
    assert "6 of 6 sections succeeded" in cell.plain
    assert cell.error == ""


def test_a_failing_picture_leaves_the_plain_text(kernel: Kernel) -> None:
    """A bug in what draws the saved html leaves the text, and the answers."""
    kernel.run(
        "from parallm_magics import display\nbefore = display.html\n"
        "def failing(*args): raise ValueError('a bug')\ndisplay.html = failing"
    )
    cell = kernel.run(f"%%fanout -m sim:?scale=0 -o kept\n{WORKERS}")
    kernel.run("display.html = before")
    assert cell.outputs == ["execute_result"]
    assert "6 of 6 sections succeeded" in cell.plain
    assert kernel.value("len(kept)") == 6


def test_without_ipywidgets() -> None:
    """Where ipywidgets is missing one line says so, once, and runs are as before."""
    with Kernel() as kernel:
        kernel.run("import sys; sys.modules['ipywidgets'] = None\n%load_ext parallm_magics")
        cells = [kernel.run(f"%%fanout -m sim:?latency=1&scale=0.4\n{WORKERS}") for _ in range(3)]
        assert all("6 of 6 sections succeeded" in cell.plain for cell in cells)
        assert [cell.of("display_data", *COMMS) for cell in cells] == [[], [], []]
        assert cells[0].stream("stderr").count("\n") == 1
        assert "ipywidgets" in cells[0].stream("stderr")
        assert [cell.stream("stderr") for cell in cells[1:]] == ["", ""]


def test_a_note_shows_the_table_at_once(kernel: Kernel) -> None:
    """What the calls may be wasted on is seen before they have ended, however quick they are."""
    kernel.run("code = 1")
    cell = kernel.run("%%vote -m sim:?latency=1&scale=0.1\nReview {code}.")
    drawings = [html for _, html in updates(cell) if html]
    assert "{code} is sent as text" in drawings[0]
    assert drawings[0].index("{code} is sent") < drawings[0].index("still open")
    kernel.run("del code")
