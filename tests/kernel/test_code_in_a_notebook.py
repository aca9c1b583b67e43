"""In a real kernel, code that awaits runs works as the cells do, and what it makes can be kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import Kernel, environment

COUNTED = """
asked = []
def answer(task, index):
    asked.append(task.prompt)
    return "a"
"""
THREAD = """
runs = []
def work():
    runs.append(asyncio.run(vote("which", choices="a,b")))
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A kernel with a model of its own that counts its calls."""
    with Kernel() as kernel:
        kernel.run("import asyncio, threading\nfrom parallm_magics import fanout, vote")
        kernel.run("%load_ext parallm_magics")
        kernel.run(COUNTED)
        kernel.run("%parallm provider mine --sim answer")
        yield kernel


def test_the_notebook_s_settings_hold_for_code(kernel: Kernel) -> None:
    """The model and every other setting; the call's own option wins."""
    kernel.run('%config ParallmMagics.model = "mine:?scale=0"')
    kernel.run("%config ParallmMagics.seed = 7")
    cell = kernel.run('r = await vote("which", choices="a,b"); r.winner, len(asked)')
    assert cell.plain == "('a', 3)", cell
    kernel.run('r = await vote("which", choices="a,b", model="sim:?scale=0&truth=b&accuracy=1")')
    assert kernel.value("r.winner") == "b"
    assert kernel.value("len(asked)") == 3
    kernel.run("%unload_ext parallm_magics")
    assert "no model is chosen" in kernel.run('await vote("which", choices="a,b")').error


def test_the_notebook_s_recordings_and_caps_hold_for_code(kernel: Kernel) -> None:
    """What a cell has asked, code has too, and the other way round; its calls count."""
    kernel.run('%config ParallmMagics.model = "mine:?scale=0"')
    kernel.run("%parallm recordings kept.jsonl")
    kernel.run("%%vote --choices a,b -o cell\nwhich")
    kernel.run('r = await vote("which", choices="a,b")')
    assert kernel.value("len(asked)") == 3
    kernel.run('other = await fanout("%section a\\nA\\n%section b\\nB")')
    kernel.run("%%fanout\n%section a\nA\n%section b\nB\n")
    assert kernel.value("len(asked)") == 5
    kernel.run("%config ParallmMagics.session_max_cost = 1")
    assert "session_max_cost" in kernel.run('await vote("x", model="openai:nobody-knows")').error
    kernel.run("%parallm recordings --mode replay")
    assert "RecordingMissing" in kernel.run('await vote("another", choices="a,b")').error
    assert kernel.value("len(asked)") == 5


@pytest.mark.parametrize(
    "code",
    [
        "runs = await asyncio.gather(*(vote(f'which {n}', choices='a,b') for n in range(20)))",
        "runs = [await asyncio.to_thread(lambda: asyncio.run(vote('which', choices='a,b')))]",
        THREAD,
        "task = asyncio.create_task(vote('which', choices='a,b'))\nruns = [await task]",
    ],
    ids=["gather", "to_thread", "thread", "task"],
)
def test_settings_hold_wherever_code_runs(kernel: Kernel, code: str) -> None:
    """In tasks and threads, on other loops; nothing of them stays open."""
    kernel.run('%config ParallmMagics.model = "mine:?scale=0"')
    cell = kernel.run(code)
    assert cell.error == ""
    assert cell.stream("stderr") == ""
    assert kernel.value("{run.winner for run in runs}") == {"a"}


def test_a_task_between_cells(kernel: Kernel) -> None:
    """There too, when no cell is being executed."""
    kernel.run('%config ParallmMagics.model = "mine:?scale=0"')
    kernel.run(
        "async def later():\n    await asyncio.sleep(0.05)\n    return await vote('x', choices='a,b')\n"
        "task = asyncio.create_task(later())"
    )
    kernel.settle("task.done()")
    assert kernel.value("task.result().winner") == "a"


