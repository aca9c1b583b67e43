"""Which calls can still succeed: at once, in a further try after a pause, or never."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.models import Model
from parallm_magics.core.tasks import Fault, Status, Task
from parallm_magics.engine.accounts import Budget
from parallm_magics.engine.cancel_token import Stop
from parallm_magics.engine.rate_limits import MOST_SLOTS, RateLimit, Ticket
from parallm_magics.engine.worker import Line, Worker

# Faults that may pass, in words.
PASSING: dict[FaultKind, str] = {
    "rate_limit": "rate limit",
    "server": "provider error",
    "connection": "no connection",
    "timeout": "timed out",
    "forbidden": "refused without reason",
    "parameter": "without a rejected field",
    "unreadable": "asked again, as the answer does not conform",
}
START_IT = "nothing listens there: start the server, or correct its address"
# After these no other call of the same key can succeed, or none of the same model.
FATAL: frozenset[FaultKind] = frozenset({"auth", "quota"})
# A refusal that names neither a prompt nor the key is taken as the key's where so many calls have ended
# and none in any other way; later it is the prompt's.
FIRST_CALLS = 5
# So many calls in a row that no cap could ever pay for: the money is over, not the one call too dear.
UNPAID_CALLS = 20


@dataclass(frozen=True, slots=True)
class Rules:
    """How a run is driven.

    Attributes:
        concurrency: most workers at once, exactly.
        asked: whether the user asked for so many, so that they need not be approached with care.
        least: successes that the run needs; once out of reach nothing more is started.
        counted: the statuses that are a success in this count.
        known: how many calls there are; None where only their source tells.
        models: how many models the calls ask; one that is closed says nothing of one still to come.
        drain: whether calls that are no more to be made get records; else they are not even read.
        rpm, tpm: most requests, and most tokens, of one provider in any minute.
    """

    concurrency: int = MOST_SLOTS
    least: int = 0
    counted: frozenset[Status] = frozenset({"ok"})
    known: int | None = None
    drain: bool = True
    models: int = 1
    asked: bool = False
    rpm: int | None = None
    tpm: int | None = None


@dataclass(slots=True, eq=False)
class Outlook:
    """What a run can still come to.

    Attributes:
        limits: the limit that holds for each model asked so far.
        closed: why nothing more is asked under a limit, or of one model under it.
        lost: calls that were no success.
        unpaid: calls in a row that no cap could pay for.
        over: whether no call that is still to come can be made, or is wanted.
        doubtful: whether there may be a reason not to begin one.
    """

    rules: Rules
    stop: Stop
    budget: Budget
    limits: dict[Model, RateLimit] = field(default_factory=dict)
    closed: dict[tuple[RateLimit, Model | None], Fault] = field(default_factory=dict)
    lost: int = 0
    unpaid: int = 0
    over: bool = False
    doubtful: bool = False

    def look_ahead(self) -> None:
        """Note where no call that is still to come can be made, or is wanted."""
        self.over = bool(
            self.stop.reason
            or self.out_of_reach
            or self.unpaid >= UNPAID_CALLS
            or (
                len(self.limits) >= self.rules.models
                and all(self._shut(limit, model) for model, limit in self.limits.items())
            )
        )
        self.doubtful = bool(self.over or self.closed or self.budget.capped)

    def close(self, limit: RateLimit, model: Model | None, fault: Fault) -> None:
        """No other call under this limit can succeed, or none of this model under it."""
        self.closed.setdefault((limit, model), fault)
        self.look_ahead()

    def note_lost(self) -> None:
        """One call more was no success."""
        self.lost += 1
        self.look_ahead()

    def stopped(self) -> Fault:
        """What becomes of calls that are stopped."""
        return Fault("cancelled", self.stop.reason)

    def why_not(self, worker: Worker, limit: RateLimit, now: float) -> Fault | None:
        """Why a worker must not begin; None where it may."""
        if self.stop.reason:
            return self.stopped()
        again = " again" if worker.tries else ""
        if self.out_of_reach:
            if self.unpaid:
                why = "the cost cap leaves too few other calls"
                return Fault("budget", f"not asked{again}: {why}")
            return Fault("cancelled", f"not asked{again}: too many workers failed")
        since = limit.down_since
        if since is not None and now - since >= worker.task.deadline:
            last = worker.tries[-1].fault if worker.tries else None
            why = f" ({last.message})" if last else ""
            return Fault(
                "server", f"the provider has been failing for {worker.task.deadline:g} s{why}"
            )
        if why := self.budget.never(worker.current):
            self.unpaid += 1
            self.look_ahead()
            return Fault("budget", why)
        closed = self._shut(limit, worker.task.model) if self.closed else None
        return replace(closed, message=f"not asked{again}: {closed.message}") if closed else None

    @property
    def out_of_reach(self) -> bool:
        """Whether the successes that the run needs can no more come together."""
        known = self.rules.known
        return known is not None and self.lost > known - self.rules.least

    def _shut(self, limit: RateLimit, model: Model) -> Fault | None:
        """Why no call to this model can succeed any more."""
        return self.closed.get((limit, None)) or self.closed.get((limit, model))


def after_fault(
    worker: Worker,
    line: Line,
    ticket: Ticket,
    outlook: Outlook,
    now: float,
    others: Iterable[Worker],
) -> tuple[Fault, float | None]:
    """Why a try was no success, and the seconds until the next one; None where there is none.

    Args:
        others: the workers whose calls are under way.
    """
    limit, fault = line.limit, worker.tries[-1].fault
    assert fault is not None
    if fault.kind == "unreadable":
        limit.answered(ticket)
        return fault, 0.0 if worker.correct(now) else None
    fault = _of_the_key(fault, line)
    again = fault.kind in PASSING and not worker.provider.simulated
    if fault.kind == "timeout" and worker.provider.local:
        fault = _queued(worker, limit, ticket, fault, now, others)
    if not again or (fault.kind == "timeout" and not worker.task.retry_timeouts):
        _learn(worker.task, limit, ticket, fault, outlook)
        return fault, None
    pause = _pause(worker, line, ticket, fault, now)
    if pause is None and _nobody_listens(worker, line, fault):
        fault = replace(fault, message=f"{fault.message}; {START_IT}")
        outlook.close(limit, None, fault)
    if pause is None:
        # What stays refused without a reason is the prompt's.
        return replace(fault, kind="refusal") if fault.kind == "forbidden" else fault, None
    if pause > worker.left(now):
        hint = fault.retry_after
        return fault if hint is None else asks_too_long(fault, hint), None
    return fault, pause


def why_not_again(worker: Worker, wait: float, asked: float) -> Fault:
    """Why a worker that would have to wait so many seconds has ended.

    Args:
        asked: the seconds that its provider asks to wait.
    """
    last = worker.tries[-1].fault if worker.tries else None
    fault = last or Fault("rate_limit", "the provider's rate limit")
    own = (
        last is not None and last.retry_after is None
    )  # the pause of an outage: nobody asked for it
    return asks_too_long(fault, wait) if asked and not own else too_late(fault, worker.task)


def asks_too_long(fault: Fault, seconds: float) -> Fault:
    """The fault, saying that the provider asks for a longer wait than the deadline leaves."""
    wait = f"asks for a wait of {seconds:g} s, which is past the deadline"
    return replace(fault, message=f"{fault.message}; {wait}")


def too_late(fault: Fault, task: Task) -> Fault:
    """The fault, saying that no further try could begin before the deadline."""
    late = f"no time for another try before the deadline of {task.deadline:g} s"
    return replace(fault, message=f"{fault.message}; {late}")


def _of_the_key(fault: Fault, line: Line) -> Fault:
    """The fault; of the key where the first calls all were refused without a reason."""
    seen = line.bare_refusals
    line.bare_refusals = seen + 1 if fault.kind == "forbidden" and 0 <= seen < FIRST_CALLS else -1
    return fault if line.bare_refusals < FIRST_CALLS else replace(fault, kind="auth")


def _pause(worker: Worker, line: Line, ticket: Ticket, fault: Fault, now: float) -> float | None:
    """Seconds until the next try after a passing fault; None where there is none."""
    limit, left = line.limit, worker.left(now)
    if fault.kind == "parameter":  # each field is left out once, so that this ends
        return 0.0
    if fault.kind == "rate_limit":
        limit.limited(ticket, now, None if fault.final else fault.retry_after)
        worker.waits += 1
        return None if fault.final else limit.pause(worker.waits, fault.retry_after, left)
    of_the_call = fault.kind == "forbidden" or _nobody_listens(worker, line, fault)
    if not of_the_call and limit.faulted(ticket, now) and not fault.final:
        return limit.wait(now) or 0.0
    worker.lost += 1
    if worker.lost > worker.task.retries or fault.final:
        return None
    limit.spend_retry()
    return limit.pause(worker.lost, fault.retry_after, left)


def _nobody_listens(worker: Worker, line: Line, fault: Fault) -> bool:
    """Whether a server of the own network was not started: an outage would end by itself."""
    return fault.refused and worker.provider.local and not line.has_answered


def _queued(
    worker: Worker,
    limit: RateLimit,
    ticket: Ticket,
    fault: Fault,
    now: float,
    others: Iterable[Worker],
) -> Fault:
    """The time-out of a local server, which says so where others may have been before it."""
    if worker.heard:
        return fault
    open_ones = (each for each in others if each is not worker)
    serving = sum(bool(each.heard) and each.provider is worker.provider for each in open_ones)
    if not (before := limit.kept_waiting(ticket, now, serving)):
        return fault
    why = (
        f"{before} other calls were running on this local server, which may answer one at a time: use -c 1, or a "
        f"longer --timeout"
    )
    return replace(fault, message=f"{fault.message}; {why}")


def _learn(task: Task, limit: RateLimit, ticket: Ticket, fault: Fault, outlook: Outlook) -> None:
    """Take from a fault that ends a call what it says of others."""
    if fault.kind in FATAL:
        outlook.close(limit, None, fault)
    elif fault.kind == "model":
        outlook.close(limit, task.model, fault)
    elif fault.kind not in ("timeout", "bug", "cut"):
        limit.answered(ticket)
