"""In a real kernel, what a cell was answered is served to its next run, in any kernel."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import Cell, Kernel
from provider import Act, Loopback

KEY = "sk-a-key"
CELL = (
    "%%fanout -m claude-haiku-5-5 -o run\nabout\n%section a\nA\n%section b\nB\n%synthesis\nMerge.\n"
)
VOTE = "%%vote -m claude-haiku-5-5 -n 3 --choices echo,other\nWhich?\n"
KNOWN = "auto, replay, refresh, off"
FORM = "%parallm recordings PATH [--mode auto|replay|refresh|off], or --prune"
SDKS = "[m for m in ('anthropic', 'openai', 'httpx2', 'aiohttp') if m in __import__('sys').modules]"


def started(kernel: Kernel) -> Kernel:
    """The kernel with the extension."""
    assert kernel.run("%load_ext parallm_magics").outputs == []
    return kernel


@pytest.fixture(scope="module")
def one_kernel(server: Loopback) -> Iterator[Kernel]:
    """The kernel of this module."""
    with Kernel(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=server.url) as kernel:
        yield started(kernel)


@pytest.fixture
def kernel(one_kernel: Kernel, server: Loopback) -> Kernel:
    """The kernel as at its start; nothing is recorded."""
    cell = one_kernel.run("%reset -f\n%reload_ext parallm_magics\n%parallm recordings --mode off")
    assert cell.stream() == "recordings off\n"
    server.clear()
    return one_kernel


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "answers.jsonl"


def recorded(kernel: Kernel, path: Path) -> None:
    """From now on what the kernel's cells are answered is kept in this file."""
    cell = kernel.run(f"%parallm recordings '{path}'")
    assert cell.stream().startswith("recordings ")


def test_a_second_run_is_the_first_one(kernel: Kernel, server: Loopback, path: Path) -> None:
    """Nothing is asked, and the saved notebook does not change."""
    recorded(kernel, path)
    first = [kernel.run(CELL), kernel.run(VOTE)]
    asked = len(server.log)
    assert asked == 6
    second = [kernel.run(CELL), kernel.run(VOTE)]
    assert len(server.log) == asked
    assert [cell.result for cell in second] == [cell.result for cell in first]
    assert [cell.outputs for cell in second] == [["execute_result"]] * 2


def test_another_kernel_needs_no_key(kernel: Kernel, server: Loopback, path: Path) -> None:
    """Nor an SDK; the environment names the file, and what is not recorded says what is missing."""
    recorded(kernel, path)
    first = kernel.run(CELL)
    server.clear()
    with Kernel(PARALLM_RECORDINGS=str(path), ANTHROPIC_BASE_URL=server.url) as other:
        started(other)
        second = other.run(CELL)
        assert second.result == first.result
        assert other.value(SDKS) == []
        [shown] = other.run("%parallm").shown
        assert re.search(r"(?m)^recordings +…/answers\.jsonl$", shown["text/plain"])
        missing = other.run(CELL.replace("\nB", "\nB!"))
        assert missing.reply["ename"] == "MissingKeyError"
    assert server.log == []


def spent(kernel: Kernel) -> str:
    """The session's sums but for its runs; the cap stands on a line of its own."""
    sums = kernel.run("%parallm usage").shown[0]["text/plain"].partition("\n")[0]
    return sums.partition(", ")[2]


def test_kept_answers_are_not_spent_again(kernel: Kernel, path: Path) -> None:
    """`%parallm usage` and the session's cap count what was asked, once."""
    recorded(kernel, path)
    kernel.run(CELL)
    before = spent(kernel)
    kernel.run("%config ParallmMagics.session_max_cost = '0.0000001'")
    try:
        assert kernel.run(CELL).error == ""
        assert spent(kernel) == before
        assert kernel.run(CELL.replace("\nB", "\nB!")).reply["ename"] == "BudgetExceeded"
    finally:
        kernel.run("%config ParallmMagics.session_max_cost = None")


