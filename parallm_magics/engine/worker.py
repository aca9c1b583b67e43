"""One worker from its first try to its one record."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from parallm_magics.engine.attempt import attempt
from parallm_magics.types import (
    Attempt,
    CallFailed,
    Event,
    Fault,
    FaultKind,
    Finish,
    Listener,
    Model,
    Provider,
    Record,
    Reply,
    Status,
    Task,
    Usage,
)

Price = Callable[[Model, Usage], Decimal | None]

# Faults that may pass, in words.
PASSING: dict[FaultKind, str] = {
    "rate_limit": "rate limit",
    "server": "provider error",
    "connection": "no connection",
}
# The provider turned the request away, so that its tokens were not billed.
UNBILLED: frozenset[FaultKind] = frozenset(
    {"rate_limit", "quota", "auth", "model", "bad_request", "too_large", "server", "connection"}
)
STATUS: dict[FaultKind, Status] = {
    "timeout": "timed_out",
    "cancelled": "cancelled",
    "not_an_answer": "invalid",
    "empty": "invalid",
    "refusal": "refused",
    "length": "truncated",
}
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class _Try:
    """How one try ended: a reply, which may still be no success, or a failure."""

    end: Reply | CallFailed
    fault: Fault | None
    seconds: float
    measured: bool

    @property
    def billed(self) -> bool:
        """Whether the provider may have charged for it."""
        return self.fault is None or self.fault.kind not in UNBILLED or bool(self.end.text)


async def work(
    task: Task,
    provider: Provider,
    tell: Listener,
    price: Price,
    began: float,
) -> Record:
    """Run one task until it has an answer, or has none for good.

    Args:
        began: the loop's time at which the run began; offsets count from there.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    tries: list[_Try] = []
    while True:
        tell(Event("started", task.index, loop.time() - began))
        left = task.deadline - (loop.time() - start)
        last = await _try(task, provider, tell, left, began)
        tries.append(last)
        left = task.deadline - (loop.time() - start)
        pause = _pause(last.fault, task, len(tries), provider, left)
        if last.fault is None or pause is None:
            break
        why = f"waiting {pause:.1f} s ({PASSING.get(last.fault.kind, last.fault.kind)})"
        tell(Event("waiting", task.index, loop.time() - began, why))
        await asyncio.sleep(pause)
    measured = any(each.measured for each in tries)
    seconds = loop.time() - start if measured else sum(each.seconds for each in tries)
    usage = _usage(tries)
    fault = _too_long(last.fault, left)
    end = last.end
    return Record(
        index=task.index,
        name=task.name,
        status=STATUS.get(fault.kind, "failed") if fault else "ok",
        model=str(task.model),
        text=end.text,
        usage=usage,
        cost=None if provider.simulated else _cost(usage, task.model, price),
        start=round(start - began, 6),
        queued=round(start - began, 6),
        seconds=round(seconds, 6),
        attempts=tuple(
            Attempt(t.fault.kind if t.fault else "ok", round(t.seconds, 6)) for t in tries
        ),
        model_answered=end.model,
        finish=end.finish if isinstance(end, Reply) else None,
        request_id=end.request_id if isinstance(end, Reply) else end.fault.request_id,
        error=fault,
        simulated=provider.simulated,
    )


async def _try(task: Task, provider: Provider, tell: Listener, left: float, began: float) -> _Try:
    loop = asyncio.get_running_loop()
    start = loop.time()

    def heard(piece: str) -> None:
        tell(Event("heard", task.index, loop.time() - began, piece))

    end: Reply | CallFailed
    try:
        end = await attempt(provider, task, heard, left)
    except CallFailed as error:
        end = error.with_traceback(None)
    seconds = loop.time() - start if end.seconds is None else end.seconds
    fault = end.fault if isinstance(end, CallFailed) else _fault_of(end)
    return _Try(end, fault, seconds, end.seconds is None)


def _usage(tries: list[_Try]) -> Usage | None:
    """The tokens of all tries; None where a try that may have been billed says nothing."""
    total = Usage()
    for each in tries:
        if each.end.usage is not None:
            total += each.end.usage
        elif each.billed:
            return None
    return total


def _cost(usage: Usage | None, model: Model, price: Price) -> Decimal | None:
    if usage is None:
        return None
    return Decimal(0) if usage == Usage() else price(model, usage)


def _too_long(fault: Fault | None, left: float) -> Fault | None:
    """Say so where the provider asked for a longer wait than the deadline leaves."""
    if fault is None or fault.retry_after is None or fault.retry_after <= left:
        return fault
    wait = f"asks to wait {fault.retry_after:g} s, longer than the deadline leaves"
    return replace(fault, message=f"{fault.message}; {wait}")


def unstarted(task: Task, reason: str, at: float, simulated: bool) -> Record:
    """The record of a worker that never asked, or was stopped before it had an answer."""
    return Record(
        index=task.index,
        name=task.name,
        status="cancelled",
        model=str(task.model),
        start=round(at, 6),
        queued=round(at, 6),
        error=Fault("cancelled", reason),
        usage=Usage(),
        cost=None if simulated else Decimal(0),
        simulated=simulated,
    )


def _fault_of(reply: Reply) -> Fault | None:
    """Why a complete reply is no success; None where it is one."""
    by_finish: dict[Finish, Fault] = {
        "length": Fault("length", "cut off at max_tokens; give more with --max-tokens"),
        "refusal": Fault("refusal", "the model declined to answer"),
    }
    if reply.finish in by_finish:
        return by_finish[reply.finish]
    return None if reply.text.strip() else Fault("empty", "the answer holds no text")


def _pause(
    fault: Fault | None, task: Task, tries: int, provider: Provider, left: float
) -> float | None:
    """Seconds until the next try; None where there is none.

    Full jitter over a doubling span; a provider's own hint is the least wait.
    """
    if fault is None:
        return None
    passing = fault.kind in PASSING or (fault.kind == "timeout" and task.retry_timeouts)
    if not passing or tries > task.retries or provider.keeps_time:
        return None
    span = min(LONGEST_PAUSE, 0.5 * 2 ** (tries - 1))
    pause = random.uniform(0, span)  # spreads retries, decides nothing
    if fault.retry_after is not None:
        pause = fault.retry_after + pause / 10
    return pause if pause < left else None
