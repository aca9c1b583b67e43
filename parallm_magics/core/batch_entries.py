"""What is written down of batches: which request is in which, and what has become of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from parallm_magics.core.tasks import Task


class Asked(NamedTuple):
    """A request as recordings know it.

    Attributes:
        key: of what is asked.
        sample: ordinal among identical requests of one cell.
    """

    key: str
    sample: int


@dataclass(slots=True, eq=False)
class BatchEntry:
    """What the ledger says of one batch.

    Attributes:
        nonce: tells it from all others.
        provider: the name of the provider that it was sent to.
        account: tells another key or address of that provider from this one.
        models: the models that it asks, as the cell names them.
        count: how many requests it holds.
        newest: the newest batch of the account before it; None where there was none.
        asked: its requests, in its order; none once it is closed.
        untaken: whether the provider is known to have turned it away when it was last sent.
        id: the provider's id; "" where nobody has seen it yet.
        sure: whether that id is known to be its.
        not_its: ids that were taken for its and were not.
        cancelled: whether its end was asked for.
        closed: "collected" or "dropped", with the reason behind a colon; "" while it is open.
        line: the number of the line in the file that says it first; 0 without a file.
        written: when it was about to be sent, in seconds since 1970 by this machine's clock.
    """

    nonce: str
    provider: str
    account: str
    models: tuple[str, ...]
    count: int
    newest: str | None
    asked: tuple[Asked, ...]
    untaken: bool = False
    id: str = ""
    sure: bool = False
    not_its: set[str] = field(default_factory=set)
    cancelled: bool = False
    closed: str = ""
    line: int = 0
    written: float = 0.0

    @property
    def age(self) -> float:
        """Seconds since it was written down, by this machine's clock, which may have been set since."""
        return max(0.0, datetime.now(UTC).timestamp() - self.written)

    @property
    def named(self) -> str:
        """What commands and messages call it."""
        return self.id or self.nonce


class BatchLedger(Protocol):
    """Where batches are written down. What it says of one is one `BatchEntry`, by the lines so far.

    Its methods that write raise `OSError` where they cannot, and those that read where nothing could be
    read yet.
    """

    def asked_of(self, task: Task) -> Asked | None:
        """The request of a task; None where no batch can be written down that holds it."""

    def take_lock(self) -> bool:
        """Become the only one who sends, of all that use the ledger; False where another one is."""

    def give_lock_back(self) -> None:
        """Let others send."""

    def batches(self) -> list[BatchEntry]:
        """All batches, in the order in which they were written down."""

    def find(self, nonce: str) -> BatchEntry | None:
        """What is known of a batch by now."""

    def claims(self) -> dict[Asked, BatchEntry]:
        """The requests of all open batches, each with the first one that holds it."""

    def close_answered(self) -> None:
        """Close batches of which every answer is recorded."""

    def intend(
        self,
        nonce: str,
        provider: str,
        account: str,
        models: Iterable[str],
        newest: str | None,
        asked: Sequence[Asked],
    ) -> BatchEntry | None:
        """Write down that a batch is about to be sent; None where another one holds a request of it."""

    def untaken(self, batch: BatchEntry) -> None:
        """The provider has turned it away, and may take it later."""

    def again(self, batch: BatchEntry, count: int, newest: str | None) -> None:
        """It is about to be sent again, with so many requests, after that batch of the account."""

    def sent(self, batch: BatchEntry, known: str, *, sure: bool) -> None:
        """The provider's id is known, or what is taken for it until its results are read."""

    def not_its(self, batch: BatchEntry, known: str) -> None:
        """The batch with that id was another one."""

    def collected(self, batch: BatchEntry) -> None:
        """All that will ever come of it is recorded."""

    def dropped(self, batch: BatchEntry, why: str) -> None:
        """Its requests may be asked anew."""
