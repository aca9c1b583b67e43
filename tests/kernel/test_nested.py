"""In a real kernel, a run inside another cell's code works, and the cells queued behind it come back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from kernel import Kernel, environment
from nbformat.v4 import new_code_cell, new_notebook
from slack import with_slack

RUN = "-m sim:?scale=0.01 --choices a,b"
VOTE = f"%%vote -n 3 {RUN}\nwhich\n"
CALL = f"get_ipython().run_cell_magic('vote', '-n 3 {RUN}', 'which')"
LONG = "-m sim:?latency=1&scale=0.3 --choices a,b"


@pytest.fixture(scope="module")
def one_kernel() -> Iterator[Kernel]:
    """The kernel of this module."""
    with Kernel() as kernel:
        kernel.run("%load_ext parallm_magics")
        yield kernel


@pytest.fixture
def kernel(one_kernel: Kernel) -> Iterator[Kernel]:
    """The kernel; after each test an awaited and a nested cell must work in it."""
    yield one_kernel
    for code in (VOTE, f"%%time\n{VOTE}"):
        cell = one_kernel.run(code)
        assert "3 votes" in cell.plain, cell
    assert one_kernel.run("1 + 1").plain == "2"


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(f"%%time\n{VOTE}", id="time"),
        pytest.param(CALL, id="run_cell_magic"),
        pytest.param(f"def f():\n    return {CALL}\nf()", id="function"),
        pytest.param(f"[{CALL} for _ in range(3)][-1]", id="several"),
        pytest.param(f"import asyncio\nawait asyncio.sleep(0)\n{CALL}", id="in-an-async-cell"),
        pytest.param(
            f"import asyncio\nasync def f():\n    return {CALL}\nawait f()", id="coroutine"
        ),
        pytest.param(f"%%time\n%%time\n{VOTE}", id="twice"),
        pytest.param(
            f"import asyncio\nawait asyncio.to_thread(lambda: {CALL})", id="in-another-thread"
        ),
    ],
)
def test_a_nested_run_is_the_cells_result(kernel: Kernel, code: str) -> None:
    """Wherever the magic is called from, the run comes back to the caller."""
    cell = kernel.run(code)
    assert "3 votes" in cell.plain, cell
    assert cell.error == ""
    assert cell.stream("stderr") == ""


def test_capture_keeps_the_run(kernel: Kernel) -> None:
    """`%%capture` takes what the run shows, and shows it later; there is no live table in it."""
    cell = kernel.run(f"%%capture kept\n%%vote -n 3 {LONG}\nwhich\n")
    assert cell.of("stream", "display_data", "execute_result", "comm_open") == []
    assert kernel.value("len(kept.outputs)") == 1
    assert "3 votes" in kernel.run("kept.outputs[-1]").plain


@pytest.mark.parametrize("extra", ["print('x')\n", ""], ids=["code-above", "bare"])
def test_run_of_a_file(kernel: Kernel, extra: str) -> None:
    """`%run` runs the magics of an .ipy file, and a .py file's calls of them."""
    (kernel.home / "cell.ipy").write_text(f"%%vote -n 3 {RUN} -o ipy\nwhich\n")
    (kernel.home / "cell.py").write_text(f"{extra}py = {CALL}\n")
    assert kernel.run("%run cell.ipy").error == ""
    assert kernel.run("%run -i cell.py").error == ""
    assert kernel.value("ipy.winner in ('a', 'b') and py.winner in ('a', 'b')")


def test_run_of_a_notebook(kernel: Kernel) -> None:
    """`%run` runs the cells of a notebook."""
    cells = [new_code_cell(f"%%vote -n 3 {RUN} -o {name}\nwhich\n") for name in ("one", "two")]
    nbformat.write(new_notebook(cells=cells), kernel.home / "cells.ipynb")
    assert kernel.run("%run cells.ipynb").error == ""
    assert kernel.value("one.winner in ('a', 'b') and two.winner in ('a', 'b')")


@pytest.mark.parametrize("mode", ["off", "sync"])
def test_a_shell_that_awaits_nothing(kernel: Kernel, mode: str) -> None:
    """With `%autoawait off` the cell is nested; switched on again it is awaited."""
    kernel.run(f"%autoawait {mode}")
    cell = kernel.run(VOTE)
    kernel.run("%autoawait asyncio")
    assert "3 votes" in cell.plain, cell