def test_an_interrupt_of_code_keeps_what_is_done(kernel: Kernel) -> None:
    """The error holds the run, alone and in tasks; the kernel goes on."""
    kernel.run(
        "def answer(task, index):\n    open('asked', 'a').write('x')\n"
        "    return 'a' if index == 0 else asyncio.sleep(60)"
    )
    kernel.run("%parallm provider half --sim answer")
    # One at a time, so that the first is done once the second has been asked.
    call = "vote('which', choices='a,b', model='half:?scale=0', concurrency=1)"
    for code, most in ((f"await {call}", 2), (f"await asyncio.gather({call}, {call})", 4)):
        (kernel.home / "asked").unlink(missing_ok=True)
        number = kernel.send(code)
        asked = kernel.home / "asked"
        kernel.until(
            lambda asked=asked, most=most: asked.exists() and len(asked.read_text()) >= most,
            "the calls",
        )
        kernel.interrupt()
        cell = kernel.cell(number)
        assert cell.reply["ename"] == "KeyboardInterrupt", cell
        assert "1 of 3 workers were done; sys.last_value.run holds the records" in cell.error
        assert kernel.value("import sys; [r.status for r in sys.last_value.run.results]") == [
            "ok",
            "cancelled",
            "cancelled",
        ]


def test_a_forgotten_await_is_told(kernel: Kernel) -> None:
    """In one line, in code and in what a cell shows."""
    kernel.run('r = vote("which", model="mine:?scale=0", choices="a,b")')
    cell = kernel.run("r.winner")
    assert (
        cell.error
        == "NotAwaited: the run has not been awaited, so it has no .winner: write run = await vote(…)"
    )
    assert kernel.run("r").plain.startswith(
        "<a run that has not begun; to get it, write run = await vote"
    )
    assert kernel.run("(await r).winner").plain == "'a'"
    kernel.run("%%vote -m mine:?scale=0 --choices a,b -o kept\nwhich")
    assert "run = await run.retry()" in kernel.run("kept.retry().winner").error


def test_stored_runs_come_back(kernel: Kernel) -> None:
    """`%store` keeps them for another notebook."""
    kernel.run("%load_ext storemagic")
    kernel.run("%%vote -m mine:?scale=0 --choices a,b -o kept\nwhich")
    kernel.run("%%fanout -m mine:?scale=0 -o parts\n%section a\nA\n")
    kernel.run("docs = ['x', 'y']")
    kernel.run("%%vote -m mine:?scale=0 --choices a,b --each docs -o study\n{{item}}")
    for name in ("kept", "parts", "study"):
        cell = kernel.run(f"%store {name}")
        assert cell.error == "", cell
        assert "Stored" in cell.stream()
    kernel.run("del kept, parts, study")
    kernel.run("%store -r")
    assert kernel.value("kept.winner, parts['a'], dict(study)") == ("a", "a", {"1": "a", "2": "a"})
    assert "so it cannot go on" in kernel.run("await kept.retry()").error


STARTED = """
import IPython
IPython.start_ipython(
    argv=["--no-banner", "--colors=NoColor", "-c", {code!r}],
    user_ns={{"doc": "given from outside", "docs": ["x", "y"]}},
)
"""
CODE = """
get_ipython().run_line_magic("load_ext", "parallm_magics")
get_ipython().run_cell_magic("vote", "-m sim:?scale=0 --choices a,b -o run", "which {{doc}}")
get_ipython().run_cell_magic("fanout", "-m sim:?scale=0 --each docs -o many", "{{item}}")
print("found", len(run.results), len(many.results))
"""


def test_names_that_somebody_gave_are_found(tmp_path: Path) -> None:
    """Whoever starts IPython may give names."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED.format(code=CODE)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(tmp_path),
        cwd=tmp_path,
        check=False,
    )
    assert "found 3 2" in done.stdout, done.stdout + done.stderr


def test_names_of_start_up_files_are_found(kernel: Kernel, tmp_path: Path) -> None:
    """A profile's start-up files make names that IPython hides from %who; IPython's own are not ours."""
    home = tmp_path / "home"
    startup = home / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-names.py").write_text("doc = 'from a file'\nmodel = 'sim:?scale=0'\n")
    with Kernel(IPYTHONDIR=str(home / "ipython")) as kernel:
        kernel.run("%load_ext parallm_magics")
        cell = kernel.run("%%vote -m {{model}} --choices a,b --dry-run\nwhich {{doc}}")
        assert "which from a file" in cell.plain
        assert "no variable 'open'" in kernel.run("%%vote -m sim\n{{open}}").error
        kernel.run("open = 'mine'")
        assert "say mine" in kernel.run("%%vote -m sim --dry-run\nsay {{open}}").plain
