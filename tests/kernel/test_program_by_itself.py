"""The printed program runs by itself, and the command prints it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import served
from kernel import Kernel, environment
from provider import Loopback

from parallm_magics.api import plan_cell
from parallm_magics.export.program import program


@pytest.fixture
def server() -> Iterator[Loopback]:
    """The provider of both dialects, which the environment leads to."""
    with served() as server:
        yield server


def test_a_program_runs_by_itself(server: Loopback, tmp_path: Path) -> None:
    """In a process of its own that has not this package, and complains of nothing."""
    server.answers = lambda body: "ANSWER: yes"
    path = tmp_path / "program.py"
    plan = plan_cell("vote", "-n 3 --choices yes,no -m claude-haiku-5-5", "Is it?", {})
    path.write_text(program(plan))
    env = environment(tmp_path, ANTHROPIC_API_KEY="sk-a-key", ANTHROPIC_BASE_URL=server.url)
    alone = (
        "import runpy, sys; sys.modules['parallm_magics'] = None; "
        "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", alone, str(path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 of 3 votes could be read\nwinner: yes\ntally: {'yes': 3}\n"


def test_the_command_prints_the_last_cells_program() -> None:
    """Also of a dry run; before any cell it says what to do."""
    with Kernel() as kernel:
        kernel.run("%load_ext parallm_magics")
        before = kernel.run("%parallm code")
        assert before.error.startswith("OptionError: %parallm code: no cell has run yet; run a")
        kernel.run("%%fanout -m claude-haiku-5-5 --dry-run\n%section a\nHello there\n")
        printed = kernel.run("%parallm code").stream()
        compile(printed, "program", "exec")
        assert '"Hello there"' in printed
        kernel.run("%%vote -n 3 -m sim:?scale=0 --choices a,b\nWhich one?\n")
        assert "Which one?" in kernel.run("%parallm code").stream()
        kernel.run("%parallm provider mine --base-url http://me:secret@localhost:9/v1?key=secret2")
        kernel.run("%%fanout -n 2 -m mine:m --dry-run\nHello sk-ant-api03-" + "x1Y2" * 12)
        printed = kernel.run("%parallm code").stream()
        assert 'base_url="http://localhost:9/v1"' in printed
        assert "secret" not in printed
        assert "x1Y2" not in printed
        wrote = kernel.run("%parallm code kept.py").stream()
        written = kernel.value("open('kept.py', encoding='utf-8').read()")
        assert wrote == f"kept.py written: {len(written.splitlines()):,} lines\n"
        assert "parallm_magics import" not in written
        again = kernel.run("%parallm code kept.py").error
        assert again == "OptionError: %parallm code: kept.py cannot be written: File exists"
        assert (
            kernel.run("%parallm code x y").error == "OptionError: %parallm code does not take 'y'"
        )
