"""One worker: its tries, and the one record that they come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from parallm_magics.answers.thinking import ONLY_THINKING, Sieve, split_thinking
from parallm_magics.core.provider import CallFailed, Provider, Reply
from parallm_magics.core.tasks import (
    Attempt,
    Event,
    Fault,
    FaultKind,
    Finish,
    Listener,
    Record,
    Said,
    Status,
    Task,
    Usage,
)
from parallm_magics.engine.attempt import attempt
from parallm_magics.engine.clock import Clock
from parallm_magics.engine.rate_window import Taken

NOTHING = Decimal(0)

Price = Callable[[Task, Usage, Said], Decimal | None]
"""US dollars of a task's tokens, by what its reply says; None where they are unknown."""

# The provider turned the request away, so that its tokens were not billed.
UNBILLED: frozenset[FaultKind] = frozenset(
    {
        "rate_limit",
        "quota",
        "auth",
        "forbidden",
        "model",
        "bad_request",
        "parameter",
        "too_large",
        "server",
        "connection",
    }
)
STATUS: dict[FaultKind, Status] = {
    "timeout": "timed_out",
    "cancelled": "cancelled",
    "not_an_answer": "invalid",
    "empty": "invalid",
    "refusal": "refused",
    "length": "truncated",
}


@dataclass(frozen=True, slots=True)
class Try:
    """How one try ended: a reply, which may still be no success, or a failure.

    Attributes:
        cost: US dollars; None where it may have been billed and nobody says how much.
    """

    end: Reply | CallFailed
    fault: Fault | None
    seconds: float
    measured: bool
    cost: Decimal | None = None

    @property
    def used(self) -> Usage | None:
        """Its tokens; None where it may have been billed and nobody says how many."""
        if self.end.usage is not None:
            return self.end.usage
        return None if _billed(self.end, self.fault) else Usage()


def _said(end: Reply | CallFailed) -> Said:
    return Said(end.terms, end.model)


def _billed(end: Reply | CallFailed, fault: Fault | None) -> bool:
    """Whether the provider may have charged for a try."""
    return fault is None or fault.kind not in UNBILLED or bool(end.text)


