"""The calls of a run on a Dask cluster: chunks go to its workers, and their records come back as they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from parallm_magics.cluster.cluster_run import ClusterRun
from parallm_magics.core.tasks import Record
from parallm_magics.engine.accounts import Worst
from parallm_magics.engine.jobs import Job

if TYPE_CHECKING:
    from distributed import Client


class DaskEngine:
    """Makes each call from a worker of a Dask cluster, by the engine of this package that runs there."""

    def __init__(self, client: Client, worst: Worst) -> None:
        """Take whose cluster it is, and the most that one try of a call can cost."""
        self._client, self._worst = client, worst

    async def run(self, job: Job) -> Sequence[Record]:
        """One record a call, in the calls' order; what was never begun may be left out, as by `Rules.drain`.

        Raises:
            OptionError: the workers are of another version, or a call cannot be sent to them.
            asyncio.CancelledError: the caller was cancelled; nothing of the job runs on by then.
        """
        return await ClusterRun(self._client, self._worst, job).run()
