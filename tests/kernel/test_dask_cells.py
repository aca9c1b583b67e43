"""In a real kernel, cells with --engine dask: results, recordings, interrupts and the live table as on one machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from kernel import Cell, Kernel
from provider import KEY, Act, Call, Loopback
from test_live import updates

MAP = "%%fanout --each docs --engine dask -m anthropic:{model} -o {out}{more}\nSay {{{{item}}}}.\n"


@pytest.fixture(scope="module")
def one_kernel(server: Loopback) -> Iterator[Kernel]:
    """The kernel of this module, connected to a cluster of two processes."""
    with Kernel(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=server.url) as kernel:
        kernel.run("%load_ext parallm_magics")
        assert not kernel.run("%parallm dask --local 2").error
        yield kernel
        kernel.run("%parallm dask off")


@pytest.fixture
def kernel(one_kernel: Kernel, server: Loopback) -> Iterator[Kernel]:
    """The kernel; after each test nothing is under way anywhere."""
    server.clear()
    one_kernel.run("docs = [f'text {n}' for n in range(60)]\n%parallm recordings --mode off")
    yield one_kernel
    one_kernel.until(lambda: server.in_flight == 0, "the end of the requests")


def mapped(kernel: Kernel, model: str = "ok", out: str = "run", more: str = "") -> Cell:
    """A map over the documents on the cluster."""
    return kernel.run(MAP.format(model=model, out=out, more=f" {more}" if more else ""))


def test_a_map_on_a_cluster_is_a_map(kernel: Kernel, server: Loopback) -> None:
    """Order, keys, values, tokens and cost are those of the engine of the kernel; no key leaves it."""
    server.answers = lambda body: "good" if "1" in json.dumps(body["messages"]) else "bad"
    cell = mapped(kernel, "claude-haiku-5-5", "there", "--choices good,bad")
    assert not cell.error, cell.error
    assert "60 of 60" in cell.plain
    assert len(server.log) == 60
    kernel.run(
        "%%fanout --each docs -m claude-haiku-5-5 -o here --choices good,bad\nSay {{item}}.\n"
    )
    server.answers = None
    facts = "[(r.index, r.name, r.key, r.status, r.text, r.value, r.usage, r.cost, r.model) for r in {}.results]"
    assert kernel.value(f"{facts.format('there')} == {facts.format('here')}")
    assert KEY not in json.dumps(kernel.everything, default=str)


def test_a_vote_a_guard_and_a_synthesis(kernel: Kernel, server: Loopback) -> None:
    """Voters are asked on the cluster, and what is asked beside and after them is asked as always."""
    server.answers = lambda body: "yes"
    cell = kernel.run(
        "%%vote -n 5 --choices yes,no --engine dask -m anthropic:ok -o verdict\nIs it so?\n"
    )
    assert not cell.error, cell.error
    assert kernel.value("verdict.winner") == "yes"
    cell = kernel.run(
        "%%fanout --engine dask -m anthropic:ok -o merged\n%section a\nx\n%section b\ny\n%synthesis\nMerge.\n"
    )
    server.answers = None
    assert not cell.error, cell.error
    assert kernel.value("merged.text") == "yes"


def test_a_provider_that_the_notebook_has_named(kernel: Kernel, server: Loopback) -> None:
    """It is known on the workers too, which read its key from their own environment."""
    kernel.run(f"%parallm provider mine --base-url {server.url}/v1 --key-env ANTHROPIC_API_KEY")
    cell = kernel.run("%%fanout --each docs --engine dask -m mine:ok -o run\nSay {{item}}.\n")
    assert not cell.error, cell.error
    assert kernel.value("len(run.succeeded)") == 60
    assert {call.headers["authorization"] for call in server.log} == {f"Bearer {KEY}"}


def test_a_key_that_the_workers_lack_is_named(kernel: Kernel) -> None:
    """Every call ends with one line that names the variable and where it is missing."""
    kernel.run("import os, sys; os.environ['OPENAI_API_KEY'] = 'sk-here-' + 'alone'")
    cell = kernel.run("%%fanout --each docs --engine dask -m gpt-6-luna -o run\nSay {{item}}.\n")
    assert "OPENAI_API_KEY" in cell.error
    assert "\n" not in cell.error
    messages = set(kernel.value("[r.error.message for r in sys.last_value.run.results]"))
    assert all("OPENAI_API_KEY" in each and "worker tcp://" in each for each in messages)
    assert "sk-here-alone" not in json.dumps(kernel.everything, default=str)
    kernel.run("del os.environ['OPENAI_API_KEY']")


def test_recordings_of_a_cluster_are_recordings(kernel: Kernel, server: Loopback) -> None:
    """Written on a cluster, replayed without one and the other way round; nothing is asked twice."""
    kernel.run("%parallm recordings on_cluster.jsonl")
    mapped(kernel, out="first")
    assert len(server.log) == 60
    lines = kernel.value("len(open('on_cluster.jsonl').readlines())")
    assert lines == 60
    server.clear()
    again = mapped(kernel, out="again")
    assert not again.error
    kernel.run("%%fanout --each docs -m anthropic:ok -o local\nSay {{item}}.\n")
    assert server.log == []
    texts = "[(r.index, r.text, r.replayed) for r in {}.results]"
    assert kernel.value(f"{texts.format('again')} == {texts.format('local')}")
    assert kernel.value("[r.text for r in first.results] == [r.text for r in again.results]")
    # What one machine has written is served to a cluster as well; only the new items are asked.
    kernel.run("%parallm recordings on_one.jsonl")
    kernel.run("docs = docs[:40]")
    kernel.run("%%fanout --each docs -m anthropic:ok\nSay {{item}}.\n")
    server.clear()
    kernel.run("docs = [f'text {n}' for n in range(60)]")
    mapped(kernel)
    assert len(server.log) == 20


def test_a_failure_is_asked_again_and_nothing_else(kernel: Kernel, server: Loopback) -> None:
    """`await run.retry()` goes to the cluster too."""

    def some_fail(call: Call) -> Act:
        return Act(status=400) if "7" in call.prompt else Act()

    server.script("some", some_fail)
    mapped(kernel, "some", more="--min-success 0")
    failed = kernel.value("len(run.failed)")
    assert failed == sum("7" in str(n) for n in range(60))
    server.script("some", Act())
    server.clear()
    assert not kernel.run("run = await run.retry()").error
    assert len(server.log) == failed
    assert kernel.value("len(run.succeeded)") == 60


def stopped(kernel: Kernel, server: Loopback, how: Any) -> Cell:
    """A map of which ten calls are answered and the others hang, stopped in this way."""

    def ten_answer(call: Call) -> Act:
        return (
            Act() if call.prompt.split()[-1].rstrip(".") in map(str, range(10)) else Act(hang=True)
        )

    server.script("most-hang", ten_answer)
    # So many at once that every call has begun.
    number = kernel.send(MAP.format(model="most-hang", out="kept", more=" -c 60"))
    kernel.until(lambda: len(server.log) == 60, "the requests")
    kernel.until(lambda: server.in_flight == 50, "the answers")
    how(number)
    return kernel.cell(number)


@pytest.mark.parametrize("by", ["interrupt", "click"])
def test_a_run_on_a_cluster_is_stopped(kernel: Kernel, server: Loopback, by: str) -> None:
    """The calls end on all workers, what was answered is kept, and the next cell works."""

    def stop(number: str) -> None:
        if by == "interrupt":
            kernel.interrupt()
            return
        cell = kernel._cells[number]

        def buttons() -> list[dict[str, Any]]:
            opened = cell.of("comm_open")
            return [c for c in opened if c["data"]["state"].get("_model_name") == "ButtonModel"]

        kernel.until(lambda: bool(buttons()), "the button")
        kernel.tell(buttons()[0]["comm_id"], {"method": "custom", "content": {"event": "click"}})

    cell = stopped(kernel, server, stop)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert "\n" not in cell.error
    assert "10 of 60 workers were done" in cell.error
    kernel.until(lambda: server.in_flight == 0, "the end of the requests")
    assert kernel.value("[r.status for r in kept.results].count('ok')") == 10
    assert kernel.value("len(kept.results)") == 60
    server.clear()
    assert not mapped(kernel).error
    assert len(server.log) == 60


def test_the_live_table_tells_of_the_workers_of_the_cluster(
    kernel: Kernel, server: Loopback
) -> None:
    """Each has a row with its calls under way and done."""
    server.script("slow", Act(delay=0.3))
    cell = mapped(kernel, "slow", more="-c 10")
    drawn = [html for _, html in updates(cell)]
    # How many are under way at a moment that is drawn depends on the machine.
    said = re.compile(r"2 cluster workers, \d+ calls under way")
    assert any(said.search(html) for html in drawn), drawn[-3:]
    assert any("Workers of the cluster" in html for html in drawn)


def test_what_dask_is_told_holds_no_prompt(kernel: Kernel) -> None:
    """The names of its tasks and their groups say which run and which chunk."""
    kernel.run("docs = ['a secret prompt'] * 10")
    mapped(kernel)
    story = kernel.value(
        "get_ipython().find_line_magic('parallm').__self__.session.dask.cluster.scheduler"
        ".transition_log.__len__()"
    )
    assert story
    keys = kernel.value(
        "sorted({str(each[0]) for each in get_ipython().find_line_magic('parallm').__self__"
        ".session.dask.cluster.scheduler.transition_log})"
    )
    assert all(key.startswith("parallm-") for key in keys)
    assert not any("secret" in key for key in keys)