def test_a_retry_asks_anew_and_is_kept(kernel: Kernel, server: Loopback, path: Path) -> None:
    """Its answers are what the next run is served."""
    recorded(kernel, path)
    server.script("claude-x", Act(), Act(status=400), Act())
    cell = "%%fanout -m claude-x -c 1 -o run\n%section a\nA\n%section b\nB\n"
    assert kernel.run(cell).error == ""
    assert kernel.value("list(run)") == ["a"]
    assert kernel.value("list(again := await run.retry())") == ["a", "b"]
    assert len(server.log) == 3
    assert kernel.run(cell).error == ""
    assert kernel.value("dict(run) == dict(again)")
    assert len(server.log) == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("'{path}'", "…/answers.jsonl"),
        ('"{folder}/two words.jsonl"', "…/two words.jsonl"),
        ("'{path}' --mode auto", "…/answers.jsonl"),
        ("--mode=auto '{path}'", "…/answers.jsonl"),
        ("kept.jsonl", "kept.jsonl"),
        ("~/kept.jsonl", "kept.jsonl"),  # the kernel runs in its home
        ("kept.jsonl --mode replay", "kept.jsonl"),
        ("'{path}' --mode=Refresh", "…/answers.jsonl"),
        ("off", "off"),
        ("--mode off", "off"),
        ("kept.jsonl --mode OFF", "off"),
        ("", "off"),
    ],
)
def test_the_command_says_what_holds(kernel: Kernel, path: Path, line: str, told: str) -> None:
    """In one line, without the folders of this computer."""
    cell = kernel.run("%parallm recordings " + line.format(path=path, folder=path.parent))
    assert cell.error == ""
    assert cell.stream() == f"recordings {told}\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("x --mode of", f"--mode 'of'; did you mean 'off'? Known: {KNOWN}"),
        ("x --mode", f"--mode ''; known: {KNOWN}"),
        ("x --mode=play", f"--mode 'play'; did you mean 'replay'? Known: {KNOWN}"),
        ("--mode auto", f"expected a path: {FORM}"),
        ("two words", f"expected one path: {FORM}"),
        ("x --replay", f"expected one path: {FORM}"),
        ("' '", f"expected one path: {FORM}"),
        ("$where", "for a variable, write {{where}}"),
        ("{{1+1}}", "{{1+1}} is not the name of a variable"),
    ],
)
def test_a_bad_word_is_one_line(kernel: Kernel, line: str, told: str) -> None:
    """With the way out; what held before holds."""
    kernel.run("%parallm recordings kept.jsonl")
    cell = kernel.run(f"%parallm recordings {line}")
    if line == "--mode auto":  # a path is named already
        assert cell.stream() == "recordings kept.jsonl\n"
        kernel.run("%parallm recordings off")
        cell = kernel.run("%parallm recordings --mode auto")
    assert cell.outputs == ["error"]
    assert cell.error == f"OptionError: %parallm recordings: {told}"
    assert "kept.jsonl" in kernel.run("%parallm recordings").stream() or line == "--mode auto"


def test_a_path_may_be_a_variable(kernel: Kernel, path: Path) -> None:
    """As in any option's value; an unknown one is an error that names the nearest."""
    kernel.run(f"import pathlib\nwhere = pathlib.Path({str(path)!r})")
    assert kernel.run("%parallm recordings {{where}}").stream() == "recordings …/answers.jsonl\n"
    assert kernel.run("%parallm recordings {{wher}}").error.startswith("VariableError: ")


