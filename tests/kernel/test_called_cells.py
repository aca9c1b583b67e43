"""In a real kernel, the text of a cell may stand in any code, and reads as that of any other magic."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import Kernel, environment

RUN = "-m sim:?scale=0 --choices a,b"
VOTE = f"%%vote -n 3 {RUN} -o kept\nwhich\n"
TIMED = f"get_ipython().run_cell_magic('time', '', {VOTE!r})"
PLAIN = f"get_ipython().run_cell_magic('vote', '-n 3 {RUN} -o kept', 'which\\n')"


@pytest.fixture(scope="module")
def one_kernel() -> Iterator[Kernel]:
    """The kernel of this module."""
    with Kernel() as kernel:
        kernel.run("import asyncio, threading\n%load_ext parallm_magics")
        yield kernel


@pytest.fixture
def kernel(one_kernel: Kernel) -> Iterator[Kernel]:
    """The kernel; after each test an awaited cell is still awaited, and holds the loop for nobody."""
    one_kernel.run("kept = None")
    yield one_kernel
    one_kernel.run(
        "heard = []\nasync def hear():\n    await asyncio.sleep(0.01); heard.append(kept)\n"
        "kept = None; task = asyncio.create_task(hear())"
    )
    assert "3 votes" in one_kernel.run(VOTE.replace("scale=0", "latency=1&scale=0.2")).plain
    assert one_kernel.value("heard == [None]")


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(f"exec(get_ipython().transform_cell({VOTE!r}))", id="exec"),
        pytest.param(
            f"exec(compile(get_ipython().transform_cell({VOTE!r}), 'f', 'exec'))", id="compiled"
        ),
        pytest.param(f"eval(get_ipython().transform_cell({VOTE!r}))", id="eval"),
        pytest.param(TIMED, id="time"),
        pytest.param(f"await asyncio.to_thread(lambda: {TIMED})", id="thread"),
        pytest.param(
            f"thread = threading.Thread(target=lambda: {TIMED})\nthread.start()\nthread.join()",
            id="joined-thread",
        ),
        pytest.param(f"get_ipython().run_cell({VOTE!r})", id="run_cell"),
        pytest.param(
            f"async def f():\n    return {TIMED}\nawait asyncio.gather(f(), f())", id="tasks"
        ),
        pytest.param(f"%%capture\n{VOTE}", id="capture"),
        pytest.param(f"%%timeit -n1 -r1\n{VOTE}", id="timeit"),
        pytest.param(f"%%prun -q\n{VOTE}", id="prun"),
        pytest.param(PLAIN, id="as-saved"),
        pytest.param(f"x = {PLAIN}", id="assigned"),
    ],
)
def test_a_cell_within_other_code(kernel: Kernel, code: str) -> None:
    """Wherever its text is put, it runs."""
    cell = kernel.run(code)
    assert cell.error == "", cell
    assert kernel.value("kept.winner in ('a', 'b')")


@pytest.mark.parametrize("call", [TIMED, PLAIN, f"exec(get_ipython().transform_cell({VOTE!r}))"])
def test_a_task_that_runs_later(kernel: Kernel, call: str) -> None:
    """Between cells too, when no cell is being executed."""
    kernel.run(
        f"async def later():\n    await asyncio.sleep(0.05)\n    {call}\n"
        "task = asyncio.create_task(later()); task.add_done_callback(lambda t: t.exception())"
    )
    kernel.settle("task.done()")
    assert kernel.value("repr(task.exception())") == "None"
    assert kernel.value("kept.winner in ('a', 'b')")


def test_what_is_saved_of_a_cell(kernel: Kernel) -> None:
    """`%history -t`, `%save` and `%macro` give the call that they give of every magic."""
    number = kernel.run(VOTE).reply["execution_count"]
    assert kernel.run(f"%history -t {number}").stream().strip() == PLAIN
    kernel.run(f"%save -f saved {number}")
    saved = (kernel.home / "saved.py").read_text()
    assert PLAIN in saved
    assert "await" not in saved
    kernel.run("kept = None")
    assert kernel.run("%run -i saved.py").error == ""
    assert kernel.value("kept.winner in ('a', 'b')")
    kernel.run("kept = None")
    kernel.run(f"%macro -q again {number}")
    assert kernel.run("again").error == ""
    assert kernel.value("kept.winner in ('a', 'b')")


def test_an_empty_body_below_time(kernel: Kernel) -> None:
    """It is our error, which checks of notebooks see, and not IPython's word on stderr."""
    for code in ("%%vote", "%%time\n%%vote -n 3"):
        cell = kernel.run(code)
        assert "the cell has no prompt" in cell.error
        assert cell.stream("stderr") == ""


@pytest.mark.parametrize("name", ["script.py", "script.ipy"])
def test_a_script_of_ipython(tmp_path: Path, name: str) -> None:
    """`ipython script.py` runs such code too, before any cell has begun."""
    script = tmp_path / name
    body = f"{TIMED}\nexec(get_ipython().transform_cell({VOTE!r}))\n"
    load = "get_ipython().run_line_magic('load_ext', 'parallm_magics')\n"
    script.write_text(f"{load}{body}print('winner', kept.winner in ('a', 'b'))\n")
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--colors=NoColor", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(tmp_path),
        cwd=tmp_path,
        check=False,
    )
    assert "winner True" in done.stdout, done.stdout + done.stderr
