"""One try of one call, under the task's time limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from parallm_magics.core.provider import CallFailed, Heard, Provider, Reply
from parallm_magics.core.tasks import Fault, Task

# A timer that comes so much too late tells of a loop that was held up, not of a silent provider.
LATE = 0.5
# What has arrived meanwhile is read in this time.
CATCH_UP = 0.25


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
        provider: the door to the model.
        task: the call; its `first`, `silence` are the limits on waiting, in seconds.
        heard: told of every piece of text, and of every other sign of life with "".
        pieces: where whoever hears keeps the text of this try.
        remaining: seconds left until the worker's deadline.

    Raises:
        CallFailed: whatever went wrong, time-outs included; nothing else but a cancellation.
    """
    if provider.simulated:
        return await provider.complete(task, heard)
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
        return (
            "no answer could be read in time: other code held the notebook's loop for "
            f"{limit.held_up:.1f} s too long"
        )
    if limit.at_end:
        return f"no complete answer by the deadline of {task.deadline:g} s"
    if begun:
        return f"silent for {task.silence:g} s in the middle of the answer"
    if limit.begun:
        return f"silent for {task.silence:g} s while it was thinking"
    if limit.heard_of and task.stream:
        return f"silent for {task.first:g} s before the first token"
    return f"no {'first token' if task.stream else 'answer'} within {task.first:g} s"
