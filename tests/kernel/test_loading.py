"""In a real kernel, the extension comes and goes without a trace, also in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel import Kernel
from provider import Act, Call, Loopback

TRACES = """
import asyncio, contextlib, gc, os, sys, weakref

def traces():
    gc.collect()
    ip = get_ipython()
    tasks = {t for t in asyncio.all_tasks() if not t.done()}
    sockets = 0
    for fd in os.listdir("/proc/self/fd"):
        # Another thread of the kernel may close a file between its listing and this look.
        with contextlib.suppress(FileNotFoundError):
            sockets += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    return {
        "magics": sorted(name for kind in ip.magics_manager.magics.values() for name in kind),
        "registry": sorted(ip.magics_manager.registry),
        "transformers": [len(ip.input_transformers_cleanup), len(ip.input_transformers_post)],
        "ast": len(ip.ast_transformers),
        "replaced": "should_run_async" in vars(ip),
        "events": {event: len(found) for event, found in ip.events.callbacks.items()},
        "configurables": len(ip.configurables),
        "matchers": len(ip.Completer.custom_matchers),
        "attributes": sorted(name for name in vars(ip) if "parallm" in name),
        "sockets": sockets,
        "tasks": len(tasks),
    }
"""
WORKERS = "".join(f"%section s{n}\nprompt {n}\n" for n in range(10))


@pytest.fixture(scope="module")
def one_kernel(server: Loopback) -> Iterator[Kernel]:
    """The kernel of this module."""
    env = {"ANTHROPIC_API_KEY": "sk-a-key", "ANTHROPIC_BASE_URL": server.url}
    with Kernel(**env) as kernel:
        kernel.run(TRACES)
        # What is imported once and for all is no trace of a load.
        kernel.run("%load_ext parallm_magics")
        kernel.run("%%fanout -m claude-x\n%section a\nhello\n")
        kernel.run("%unload_ext parallm_magics")
        kernel.run("before = traces()")
        yield kernel


@pytest.fixture
def kernel(one_kernel: Kernel, server: Loopback) -> Iterator[Kernel]:
    """The kernel with the extension loaded; unloaded after the test, nothing may be left."""
    server.clear()
    assert one_kernel.run("%load_ext parallm_magics").outputs == []
    yield one_kernel
    one_kernel.run("%unload_ext parallm_magics")
    one_kernel.settle("traces() == before")
    assert one_kernel.value("traces()") == one_kernel.value("before")


def test_loading_twice_registers_once(kernel: Kernel) -> None:
    """`%load_ext` twice, by IPython and by hand, is one registration."""
    kernel.run("once = traces()")
    kernel.run("%load_ext parallm_magics")
    kernel.run("import parallm_magics; parallm_magics.load_ipython_extension(get_ipython())")
    assert kernel.value("traces() == once")
    assert kernel.run("%%fanout -m sim:?scale=0\n%section a\nx\n").plain


def test_reloading_registers_once(kernel: Kernel) -> None:
    """`%reload_ext` leaves one registration that works."""
    kernel.run("once = traces()")
    for _ in range(3):
        kernel.run("%reload_ext parallm_magics")
    assert kernel.value("traces() == once")
    assert kernel.run("%%fanout -m claude-x\n%section a\nx\n").plain


def test_unloading_frees_the_magics(kernel: Kernel) -> None:
    """After an unload nothing holds the magics, the session or its clients."""
    kernel.run("%%fanout -m claude-x\n%section a\nx\n")
    kernel.run(
        "held = [weakref.ref(get_ipython().find_cell_magic('fanout').__self__)]\n"
        "held += [weakref.ref(held[0]().session), weakref.ref(held[0]().session.clients)]"
    )
    kernel.run("%unload_ext parallm_magics")
    kernel.settle("not any([gc.collect() and each() for each in held])")


def test_fifty_loads_leave_nothing(kernel: Kernel) -> None:
    """Loads, runs and unloads in turn leave no magic, hook, task or socket."""
    kernel.run("%unload_ext parallm_magics")
    queued = []
    for n in range(50):
        queued.append(kernel.send("%load_ext parallm_magics"))
        if n % 5 == 0:
            queued.append(kernel.send("%%fanout -m claude-x\n%section a\nhello\n"))
            queued.append(kernel.send("%%time\n%%fanout -m claude-x\n%section a\nhello\n"))
        queued.append(kernel.send("%unload_ext parallm_magics"))
    assert {kernel.cell(each).reply["status"] for each in queued} == {"ok"}
    kernel.settle("traces() == before")
    kernel.run("%load_ext parallm_magics")


def test_an_unloaded_magic_is_unknown(kernel: Kernel) -> None:
    """After an unload a cell of ours is refused, and nothing is sent."""
    kernel.run("%unload_ext parallm_magics")
    cell = kernel.run("%%fanout -m claude-x\n%section a\nhello\n")
    assert "not found" in cell.stream("stderr")
    assert cell.plain == ""


def ended_by_unload(kernel: Kernel, server: Loopback, number: str) -> None:
    """The cell has ended with what was done, and nothing of its run is left anywhere."""
    cell = kernel.cell(number)
    assert cell.error.startswith("KeyboardInterrupt: the extension was unloaded; ")
    assert "\n" not in cell.error
    kernel.settle("traces() == before")
    kernel.until(lambda: server.in_flight == 0, "the end of the requests")
    assert kernel.value("[r.status for r in kept.results]") == ["cancelled"] * 10


@pytest.mark.parametrize("head", ["", "%%time\n"], ids=["awaited", "nested"])
def test_unloading_from_a_subshell_ends_a_run(kernel: Kernel, server: Loopback, head: str) -> None:
    """`%unload_ext` in a subshell stops the main shell's run and gives its sockets back."""
    subshell = kernel.subshell()
    number = kernel.send(f"{head}%%fanout -m anthropic:hang -o kept\n{WORKERS}")
    kernel.until(lambda: len(server.log) == 10, "the requests")
    assert kernel.run("%unload_ext parallm_magics", subshell).reply["status"] == "ok"
    kernel.end_subshell(subshell)  # which has sockets of its own
    ended_by_unload(kernel, server, number)