def test_the_environment_forces_replay(kernel: Kernel, server: Loopback, path: Path) -> None:
    """A notebook that would record and ask replays: without a key, and a miss asks nobody."""
    recorded(kernel, path)
    first = [kernel.run(cell) for cell in (CELL, VOTE)]
    asked = len(server.log)
    with Kernel(PARALLM_RECORDINGS="replay", ANTHROPIC_BASE_URL=server.url) as other:
        started(other)
        missing = other.run(CELL)
        assert missing.error.startswith(
            "RecordingMissing: anthropic:claude-haiku-5-5: PARALLM_RECORDINGS=replay"
        )
        assert other.run("%%fanout -m sim:?scale=0\n%section a\nA\n").error == ""
        assert other.run(f"%parallm recordings '{path}'").stream() == (
            "recordings …/answers.jsonl\n"
        ), "as in the notebook that is checked"
        assert other.run("%parallm recordings").stream().endswith("answers.jsonl (mode replay)\n")
        for cell, code in zip(first, (CELL, VOTE), strict=True):
            again = other.run(code)
            assert again.result == cell.result
        changed = other.run(CELL.replace("Merge.", "Merge them."))
        assert changed.outputs == ["error"]
        assert changed.error.startswith("RecordingMissing: synthesis: not recorded in 'answers.")
        assert "with a different prompt: " in changed.error
        assert "Merge" in changed.error
        assert other.value(SDKS) == []
    assert len(server.log) == asked


def test_a_refresh_asks_anew(kernel: Kernel, server: Loopback, path: Path) -> None:
    """What it is answered is what a replay serves from then on."""
    recorded(kernel, path)
    server.script("claude-haiku-5-5", Act(text="old"))
    kernel.run(CELL)
    server.script("claude-haiku-5-5", Act(text="new"))
    assert kernel.value("run['a']") == "old"
    kernel.run("%parallm recordings --mode refresh")
    kernel.run(CELL)
    kernel.run("%parallm recordings --mode replay")
    asked = len(server.log)
    kernel.run(CELL)
    assert kernel.value("run['a']") == "new"
    assert len(server.log) == asked == 6


def test_a_prune_keeps_what_the_cells_use(kernel: Kernel, server: Loopback, path: Path) -> None:
    """The rest stays in a backup; before any cell has used the file, nothing is taken out."""
    recorded(kernel, path)
    kernel.run(CELL)
    kernel.run(VOTE)
    whole = path.read_bytes()
    kernel.run("%parallm recordings off")
    recorded(kernel, path)
    refused = kernel.run("%parallm recordings --prune")
    assert (
        "no cell has used the file yet; run the whole notebook first, then prune" in refused.error
    )
    kernel.run(VOTE)
    told = kernel.run("%parallm recordings --prune").stream()
    assert told.startswith("kept 3 entries that cells have used since the file was set, deleted 3")
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[3:])
    assert path.with_name("answers.jsonl.bak").read_bytes() == whole
    asked = len(server.log)
    assert kernel.run(VOTE).error == ""
    assert len(server.log) == asked
    kernel.run(CELL)
    assert len(server.log) == asked + 3
    kernel.run(f"%parallm recordings '{path}'")  # as Run All does
    kernel.run(CELL)
    assert kernel.run("%parallm recordings --prune").stream().startswith("kept 3 entries")
    assert "recordings are off" in (kernel.run("%parallm recordings off --prune").error)


def test_a_folder_costs_a_note(kernel: Kernel, server: Loopback, path: Path) -> None:
    """The run goes on, and says that nothing is kept."""
    path.mkdir()
    recorded(kernel, path)
    for _ in range(2):
        cell = kernel.run(CELL)
        assert cell.error == ""
        assert "recordings in 'answers.jsonl': cannot be read (it is not a file)" in cell.plain
        assert str(path.parent) not in cell.plain + cell.result["text/html"]
    assert len(server.log) == 6


def test_what_was_done_at_an_interrupt_is_served(
    kernel: Kernel, server: Loopback, path: Path
) -> None:
    """The file is whole whenever the interrupt falls; a re-run asks for what is missing only."""
    recorded(kernel, path)
    server.script("claude-x", lambda call: Act(delay=0.005 * (call.number % 40)))
    kernel.run("docs = [f'document {n}' for n in range(60)]")
    cell = "%%fanout -m claude-x -c 8 -o run --each docs\n{{item}}\n"
    for wanted in (9, 20, 33):
        asked = len(server.log)
        number = kernel.send(cell)
        kernel.until(lambda least=asked + wanted: len(server.log) >= least, "the calls")
        kernel.interrupt()
        assert kernel.cell(number).reply["ename"] == "KeyboardInterrupt"
        done = kernel.value("len(run.succeeded)")
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        assert sum(entry["status"] == "ok" for entry in entries) == done
        server.clear()
        kernel.run("docs = docs[::-1]")  # other places, the same questions
    kernel.until(lambda: server.in_flight == 0, "the end of the requests")
    server.clear()
    whole = kernel.run(cell)
    assert whole.error == ""
    assert len(server.log) == 60 - done


