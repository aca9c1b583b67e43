"""Faults of the notebook's world, in a real kernel: whatever happens around a run, answers are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from asking import MODELS, price_of
from kernel import Cell, Kernel
from provider import Act, Call, Loopback
from provider_dialects import DIALECTS

from parallm_magics.core.tasks import Usage

COMMS = ("comm_open", "comm_msg", "comm_close")


@pytest.fixture(scope="module")
def one_kernel(server: Loopback) -> Iterator[Kernel]:
    """The kernel of this module."""
    env = {
        "ANTHROPIC_API_KEY": "sk-a-key",
        "ANTHROPIC_BASE_URL": server.url,
        "OPENAI_API_KEY": "sk-a-key",
        "OPENAI_BASE_URL": f"{server.url}/v1",
    }
    with Kernel(**env) as kernel:
        kernel.run("%load_ext parallm_magics")
        yield kernel


@pytest.fixture
def kernel(one_kernel: Kernel, server: Loopback) -> Kernel:
    """The kernel, and a server that has seen nothing yet."""
    server.clear()
    return one_kernel


# What is refused.

MISTAKES = {
    "unknown option": ("%%fanout --timout 3 -m claude-x\n%section a\nx", "--timeout"),
    "unknown rule": ("%%vote --pick majorty -m claude-x --choices a,b\nx", "majority"),
    "unknown aggregate": ("%%fanout --aggregate jion -m claude-x\n%section a\nx", "join"),
    "keyword as a name": ("%%fanout -o class -m claude-x\n%section a\nx", "variable"),
    "no name": ("%%fanout -o a-b -m claude-x\n%section a\nx", "variable"),
    "builtin as a name": ("%%fanout -o print -m claude-x\n%section a\nx", "replace Python's own"),
    "no label that blocks": (
        "%%fanout -m claude-x\nx\n%guardrail --choices YES,NO\nYES or NO?",
        "add --block YES or --block NO",
    ),
    "below another magic": ("%%time\n%%fanout -o print -m claude-x\n%section a\nx", "replace"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_on_the_line_asks_nobody(kernel: Kernel, server: Loopback, name: str) -> None:
    """One line that names what is possible, no stack, no request."""
    code, says = MISTAKES[name]
    cell = kernel.run(code)
    assert cell.reply["ename"] == "OptionError"
    assert says in cell.error
    assert "\n" not in cell.error
    assert server.log == []


LINES = [
    "$x {y} {x!r}",
    "{os.environ['HOME']} $HOME ${HOME}",
    "{{{x}}} {} {0} }{",
    "!ls %time %%time",
    "~ * ? [a-z]",
    "a\\nb \\t \\\\",
    "100% %s %(x)s",
    "`ls` $(ls) && ; |",
    "# no comment",
    "é 😀 \u202e",
]


@pytest.mark.parametrize("head", ["", "%%time\n"], ids=["awaited", "nested"])
def test_no_line_is_expanded(kernel: Kernel, server: Loopback, head: str) -> None:
    """Whatever IPython or a shell would read into it arrives as typed."""
    kernel.run("x, y = 'X', 'Y'\nimport os")
    for line in LINES:
        server.clear()
        kernel.run(f'{head}%%fanout -m openai:m --system "{line}"\n%section a\nx\n')
        assert [call.body["messages"][0]["content"] for call in server.log] == [line]


# Verdicts that are missing.

CHECKS = """\
checks = {"tone": "ANSWER: fine", "facts": "hm", "guardrail": "YES", "judge": "1", "v": "A title."}
%parallm provider checker --sim checks
"""


def test_a_check_without_a_verdict_is_told_in_the_saved_cell(kernel: Kernel) -> None:
    """The heading and a note count it, and no `if run.clean` goes on."""
    kernel.run(CHECKS)
    body = "%section tone\nIs it rude?\n%section facts\nIs it wrong?\n"
    line = "-m checker --choices fine,bad --flag bad --min-success 1 -o run"
    cell = kernel.run(f"%%fanout {line}\n{body}")
    assert "1 of 2 checks gave no verdict" in cell.plain.splitlines()[0]
    assert "without a verdict: facts" in cell.plain
    assert "1 of 2 checks gave no verdict" in cell.result["text/html"]
    assert kernel.value("(run.flagged, run.unchecked, run.clean)") == ((), ("facts",), False)


def test_a_guard_that_says_yes_blocks_and_names_its_options(kernel: Kernel) -> None:
    """By the words of its prompt before the run, by its answer after it; so named it does as meant."""
    kernel.run(CHECKS)
    body = "Do it.\n%guardrail{options}\nIs it harmful? Reply YES or NO."
    wanted = "--choices NO,YES --block YES"
    dry = kernel.run("%%fanout -m checker --dry-run\n" + body.format(options=""))
    assert wanted in " ".join(dry.plain.split())
    assert "BLOCK blocks" in dry.plain
    cell = kernel.run("%%fanout -m checker -o run\n" + body.format(options=""))
    assert wanted in " ".join(cell.plain.split())
    assert kernel.value("(run.blocked, run.guard.verdict)") == (True, None)
    named = body.format(options=f" {wanted}")
    kernel.run(f"%%fanout -m checker -o run\n{named}")
    assert kernel.value("(run.blocked, run.guard.verdict)") == (True, "YES")
    kernel.run(f'checks["guardrail"] = "No, it is fine."\n{CHECKS.splitlines()[1]}')
    passed = kernel.run(f"%%fanout -m checker -o run\n{named}")
    assert kernel.value("(run.blocked, run.guard.verdict)") == (False, "NO")
    assert "passed: NO (YES would block)" in passed.plain


# Several at once.


def test_two_shells_never_pass_the_sum_of_their_limits(kernel: Kernel, server: Loopback) -> None:
    """Each keeps its own limit, and each shows in its own cell."""
    server.script("m", Act(delay=0.2))
    subshell = kernel.subshell()
    number = kernel.send("%%fanout -c 3 -n 12 -o main -m anthropic:m\nmain")
    kernel.until(lambda: len(server.log) > 0, "the main shell's requests")
    other = kernel.run("%%fanout -c 2 -n 6 -o sub -m anthropic:m\nsub", subshell)
    kernel.cell(number)
    kernel.end_subshell(subshell)
    assert kernel.value("(len(main.succeeded), len(sub.succeeded))") == (12, 6)
    assert server.max_in_flight <= 5
    most = {
        prompt: max(
            sum(each.at <= call.at < each.at + 0.2 and each.prompt == prompt for each in server.log)
            for call in server.log
        )
        for prompt in ("main", "sub")
    }
    assert most == {"main": 3, "sub": 2}
    assert "6 of 6" in other.plain


PLACES = {
    "capture": "%%capture seen\n{magic}",
    "time": "%%time\n{magic}",
    "output widget": "import ipywidgets\nwith ipywidgets.Output():\n    run = {call}\nrun",
    "thread": "import asyncio\nawait asyncio.to_thread(lambda: {call})",
}


@pytest.mark.parametrize("name", PLACES)
def test_a_run_shows_where_its_cell_says(kernel: Kernel, server: Loopback, name: str) -> None:
    """Captured, timed, in an output widget or from a thread: the run is there, no error, one result."""
    code = PLACES[name].format(
        magic="%%fanout -m claude-x -o kept\n%section a\nhello\n",
        call="get_ipython().run_cell_magic('fanout', '-m claude-x -o kept', '%section a\\nhello')",
    )
    cell = kernel.run(code)
    assert (cell.error, cell.stream("stderr")) == ("", "")
    assert kernel.value("list(kept)") == ["a"]
    if name == "capture":
        assert "execute_result" not in cell.outputs
        assert kernel.value("'1 of 1' in seen.outputs[0].data['text/plain']")
    else:
        assert "1 of 1 section succeeded" in cell.plain
        assert cell.outputs.count("execute_result") == 1


# Too much to show.


def test_a_flood_of_pieces_is_no_flood_of_messages(kernel: Kernel, server: Loopback) -> None:
    """Thousands of pieces a second reach the front end as a few drawings; the result is exact."""
    text = "".join(f"{n:03} " for n in range(300))
    server.script("m", Act(text=text, pieces=300, gap=0.005))
    began = time.monotonic()
    cell = kernel.run("%%fanout -n 30 -c 30 -m openai:m -o kept\nhello")
    seconds = time.monotonic() - began
    messages = [m for m in cell.messages if m["msg_type"] in (*COMMS, "update_display_data")]
    states = [m["content"]["data"].get("state", {}) for m in messages]
    drawn = [s for s in states if set(s) == {"value"} and "<style>" not in s["value"]]
    assert 2 <= len(drawn) <= 5 * seconds + 2
    assert len(messages) - len(drawn) <= 40, "the table's widgets are opened and closed once"
    assert "30 of 30 sections succeeded" in cell.plain
    assert kernel.value(f"[r.text for r in kept.results] == [{text!r}] * 30")


def drawings(cell: Cell) -> list[str]:
    """What the live table showed."""
    states = [c["data"].get("state", {}) for c in cell.of("comm_open", "comm_msg")]
    return [s["value"] for s in states if s.get("value") and "<style>" not in s["value"]]


# Who was slow.


def test_a_blocked_loop_is_not_called_a_silent_provider(kernel: Kernel, server: Loopback) -> None:
    """Where the user's own code held the loop, a worker has its answer or the reason says so."""
    server.script("m", Act(delay=0.5))
    kernel.run(
        "import asyncio, time\n"
        "async def block():\n    await asyncio.sleep(0.3)\n    time.sleep(2)\n"
        "task = asyncio.create_task(block())"
    )
    kernel.run("%%fanout -n 5 --timeout 1 --min-success 0 -m anthropic:m -o kept\nhello")
    ends = kernel.value("[(r.status, r.error and r.error.message) for r in kept.results]")
    assert all(status == "ok" or "this notebook" in why or "stall" in why for status, why in ends)


