"""In a real kernel, an interrupt at any moment ends the run, keeps what is done and harms nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from kernel import Cell, Kernel
from provider import Act, Call, Loopback

# On a busy machine; the 0.5 s that we promise are measured by a benchmark.
SOON = 2.0
WORKERS = "".join(f"%section s{n}\nprompt {n}\n" for n in range(20))
TWICE = pytest.mark.parametrize("head", ["", "%%time\n"], ids=["awaited", "nested"])
LEFT = (
    "sorted(t.get_coro().__qualname__ for t in asyncio.all_tasks() "
    "if not t.done() and t is not asyncio.current_task())"
)


@pytest.fixture(scope="module")
def one_kernel(server: Loopback) -> Iterator[Kernel]:
    """The kernel of this module."""
    env = {"ANTHROPIC_API_KEY": "sk-a-key", "ANTHROPIC_BASE_URL": server.url}
    with Kernel(**env) as kernel:
        kernel.run("%load_ext parallm_magics")
        kernel.run("%%time\n%%fanout -m claude-x\n%section a\nhello\n")
        kernel.run(f"import asyncio\nbefore = {LEFT}")
        yield kernel


@pytest.fixture
def kernel(one_kernel: Kernel, server: Loopback) -> Iterator[Kernel]:
    """The kernel; after each test ten cells must work in it, and nothing of the run is left."""
    server.clear()
    one_kernel.run("kept = None")
    yield one_kernel
    asked = len(server.log)
    cells = [one_kernel.send(f"%%fanout -m sim:?scale=0\n%section a\n{n}\n") for n in range(4)]
    cells += [one_kernel.send(f"%%time\n%%vote -n 1 -m sim:?scale=0\n{n}\n") for n in range(4)]
    cells += [one_kernel.send("1"), one_kernel.send("await asyncio.sleep(0)")]
    for number in cells:
        assert one_kernel.cell(number).reply["status"] == "ok"
    one_kernel.settle(f"{LEFT} == before")
    one_kernel.until(lambda: server.in_flight == 0, "the end of the requests")
    assert len(server.log) == asked


def interrupted(cell: Cell) -> None:
    """The cell has ended in one line that says so."""
    assert cell.reply["status"] == "error"
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert cell.error.startswith("KeyboardInterrupt: interrupted")
    assert "\n" not in cell.error
    assert cell.outputs[-1] == "error"
    assert cell.stream("stderr") == ""


@TWICE
def test_at_random_moments(kernel: Kernel, server: Loopback, head: str) -> None:
    """Wherever it falls, the cell ends soon, done answers stay, the rest is cancelled, no call follows."""
    moments = random.Random(7)

    def spread(call: Call) -> Act:
        return Act(delay=0.05 * moments.randrange(20), gap=0.01)

    server.script("spread", spread)
    for _ in range(12):
        server.clear()
        last = "%section last -m anthropic:hang\nx\n"
        number = kernel.send(f"{head}%%fanout -m anthropic:spread -o kept\n{WORKERS}{last}")
        behind = kernel.send("kept = 'the next cell ran'")
        kernel.until(lambda: len(server.log) > 0, "the first request")
        time.sleep(moments.uniform(0, 1))
        at = kernel.interrupt()
        cell = kernel.cell(number)
        assert cell.replied - at < SOON
        interrupted(cell)
        assert kernel.cell(behind).reply["status"] == "aborted"
        assert "cancelled" in cell.shown[0]["text/plain"]
        asked = len(server.log)
        statuses = kernel.value("[record.status for record in kept.results]")
        assert len(statuses) == 21
        assert set(statuses) <= {"ok", "cancelled"}
        assert f"{statuses.count('ok')} of 21 workers were done; kept holds" in cell.error
        # Whole, though the server may not have written the end of the stream yet.
        kept = kernel.value("[r.text for r in kept.results if r.ok]")
        assert set(kept) <= {f"echo: {call.prompt}" for call in server.log}
        assert len(server.log) == asked


def test_an_interrupted_map_counts_what_never_began(kernel: Kernel, server: Loopback) -> None:
    """The line says of how many, though a run holds no record of an item that was not read."""
    kernel.run("many = range(2000)")
    number = kernel.send(
        "%%fanout -c 2 --each many -m anthropic:slow-30000ms -o kept\nRead {{item}}."
    )
    kernel.until(lambda: len(server.log) >= 2, "the first calls")
    kernel.interrupt()
    cell = kernel.cell(number)
    interrupted(cell)
    assert "0 of 2,000 workers were done; kept holds the records" in cell.error
    assert kernel.value("len(kept.results)") < 2000


def test_a_study_keeps_the_items_that_are_done(kernel: Kernel, server: Loopback) -> None:
    """What was voted on is measured, the rest is counted, and a retry asks for that alone."""
    kernel.run("items = [{'text': f't{n}', 'label': 'A'} for n in range(6)]")
    server.answers = lambda body: "ANSWER: A"
    server.script("slow", lambda call: Act(delay=0.05 if "t0" in call.prompt else 30))
    number = kernel.send(
        "%%vote -n 3 -c 6 --each items --truth label --choices A,B -m anthropic:slow -o kept\n"
        "Which is it?\n\n{{item.text}}"
    )
    kernel.until(lambda: len(server.log) >= 9, "the calls of the next items")
    kernel.interrupt()
    cell = kernel.cell(number)
    server.answers = None
    interrupted(cell)
    assert "3 of 18 workers were done; kept holds the records" in cell.error
    assert "1 item · 5 more could not be measured" in cell.shown[0]["text/plain"]
    assert kernel.value("(dict(kept), kept.unmeasured)") == (
        {"1": "A", "2": None, "3": None, "4": None, "5": None, "6": None},
        5,
    )


@TWICE
def test_while_the_cell_is_read(kernel: Kernel, server: Loopback, head: str) -> None:
    """An interrupt while a variable is looked at ends that: there is no call, and no run to keep."""
    kernel.run(
        "import os, signal, types\n"
        "class Slow:\n"
        "    @property\n    def text(self): os.kill(os.getpid(), signal.SIGINT); return 'x'\n"
        "slow = Slow()"
    )
    cell = kernel.run(f"{head}%%fanout -m claude-x -o kept\n%section a\n{{{{slow.text}}}}\n")
    interrupted(cell)
    assert cell.error.endswith("before any call was made")
    assert kernel.value("kept is None")
    assert server.log == []


def test_before_the_cell_listens(kernel: Kernel, server: Loopback) -> None:
    """An interrupt that IPython gets just before us is no CancelledError with a stack."""
    kernel.run(
        "import os, signal\n"
        "def early():\n"
        "    get_ipython().events.unregister('pre_execute', early)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "get_ipython().events.register('pre_execute', early)"
    )
    cell = kernel.run("%%fanout -m anthropic:hang -o kept\n%section a\nhello\n")
    interrupted(cell)
    assert kernel.value("[r.status for r in kept.results]") == ["cancelled"]


@TWICE
def test_while_the_answers_are_merged(kernel: Kernel, server: Loopback, head: str) -> None:
    """An interrupt of the synthesis keeps the sections."""
    number = kernel.send(
        f"{head}%%fanout -m claude-x -o kept\n%section a\none\n%section b\ntwo\n"
        "%synthesis -m anthropic:hang\n"
    )
    kernel.until(lambda: len(server.log) == 3, "the merging call")
    at = kernel.interrupt()
    cell = kernel.cell(number)
    assert cell.replied - at < SOON
    interrupted(cell)
    assert kernel.value("(list(kept), kept.synthesis.status)") == (["a", "b"], "cancelled")
    assert kernel.value("'echo: one' in kept.text and 'echo: two' in kept.text")


@TWICE
def test_a_vote_is_counted_as_far_as_it_came(kernel: Kernel, server: Loopback, head: str) -> None:
    """An interrupted vote holds the ballots that are in, the others as cancelled."""
    server.answers = lambda body: "ANSWER: safe"
    number = kernel.send(
        f"{head}%%vote --choices safe,unsafe -o kept\nwhich\n"
        "%voter a -m claude-x\n%voter b -m anthropic:hang\n"
    )
    kernel.until(lambda: sum(call.finished for call in server.log) == 1, "the first vote")
    kernel.interrupt()
    interrupted(kernel.cell(number))
    server.answers = None
    assert kernel.value("[b.state for b in kept.ballots][1]") == "cancelled"
    assert kernel.value("kept.tally['safe'] + kept.tally['unsafe']") in (0, 1)


SLOW_TO_END = """
import asyncio, os, signal
async def answer(request, index):
    if index == 0:
        return "done"
    started.append(index)
    if len(started) == 2:
        # Virtual time waits a moment for what takes real time; the first answer is there after that.
        asyncio.get_running_loop().call_later(0.5, os.kill, os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        # Not at once: it would be this code that the interrupt ends.
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
        await asyncio.sleep(SECONDS)
        raise
started = []
"""


@TWICE
def test_a_second_interrupt_loses_nothing(kernel: Kernel, server: Loopback, head: str) -> None:
    """Interrupts while the workers end are harmless: what is done is kept."""
    kernel.run(SLOW_TO_END.replace("SECONDS", "0.02"))
    kernel.run("%parallm provider teacher --sim answer")
    cell = kernel.run(f"{head}%%vote -n 3 -m teacher:?scale=0 -o kept\nwhich\n")
    interrupted(cell)
    assert kernel.value("[r.status for r in kept.results]") == ["ok", "cancelled", "cancelled"]


@TWICE
def test_a_second_interrupt_waits_for_nobody(kernel: Kernel, server: Loopback, head: str) -> None:
    """A worker that would go on for a minute after it was cancelled is not waited for."""
    kernel.run(SLOW_TO_END.replace("SECONDS", "60"))
    kernel.run("%parallm provider teacher --sim answer")
    began = time.monotonic()
    cell = kernel.run(f"{head}%%vote -n 3 -m teacher:?scale=0 -o kept\nwhich\n")
    assert cell.replied - began < SOON + 0.75
    interrupted(cell)


def test_other_code_can_be_interrupted_as_before(kernel: Kernel, server: Loopback) -> None:
    """After a run, SIGINT means what it meant, in the same cell and in the next."""
    call = "get_ipython().run_cell_magic('vote', '-n 1 --quiet -m sim:?scale=0', 'x')"
    # In short pieces: a signal that comes just before a sleep is seen only at its end.
    sleep = "[time.sleep(0.05) for _ in range(2000)]"
    number = kernel.send(f"import time\n{call}\nopen('begun', 'w').close(); {sleep}")
    kernel.until((kernel.home / "begun").exists, "the sleep")
    at = kernel.interrupt()
    cell = kernel.cell(number)
    assert cell.replied - at < SOON
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert kernel.value("import signal; signal.getsignal(signal.SIGINT).__name__") == (
        "default_int_handler"
    )


SLOW_IMPORT = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "anthropic":
            open("importing", "w").close()
            while not os.path.exists("go on"):
                time.sleep(0.01)
sys.meta_path.insert(0, Slow())
import os
"""


@TWICE
def test_while_the_sdk_is_imported(server: Loopback, head: str) -> None:
    """The first cell does not wait for a slow import once it is interrupted; the next one works."""
    server.clear()
    env = {"ANTHROPIC_API_KEY": "sk-a-key", "ANTHROPIC_BASE_URL": server.url}
    with Kernel(**env) as kernel:
        kernel.run("%load_ext parallm_magics")
        kernel.run(SLOW_IMPORT)
        number = kernel.send(f"{head}%%fanout -m claude-x -o kept\n%section a\nhello\n")
        kernel.until((kernel.home / "importing").exists, "the import")
        at = kernel.interrupt()
        cell = kernel.cell(number)
        assert cell.replied - at < SOON
        interrupted(cell)
        assert kernel.value("[r.status for r in kept.results]") == ["cancelled"]
        assert server.log == []
        kernel.run("open('go on', 'w').close()")
        assert kernel.run("%%fanout -m claude-x\n%section a\nhello\n").plain.startswith("1 of 1")
