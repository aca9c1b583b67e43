"""How a run reaches a Dask cluster: what it sends, what is published for it, and who is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from parallm_magics.cluster.parcels import Answer, packed
from parallm_magics.cluster.worker_process import ANSWERS, run_chunk
from parallm_magics.errors import OptionError

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

PACKAGE = "parallm_magics"
SILENT_SECONDS = 3.0
"""A scheduler that says nothing for so long has no workers for now."""


class DaskLink:
    """One run's connection to a cluster, whether the client runs on this loop or on one of its own.

    Attributes:
        futures: the chunks that Dask has, by their numbers.
        answered: whether any worker has been told what it may use.
    """

    def __init__(
        self,
        client: Client,
        run: str,
        hear: Callable[[bytes], None],
        told: Callable[[], None],
        terms: bytes,
    ) -> None:
        """Take whose cluster it is.

        Args:
            run: names the run, and the topic that its workers publish under.
            hear: hears what they publish, on this loop.
            told: called once a worker has heard an answer for the first time.
            terms: what all chunks have in common.
        """
        self._client, self._run, self._terms = client, run, terms
        self._loop = asyncio.get_running_loop()
        self._sending: set[asyncio.Future[Any]] = set()
        self._told = told
        self.futures: dict[int, Future[None]] = {}
        self.answered = False

        def published(event: tuple[float, bytes]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: so is the run
                self._loop.call_soon_threadsafe(hear, event[1])

        client.subscribe_topic(run, published)

    @property
    def is_up(self) -> bool:
        """Whether the scheduler can be reached."""
        return bool(self._client.status == "running")

    @property
    def address(self) -> str:
        """Where the scheduler is."""
        scheduler = self._client.scheduler
        return "an unknown address" if scheduler is None else str(scheduler.address)

    def submit(self, number: int, chunk: bytes, ended: Callable[[int, str], None]) -> None:
        """Give a chunk to the cluster; `ended` hears its number, and how Dask calls its end."""
        key = f"parallm-{self._run}-{number}"
        future = self._client.submit(run_chunk, self._terms, number, chunk, key=key, pure=False)
        self.futures[number] = future

        def over(done: Future[None]) -> None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(ended, number, done.status)

        future.add_done_callback(over)

    async def problem(self, number: int) -> BaseException | None:
        """What a chunk that failed has failed with."""
        future = self.futures[number]
        with contextlib.suppress(Exception):  # there is no answer where the scheduler is gone
            if self._client.asynchronous:
                return await future.exception()  # type: ignore[no-any-return]
            return await asyncio.to_thread(future.exception, 5)
        return None

    def forget(self, number: int) -> None:
        """Keep nothing of a chunk that has ended."""
        future = self.futures.pop(number, None)
        if future is not None:
            with contextlib.suppress(Exception):
                future.release()

    def cancel(self) -> None:
        """Let no chunk begin any more."""
        if self.futures and self.is_up:
            futures = list(self.futures.values())
            stopping = self._client.cancel(futures, asynchronous=True, reason="stopped")
            self._soon(stopping)

    def answer(self, address: str, answer: Answer) -> None:
        """Tell a worker what it may use."""
        message = {
            "op": ANSWERS,
            "run": self._run,
            "address": address,
            "answer": packed(answer),
        }
        scheduler = self._client.scheduler
        if scheduler is not None and self.is_up:
            telling = scheduler.broadcast(msg=message, workers=[address], on_error="ignore")
            self._soon(telling).add_done_callback(self._first_answer)

    async def workers(self) -> Mapping[str, int]:
        """The addresses of the workers with their threads; none where the scheduler does not answer."""
        scheduler = self._client.scheduler
        if scheduler is None or not self.is_up:
            return {}
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                found: Mapping[str, int] = await self._there(scheduler.ncores())
        except (OSError, TimeoutError, asyncio.CancelledError):
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return {}
        return found

    async def check_versions(self) -> None:
        """Refuse workers that could not take a chunk, or would do something else with it.

        Raises:
            OptionError: a worker has another Python, or another version of this package, or none.
        """
        from distributed.versions import get_versions

        scheduler = self._client.scheduler
        assert scheduler is not None
        here = get_versions(packages=[PACKAGE])
        asked = scheduler.broadcast(
            msg={"op": "versions", "packages": [PACKAGE]}, on_error="ignore"
        )
        for address, there in (await self._there(asked)).items():
            if (why := _other(here, there)) and isinstance(there, dict):
                raise OptionError(f"--engine dask: worker {address} {why}")

    async def close(self) -> None:
        """Hear nothing more."""
        with contextlib.suppress(Exception):
            self._client.unsubscribe_topic(self._run)
        for number in list(self.futures):
            self.forget(number)

    def _first_answer(self, telling: asyncio.Future[Any]) -> None:
        if not self.answered:
            self.answered = True
            self._told()

    def _soon(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """Begin what nobody waits for; where it cannot be done, what is not heard of ends what depends on it."""
        future = self._begun(work)
        self._sending.add(future)

        def done(found: asyncio.Future[Any]) -> None:
            self._sending.discard(found)
            if not found.cancelled():
                found.exception()

        future.add_done_callback(done)
        return future

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of work that must run on the client's loop."""
        return await self._begun(work)

    def _begun(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        loop = self._client.loop.asyncio_loop
        if loop is self._loop:
            return asyncio.ensure_future(work)
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


def _other(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """In what a worker differs from this process so that it cannot make its calls; "" where in nothing."""
    mine, its = _python(here), _python(there)
    if mine != its:
        return f"has Python {its}, this notebook has {mine}; use the same there"
    mine, its = here["packages"].get(PACKAGE), there["packages"].get(PACKAGE)
    if mine == its:
        return ""
    if its is None:
        return f"does not have {PACKAGE}; install it there: pip install {PACKAGE}=={mine}"
    return f"has {PACKAGE} {its}, this notebook has {mine}; install the same version there"


def _python(versions: Mapping[str, Any]) -> str:
    """Python's version as far as it decides what can be unpacked."""
    return ".".join(str(versions["host"]["python"]).split(".")[:2])
