"""Whether an installed copy works: run from a folder without the sources, by a Python without tests.

    python smoke.py VERSION [dask] [kernel]

Needs the standard library and what the wheel brings, with "dask" also what that extra brings, with "kernel" ipykernel.
No key, no network.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any


def installed(version: str) -> None:
    """The copy is the installed one, complete, and of the expected version."""
    import parallm_magics

    home = Path(parallm_magics.__file__).resolve()
    assert home.is_relative_to(Path(sys.prefix).resolve()), f"not the installed copy: {home}"
    assert (home.parent / "py.typed").exists(), "py.typed is missing"
    found = importlib.metadata.version("parallm_magics")
    assert found == version, f"version {found}, expected {version}"
    editor = Path(sys.prefix, "share/jupyter/labextensions/parallm_magics")
    about = json.loads((editor / "package.json").read_text("utf-8"))
    assert about["version"] == version, f"the editor's extension is of version {about['version']}"
    assert (editor / about["jupyterlab"]["_build"]["load"]).exists(), "the editor's code is missing"
    for name in ("tests", "notebooks", "pytest"):
        assert importlib.util.find_spec(name) is None, f"{name} came with the wheel"
    for name in parallm_magics.__all__:
        assert getattr(parallm_magics, name) is not None


async def outside() -> None:
    """A fan-out and a vote run without a notebook."""
    from parallm_magics import FanoutRun, VoteRun, fanout, vote

    text = "Review x = 1.\n\n%section style\nNames.\n\n%section security\nSecrets."
    run = await fanout(text, model="sim")
    assert isinstance(run, FanoutRun)
    assert list(run) == ["style", "security"]
    assert run.simulated
    verdict = await vote("Is 91 prime?", n=5, choices="yes,no", model="sim:?accuracy=1&truth=no")
    assert isinstance(verdict, VoteRun)
    assert (verdict.winner, sum(verdict.tally.values())) == ("no", 5)
    bundle = verdict._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}, "the html view is missing"


def inside() -> None:
    """The extension loads in IPython, its cells run, and it unloads."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()

    def cell(source: str) -> None:
        shell.run_cell(source, silent=True).raise_error()

    cell("%load_ext parallm_magics")
    cell("%%vote -n 3 --choices a,b -m sim:?accuracy=1&truth=a -o verdict\nWhich?")
    assert shell.user_ns["verdict"].winner == "a"
    cell("%%fanout -m sim -o review\n%section one\nOne.\n%section two\nTwo.")
    assert list(shell.user_ns["review"]) == ["one", "two"]
    cell("%unload_ext parallm_magics")
    assert shell.find_cell_magic("vote") is None


def cluster(*, there: bool) -> None:
    """With the extra a cluster starts and ends; without it one line says how to get it."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.run_cell("%load_ext parallm_magics", silent=True).raise_error()
    error = shell.run_cell("%parallm dask --local 2", silent=True).error_in_exec
    if there:
        assert error is None, error
        shell.run_cell("%parallm dask off", silent=True).raise_error()
    else:
        assert '%pip install "parallm_magics[dask]"' in str(error), error


def kernel() -> None:
    """A kernel shows a vote while it runs, then its result, and an error in one line."""
    from jupyter_client.manager import run_kernel

    def shown(client: Any, source: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        client.execute_interactive(source, timeout=60, output_hook=found.append)
        kinds = ("stream", "display_data", "execute_result", "error")
        return [each["content"] for each in found if each["msg_type"] in kinds]

    vote = "%%vote -n 3 --choices a,b -m sim:?accuracy=1&truth=a&latency=1&scale=1\nWhich?"
    with run_kernel(kernel_name="python3") as client:
        assert not shown(client, "%load_ext parallm_magics")
        live, result = shown(client, vote)
        assert set(live["data"]) == {"application/vnd.jupyter.widget-view+json"}, live
        assert set(result["data"]) == {"text/plain", "text/html"}, result
        [error] = shown(client, "%%vote --nope\nx")
        assert error["ename"] == "OptionError", error
        assert len(error["traceback"]) == 1, error


def main() -> None:
    """Run all parts; the first that fails ends the program."""
    version, *extras = sys.argv[1:]
    installed(version)
    asyncio.run(outside())
    inside()
    cluster(there="dask" in extras)
    if "kernel" in extras:
        kernel()
    print("smoke test: passed")


if __name__ == "__main__":
    main()
