"""In a real kernel, what a first call needs is imported beforehand, and a call that must wait for it loses nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel import Kernel, environment
from provider import KEY, Loopback
from slack import with_slack

MODEL = "%config ParallmMagics.model = 'openai:gpt-x'"
BEGUN = "any(t.name == 'parallm_magics preload' for t in threading.enumerate())"
LOADED = f"'genai_prices' in sys.modules and not {BEGUN}"
CELL = "%%fanout -o run\n%section a\nx\n%section b\ny\n"
# The import of the SDK goes on when the gate opens. It holds the lock of the SDK alone: in `find_spec` it would
# hold the one of all imports.
GATE = """
import asyncio, importlib.abc, importlib.machinery, multiprocessing, sys, threading, time

gate, opened = threading.Event(), []
def open_gate():
    opened.append(time.monotonic())
    gate.set()
class Gate(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "openai":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        spec.loader = Waiting(name, spec.origin)
        return spec
class Waiting(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        gate.wait(60)
        super().exec_module(module)
sys.meta_path.insert(0, Gate())
def child():
    import openai
"""


def environ(server: Loopback, **more: str) -> dict[str, str]:
    """Keys that are set, and addresses of the scripted provider."""
    return {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{server.url}/v1", **more}


@pytest.fixture
def kernel(server: Loopback) -> Iterator[Kernel]:
    """A fresh kernel, in which nothing is imported."""
    server.clear()
    with Kernel(**environ(server)) as kernel:
        kernel.run("import sys, threading")
        yield kernel


@pytest.fixture
def gated(kernel: Kernel) -> Kernel:
    """A kernel whose import of the SDK stands at the gate."""
    kernel.run(GATE)
    kernel.run("%load_ext parallm_magics")
    kernel.run(MODEL)
    assert kernel.value(BEGUN)
    return kernel


def test_a_chosen_model_is_made_ready(kernel: Kernel, server: Loopback) -> None:
    """No cell has run, nothing was asked, and all that the first call imports is there."""
    kernel.run("%load_ext parallm_magics")
    assert not kernel.value(BEGUN)
    kernel.run(MODEL)
    kernel.settle(LOADED)
    kernel.run("before = {*sys.modules}")
    assert "2 of 2" in kernel.run(CELL).plain
    slow = ("openai.", "pydantic.", "aiohttp.", "httpx2.", "genai_prices.", "markdown_it.")
    assert kernel.value(f"[m for m in {{*sys.modules}} - before if m.startswith({slow})]") == []
    assert len(server.log) == 2


def test_the_model_of_the_environment_is_made_ready(server: Loopback) -> None:
    """The cell that loads the extension is enough."""
    with Kernel(**environ(server, PARALLM_MODEL="openai:gpt-x")) as kernel:
        kernel.run("import sys, threading")
        kernel.run("%load_ext parallm_magics")
        kernel.settle(LOADED)
        assert kernel.value("'openai' in sys.modules")


IN_VAIN = {
    "a simulation": "%config ParallmMagics.model = 'sim'",
    "no model": "%config ParallmMagics.model = 'no-such-model'",
    "its key is not set": "%config ParallmMagics.model = 'anthropic:claude-x'",
    "a replay": f"%parallm recordings answers.jsonl --mode replay\n{MODEL}",
    "a forced replay": f"%parallm recordings --mode off\nos.environ['PARALLM_RECORDINGS'] = 'replay'\n{MODEL}",
    "off": f"del os.environ['PARALLM_RECORDINGS']\n%config ParallmMagics.preload = False\n{MODEL}",
}


def test_nothing_is_imported_in_vain(kernel: Kernel) -> None:
    """A simulation, a replay, a model that cannot be asked, and a setting that says no."""
    kernel.run("import os")
    kernel.run("%load_ext parallm_magics")
    for why, cell in IN_VAIN.items():
        assert not kernel.run(cell).error, why
        assert not kernel.value(BEGUN), why
        assert kernel.value("{'openai', 'anthropic'} & {*sys.modules}") == set(), why
    kernel.run("%config ParallmMagics.preload = True")
    kernel.settle(LOADED)


def drawings(messages: list[dict[str, Any]]) -> list[str]:
    """The html of each drawing of the live table."""
    found = [m["content"] for m in messages if m["msg_type"] in ("comm_open", "comm_msg")]
    states = [each["data"].get("state", {}) for each in found]
    return [state["value"] for state in states if "<table" in str(state.get("value"))]


def test_a_run_waits_for_the_import_and_no_time_passes(gated: Kernel) -> None:
    """The table is there and says so, the loop goes on, and the workers' seconds begin after it."""
    gated.run(
        "turns = 0\nasync def turn():\n    global turns\n    while True:\n"
        "        turns += 1\n        await asyncio.sleep(0.01)\n"
        "turning = asyncio.ensure_future(turn())"
    )
    gated.run("asyncio.get_running_loop().call_later(1.6, open_gate); before = turns")
    cell = gated.run(CELL)
    gated.run("ended = time.monotonic(); turning.cancel()")
    drawn = [html for html in drawings(cell.messages) if "2 loading" in html]
    assert len({re.findall(r"[\d.]+ s", html)[0] for html in drawn}) == 1
    assert "2 of 2" in cell.plain
    assert gated.value("turns - before") > 10
    assert gated.value("run.seconds") <= gated.value("ended - opened[0]")


def test_an_interrupt_ends_the_wait(gated: Kernel) -> None:
    """The cell is over at once, and the next one finds what was imported meanwhile."""
    number = gated.send(CELL)
    gated.begun(number)
    gated.until(lambda: bool(drawings(gated.everything)), "the table")
    gated.interrupt()
    assert "KeyboardInterrupt" in gated.cell(number).error
    gated.run("open_gate()")
    assert "2 of 2" in gated.run(CELL).plain


def test_a_cell_may_import_the_same_package_meanwhile(gated: Kernel) -> None:
    """Whoever comes second waits for the first; modules within it too."""
    gated.run("threading.Timer(0.3, open_gate).start()")
    cell = gated.run(
        "from openai.types.chat import ChatCompletion\nimport openai\nopenai.AsyncOpenAI"
    )
    assert not cell.error
    assert "2 of 2" in gated.run(CELL).plain


IMPORTING = ["import json", "%run -i {0}", "if True:\n    from json import loads"]


@pytest.mark.parametrize("cell", IMPORTING)
def test_a_cell_that_imports_waits_for_the_import(gated: Kernel, cell: str, tmp_path: Path) -> None:
    """Two imports of what belongs together could fail each other; all other cells run meanwhile."""
    (tmp_path / "user.py").write_text("")
    gated.run("during = " + BEGUN)
    gated.run("threading.Timer(0.3, open_gate).start()")
    gated.run(f"{cell.format(tmp_path / 'user.py')}\nafter = {BEGUN}")
    assert gated.value("(during, after)") == (True, False)


FORK = """
threading.Timer(0.3, open_gate).start()
forked = multiprocessing.get_context("fork").Process(target=child)
forked.start()
forked.join(60)
"""


def test_a_fork_has_no_lock_of_the_import(gated: Kernel) -> None:
    """A process that is forked meanwhile imports the same package itself."""
    gated.run(FORK)
    assert gated.value("forked.exitcode") == 0


def test_a_broken_package_is_told_in_a_line_by_the_cell(kernel: Kernel, tmp_path: Path) -> None:
    """Nothing is said before; then what is wrong, and the way out."""
    (tmp_path / "openai.py").write_text("raise ImportError('no name x in y\\nmore')")
    kernel.run(f"sys.path.insert(0, {str(tmp_path)!r})")
    kernel.run("%load_ext parallm_magics")
    assert kernel.run(MODEL).outputs == []
    kernel.settle(f"not {BEGUN}")
    cell = kernel.run(CELL)
    assert cell.error == (
        "ModelError: openai: the package openai cannot be imported (ImportError: no name x in y more); "
        "pip install -U openai"
    )
    assert cell.stream("stderr") == ""


LEAVING = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("%load_ext parallm_magics")
shell.run_cell("%config ParallmMagics.model = 'openai:gpt-x'")
import threading
assert any(t.name == "parallm_magics preload" for t in threading.enumerate())
"""


def test_a_process_that_ends_meanwhile_ends_clean(server: Loopback, tmp_path: Path) -> None:
    """Nothing on stderr, no status but 0."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVING],
        capture_output=True,
        text=True,
        timeout=with_slack(60),
        env=environment(tmp_path, **environ(server)),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_kernel_that_restarts_meanwhile_restarts_clean(kernel: Kernel) -> None:
    """It goes by itself: nobody has to kill it."""
    kernel.run("%load_ext parallm_magics")
    kernel.run(MODEL)
    assert "Traceback" not in kernel.shut_down()
