"""Many workers at once: admission up to a limit, and a stop that keeps what is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from parallm_magics.engine.worker import Price, unstarted, work
from parallm_magics.types import Event, Fault, Listener, Model, Provider, Record, Status, Task

ProviderFor = Callable[[Model], Provider]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a run is driven.

    Attributes:
        concurrency: most workers at once.
        least: successes that the run needs; once they cannot be reached nothing more is started.
        counted: the statuses that are a success in this count.
    """

    concurrency: int
    least: int = 0
    counted: frozenset[Status] = frozenset({"ok"})


@dataclass(slots=True, eq=False)
class Stop:
    """Stops a run from outside: the workers are cancelled, what is done is kept.

    Attributes:
        reason: why, once somebody has stopped the run; else "".
    """

    reason: str = ""
    _hooks: list[Callable[[], None]] = field(default_factory=list)

    def __call__(self, reason: str) -> None:
        """Stop; a second call changes nothing. Must be called on the run's loop."""
        if not self.reason:
            self.reason = reason
            for hook in list(self._hooks):
                hook()

    def on_stop(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Call this when somebody stops the run; gives back what takes the hook off again."""
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)


async def pump(
    tasks: Iterable[Task],
    provider_for: ProviderFor,
    rules: Rules,
    tell: Listener,
    price: Price,
    stop: Stop,
    began: float | None = None,
) -> list[Record]:
    """Run every task to its record, in the tasks' order.

    No worker exists before it is admitted. A fault of one never touches another.

    Raises:
        asyncio.CancelledError: the caller itself was cancelled; all workers have ended by then.
    """
    loop = asyncio.get_running_loop()
    began = loop.time() if began is None else began
    source = iter(tasks)
    records: list[Record] = []
    known = len(tasks) if isinstance(tasks, list | tuple) else None
    lanes_wanted = rules.concurrency if known is None else min(rules.concurrency, known)
    lost = 0

    def end(record: Record) -> None:
        nonlocal lost
        records.append(record)
        lost += record.status not in rules.counted
        with contextlib.suppress(Exception):  # a listener's mistake must not lose other answers
            tell(Event("ended", record.index, loop.time() - began, record=record))

    async def lane() -> None:
        for task in source:
            hopeless = known is not None and lost > known - rules.least
            reason = stop.reason or ("not started: too many workers had failed" if hopeless else "")
            if reason:
                end(
                    unstarted(task, reason, loop.time() - began, provider_for(task.model).simulated)
                )
                continue
            end(await _guarded(task, provider_for(task.model), tell, price, stop, began))

    lanes = [asyncio.ensure_future(lane()) for _ in range(lanes_wanted)]
    off = stop.on_stop(lambda: _cancel(lanes))
    try:
        if lanes:
            await asyncio.wait(lanes)
    except asyncio.CancelledError:
        stop("cancelled")
        _cancel(lanes)  # once more: those that a stop before has not ended
        await asyncio.gather(*lanes, return_exceptions=True)
        raise
    finally:
        off()
    _drain(source, end, stop, provider_for, loop.time() - began)
    for done in lanes:
        if not done.cancelled():
            done.result()
    return sorted(records, key=lambda record: record.index)


async def _guarded(
    task: Task,
    provider: Provider,
    tell: Listener,
    price: Price,
    stop: Stop,
    began: float,
) -> Record:
    """A worker whose cancellation by `stop` ends in a record, its received text kept."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    heard: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "heard":
            heard.append(event.text)
        elif event.kind == "started":
            heard.clear()
        with contextlib.suppress(Exception):
            tell(event)

    fault: Fault | None = None
    try:
        return await work(task, provider, listen, price, began)
    except asyncio.CancelledError:
        lane = asyncio.current_task()
        if lane is not None and lane.cancelling():
            stop("cancelled from outside")  # unless somebody had stopped the run before
        if not stop.reason:
            fault = Fault("bug", "unexpected CancelledError in the provider")
    # The last door: every worker ends in a record, whatever a provider or a listener lets slip.
    except Exception as error:
        fault = Fault("bug", f"unexpected {type(error).__name__}")
    record = unstarted(task, stop.reason, start - began, provider.simulated)
    if fault is not None:
        record = replace(record, status="failed", error=fault)
    # What had been asked may be billed: neither tokens nor cost are known.
    return _started(record, "".join(heard), loop.time() - start)


def _started(record: Record, text: str, seconds: float) -> Record:
    return replace(record, text=text, seconds=round(seconds, 6), usage=None, cost=None)


def _cancel(lanes: Iterable[asyncio.Future[None]]) -> None:
    for each in lanes:
        each.cancel()


def _drain(
    source: Iterator[Task],
    end: Callable[[Record], None],
    stop: Stop,
    provider_for: ProviderFor,
    at: float,
) -> None:
    """A record for every task that no lane came to."""
    for task in source:
        end(unstarted(task, stop.reason or "cancelled", at, provider_for(task.model).simulated))
