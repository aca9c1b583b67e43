"""In a real kernel: `%parallm dask` starts, shows and closes a cluster, and leaves the user's own alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from kernel import Kernel
from provider import KEY

OWN = (
    "from distributed import Client, LocalCluster\n"
    "client = Client(LocalCluster(n_workers=1, threads_per_worker=1, processes=False, "
    "protocol='tcp', dashboard_address='127.0.0.1:0'))\n"
)
SESSION = "get_ipython().magics_manager.registry['ParallmMagics'].session"
TRIMS = "lambda: __import__('os').environ.get('MALLOC_TRIM_THRESHOLD_')"
"""How soon a worker gives memory back, where that is set."""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """The kernel of this module, whose environment holds a key."""
    with Kernel(ANTHROPIC_API_KEY=KEY) as kernel:
        kernel.run("%load_ext parallm_magics")
        yield kernel


def shown(kernel: Kernel, line: str) -> str:
    """What a command shows, as text."""
    cell = kernel.run(line)
    assert not cell.error, cell.error
    return "".join([cell.stream(), *(each["text/plain"] for each in cell.shown)])


def alive(kernel: Kernel) -> int:
    """How many worker processes the kernel has."""
    return int(kernel.value("len(__import__('multiprocessing').active_children())"))


def test_nothing_of_dask_is_imported_before_it_is_asked_for(kernel: Kernel) -> None:
    """A load, a plain cell, the status and Tab cost nothing of Dask."""
    kernel.run("%%fanout -m sim\n%section a\nx\n")
    assert "dask" not in shown(kernel, "%parallm status")
    assert "no Dask cluster is connected; start one with" in shown(kernel, "%parallm dask")
    kernel.complete("%parallm dask --", 16)
    assert "nothing was connected here" in shown(kernel, "%parallm dask off")
    found = kernel.value(
        "sorted({'dask', 'distributed', 'pyarrow'} & {*__import__('sys').modules})"
    )
    assert found == []


def test_a_local_cluster_from_start_to_end(kernel: Kernel) -> None:
    """It is shown with its workers and whether they have a key, never which; `off` ends its processes."""
    text = shown(kernel, "%parallm dask --local 2")
    assert "started here" in text
    assert "2, with 2 threads" in text
    assert "ANTHROPIC_API_KEY is set on 2 of 2" in text
    assert "OPENAI_API_KEY" not in text
    assert alive(kernel) == 2
    assert kernel.value(f"[*{SESSION}.dask.client.run({TRIMS}).values()]") == [None, None]
    assert "started here" in shown(kernel, "%parallm")
    assert "2, with 2 threads" in shown(kernel, "%parallm dask")
    assert "of 2 workers" in shown(kernel, "%parallm dask off")
    kernel.settle("not __import__('multiprocessing').active_children()")
    assert "no Dask cluster" in shown(kernel, "%parallm dask")
    assert KEY not in json.dumps(kernel.everything, default=str)


def test_an_interrupt_of_the_kernel_leaves_the_cluster_alone(kernel: Kernel) -> None:
    """Jupyter sends it to all processes of the kernel's group; a worker would end, and nobody start it again."""
    shown(kernel, "%parallm dask --local 2")
    number = kernel.send("import time; time.sleep(600)")
    kernel.begun(number)
    kernel.interrupt()
    assert kernel.cell(number).reply["ename"] == "KeyboardInterrupt"
    assert "2, with 2 threads" in shown(kernel, "%parallm dask")
    assert alive(kernel) == 2
    shown(kernel, "%parallm dask off")


def test_a_second_cluster_takes_the_place_of_the_first(kernel: Kernel) -> None:
    """No process of the first is left."""
    shown(kernel, "%parallm dask --local 1")
    first = kernel.value("__import__('multiprocessing').active_children()[0].pid")
    shown(kernel, "%parallm dask --local=1")
    pids = "[each.pid for each in __import__('multiprocessing').active_children()]"
    kernel.settle(f"{pids} != [{first}] and len({pids}) == 1")
    shown(kernel, "%parallm dask off")


def test_the_client_of_the_notebook_goes_first_and_is_never_closed(kernel: Kernel) -> None:
    """It is shown as the one in use; a command that would not be used is refused; `off` leaves it alone."""
    kernel.run(OWN)
    assert "by the notebook's own Client" in shown(kernel, "%parallm dask")
    refused = kernel.run("%parallm dask --local 2").error
    assert refused.startswith(
        "OptionError: %parallm dask: the notebook has a Client of its own, at "
    )
    assert "\n" not in refused
    assert "the notebook's own Client goes on" in shown(kernel, "%parallm dask off")
    assert kernel.value("client.status") == "running"
    kernel.run("client.close(); client.cluster.close()")
    assert "no Dask cluster" in shown(kernel, "%parallm dask")


def test_a_cluster_of_somebody_else_goes_on(kernel: Kernel) -> None:
    """An address connects; `off` disconnects, and the scheduler is there as before."""
    kernel.run(
        "from distributed import Client, LocalCluster\n"
        "theirs = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address='127.0.0.1:0')"
    )
    address = kernel.value("theirs.scheduler_address")
    assert "connected here" in shown(kernel, f"%parallm dask {address}")
    assert "the cluster goes on" in shown(kernel, "%parallm dask off")
    assert kernel.value("theirs.status.name") == "running"
    assert kernel.value("len(theirs.workers)") == 1
    kernel.run("theirs.close()")


def test_a_wrong_address_leaves_the_cluster_that_is_there(kernel: Kernel) -> None:
    """A slip of the hand ends no worker; nor does the address of the cluster itself."""
    shown(kernel, "%parallm dask --local 1")
    assert "no Dask scheduler" in kernel.run("%parallm dask nonsense://x").error
    assert "started here" in shown(kernel, "%parallm dask")
    address = kernel.value(f"{SESSION}.dask.cluster.scheduler_address")
    assert "started here" in shown(kernel, f"%parallm dask {address}")
    assert alive(kernel) == 1
    shown(kernel, "%parallm dask off")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("--local", "needs the number of processes; write %parallm dask [", id="none"),
        pytest.param("--local two", "needs the number of processes", id="word"),
        pytest.param("--local 0", "takes 1 to 256 processes, not 0", id="zero"),
        pytest.param("--loca 2", "cannot read '--loca 2'; write %parallm dask [", id="flag"),
        pytest.param("a b", "cannot read 'a b'", id="two"),
        pytest.param(
            "nonsense://x", "no Dask scheduler could be reached at nonsense://x", id="address"
        ),
    ],
)
def test_a_mistake_is_one_line(kernel: Kernel, line: str, said: str) -> None:
    """It names what cannot be read, and the way out."""
    error = kernel.run(f"%parallm dask {line}").error
    assert said in error
    assert "\n" not in error


def test_unloading_closes_what_was_started(kernel: Kernel) -> None:
    """No process is left, before and after a cell has run."""
    for cell in ("", "%%fanout -m sim\n%section a\nx\n"):
        shown(kernel, "%parallm dask --local 1")
        kernel.run(cell)
        kernel.run("%unload_ext parallm_magics")
        kernel.settle("not __import__('multiprocessing').active_children()")
        kernel.run("%load_ext parallm_magics")