def test_a_killed_kernel_loses_what_was_in_flight_only(server: Loopback, path: Path) -> None:
    """Another one goes on with what the first was answered."""
    server.script("claude-x", Act(delay=0.02))
    server.clear()
    cell = "%%fanout -m claude-x -c 10 -o run --each docs\n{{item}}\n"
    docs = "docs = [f'document {n}' for n in range(200)]"
    env = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}
    env["PARALLM_RECORDINGS"] = str(path)
    with Kernel(**env) as kernel:
        started(kernel).run(docs)
        kernel.send(cell)
        kernel.until(lambda: len(server.log) > 70, "the calls")
    before = {call.prompt for call in server.log}
    server.clear()
    with Kernel(**env) as kernel:
        started(kernel).run(docs)
        assert kernel.run(cell).error == ""
        texts = kernel.value("[record.text for record in run.results]")
    assert texts == [f"echo: document {n}" for n in range(200)]
    assert len(before & {call.prompt for call in server.log}) <= 10


def test_two_cells_at_once_share_a_file(kernel: Kernel, server: Loopback, path: Path) -> None:
    """One in a subshell: no answer of either is lost, and both runs are whole."""
    recorded(kernel, path)
    server.script("claude-x", Act(delay=0.02))
    # Quiet, and neither begun nor ended together: ipykernel 7.4 mixes up what two shells send at once.
    head = "%%fanout --quiet -m claude-x -c 5 --each docs{0} -o run{0}\n{{{{item}}}}\n"
    kernel.run("docs0 = [f'd{n}' for n in range(90)]\ndocs1 = [f'd{n}' for n in range(80, 120)]")
    subshell = kernel.subshell()
    main = kernel.send(head.format(0))
    kernel.until(lambda: len(server.log) > 5, "the calls")
    sub = kernel.run(head.format(1), subshell)
    cells = [kernel.cell(main), sub]
    kernel.end_subshell(subshell)
    assert [cell.error for cell in cells] == ["", ""]
    assert kernel.value("len(run0), len(run1)") == (90, 40)
    kernel.run("docs2 = [f'd{n}' for n in range(120)]")
    server.clear()
    kernel.run(head.format(2))
    assert kernel.value("len(run2)") == 120
    assert server.log == []


def test_two_kernels_at_once_share_a_file(kernel: Kernel, server: Loopback, path: Path) -> None:
    """Each is served what the other was answered, from its next run on."""
    recorded(kernel, path)
    server.script("claude-x", Act(delay=0.01))
    cell = "%%fanout -m claude-x -c 5 --each docs\n{{item}}\n"
    with Kernel(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=server.url) as other:
        both = (kernel, started(other))
        recorded(other, path)
        for n, each in enumerate(both):
            each.run(f"docs = [f'd{{n}}' for n in range({30 * n}, {30 * n + 40})]")
        numbers = [each.send(cell) for each in both]
        cells = [each.cell(number) for each, number in zip(both, numbers, strict=True)]
        assert all("40 of 40" in done.plain for done in cells)
        server.clear()
        results = []
        for each in both:
            each.run("docs = [f'd{n}' for n in range(70)]")
            results.append(each.run(cell).result)
        assert results[0] == results[1]
    assert server.log == []


def test_simulated_answers_stay_marked(kernel: Kernel, path: Path) -> None:
    """Served from a file they are still no model's."""
    recorded(kernel, path)
    cells: list[Cell] = [kernel.run("%%vote -m sim:?scale=0 -n 3\nWhich?\n") for _ in range(2)]
    assert "SIMULATED" in cells[1].plain
    assert cells[1].result == cells[0].result
    assert len(path.read_text().splitlines()) == 3
    assert os.stat(path).st_mode & 0o777 == 0o600
