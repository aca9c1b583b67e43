"""In a real kernel, on a cluster whose parts die: what came is kept, and at most what was in flight is repeated."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from dask_processes import DaskProcesses
from kernel import Kernel, environment
from provider import KEY, Act, Loopback

from parallm_magics.cluster.lease_table import TERM

AT_ONCE = 8
LOST = 2 * AT_ONCE
"""What is in flight, and what has just ended and is not yet told: these calls all end at the same time."""
MAP = (
    f"%%fanout --each docs --engine dask -m anthropic:slow -c {AT_ONCE} -o run{{more}}\n"
    "Say {{{{item}}}}.\n"
)
ITEMS = 80


@pytest.fixture
def cluster(server: Loopback, tmp_path: Path) -> Iterator[DaskProcesses]:
    """A scheduler and two workers that the kernel has not started."""
    server.clear()
    server.script("slow", Act(delay=0.05))
    keys = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}
    with DaskProcesses(2, environment(tmp_path, **keys)) as processes:
        yield processes


@pytest.fixture
def kernel(server: Loopback, cluster: DaskProcesses) -> Iterator[Kernel]:
    """A kernel that is connected to it."""
    with Kernel(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=server.url) as kernel:
        kernel.run("%load_ext parallm_magics")
        kernel.run(f"docs = [f'text {{n}}' for n in range({ITEMS})]")
        assert not kernel.run(f"%parallm dask {cluster.address}").error
        yield kernel
        kernel.until(lambda: server.in_flight == 0, "the end of the requests")


def begun(kernel: Kernel, server: Loopback, calls: int, more: str = "") -> str:
    """A map of which so many calls have begun."""
    number = kernel.send(MAP.format(more=f" {more}" if more else ""))
    kernel.until(lambda: len(server.log) >= calls, "the requests")
    return number


def repeated(server: Loopback) -> int:
    """How many requests came more than once."""
    return sum(Counter(call.prompt for call in server.log).values()) - len(
        {call.prompt for call in server.log}
    )


def test_a_worker_that_dies_costs_what_was_in_flight(
    kernel: Kernel, server: Loopback, cluster: DaskProcesses
) -> None:
    """Every item is answered, and what had come back is not asked again."""
    number = begun(kernel, server, 20)
    cluster.kill_worker()
    cell = kernel.cell(number)
    assert not cell.error, cell.error
    assert kernel.value("len(run.succeeded)") == ITEMS
    assert repeated(server) <= LOST


def test_without_any_worker_a_cell_waits_for_one(
    kernel: Kernel, server: Loopback, cluster: DaskProcesses
) -> None:
    """It says so, goes on with the next one, and repeats no more than was in flight."""
    number = begun(kernel, server, 20)
    cluster.kill_worker()
    cluster.kill_worker()
    kernel.until(
        lambda: "no worker is connected" in str(kernel._cells[number].messages), "the word on it"
    )
    assert not kernel._cells[number].reply
    cluster.add_worker()
    assert not kernel.cell(number).error
    assert kernel.value("len(run.succeeded)") == ITEMS
    assert repeated(server) <= LOST + AT_ONCE


def test_a_scheduler_that_dies_ends_the_cell_with_what_came(
    kernel: Kernel, server: Loopback, cluster: DaskProcesses
) -> None:
    """One line says it, the records are kept, and another cluster answers what is missing."""
    number = begun(kernel, server, 20, "--min-success 0")
    cluster.kill_scheduler()
    cell = kernel.cell(number)
    assert not cell.error, cell.error
    ok = kernel.value("len(run.succeeded)")
    assert 0 < ok < ITEMS
    messages = kernel.value("sorted({r.error.message for r in run.results if r.error})")
    assert all("scheduler" in each for each in messages), messages
    refused = kernel.run(MAP.format(more="")).error
    assert refused.startswith("OptionError: the connection to the Dask cluster is ")
    assert "\n" not in refused
    assert not kernel.run("%parallm dask --local 1").error
    server.clear()
    assert not kernel.run("run = await run.retry()").error
    assert kernel.value("len(run.succeeded)") == ITEMS
    assert len(server.log) == ITEMS - ok
    assert not kernel.run("%parallm dask off").error


def is_quiet(server: Loopback) -> bool:
    """Whether nothing was asked for longer than a worker goes on without a word of its kernel."""
    return server.in_flight == 0 and time.time() - server.log[-1].sent > 2 * TERM


def test_a_kernel_that_dies_ends_the_calls_of_the_workers(
    kernel: Kernel, server: Loopback, cluster: DaskProcesses
) -> None:
    """Nobody would get their answers; in a new kernel the same cell asks for what is not in the file alone."""
    file = kernel.home.parent / f"{kernel.home.name}.jsonl"
    kernel.run(f"%parallm recordings {file}")
    begun(kernel, server, 20)
    os.kill(kernel._manager.provisioner.process.pid, signal.SIGKILL)
    kernel.until(lambda: is_quiet(server), "the end of the requests")
    recorded = len(file.read_bytes().splitlines()) if file.exists() else 0
    server.clear()
    with Kernel(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=server.url) as later:
        later.run(f"%load_ext parallm_magics\n%parallm recordings {file}")
        later.run(f"docs = [f'text {{n}}' for n in range({ITEMS})]")
        later.run(f"%parallm dask {cluster.address}")
        assert not later.run(MAP.format(more="")).error
        assert later.value("len(run.succeeded)") == ITEMS
    file.unlink(missing_ok=True)
    assert len(server.log) == ITEMS - recorded


def test_a_restart_of_the_users_client_costs_what_was_in_flight(
    kernel: Kernel, server: Loopback
) -> None:
    """`client.restart()` ends every worker and drops the chunks; a retry asks for what had not come back."""
    kernel.run("%parallm dask off")
    kernel.run(
        "from distributed import Client, LocalCluster\n"
        "client = Client(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address='127.0.0.1:0'))"
    )
    number = begun(kernel, server, 20, "--min-success 0")
    other = kernel.subshell()
    restarted = kernel.send("client.restart()", other)
    cell = kernel.cell(number)
    kernel.cell(restarted)
    assert not cell.error, cell.error
    assert kernel.value("len(run.succeeded)") >= 20 - LOST
    assert not kernel.run("run = await run.retry()").error
    assert kernel.value("len(run.succeeded)") == ITEMS
    assert repeated(server) <= LOST + AT_ONCE
    kernel.end_subshell(other)
    kernel.run("client.close(); client.cluster.close()")