@dataclass(slots=True, eq=False)
class Worker:
    """A task on its way to its record.

    Attributes:
        task: the call.
        provider: the door to its model.
        clock: the run's clock.
        began: its time at which the run began; offsets count from there.
        start: its time of the first admission; None before that.
        tries: how each try ended.
        lost: tries that count against `--retries`.
        waits: how often the provider asked to slow down.
        heard: the text of the try under way.
        held: US dollars set aside for the try under way; None where there is none.
        tokens: what it has taken of the tokens allowed a minute.
        tell: hears what happens in the try under way.
        begun: called with the first sign of life of it.
        sieve: keeps thinking from who listens to it; None where nobody has yet.
    """

    task: Task
    provider: Provider
    clock: Clock
    began: float
    start: float | None = None
    tries: list[Try] = field(default_factory=list)
    lost: int = 0
    waits: int = 0
    heard: list[str] = field(default_factory=list)
    held: Decimal | None = None
    tokens: Taken | None = None
    tell: Listener | None = None
    begun: Callable[[], None] | None = None
    sieve: Sieve | None = None

    def left(self, now: float) -> float:
        """Seconds until the deadline, which counts from the first admission."""
        return self.task.deadline - (0.0 if self.start is None else now - self.start)

    def hear(self, piece: str, thinking: str = "") -> None:
        """Take in a piece of text, or another sign of life; thinking is told to nobody."""
        if self.begun is not None:
            begun, self.begun = self.begun, None
            begun()
        if piece:
            self.heard.append(piece)
            if self.tell is not None:
                self.sieve = self.sieve or Sieve()
                at = self.clock.now() - self.began
                self.tell(Event("heard", self.task.index, at, self.sieve.shown(piece)))

    async def once(
        self, tell: Listener | None, price: Price, begun: Callable[[], None] | None = None
    ) -> Try:
        """Make one try.

        Args:
            begun: called with the first sign of life; a whole answer is one too.

        Raises:
            asyncio.CancelledError: by whoever stops the run.
        """
        tried = self.clock.now()
        self.start = tried if self.start is None else self.start
        self.heard.clear()
        self.sieve = None
        index = self.task.index

        self.tell, self.begun = tell, begun
        if tell is not None:
            tell(Event("started", index, tried - self.began, task=self.task))
        end: Reply | CallFailed
        try:
            end = await attempt(self.provider, self.task, self.hear, self.heard, self.left(tried))
            self.hear("")
        except CallFailed as error:
            end = error.with_traceback(None)
        end = thinking_apart(end)
        seconds = self.clock.now() - tried if end.seconds is None else end.seconds
        fault = end.fault if isinstance(end, CallFailed) else _fault_of(end)
        last = Try(end, fault, seconds, end.seconds is None, self._cost_of(end, fault, price))
        self.tries.append(last)
        return last

    def record(self, price: Price, now: float, fault: Fault | None) -> Record:
        """How the worker ended, after at least one try."""
        end = self.tries[-1].end
        start = now if self.start is None else self.start
        waited = round(start - self.began, 6)
        measured = self.tries[-1].measured or any(each.measured for each in self.tries)
        usage, cost = self._usage(), self._cost()
        reply = end if isinstance(end, Reply) else None
        return self.task.ended(
            STATUS.get(fault.kind, "failed") if fault else "ok",
            text=end.text,
            thinking=end.thinking or None,
            thinking_tokens=reply.thinking_tokens if reply else None,
            usage=usage,
            cost=cost,
            saved=self._saved(usage, cost, price),
            start=waited,
            queued=waited,
            seconds=round(now - start if measured else sum(t.seconds for t in self.tries), 6),
            attempts=self._attempts(),
            model_answered=end.model,
            finish=reply.finish if reply else None,
            request_id=end.request_id if isinstance(end, Reply) else end.fault.request_id,
            error=fault,
            simulated=self.provider.simulated,
            adapted=reply.adapted if reply else "",
        )

    def stopped(self, fault: Fault, now: float, *, asked: bool) -> Record:
        """The record of a worker that was not let finish, or not let begin.

        Args:
            asked: whether a try was under way; it may be billed, so its tokens are unknown.
        """
        start = now if self.start is None else self.start
        usage = None if asked else self._usage()
        # Half of a simulated answer tells nothing.
        heard = "".join(self.heard) if asked and not self.provider.simulated else ""
        thinking, text = split_thinking(heard)
        return self.task.ended(
            STATUS.get(fault.kind, "failed"),
            text=text,
            thinking=thinking or None,
            usage=usage,
            cost=None if asked else self._cost(),
            start=round(start - self.began, 6),
            queued=round(start - self.began, 6),
            seconds=round(now - start, 6),
            attempts=self._attempts(),
            error=fault,
            simulated=self.provider.simulated,
        )

    def _attempts(self) -> tuple[Attempt, ...]:
        return tuple(
            [Attempt(t.fault.kind if t.fault else "ok", round(t.seconds, 6)) for t in self.tries]
        )

    def _usage(self) -> Usage | None:
        """The tokens of all tries; None where those of one are unknown."""
        if len(self.tries) == 1:
            return self.tries[0].used
        total = Usage()
        for each in self.tries:
            if (used := each.used) is None:
                return None
            total += used
        return total

    def _cost(self) -> Decimal | None:
        """US dollars of all tries; None where those of one are unknown."""
        if self.provider.simulated:
            return None
        if len(self.tries) == 1:
            return self.tries[0].cost
        costs = [each.cost for each in self.tries]
        known = [cost for cost in costs if cost is not None]
        return sum(known, NOTHING) if len(known) == len(costs) else None

    def _cost_of(
        self, end: Reply | CallFailed, fault: Fault | None, price: Price
    ) -> Decimal | None:
        if self.provider.simulated:
            return NOTHING
        if end.usage is None:
            return None if _billed(end, fault) else NOTHING
        return price(self.task, end.usage, _said(end))

    def _saved(self, usage: Usage | None, cost: Decimal | None, price: Price) -> Decimal | None:
        """What the same tokens would have cost without a prompt cache, less what they did cost."""
        if usage is None or cost is None:
            return None
        if not (usage.cache_read_tokens or usage.cache_write_tokens):
            return None
        fed = usage.total_tokens - usage.output_tokens
        whole = Usage(fed, output_tokens=usage.output_tokens)
        plain = price(self.task, whole, _said(self.tries[-1].end))
        return None if plain is None else plain - cost


def asks_too_long(fault: Fault, seconds: float) -> Fault:
    """The fault, saying that the provider asks for a longer wait than the deadline leaves."""
    wait = f"asks to wait {seconds:g} s, longer than the deadline leaves"
    return replace(fault, message=f"{fault.message}; {wait}")


def too_late(fault: Fault, task: Task) -> Fault:
    """The fault, saying that no further try could begin before the deadline."""
    late = f"no further try could begin within the deadline of {task.deadline:g} s"
    return replace(fault, message=f"{fault.message}; {late}")


def thinking_apart(end: Reply | CallFailed) -> Reply | CallFailed:
    """How a try ended, with what the model wrote to itself apart from its answer."""
    inline, text = split_thinking(end.text)
    if text == end.text:
        return end
    thinking = "\n\n".join(filter(None, (end.thinking, inline)))
    if isinstance(end, Reply):
        return replace(end, text=text, thinking=thinking)
    end.text, end.thinking = text, thinking
    return end


# Ends of a complete reply that make it no success.
_NO_SUCCESS: dict[Finish, Fault] = {
    "length": Fault("length", "cut off at max_tokens; give more with --max-tokens"),
    "refusal": Fault("refusal", "the model declined to answer"),
}


def _fault_of(reply: Reply) -> Fault | None:
    """Why a complete reply is no success; None where it is one."""
    if reply.finish in _NO_SUCCESS:
        return _NO_SUCCESS[reply.finish]
    if reply.text.strip():
        return None
    return Fault("empty", ONLY_THINKING if reply.thinking else "the answer holds no text")
