"""What checks notebooks sees our errors, and is content with a good executed notebook."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import pytest
from kernel import environment
from nbformat.v4 import new_code_cell, new_notebook
from slack import with_slack

LOAD = "%load_ext parallm_magics"
SET = '%config ParallmMagics.model = "sim:?latency=1&scale=0.3"'
GOOD = (
    LOAD,
    SET,
    "code = 'print(1)'",
    "%%fanout -o review\nReview this.\n\n{{code}}\n\n%section security\nOne.\n\n%section style\nTwo.\n\n%synthesis\n",
    "review.text",
    "# NBVAL_CHECK_OUTPUT\n%%vote -n 5 --choices safe,unsafe -o verdict\nSafe?\n\n{{code}}\n",
    "print(verdict.winner, verdict.tally)",
    "%%capture kept\n%%vote -n 3 --choices a,b\nwhich\n",
    "kept.outputs[-1]",
    "%%fanout --dry-run\n%section a\nhello\n",
    "%%fanout --quiet -o silent\n%section a\nhello\n",
    "get_ipython().run_cell_magic('vote', '-n 3 --choices a,b', 'which')",
    "review.timeline()",
    "%parallm usage",
)
ANSWERS = (
    "import os, signal\ndef answer(request, index):\n"
    "    os.kill(os.getpid(), signal.SIGINT)\n    return 'x'"
)
BAD = {
    "CellSyntaxError": "%%fanout\n",
    "OptionError": "%%vote --chioces a,b\nx",
    "VariableError": "%%vote --choices a,b\n{{nope}}",
    "ModelError": "%%vote -m nope:x --choices a,b\nx",
    "MissingKeyError": "%%vote -m gpt-6-luna --choices a,b\nx",
    "TooFewSucceeded": "%%fanout -m sim:?fail=1&scale=0\n%section a\nx\n%section b\ny",
    "nested TooFewSucceeded": "%%time\n%%fanout -m sim:?fail=1&scale=0\n%section a\nx",
    "nested OptionError": "get_ipython().run_cell_magic('vote', '--nope', 'x')",
    "command OptionError": "%parallm nope",
    "KeyboardInterrupt": "%parallm provider teacher --sim answer\n"
    "get_ipython().run_cell_magic('vote', '-n 2 --quiet -m teacher:?latency=60&scale=1', 'x')",
}


def written(path: Path, cells: Sequence[str]) -> Path:
    """A notebook of these cells, not executed."""
    notebook = new_notebook(
        cells=[new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    nbformat.write(notebook, path)
    return path


class Tools:
    """The checkers as their users call them, started at once and then waited for."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self._home = home
        self._env = environment(home, **env)
        self._started: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, *arguments: str | Path) -> None:
        """Start a module's command."""
        self._started[name] = subprocess.Popen(
            [sys.executable, "-m", *map(str, arguments)],
            env=self._env,
            cwd=self._home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start_pytest(self, name: str, *arguments: str | Path) -> None:
        """Start pytest, and let it write who failed."""
        alone = ("-q", "-p", "no:cacheprovider", "--rootdir", self._home, "-c", "/dev/null")
        self.start(name, "pytest", *alone, "--junitxml", f"{name}.xml", *arguments)

    def ends(self) -> dict[str, tuple[int, str]]:
        """The exit code and the output of each."""
        ends = {}
        for name, process in self._started.items():
            output, _ = process.communicate(timeout=with_slack(180))
            ends[name] = (process.returncode, output)
        self._started.clear()
        return ends

    def end_well(self) -> None:
        """Wait for all of them; none may have failed."""
        for name, (code, output) in self.ends().items():
            assert code == 0, f"{name}:\n{output}"

    def failed(self, name: str) -> dict[str, bool]:
        """Each test of a pytest run, and whether it failed."""
        found = ElementTree.parse(self._home / f"{name}.xml").getroot().iter("testcase")
        return {
            f"{case.get('classname')} {case.get('name')}": any(
                part.tag in ("failure", "error") for part in case
            )
            for case in found
        }


@pytest.mark.parametrize("live", ["0", "1"], ids=["not-live", "live"])
def test_a_good_notebook_passes(tmp_path: Path, live: str) -> None:
    """Executed by nbclient, it passes nbval, twice, and nbval-lax, nbmake and papermill."""
    tools = Tools(tmp_path, {"PARALLM_LIVE": live})
    good = written(tmp_path / "good.ipynb", GOOD)
    tools.start("nbclient", "jupyter", "execute", "--inplace", good)
    tools.end_well()
    executed = nbformat.read(good, as_version=4)
    assert live == "1" or "widgets" not in executed.metadata
    # nbclient keeps the state of closed widgets; it must hold nothing of the run.
    assert "prompt" not in json.dumps(executed.metadata)
    assert "security" not in json.dumps(executed.metadata)
    outputs = [out for cell in executed.cells for out in cell.get("outputs", ())]
    shown = [out for out in outputs if out.output_type == "display_data"]
    spent = [out for out in shown if out.data.get("text/plain", "").startswith("session")]
    assert len(spent) == 1  # of `%parallm usage`
    slots = [dict(out.data) for out in shown if out not in spent]
    assert slots == [{}] * (3 if live == "1" else 0)
    assert not any(
        out.output_type in ("stream", "error") and out.get("name") == "stderr" for out in outputs
    )

    again = tmp_path / "again.ipynb"
    again.write_text(good.read_text())
    tools.start_pytest("nbval", "--nbval", good, again)
    tools.start_pytest("lax", "--nbval-lax", good)
    tools.start_pytest("nbmake", "--nbmake", good)
    tools.start("papermill", "papermill", good, tmp_path / "out.ipynb")
    tools.end_well()


def test_every_error_is_seen(tmp_path: Path) -> None:
    """Each kind of error fails its cell in nbval and nbval-lax, although it was saved so."""
    tools = Tools(tmp_path, {})
    cells = [LOAD, SET, ANSWERS, *BAD.values(), "1 + 1"]
    bad = written(tmp_path / "bad.ipynb", cells)
    tools.start("nbclient", "jupyter", "execute", "--inplace", "--allow-errors", bad)
    tools.end_well()
    executed = nbformat.read(bad, as_version=4)
    for cell, name in zip(executed.cells[3:-1], BAD, strict=True):
        error = cell.outputs[-1]
        assert error.output_type == "error"
        assert error.ename == name.split()[-1]
        assert len(error.traceback) == 1
    tools.start_pytest("nbval", "--nbval", bad)
    tools.start_pytest("lax", "--nbval-lax", bad)
    for name, (code, output) in tools.ends().items():
        assert code == 1, output
        failed = list(tools.failed(name).values())
        assert failed == [False] * 3 + [True] * len(BAD) + [False], output


@pytest.mark.parametrize("kind", ["OptionError", "TooFewSucceeded", "KeyboardInterrupt"])
def test_what_stops_at_an_error_stops(tmp_path: Path, kind: str) -> None:
    """nbclient, papermill and nbmake end in failure on a notebook with such a cell."""
    tools = Tools(tmp_path, {})
    bad = written(tmp_path / "bad.ipynb", [LOAD, SET, ANSWERS, BAD[kind], "print('went on')"])
    tools.start("nbclient", "jupyter", "execute", bad)
    tools.start("papermill", "papermill", bad, tmp_path / "out.ipynb")
    tools.start_pytest("nbmake", "--nbmake", bad)
    for name, (code, output) in tools.ends().items():
        assert code != 0, (name, output)
        assert kind in output
        assert "went on" not in output.replace("print('went on')", "")