def test_a_task_may_run_a_magic(kernel: Kernel) -> None:
    """A magic called from a background task works while another cell is awaited."""
    kernel.run(
        f"import asyncio\nasync def f():\n    return {CALL}\ntask = asyncio.create_task(f())"
    )
    assert "3 votes" in kernel.run(f"%%vote -n 3 {LONG}\nwhich\n").plain
    assert "3 votes" in kernel.run("await task").plain


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(f"%%vote -n 3 {LONG} -o r0\nwhich\n", id="awaited"),
        pytest.param(f"%%time\n%%vote -n 3 {LONG} -o r0\nwhich\n", id="nested"),
    ],
)
def test_run_all_loses_no_cell(kernel: Kernel, first: str) -> None:
    """Six cells queued behind a run all come back, in order, after it."""
    kernel.run("order = []")
    queued = [kernel.send(first)]
    queued.append(kernel.send("order.append(r0.winner in 'ab')"))
    queued += [kernel.send(f"order.append({n})") for n in range(2)]
    queued += [kernel.send(f"%%vote -n 3 {RUN} -o r{n}\nwhich\n") for n in (1, 2)]
    queued.append(kernel.send("order.append(r2.winner in 'ab')"))
    cells = [kernel.cell(each) for each in queued]
    assert [cell.reply["status"] for cell in cells] == ["ok"] * 7
    counts = [cell.reply["execution_count"] for cell in cells]
    assert counts == list(range(counts[0], counts[0] + 7))
    assert [cell.replied for cell in cells] == sorted(cell.replied for cell in cells)
    assert kernel.value("order") == [True, 0, 1, True]


def test_run_all_after_the_archived_patch() -> None:
    """Where a library has applied the archived nest_asyncio, no queued cell is lost either."""
    with Kernel() as kernel:
        kernel.run("import nest_asyncio; nest_asyncio.apply()")
        kernel.run("%load_ext parallm_magics")
        for first in (VOTE, f"%%time\n{VOTE}", CALL, VOTE):
            queued = [kernel.send(first), *[kernel.send(f"{n}") for n in range(6)]]
            cells = [kernel.cell(each) for each in queued]
            assert "3 votes" in cells[0].plain
            assert [cell.plain for cell in cells[1:]] == list("012345")
            assert cells[0].stream("stderr") == ""


FOREIGN = """
import asyncio, os, signal, threading, time
from IPython.core.interactiveshell import InteractiveShell

class Foreign(asyncio.AbstractEventLoop):
    "A loop that is not asyncio's own, as uvloop's: nothing can patch it."
    def __init__(self, loop):
        self._loop = loop
    def __getattribute__(self, name):
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        return getattr(object.__getattribute__(self, "_loop"), name)
    def __hash__(self):  # asyncio knows by the loop which task is running
        return hash(object.__getattribute__(self, "_loop"))
    def __eq__(self, other):
        return other is object.__getattribute__(self, "_loop")

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "parallm_magics")

def answer(request, index):
    os.kill(os.getpid(), signal.SIGINT)
    return "never heard"

async def main():
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(Foreign(loop))
    try:
        run = shell.run_cell_magic("vote", "-n 3 -m sim:?scale=0.01 --choices a,b", "which")
        print(run.winner in ("a", "b"), len(run.results))
        shell.user_ns["answer"] = answer
        shell.run_line_magic("parallm", "provider teacher --sim answer")
        began = time.monotonic()
        try:
            shell.run_cell_magic("vote", "-n 3 --quiet -m teacher:?latency=30&scale=1 -o r", "which")
        except KeyboardInterrupt as error:
            print(error)
        print([record.status for record in shell.user_ns["r"].results], time.monotonic() - began < 10)
        run = shell.run_cell_magic("vote", "-n 3 -m sim:?scale=0.01 --choices a,b", "which")
        print(run.winner in ("a", "b"), [t.name for t in threading.enumerate() if t.name == "parallm"])
    finally:
        asyncio._set_running_loop(loop)

asyncio.run(main())
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_a_loop_that_cannot_be_nested(tmp_path: Path) -> None:
    """Where the loop cannot be patched a thread runs the workers; an interrupt ends them as well."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FOREIGN],
        capture_output=True,
        text=True,
        timeout=with_slack(60),
        env=environment(tmp_path),
        check=False,
    )
    assert done.stderr == ""
    first, reason, statuses, last, restored = done.stdout.strip().split("\n")[-5:]
    assert first == "True 3"
    assert reason.startswith("interrupted; 0 of 3 workers were done; r holds the records")
    assert statuses == "['cancelled', 'cancelled', 'cancelled'] True"
    assert (last, restored) == ("True []", "True")


SEVERAL_READY = """
import asyncio
from parallm_magics.notebook.loop import run_to_end

async def answer():
    await asyncio.sleep(0.01)
    heard.append("answer")

heard = []

async def main():
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: run_to_end(answer(), None))
    for name in "abcd":
        loop.call_soon(heard.append, name)
    await asyncio.sleep(0.1)
    print(heard)

asyncio.run(main())
"""


def test_the_first_nested_run_leaves_the_loop_its_callbacks(tmp_path: Path) -> None:
    """Several are ready in one step of the loop, and the first one nests; nothing ends the loop."""
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL_READY],
        capture_output=True,
        text=True,
        timeout=with_slack(60),
        env=environment(tmp_path),
        check=False,
    )
    assert (done.stdout, done.stderr) == ("['a', 'b', 'c', 'd', 'answer']\n", "")
