"""One try of one call, under the task's time limits."""

from __future__ import annotations

import asyncio

from parallm_magics.types import CallFailed, Fault, Heard, Provider, Reply, Task

# A timer that comes so much too late tells of a loop that was held up, not of a silent provider.
LATE = 0.5
# What has arrived meanwhile is read in this time.
CATCH_UP = 0.25


class _Limit:
    """Cancels a task at a time that may be put off; putting it off costs no new timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.held_up = 0.0
        self._task = task
        self._loop = loop
        self._at = at
        self._timer = loop.call_at(at, self._look)
        self._over = False

    def move(self, at: float) -> None:
        """Cancel at this time instead."""
        self._at = at
        if at < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(at, self._look)

    def off(self) -> bool:
        """Take the limit off. Whether it had passed, and nobody else cancels the task."""
        self._timer.cancel()
        over, self._over = self._over, False
        return over and self._task.uncancel() == 0

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


async def attempt(provider: Provider, task: Task, heard: Heard, remaining: float) -> Reply:
    """Make one call and bound its silence and its length.

    Args:
        provider: the door to the model.
        task: the call; its `first`, `silence` are the limits on waiting, in seconds.
        heard: told of every piece of text, and of every other sign of life with "".
        remaining: seconds left until the worker's deadline.

    Raises:
        CallFailed: whatever went wrong, time-outs included; nothing else but a cancellation.
    """
    if provider.keeps_time:
        return await provider.complete(task, heard)
    loop = asyncio.get_running_loop()
    end = loop.time() + remaining
    pieces: list[str] = []
    patience = task.first
    limit = _Limit(loop, min(loop.time() + patience, end))

    def alive(piece: str) -> None:
        nonlocal patience
        patience = task.silence
        limit.move(min(loop.time() + patience, end))
        if piece:
            pieces.append(piece)
        heard(piece)

    fault: Fault | None = None
    try:
        return await provider.complete(task, alive)
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
    over = loop.time() >= end
    fault = fault or Fault("timeout", _silence(task, patience, bool(pieces), over, limit.held_up))
    raise CallFailed(fault, text="".join(pieces))


def _silence(task: Task, patience: float, begun: bool, over: bool, held_up: float) -> str:
    if held_up:
        return (
            f"no answer could be read in time: other code held the notebook's loop for "
            f"{held_up:.1f} s too long"
        )
    if over:
        return f"no complete answer by the deadline of {task.deadline:g} s"
    if begun:
        return f"silent for {patience:g} s in the middle of the answer"
    if patience == task.silence and task.stream:
        return f"silent for {patience:g} s"
    return f"no {'first token' if task.stream else 'answer'} within {patience:g} s"
