"""In a real terminal, cells run, show plain text, and end on Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from kernel import SECONDS, environment
from provider import Loopback
from slack import with_slack

CODES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")
NOISE = ("Traceback", "never retrieved", "never awaited", "Unclosed", "destroyed", "Error in")


class Terminal:
    """IPython on a terminal of its own, driven by what is typed; a context manager."""

    def __init__(self, home: Path, *arguments: str, **env: str) -> None:
        self._ours, theirs = pty.openpty()
        # The first terminal that a new session opens is the one whose Ctrl-C it gets.
        tty = shlex.quote(os.ttyname(theirs))
        options = ["--no-banner", "--no-confirm-exit", "--colors=NoColor", *arguments]
        command = shlex.join([sys.executable, "-m", "IPython", *options])
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {command} <{tty} >{tty} 2>&1"],
            env=environment(home, TERM="xterm", **env),
            start_new_session=True,
            cwd=home,
        )
        self._theirs = theirs
        self.screen = self.written = ""
        self._prompt = 0

    def __enter__(self) -> Self:
        self.prompt()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(with_slack(SECONDS))
        os.close(self._theirs)
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._ours, text.encode())

    def prompt(self) -> str:
        """Wait for the next prompt; gives what came before it."""
        self._prompt += 1
        mark = f"In [{self._prompt}]:"
        return self.until(lambda: mark in self.screen, mark)

    def until(self, holds: object, what: str) -> str:
        """Wait until something holds; gives what is new on the screen."""
        assert callable(holds)
        before = len(self.screen)
        end = time.monotonic() + with_slack(SECONDS)
        while not holds():
            assert time.monotonic() < end, f"{what} never came:\n{self.screen[-3000:]}"
            if select.select([self._ours], [], [], 0.05)[0]:
                text = os.read(self._ours, 65536).decode(errors="replace")
                self.written += text
                self.screen = CODES.sub("", self.screen + text).replace("\r", "")
        return self.screen[before:]

    def run(self, cell: str) -> str:
        """Type a cell; gives what the terminal shows until the next prompt."""
        self.type(cell)
        return self.prompt()

    def end(self) -> int:
        """Leave IPython; gives its exit code."""
        self.type("exit()\n")
        code = self._process.wait(with_slack(SECONDS))
        while select.select([self._ours], [], [], 0)[0]:
            self.screen += os.read(self._ours, 65536).decode(errors="replace")
        return code


@pytest.fixture
def server() -> Iterator[Loopback]:
    """The providers that the terminal knows."""
    with Loopback() as server:
        yield server


@pytest.fixture(params=["simple", "full"])
def terminal(
    request: pytest.FixtureRequest, server: Loopback, tmp_path: Path
) -> Iterator[Terminal]:
    """A terminal with the extension, with the plain and with the usual prompt."""
    arguments = ["--simple-prompt"] if request.param == "simple" else []
    env = {"ANTHROPIC_API_KEY": "sk-a-key", "ANTHROPIC_BASE_URL": server.url}
    with Terminal(tmp_path, *arguments, **env) as terminal:
        terminal.run("%load_ext parallm_magics\n")
        yield terminal
        assert terminal.end() == 0
        for word in NOISE:
            assert word not in terminal.screen


def test_cells_show_plain_text(terminal: Terminal, server: Loopback) -> None:
    """Runs, awaited and nested, print a table and no markup; the results stay."""
    shown = terminal.run("%%fanout -m claude-x\n%section a\nhello\n%section b\nthere\n\n\n")
    assert "2 of 2 sections succeeded" in shown
    assert "echo: hello" in shown
    assert "<div" not in shown
    assert "Widget" not in shown
    assert "Wall time" in terminal.run("%%time\n%%fanout -m claude-x\n%section a\nhi\n\n\n")
    assert "['a']" in terminal.run("list(_)\n")
    assert "3 votes" in terminal.run("from parallm_magics import vote\n") + terminal.run(
        "await vote('which', n=3, choices='a,b', model='sim:?scale=0')\n"
    )
    assert "OptionError: line 1" in terminal.run("%%vote --chioces a,b\nx\n\n\n")
    # Between the cells of a terminal no loop runs; the sockets are given back all the same.
    terminal.run("%%fanout -m claude-x\n%section a\nhello\n\n\n")
    terminal.run("%unload_ext parallm_magics\n")
    terminal.until(lambda: not server._connections, "the end of the connections")


def test_ctrl_c_ends_a_run(terminal: Terminal, server: Loopback) -> None:
    """One Ctrl-C, awaited or nested, is one line, keeps what is done, and the next cells work."""
    for head in ("", "%%time\n"):
        server.clear()
        terminal.type(
            f"{head}%%fanout -o kept -m anthropic:hang\n%section a\nx\n"
            "%section b -m claude-x\ny\n\n\n"
        )
        terminal.until(lambda: len(server.log) == 2, "the requests")
        terminal.until(lambda: any(call.finished for call in server.log), "an answer")
        terminal.type("\x03")
        shown = terminal.prompt()
        [line] = [line for line in shown.splitlines() if line.startswith("KeyboardInterrupt")]
        assert "interrupted; " in line
        assert "2 workers were done; kept holds the records" in line
        assert "'cancelled'" in terminal.run("[r.status for r in kept.results]\n")
        terminal.until(lambda: server.in_flight == 0, "the end of the requests")
        assert "1 of 1" in terminal.run("%%fanout -m claude-x\n%section a\nhello\n\n\n")
    # In short pieces: a signal that comes just before a sleep is seen only at its end.
    terminal.type("import time; print('be' + 'gun'); [time.sleep(0.05) for _ in range(2000)]\n")
    terminal.until(lambda: "begun" in terminal.screen, "the sleep")
    terminal.type("\x03")
    assert "KeyboardInterrupt" in terminal.prompt()
    terminal.screen = ""  # IPython's own stack is no noise of ours


@pytest.mark.parametrize("kind", ["option", "file"])
def test_without_a_prompt(tmp_path: Path, kind: str) -> None:
    """`ipython -c` and `ipython file.ipy` run a cell and leave nothing on stderr."""
    cell = "%%vote -n 3 -m sim:?scale=0 --choices a,b -o r\nwhich\n"
    lead = "get_ipython().run_line_magic('load_ext', 'parallm_magics')\n"
    code = f"{lead}get_ipython().run_cell({cell!r})\nprint('winner', r.winner)"
    (tmp_path / "file.ipy").write_text(code)
    rest = ["-c", code] if kind == "option" else ["file.ipy"]
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--colors=NoColor", *rest],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=with_slack(SECONDS),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"winner [ab]\n$", done.stdout)


def test_a_run_tells_how_far_it_is(terminal: Terminal) -> None:
    """In one line that is written over in place, and gone where the result begins."""
    sections = "".join(f"%section s{n} -m sim:?latency={n}.5&scale=1\nx\n" for n in range(2))
    terminal.run(f"%%fanout\n{sections}\n\n")
    lines = re.findall(r"\r(\d of 2 done[^\r]*)\x1b\[K", terminal.written)
    assert len(lines) >= 3
    assert [line for line in lines if re.fullmatch(r"1 of 2 done · [\d.]+ s", line)]
    result = terminal.written.partition(lines[-1])[2]
    assert re.match(r"\x1b\[K\r\x1b\[K", result), "the line is gone before the result is printed"
    assert "of 2 done" not in result
    assert "2 of 2 sections succeeded" in CODES.sub("", result)


def test_what_is_no_terminal_gets_no_line(tmp_path: Path) -> None:
    """Errors that go to a file hold no progress."""
    code = (
        "get_ipython().run_line_magic('load_ext', 'parallm_magics');"
        "get_ipython().run_cell_magic('fanout', '', '%section a -m sim:?latency=1&scale=1\\nx\\n')"
    )
    told = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "-c", code],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "done" not in told.stderr
    assert "1 of 1 section succeeded" in told.stdout
