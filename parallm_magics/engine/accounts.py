"""What a run's calls cost: set aside before each of them, booked after it, and told in its record."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal, localcontext

from parallm_magics.answers.thinking import split_thinking
from parallm_magics.core.provider import CallFailed, Reply
from parallm_magics.core.tasks import Attempt, Fault, Record, Said, Task, Usage
from parallm_magics.engine.corrections import not_mended
from parallm_magics.engine.fault_status import STATUS
from parallm_magics.engine.worker import Try, Worker

NOTHING = Decimal(0)

Price = Callable[[Task, Usage, Said], Decimal | None]
"""US dollars of a task's tokens, by what its reply says; None where they are unknown."""
Finish = Callable[[Task | None, Record], Record]
"""From a record as the engine knows it to the record as it is kept; the task is None where the
source gave the record itself."""

Worst = Callable[[Task], Decimal]
"""The most that one try of a call can cost, in US dollars."""


@dataclass(slots=True, eq=False)
class Ledger:
    """What was spent against one cap; several runs and threads may share it.

    It is kept without a cap as well, so that one which is set later counts what came before.

    Attributes:
        name: how a message names the cap, such as "--max-cost".
        cap: US dollars, or None for no cap.
        spent: US dollars of the tries that have ended; where a cost is unknown, what was held.
        held: US dollars set aside for the tries under way.
        lasting: whether it outlives its runs, so that it counts what goes on in batches that they have left.
        in_batches: US dollars that each of those calls may cost, by the name of its request.
        wakers: told when money that was set aside has become free, and when the cap has changed.
        lock: held by whoever looks before setting money aside.
    """

    name: str
    cap: Decimal | None = None
    spent: Decimal = NOTHING
    held: Decimal = NOTHING
    lasting: bool = False
    in_batches: dict[str, Decimal] = field(default_factory=dict)
    _left: Decimal = NOTHING  # all of `in_batches`, of which there may be very many
    wakers: set[Callable[[], None]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fits(self, amount: Decimal) -> bool:
        """Whether the cap leaves room for the amount now."""
        return self.cap is None or self.bound + self.held + amount <= self.cap

    @property
    def bound(self) -> Decimal:
        """What was spent, and what calls in batches that were left may still cost."""
        return self.spent + self._left

    def leave(self, name: str, amount: Decimal) -> None:
        """Count what a call may cost that goes on in a batch, until it is taken or freed."""
        if self.lasting:
            with self.lock:
                self._left += amount - self.in_batches.get(name, NOTHING)
                self.in_batches[name] = amount

    def take(self, name: str) -> Decimal | None:
        """What is counted for that call, which is counted no more; None where nothing is."""
        with self.lock:
            amount = self.in_batches.pop(name, None)
            self._left -= amount or NOTHING
        return amount

    def free(self, nonces: Collection[str]) -> None:
        """Count no more what the calls of these batches may cost."""
        found = [name for name in [*self.in_batches] if name.partition("-")[0] in nonces]
        for name in found:
            self.take(name)
        if found:
            self.release(NOTHING, NOTHING)

    def allow(self, cap: Decimal | None) -> None:
        """Set the cap, or take it off; those who wait for room look again."""
        with self.lock:
            changed, self.cap = cap != self.cap, cap
            wakers = tuple(self.wakers) if changed else ()
        for wake in wakers:
            wake()

    def release(self, amount: Decimal, cost: Decimal) -> None:
        """Take back what was set aside, and charge what the try has cost."""
        with self.lock:
            self.held -= amount
            self.spent += cost
            wakers = tuple(self.wakers)
        for wake in wakers:
            wake()

    def watch(self, wake: Callable[[], None], on: bool) -> None:
        """Tell this one from now on, or no more."""
        with self.lock:
            (self.wakers.add if on else self.wakers.discard)(wake)

    def ever(self, amount: Decimal) -> bool:
        """Whether the amount could fit if all that is under way cost nothing."""
        return self.cap is None or self.bound + amount <= self.cap


class Budget:
    """The caps that one run must keep.

    Attributes:
        capped: whether there is any; a cap that is set later holds for later runs.
    """

    def __init__(self, ledgers: Sequence[Ledger] = (), worst: Worst = lambda task: NOTHING) -> None:
        self._ledgers = tuple(ledgers)
        self._worst = worst
        self.capped = any(ledger.cap is not None for ledger in ledgers)

    @property
    def name(self) -> str:
        """What a message calls the caps."""
        return " and ".join(ledger.name for ledger in self._ledgers if ledger.cap is not None)

    def hold(self, task: Task) -> Decimal | None:
        """Set aside what a try of the task can cost at most; None where there is no room now."""
        return self.reserve(self._worst(task)) if self._ledgers else NOTHING

    def take_over(self, task: Task, name: str) -> Decimal | None:
        """As `hold`, of a call that was left in a batch: what is counted for it there gives it room."""
        kept = [(ledger, amount) for ledger in self._ledgers if (amount := ledger.take(name))]
        if (held := self.hold(task)) is None:
            for ledger, amount in kept:
                ledger.leave(name, amount)
        return held

    def leave(self, task: Task, name: str) -> None:
        """A call goes on in a batch, whatever becomes of the run."""
        for ledger in self._ledgers:
            ledger.leave(name, self._worst(task))

    def taken(self, name: str) -> None:
        """A call that was left in a batch has ended."""
        for ledger in self._ledgers:
            ledger.take(name)

    def free(self, nonces: Collection[str]) -> None:
        """Nothing more comes of these batches."""
        for ledger in self._ledgers:
            ledger.free(nonces)

    def reserve(self, amount: Decimal) -> Decimal | None:
        """Set aside this amount; None where there is no room now."""
        with contextlib.ExitStack() as locks:
            for ledger in self._ledgers:  # always in this order: a run's own before those shared
                locks.enter_context(ledger.lock)
            if self.capped and not all(ledger.fits(amount) for ledger in self._ledgers):
                return None
            for ledger in self._ledgers:
                ledger.held += amount
        return amount

    def settle(self, held: Decimal, cost: Decimal | None) -> None:
        """Book a try that has ended; one whose cost is unknown has cost what was held for it."""
        for ledger in self._ledgers:
            ledger.release(held, held if cost is None else cost)

    def left(self) -> tuple[tuple[str, Decimal, Decimal], ...]:
        """Each cap: its name, the cap, and what no ended try has spent of it."""
        capped = [(each.name, each.cap, each.bound) for each in self._ledgers]
        return tuple((name, cap, cap - spent) for name, cap, spent in capped if cap is not None)

    def never(self, task: Task) -> str:
        """Why the task can never be asked under these caps; "" where it only has to wait."""
        if not self.capped:
            return ""
        amount = self._worst(task)
        less = "ask fewer questions at once" if task.model.decides else "lower --max-tokens"
        for name, cap, left in self.left():
            if amount > left:
                return (
                    f"not asked: the call may cost up to {_dollars(amount, ROUND_UP)}, but of {name} "
                    f"{cap:f} only {_dollars(max(NOTHING, left), ROUND_DOWN)} is left; raise the cap, or {less}"
                )
        return ""

    def on_room(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call this, from any thread, when there is room again; gives back what takes it off."""
        watched = self._ledgers if self.capped else ()
        for ledger in watched:
            ledger.watch(wake, on=True)

        def off() -> None:
            for ledger in watched:
                ledger.watch(wake, on=False)

        return off


def _dollars(amount: Decimal, rounding: str) -> str:
    """Two figures that count, at least four decimals, rounded so that the words stay true."""
    digits = max(4, 1 - amount.adjusted()) if amount else 0
    with localcontext(rounding=rounding):
        return f"${amount:.{digits}f}"


def _as_it_is(task: Task | None, record: Record) -> Record:
    return record


@dataclass(frozen=True, slots=True)
class Accounts:
    """What is kept of a run's calls.

    Attributes:
        price: the cost of a call's tokens.
        finish: gives a record its last form, and is the place to write it down.
        budget: the caps on cost.
    """

    price: Price
    finish: Finish = _as_it_is
    budget: Budget = field(default_factory=Budget)

    def charge(self, worker: Worker, last: Try) -> None:
        """Book a try that has ended."""
        if worker.provider.simulated:
            last.cost = NOTHING
        elif last.end.usage is None:
            last.cost = None if last.billed else NOTHING
        else:
            last.cost = self.price(worker.task, last.end.usage, _said(last))
        self.settle(worker, last.cost, last.used)

    def settle(self, worker: Worker, cost: Decimal | None, used: Usage | None) -> None:
        """Take back what was set aside for a try, once; None where nobody knows what it has cost."""
        if worker.held is None:
            return
        self.budget.settle(worker.held, cost)
        worker.held = None
        if worker.tokens is not None and used is not None:
            worker.tokens.window.correct(worker.tokens, used.total_tokens)

    def record(self, worker: Worker, now: float, fault: Fault | None) -> Record:
        """How the worker ended, after at least one try."""
        last = worker.tries[-1]
        if fault is not None and worker.unread is not None and isinstance(last.end, CallFailed):
            last, fault = worker.unread, _unmended(worker, fault)
        end = last.end
        start = now if worker.start is None else worker.start
        offset = round(start - worker.began, 6)
        measured = any(each.measured for each in worker.tries)
        seconds = now - start if measured else sum(each.seconds for each in worker.tries)
        usage, cost, attempts = _spent(worker)
        reply = end if isinstance(end, Reply) else None
        return worker.task.ended(
            STATUS.get(fault.kind, "failed") if fault else "ok",
            text=end.text,
            value=last.value,
            thinking=end.thinking or None,
            thinking_tokens=reply.thinking_tokens if reply else None,
            probabilities=reply.probabilities if reply else None,
            usage=usage,
            cost=cost,
            attempts=attempts,
            saved=self._saved(worker, usage, cost) if usage and cost is not None else None,
            start=offset,
            queued=round(offset - worker.ready, 6) if worker.ready else offset,
            seconds=round(seconds, 6),
            model_answered=end.model,
            finish=reply.finish if reply else None,
            request_id=end.request_id if isinstance(end, Reply) else end.fault.request_id,
            error=fault,
            simulated=worker.provider.simulated,
            address=worker.provider.address,
            adapted=reply.adapted if reply else "",
        )

    def stopped(self, worker: Worker, fault: Fault, now: float, *, asked: bool) -> Record:
        """The record of a worker that was not let finish, or not let begin.

        Args:
            asked: whether a try was under way; it may be billed, so its tokens are unknown.
        """
        start = now if worker.start is None else worker.start
        offset = round(start - worker.began, 6)
        usage, cost, attempts = _spent(worker)
        # Half of a simulated answer tells nothing.
        heard = "".join(worker.heard) if asked and not worker.provider.simulated else ""
        thinking, text = split_thinking(heard)
        if worker.unread is not None and not text:
            thinking, text = worker.unread.end.thinking, worker.unread.end.text
            if not asked and fault.kind != "cancelled":
                fault = _unmended(worker, fault)
        return worker.task.ended(
            STATUS.get(fault.kind, "failed"),
            text=text,
            thinking=thinking or None,
            usage=None if asked else usage,
            cost=None if asked else cost,
            attempts=attempts,
            start=offset,
            queued=round(offset - worker.ready, 6),
            seconds=round(now - start, 6),
            error=fault,
            simulated=worker.provider.simulated,
            address=worker.provider.address,
        )

    def _saved(self, worker: Worker, usage: Usage, cost: Decimal) -> Decimal | None:
        """What the same tokens would have cost without a prompt cache, less what they did cost."""
        if not (usage.cache_read_tokens or usage.cache_write_tokens):
            return None
        fed = usage.total_tokens - usage.output_tokens
        whole = Usage(fed, output_tokens=usage.output_tokens)
        plain = self.price(worker.task, whole, _said(worker.tries[-1]))
        return None if plain is None else plain - cost


def _unmended(worker: Worker, fault: Fault) -> Fault:
    """Why there is no success where an answer did not conform, and was not had again for this reason."""
    first = worker.unread.fault if worker.unread is not None else None
    return fault if first is None else not_mended(first, fault)


def _said(last: Try) -> Said:
    return Said(last.end.terms, last.end.model)


def _spent(worker: Worker) -> tuple[Usage | None, Decimal | None, tuple[Attempt, ...]]:
    """Tokens and US dollars of all tries, None where those of one are unknown; and the tries."""
    attempts = [
        Attempt(each.fault.kind if each.fault else "ok", round(each.seconds, 6))
        for each in worker.tries
    ]
    usage: Usage | None = worker.tries[0].used if worker.tries else Usage()
    cost: Decimal | None = worker.tries[0].cost if worker.tries else NOTHING
    for each in worker.tries[1:]:
        used = each.used
        usage = None if usage is None or used is None else usage + used
        cost = None if cost is None or each.cost is None else cost + each.cost
    return usage, None if worker.provider.simulated else cost, tuple(attempts)
