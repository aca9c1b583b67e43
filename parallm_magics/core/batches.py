"""What a provider's batch API is: requests go in at once, and their replies come back hours later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Task, Terms

BatchStatus = Literal["under way", "cancelling", "ended", "refused"]
"""How far a batch is. "ended" has results to read, whatever became of its requests; of one that was
"refused" as a whole nothing was done and nothing is paid."""

AT_BATCH_PRICE: Terms = (("service_tier", "batch"),)
"""The terms of what was answered in a batch."""


class BatchLimits(NamedTuple):
    """What one batch may hold at most.

    Attributes:
        requests: how many requests.
        bytes: of all its requests as they are sent.
        models: how many different models.
    """

    requests: int
    bytes: int
    models: int | None = None


class BatchRequest(NamedTuple):
    """One request of a batch.

    Attributes:
        id: of at most 64 letters, digits, "-" and "_"; unique in its batch.
        task: what is asked.
    """

    id: str
    task: Task


@dataclass(frozen=True, slots=True)
class BatchState:
    """What a provider says of a batch.

    Attributes:
        id: the provider's id of it.
        status: how far it is.
        total: how many requests it holds; None where the provider does not say yet.
        succeeded, failed: of those, how many have ended so, as far as the provider says before the end.
        created: by the provider's clock, in seconds since 1970; None where it does not say.
        expires: when it ends at the latest, by the same clock.
        ended: when it ended, by the same clock.
        nonce: what it was sent with to be told from others; "" where the provider keeps no such thing.
        why: in one line, why it was refused as a whole, or ended before all was done.
        passing: whether it may be taken later, as when too much waits in the provider's queue.
        left: seconds until it ends, where the provider keeps its own time, as a simulation does.
    """

    id: str
    status: BatchStatus
    total: int | None = None
    succeeded: int = 0
    failed: int = 0
    created: float | None = None
    expires: float | None = None
    ended: float | None = None
    nonce: str = ""
    why: str = ""
    passing: bool = False
    left: float | None = None


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far one batch of a run is, as whoever watches the run is told.

    Attributes:
        id: the provider's id of it; "" before it is sent.
        model: the models that it asks, as the cell names them.
        status: how far it is, in a word or two: "waiting", "sending", "looked for", "under way",
            "cancelling", "reading", "done", "refused", "left".
        requests: how many requests of this run it holds.
        succeeded, failed: of those, how many have ended so, as far as is known.
        seconds: since it was sent.
        note: why it waits, or what goes wrong with it, in one line; else "".
        nonce: what tells it from others before it has an id.
    """

    id: str
    model: str
    status: str
    requests: int
    succeeded: int = 0
    failed: int = 0
    seconds: float = 0.0
    note: str = ""
    nonce: str = ""


class BatchUnsentError(CallFailed):
    """No batch has come of an attempt to create one, for certain: it may be sent again."""


class BatchResult(NamedTuple):
    """What became of one request of a batch.

    Attributes:
        id: the request's; anything that the provider wrote, so it may be nobody's, or come twice.
        end: the reply, or the failure with its fault.
    """

    id: str
    end: Reply | CallFailed


class Batches(Protocol):
    """A provider's batch API. Every method may raise `CallFailed` with the fault of the request that it makes.

    Attributes:
        limits: what one batch may hold.
        keeps_nonce: whether `BatchState.nonce` is told, so that a batch is known by it in the list; a server that
            only speaks as that provider may still tell none.
    """

    limits: BatchLimits
    keeps_nonce: bool

    def size(self, request: BatchRequest) -> int:
        """Bytes of one request as it is sent.

        Raises:
            CallFailed: it cannot be sent, as with half a character in its prompt.
        """

    async def newest(self) -> str | None:
        """The id of the newest batch that the provider lists; None where there is none."""

    async def create(self, requests: Sequence[BatchRequest], nonce: str) -> BatchState:
        """Send a batch, of requests whose `size` is known.

        Raises:
            BatchUnsentError: the provider has taken nothing.
            CallFailed: it is unknown whether the batch was taken, as where the connection broke.
        """

    async def state(self, batch: str) -> BatchState:
        """How far a batch is."""

    def listed(self, after: str | None) -> AsyncIterator[BatchState]:
        """The batches that were made after this one, the newest first; all where it is None or gone."""

    def results(
        self, batch: BatchState, tasks: Sequence[BatchRequest]
    ) -> AsyncIterator[BatchResult]:
        """The results of a batch that has ended, as far as they can be read, in any order.

        Args:
            tasks: its requests, as far as they are known: they say how an answer is to be read.

        Raises:
            CallFailed: after all that could be read: some of it could not, as where a file breaks off.
        """

    async def cancel(self, batch: str) -> BatchState:
        """Ask the provider to end a batch early; what has ended by then is kept, and paid."""


def batches_of(provider: object) -> Batches | None:
    """The batch API of a provider, to be used after its `prepare`; None where it has none."""
    known = getattr(provider, "batches", None)
    found: Batches | None = known() if callable(known) else None
    return found