def test_unloading_from_a_task_ends_a_run(kernel: Kernel, server: Loopback) -> None:
    """An unload in the middle of a run, on the run's own loop, stops it."""
    kernel.run(
        "def answer(request, index):\n"
        "    get_ipython().run_line_magic('unload_ext', 'parallm_magics')\n"
        "    return 'never heard'\n"
        "%parallm provider teacher --sim answer"
    )
    number = kernel.send(f"%%fanout -m teacher:?latency=60&scale=1 -o kept\n{WORKERS}")
    ended_by_unload(kernel, server, number)


@pytest.mark.parametrize("head", ["", "%%time\n"], ids=["awaited", "nested"])
def test_a_subshell_runs_at_the_same_time(kernel: Kernel, server: Loopback, head: str) -> None:
    """Runs in the main shell and in a subshell overlap, and each shows in its own cell."""
    arrived: list[Call] = []

    def slow(call: Call) -> Act:
        arrived.append(call)
        return Act(delay=2.0)

    server.script("slow", slow)
    subshell = kernel.subshell()
    number = kernel.send("%%fanout -m anthropic:slow -o main\n%section m1\nx\n%section m2\ny\n")
    kernel.until(lambda: len(arrived) == 2, "the main shell's requests")
    quick = kernel.run(
        f"{head}%%fanout -m claude-x -o sub\n%section q1\nx\n%section q2\ny\n", subshell
    )
    slow_one = kernel.cell(number)
    assert quick.replied < slow_one.replied
    assert ("q1" in quick.plain, "m1" in quick.plain) == (True, False)
    assert ("q1" in slow_one.plain, "m1" in slow_one.plain) == (False, True)
    assert kernel.value("(list(main), list(sub))") == (["m1", "m2"], ["q1", "q2"])
    kernel.end_subshell(subshell)
