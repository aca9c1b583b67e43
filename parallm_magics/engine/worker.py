"""One worker: its tries, each of them one call under the task's time limits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from parallm_magics.answers.thinking import ONLY_THINKING, Sieve, split_thinking
from parallm_magics.core.fault_kinds import FaultKind
from parallm_magics.core.provider import GOES_OUT, CallFailed, Heard, NotNow, Provider, Reply
from parallm_magics.core.tasks import Event, Fault, Finish, Listener, Task, Usage
from parallm_magics.engine.clock import Clock
from parallm_magics.engine.corrections import correction_of, reading_at_once, unread_fault
from parallm_magics.engine.rate_limits import RateLimit, Taken

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

# A timer that comes so much too late tells of a loop that was held up, not of a silent provider.
LATE = 0.5
# What has arrived meanwhile is read in this time.
CATCH_UP = 0.25


@dataclass(slots=True)
class Try:
    """How one try ended: a reply, which may still be no success, or a failure.

    Attributes:
        fault: why it is no success; None where it is one.
        seconds: how long it took.
        measured: whether its provider did not say that itself.
        cost: US dollars; None where it may have been billed and nobody says how much.
        value: what was read of the reply at once; None where that is left to others.
    """

    end: Reply | CallFailed
    fault: Fault | None
    seconds: float
    measured: bool
    cost: Decimal | None = None
    value: Any = None

    @property
    def used(self) -> Usage | None:
        """Its tokens; None where it may have been billed and nobody says how many."""
        if self.end.usage is not None:
            return self.end.usage
        return None if self.billed else Usage()

    @property
    def billed(self) -> bool:
        """Whether the provider may have charged for it."""
        return self.fault is None or self.fault.kind not in UNBILLED or bool(self.end.text)


@dataclass(slots=True, eq=False)
class Worker:
    """A task on its way to its record.

    Attributes:
        task: the call.
        provider: who is asked.
        clock: the run's clock.
        began: its time at which the run began; offsets count from there.
        ready: the offset from which on the worker could have begun, had there been a slot.
        start: its time of the first admission; None before that.
        tries: how each try ended.
        lost: tries that count against `--retries`.
        waits: how often the provider asked to slow down.
        heard: the text of the try under way.
        held: US dollars set aside for the try under way; None where there is none.
        requests, tokens: what it has taken of those allowed a minute.
        tell: hears what happens in the try under way.
        begun: called with the first sign of life of it.
        sieve: keeps thinking from who listens to it; None until something was heard.
        current: what is asked in the next try: the task, or its correction.
        unread: the try whose answer does not conform, once it is asked for again.
    """

    task: Task
    provider: Provider
    clock: Clock
    began: float
    ready: float
    start: float | None = None
    tries: list[Try] = field(default_factory=list)
    lost: int = 0
    waits: int = 0
    heard: list[str] = field(default_factory=list)
    held: Decimal | None = None
    requests: Taken | None = None
    tokens: Taken | None = None
    tell: Listener | None = None
    begun: Callable[[], None] | None = None
    sieve: Sieve | None = None
    current: Task = field(init=False)
    unread: Try | None = None

    def __post_init__(self) -> None:
        self.current = self.task

    def correct(self, now: float) -> bool:
        """Ask for the last answer once more, with what is wrong with it; False where that was done before."""
        last = self.tries[-1]
        if self.unread is not None or last.fault is None or self.left(now) <= 0:
            return False
        self.unread = last
        problem, left = last.fault.message, self.left(now)
        self.current = correction_of(self.task, last.end.text, problem, left)
        return True

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

    def goes_out(self) -> None:
        """Its request is about to be sent.

        Raises:
            NotNow: what it has taken of the minute does not hold any more.
        """
        now = self.clock.now()
        try:
            for taken in (self.requests, self.tokens):
                if taken is not None:
                    taken.window.goes_out(taken, now)
        except NotNow:
            if not self.tries:  # its deadline does not run yet
                self.start = None
            raise

    async def once(self, tell: Listener | None, begun: Callable[[], None] | None = None) -> Try:
        """Make one try.

        Args:
            begun: called with the first sign of life; a whole answer is one too.

        Raises:
            asyncio.CancelledError: by whoever stops the run.
            NotNow: the request was not sent; there was no try.
        """
        limited = self.requests is not None or self.tokens is not None
        if limited and not self.provider.simulated:
            GOES_OUT.set(self.goes_out)
            self.goes_out()  # a provider with a transport of its own does not say it once more
        tried = self.clock.now()
        self.start = tried if self.start is None else self.start
        self.heard.clear()
        self.sieve = None
        self.tell, self.begun = tell, begun
        if tell is not None:
            for task in self.task.asked:
                tell(Event("started", task.index, tried - self.began, task=task))
        end: Reply | CallFailed
        try:
            if self.provider.simulated:  # it keeps the limits itself
                end = await self.provider.complete(self.current, self.hear)
            else:
                left = self.task.deadline - (tried - self.start)
                end = await attempt(self.provider, self.current, self.hear, self.heard, left)
            self.hear("")
        except CallFailed as error:
            end = error.with_traceback(None)
        end = thinking_apart(end)
        seconds = self.clock.now() - tried if end.seconds is None else end.seconds
        fault = end.fault if isinstance(end, CallFailed) else fault_of(end)
        value = None
        if fault is None and isinstance(end, Reply) and self.task.reading is not None:
            answer = reading_at_once(self.task, end)
            fault, value = unread_fault(answer), answer.value if answer else None
        last = Try(end, fault, seconds, end.seconds is None, value=value)
        self.tries.append(last)
        return last


@dataclass(slots=True, eq=False)
class Line:
    """The workers that wait to be asked under one limit.

    Attributes:
        bare_refusals: how many of a run's first calls were refused without a reason; -1 once one has
            ended in any other way.
        answers_before: how many calls the provider had answered before this run.
    """

    limit: RateLimit
    workers: deque[Worker] = field(default_factory=deque)
    bare_refusals: int = 0
    answers_before: int = field(init=False)

    def __post_init__(self) -> None:
        self.answers_before = self.limit.answers

    @property
    def has_answered(self) -> bool:
        """Whether the provider has answered a call since this run has asked it."""
        return self.limit.answers > self.answers_before


class _Limit:
    """Cancels a task that has been silent for too long; a sign of life costs no new timer.

    The short limit begins with the first token: what a server says before it, such as that it is
    there, does not tell how long the model will think.
    """

    __slots__ = (
        "_at",
        "_end",
        "_first",
        "_heard",
        "_loop",
        "_over",
        "_silence",
        "_task",
        "_timer",
        "begun",
        "heard_of",
        "held_up",
    )

    def __init__(self, heard: Heard, first: float, silence: float, remaining: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.held_up = 0.0
        self.heard_of = self.begun = False
        self._task, self._heard, self._first, self._silence = task, heard, first, silence
        self._loop = task.get_loop()
        now = self._loop.time()
        self._end = now + remaining
        self._at = min(now + first, self._end)
        self._timer = self._loop.call_at(self._at, self._look)
        self._over = False

    def alive(self, piece: str, thinking: str = "") -> None:
        """A sign of life: the silence begins anew."""
        self.heard_of = True
        self.begun = self.begun or bool(piece or thinking)
        silence = self._silence if self.begun else self._first
        self._at = at = min(self._loop.time() + silence, self._end)
        if at < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(at, self._look)
        self._heard(piece)

    def off(self) -> bool:
        """Take the limit off. Whether it had passed, and nobody else cancels the task."""
        self._timer.cancel()
        over, self._over = self._over, False
        return over and self._task.uncancel() == 0

    @property
    def at_end(self) -> bool:
        """Whether the time is over that the call has as a whole."""
        return self._loop.time() >= self._end

    def _look(self) -> None:
        now = self._loop.time()
        late = now - self._at
        if late > LATE and not self.held_up:
            self.held_up, self._at = late, now + CATCH_UP
        if self._at > now:
            self._timer = self._loop.call_at(self._at, self._look)
        else:
            self._over = True
            self._task.cancel()


async def attempt(
    provider: Provider,
    task: Task,
    heard: Heard,
    pieces: Sequence[str],
    remaining: float,
) -> Reply:
    """Make one call and bound its silence and its length.

    Args:
        provider: who is asked.
        task: the call; its `first`, `silence` are the limits on waiting, in seconds.
        heard: told of every piece of text, and of every other sign of life with "".
        pieces: where whoever hears keeps the text of this try.
        remaining: seconds left until the worker's deadline.

    Raises:
        CallFailed: whatever went wrong, time-outs included; nothing else but a cancellation.
    """
    limit = _Limit(heard, task.first, task.silence, remaining)
    fault: Fault | None = None
    try:
        return await provider.complete(task, limit.alive)
    except asyncio.CancelledError:
        # Whoever else cancels this task wants it to end as cancelled.
        if not limit.off():
            raise
    except CallFailed:
        raise
    except TimeoutError:
        fault = Fault("timeout", "the connection timed out")
    # The worker's boundary: whatever a provider lets slip must not take other workers along.
    except Exception as error:
        fault = Fault("bug", f"unexpected {type(error).__name__} in the provider")
    finally:
        limit.off()
    fault = fault or Fault("timeout", _silence(task, limit, bool(pieces)))
    raise CallFailed(fault, text="".join(pieces))


def _silence(task: Task, limit: _Limit, begun: bool) -> str:
    if limit.held_up:
        return f"no answer could be read in time: other code blocked the notebook for {limit.held_up:.1f} s"
    if limit.at_end:
        return f"no complete answer within the deadline of {task.deadline:g} s"
    if begun:
        return f"silent for {task.silence:g} s during the answer"
    if limit.begun:
        return f"silent for {task.silence:g} s while it was thinking"
    if limit.heard_of and task.stream:
        return f"silent for {task.first:g} s before the first token"
    return f"no {'first token' if task.stream else 'answer'} within {task.first:g} s"


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
    "length": Fault("length", "cut off at max_tokens; raise --max-tokens"),
    "refusal": Fault("refusal", "the model declined to answer"),
}


def fault_of(reply: Reply) -> Fault | None:
    """Why a complete reply is no success; None where it is one."""
    if reply.finish in _NO_SUCCESS:
        return _NO_SUCCESS[reply.finish]
    if reply.text.strip() or reply.answers:
        return None
    return Fault("empty", ONLY_THINKING if reply.thinking else "the answer contains no text")