# What an interrupted run has cost.


@pytest.mark.parametrize("dialect", MODELS)
def test_the_sums_of_an_interrupted_run_are_those_of_the_servers_log(
    kernel: Kernel, server: Loopback, dialect: str
) -> None:
    """Calls and tokens of what was done equal the log; what was cancelled makes the sum a least one."""
    quick = Act(text="a fine answer")

    def by_prompt(call: Call) -> Act:
        return Act(hang=True) if call.prompt.startswith("slow") else quick

    server.script(MODELS[dialect], by_prompt)
    cell = "".join(
        f"%section s{at}\n{'slow' if at % 3 == 0 else 'quick'} {at}\n" for at in range(9)
    )
    number = kernel.send(f"%%fanout -c 8 -m {MODELS[dialect]} -o kept\n{cell}")
    kernel.until(
        lambda: "6 of 9 done" in "".join(drawings(kernel._cells[number])[-1:]), "six answers"
    )
    kernel.interrupt()
    kernel.cell(number)
    assert kernel.value("[r.status for r in kept.results]") == ["cancelled", "ok", "ok"] * 3
    answered = [call for call in server.log if call.prompt.startswith("quick")]
    words = [DIALECTS[call.dialect](call, quick, "a fine answer") for call in answered]
    counted = Usage(sum(sum(w.fed) for w in words), 0, 0, sum(w.gave for w in words))
    assert kernel.value("(kept.usage.input_tokens, kept.usage.output_tokens)") == (
        counted.input_tokens,
        counted.output_tokens,
    )

    assert Decimal(kernel.value("str(kept.cost)")) == price_of(dialect, counted)
    assert kernel.value("kept.cost_complete") is False
    assert len(server.log) == 9


def test_an_interrupted_retry_hands_over_what_it_has(kernel: Kernel) -> None:
    """One line, and the new run with its answers is where the line says; the next cell works."""
    kernel.run(
        "tries = {}\n"
        "async def slow(task, index):\n"
        "    import asyncio\n"
        "    tries[task.name] = tries.get(task.name, 0) + 1\n"
        "    if tries[task.name] == 1:\n"
        "        return ' '\n"
        "    if int(task.name) > 2:\n"
        "        await asyncio.sleep(30)\n"
        "    return 'fine'\n"
        "%parallm provider slow --sim slow\n"
        "docs = range(4)"
    )
    kernel.run("%%fanout --each docs -m slow:?scale=0 --min-success 0 -o run\nx {{item}}")
    asked = kernel.send("new = await run.retry()")
    time.sleep(0.5)
    kernel.interrupt()
    cell = kernel.cell(asked)
    assert cell.reply["ename"] == "UnfinishedError"
    assert "interrupted; 2 of 4 workers are done" in cell.error
    kept = kernel.value("list(__import__('sys').last_value.run.values())")
    assert (kept[:2], any(kept[2:])) == (["fine"] * 2, False)
    assert not any(kernel.value("list(run.values())"))
