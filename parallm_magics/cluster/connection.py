"""Which Dask cluster is used: that of the notebook's own client, else the one that was connected here."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from parallm_magics.cluster import interrupts
from parallm_magics.errors import OptionError, translated

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

INSTALL = '%pip install "parallm_magics[dask]"'
WAYS = (
    "start one with %parallm dask --local 2, connect with %parallm dask ADDRESS, "
    "or make a distributed.Client in the notebook"
)
CONNECT_SECONDS = 10.0
DASHBOARD = "127.0.0.1:8787"
"""Where the dashboard of a cluster of ours is, on another port where that is taken."""

OF_OURS = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.low-level-log-length": 50,
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}
"""How a cluster that is started here differs from Dask's usual one: its processes look at themselves less often,
which they do in place of calls, and its scheduler keeps fewer of the messages that it has passed on. Nor do they give
the memory of each answer back to the system, to ask for it anew at the next one."""


class Connection:
    """A client that was made on demand, and its cluster where that was started here too.

    Attributes:
        client: None where there is none.
        cluster: None where it is somebody else's.
    """

    def __init__(self) -> None:
        self.client: Client | None = None
        self.cluster: LocalCluster | None = None

    def connect(self, address: str) -> None:
        """Connect to the scheduler at this address, in place of what was connected before.

        A wrong address costs nothing: what was connected before stays.

        Raises:
            OptionError: nobody answers there, or what does is no scheduler of this version.
        """
        load()
        from distributed import Client

        def told(error: BaseException) -> OptionError:
            where = f"no Dask scheduler could be reached at {address[:80]}"
            why = f" ({type(error).__name__})" if not isinstance(error, OSError) else ""
            return OptionError(f"{where}{why}; give the address that it printed when it started")

        if self.cluster is not None and bare(address) == bare(self.cluster.scheduler_address):
            return  # to close it first would leave nobody at that address
        with _quietly():
            client = translated(
                lambda: Client(address, timeout=CONNECT_SECONDS, set_as_default=False),
                told,
                Exception,
            )
        self.close()
        self.client = client

    def start(self, processes: int) -> None:
        """Start a cluster of so many processes on this machine, in place of what was connected before.

        Raises:
            OptionError: it cannot be started.
        """
        load()
        import dask
        from distributed import Client, LocalCluster

        def told(error: BaseException) -> OptionError:
            return OptionError(f"the processes could not be started: {error}"[:400])

        def started() -> LocalCluster:
            with dask.config.set(OF_OURS):
                return LocalCluster(
                    n_workers=processes,
                    threads_per_worker=1,  # a worker makes all its calls on one loop
                    dashboard_address=DASHBOARD,
                    preload=interrupts.__name__,
                    silence_logs=logging.ERROR,  # a run tells itself what became of its workers
                )

        self.close()
        with _quietly():
            self.cluster = translated(started, told, Exception)
            try:
                self.client = Client(self.cluster, set_as_default=False)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close what was made here; of somebody else's cluster, the client alone."""
        client, cluster = self.client, self.cluster
        self.client = self.cluster = None
        for each in (client, cluster):
            if each is not None:
                with contextlib.suppress(Exception):  # its scheduler may be gone
                    each.close()


def load() -> None:
    """Import Dask.

    Raises:
        OptionError: it is not installed.
    """
    if importlib.util.find_spec("distributed") is None:
        raise OptionError(f"Dask is not installed; run {INSTALL}")


def own_client() -> Client | None:
    """The client that the notebook's own code has made, or that of the task that this runs in; else None."""
    if "distributed" not in sys.modules:  # nobody can have made one
        return None
    from distributed import get_client

    with contextlib.suppress(ValueError):
        return get_client()
    return None


def in_use(connection: Connection | None) -> Client | None:
    """The client to be used, as it is: the notebook's own, else that of the connection; else None."""
    return own_client() or (connection.client if connection is not None else None)


def client_of(connection: Connection | None) -> Client:
    """The client to be used: the notebook's own, else that of the connection.

    Raises:
        OptionError: there is none, it is closed, or Dask is not installed.
    """
    load()
    client = in_use(connection)
    if client is None:
        raise OptionError(f"no Dask cluster is connected; {WAYS}")
    if client.status != "running":
        raise OptionError(f"the connection to the Dask cluster is {client.status}; {WAYS}")
    return client


def address_of(client: Client) -> str:
    """Where its scheduler is."""
    return "an unknown address" if client.scheduler is None else str(client.scheduler.address)


def bare(address: str) -> str:
    """The address without its protocol, which may be left out."""
    return address.rpartition("://")[2]


def state_of(client: Client, connection: Connection) -> str:
    """Where the cluster in use is, who has made the client, and what is wrong with it."""
    if client is not connection.client:
        whose = "by the notebook's own Client"
    elif connection.cluster is not None:
        whose = "started here"
    else:
        whose = "connected here"
    state = "" if client.status == "running" else f", {client.status}"
    return f"{address_of(client)}, {whose}{state}"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Take no notice of a port that is taken: the dashboard is then on another one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Port .* is already in use")
        yield
