"""In a real kernel, Tab offers what belongs into a cell of ours and leaves other cells alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel import Kernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """The kernel of this module."""
    with Kernel() as kernel:
        kernel.run("%load_ext parallm_magics\nreviews = ['a']\nreport = {'title': 'x'}")
        yield kernel


def completed(kernel: Kernel, cell: str) -> list[str]:
    """The cell with each of the completions put in at the mark `|`."""
    code, at = cell.replace("|", ""), cell.index("|")
    reply = kernel.complete(code, at)
    start, end = reply["cursor_start"], reply["cursor_end"]
    return [code[:start] + each + code[end:] for each in reply["matches"]]


@pytest.mark.parametrize(
    ("cell", "becomes"),
    [
        pytest.param("%%vote --cho|\nWhich?", ["%%vote --choices\nWhich?"], id="option"),
        pytest.param("%%vote --pick plu|", ["%%vote --pick plurality"], id="value"),
        pytest.param("%%vote --sure |", ["%%vote --sure "], id="no-python-name"),
        pytest.param("%%vote --sure pri|", ["%%vote --sure pri"], id="no-python-name-either"),
        pytest.param("%%vote --pick=plu|", ["%%vote --pick=plurality"], id="equals"),
        pytest.param("%%vote -m claude-o|", ["%%vote -m claude-opus-5-5"], id="model"),
        pytest.param("%%fanout\n%sec|\nx", ["%%fanout\n%section\nx"], id="directive"),
        pytest.param("%%fanout\n%section a --agg|", [], id="not-here"),
        pytest.param("%%vote\nIs {{rev|}} good", ["%%vote\nIs {{reviews}} good"], id="variable"),
        pytest.param("%%vote\n{{report.ti|}}", ["%%vote\n{{report.title}}"], id="key"),
        pytest.param("%parallm rec|", ["%parallm recordings"], id="command"),
        pytest.param("%parallm provider x --base|", ["%parallm provider x --base-url"], id="flag"),
        pytest.param("report.upd|", ["report.update"], id="python"),
    ],
)
def test_tab_completes(kernel: Kernel, cell: str, becomes: list[str]) -> None:
    """Exactly what may stand there, in place of what was typed of it."""
    assert completed(kernel, cell) == becomes


@pytest.mark.parametrize(
    ("cell", "about"),
    [
        pytest.param("%%vote --cho", "the answer is one of these labels", id="option"),
        pytest.param("%%fanout\n%gua", "what the guard must catch", id="directive"),
        pytest.param(
            "%parallm us", "Show the calls, tokens and cost of this session", id="command"
        ),
        pytest.param("%parallm provider x --k", "the environment variable that", id="flag"),
    ],
)
def test_a_completion_says_what_it_does(kernel: Kernel, cell: str, about: str) -> None:
    """In the place where front ends show what kind of thing it is, in one piece, and not too long."""
    [told] = kernel.complete(cell, len(cell))["metadata"]["_jupyter_types_experimental"]
    assert told["type"].replace("\u00a0", " ").startswith(about)
    assert " " not in told["type"]
    assert len(told["type"]) <= 60


def test_unloading_takes_it_away(kernel: Kernel) -> None:
    """One matcher after a reload, none after unloading; completion works on."""
    count = "sum(getattr(m, 'matcher_identifier', '') == 'parallm' for m in get_ipython().Completer.custom_matchers)"
    kernel.run("%reload_ext parallm_magics")
    assert kernel.value(count) == 1
    kernel.run("%unload_ext parallm_magics")
    assert kernel.value(count) == 0
    assert "%%vote --choices" not in completed(kernel, "%%vote --cho|")
    kernel.run("%load_ext parallm_magics")
    assert completed(kernel, "%%vote --cho|") == ["%%vote --choices"]
